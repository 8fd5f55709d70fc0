/** Between what callers see and what backends store: checks on the way in, copies on the way out. */
import { HoldfastError } from '../errors.ts'
import type { JsonObject, Limits } from '../store/contract.ts'
import { isPlainObject, jsonEquals, objectToJson, parseJsonObject } from '../store/json.ts'
import { byteLength, randomUUID } from '../store/platform.ts'
import { checkDate, checkId, checkInteger, compareBytes, decodeText, encodeText, invalid, typeName } from '../store/text.ts'
import type {
  Collection,
  CollectionRecord,
  Distance,
  Document,
  DocumentRecord,
  FieldType,
  FilterCapabilities,
  Hit,
  HitRecord,
} from './contract.ts'
import { checkField, valuesAt } from './filter.ts'
import { dot, score } from './score.ts'

const DISTANCES: readonly unknown[] = ['cosine', 'euclidean', 'dot'] satisfies Distance[]
const FIELD_TYPES: readonly unknown[] = ['string', 'number', 'boolean'] satisfies FieldType[]

/** A checked document, which still lacks the hash of its content, and may lack its embedding. */
export interface Draft {
  readonly record: Omit<DocumentRecord, 'contentHash'>
  /** The content as it was given. */
  readonly text: string
}

// ── Collections ─────────────────────────────────────────────────────────────────────────────────────────────────────

export function toCollectionRecord(name: string, options: unknown, limits: Limits): CollectionRecord {
  if (!isPlainObject(options)) throw new TypeError(`options of the collection must be an object, not ${typeName(options)}`)
  if (options.dimension === undefined) throw invalid('dimension is missing: how many numbers an embedding has')
  const dimension = checkInteger(options.dimension, 'dimension', { min: 1 }, 0)
  if (dimension > (limits.dimension ?? Infinity)) throw tooLarge(`dimension ${dimension}`, 'dimension', limits.dimension)
  const distance = options.distance ?? 'cosine'
  if (!DISTANCES.includes(distance)) throw invalid(`distance must be one of ${DISTANCES.join(', ')}`)
  return { name, dimension, distance: distance as Distance, fields: checkFields(options.fields ?? {}) }
}

function checkFields(fields: unknown): Record<string, FieldType> {
  if (!isPlainObject(fields)) throw new TypeError(`fields must be an object of names and types, not ${typeName(fields)}`)
  for (const [name, type] of Object.entries(fields)) {
    checkField(name, `fields.${name}`)
    if (!FIELD_TYPES.includes(type)) throw invalid(`fields.${name} must be one of ${FIELD_TYPES.join(', ')}`)
  }
  return copyFields(fields as Record<string, FieldType>)
}

export function toCollection({ name, dimension, distance, fields }: CollectionRecord): Collection {
  return { name, dimension, distance, fields: copyFields(fields) }
}

/** Not by spreading or assignment: a field may be called `__proto__`. */
function copyFields(fields: Readonly<Record<string, FieldType>>): Record<string, FieldType> {
  return Object.fromEntries(Object.entries(fields))
}

// ── Documents ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Checks all that can be checked without the collection, mints ids and copies, so that nothing the caller does later matters. */
export function toDrafts(documents: unknown, limits: Limits): Draft[] {
  if (!Array.isArray(documents)) throw new TypeError(`documents must be an array, not ${typeName(documents)}`)
  const now = Date.now()
  const drafts = Array.from<unknown, Draft>(documents, (document, i) => toDraft(document, `documents[${i}]`, now, limits))
  const seen = new Set<string>()
  for (const { record } of drafts) {
    if (seen.has(record.id)) throw invalid(`documents: the id ${JSON.stringify(record.id)} is there twice`)
    seen.add(record.id)
  }
  return drafts
}

function toDraft(document: unknown, path: string, now: number, limits: Limits): Draft {
  if (typeof document !== 'object' || document === null)
    throw new TypeError(`${path} must be an object, not ${typeName(document)}`)
  const given: { readonly [K in keyof Document]?: unknown } = document
  const { content } = given
  if (typeof content !== 'string') throw new TypeError(`${path}.content must be a string, not ${typeName(content)}`)
  const metadata = given.metadata === undefined ? '{}' : objectToJson(given.metadata, `${path}.metadata`)
  const { text, escaped } = encodeText(content)
  checkSize(text, limits, 'contentBytes', `${path}.content`)
  checkSize(metadata, limits, 'jsonBytes', `${path}.metadata`)
  const record: Draft['record'] = {
    id: given.id === undefined ? randomUUID() : checkId(given.id, `${path}.id`),
    content: text,
    escaped,
    metadata,
    createdAt: given.createdAt === undefined ? now : checkDate(given.createdAt, `${path}.createdAt`),
    embedding: given.embedding === undefined ? undefined : toFloats(given.embedding, `${path}.embedding`),
  }
  return { record, text: content }
}

