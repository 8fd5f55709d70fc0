/** The tables of SQL stores for those who make them by hand, and how workspaces are found in them. */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  CONVERSATION_STORES,
  KINDS,
  KNOWLEDGE_STORES,
  openStore,
  resolveSettings,
  STATE_STORES,
  storeTables,
  type Kind,
  type ResolvedSettings,
  type Settings,
} from '../src/index.ts'
import { distinctValues } from '../src/engines/sql.ts'
import { holdfast } from './cli-support.ts'
import { scratch } from './support.ts'

const REGISTRIES = { conversation: CONVERSATION_STORES, knowledge: KNOWLEDGE_STORES, state: STATE_STORES } as const

/** Client libraries of SQL servers. */
const SQL_CLIENTS: ReadonlySet<string> = new Set(['pg', 'mysql2'])

function settle(given: Settings): Promise<ResolvedSettings> {
  return resolveSettings(given, { root: '/nowhere', env: {}, config: false })
}

/** A store on a file of its own that may make no tables. */
function locked(kind: Kind, path: string, prefix: string): Settings {
  return { [kind]: { backend: 'sqlite', path, prefix, autoCreate: false } }
}

describe.each(KINDS)('the tables of %s', (kind) => {
  it('are what the printed statements make', async () => {
    const path = join(await scratch(), 'made by hand.db')
    const settings = await settle(locked(kind, path, 'my_'))
    const tables = (await storeTables(kind, settings))!
    expect([tables.place, await tables.found(), existsSync(path)]).toEqual([path, 0, false])
    await expect(openStore(kind, settings)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('holdfast schema') as string,
    })
    const db = new DatabaseSync(path)
    db.exec(tables.sql().join(';\n'))
    const made = db.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()
    db.close()
    expect(await tables.found()).toBe(tables.version)
    await (await openStore(kind, settings)).close()

    const other = join(await scratch(), 'applied.db')
    const same = (await storeTables(kind, await settle(locked(kind, other, 'my_'))))!
    await Promise.all([same.apply(), same.apply()])
    const applied = new DatabaseSync(other)
    onTestFinished(() => applied.close())
    expect(applied.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()).toEqual(made)
    expect(same.sql(same.version)).toEqual([])
    expect(() => same.sql(same.version + 1)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }) as Error)
  })

  it('are known of every backend on an SQL engine, and of no other', async () => {
    const known = await Promise.all(
      REGISTRIES[kind].describe().map(async ({ name, available }) => {
        return available && (await REGISTRIES[kind].tables(name)) !== undefined ? [name] : []
      }),
    )
    const sql = REGISTRIES[kind]
      .describe()
      .filter(({ available, name, client }) => available && (name.includes('sqlite') || SQL_CLIENTS.has(client?.package ?? '')))
    expect(known.flat()).toEqual(sql.map(({ name }) => name))
    expect(await REGISTRIES[kind].tables('sqlite', { url: ':memory:' })).toBeUndefined()
  })
})

