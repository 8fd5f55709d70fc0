/** The statements over the documents of one collection. Each is a transaction by itself: one round trip. */
import { changes, changesAlone, rowAlone, rows, type Script, type SqlValue } from '../engines/sql.ts'
import { toBlob, fromBlob } from './blob.ts'
import type { DocumentRecord, HitRecord, ListRecordQuery, SearchRecordQuery } from './contract.ts'
import type { FilterNode } from './filter.ts'
import type { PgvectorCollections, Stored } from './pgvector-collections.ts'
import type { VectorExtension } from './pgvector-extension.ts'
import { filterable, toJsonPath } from './pgvector-filter.ts'
import { comparable, decodeVector, encodeVector, encodeVectors, GREATEST_PRODUCT, scoreOf } from './pgvector-vectors.ts'
import { parseMetadata } from './records.ts'
import { norm } from './score.ts'

/** Documents and bytes of one statement. */
const MAX_DOCUMENTS = 2_000
const MAX_BYTES = 16_000_000

const COLUMNS = ['id', 'created_at', 'content_hash', 'escaped', 'metadata', 'content'].map((name) => `t.${name}`).join(', ')

export interface DocumentRow {
  readonly id: string
  readonly created_at: number
  readonly content_hash: string
  readonly escaped: number
  readonly metadata: string
  readonly content: string
  readonly embedding?: Uint8Array | null
  readonly original?: Uint8Array | null
}

export interface HitRow extends DocumentRow {
  readonly between: number
}

/** A statement with its values, of which those of a part follow those of the parts before it. */
interface Sql {
  readonly sql: string
  readonly values: readonly SqlValue[]
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

export class PgvectorDocuments {
  readonly #collections: PgvectorCollections
  readonly #vectors: VectorExtension
  readonly #options: SearchOptions

  constructor(collections: PgvectorCollections, vectors: VectorExtension, options: SearchOptions) {
    this.#collections = collections
    this.#vectors = vectors
    this.#options = options
  }

