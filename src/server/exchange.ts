/** One request and its answer, accounted for however it ends. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { redact } from '../index.ts'
import { Reply } from './endpoint.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { isRefusal, PROBLEM_TYPE, problemHeaders, toProblem, type Problem } from './problem.ts'

/** Where requests are noted. */
export interface Books {
  readonly log: Log
  readonly metrics: Metrics
}

export interface Asked {
  readonly request: Request
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** The endpoint's path. */
  readonly route: string
}

const MAX_REQUEST_ID = 128
const MAX_CAUSES = 5

export class Exchange {
  /** Who asks, once that is known. */
  tokenId: string | undefined
  /** Called once the answer has gone out, or the caller. */
  release: (() => void) | undefined
  readonly #books: Books
  readonly #asked: Asked
  readonly #requestId: string
  readonly #began = performance.now()
  #status = 0
  #problem: Problem | undefined
  #refused = false

  constructor(books: Books, asked: Asked) {
    this.#books = books
    this.#asked = asked
    this.#requestId = requestIdOf(asked.request.headers)
  }

  async answer(work: () => Promise<Reply>): Promise<Response> {
    this.#books.metrics.begin()
    let reply: Reply
    try {
      reply = await work()
    } catch (error) {
      reply = this.#failed(error)
    }
    this.#status = reply.status
    const { outgoing } = this.#asked
    if (outgoing.closed) this.#account()
    else outgoing.once('close', () => this.#account())
    return this.#response(reply)
  }

  #failed(error: unknown): Reply {
    const problem = this.#note(error)
    return new Reply(problem.status, JSON.stringify(problem), { 'content-type': PROBLEM_TYPE, ...problemHeaders(error, problem) })
  }

  #note(error: unknown): Problem {
    const { request, incoming } = this.#asked
    const isGone = request.signal.aborted || incoming.errored !== null
    const problem = toProblem(error, this.#requestId, isGone)
    this.#problem = problem
    this.#refused = isRefusal(error, problem)
    if (problem.status >= 500 && !this.#refused) logFailure(this.#books.log, error, this.#requestId)
    return problem
  }

  #account(): void {
    const { request, route, outgoing, incoming } = this.#asked
    const durationMs = performance.now() - this.#began
    const { method } = request
    const { log, metrics } = this.#books
    this.release?.()
    metrics.end({ method, route, status: this.#status, seconds: durationMs / 1_000 })
    const code = this.#problem?.code ?? (outgoing.writableFinished ? undefined : 'ABORTED')
    const line = { requestId: this.#requestId, method, route, status: this.#status, durationMs, tokenId: this.tokenId, code }
    if (!this.#refused) return log({ event: 'request', level: this.#problem === undefined ? 'info' : 'error', ...line })
    metrics.refuse(this.#problem!.code)
    log({ event: 'audit', level: 'warn', ...line, address: incoming.socket.remoteAddress })
  }

  #response({ status, body, headers }: Reply): Response {
    const { request, incoming } = this.#asked
    const all: Record<string, string> = { ...SAFE_HEADERS, ...headers, 'x-request-id': this.#requestId }
    // The rest of a body that nobody reads would be taken for the next request; for other methods the adapter sees to it.
    if (!incoming.complete && READING.has(request.method)) all['connection'] = 'close'
    if (request.method !== 'HEAD') return new Response(this.#bodyOf(body), { status, headers: all })
    if (isStream(body)) body.destroy()
    else if (body !== null) all['content-length'] = String(Buffer.byteLength(body))
    return new Response(null, { status, headers: all })
  }

  #bodyOf(body: Reply['body']): ConstructorParameters<typeof Response>[0] {
    return isStream(body) ? streamed(body, (error) => this.#cut(error)) : (body as Uint8Array<ArrayBuffer> | string | null)
  }

  /** The head is out already: all that can be said is that this was not all. */
  #cut(error: unknown): void {
    this.#note(error)
    this.#refused = false
    this.#asked.outgoing.destroy()
  }
}

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD'])

/** Answers are data for programs: no browser is to guess, keep or run them. */
const SAFE_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'",
}

function isStream(body: Reply['body']): body is Readable {
  return body !== null && typeof body === 'object' && 'pipe' in body
}

/** As a web stream that never fails: where its bytes end early the connection does, so that nobody takes a part for the whole. */
function streamed(source: Readable, cut: (error: unknown) => void): ReadableStream<Uint8Array> {
  const pieces = source.iterator() as AsyncIterator<Uint8Array, undefined>
  const never = new Promise<void>(() => undefined)
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await pieces.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          cut(error)
          await never
        }
      },
      cancel: () => void source.destroy(),
    },
    { highWaterMark: 0 },
  )
}

/** What never became a request: the framing is wrong, the headers are too long or too slow. */
export function refuse({ log, metrics }: Books, error: unknown, address: string | undefined): Problem {
  const problem = toProblem(error, randomUUID())
  metrics.refuse(problem.code)
  const { requestId, status, code } = problem
  log({ event: 'audit', level: 'warn', requestId, route: 'unknown', status, code, address })
  return problem
}

/** The error's own words stay on this side. */
function logFailure(log: Log, error: unknown, requestId: string): void {
  const words: string[] = []
  for (let at = error; at instanceof Error && words.length < MAX_CAUSES; at = at.cause) words.push(`${at.name}: ${at.message}`)
  log({ event: 'server', level: 'error', requestId, message: redact(words.join('; caused by ')) })
}

/** The caller's own, where it is harmless in a log, so that one id leads through several services. */
function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && given.length <= MAX_REQUEST_ID && /^[\w.:-]+$/.test(given) ? given : randomUUID()
}
