/**
 * Collections in Postgres: a row each in one table, and a table of documents each, since a column of vectors has one dimension and an index finds
 * nothing well that it shares with others. The table's name comes from the row's number, which is never used again, and so from nothing
 * that a caller chose.
 */
import { changes, row, rowAlone, type Script, type SqlDialect, type SqlSchema } from '../engines/sql.ts'
import type { CollectionRecord, Distance } from './contract.ts'
import { checkSameSettings } from './faults.ts'
import { CREATE_EXTENSION, type VectorExtension } from './pgvector-extension.ts'
import { toCollectionRecord, type SettingsRow } from './sql.ts'

export interface IndexOptions {
  /** `hnsw` (default), `ivfflat`, or `none`: every search reads all documents that match. */
  readonly index?: 'hnsw' | 'ivfflat' | 'none' | undefined
  /** What the index holds: `vector` (default), 32-bit floats, or `halfvec`, 16-bit ones. */
  readonly type?: 'vector' | 'halfvec' | undefined
  /** HNSW: connections of each vector. Default 16. */
  readonly m?: number | undefined
  /** HNSW: candidates looked at when a vector is added. Default 64. */
  readonly efConstruction?: number | undefined
  /** IVFFlat: into how many lists the vectors are put. Default: by their number. */
  readonly lists?: number | undefined
}

/** What the server's indexes can hold. https://github.com/pgvector/pgvector#hnsw */
const MAX_INDEXED = { vector: 2_000, halfvec: 4_000 } as const
/** IVFFlat cannot tell directions apart where there are but two. */
const LEAST_DIMENSION = { hnsw: 1, ivfflat: 2 } as const
export const DEFAULT_M = 16
const DEFAULT_EF_CONSTRUCTION = 64

/** IVFFlat sorts vectors by the centres of those that are there when it is made: below this, or one a list, a search reads them all. */
const LEAST_LISTED = 1_000
/** It is made anew each time there are so many times more, as long as that is soon done. */
const GROWTH = 10
const MOST_LISTED = 100_000

/** A collection as it is stored. */
export interface Stored {
  readonly n: number
  readonly dimension: number
  readonly distance: Distance
  readonly index: 'hnsw' | 'ivfflat' | 'none'
  /** The index holds 16-bit floats. */
  readonly half: boolean
  /** Documents when IVFFlat's index was made; 0 where there is none yet. */
  readonly listed: number
}

interface StoredRow extends SettingsRow {
  readonly n: number
  readonly kind: Stored['index']
  readonly half: number
  readonly listed: number
}

export function pgvectorSchema(dialect: SqlDialect, prefix: string): SqlSchema {
  const { types } = dialect
  const up = [
    CREATE_EXTENSION,
    `CREATE TABLE ${dialect.table(`${prefix}collections`)} (
      n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, workspace ${types.key} NOT NULL, name ${types.key} NOT NULL,
      dimension ${types.integer} NOT NULL, distance text NOT NULL, fields text NOT NULL,
      kind text NOT NULL, half ${types.boolean} NOT NULL, listed ${types.integer} NOT NULL DEFAULT 0,
      UNIQUE (workspace, name))`,
  ]
  return { prefix, component: 'knowledge', migrations: [{ version: 1, up }] }
}

/** The kind of index that a new collection gets: what its dimension and the server allow of what was asked for. */
export function indexFor(
  { dimension }: Pick<CollectionRecord, 'dimension'>,
  { index = 'hnsw', type = 'vector' }: IndexOptions,
): Pick<Stored, 'index' | 'half'> {
  if (index === 'none' || dimension > MAX_INDEXED.halfvec || dimension < LEAST_DIMENSION[index])
    return { index: 'none', half: false }
  return { index, half: type === 'halfvec' || dimension > MAX_INDEXED.vector }
}

export class PgvectorCollections {
  readonly #dialect: SqlDialect
  readonly #prefix: string
  readonly #table: string
  readonly #vectors: VectorExtension
  readonly #options: IndexOptions
  readonly #found: string

  constructor(dialect: SqlDialect, prefix: string, vectors: VectorExtension, options: IndexOptions) {
    this.#dialect = dialect
    this.#prefix = prefix
    this.#table = dialect.table(`${prefix}collections`)
    this.#vectors = vectors
    this.#options = options
    this.#found = `SELECT n, name, dimension, distance, fields, kind, half, listed FROM ${this.#table} WHERE workspace = ?`
  }

  /** The table of all collections. */
  get table(): string {
    return this.#table
  }

  *find(workspace: string, name: string): Script<Found | undefined> {
    const found = yield* rowAlone<StoredRow>(`${this.#found} AND name = ?`, workspace, name)
    return found && toFound(found)
  }

  get list(): { readonly sql: string; read(row: unknown): CollectionRecord } {
    return { sql: `${this.#found} ORDER BY name`, read: (found) => toCollectionRecord(found as StoredRow) }
  }

