/** The key-value contenders: Holdfast, hand-written, Keyv with its SQLite adapter, unstorage's file-system driver. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { STATE_STORES } from '../../src/index.ts'
import { ownVersion, sqliteVersion } from './conversation-ours.ts'
import type { Peer } from './frame.ts'
import { GroupedWrites } from './grouped-writes.ts'
import type { KvAdapter, KvValue } from './kv.ts'
import { load, versionOf } from './peer-folder.ts'

const holdfastKv: Peer<KvAdapter> = {
  name: 'holdfast',
  version: ownVersion,
  durability: 'WAL, synchronous=FULL, its default',
  async open(folder) {
    const store = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
    return {
      set: (key, value) => store.set(key, { ...value }),
      get: (key) => store.get(key),
      keys: () => store.keys(),
      seed: (entries) => store.setMany(entries.map(([key, value]) => [key, { ...value }] as const)),
      close: () => store.close(),
    }
  },
}

const handWrittenKv: Peer<KvAdapter> = {
  name: 'hand-written',
  version: sqliteVersion,
  durability: 'WAL, synchronous=FULL, group commit',
  async open(folder) {
    const db = new DatabaseSync(join(folder, 'state.db'))
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000;
      CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`)
    const writes = new GroupedWrites(db)
    const upsert = db.prepare('INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
    const select = db.prepare('SELECT value FROM state WHERE key = ?')
    const all = db.prepare('SELECT key FROM state ORDER BY key')
    const set = (key: string, value: KvValue): Promise<void> => {
      const text = JSON.stringify(value)
      return writes.add(() => upsert.run(key, text))
    }
    return {
      set,
      async get(key) {
        const row = select.get(key)
        return row === undefined ? undefined : (JSON.parse(row['value'] as string) as unknown)
      },
      keys: async () => all.all().map((row) => row['key'] as string),
      seed: async (entries) => void (await Promise.all(entries.map(([key, value]) => set(key, value)))),
      close: async () => db.close(),
    }
  },
}

interface KeyvSqlite {
  query(sql: string): Promise<readonly Record<string, unknown>[]>
}

interface Keyv {
  set(key: string, value: KvValue): Promise<unknown>
  get(key: string): Promise<unknown>
  iterator: (namespace?: string) => AsyncIterable<readonly [string, unknown]>
  disconnect(): Promise<void>
}

async function openKeyv(folder: string, pragmas: readonly string[]): Promise<KvAdapter> {
  const { default: Sqlite } = await load<{ default: new (options: { uri: string }) => KeyvSqlite }>('@keyv/sqlite')
  const { default: Keyv } = await load<{ default: new (options: { store: KeyvSqlite }) => Keyv }>('keyv')
  const store = new Sqlite({ uri: `sqlite://${join(folder, 'keyv.db')}` })
  const keyv = new Keyv({ store })
  for (const pragma of pragmas) await store.query(`PRAGMA ${pragma}`)
  return {
    set: (key, value) => keyv.set(key, value),
    get: (key) => keyv.get(key),
    keys: async () => Array.fromAsync(keyv.iterator(undefined), ([key]) => key),
    async seed(entries) {
      await store.query('PRAGMA synchronous = OFF')
      for (const [key, value] of entries) await keyv.set(key, value)
      await store.query('PRAGMA synchronous = FULL')
    },
    close: () => keyv.disconnect(),
  }
}

const keyvVersion = (): string | undefined => {
  const adapter = versionOf('@keyv/sqlite')
  return adapter && `keyv ${versionOf('keyv')}, @keyv/sqlite ${adapter}`
}

const keyvDefault: Peer<KvAdapter> = {
  name: 'Keyv + SQLite, default',
  version: keyvVersion,
  durability: 'rollback journal, synchronous=FULL, its default',
  note: 'keys are listed by its iterator, which reads values too, ten at a time',
  open: (folder) => openKeyv(folder, []),
}

const keyvWal: Peer<KvAdapter> = {
  name: 'Keyv + SQLite, WAL',
  version: keyvVersion,
  durability: 'WAL, synchronous=FULL (set by us)',
  note: 'keys are listed by its iterator, which reads values too, ten at a time',
  open: (folder) => openKeyv(folder, ['journal_mode = WAL', 'synchronous = FULL']),
}

interface Unstorage {
  setItem(key: string, value: KvValue): Promise<void>
  getItem(key: string): Promise<unknown>
  getKeys(): Promise<string[]>
  dispose(): Promise<void>
}

const unstorageFs: Peer<KvAdapter> = {
  name: 'unstorage, fs driver',
  version: () => versionOf('unstorage'),
  durability: 'none: files neither fsynced nor replaced atomically',
  async open(folder) {
    const { createStorage } = await load<{ createStorage(options: { driver: object }): Unstorage }>('unstorage')
    const { default: fsDriver } = await load<{ default(options: { base: string }): object }>('unstorage/drivers/fs')
    const storage = createStorage({ driver: fsDriver({ base: join(folder, 'files') }) })
    return {
      set: (key, value) => storage.setItem(key, value),
      get: (key) => storage.getItem(key),
      keys: () => storage.getKeys(),
      async seed(entries) {
        for (const [key, value] of entries) await storage.setItem(key, value)
      },
      close: () => storage.dispose(),
    }
  },
}

export const KV_PEERS: readonly Peer<KvAdapter>[] = [holdfastKv, handWrittenKv, keyvWal, keyvDefault, unstorageFs]
