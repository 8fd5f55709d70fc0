/**
 * Searches in one collection, as one statement: by an index, where there is one, and by reading all that match, where that gives too few. So there are
 * as many hits as there should be, all as of one moment.
 */
import { rows, type Script } from '../engines/sql.ts'
import type { HitRecord, SearchRecordQuery } from './contract.ts'
import type { PgvectorCollections, Stored } from './pgvector-collections.ts'
import { COLUMNS, isEverything, toDocumentRecord, where, type DocumentRow, type Sql } from './pgvector-documents.ts'
import type { VectorExtension } from './pgvector-extension.ts'
import { comparable, encodeVector, GREATEST_PRODUCT, scoreOf } from './pgvector-vectors.ts'
import { norm } from './score.ts'

export interface HitRow extends DocumentRow {
  readonly between: number
}

/** How far searches by an index look. */
export interface SearchOptions {
  /** HNSW: candidates kept while searching, at least the limit. Default 100. */
  readonly efSearch?: number | undefined
  /** IVFFlat: lists looked at before others are tried. Default 10. */
  readonly probes?: number | undefined
}

const DEFAULT_EF_SEARCH = 100
const DEFAULT_PROBES = 10
/** pgvector's bounds. */
const MAX_EF_SEARCH = 1_000
const MAX_PROBES = 32_768
/** Rows that a scan by HNSW looks at before it gives up, pgvector's default at least. */
const LEAST_SCANNED = 20_000
/** Neighbours by 16-bit floats are compared anew by 32-bit ones: so many times more are looked at, and at least so many more. */
const SPARE = 1.25
const LEAST_SPARE = 10
/** What passes a filter comes piece by piece, the nearest not always first: so many times more are looked at. */
const FILTERED_SPARE = 3

const QUERY = '(SELECT vector FROM query)'
export class PgvectorSearch {
  readonly #collections: PgvectorCollections
  readonly #vectors: VectorExtension
  readonly #options: SearchOptions

  constructor(collections: PgvectorCollections, vectors: VectorExtension, options: SearchOptions) {
    this.#collections = collections
    this.#vectors = vectors
    this.#options = options
  }

  /** The best documents, with their distances. */
  search(stored: Stored, query: SearchRecordQuery): Sql {
    const vector = comparable(query.embedding, stored.distance)
    const parts = isIndexed(stored) && fitsIndex(stored, vector) ? this.#near(stored, query) : this.#exact(stored, query)
    const columns = `${COLUMNS}, best.between, ${this.#embedding(stored, query.withEmbeddings)}`
    return {
      sql: `WITH query AS MATERIALIZED (SELECT ?::${this.#vectors.type('vector')} AS vector), ${parts.sql}
        SELECT ${columns} FROM best JOIN ${this.#table(stored)} ON t.id = best.id ORDER BY best.between, t.id`,
      values: [
        encodeVector(vector),
        ...parts.values,
        ...(stored.distance === 'dot' && !query.withEmbeddings ? [norm(vector)] : []),
      ],
    }
  }

  /** Settings of IVFFlat have to be there before the search begins, in its transaction. */
  *searchLists(stored: Stored, query: SearchRecordQuery): Script<HitRow[]> {
    const probes = Math.min(this.#options.probes ?? DEFAULT_PROBES, MAX_PROBES)
    const { sql, values } = setting({ 'ivfflat.probes': probes, 'ivfflat.iterative_scan': 'relaxed_order' })
    yield* rows(`SELECT ${sql}`, ...values)
    const search = this.search(stored, query)
    return yield* rows<HitRow>(search.sql, ...search.values)
  }

  /** All that match, the nearest first. The sum keeps indexes out, which may leave some out. */
  #exact(stored: Stored, { filter, limit }: SearchRecordQuery, condition = 'TRUE', name = 'best'): Sql {
    const matching = where(filter)
    const distance = this.#between(stored)
    return {
      sql: `${name} AS MATERIALIZED (SELECT t.id, ${distance} AS between FROM ${this.#table(stored)} WHERE ${condition} AND ${matching.sql}
        ORDER BY (${distance}) + 0, t.id LIMIT ?)`,
      values: [...matching.values, limit],
    }
  }

