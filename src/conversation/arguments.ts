/** The checks of what callers ask a conversation store for. */
import type { CallOptions } from '../store/contract.ts'
import { decodeCursor, encodeCursor } from '../store/cursor.ts'
import { checkId, checkInteger, checkText, invalid, nearest, typeName } from '../store/text.ts'
import type {
  MessageQuery,
  MessageRecordQuery,
  MessageRecordSearch,
  MessageSearch,
  SessionQuery,
  SessionRecordQuery,
} from './contract.ts'
import type { MetadataQuery } from './metadata.ts'
import { searchTerms } from './search.ts'

const MAX_PAGE = 1000
const DEFAULT_PAGE = 100
const DEFAULT_HITS = 20
/** Metadata fields that one listing may name. */
const MAX_METADATA_FIELDS = 32
/** UTF-8 bytes of a string that a listing compares metadata with. */
const MAX_METADATA_BYTES = 65_536

const CALL_OPTIONS = ['signal', 'timeoutMs'] satisfies (keyof CallOptions)[]
const SESSION_QUERY = ['userId', 'agentId', 'metadata', 'limit', 'cursor', 'order', ...CALL_OPTIONS]
const MESSAGE_SEARCH = ['text', 'userId', 'sessionId', 'limit', ...CALL_OPTIONS]
const PRUNE = ['olderThan', 'userId', ...CALL_OPTIONS]

/** The query of one page; `limit` counts what the caller wants. */
export function sessionQuery(query: SessionQuery): SessionRecordQuery {
  checkNames(query, SESSION_QUERY, 'listSessions')
  const order = checkOrder(query.order, 'desc')
  return {
    userId: optionalId(query.userId, 'userId'),
    agentId: optionalId(query.agentId, 'agentId'),
    metadata: query.metadata === undefined ? undefined : metadataQuery(query.metadata),
    order,
    limit: checkInteger(query.limit, 'limit', { min: 1, max: MAX_PAGE }, DEFAULT_PAGE),
    after: query.cursor === undefined ? undefined : sessionPosition(query.cursor, order),
  }
}

export function sessionCursor(order: 'asc' | 'desc', last: { readonly updatedAt: number; readonly id: string }): string {
  return encodeCursor(`sessions:${order}`, [last.updatedAt, last.id])
}

/** What to read of a session; with a `limit` and no `after` it reads backwards from the newest. */
export function messageQuery(query: MessageQuery): MessageRecordQuery {
  const after = optionalSeq(query.after, 'after')
  const before = optionalSeq(query.before, 'before')
  const limit = query.limit === undefined ? undefined : checkInteger(query.limit, 'limit', { min: 1 }, 1)
  return { after, before, limit, order: limit !== undefined && after === undefined ? 'desc' : 'asc' }
}

export function messageOrder(query: MessageQuery): 'asc' | 'desc' {
  return checkOrder(query.order, 'asc')
}

export function messageSearch(search: MessageSearch): MessageRecordSearch {
  checkNames(search, MESSAGE_SEARCH, 'searchMessages')
  return {
    terms: searchTerms(search.text),
    userId: optionalId(search.userId, 'userId'),
    sessionId: optionalId(search.sessionId, 'sessionId'),
    limit: checkInteger(search.limit, 'limit', { min: 1, max: MAX_PAGE }, DEFAULT_HITS),
  }
}

/** A misspelt name here would delete more than was meant. */
export function checkPrune(query: object): void {
  checkNames(query, PRUNE, 'pruneSessions')
}

export function messageIds(ids: unknown): string[] {
  if (!Array.isArray(ids)) throw new TypeError(`ids must be an array, not ${typeName(ids)}`)
  return [...new Set(ids.map((id, i) => checkId(id, `ids[${i}]`)))]
}

export function optionalId(value: unknown, what: string): string | undefined {
  return value === undefined ? undefined : checkId(value, what)
}

export function optionalSeq(value: unknown, what: string): number | undefined {
  return value === undefined ? undefined : checkInteger(value, what, { min: 0 }, 0)
}

function sessionPosition(cursor: unknown, order: 'asc' | 'desc'): { updatedAt: number; id: string } {
  const [updatedAt, id] = decodeCursor(`sessions:${order}`, cursor, ['number', 'string'])
  return { updatedAt: checkInteger(updatedAt, 'cursor', { min: Number.MIN_SAFE_INTEGER }, 0), id: checkId(id, 'cursor') }
}

function metadataQuery(query: unknown): MetadataQuery {
  if (typeof query !== 'object' || query === null || Array.isArray(query)) {
    throw new TypeError(`metadata must be an object, not ${typeName(query)}`)
  }
  const fields = Object.entries(query)
  if (fields.length > MAX_METADATA_FIELDS) throw invalid(`metadata may name ${MAX_METADATA_FIELDS} fields at most`)
  for (const [name, value] of fields) checkMetadataField(name, value)
  return Object.fromEntries(fields)
}

/** A condition that cannot be asked is refused: leaving it out would answer with more than was asked for. */
function checkMetadataField(name: string, value: unknown): void {
  checkText(name, 'a metadata field', MAX_METADATA_BYTES)
  if (value === null || typeof value === 'boolean' || Number.isFinite(value)) return
  if (typeof value !== 'string') {
    throw invalid(`metadata.${name} must be a string, a finite number, a boolean or null, not ${typeName(value)}`)
  }
  checkText(value, `metadata.${name}`, MAX_METADATA_BYTES)
}

function checkOrder(value: unknown, fallback: 'asc' | 'desc'): 'asc' | 'desc' {
  if (value === undefined) return fallback
  if (value !== 'asc' && value !== 'desc') throw invalid('order must be "asc" or "desc"')
  return value
}

function checkNames(given: unknown, known: readonly string[], what: string): void {
  if (typeof given !== 'object' || given === null)
    throw new TypeError(`the query of ${what} must be an object, not ${typeName(given)}`)
  const wrong = Object.keys(given).find((name) => !known.includes(name))
  if (wrong === undefined) return
  const near = nearest(wrong, known)
  throw invalid(`${what} has no "${wrong}"${near === undefined ? ` (known: ${known.join(', ')})` : `: did you mean "${near}"?`}`)
}
