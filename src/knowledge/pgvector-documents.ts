/** The statements over the documents of one collection. Each is a transaction by itself: one round trip. */
import { changes, changesAlone, rowAlone, type Script, type SqlValue } from '../engines/sql.ts'
import { fromBlob, toBlob } from './blob.ts'
import type { DocumentRecord, ListRecordQuery } from './contract.ts'
import type { FilterNode } from './filter.ts'
import type { PgvectorCollections, Stored } from './pgvector-collections.ts'
import type { VectorExtension } from './pgvector-extension.ts'
import { filterable, toJsonPath } from './pgvector-filter.ts'
import { comparable, decodeVector, encodeVectors } from './pgvector-vectors.ts'
import { parseMetadata } from './records.ts'

/** Documents and bytes of one statement. */
const MAX_DOCUMENTS = 2_000
const MAX_BYTES = 16_000_000

/** Of a table called `t`. */
export const COLUMNS = ['id', 'created_at', 'content_hash', 'escaped', 'metadata', 'content']
  .map((name) => `t.${name}`)
  .join(', ')

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

/** A statement with its values, of which those of a part follow those of the parts before it. */
export interface Sql {
  readonly sql: string
  readonly values: readonly SqlValue[]
}

export class PgvectorDocuments {
  readonly #collections: PgvectorCollections
  readonly #vectors: VectorExtension

  constructor(collections: PgvectorCollections, vectors: VectorExtension) {
    this.#collections = collections
    this.#vectors = vectors
  }

  /** One statement where the batch is small enough, else one transaction. */
  *write(stored: Stored, documents: readonly DocumentRecord[], mode: 'insert' | 'upsert'): Script<void> {
    const sql = this.#insert(stored, mode)
    const batches = batchesOf(documents)
    for (const batch of batches) {
      const vectors = batch.map(({ embedding }) => comparable(embedding!, stored.distance))
      const values = [
        JSON.stringify(batch.map((document, i) => toJson(document, vectors[i]!))),
        encodeVectors(vectors, this.#vectors.oid),
      ]
      yield* batches.length === 1 ? changesAlone(sql, ...values) : changes(sql, ...values)
    }
  }

  /** One of the ids that exists. */
  *taken(stored: Stored, ids: readonly string[]): Script<string | undefined> {
    const found = yield* rowAlone<{ id: string }>(
      `SELECT id FROM ${this.#table(stored)} WHERE ${IS_LISTED} LIMIT 1`,
      JSON.stringify(ids),
    )
    return found?.id
  }

  get(stored: Stored, ids: readonly string[], withEmbeddings: boolean): Sql {
    return {
      sql: `SELECT ${this.#columns(withEmbeddings)} FROM ${this.#table(stored)} WHERE ${IS_LISTED}`,
      values: [JSON.stringify(ids)],
    }
  }

  delete(stored: Stored, selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode }): Script<number> {
    const { sql, values } =
      'ids' in selection ? { sql: IS_LISTED, values: [JSON.stringify(selection.ids)] } : where(selection.filter)
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

  #insert(stored: Stored, mode: 'insert' | 'upsert'): string {
    const given = `json_to_recordset(?::json) AS (id text, created_at bigint, content_hash text, escaped smallint, filterable jsonb, metadata text,
      content text, original text)`
    const names = ['id', 'created_at', 'content_hash', 'escaped', 'filterable', 'metadata', 'content', 'embedding', 'original']
    const values = names.map((name) => (name === 'original' ? `decode(d.original, 'base64')` : `d.${name}`))
    const taken = `ON CONFLICT (id) DO UPDATE SET ${names
      .slice(1)
      .map((name) => `${name} = excluded.${name}`)
      .join(', ')}`
    return `INSERT INTO ${this.#collections.documents(stored)} (${names.join(', ')}) SELECT ${values.join(', ')}
      FROM ROWS FROM (${given}, unnest(?::${this.#vectors.type('vector')}[]))
        AS d (id, created_at, content_hash, escaped, filterable, metadata, content, original, embedding)
      ${mode === 'upsert' ? taken : ''}`
  }

  #columns(withEmbeddings: boolean): string {
    return withEmbeddings ? `${COLUMNS}, ${this.#vectors.call('vector_send', 't.embedding')} AS embedding, t.original` : COLUMNS
  }

  #table(stored: Stored): string {
    return `${this.#collections.documents(stored)} t`
  }
}

const IS_LISTED = 't.id = ANY (ARRAY (SELECT json_array_elements_text(?::json)))'

/** A filter as a condition on `t`. */
export function where(filter: FilterNode | undefined): Sql {
  if (isEverything(filter)) return { sql: 'TRUE', values: [] }
  return { sql: 't.filterable @@ ?::jsonpath', values: [toJsonPath(filter)] }
}

export function isEverything(filter: FilterNode | undefined): filter is undefined {
  return filter === undefined || (filter.op === 'and' && filter.nodes.length === 0)
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

function embeddingOf({ embedding, original }: DocumentRow): Float32Array | undefined {
  if (original !== undefined && original !== null) return fromBlob(original)
  return embedding === undefined || embedding === null ? undefined : decodeVector(embedding)
}
