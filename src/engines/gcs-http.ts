/**
 * Requests to Cloud Storage with a client's credentials, one HTTP request each. The client's own requests are not used: its download needs a
 * second one for the metadata, parses what looks like JSON, knows no signal, and sends writes again by itself.
 */
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import { credentialsError, networkError, statusError, unavailable } from './gcs-errors.ts'

/** What is used of a `Storage` of `@google-cloud/storage`. */
export interface GcsClient {
  /** `https://storage.googleapis.com`, or an emulator's. */
  readonly apiEndpoint: string
  /** True where `apiEndpoint` is not Google's: no credentials are sent then, unless the next one is true. */
  readonly customEndpoint?: boolean | undefined
  readonly useAuthWithCustomEndpoint?: boolean | undefined
  readonly authClient: { getRequestHeaders(url?: string): Promise<Headers | Readonly<Record<string, string>>> }
}

export interface GcsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** From the `/`, with its query. */
  readonly path: string
  readonly contentType?: string
  readonly body?: Uint8Array<ArrayBuffer>
}

export interface GcsResponse {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
}

/** Answers that callers decide on: not there, and a precondition that does not hold. */
const KNOWN: ReadonlySet<number> = new Set([404, 412])

export class GcsHttp {
  readonly #client: GcsClient
  readonly #origin: string
  readonly #timeoutMs: number
  readonly #underWay = new Set<AbortController>()
  #closed = false

  constructor(client: GcsClient, timeoutMs: number) {
    this.#client = client
    this.#origin = client.apiEndpoint.replace(/\/+$/, '')
    this.#timeoutMs = timeoutMs
  }

  /** Resolves with success, 404 or 412; everything else rejects, saying of a write whether it may have happened. */
  async send(request: GcsRequest, call: BackendCall | undefined): Promise<GcsResponse> {
    const isWrite = request.method !== 'GET'
    call?.signal?.throwIfAborted()
    const headers = await this.#headers(request)
    call?.signal?.throwIfAborted()
    if (this.#closed) throw unavailable('the store was closed', isWrite ? 'not-applied' : undefined)
    const response = await this.#exchange(request, headers, isWrite, call?.signal)
    if (response.status < 300 || KNOWN.has(response.status)) return response
    throw statusError(response.status, textOf(response), isWrite)
  }

  /** Ends what is under way, so that nothing keeps the process. */
  close(): void {
    this.#closed = true
    for (const controller of this.#underWay) controller.abort()
  }

  async #headers({ contentType }: GcsRequest): Promise<Headers> {
    const headers = new Headers(await this.#credentials())
    if (contentType !== undefined) headers.set('content-type', contentType)
    return headers
  }

  async #credentials(): Promise<Headers | Readonly<Record<string, string>>> {
    const { customEndpoint, useAuthWithCustomEndpoint, authClient } = this.#client
    if (customEndpoint === true && useAuthWithCustomEndpoint !== true) return {}
    try {
      return await authClient.getRequestHeaders(this.#origin)
    } catch (error) {
      throw credentialsError(error)
    }
  }

  async #exchange(
    { method, path, body }: GcsRequest,
    headers: Headers,
    isWrite: boolean,
    signal: AbortSignal | undefined,
  ): Promise<GcsResponse> {
    const controller = new AbortController()
    const abort = (): void => controller.abort()
    const timer = setTimeout(abort, this.#timeoutMs)
    signal?.addEventListener('abort', abort, { once: true })
    this.#underWay.add(controller)
    try {
      const init = { method, headers, body: body ?? null, signal: controller.signal, redirect: 'manual' as const }
      const response = await fetch(this.#origin + path, init)
      return { status: response.status, headers: response.headers, body: new Uint8Array(await response.arrayBuffer()) }
    } catch (error) {
      // The caller's reason says that nothing happened, and of a request that is under way nobody knows.
      if (signal?.aborted === true) throw withOutcome(signal.reason, isWrite ? 'unknown' : undefined)
      if (controller.signal.aborted) throw this.#noAnswer(isWrite)
      throw networkError(error, this.#origin, isWrite)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      this.#underWay.delete(controller)
    }
  }

  #noAnswer(isWrite: boolean): Error {
    const why = this.#closed ? 'before the store was closed' : `within ${this.#timeoutMs} ms`
    return unavailable(`Cloud Storage did not answer ${why}`, isWrite ? 'unknown' : undefined)
  }
}

const decoder = new TextDecoder()

export function textOf({ body }: GcsResponse): string {
  return decoder.decode(body)
}
