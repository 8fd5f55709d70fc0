/** What goes wrong between us and a Redis server: its own error replies, and answers that never come. */
import { HoldfastError, isHoldfastError, type ErrorCode } from '../errors.ts'
import { redact } from '../store/redact.ts'

/** The server answered, with an error. */
export class ReplyError extends Error {
  /** The first word, which says what it is: `MOVED`, `NOSCRIPT`, `ERR` … */
  readonly word: string

  constructor(message: string) {
    super(message)
    this.name = 'ReplyError'
    this.word = /^\S*/.exec(message)![0]
  }
}

/** There is no answer, and there will be none. */
export class LostError extends Error {
  /** False where the command certainly never left. */
  readonly sent: boolean

  constructor(message: string, sent: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LostError'
    this.sent = sent
  }
}

export function isReply(error: unknown, ...words: readonly string[]): error is ReplyError {
  return error instanceof ReplyError && (words.length === 0 || words.includes(error.word))
}

/** Errors of the clients by which a command was refused before it was written. They export no classes that an injected client shares. */
const UNSENT_TYPES: ReadonlySet<string> = new Set([
  'ClientOfflineError',
  'ClientClosedError',
  'ConnectionTimeoutError',
  'CommandTimeoutDuringMaintenanceError',
  'TimeoutError',
  'AbortError',
  'RootNodesUnavailableError',
  'MaxCommandRedirectionsError',
])
const UNSENT_MESSAGE =
  /^(?:Stream isn't writeable|Cluster isn't ready|Cluster is ended|None of startup nodes|Too many Cluster redirections|Cannot find node|The queue is full)/
const UNSENT_CALLS: ReadonlySet<string> = new Set(['connect', 'getaddrinfo'])

/** What a client library threw, as one of ours and without its extras: some of them carry the command with its keys, values and passwords. */
export function failureOf(error: unknown, sent = !isUnsent(error)): ReplyError | LostError {
  if (error instanceof ReplyError || error instanceof LostError) return error
  const { message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
  if (code === undefined && /^[A-Z][A-Z\d_]+(?: |$)/.test(message)) return new ReplyError(redact(message))
  return new LostError(redact(reasonOf(error as NodeJS.ErrnoException)), sent)
}

function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { syscall }: NodeJS.ErrnoException = error
  return (
    UNSENT_TYPES.has(error.constructor.name) ||
    UNSENT_MESSAGE.test(error.message) ||
    (syscall !== undefined && UNSENT_CALLS.has(syscall))
  )
}

/** Some errors say nothing in their message: those of several addresses of one name, and the clients' own time-outs. */
function reasonOf({ message, code, constructor }: NodeJS.ErrnoException): string {
  return message === '' ? (code ?? constructor.name) : message
}

type Meaning = readonly [ErrorCode, string]

/** The replies that say more than "no". Each came before anything was changed. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  NOAUTH: ['UNAUTHORIZED', 'the server wants a password'],
  WRONGPASS: ['UNAUTHORIZED', 'the server refused user or password'],
  NOPERM: [
    'PERMISSION_DENIED',
    'the user may not do this; it needs EVAL, EVALSHA and EXISTS on all keys of the prefix, in a cluster CLUSTER SLOTS',
  ],
  WRONGTYPE: ['CORRUPT', 'something else than this store keeps a key under its prefix'],
  OOM: ['UNAVAILABLE', 'the server’s memory is full (maxmemory)'],
  MISCONF: ['UNAVAILABLE', 'the server cannot write to its disk'],
  NOREPLICAS: ['UNAVAILABLE', 'the server has fewer replicas than it wants (min-replicas-to-write)'],
  READONLY: ['UNAVAILABLE', 'the server is a replica, and no primary was found'],
  LOADING: ['UNAVAILABLE', 'the server is still loading its data'],
  MASTERDOWN: ['UNAVAILABLE', 'the server is a replica that lost its primary'],
  CLUSTERDOWN: ['UNAVAILABLE', 'the cluster does not serve this slot now'],
  TRYAGAIN: ['UNAVAILABLE', 'the keys are just being moved to another node'],
  MOVED: ['UNAVAILABLE', 'the slot is elsewhere; a cluster needs the option cluster: true, or a client of its own'],
  ASK: ['UNAVAILABLE', 'the slot is just being moved to another node'],
  CROSSSLOT: ['UNAVAILABLE', 'the keys of a commit are not in one slot'],
  BUSY: ['UNAVAILABLE', 'the server is busy with a script of somebody'],
}

/** Replies that begin with the meaningless `ERR`. */
const MESSAGES: readonly (readonly [RegExp, Meaning])[] = [
  [/\bAUTH\b|invalid (?:user)?name-password|invalid password/i, ['UNAUTHORIZED', 'the server refused user or password']],
  [
    /maximum allowed size|invalid (?:multi)?bulk length|string exceeds/i,
    ['VALUE_TOO_LARGE', 'the server takes no value of this size'],
  ],
  [
    /compiling script|Unknown Redis command|unknown command|Unexpected engine/i,
    ['UNSUPPORTED', 'it takes Redis 7.0 or Valkey 7.2, or newer'],
  ],
  [/max(?:imum)? number of clients/i, ['UNAVAILABLE', 'the server has as many clients as it takes (maxclients)']],
  [/DB index is out of range/i, ['INVALID_OPTIONS', 'the server has no such database']],
]

/** Any failure as ours. `write`: the command may have changed something. */
export function translateRedisError(error: unknown, where: string, write: boolean): unknown {
  if (isHoldfastError(error)) return error
  if (error instanceof ReplyError) return translateReply(error, where, write)
  if (!(error instanceof LostError)) return error
  const outcome = write ? (error.sent ? 'unknown' : 'not-applied') : undefined
  const message = error.message.includes(where) ? error.message : `${where}: ${error.message}`
  return new HoldfastError('UNAVAILABLE', message, { outcome, cause: error })
}

function translateReply(error: ReplyError, where: string, write: boolean): HoldfastError {
  const meaning = MEANINGS[error.word] ?? MESSAGES.find(([pattern]) => pattern.test(error.message))?.[1]
  const [code, words] = meaning ?? ['UNAVAILABLE', 'the server failed']
  // What is not known to come before any change leaves it open.
  const outcome = write ? (meaning === undefined ? 'unknown' : 'not-applied') : undefined
  return new HoldfastError(code, `${where}: ${words} (${error.message})`, { outcome, cause: error })
}
