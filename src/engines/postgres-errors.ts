/** What Postgres, PgBouncer and the network report, as ours. https://www.postgresql.org/docs/current/errcodes-appendix.html */
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'

/** By code, or by the class that a code begins with. All say that the statement had no effect. */
const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  '08': ['UNAVAILABLE', 'the connection failed'],
  '0A': ['UNSUPPORTED', 'the server cannot do that'],
  '22021': ['UNSUPPORTED', 'the database must have the encoding UTF8'],
  '22P05': ['UNSUPPORTED', 'the database must have the encoding UTF8'],
  '23505': ['CONFLICT', 'already there'],
  '25006': ['UNAVAILABLE', 'the server only reads; is it a replica?'],
  '28': ['UNAUTHORIZED', 'the server refused the user or the password'],
  '3D000': ['NOT_FOUND', 'there is no such database; create it first'],
  '3F000': ['UNAVAILABLE', 'there is no such schema; `holdfast schema apply` makes it'],
  '40': ['UNAVAILABLE', 'other transactions came in between all the time'],
  '42501': ['PERMISSION_DENIED', 'the user may not do that; grant it'],
  '42P01': ['UNAVAILABLE', 'a table is missing; `holdfast schema apply` makes it'],
  '53': ['UNAVAILABLE', 'the server has run out of something'],
  '53300': ['RATE_LIMITED', 'the server has too many connections; lower poolSize, or put a pooler before it'],
  '54': ['VALUE_TOO_LARGE', 'a value is larger than the server allows'],
  '55P03': ['UNAVAILABLE', 'another transaction held the lock all the time'],
  '57': ['UNAVAILABLE', 'the server is stopping or starting'],
  '57014': ['TIMEOUT', 'the server stopped the statement: see its statement_timeout'],
}

/** Transactions that failed only because others ran at the same time: 40001, deadlocks, and what CockroachDB reports so. */
const CONCURRENCY: ReadonlySet<string> = new Set(['40001', '40P01'])

/** A prepared statement that is not there, or is there already: the connection is not the same one from one statement to the next. */
const PREPARED: ReadonlySet<string> = new Set(['26000', '42P05'])

/** Codes after which the connection is gone: in them, and in no others, it is open what became of a commit. */
const ENDING = /^(?:08|57P0|25P0[34])/
/** PgBouncer gives its own errors the code 08P01; these come before it has passed anything on. */
const NOT_PASSED_ON = /cannot connect to server|login has been failing|query_wait_timeout|no more connections allowed/

interface ServerError extends Error {
  readonly code: string
}

/** How far the work had come: only what may have been committed leaves the outcome open. */
export type Phase = 'connecting' | 'uncommitted' | 'committing'

export function translatePostgresError(error: unknown, phase: Phase): HoldfastError {
  if (isHoldfastError(error)) return error
  if (isServerError(error)) return fromServer(error, phase)
  const message = error instanceof Error ? error.message : String(error)
  if (phase === 'connecting' && /password|SASL|SCRAM/.test(message)) {
    return new HoldfastError('UNAUTHORIZED', `the password cannot be used: ${message}`, { outcome: 'not-applied', cause: error })
  }
  const what = phase === 'connecting' ? 'no connection to the server' : 'the connection to the server was lost'
  const outcome = wasNeverSent(error) ? 'not-applied' : outcomeIn(phase)
  return new HoldfastError('UNAVAILABLE', `${what}: ${describe(error)}`, { outcome, cause: error })
}

/** True where the work had no effect because its connection was gone, perhaps for long: it may be done on another one. */
export function lostConnection(error: unknown): boolean {
  return isHoldfastError(error, 'UNAVAILABLE') && error.outcome === 'not-applied' && endsConnection(error.cause)
}

/** A statement whose end could not be written: without it the server does nothing. */
function wasNeverSent(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall === 'write'
}

/** True where the same transaction, tried again, may go through. */
export function lostToOthers(error: unknown): boolean {
  return (
    isHoldfastError(error) && error.outcome === 'not-applied' && isServerError(error.cause) && CONCURRENCY.has(error.cause.code)
  )
}

/** True where statements cannot be kept prepared, and nothing has happened. */
export function cannotPrepare(error: unknown): boolean {
  return PREPARED.has(sqlState(error) ?? '')
}

/** True where nothing more can be said on the connection, or nothing useful: one that only reads belongs to a former primary. */
export function endsConnection(error: unknown): boolean {
  return !isServerError(error) || ENDING.test(error.code) || error.code === '25006'
}

/** The server's own code of an error, translated or not. */
export function sqlState(error: unknown): string | undefined {
  const source = isHoldfastError(error) ? error.cause : error
  return isServerError(source) ? source.code : undefined
}

function fromServer(error: ServerError, phase: Phase): HoldfastError {
  const [code, meaning] = CODES[error.code] ??
    CODES[error.code.slice(0, 2)] ?? ['UNAVAILABLE', 'the server refused the statement']
  // Encoded by its message: the memory that one value may take has no code of its own.
  const known = error.message.startsWith('invalid memory alloc request size') ? 'VALUE_TOO_LARGE' : code
  return new HoldfastError(known, `${meaning} (${error.message})`, { outcome: outcomeOf(error, phase), cause: error })
}

function outcomeOf(error: ServerError, phase: Phase): Outcome {
  if (error.code === '40003') return 'unknown'
  return ENDING.test(error.code) && !NOT_PASSED_ON.test(error.message) ? outcomeIn(phase) : 'not-applied'
}

function outcomeIn(phase: Phase): Outcome {
  return phase === 'committing' ? 'unknown' : 'not-applied'
}

function isServerError(error: unknown): error is ServerError {
  if (!(error instanceof Error)) return false
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown }
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && typeof severity === 'string'
}

/** An attempt at several addresses fails with an error that has no message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join(', ')
  return error instanceof Error ? error.message : String(error)
}