function checkSize(text: string, limits: Limits, name: 'contentBytes' | 'jsonBytes', path: string): void {
  const limit = limits[name]
  // A UTF-16 unit is at most 3 bytes of UTF-8, so short text needs no count.
  if (limit === undefined || text.length * 3 <= limit) return
  const bytes = byteLength(text)
  if (bytes > limit) throw tooLarge(`${path} of ${bytes} bytes`, name, limit)
}

export function tooLarge(what: string, limit: keyof Limits, value: number | undefined): HoldfastError {
  return new HoldfastError('VALUE_TOO_LARGE', `${what} exceeds limits.${limit}, which is ${value}`, { outcome: 'not-applied' })
}

/** Checks documents, all of which have embeddings by now, against their collection. */
export function checkRecords(records: readonly DocumentRecord[], collection: CollectionRecord, filter: FilterCapabilities): void {
  const fields = Object.entries(collection.fields)
  for (const [i, { embedding, metadata }] of records.entries()) {
    checkVector(embedding!, collection, `documents[${i}].embedding`)
    if (fields.length > 0) checkFieldTypes(metadata, fields, filter, `documents[${i}].metadata`)
  }
}

/** A declared field may be missing or null, and an array of its type where the backend filters by elements. */
function checkFieldTypes(json: string, fields: readonly [string, FieldType][], filter: FilterCapabilities, path: string): void {
  const metadata = parseJsonObject(json, path)
  for (const [name, type] of fields) {
    const found = valuesAt(metadata, name.split('.'))
    const values = filter.arrays ? found.flat() : found
    const wrong = values.find((value) => value !== null && typeof value !== type)
    if (wrong !== undefined)
      throw invalid(`${path}.${name} must be a ${type}, as the collection declares, not ${typeName(wrong)}`)
  }
}

/** A copy as 32-bit floats. Anything but an array or Float32Array of numbers is a TypeError; each must be finite as a 32-bit float. */
export function toFloats(embedding: unknown, what: string): Float32Array {
  if (!Array.isArray(embedding) && !(embedding instanceof Float32Array)) {
    throw new TypeError(`${what} must be an array of numbers or a Float32Array, not ${typeName(embedding)}`)
  }
  const given: ArrayLike<unknown> = embedding
  const floats = new Float32Array(given.length)
  for (let i = 0; i < given.length; i++) {
    const value = given[i]
    if (typeof value !== 'number') throw new TypeError(`${what}[${i}] must be a number, not ${typeName(value)}`)
    floats[i] = value
    if (!Number.isFinite(floats[i])) {
      throw invalid(`${what}[${i}] is ${value}, which is no finite 32-bit float`)
    }
  }
  return floats
}

/** The dimension must be the collection's, and under cosine the vector must have a direction. */
export function checkVector(vector: Float32Array, { name, dimension, distance }: CollectionRecord, what: string): void {
  if (vector.length !== dimension) {
    throw invalid(`${what} has ${vector.length} numbers; the collection ${JSON.stringify(name)} has dimension ${dimension}`)
  }
  if (distance === 'cosine' && dot(vector, vector, 0) === 0) {
    throw invalid(`${what} is zero in every 32-bit float, and so has no direction, which cosine needs`)
  }
}

export function toDocument(record: DocumentRecord, withEmbedding: boolean): Document {
  const { id, contentHash } = record
  const document: Document = {
    id,
    content: decodeText(record.content, record.escaped),
    metadata: parseMetadata(record),
    contentHash,
    createdAt: new Date(record.createdAt),
  }
  if (withEmbedding && record.embedding !== undefined) document.embedding = record.embedding
  return document
}

/** Scores those that the backend did not score, puts the best first, and drops those below `minScore`. */
export function toHits(
  found: readonly HitRecord[],
  query: Float32Array,
  { distance }: CollectionRecord,
  { minScore, withEmbeddings }: { readonly minScore: number; readonly withEmbeddings: boolean },
): Hit[] {
  return found
    .map((record) => ({ record, score: record.score ?? score(distance, query, embeddingOf(record)) }))
    .filter((hit) => hit.score >= minScore)
    .toSorted((a, b) => b.score - a.score || compareBytes(a.record.id, b.record.id))
    .map((hit) => Object.assign(toDocument(hit.record, withEmbeddings), { score: hit.score }))
}

function embeddingOf({ embedding }: HitRecord): Float32Array {
  if (embedding !== undefined) return embedding
  throw new HoldfastError('INVALID_BACKEND', 'search gave a hit with neither a score nor an embedding')
}

export function parseMetadata({ id, metadata }: Pick<DocumentRecord, 'id' | 'metadata'>): JsonObject {
  return parseJsonObject(metadata, `the metadata of document ${JSON.stringify(id)}`)
}

/** True where a stored document is the one that was sent. */
export function isSameDocument(stored: DocumentRecord, sent: DocumentRecord): boolean {
  if (stored.contentHash !== sent.contentHash || stored.createdAt !== sent.createdAt) return false
  return sameFloats(stored.embedding, sent.embedding) && jsonEquals(parseMetadata(stored), parseMetadata(sent))
}

function sameFloats(a: Float32Array | undefined, b: Float32Array | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((value, i) => value === b[i])
}