  /** One statement where the batch is small enough, else one transaction. */
  *write(stored: Stored, documents: readonly DocumentRecord[], mode: 'insert' | 'upsert'): Script<void> {
    const sql = this.#insert(stored, mode)
    const batches = batchesOf(documents)
    for (const batch of batches) {
      const vectors = batch.map(({ embedding }) => comparable(embedding!, stored.distance))
      const values = [JSON.stringify(batch.map((document, i) => toJson(document, vectors[i]!))), encodeVectors(vectors, this.#vectors.oid)]
      yield* batches.length === 1 ? changesAlone(sql, ...values) : changes(sql, ...values)
    }
  }

  /** One of the ids that exists. */
  *taken(stored: Stored, ids: readonly string[]): Script<string | undefined> {
    const found = yield* rowAlone<{ id: string }>(`SELECT id FROM ${this.#table(stored)} WHERE ${IS_LISTED} LIMIT 1`, JSON.stringify(ids))
    return found?.id
  }

  get(stored: Stored, ids: readonly string[], withEmbeddings: boolean): Sql {
    return { sql: `SELECT ${this.#columns(withEmbeddings)} FROM ${this.#table(stored)} WHERE ${IS_LISTED}`, values: [JSON.stringify(ids)] }
  }

  delete(stored: Stored, selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode }): Script<number> {
    const { sql, values } = 'ids' in selection ? { sql: IS_LISTED, values: [JSON.stringify(selection.ids)] } : where(selection.filter)
    return changesAlone(`DELETE FROM ${this.#table(stored)} WHERE ${sql}`, ...values)
  }

  count(stored: Stored, filter: FilterNode | undefined): Sql {
    const { sql, values } = where(filter)
    return { sql: `SELECT count(*) AS documents FROM ${this.#table(stored)} WHERE ${sql}`, values }
  }

  list(stored: Stored, { filter, after = '', limit, withEmbeddings }: ListRecordQuery): Sql {
    const { sql, values } = where(filter)
    return {
      sql: `SELECT ${this.#columns(withEmbeddings)} FROM ${this.#table(stored)} WHERE t.id > ? AND ${sql} ORDER BY t.id LIMIT ?`,
      values: [after, ...values, limit],
    }
  }

  /**
   * The best documents, with their distances. Where there is an index, its neighbours come first, and only where they are too few does the
   * statement go on to read all that match: so that there are as many as there should be, and all as of one moment.
   */
  search(stored: Stored, query: SearchRecordQuery): Sql {
    const vector = comparable(query.embedding, stored.distance)
    const parts = isIndexed(stored) && fitsIndex(stored, vector) ? this.#near(stored, query) : this.#exact(stored, query)
    const columns = `${COLUMNS}, best.between, ${this.#embedding(stored, query.withEmbeddings)}`
    return {
      sql: `WITH query AS MATERIALIZED (SELECT ?::${this.#vectors.type('vector')} AS vector), ${parts.sql}
        SELECT ${columns} FROM best JOIN ${this.#table(stored)} ON t.id = best.id ORDER BY best.between, t.id`,
      values: [encodeVector(vector), ...parts.values, ...(stored.distance === 'dot' && !query.withEmbeddings ? [norm(vector)] : [])],
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

  #insert(stored: Stored, mode: 'insert' | 'upsert'): string {
    const given = `json_to_recordset(?::json) AS (id text, created_at bigint, content_hash text, escaped smallint, filterable jsonb, metadata text,
      content text, original text)`
    const names = ['id', 'created_at', 'content_hash', 'escaped', 'filterable', 'metadata', 'content', 'embedding', 'original']
    const values = names.map((name) => (name === 'original' ? `decode(d.original, 'base64')` : `d.${name}`))
    const taken = `ON CONFLICT (id) DO UPDATE SET ${names.slice(1).map((name) => `${name} = excluded.${name}`).join(', ')}`
    return `INSERT INTO ${this.#collections.documents(stored)} (${names.join(', ')}) SELECT ${values.join(', ')}
      FROM ROWS FROM (${given}, unnest(?::${this.#vectors.type('vector')}[]))
        AS d (id, created_at, content_hash, escaped, filterable, metadata, content, original, embedding)
      ${mode === 'upsert' ? taken : ''}`
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

  #columns(withEmbeddings: boolean): string {
    return withEmbeddings ? `${COLUMNS}, ${this.#vectors.call('vector_send', 't.embedding')} AS embedding, t.original` : COLUMNS
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

const QUERY = '(SELECT vector FROM query)'
const IS_LISTED = 't.id = ANY (ARRAY (SELECT json_array_elements_text(?::json)))'

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

function where(filter: FilterNode | undefined): Sql {
  if (isEverything(filter)) return { sql: 'TRUE', values: [] }
  return { sql: 't.filterable @@ ?::jsonpath', values: [toJsonPath(filter)] }
}

function isEverything(filter: FilterNode | undefined): filter is undefined {
  return filter === undefined || (filter.op === 'and' && filter.nodes.length === 0)
}

function setting(settings: Readonly<Record<string, string | number>>): Sql {
  const entries = Object.entries(settings)
  return {
    sql: entries.map(([name]) => `set_config('${name}', ?, true)`).join(', '),
    values: entries.map(([, value]) => String(value)),
  }
}

/** In an order of ids, so that writers of the same documents wait for each other rather than both fail. */
function batchesOf(documents: readonly DocumentRecord[]): DocumentRecord[][] {
  const batches: DocumentRecord[][] = []
  let bytes = Infinity
  for (const document of documents.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const size = document.content.length + 2 * document.metadata.length + document.embedding!.byteLength
    const last = batches.at(-1)
    if (last === undefined || last.length >= MAX_DOCUMENTS || bytes + size > MAX_BYTES) {
      batches.push([document])
      bytes = size
    } else {
      last.push(document)
      bytes += size
    }
  }
  return batches
}

/** `compared` is what the server compares; where that is another vector, the document's own is kept beside it. */
function toJson(document: DocumentRecord, compared: Float32Array): Readonly<Record<string, unknown>> {
  const { id, createdAt, contentHash, escaped, metadata, content, embedding } = document
  const original = compared === embedding ? null : Buffer.from(toBlob(embedding!)).toString('base64')
  return {
    id,
    created_at: createdAt,
    content_hash: contentHash,
    escaped: escaped ? 1 : 0,
    filterable: filterable(parseMetadata(document)),
    metadata,
    content,
    original,
  }
}

export function toDocumentRecord(found: DocumentRow): DocumentRecord {
  return {
    id: found.id,
    content: found.content,
    escaped: found.escaped !== 0,
    metadata: found.metadata,
    contentHash: found.content_hash,
    createdAt: found.created_at,
    embedding: embeddingOf(found),
  }
}

/** Without a score where the store has to score: see `#embedding`. */
export function toHitRecord(found: HitRow, { distance }: Stored): HitRecord {
  const record = toDocumentRecord(found)
  if (distance === 'dot' && record.embedding !== undefined) return record
  return { ...record, score: scoreOf(distance, found.between) }
}

function embeddingOf({ embedding, original }: DocumentRow): Float32Array | undefined {
  if (original !== undefined && original !== null) return fromBlob(original)
  return embedding === undefined || embedding === null ? undefined : decodeVector(embedding)
}
