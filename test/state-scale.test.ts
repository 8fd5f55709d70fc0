/** Many keys on what needs no server: listed, and one workspace or scope cleared among others, in a process with a small heap. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { fileName } from '../src/engines/files.ts'
import { STATE_STORES } from '../src/index.ts'
import { indexSpace, scopeSpace } from '../src/plugin-storage/layout.ts'
import { PluginHost } from '../src/plugin-storage/index.ts'
import { folderOf } from '../src/state/file-space.ts'
import { workspaceSpace } from '../src/state/spaces.ts'
import { fill, keyOf } from './state-rows-support.ts'
import { collect, exec, ROOT, scratch } from './support.ts'

/** For all of them; else as many as take a few seconds. */
const GIVEN = process.env['HOLDFAST_ROWS']
const TIMEOUT = { timeout: 1_800_000 }
const rowsOr = (fallback: number): number => Number(GIVEN ?? fallback)

/** Runs the fixture, which must find `rows` keys, clear as many, and find all others as they were. */
async function listAndClear(heapMb: number, rows: number, args: readonly string[]): Promise<void> {
  const found = await inHeap(heapMb, 'state-rows.ts', args)
  const all = { keys: rows, inOrder: true }
  const sample = [0, 1_234, rows - 1]
  expect(found).toMatchObject({ listed: all, removed: rows, left: { keys: 0 }, others: all, sample })
  // A page holds a hundred keys and a cursor. A list of all keys would be 8 bytes for each, and the keys.
  const { pageBytes } = found as { pageBytes: number }
  expect(pageBytes).toBeGreaterThan(0)
  expect(pageBytes).toBeLessThan(64_000)
}

/** What a fixture prints, of a process of its own with so little memory. */
async function inHeap(heapMb: number, fixture: string, args: readonly string[]): Promise<unknown> {
  const flags = [`--max-old-space-size=${heapMb}`, '--expose-gc', join(ROOT, 'test/fixtures', fixture)]
  const { stdout } = await exec(process.execPath, [...flags, ...args])
  if (GIVEN !== undefined) console.log(stdout)
  return JSON.parse(stdout)
}

/** Rows of all spaces but some, in a form that changes with any of them, also where one is written anew with the same value. */
function rowsBesides(path: string, spaces: readonly string[]): unknown {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const marks = spaces.map(() => '?').join(', ')
    const sums = 'count(*) AS rows, sum(version % 1000003) AS versions, sum(length(value)) AS length'
    return db.prepare(`SELECT ${sums} FROM holdfast_state WHERE space NOT IN (${marks})`).get(...spaces)
  } finally {
    db.close()
  }
}

/** Node itself takes 9 MB of it, and the keys of one workspace would take 12. */
const SQLITE = { rows: rowsOr(200_000), heapMb: 16 }

it(
  `sqlite lists ${SQLITE.rows} keys and clears ${SQLITE.rows} among them in a heap of ${SQLITE.heapMb} MB`,
  TIMEOUT,
  async () => {
    const path = join(await scratch(), 'state.db')
    const options = { path, durability: 'relaxed' } as const
    const store = await STATE_STORES.create('sqlite', options)
    await fill(store, SQLITE.rows)
    await store.close()
    const cleared = workspaceSpace('cleared')
    const before = rowsBesides(path, [cleared])
    expect(before).toMatchObject({ rows: SQLITE.rows })
    await listAndClear(SQLITE.heapMb, SQLITE.rows, ['sqlite', JSON.stringify(options)])
    expect(rowsBesides(path, [cleared])).toEqual(before)
    expect(rowsBesides(path, [])).toEqual(before)
  },
)

/** Names of files are kept in memory for the spaces in use, which is what most of this heap is for. */
const FILE = { rows: rowsOr(10_000), heapMb: 96 }

it(`file lists ${FILE.rows} keys and clears ${FILE.rows} among them in a heap of ${FILE.heapMb} MB`, TIMEOUT, async () => {
  const path = join(await scratch(), 'state')
  // As other programs write them: without a journal, many at once.
  for (const workspace of ['kept', 'cleared']) {
    const folder = join(path, folderOf(workspaceSpace(workspace)))
    mkdirSync(folder, { recursive: true })
    for (let i = 0; i < FILE.rows; i++) writeFileSync(join(folder, fileName(keyOf(i))), String(i))
  }
  const options = { path, durability: 'relaxed' } as const
  await listAndClear(FILE.heapMb, FILE.rows, ['file', JSON.stringify(options)])
  await using store = await STATE_STORES.create('file', options)
  expect((await store.listWorkspaces()).items).toEqual(['kept'])
  expect(await store.workspace('kept').get(keyOf(7))).toBe(7)
})

/** The data are in it. */
const MEMORY = { rows: rowsOr(200_000), heapMb: 128 }

it(`memory lists ${MEMORY.rows} keys page by page without copying them, and clears as many among them`, TIMEOUT, async () => {
  await listAndClear(MEMORY.heapMb, MEMORY.rows, ['memory', '{}', String(MEMORY.rows)])
})

const PLUGIN = { values: rowsOr(50_000), scopes: 500, heapMb: 16 }

it(
  `plugin storage clears ${PLUGIN.values} values of one scope among ${PLUGIN.scopes} others, and touches none of these`,
  TIMEOUT,
  async () => {
    const path = join(await scratch(), 'state.db')
    await using state = await STATE_STORES.create('sqlite', { path, durability: 'relaxed' })
    const host = new PluginHost({ state })
    const doomed = { workspaceId: 'w1', pluginId: 'author/doomed' }
    const others = Array.from({ length: PLUGIN.scopes }, (_, i) => ({ workspaceId: `w${i % 5}`, pluginId: `author/plugin-${i}` }))
    const store = async (scope: typeof doomed, count: number): Promise<void> => {
      const { storage } = host.session(scope)
      for (let at = 0; at < count; at += 1_000) {
        const length = Math.min(1_000, count - at)
        await storage.setMany(Array.from({ length }, (_, i) => [keyOf(at + i), Buffer.from(String(at + i))] as const))
      }
    }
    const each = Math.ceil(PLUGIN.values / PLUGIN.scopes)
    await store(doomed, PLUGIN.values)
    for (const scope of others) await store(scope, each)
    const [space, index] = [scopeSpace('', doomed), indexSpace('')]
    const before = rowsBesides(path, [space, index])
    // Two rows each say what is known of the scope, and how many bytes it holds.
    expect(before).toMatchObject({ rows: PLUGIN.scopes * (each + 2) })

    const found = await inHeap(PLUGIN.heapMb, 'plugin-rows.ts', [path, doomed.workspaceId, doomed.pluginId])
    expect(found).toMatchObject({ cleared: PLUGIN.values })
    expect(rowsBesides(path, [space, index])).toEqual(before)
    expect(rowsBesides(path, [index])).toEqual(before)
    const left = (await collect(host.scopes())).map(({ workspaceId, pluginId }) => `${workspaceId} ${pluginId}`)
    expect(left.toSorted()).toEqual(others.map(({ workspaceId, pluginId }) => `${workspaceId} ${pluginId}`).toSorted())
    const { storage } = host.session(others[123]!)
    expect(await storage.keys()).toHaveLength(each)
    expect(await storage.getText(keyOf(each - 1))).toBe(String(each - 1))
  },
)
