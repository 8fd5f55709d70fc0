/**
 * What Pinecone's client does not show of its requests: log sequence numbers, statuses, how a connection failed. The client hands each
 * request to a `fetch` of ours, which notes them, and ends the request when the call is aborted.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { redact } from '../store/redact.ts'

export type Fetch = typeof globalThis.fetch

/** What one request came to. */
interface Exchange {
  readonly signal: AbortSignal
  status?: number
  headers?: Headers
  failure?: unknown
}

export interface RequestRules {
  /** Whether a lost answer leaves open what happened. */
  readonly writes: boolean
  readonly call: BackendCall | undefined
  /** Milliseconds without an answer. */
  readonly timeoutMs: number
}

export interface Answer<T> {
  readonly value: T
  /** Of a write: the log sequence number that it has in its namespace. */
  readonly lsn: number | undefined
  /** Of a query: every write up to this number is in the answer. */
  readonly indexedLsn: number | undefined
}

const exchanges = new AsyncLocalStorage<Exchange>()

/** The `fetch` to give to the client. */
export function watched(fetch: Fetch): Fetch {
  return async (input, init) => {
    const exchange = exchanges.getStore()
    if (exchange === undefined) return fetch(input, init)
    try {
      const response = await fetch(input, { ...init, signal: exchange.signal })
      exchange.status = response.status
      exchange.headers = response.headers
      return response
    } catch (error) {
      exchange.failure = error
      throw error
    }
  }
}

/** A request that was refused for its rate did nothing: it is sent again when the server says, this often and after at most this long. */
const [MAX_TRIES, MAX_RETRY_AFTER_MS] = [4, 10_000]

/** Runs one request of the client, whose own retries must be off: it would repeat what may have happened. */
export async function request<T>(rules: RequestRules, work: () => Promise<T>): Promise<Answer<T>> {
  for (let tries = 1; ; tries++) {
    rules.call?.signal?.throwIfAborted()
    const late = AbortSignal.timeout(rules.timeoutMs)
    const own = rules.call?.signal
    const exchange: Exchange = { signal: own === undefined ? late : AbortSignal.any([own, late]) }
    try {
      const value = await exchanges.run(exchange, work)
      return {
        value,
        lsn: numberIn(exchange, 'x-pinecone-request-lsn'),
        indexedLsn: numberIn(exchange, 'x-pinecone-max-indexed-lsn'),
      }
    } catch (error) {
      if (tries === 1 && !rules.writes && wasReset(exchange)) continue
      const pauseMs = exchange.status === 429 ? retryAfterMs(exchange) : undefined
      if (pauseMs === undefined || tries === MAX_TRIES) throw failureOf(error, exchange, rules)
      await pause(pauseMs, own)
    }
  }
}

/** Rejects with the signal's reason. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  } catch {
    throw signal?.reason
  }
}

function numberIn({ headers }: Exchange, name: string): number | undefined {
  const text = headers?.get(name)
  return text != null && /^\d+$/.test(text) ? Number(text) : undefined
}

function retryAfterMs(exchange: Exchange): number | undefined {
  const seconds = numberIn(exchange, 'retry-after')
  return seconds === undefined || seconds * 1_000 > MAX_RETRY_AFTER_MS ? undefined : seconds * 1_000
}

// ── Errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function failureOf(error: unknown, exchange: Exchange, rules: RequestRules): unknown {
  const unknown: Outcome | undefined = rules.writes ? 'unknown' : undefined
  const { status } = exchange
  if (status === undefined || status < 400) return connectionFailure(error, exchange, rules, unknown)
  if (status >= 500) return failure('UNAVAILABLE', `Pinecone answered with status ${status}`, unknown, error)
  return failure(codeOf(status, String(error)), messageOf(status, error), 'not-applied', error)
}

function connectionFailure(error: unknown, exchange: Exchange, rules: RequestRules, unknown: Outcome | undefined): unknown {
  const reason: unknown = rules.call?.signal?.reason
  if (rules.call?.signal?.aborted === true) return rules.writes ? aborted(reason) : reason
  if (exchange.signal.aborted)
    return failure('UNAVAILABLE', `no answer from Pinecone within ${rules.timeoutMs} ms`, unknown, undefined)
  // An argument that the client refused was never sent, and neither was what met no server.
  const code = systemCodeOf(exchange.failure)
  if (exchange.failure === undefined && exchange.status === undefined)
    return failure('INVALID_ARGUMENT', textOf(error), 'not-applied', error)
  const outcome = code !== undefined && NEVER_SENT.has(code) ? 'not-applied' : unknown
  return failure(
    'UNAVAILABLE',
    `no connection to Pinecone${code === undefined ? '' : ` (${code})`}`,
    outcome,
    exchange.failure ?? error,
  )
}

const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** An idle connection that had ended unnoticed: the first read after an outage meets it, and the next one is made anew. */
function wasReset({ failure, signal }: Exchange): boolean {
  return !signal.aborted && ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(systemCodeOf(failure) ?? '')
}

/** The signal's reason, which says that nothing happened, for a write that was sent already. */
function aborted(reason: unknown): unknown {
  return isHoldfastError(reason) ? new HoldfastError(reason.code, reason.message, { outcome: 'unknown' }) : reason
}

/** Of the error behind fetch's own; of the first, where a name has several addresses. */
function systemCodeOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at instanceof AggregateError ? at.errors[0] : at.cause) {
    const { code } = at as NodeJS.ErrnoException
    if (typeof code === 'string' && !(at instanceof AggregateError)) return code
  }
  return undefined
}

function codeOf(status: number, message: string): ErrorCode {
  switch (status) {
    case 401:
      return 'UNAUTHORIZED'
    case 402:
      return 'PERMISSION_DENIED'
    case 403:
      return /quota/i.test(message) ? 'QUOTA_EXCEEDED' : 'UNAUTHORIZED'
    case 404:
      return 'NOT_FOUND'
    case 409:
      return 'CONFLICT'
    case 413:
      return 'VALUE_TOO_LARGE'
    case 429:
      return 'RATE_LIMITED'
    default:
      return /exceeds the (limit|maximum)|too large/i.test(message) ? 'VALUE_TOO_LARGE' : 'INVALID_ARGUMENT'
  }
}

function messageOf(status: number, error: unknown): string {
  if (status === 401) return 'Pinecone refused the API key'
  return `Pinecone refused the request with status ${status}: ${textOf(error)}`
}

function textOf(error: unknown): string {
  return redact(error instanceof Error ? error.message : String(error))
}

function failure(code: ErrorCode, message: string, outcome: Outcome | undefined, cause: unknown): HoldfastError {
  return new HoldfastError(code, message, { outcome, cause })
}
