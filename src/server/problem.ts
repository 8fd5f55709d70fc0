/** Errors as `application/problem+json` (RFC 9457), with our codes. */
import { isHoldfastError, redact, type ErrorCode, type HoldfastError, type Kind, type Outcome } from '../index.ts'

export interface Problem {
  /** A URI that names the code. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly outcome?: Outcome | undefined
  readonly kind?: Kind | undefined
  readonly backend?: string | undefined
  readonly requestId: string
}

export const PROBLEM_TYPE = 'application/problem+json'

const STATUS: Readonly<Record<ErrorCode, number>> = {
  UNKNOWN_BACKEND: 500,
  BACKEND_EXISTS: 409,
  INVALID_BACKEND: 500,
  MISSING_CLIENT: 500,
  INVALID_OPTIONS: 400,
  INVALID_ARGUMENT: 400,
  NOT_FOUND: 404,
  CONFLICT: 409,
  QUOTA_EXCEEDED: 413,
  PERMISSION_DENIED: 403,
  UNAUTHORIZED: 401,
  RATE_LIMITED: 429,
  VALUE_TOO_LARGE: 413,
  UNSUPPORTED: 501,
  UNAVAILABLE: 503,
  TIMEOUT: 504,
  ABORTED: 499,
  CORRUPT: 500,
  DECRYPTION_FAILED: 500,
  STORE_CLOSED: 503,
}

/** What the server itself refuses, before anything is written. */
export class HttpProblem extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, detail: string, status: number = STATUS[code], headers: Readonly<Record<string, string>> = {}) {
    super(detail)
    this.code = code
    this.status = status
    this.headers = headers
  }
}

/**
 * What a caller is told. The message of what we did not throw ourselves may hold a path, a statement or worse: it stays here, and the
 * request id leads to it in the log.
 */
export function toProblem(error: unknown, requestId: string, isGone = false): Problem {
  if (isGone) return problem('ABORTED', STATUS.ABORTED, 'the caller hung up', requestId)
  if (error instanceof HttpProblem) {
    return { ...problem(error.code, error.status, error.message, requestId), outcome: 'not-applied' }
  }
  if (!isHoldfastError(error)) return problem('UNAVAILABLE', 500, 'the server failed; its log says why', requestId)
  const { kind, backend, outcome } = error
  const code = codeOf(error)
  return { ...problem(code, STATUS[code], detailOf(error, code), requestId), outcome, kind, backend }
}

/** Headers that say the same for programs that know no problem documents. */
export function problemHeaders(error: unknown, { status }: Problem): Record<string, string> {
  const own = error instanceof HttpProblem ? error.headers : {}
  if (status === 429) return { 'retry-after': '1', ...own }
  return status === 401 ? { 'www-authenticate': 'Bearer', ...own } : own
}

/** True for what the caller did, as opposed to what went wrong here. */
export function isRefusal(error: unknown, { status }: Problem): boolean {
  return error instanceof HttpProblem || status < 500 || status === 501
}

function problem(code: ErrorCode, status: number, detail: string, requestId: string): Problem {
  return { type: `urn:holdfast:error:${code}`, title: TITLES[status] ?? 'Error', status, code, detail, requestId }
}

/** What is between this server and its engine is nothing that a caller could mend. */
const OWN_AFFAIRS: ReadonlySet<ErrorCode> = new Set([
  'UNKNOWN_BACKEND',
  'INVALID_BACKEND',
  'MISSING_CLIENT',
  'INVALID_OPTIONS',
  'UNAUTHORIZED',
  'PERMISSION_DENIED',
  'STORE_CLOSED',
])

/** In the stores' own words, which all other backends use too. Other things that are missing are tables, buckets, indexes. */
const MISSING_DATA = /^(?:there is no (?:session|collection|such)|session) /

function codeOf(error: HoldfastError): ErrorCode {
  // What no store has thrown is about the caller: a token, and what it allows.
  if (error.backend === undefined) return error.code
  const isOwn = OWN_AFFAIRS.has(error.code) || (error.code === 'NOT_FOUND' && !MISSING_DATA.test(error.message))
  return isOwn ? 'UNAVAILABLE' : error.code
}

/** Codes under which the stores speak of what the caller gave. */
const OWN_WORDS: ReadonlySet<ErrorCode> = new Set([
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'CONFLICT',
  'QUOTA_EXCEEDED',
  'VALUE_TOO_LARGE',
  'UNSUPPORTED',
])

const MAX_DETAIL = 1_000
/** Outside of quotes, where ids and keys stand. */
const FILE_PATH = /(?<=^|[\s(=:])(?:\/[^\s"'`():/]+){2,}\/?/g

function detailOf(error: HoldfastError, code: ErrorCode): string {
  const isOwn = error.backend === undefined || (OWN_WORDS.has(code) && !quotesItsCause(error))
  if (!isOwn) return DETAILS[code] ?? 'the engine behind the store refused it'
  return redact(error.message).replace(FILE_PATH, '…').slice(0, MAX_DETAIL)
}

/** An engine's own words: addresses, paths, statements. */
function quotesItsCause({ cause, message }: HoldfastError): boolean {
  return cause instanceof Error && message.includes(cause.message)
}

const DETAILS: Readonly<Partial<Record<ErrorCode, string>>> = {
  UNAVAILABLE: 'the engine behind the store does not answer, or not as it should',
  TIMEOUT: 'the engine behind the store did not answer in time',
  RATE_LIMITED: 'the engine behind the store asks for fewer calls',
  VALUE_TOO_LARGE: 'a value is larger than the engine behind the store takes',
  CONFLICT: 'it contradicts what is stored',
  UNSUPPORTED: 'the engine behind the store cannot do that',
  CORRUPT: 'what is stored there cannot be read',
  DECRYPTION_FAILED: 'what is stored there cannot be decrypted',
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}
