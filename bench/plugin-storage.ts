/**
 * Plugin storage against the bare state store and against hand-written code on the same engine: 1 KB values, same file system, same
 * durability (WAL, synchronous=FULL). What it costs above the state store is the quota: a look at what is there, and a counter in the
 * same transaction.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { STATE_STORES, type StateStore } from '../src/index.ts'
import { generateKey, PluginHost, type PluginStorage } from '../src/plugin-storage/index.ts'
import { atOnce, compare, table, type Contender } from './measure.ts'

const KEYS = 5_000
const MANY = 1_000
const SCOPE = { workspaceId: 'w', pluginId: 'author/name' }

interface Sides {
  readonly raw: Raw
  readonly state: StateStore
  readonly plain: PluginStorage
  readonly sealed: PluginStorage
}

export async function pluginStorage(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const open = (name: string): Promise<StateStore> => STATE_STORES.create('sqlite', { path: join(folder, `${name}.db`) })
  const [state, plain, sealed] = [await open('state'), await open('plain'), await open('sealed')]
  const encryption = { current: 'k', keys: { k: generateKey() } }
  const raw = openRaw(join(folder, 'raw.db'))
  try {
    const sides = {
      raw,
      state,
      plain: new PluginHost({ state: plain }).session(SCOPE).storage,
      sealed: new PluginHost({ state: sealed, encryption }).session(SCOPE).storage,
    }
    await Promise.all(keys.map((key, i) => fill(sides, key, i)))
    return await measured(sides)
  } finally {
    raw.close()
    for (const store of [state, plain, sealed]) await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const keys = Array.from({ length: KEYS }, (_, i) => `key-${String(i).padStart(6, '0')}`)
const pick = (round: number): string => keys[(round * 7_919) % KEYS]!

/** Each value differs: SQLite does not even write a row that stays the same. */
function value(n: number): Uint8Array {
  const bytes = new Uint8Array(1_024).fill(n % 256)
  new DataView(bytes.buffer).setFloat64(0, n)
  return bytes
}

async function fill({ raw, state, plain, sealed }: Sides, key: string, i: number): Promise<void> {
  raw.set(key, value(i))
  await Promise.all([state.setBytes(key, value(i)), plain.set(key, value(i)), sealed.set(key, value(i))])
}

async function measured({ raw, state, plain, sealed }: Sides): Promise<string> {
  const lines = [
    await line('set 1 KB', 400, [
      (n) => raw.counted(pick(n), value(n + 0.5)),
      (n) => state.setBytes(pick(n), value(n + 0.5)),
      (n) => plain.set(pick(n), value(n + 0.5)),
      (n) => sealed.set(pick(n), value(n + 0.5)),
    ]),
    await line('1,000 concurrent sets', 10, [
      (n) => raw.transaction(() => keys.slice(0, MANY).forEach((key, i) => raw.put(key, value(n + i / 7)))),
      (n) => atOnce(MANY, (i) => state.setBytes(keys[i]!, value(n + i / 7))),
      (n) => atOnce(MANY, (i) => plain.set(keys[i]!, value(n + i / 7))),
      (n) => atOnce(MANY, (i) => sealed.set(keys[i]!, value(n + i / 7))),
    ]),
    await line('get 1 KB', 2_000, [
      (n) => raw.get(pick(n)),
      (n) => state.getBytes(pick(n)),
      (n) => plain.get(pick(n)),
      (n) => sealed.get(pick(n)),
    ]),
  ]
  const header = [
    'plugin storage, µs (median)',
    'hand-written',
    'state store',
    'plugin',
    'encrypted',
    'plugin/state',
    'plugin/hand',
  ]
  return table(header, lines)
}

async function line(what: string, rounds: number, runs: readonly Contender['run'][]): Promise<string[]> {
  const timings = await compare(
    runs.map((run, i) => ({ name: String(i), run })),
    rounds,
  )
  const [raw, state, plain, sealed] = timings.map(({ medianUs }) => medianUs)
  const ratios = [plain! / state!, plain! / raw!].map((ratio) => ratio.toFixed(2))
  return [what, ...[raw!, state!, plain!, sealed!].map(us), ...ratios]
}

interface Raw {
  set(key: string, bytes: Uint8Array): void
  /** Value and counter in one transaction, under a limit: the least that a quota takes. */
  counted(key: string, bytes: Uint8Array): void
  put(key: string, bytes: Uint8Array): void
  get(key: string): unknown
  transaction(work: () => void): void
  close(): void
}

function openRaw(file: string): Raw {
  const db = new DatabaseSync(file)
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000;
    CREATE TABLE items (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE used (bytes INTEGER NOT NULL) STRICT; INSERT INTO used VALUES (0)`)
  const size = db.prepare('SELECT length(value) AS bytes FROM items WHERE key = ?')
  const add = db.prepare('UPDATE used SET bytes = bytes + ? WHERE bytes + ? <= 104857600')
  const upsert = db.prepare('INSERT INTO items VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
  const get = db.prepare('SELECT value FROM items WHERE key = ?')
  const transaction = (work: () => void): void => {
    db.exec('BEGIN IMMEDIATE')
    work()
    db.exec('COMMIT')
  }
  const put = (key: string, bytes: Uint8Array): void => {
    const delta = bytes.length - Number(size.get(key)?.['bytes'] ?? 0)
    add.run(delta, delta)
    upsert.run(key, bytes)
  }
  return {
    set: (key, bytes) => void upsert.run(key, bytes),
    counted: (key, bytes) => transaction(() => put(key, bytes)),
    put,
    get: (key) => get.get(key),
    transaction,
    close: () => db.close(),
  }
}

function us(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(1)
}

if (import.meta.main) console.log(await pluginStorage())
