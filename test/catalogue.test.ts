import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CONVERSATION_CATALOGUE } from '../src/conversation/catalogue.ts'
import type { Kind } from '../src/errors.ts'
import { KNOWLEDGE_CATALOGUE } from '../src/knowledge/catalogue.ts'
import { openPersistence } from '../src/index.ts'
import { StoreRegistry } from '../src/registry/index.ts'
import { STATE_CATALOGUE } from '../src/state/catalogue.ts'
import type { Catalogue, CatalogueLine } from '../src/store/factory.ts'
import { scratch } from './support.ts'

const CATALOGUES: Readonly<Record<Kind, Catalogue>> = {
  conversation: CONVERSATION_CATALOGUE,
  knowledge: KNOWLEDGE_CATALOGUE,
  state: STATE_CATALOGUE,
}
const KINDS = ['conversation', 'knowledge', 'state'] as const

/** The names and aliases that existing configurations use. They are a promise: no line may go, whatever becomes of its backend. */
const RESERVED: Readonly<Record<Kind, { names: string; aliases: Readonly<Record<string, string>> }>> = {
  conversation: {
    names:
      'memory postgres async_postgres mysql async_mysql sqlite sync_sqlite async_sqlite json singlestore supabase surrealdb turso holdfast',
    aliases: {
      neon: 'postgres',
      cockroachdb: 'postgres',
      crdb: 'postgres',
      cockroach: 'postgres',
      xata: 'postgres',
      asyncpg: 'async_postgres',
      postgres_async: 'async_postgres',
      aiomysql: 'async_mysql',
      mysql_async: 'async_mysql',
      aiosqlite: 'async_sqlite',
      sqlite_async: 'async_sqlite',
      sqlite_sync: 'sync_sqlite',
      libsql: 'turso',
    },
  },
  knowledge: {
    names:
      'memory sqlite sync_sqlite chroma qdrant pinecone weaviate lancedb milvus pgvector redis valkey cassandra clickhouse mongodb_vector couchbase singlestore_vector surrealdb_vector upstash_vector lightrag langchain llamaindex cosmosdb holdfast',
    aliases: {
      sqlite_sync: 'sync_sqlite',
      chromadb: 'chroma',
      mongodb_atlas: 'mongodb_vector',
      mongo_vector: 'mongodb_vector',
      singlestore_v: 'singlestore_vector',
      surrealdb_v: 'surrealdb_vector',
      upstash_v: 'upstash_vector',
      langchain_adapter: 'langchain',
      llama_index: 'llamaindex',
      llamaindex_adapter: 'llamaindex',
      cosmos: 'cosmosdb',
      azure_cosmos: 'cosmosdb',
      cosmosdb_vector: 'cosmosdb',
    },
  },
  state: {
    names: 'memory sqlite sync_sqlite file postgres redis valkey dynamodb firestore mongodb async_mongodb upstash gcs holdfast',
    aliases: { sqlite_sync: 'sync_sqlite', motor: 'async_mongodb', mongodb_async: 'async_mongodb' },
  },
}

const registryOf = (kind: Kind): StoreRegistry<Kind> => new StoreRegistry(kind, { catalogue: CATALOGUES[kind] })
const linesOf = (kind: Kind): [string, CatalogueLine][] => Object.entries(CATALOGUES[kind])
/** The built backends that keep their data here, and so open without a server; the others are opened where their server is tested. */
const embeddedOf = (kind: Kind): [string, CatalogueLine][] =>
  linesOf(kind).filter(([name, { place }]) => name === 'memory' || place !== undefined)

