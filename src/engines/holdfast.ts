/**
 * Another Holdfast, served over HTTP: its backend tier, by `fetch` and nothing else, so that browsers and edge runtimes can use it too. The
 * stores around these backends check, retry and name errors as for any engine.
 */
import { ERROR_CODES, HoldfastError, isHoldfastError, type ErrorCode, type Kind, type Outcome } from '../errors.ts'
import { API_VERSION } from '../store/api-version.ts'
import type { BackendCall, JsonObject, Limits } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { OptionsSchema } from '../store/options.ts'
import { parseExactly } from '../store/parse.ts'

export interface HoldfastOptions {
  /** Where the server listens, e.g. `https://holdfast.example`. A path in it comes before those of the server. */
  readonly url: string
  /** A bearer token that `holdfast token create` gave. Default: none, which a server on this machine may allow. */
  readonly token?: string | undefined
  /** Used in place of the global `fetch`. */
  readonly fetch?: typeof fetch | undefined
}

export const HOLDFAST_OPTIONS: OptionsSchema<HoldfastOptions> = {
  url: { type: 'string', description: 'where the server listens: http://127.0.0.1:4444', required: true, check: wrongUrl },
  token: {
    type: 'string',
    description: 'a token of holdfast token create',
    secret: true,
    env: 'HOLDFAST_TOKEN',
    check: (token) => (/^[!-~]+$/.test(token) ? undefined : 'must be what `holdfast token create` printed, without spaces'),
  },
  fetch: { type: 'function', description: 'used in place of the global fetch' },
}

function wrongUrl(url: string): string | undefined {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) return 'must be an http or https URL'
  const { username, password, search, hash } = parsed
  return [username, password, search, hash].every((part) => part === '')
    ? undefined
    : 'must hold neither credentials nor a query; use token'
}

/** What the server says of the backend behind one kind. */
export interface Remote<C> {
  readonly backend: string
  readonly capabilities: C
  readonly limits: Limits
  readonly encrypted: boolean
  /** Methods that a backend may lack. */
  readonly has: readonly string[]
}

/** What a request cannot exceed, in items; the server's own limits are higher. */
const MAX_BATCH = 500
const CONNECT_METHOD = 'GET'
const CONNECT_TIMEOUT_MS = 30_000

export class HoldfastServer {
  readonly #base: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #fetch: typeof fetch

  constructor({ url, token, fetch: given }: HoldfastOptions) {
    this.#base = url.replace(/\/+$/, '')
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    // Browsers refuse a `fetch` that is called as a method of something else.
    this.#fetch = given ?? ((...request) => fetch(...request))
  }

  /** Asks once what is behind the server, so that the stores know what they may ask for. */
  async about<C>(kind: Kind): Promise<Remote<C>> {
    // No store is there yet whose deadline would hold.
    const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS)
    const answer = await this.#send(CONNECT_METHOD, '/v1/backends', undefined, { signal }, 'read').catch((error: unknown) => {
      throw signal.aborted ? new HoldfastError('TIMEOUT', 'the server does not answer', { cause: error }) : error
    })
    const { apiVersion, maxBodyBytes, [kind]: remote } = answer as unknown as About<C>
    if (typeof maxBodyBytes !== 'number' || remote === undefined)
      throw new HoldfastError('UNAVAILABLE', 'that is no Holdfast server')
    if (apiVersion !== API_VERSION) {
      throw new HoldfastError('UNSUPPORTED', `the server's contracts are not of version ${API_VERSION}, as this client's are`)
    }
    return { ...remote, limits: limitsOf(remote.limits, maxBodyBytes) }
  }

  /** Calls a method of the backend contract; `null` in the answer is undefined. */
  async call<T>(kind: Kind, method: string, body: object, call: BackendCall = {}): Promise<T> {
    const mode = READS.has(method) ? 'read' : 'write'
    const answer = await this.#send('POST', `/v1/backends/${kind}/${method}`, body, call, mode)
    return (answer['result'] ?? undefined) as T
  }

  async ping(kind: Kind, call?: BackendCall): Promise<void> {
    await this.call(kind, 'ping', {}, call)
  }

  async #send(
    method: string,
    path: string,
    body: object | undefined,
    { signal }: BackendCall,
    mode: 'read' | 'write',
  ): Promise<JsonObject> {
    signal?.throwIfAborted()
    const headers = body === undefined ? this.#headers : { ...this.#headers, 'content-type': 'application/json' }
    try {
      const response = await this.#fetch(`${this.#base}${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
        redirect: 'error',
      })
      if (!response.ok) throw await refusalOf(response)
      return objectOf(await response.text())
    } catch (error) {
      throw failureOf(error, signal, mode)
    }
  }
}

interface About<C> extends Partial<Record<Kind, Remote<C>>> {
  readonly apiVersion: unknown
  readonly maxBodyBytes: unknown
}

function objectOf(text: string): JsonObject {
  const value = parseExactly(text)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new HoldfastError('UNAVAILABLE', 'that is no Holdfast server')
}

const READS: ReadonlySet<string> = new Set([
  'getSession',
  'listSessions',
  'readMessages',
  'search',
  'describeCollection',
  'listCollections',
  'get',
  'count',
  'list',
  'scan',
  'listSpaces',
  'listWorkspaces',
  'ping',
])

/** Text may double in JSON, and bytes grow by a third. */
function limitsOf(limits: Limits, maxBodyBytes: number): Limits {
  const bytes = Math.floor(maxBodyBytes / 4)
  const least = (limit: number | undefined, own: number): number => Math.min(limit ?? Infinity, own)
  return {
    ...limits,
    contentBytes: least(limits.contentBytes, bytes),
    jsonBytes: least(limits.jsonBytes, bytes),
    valueBytes: least(limits.valueBytes, bytes),
    commitBytes: least(limits.commitBytes, bytes),
    batch: least(limits.batch, MAX_BATCH),
  }
}

/** What the server, or a proxy before it, answered in place of a result. */
async function refusalOf(response: Response): Promise<HoldfastError> {
  const { status } = response
  const problem = (await response.json().catch(() => undefined)) as Partial<Record<'code' | 'detail' | 'outcome', unknown>> | null
  const { code, detail, outcome } = problem ?? {}
  const known = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : CODES[status]
  return new HoldfastError(known ?? 'UNAVAILABLE', typeof detail === 'string' ? detail : `HTTP status ${status}`, {
    outcome: isOutcome(outcome) ? outcome : status < 500 ? 'not-applied' : undefined,
  })
}

function isOutcome(value: unknown): value is Outcome {
  return value === 'not-applied' || value === 'unknown'
}

/** For answers that are not the server's own. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHORIZED',
  403: 'PERMISSION_DENIED',
  404: 'UNAVAILABLE',
  413: 'VALUE_TOO_LARGE',
  429: 'RATE_LIMITED',
  504: 'TIMEOUT',
}

/** What Node's `fetch` says where there was no connection to send anything by. */
const NOT_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])

/** Once a request is on its way, nobody knows what became of it. */
function failureOf(error: unknown, signal: AbortSignal | undefined, mode: 'read' | 'write'): unknown {
  if (signal?.aborted) return mode === 'read' ? signal.reason : withOutcome(signal.reason, 'unknown')
  if (isHoldfastError(error)) return error
  const { cause } = error as { readonly cause?: { readonly code?: string } }
  const code = cause?.code ?? 'no connection'
  const outcome = NOT_SENT.has(code) ? 'not-applied' : undefined
  return new HoldfastError('UNAVAILABLE', `the server does not answer (${code})`, { outcome, cause: error })
}
