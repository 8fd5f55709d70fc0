/**
 * LanceDB in the ways that suit it: a flat scan over what the inserts left, the same after `optimize()`, which its documentation tells to run
 * now and then, and an HNSW graph over 8-bit codes. A bitmap index of what is filtered by makes the graph quicker and the scans slower.
 */
import { LIMIT, TENTH, type Row } from './vectors-data.ts'
import type { VectorContender, VectorStore } from './vectors-frame.ts'
import { loadPeer } from './vectors/packages.ts'

interface Query {
  distanceType(name: 'cosine'): Query
  limit(count: number): Query
  select(columns: readonly string[]): Query
  where(condition: string): Query
  ef(candidates: number): Query
  refineFactor(factor: number): Query
  toArray(): Promise<{ id: string }[]>
}

interface Table {
  add(rows: readonly object[]): Promise<unknown>
  optimize(): Promise<unknown>
  createIndex(column: string, options: { config: unknown }): Promise<void>
  vectorSearch(query: Float32Array): Query
}

interface Lance {
  readonly Index: { hnswSq(options: object): unknown; bitmap(): unknown }
  connect(folder: string): Promise<{ createEmptyTable(name: string, schema: unknown): Promise<Table>; close(): void }>
}

type TypeOf = new (...given: unknown[]) => unknown
type Arrow = Readonly<Record<'Schema' | 'Field' | 'Utf8' | 'Int32' | 'Float32' | 'FixedSizeList', TypeOf>>

const FILES = 'files, without fsync'

type Ready = (table: Table, index: Lance['Index']) => Promise<unknown>

export const lanceFlat: VectorContender = {
  name: 'LanceDB flat',
  package: '@lancedb/lancedb',
  durability: FILES,
  note: 'no index, the fragments as inserted',
  open: (folder, dimension) => lance(folder, dimension, async () => undefined),
}

export const lanceOptimized: VectorContender = {
  name: 'LanceDB flat, optimized',
  package: '@lancedb/lancedb',
  durability: FILES,
  note: 'no index, after optimize()',
  open: (folder, dimension) => lance(folder, dimension, (table) => table.optimize()),
}

export const lanceHnsw: VectorContender = {
  name: 'LanceDB HNSW',
  package: '@lancedb/lancedb',
  durability: FILES,
  note: 'approximate: HNSW_SQ, one partition, ef 100, refineFactor 2; bitmap index for the filter',
  open: (folder, dimension) =>
    lance(
      folder,
      dimension,
      async (table, index) => {
        await table.createIndex('tenth', { config: index.bitmap() })
        await table.createIndex('vector', { config: index.hnswSq({ distanceType: 'cosine', numPartitions: 1 }) })
      },
      (query) => query.ef(100).refineFactor(2),
    ),
}

async function lance(folder: string, dimension: number, ready: Ready, tune = (query: Query) => query): Promise<VectorStore> {
  const { Index, connect } = await loadPeer<Lance>('@lancedb/lancedb')
  const database = await connect(folder)
  const table = await database.createEmptyTable('docs', await schema(dimension))
  return {
    insertion: (rows) => {
      const given = rows.map(toRecord)
      return () => table.add(given)
    },
    ready: () => ready(table, Index),
    search: async (embedding, filtered) => {
      const nearest = table.vectorSearch(embedding).distanceType('cosine').limit(LIMIT).select(['id', 'content', '_distance'])
      const query = tune(filtered ? nearest.where(`tenth = ${TENTH}`) : nearest)
      return (await query.toArray()).map(({ id }) => id)
    },
    close: () => database.close(),
  }
}

function toRecord({ id, content, embedding, tenth }: Row): object {
  return { id, content, vector: Array.from(embedding), tenth }
}

async function schema(dimension: number): Promise<unknown> {
  const { Schema, Field, Utf8, Int32, Float32, FixedSizeList } = await loadPeer<Arrow>('apache-arrow')
  const item = new Field('item', new Float32(), true)
  return new Schema([
    new Field('id', new Utf8(), false),
    new Field('content', new Utf8(), false),
    new Field('vector', new FixedSizeList(dimension, item), false),
    new Field('tenth', new Int32(), false),
  ])
}