  /** Makes a collection and its table, or finds one of the same settings. Who comes second waits for the first one. */
  *create(workspace: string, wanted: CollectionRecord): Script<void> {
    for (;;) {
      const existing: Found | undefined = yield* this.find(workspace, wanted.name)
      if (existing !== undefined) checkSameSettings(existing.record, wanted)
      if (existing !== undefined || (yield* this.#make(workspace, wanted))) return
    }
  }

  *remove(workspace: string, name: string): Script<boolean> {
    const removed = yield* row<{ n: number }>(
      `DELETE FROM ${this.#table} WHERE workspace = ? AND name = ? RETURNING n`,
      workspace,
      name,
    )
    if (removed === undefined) return false
    yield* changes(`DROP TABLE IF EXISTS ${this.documents(removed)}`)
    return true
  }

  /** The table of a collection's documents, quoted. */
  documents({ n }: Pick<Stored, 'n'>): string {
    return this.#dialect.table(this.#nameOf(n))
  }

  /** How the index sees a vector, so that a query must say the same to be answered by it. */
  indexed({ dimension, distance, half }: Stored, vector: string): string {
    if (!half) return vector
    // Any length becomes 1, so that none is too large for 16 bits, or too small.
    const whole = distance === 'cosine' ? this.#vectors.call('l2_normalize', vector) : vector
    return `(${whole}::${this.#vectors.type('halfvec', dimension)})`
  }

  /** Makes IVFFlat's index, or makes it anew, where there are enough more documents than before. */
  *relist(stored: Stored): Script<void> {
    const found = yield* row<{ listed: number }>(`SELECT listed FROM ${this.#table} WHERE n = ? FOR UPDATE`, stored.n)
    if (found === undefined) return
    const counted = yield* row<{ documents: number }>(`SELECT count(*) AS documents FROM ${this.documents(stored)}`)
    const documents = counted?.documents ?? 0
    const { lists } = this.#options
    if (!isDueForLists(found.listed, documents, lists)) return
    yield* changes(`DROP INDEX IF EXISTS ${this.#dialect.table(this.#indexOf(stored.n))}`)
    yield* changes(this.#createIndex(stored, { lists: lists ?? listsFor(documents) }))
    yield* changes(`UPDATE ${this.#table} SET listed = ? WHERE n = ?`, documents, stored.n)
  }

  *#make(workspace: string, wanted: CollectionRecord): Script<boolean> {
    const { name, dimension, distance, fields } = wanted
    const { index, half } = indexFor(wanted, this.#options)
    const made = yield* row<{ n: number }>(
      `INSERT INTO ${this.#table} (workspace, name, dimension, distance, fields, kind, half) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (workspace, name) DO NOTHING RETURNING n`,
      workspace,
      name,
      dimension,
      distance,
      JSON.stringify(fields),
      index,
      half ? 1 : 0,
    )
    if (made === undefined) return false
    for (const sql of this.#createTable({ n: made.n, dimension, distance, index, half, listed: 0 })) yield* changes(sql)
    return true
  }

  #createTable(stored: Stored): string[] {
    const { types, quote } = this.#dialect
    const table = this.documents(stored)
    const statements = [
      // What filters read comes before what is large, which lies apart from the rows.
      `CREATE TABLE ${table} (
        id ${types.key} PRIMARY KEY, created_at ${types.integer} NOT NULL, content_hash text NOT NULL, escaped ${types.boolean} NOT NULL,
        filterable jsonb NOT NULL, metadata text NOT NULL, content text NOT NULL,
        embedding ${this.#vectors.type('vector', stored.dimension)} NOT NULL, original bytea)`,
      `CREATE INDEX ${quote(`${this.#nameOf(stored.n)}_filterable`)} ON ${table} USING gin (filterable jsonb_path_ops)`,
    ]
    if (stored.index !== 'hnsw') return statements
    const { m = DEFAULT_M, efConstruction = Math.max(DEFAULT_EF_CONSTRUCTION, 2 * m) } = this.#options
    return [...statements, this.#createIndex(stored, { m, ef_construction: efConstruction })]
  }

  #createIndex(stored: Stored, parameters: Readonly<Record<string, number>>): string {
    const opclass = this.#vectors.opclass(stored.half ? 'halfvec' : 'vector', stored.distance)
    const list = Object.entries(parameters).map(([name, value]) => `${name} = ${value}`)
    return `CREATE INDEX ${this.#dialect.quote(this.#indexOf(stored.n))} ON ${this.documents(stored)}
      USING ${stored.index} (${this.indexed(stored, 'embedding')} ${opclass}) WITH (${list.join(', ')})`
  }

  #nameOf(n: number): string {
    return `${this.#prefix}vec_${n}`
  }

  #indexOf(n: number): string {
    return `${this.#nameOf(n)}_embedding`
  }
}

export interface Found {
  readonly record: CollectionRecord
  readonly stored: Stored
}

function toFound(found: StoredRow): Found {
  const { n, dimension, distance, kind, half, listed } = found
  return { record: toCollectionRecord(found), stored: { n, dimension, distance, index: kind, half: half !== 0, listed } }
}

function isDueForLists(listed: number, documents: number, lists = LEAST_LISTED): boolean {
  if (documents < Math.min(lists, LEAST_LISTED)) return false
  return listed === 0 || (documents >= listed * GROWTH && documents <= MOST_LISTED)
}

/** As pgvector recommends, for the documents that may come until the index is made anew. */
function listsFor(documents: number): number {
  const expected = documents * (documents >= MOST_LISTED ? 1 : GROWTH / 2)
  return Math.max(10, Math.round(expected <= 1_000_000 ? expected / 1_000 : Math.sqrt(expected)))
}
