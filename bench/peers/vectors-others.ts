/** sqlite-vec, LangChain's MemoryVectorStore, vectra and Mastra's LibSQLVector, by the calls that their documentation shows. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LIMIT, TENTH } from './vectors-data.ts'
import type { VectorContender } from './vectors-frame.ts'
import { loadPeer } from './vectors/packages.ts'

export const sqliteVec: VectorContender = {
  name: 'sqlite-vec',
  package: 'sqlite-vec',
  durability: 'WAL, synchronous=FULL',
  note: 'vec0 table on node:sqlite, the filter a metadata column',
  open: async (folder, dimension) => {
    const { load } = await loadPeer<{ load(db: DatabaseSync): void }>('sqlite-vec')
    const db = new DatabaseSync(join(folder, 'vec.db'), { allowExtension: true })
    load(db)
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      CREATE VIRTUAL TABLE docs USING vec0(embedding float[${dimension}] distance_metric=cosine, tenth INTEGER, +id TEXT, +content TEXT)`)
    const insert = db.prepare('INSERT INTO docs (embedding, tenth, id, content) VALUES (?, ?, ?, ?)')
    const nearest = `SELECT id, content, distance FROM docs WHERE embedding MATCH ? AND k = ${LIMIT}`
    const [all, some] = [db.prepare(nearest), db.prepare(`${nearest} AND tenth = ${TENTH}`)]
    return {
      insertion: (rows) => () => {
        db.exec('BEGIN IMMEDIATE')
        // vec0 takes no floating-point number for an INTEGER, and node:sqlite binds a number as one.
        for (const { id, content, embedding, tenth } of rows) insert.run(embedding, BigInt(tenth), id, content)
        db.exec('COMMIT')
      },
      search: async (query, filtered) => (filtered ? some : all).all(query).map((row) => row['id'] as string),
      close: () => db.close(),
    }
  },
}

interface LangchainDocument {
  readonly pageContent: string
  readonly metadata: { readonly id: string; readonly tenth: number }
}

interface MemoryVectorStore {
  addVectors(vectors: readonly number[][], documents: readonly LangchainDocument[]): Promise<void>
  similaritySearchVectorWithScore(
    query: readonly number[],
    limit: number,
    filter?: (document: LangchainDocument) => boolean,
  ): Promise<[LangchainDocument, number][]>
}

export const langchain: VectorContender = {
  name: 'LangChain MemoryVectorStore',
  package: '@langchain/classic',
  durability: 'none: in memory',
  open: async () => {
    const module = await loadPeer<{ MemoryVectorStore: new (embeddings: object) => MemoryVectorStore }>(
      '@langchain/classic/vectorstores/memory',
    )
    const store = new module.MemoryVectorStore({})
    const isWanted = ({ metadata }: LangchainDocument): boolean => metadata.tenth === TENTH
    return {
      insertion: (rows) => {
        const vectors = rows.map(({ embedding }) => Array.from(embedding))
        const documents = rows.map(({ id, content, tenth }) => ({ pageContent: content, metadata: { id, tenth } }))
        return () => store.addVectors(vectors, documents)
      },
      search: async (query, filtered) => {
        const hits = await store.similaritySearchVectorWithScore(Array.from(query), LIMIT, filtered ? isWanted : undefined)
        return hits.map(([{ metadata }]) => metadata.id)
      },
      close: () => {},
    }
  },
}

interface VectraIndex {
  createIndex(options: object): Promise<void>
  batchInsertItems(items: readonly object[]): Promise<unknown>
  queryItems(vector: readonly number[], text: string, limit: number, filter?: object): Promise<{ item: { id: string } }[]>
}

export const vectra: VectorContender = {
  name: 'vectra',
  package: 'vectra',
  durability: 'one JSON file, without fsync',
  open: async (folder) => {
    const { LocalIndex } = await loadPeer<{ LocalIndex: new (folder: string) => VectraIndex }>('vectra')
    const index = new LocalIndex(join(folder, 'index'))
    await index.createIndex({ version: 1, metadata_config: { indexed: ['tenth'] } })
    return {
      insertion: (rows) => {
        const items = rows.map(({ id, content, embedding, tenth }) => ({
          id,
          vector: Array.from(embedding),
          metadata: { content, tenth },
        }))
        return () => index.batchInsertItems(items)
      },
      search: async (query, filtered) => {
        const filter = filtered ? { tenth: { $eq: TENTH } } : undefined
        return (await index.queryItems(Array.from(query), '', LIMIT, filter)).map(({ item }) => item.id)
      },
      close: () => {},
    }
  },
}

interface LibSqlVector {
  createIndex(options: { indexName: string; dimension: number; metric: 'cosine' }): Promise<void>
  upsert(given: { indexName: string; vectors: number[][]; metadata: object[]; ids: string[] }): Promise<unknown>
  query(given: { indexName: string; queryVector: number[]; topK: number; filter?: object }): Promise<{ id: string }[]>
}

export const mastra: VectorContender = {
  name: 'Mastra LibSQLVector',
  package: '@mastra/libsql',
  durability: 'WAL, synchronous=NORMAL on the connection of its first PRAGMAs, otherwise FULL',
  open: async (folder, dimension) => {
    const module = await loadPeer<{ LibSQLVector: new (options: object) => LibSqlVector }>('@mastra/libsql')
    const store = new module.LibSQLVector({ id: 'bench', url: `file:${join(folder, 'vectors.db')}` })
    const indexName = 'docs'
    await store.createIndex({ indexName, dimension, metric: 'cosine' })
    return {
      insertion: (rows) => {
        const vectors = rows.map(({ embedding }) => Array.from(embedding))
        const metadata = rows.map(({ content, tenth }) => ({ content, tenth }))
        return () => store.upsert({ indexName, vectors, metadata, ids: rows.map(({ id }) => id) })
      },
      search: async (query, filtered) => {
        const asked = { indexName, queryVector: Array.from(query), topK: LIMIT }
        const hits = await store.query(filtered ? { ...asked, filter: { tenth: TENTH } } : asked)
        return hits.map(({ id }) => id)
      },
      close: () => {},
    }
  },
}
