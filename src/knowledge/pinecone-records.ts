/** Between the store's records and Pinecone's. */
import {
  digest,
  type PineconeMatch,
  type PineconeMetadata,
  type PineconePlace,
  type PineconeRecord,
} from '../engines/pinecone.ts'
import { HoldfastError } from '../errors.ts'
import type { CollectionRecord, Distance, DocumentRecord } from './contract.ts'
import { filterFields } from './pinecone-fields.ts'
import { shardOf } from './pinecone-scan.ts'
import { parseMetadata } from './records.ts'

/** Where a collection's documents are, and how their vectors are written there. */
export interface CollectionPlace extends PineconePlace {
  readonly distance: Distance
  /** Numbers in a document's embedding: as many as the index has, or one fewer. */
  readonly width: number
}

/** Docs, "Metadata limits" and the engine's own refusal: "exceeds the limit of 40960 bytes per vector". */
const MAX_METADATA_BYTES = 40_960

// ── Ids ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Pinecone's ids are 1–512 characters of ASCII; ten thousand of them must fit into an answer of 4 MB. Others become digests. */
export function recordId(id: string): string {
  return /^[!-}]{1,128}$/.test(id) ? id : `~${digest(id)}`
}

// ── Vectors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The API reference of upsert: a vector whose numbers are all smaller than this is refused as zero. */
const MIN_MAGNITUDE = 1e-8

/** Nine digits name a 32-bit float, in half the text that its double takes. */
function shortened(value: number): number {
  return Number(value.toPrecision(9))
}

/** The power of two that lifts a tiny vector above what Pinecone takes for zero: cosine does not notice, and it is exact. */
function liftOf(vector: Float32Array, distance: Distance): number {
  const greatest = vector.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  return distance === 'cosine' && greatest < MIN_MAGNITUDE ? Math.ceil(-Math.log2(greatest)) : 0
}

function lifted(vector: Float32Array, lift: number): number[] {
  return Array.from(vector, (value) => shortened(value * 2 ** lift))
}

/**
 * One more number, where the index has room for it, is what lets it take zero vectors: 1 in each document. A query has 1 too where distances
 * count, which it does not change, and 0 where products do.
 */
export function queryVector(vector: Float32Array, { distance, width, dimension }: CollectionPlace): number[] {
  const values = lifted(vector, liftOf(vector, distance))
  return dimension === width ? values : [...values, distance === 'euclidean' ? 1 : 0]
}

function documentVector(id: string, vector: Float32Array, lift: number, { width, dimension }: CollectionPlace): number[] {
  const values = lifted(vector, lift)
  if (dimension > width) return [...values, 1]
  if (values.some((value) => Math.abs(value) >= MIN_MAGNITUDE)) return values
  const message = `pinecone: document ${JSON.stringify(id)} has a zero vector, which an index of ${dimension} dimensions cannot keep`
  throw new HoldfastError('UNSUPPORTED', `${message}; one of ${dimension + 1} could`, { outcome: 'not-applied' })
}

// ── Documents ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A record ready to be sent, and how many bytes it takes in a request. */
export interface SizedRecord {
  readonly record: PineconeRecord
  readonly bytes: number
}

/** `stamp` tells this write from those before it. */
export function toPineconeRecord(document: DocumentRecord, place: CollectionPlace, stamp: string): SizedRecord {
  const id = recordId(document.id)
  const embedding = document.embedding!
  const lift = liftOf(embedding, place.distance)
  const metadata: PineconeMetadata = {
    _id: id,
    ...(id === document.id ? {} : { _i: document.id }),
    _c: document.content,
    ...(document.escaped ? { _e: true } : {}),
    _m: document.metadata,
    _s: document.contentHash,
    _t: document.createdAt,
    _h: shardOf(id),
    _w: stamp,
    ...(lift === 0 ? {} : { _x: lift }),
    ...filterFields(parseMetadata(document)),
  }
  const values = documentVector(document.id, embedding, lift, place)
  const bytes = checkedBytes(metadata, `document ${JSON.stringify(document.id)}`)
  return { record: { id, values, metadata }, bytes: bytes + JSON.stringify(values).length + id.length + 100 }
}

/** Bytes of the metadata as JSON. */
export function checkedBytes(metadata: PineconeMetadata, what: string): number {
  const bytes = Buffer.byteLength(JSON.stringify(metadata))
  if (bytes <= MAX_METADATA_BYTES) return bytes
  const message = `pinecone: ${what} takes ${bytes} bytes with all that is kept for filters, more than the ${MAX_METADATA_BYTES} of a record`
  throw new HoldfastError('VALUE_TOO_LARGE', message, { outcome: 'not-applied' })
}

export function toDocumentRecord(match: PineconeMatch, { width }: CollectionPlace, withEmbedding: boolean): DocumentRecord {
  const { _i, _c, _e, _m, _s, _t, _x } = match.metadata ?? {}
  if (typeof _c !== 'string' || typeof _m !== 'string' || typeof _s !== 'string' || typeof _t !== 'number')
    throw foreign(match.id)
  return {
    id: typeof _i === 'string' ? _i : match.id,
    content: _c,
    escaped: _e === true,
    metadata: _m,
    contentHash: _s,
    createdAt: _t,
    embedding: withEmbedding ? embeddingOf(match, width, typeof _x === 'number' ? _x : 0) : undefined,
  }
}

function embeddingOf({ id, values }: PineconeMatch, width: number, lift: number): Float32Array {
  if (values === undefined || values.length < width) throw foreign(id)
  const floats = Float32Array.from(values.slice(0, width))
  return lift === 0 ? floats : floats.map((value) => value / 2 ** lift)
}

function foreign(id: string): HoldfastError {
  return new HoldfastError('CORRUPT', `pinecone: the record ${JSON.stringify(id)} was not written by this backend`)
}

/** The settings that callers see. */
export function settingsOf({ name, dimension, distance, fields }: CollectionRecord): CollectionRecord {
  return { name, dimension, distance, fields }
}
