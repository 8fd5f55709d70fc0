/** What Cloud Storage, its credentials and the network say when they fail, as our errors. https://cloud.google.com/storage/docs/json_api/v1/status-codes */
import { HoldfastError, type ErrorCode, type Outcome } from '../errors.ts'
import { redact } from '../store/redact.ts'

/** Failures before anything was sent. */
const NOT_SENT =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_.*|ERR_TLS_.*|.*_CERT.*)$/
const THROTTLED = /^(?:(?:user)?rateLimitExceeded|SlowDown|TooManyRequests)$/i
const MAX_TEXT = 300

/** True for a write whose request may have been carried out. */
type Sent = boolean

/** Whatever `fetch` rejected with. Its cause names the address and nothing else. */
export function networkError(error: unknown, origin: string, isWrite: Sent): HoldfastError {
  const code = networkCode(error)
  const outcome = NOT_SENT.test(code) ? 'not-applied' : 'unknown'
  return unavailable(`${redact(origin)} cannot be reached (${code})`, isWrite ? outcome : undefined)
}

export function unavailable(message: string, outcome: Outcome | undefined): HoldfastError {
  return new HoldfastError('UNAVAILABLE', message, { outcome })
}

/**
 * The credentials gave no token. What the auth library says may quote the key, and its errors carry the request with the signed assertion,
 * so of both only the code is told.
 */
export function credentialsError(error: unknown): HoldfastError {
  const code = networkCode(error)
  const status = (error as { status?: unknown } | undefined)?.status
  const isOutage = NOT_SENT.test(code) || /^(?:ECONN|ETIMEDOUT|EPIPE)/.test(code) || (typeof status === 'number' && status >= 500)
  const said = [code, status].filter((part) => part !== 'unknown' && part !== undefined).join(' ')
  if (isOutage) return unavailable(`Google's token service cannot be reached (${said})`, 'not-applied')
  const remedy = 'give `keyFilename`, `credentials` or a `client`, or set up application default credentials'
  const detail = said === '' ? '' : ` (${said})`
  return new HoldfastError('UNAUTHORIZED', `the Google credentials are missing or not accepted${detail}: ${remedy}`, {
    outcome: 'not-applied',
  })
}

export function missingBucket(bucket: string): HoldfastError {
  const message = `the bucket "${bucket}" does not exist: create it (gcloud storage buckets create gs://${bucket}) or correct the name`
  return new HoldfastError('NOT_FOUND', message, { outcome: 'not-applied' })
}

/** True where a 404 speaks of the bucket and not of the object. */
export function isMissingBucket(body: string): boolean {
  const { reason, message } = saidIn(body)
  return reason === 'NoSuchBucket' || message.startsWith('The specified bucket does not exist')
}

/** An answer that is neither success nor one the caller knows what to do with. */
export function statusError(status: number, body: string, isWrite: Sent): HoldfastError {
  const { reason, message } = saidIn(body)
  const [code, outcome] = meaningOf(status, reason)
  const detail = message === '' ? '' : `: ${redact(message).slice(0, MAX_TEXT)}`
  return new HoldfastError(code, `Cloud Storage answered ${status}${detail}`, { outcome: isWrite ? outcome : undefined })
}

function meaningOf(status: number, reason: string): readonly [ErrorCode, Outcome] {
  if (status === 429 || THROTTLED.test(reason)) return ['RATE_LIMITED', 'not-applied']
  if (status === 401) return ['UNAUTHORIZED', 'not-applied']
  if (status === 403) return ['PERMISSION_DENIED', 'not-applied']
  if (status === 413) return ['VALUE_TOO_LARGE', 'not-applied']
  if (status === 408 || status >= 500) return ['UNAVAILABLE', 'unknown']
  return ['UNSUPPORTED', 'not-applied']
}

/** The reason and message of a JSON or XML error. Messages name objects, which may be called like a reason, so the two are kept apart. */
function saidIn(body: string): { reason: string; message: string } {
  if (!body.startsWith('{')) {
    return { reason: /<Code>(\w*)<\/Code>/.exec(body)?.[1] ?? '', message: /<Message>([^<]*)<\/Message>/.exec(body)?.[1] ?? '' }
  }
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } }
    return { reason: textOr(error?.errors?.[0]?.reason), message: textOr(error?.message) }
  } catch {
    return { reason: '', message: '' }
  }
}

function textOr(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function networkCode(error: unknown): string {
  let found: unknown = error
  // `fetch failed` has a cause; where a name has several addresses, that has one error for each.
  for (let depth = 0; depth < 4 && typeof found === 'object' && found !== null; depth++) {
    const { code, cause, errors } = found as { code?: unknown; cause?: unknown; errors?: unknown[] }
    if (typeof code === 'string') return code
    found = cause ?? errors?.[0]
  }
  return 'unknown'
}