  #near(stored: Stored, query: SearchRecordQuery): Sql {
    const matching = where(query.filter)
    const near = candidatesFor(stored, query)
    const settings = this.#settings(stored, near)
    const indexed = (vector: string): string => this.#collections.indexed(stored, vector)
    const exact = this.#exact(stored, query, '(SELECT count(*) FROM near) < ?', 'every')
    return {
      // What is set there holds for this transaction, and is set before the scan begins, which waits for it.
      sql: `settings AS MATERIALIZED (SELECT ${settings.sql}),
        near AS MATERIALIZED (SELECT t.id, ${this.#between(stored)} AS between FROM ${this.#table(stored)}
          WHERE (SELECT count(*) FROM settings) = 1 AND ${matching.sql}
          ORDER BY ${indexed('t.embedding')} ${this.#vectors.operator(stored.distance)} ${indexed(QUERY)} LIMIT ?),
        ${exact.sql},
        best AS MATERIALIZED (SELECT id, between FROM (
          SELECT id, between FROM near WHERE (SELECT count(*) FROM near) >= ? UNION ALL SELECT id, between FROM every) found
          ORDER BY between, id LIMIT ?)`,
      values: [...settings.values, ...matching.values, near, query.limit, ...exact.values, query.limit, query.limit],
    }
  }

  #settings(stored: Stored, limit: number): Sql {
    if (stored.index !== 'hnsw') return { sql: '1', values: [] }
    const candidates = Math.min(Math.max(this.#options.efSearch ?? DEFAULT_EF_SEARCH, limit), MAX_EF_SEARCH)
    return setting({
      'hnsw.ef_search': candidates,
      'hnsw.iterative_scan': 'relaxed_order',
      'hnsw.max_scan_tuples': Math.max(LEAST_SCANNED, 4 * limit),
    })
  }

  #between(stored: Stored): string {
    return `t.embedding ${this.#vectors.operator(stored.distance)} ${QUERY}`
  }

  /** The embedding where it is asked for, or where the store has to score, because a sum of 32-bit floats is not exact enough. */
  #embedding({ distance }: Stored, withEmbeddings: boolean): string {
    const embedding = this.#vectors.call('vector_send', 't.embedding')
    if (withEmbeddings) return `${embedding} AS embedding, t.original`
    if (distance !== 'dot') return 'NULL AS embedding'
    const length = this.#vectors.call('vector_norm', 't.embedding')
    return `CASE WHEN ${length} * ? > ${GREATEST_PRODUCT} THEN ${embedding} END AS embedding`
  }

  #table(stored: Stored): string {
    return `${this.#collections.documents(stored)} t`
  }
}

/** How many neighbours by the index the best are chosen from. */
function candidatesFor({ half }: Stored, { limit, filter }: SearchRecordQuery): number {
  const passed = isEverything(filter) ? limit : limit * FILTERED_SPARE
  return half ? Math.ceil(Math.max(passed, limit * SPARE, limit + LEAST_SPARE)) : passed
}

/** The greatest number of 16 bits. */
const MAX_HALF = 65_504

/** False where 16-bit floats cannot hold the vector. Under cosine they hold its direction, and so any. */
export function fitsIndex({ half, distance }: Stored, vector: Float32Array): boolean {
  return !half || distance === 'cosine' || vector.every((value) => Math.abs(value) <= MAX_HALF)
}

/** True where the index can be asked: IVFFlat's is made once there are documents. */
export function isIndexed({ index, listed }: Stored): boolean {
  return index === 'hnsw' || (index === 'ivfflat' && listed > 0)
}

function setting(settings: Readonly<Record<string, string | number>>): Sql {
  const entries = Object.entries(settings)
  return {
    sql: entries.map(([name]) => `set_config('${name}', ?, true)`).join(', '),
    values: entries.map(([, value]) => String(value)),
  }
}

/** Without a score where the store has to score: see `#embedding`. */
export function toHitRecord(found: HitRow, { distance }: Stored): HitRecord {
  const record = toDocumentRecord(found)
  if (distance === 'dot' && record.embedding !== undefined) return record
  return { ...record, score: scoreOf(distance, found.between) }
}