describe.each(KINDS)('%s catalogue', (kind) => {
  it('reserves every name and alias that configurations use', () => {
    const infos = registryOf(kind).describe()
    assert.deepEqual(
      infos.map(({ name }) => name),
      RESERVED[kind].names.split(' ').toSorted(),
    )
    const aliases = infos.flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name]))
    assert.deepEqual(Object.fromEntries(aliases), RESERVED[kind].aliases)
  })

  it('lists what is built, and refuses what is only planned', async () => {
    const registry = registryOf(kind)
    const planned = linesOf(kind).flatMap(([name, line]) => (line.planned ? [name, ...(line.aliases ?? [])] : []))
    const built = linesOf(kind).flatMap(([name, line]) => (line.planned ? [] : [name]))
    assert.deepEqual(registry.listRegistered(), built.toSorted())
    assert(Object.values(registry.listAliases()).every((name) => built.includes(name)))
    for (const name of planned) {
      await expect(registry.create(name, { url: 'x' })).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        kind,
        message: expect.stringContaining('planned'),
      })
    }
  })

  it('every embedded backend opens by name and by alias, answers, and closes', async () => {
    const registry = registryOf(kind)
    for (const [name, { aliases = [] }] of embeddedOf(kind)) {
      for (const asked of [name, ...aliases, name.toUpperCase()]) {
        await using store = await registry.create(asked, name === 'memory' ? {} : { path: ':memory:' })
        assert.equal(store.kind, kind)
        assert.equal(store.backend, name)
        await store.ping()
      }
    }
  })

  it('of a backend that is only planned, nobody says what its stores can do', async () => {
    for (const [name, { planned }] of linesOf(kind)) {
      if (planned) await expect(registryOf(kind).capabilities(name)).rejects.toMatchObject({ code: 'UNSUPPORTED', kind })
    }
  })

  it('every embedded backend declares what its stores can do', async () => {
    const registry = registryOf(kind)
    for (const [name, { aliases = [] }] of embeddedOf(kind)) {
      const declared = await registry.capabilities(name)
      await using store = await registry.create(name, name === 'memory' ? {} : { path: ':memory:' })
      assert.deepEqual(declared, store.capabilities, name)
      for (const alias of aliases) assert.equal(await registry.capabilities(alias.toUpperCase()), declared)
    }
  })

  it('every backend that is built describes its options, and each option', async () => {
    for (const [name, line] of linesOf(kind)) {
      const schema = (await line.load?.())?.create.schema
      assert.equal(schema === undefined, line.planned === true, name)
      for (const [option, spec] of Object.entries(schema ?? {})) assert(spec.description.length > 5, `${name}.${option}`)
    }
  })

  it('every embedded backend keeps its data in its place, under whatever name it is asked for', async () => {
    const registry = registryOf(kind)
    for (const [name, line] of linesOf(kind)) {
      const schema = (await line.load?.())?.create.schema ?? {}
      const { place } = line
      // What takes a path and a durability is embedded: `openPersistence` must know its place.
      assert.equal(place !== undefined, 'path' in schema && 'durability' in schema, name)
      // The same place where it is opened by itself.
      const fallback = join('.holdfast', place ?? '').replace(`${kind}.db`, 'KIND.db')
      for (const asked of place === undefined ? [] : [name, ...(line.aliases ?? []), name.toUpperCase()]) {
        const dir = await scratch()
        const memory = { conversation: 'memory', knowledge: 'memory', state: 'memory' }
        await using db = await openPersistence({ config: false, ...memory, dir, [kind]: asked })
        await db.ping()
        assert.equal(registry.placeOf(asked), place)
        assert(readdirSync(dir).includes(place!), asked)
        assert(schema['path']!.description.endsWith(`default ${fallback}`), asked)
      }
    }
  })

  it('a scheme means one backend', () => {
    const schemes = linesOf(kind).flatMap(([, { schemes = [] }]) => schemes)
    assert.deepEqual(
      schemes.filter((scheme, i) => schemes.indexOf(scheme) !== i),
      [],
    )
    for (const [name, { schemes = [] }] of linesOf(kind)) {
      for (const scheme of schemes) assert.equal(registryOf(kind).backendForUrl(`${scheme}://host/x`), name)
    }
  })
})

describe('catalogues', () => {
  it('sqlite and sync_sqlite are the same engine', async () => {
    for (const kind of KINDS) {
      const { sqlite, sync_sqlite } = CATALOGUES[kind]
      assert.equal((await sqlite?.load?.())?.create, (await sync_sqlite?.load?.())?.create)
    }
  })

  it('ask for one range of a client, whichever backend needs it', () => {
    const ranges = new Map<string, string>()
    for (const { client } of KINDS.flatMap((kind) => linesOf(kind).map(([, line]) => line))) {
      if (client === undefined) continue
      assert.equal(ranges.get(client.package) ?? client.range, client.range, client.package)
      assert.match(client.range, /^\^\d+(\.\d+)?$/)
      ranges.set(client.package, client.range)
    }
    assert(ranges.size > 10)
  })
})

describe('placeOf', () => {
  it('is that of the backend that has the name now', () => {
    const registry = registryOf('state')
    assert.equal(registry.placeOf('Sqlite_Sync'), 'state.db')
    for (const name of ['memory', 'redis', 'nobody', '__proto__', '']) assert.equal(registry.placeOf(name), undefined)
    registry.register('sqlite', () => assert.fail('not opened'), { override: true })
    assert.equal(registry.placeOf('sqlite'), undefined)
  })
})

describe('backendForUrl', () => {
  const url = (kind: Kind, text: string): string | undefined => registryOf(kind).backendForUrl(text)

  it.each<[Kind, string, string]>([
    ['conversation', 'postgres://u:p@h/db', 'postgres'],
    ['conversation', 'POSTGRESQL://h/db', 'postgres'],
    ['conversation', 'cockroachdb://h/db', 'postgres'],
    ['conversation', 'mysql://h/db', 'mysql'],
    ['conversation', 'libsql://h', 'turso'],
    ['knowledge', 'postgresql://h/db', 'pgvector'],
    ['knowledge', 'mongodb+srv://h', 'mongodb_vector'],
    ['knowledge', 'qdrant://h', 'qdrant'],
    ['knowledge', 'rediss://h', 'redis'],
    ['state', 'postgres://h/db', 'postgres'],
    ['state', 'redis://h', 'redis'],
    ['state', 'valkey://h', 'valkey'],
    ['state', 'mongodb://h', 'mongodb'],
    ['state', 'gs://bucket', 'gcs'],
    ['state', 'dynamodb://table', 'dynamodb'],
  ])('%s %s', (kind, text, expected) => assert.equal(url(kind, text), expected))

  it.each([':memory:', 'x.db', './dir/x.SQLITE', '/abs/x.sqlite3', 'file:x', 'sqlite:rel', 'sqlite:///a/b.db', 'C:\\data\\x.db'])(
    '%s is SQLite for every kind',
    (text) => {
      for (const kind of KINDS) assert.equal(url(kind, text), 'sqlite')
    },
  )

  it.each(['redis', 'x', 'https://h', 'ws://h', 'db', '', 'nothing://h', '__proto__://h', 'C:\\data'])(
    '%j is nothing certain',
    (text) => {
      assert.equal(url('state', text), undefined)
    },
  )

  it('knows a registered backend by its own name as the scheme', () => {
    const registry = new StoreRegistry('state')
    registry.register('mybackend', () => assert.fail('not opened'), { aliases: ['mb'] })
    assert.equal(registry.backendForUrl('mb://host'), 'mybackend')
  })
})
