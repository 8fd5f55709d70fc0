/** What DynamoDB, its SDK and the network between say when something goes wrong, in Holdfast's words. */
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'
import { withOutcome } from '../store/core.ts'
import { redact } from '../store/redact.ts'

/** What an error of the SDK may have. */
export interface DynamoFault {
  readonly name?: string
  readonly message?: string
  readonly code?: string
  readonly cause?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string; readonly clockSkewCorrected?: boolean }
  /** Of a `ConditionalCheckFailedException`. */
  readonly Item?: unknown
  /** Of a `TransactionCanceledException`, one an action. */
  readonly CancellationReasons?: readonly CancellationReason[]
}

export interface CancellationReason {
  readonly Code?: string
  readonly Message?: string
  readonly Item?: unknown
}

/** Nothing was done where DynamoDB answers with one of these. */
const REFUSALS = new Map<string, ErrorCode>([
  ...names('RATE_LIMITED', [
    'ProvisionedThroughputExceededException',
    'ThrottlingException',
    'Throttling',
    'ThrottledException',
    'RequestLimitExceeded',
    'TooManyRequestsException',
    'LimitExceededException',
    'SlowDown',
  ]),
  ...names('UNAUTHORIZED', [
    'AccessDeniedException',
    'AccessDenied',
    'UnrecognizedClientException',
    'InvalidClientTokenId',
    'InvalidSignatureException',
    'SignatureDoesNotMatch',
    'IncompleteSignatureException',
    'IncompleteSignature',
    'MissingAuthenticationTokenException',
    'MissingAuthenticationToken',
    'ExpiredTokenException',
    'ExpiredToken',
    'RequestExpired',
    'RequestTimeTooSkewed',
    'RequestInTheFuture',
    'OptInRequired',
    'CredentialsProviderError',
    'TokenProviderError',
  ]),
  ...names('NOT_FOUND', ['ResourceNotFoundException', 'TableNotFoundException']),
  ...names('VALUE_TOO_LARGE', ['ItemCollectionSizeLimitExceededException', 'RequestEntityTooLargeException']),
  ...names('CONFLICT', ['TransactionConflictException', 'ReplicatedWriteConflictException']),
  ...names('UNAVAILABLE', ['ResourceInUseException', 'TransactionCanceledException']),
])

/** The same in the reasons of a cancelled transaction. */
const REASONS: Readonly<Record<string, string>> = {
  TransactionConflict: 'TransactionConflictException',
  ProvisionedThroughputExceeded: 'ProvisionedThroughputExceededException',
  ThrottlingError: 'ThrottlingException',
  ItemCollectionSizeLimitExceeded: 'ItemCollectionSizeLimitExceededException',
  AccessDenied: 'AccessDeniedException',
  ValidationError: 'ValidationException',
}

/** Whoever gets these has sent nothing. */
const NEVER_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EAI_FAIL|EHOSTUNREACH|ENETUNREACH|ERR_TLS_.*|ERR_SSL_.*|CERT_.*|DEPTH_ZERO_.*|SELF_SIGNED_.*|UNABLE_TO_.*)$/
const NOT_CONNECTED = /did not establish a connection/

function names(code: ErrorCode, of: readonly string[]): [string, ErrorCode][] {
  return of.map((name) => [name, code])
}

/** Without `write` the error has no outcome. */
export function failureOf(error: unknown, write: boolean, signal: AbortSignal | undefined): unknown {
  if (isHoldfastError(error) || (signal?.aborted === true && error === signal.reason)) return error
  const fault = faultOf(error)
  if (fault.name === 'AbortError' && signal?.aborted === true) return withOutcome(signal.reason, write ? 'unknown' : undefined)
  const { code, outcome, message } = meaningOf(fault)
  return new HoldfastError(code, message, { outcome: write ? outcome : undefined, cause: plain(fault) })
}

interface Meaning {
  readonly code: ErrorCode
  readonly outcome: Outcome
  readonly message: string
}

function meaningOf(fault: DynamoFault): Meaning {
  const name = fault.name ?? 'Error'
  const code = REFUSALS.get(name)
  if (fault.$metadata?.clockSkewCorrected === true)
    return refused('UNAVAILABLE', 'the clock of this machine is wrong; allowed for now')
  if (code !== undefined) return refused(code, said(code, name, fault))
  if (name === 'ValidationException' || name === 'SerializationException') return invalid(fault)
  if (/region is missing/i.test(fault.message ?? ''))
    return refused('INVALID_OPTIONS', 'no region: give `region`, or set AWS_REGION')
  const unsent = NEVER_SENT.test(fault.code ?? '') || NOT_CONNECTED.test(fault.message ?? '')
  const message = `DynamoDB cannot be reached or failed: ${shown(fault)}`
  return { code: 'UNAVAILABLE', outcome: unsent ? 'not-applied' : 'unknown', message }
}

function refused(code: ErrorCode, message: string): Meaning {
  return { code, outcome: 'not-applied', message }
}

function said(code: ErrorCode, name: string, fault: DynamoFault): string {
  if (code === 'RATE_LIMITED') return `DynamoDB asks for fewer requests (${name})`
  // A refused signature is explained with the request's headers, the session token among them.
  if (code === 'UNAUTHORIZED' && !name.startsWith('AccessDenied')) return `DynamoDB or the SDK refused the credentials (${name})`
  return `DynamoDB: ${shown(fault)}`
}

function invalid(fault: DynamoFault): Meaning {
  const text = fault.message ?? ''
  if (/key element does not match|mismatch for key|missing the key|number of conditions on the keys/i.test(text)) {
    return refused('INVALID_OPTIONS', 'the table has other keys than Holdfast’s: space and key, both binary')
  }
  return refused(/size|too large|exceed/i.test(text) ? 'VALUE_TOO_LARGE' : 'INVALID_ARGUMENT', `DynamoDB: ${shown(fault)}`)
}

/** The reasons for which a transaction was cancelled, other than its conditions, as the error that each is by itself. */
export function faultOfReasons(reasons: readonly CancellationReason[]): DynamoFault | undefined {
  for (const { Code = '', Message } of reasons) {
    const name = REASONS[Code]
    if (name !== undefined) return { name, ...(Message === undefined ? {} : { message: Message }) }
  }
  return undefined
}

/** No answer came from DynamoDB, and no answer will. */
export function isDisconnection(error: unknown): boolean {
  const { code, $metadata } = faultOf(error)
  return code !== undefined && $metadata?.httpStatusCode === undefined
}

export function faultOf(error: unknown): DynamoFault {
  return typeof error === 'object' && error !== null ? error : { message: String(error) }
}

function shown({ name, code, message }: DynamoFault): string {
  const what = message === undefined || message === '' || message === 'UnknownError' ? (code ?? '') : redact(message)
  return [name === 'Error' ? undefined : name, what].filter(Boolean).join(': ')
}

/** The error without the request and response that it drags along, whose headers hold credentials. */
function plain(fault: DynamoFault): Error {
  const { httpStatusCode, requestId } = fault.$metadata ?? {}
  const cause = new Error(said(REFUSALS.get(fault.name ?? '') ?? 'UNAVAILABLE', fault.name ?? 'Error', fault))
  const details = { name: fault.name, code: fault.code, httpStatusCode, requestId }
  return Object.assign(cause, Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)))
}
