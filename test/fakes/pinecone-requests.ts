/** What requests of the data plane may hold, and the small things that answers are made of. */
import { matcherOf } from './pinecone-filter.ts'
import type { Stored } from './pinecone-namespace.ts'
import { asObject, bad, isId, isInteger, isList, isVector, shape, type Check } from './pinecone-refusal.ts'

/** "Metadata size is 41287 bytes, which exceeds the limit of 40960 bytes per vector", as users report it. */
const MAX_METADATA_BYTES = 40_960
/** Docs, "Operation limits". */
export const [MAX_UPSERT_BYTES, MAX_RESULT_BYTES] = [2 * 1024 * 1024, 4 * 1024 * 1024]

export const isMetadata: Check = (value, path) => {
  for (const [name, item] of Object.entries(asObject(value, path))) {
    if (name.startsWith('$')) throw bad(`${path}: field names may not begin with $`)
    const fits = Array.isArray(item)
      ? item.every((one) => typeof one === 'string')
      : ['string', 'number', 'boolean'].includes(typeof item)
    if (!fits) throw bad('Metadata value must be a string, number, boolean or list of strings')
  }
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes > MAX_METADATA_BYTES)
    throw bad(`Metadata size is ${bytes} bytes, which exceeds the limit of ${MAX_METADATA_BYTES} bytes per vector`)
}

export const isVectorRecord = shape({ id: isId, values: isVector, metadata: isMetadata }, ['id', 'values'])
export const isFilter: Check = (value, path) => void matcherOf(value, false, path)
/** Spec, CreateNamespaceRequest.schema: at most 50 fields, none beginning with `$`, each filterable. */
export const isSchema: Check = (value, path) => {
  const { fields } = asObject(value, path)
  const entries = Object.entries(asObject(fields, `${path}.fields`))
  if (entries.length > 50) throw bad(`${path}.fields has more than 50 fields`)
  for (const [name, field] of entries) {
    if (name.startsWith('$')) throw bad(`${path}: field names may not begin with $`)
    if (asObject(field, name).filterable !== true)
      throw bad(`Field '${name}' is set to filterable: false. Only filterable: true is supported.`)
  }
}
export const ids = isList(isId, 1, 1_000)

export interface QueryBody {
  readonly namespace?: string
  readonly topK: number
  readonly filter?: unknown
  readonly includeValues?: boolean
  readonly includeMetadata?: boolean
  readonly vector?: number[]
  readonly id?: string
}

export function parsed(body: string): unknown {
  try {
    return JSON.parse(body) as unknown
  } catch {
    throw bad('the body is not JSON')
  }
}

export function known(query: URLSearchParams, names: readonly string[]): void {
  for (const name of query.keys()) if (!names.includes(name)) throw bad(`unknown query parameter "${name}"`)
}

export function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get('limit') ?? 100)
  isInteger(1, 100)(limit, 'limit')
  return limit
}

export function page<T>(all: readonly T[], limit: number, token: string | undefined): { items: T[]; pagination: object } {
  const from = token === undefined ? 0 : Number(Buffer.from(token, 'base64').toString())
  if (!Number.isSafeInteger(from)) throw bad('invalid pagination token')
  const next = from + limit
  const pagination = next < all.length ? { pagination: { next: Buffer.from(String(next)).toString('base64') } } : {}
  return { items: all.slice(from, next), pagination }
}

export function asMap(records: readonly Stored[]): object {
  return Object.fromEntries(records.map(({ id, values, metadata }) => [id, { id, values: [...values], metadata }]))
}

export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