describe('StoreRegistry.tables', () => {
  it('fails as create does', async () => {
    await expect(STATE_STORES.tables('nosuch')).rejects.toMatchObject({ code: 'UNKNOWN_BACKEND' })
    await expect(STATE_STORES.tables('firestore')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(STATE_STORES.tables('sqlite', { pth: 'x' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(STATE_STORES.tables('sqlite', { prefix: '"; --' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})

describe('holdfast schema', () => {
  const args = ['--state', 'sqlite:my.db', '--knowledge', 'memory', '--dir', 'data']

  it('prints, applies and compares, and opens nothing that it need not', async () => {
    const cwd = await scratch()
    const missing = await holdfast(['schema', 'status', ...args, '--json'], { cwd })
    expect(missing.code).toBe(1)
    expect(JSON.parse(missing.stdout)).toMatchObject({
      stores: [
        { kind: 'conversation', found: 0, known: 1, status: 'missing' },
        { kind: 'knowledge', found: null, known: null, status: 'no tables', store: 'memory' },
        { kind: 'state', found: 0, known: 1, status: 'missing', store: join(cwd, 'my.db') },
      ],
    })
    const printed = await holdfast(['schema', 'print', ...args], { cwd })
    expect(printed.code).toBe(0)
    expect(printed.stdout).toContain('-- knowledge: memory has no tables\n')
    expect(await readdir(cwd)).toEqual([])
    const db = new DatabaseSync(':memory:')
    db.exec(printed.stdout)
    expect(db.prepare('SELECT component, version FROM holdfast_schema ORDER BY component').all()).toMatchObject([
      { component: 'conversation', version: 1 },
      { component: 'state', version: 1 },
    ])
    db.close()

    const applied = await holdfast(['schema', 'apply', ...args, '--kind', 'state'], { cwd })
    expect(applied).toEqual({ code: 0, stdout: 'state: version 0 to 1\n', stderr: '' })
    expect((await holdfast(['schema', 'apply', ...args, '--kind', 'state'], { cwd })).stdout).toBe(
      'state: version 1, up to date\n',
    )
    const [state, all] = await Promise.all([
      holdfast(['schema', 'status', ...args, '--kind', 'state'], { cwd }),
      holdfast(['schema', 'status', ...args], { cwd }),
    ])
    expect([state.code, all.code]).toEqual([0, 1])
    const pending = await holdfast(['schema', 'print', ...args, '--pending', '--json'], { cwd })
    expect((JSON.parse(pending.stdout) as { stores: { sql: string[] }[] }).stores.map(({ sql }) => sql.length > 0)).toEqual([
      true,
      false,
      false,
    ])
  })

  it('tells of tables of a newer version, and changes nothing', async () => {
    const cwd = await scratch()
    await holdfast(['schema', 'apply', ...args], { cwd })
    const db = new DatabaseSync(join(cwd, 'my.db'))
    db.exec(`UPDATE holdfast_schema SET version = 7`)
    db.close()
    const status = await holdfast(['schema', 'status', ...args], { cwd })
    expect(status.code).toBe(1)
    expect(status.stdout).toMatch(/^state +7 +1 +newer +/m)
    const apply = await holdfast(['schema', 'apply', ...args], { cwd })
    expect(apply.code).toBe(1)
    expect(apply.stderr).toMatch(/^error UNSUPPORTED: .*use a newer Holdfast/)
  })
})

describe('distinct values', () => {
  it('are found by steps in the index', () => {
    const db = new DatabaseSync(':memory:')
    onTestFinished(() => db.close())
    db.exec('CREATE TABLE t (a TEXT NOT NULL, b INTEGER, PRIMARY KEY (a, b)) STRICT')
    const insert = db.prepare('INSERT INTO t VALUES (?, ?)')
    for (const a of ['', 'a', 'b', 'c', 'd']) for (let b = 0; b < 3; b++) insert.run(a, b)
    const list = (options: Parameters<typeof distinctValues>[2], ...values: (string | number)[]): unknown[] =>
      db
        .prepare(distinctValues('t', 'a', options))
        .all(...values)
        .map(({ value }) => value)
    expect(list({ exclusive: false }, '', 10)).toEqual(['', 'a', 'b', 'c', 'd'])
    expect(list({ exclusive: true }, '', 2)).toEqual(['a', 'b'])
    expect(list({ exclusive: true }, 'd', 2)).toEqual([])
    expect(list({ exclusive: false, bounded: true }, 'a', 'c', 'c', 10)).toEqual(['a', 'b'])
    const where = 'EXISTS (SELECT 1 FROM t WHERE a = found.value AND a <> ?)'
    expect(list({ exclusive: true, where }, '', 'b', 2)).toEqual(['a', 'c'])
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${distinctValues('t', 'a', { exclusive: true, bounded: true })}`)
      .all('', 'z', 'z', 1)
    expect(plan.map(({ detail }) => detail).filter((detail) => /\bt\b/.test(String(detail)))).toSatisfy((steps: string[]) =>
      steps.every((step) => step.startsWith('SEARCH t USING COVERING INDEX')),
    )
  })
})
