/**
 * The one error type of Holdfast and the table of its codes.
 *
 * Codes are stable within a major version and are what programs should branch on; messages may change in any release.
 */

/** Every code, what it means, and what to do about it. The documentation's table is derived from this one. */
export const ERROR_CODES = {
  UNKNOWN_BACKEND: {
    meaning: 'No backend is registered under that name or alias.',
    remedy: 'Check the spelling against `holdfast backends`, or install the plugin package that declares the name.',
  },
  BACKEND_EXISTS: {
    meaning: 'The name or alias is already taken, or two packages claim it.',
    remedy: 'Pick another name, or pass `{ override: true }` to replace the holder on purpose.',
  },
  INVALID_BACKEND: {
    meaning: 'A factory returned something that is not a backend of its kind, or a declaration could not be loaded.',
    remedy: 'Add the methods that the message names; `holdfast conform` checks the rest.',
  },
  MISSING_CLIENT: {
    meaning: 'The client library of this backend is not installed.',
    remedy: 'Run the install command in the message.',
  },
  INVALID_OPTIONS: {
    meaning: 'The options, environment or config file cannot be used.',
    remedy: 'Correct every problem that the message lists.',
  },
  INVALID_ARGUMENT: {
    meaning: 'An argument of a call breaks the contract.',
    remedy: 'Correct the argument at the path that the message names.',
  },
  NOT_FOUND: {
    meaning: 'The session, collection or file that the call needs does not exist.',
    remedy: 'Create it first, or check the id and the workspace.',
  },
  CONFLICT: {
    meaning: 'The call contradicts what is stored: an id is taken, a version is stale, a type differs.',
    remedy: 'Read again, decide, and call again.',
  },
  QUOTA_EXCEEDED: {
    meaning: 'The write would exceed the quota; nothing was written.',
    remedy: 'Delete something, or raise the quota.',
  },
  PERMISSION_DENIED: {
    meaning: 'The caller may not do this.',
    remedy: 'Grant the permission that the message names.',
  },
  UNAUTHORIZED: {
    meaning: 'The engine or server refused the credentials.',
    remedy: 'Check the user, password, token or key of this backend.',
  },
  RATE_LIMITED: {
    meaning: 'The engine or server asks for fewer calls.',
    remedy: 'Wait and call again, or raise the limit at the provider.',
  },
  VALUE_TOO_LARGE: {
    meaning: 'A value exceeds a declared limit of this backend.',
    remedy: 'Make it smaller; the limits are in `store.limits`.',
  },
  UNSUPPORTED: {
    meaning: 'This backend cannot do that, and says so rather than pretend.',
    remedy: 'Check `store.capabilities`; the message names the alternative.',
  },
  UNAVAILABLE: {
    meaning: 'The engine could not be reached or failed; nothing is known to be wrong with the call.',
    remedy: 'Check that the engine runs; see `outcome` for whether a write may have happened.',
  },
  TIMEOUT: {
    meaning: 'The call took longer than `timeoutMs`.',
    remedy: 'Allow more time; see `outcome` for whether a write may have happened.',
  },
  ABORTED: {
    meaning: 'The caller’s signal aborted the call.',
    remedy: 'See `outcome` for whether a write may have happened.',
  },
  CORRUPT: {
    meaning: 'What is stored is not what this call can read.',
    remedy: 'Read it as bytes, or restore it from a backup.',
  },
  DECRYPTION_FAILED: {
    meaning: 'Stored data is not encrypted with a known key, or was changed.',
    remedy: 'Check the key ring; restore changed rows from a backup.',
  },
  STORE_CLOSED: {
    meaning: 'The store was closed.',
    remedy: 'Open a new one; close only after the last call.',
  },
} as const satisfies Record<string, { meaning: string; remedy: string }>

export type ErrorCode = keyof typeof ERROR_CODES

/** The three kinds of store. */
export const KINDS = ['conversation', 'knowledge', 'state'] as const
export type Kind = (typeof KINDS)[number]

/**
 * What is known about a write that failed: `not-applied`, it certainly did not happen; `unknown`, it may have happened.
 * A read has no outcome.
 */
export type Outcome = 'not-applied' | 'unknown'

export interface HoldfastErrorDetails {
  readonly kind?: Kind | undefined
  /** Canonical name of the backend. */
  readonly backend?: string | undefined
  readonly outcome?: Outcome | undefined
  /** The original error. It must hold no secret. */
  readonly cause?: unknown
}

/** What an error without a stated outcome means for a write: only these leave it open. */
const OPEN_CODES: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'TIMEOUT', 'ABORTED', 'RATE_LIMITED'])

/** The outcome of a write that failed with this code, where the error itself does not say. */
export function outcomeOf(code: ErrorCode): Outcome {
  return OPEN_CODES.has(code) ? 'unknown' : 'not-applied'
}

const BRAND = Symbol.for('holdfast.error/1')

/** Everything Holdfast throws, but for a `TypeError` where a value has the wrong JavaScript type. */
export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly kind?: Kind
  readonly backend?: string
  readonly outcome?: Outcome

  constructor(code: ErrorCode, message: string, details: HoldfastErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'HoldfastError'
    this.code = code
    if (details.kind !== undefined) this.kind = details.kind
    if (details.backend !== undefined) this.backend = details.backend
    if (details.outcome !== undefined) this.outcome = details.outcome
    Object.defineProperty(this, BRAND, { value: true })
  }
}

/** True for a HoldfastError of any installed copy of this package; `instanceof` knows only its own copy. */
export function isHoldfastError(value: unknown, code?: ErrorCode): value is HoldfastError {
  if (typeof value !== 'object' || value === null || !(BRAND in value)) return false
  return code === undefined || (value as { code?: unknown }).code === code
}
