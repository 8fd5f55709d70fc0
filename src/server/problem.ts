/** Errors as `application/problem+json` (RFC 9457), with our codes. */
import { isHoldfastError, redact, type ErrorCode, type Kind, type Outcome } from '../index.ts'

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

/** An error that has a status of its own, such as 404 for a path that is none. */
export class HttpProblem extends Error {
  readonly code: ErrorCode
  readonly status: number

  constructor(code: ErrorCode, detail: string, status: number = STATUS[code]) {
    super(detail)
    this.code = code
    this.status = status
  }
}

/**
 * What a caller is told. The message of what we did not throw ourselves may hold a path, a statement or worse: it stays here, and the
 * request id leads to it in the log.
 */
export function toProblem(error: unknown, requestId: string): Problem {
  if (error instanceof HttpProblem) return problem(error.code, error.status, error.message, requestId)
  if (!isHoldfastError(error)) return problem('UNAVAILABLE', 500, 'the server failed; its log says why', requestId)
  const { code, kind, backend, outcome } = error
  return { ...problem(code, STATUS[code], DETAILS[code] ?? redact(error.message), requestId), outcome, kind, backend }
}

function problem(code: ErrorCode, status: number, detail: string, requestId: string): Problem {
  return { type: `urn:holdfast:error:${code}`, title: TITLES[status] ?? 'Error', status, code, detail, requestId }
}

/** Where an engine's own words may be in the message: addresses, paths, statements. The code says enough to act on. */
const DETAILS: Readonly<Partial<Record<ErrorCode, string>>> = {
  UNKNOWN_BACKEND: 'the server is set up wrongly; its log says how',
  INVALID_BACKEND: 'the server is set up wrongly; its log says how',
  MISSING_CLIENT: 'the server is set up wrongly; its log says how',
  UNAVAILABLE: 'the engine behind the store does not answer',
  TIMEOUT: 'the engine behind the store did not answer in time',
  CORRUPT: 'what is stored there cannot be read',
  DECRYPTION_FAILED: 'what is stored there cannot be decrypted',
  STORE_CLOSED: 'the server is shutting down',
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
  429: 'Too Many Requests',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}
