/** The HTTP application: which endpoint, who asks, what for; then the answer, a log line and a metric. */
import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext } from 'hono'
import type { StateStore } from '../index.ts'
import { check as checkAccess, EVERYTHING, type Access } from './access.ts'
import { Body } from './bodies.ts'
import { BYTES, JSON_TYPE, jsonOf, Reply, type Call, type Endpoint, type Served } from './endpoint.ts'
import { Exchange, refuse, type Books } from './exchange.ts'
import { Gate } from './gate.ts'
import { Concurrency, type Limits } from './limits.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { checkConditions } from './preconditions.ts'
import { HttpProblem, type Problem } from './problem.ts'
import { Readiness } from './readiness.ts'
import { bad, check, checkMediaType, parseJson, readQuery } from './request.ts'
import { ENDPOINTS } from './routes/index.ts'
import { Tokens } from './tokens.ts'
import { Turns } from './turns.ts'

export interface AppOptions {
  readonly served: Served
  /** Where tokens are kept; also every workspace's state. */
  readonly state: StateStore
  readonly log: Log
  readonly limits: Limits
  /** Requests need a token. Default: they do once there is one. */
  readonly requireToken?: boolean | undefined
}

export interface App {
  fetch(request: Request, bindings: HttpBindings): Response | Promise<Response>
  /** What was refused before it was a request. */
  refused(error: unknown, address: string | undefined): Problem
  /** From now on new requests are refused, and connections end with their answers. */
  drain(): void
  close(): void
}

type Context = HonoContext<{ Bindings: HttpBindings }>

export function createApp(options: AppOptions): App {
  return new Application(options)
}

const TOO_MANY = new HttpProblem('RATE_LIMITED', 'too many requests wait in one connection')

class Application implements App {
  readonly #hono = new Hono<{ Bindings: HttpBindings }>()
  readonly #served: Served
  readonly #books: Books & { readonly metrics: Metrics }
  readonly #limits: Limits
  readonly #gate: Gate
  readonly #readiness: Readiness
  readonly #concurrency: Concurrency
  readonly #turns = new Turns((socket) => void this.refused(TOO_MANY, socket.remoteAddress))
  #isDraining = false

  constructor({ served, state, log, limits, requireToken = false }: AppOptions) {
    this.#served = served
    this.#books = { log, metrics: new Metrics() }
    this.#limits = limits
    this.#gate = new Gate(new Tokens(state), requireToken)
    this.#readiness = new Readiness(served)
    this.#concurrency = new Concurrency(limits.maxConcurrent)
    this.#route()
  }

  fetch(request: Request, bindings: HttpBindings): Response | Promise<Response> {
    return this.#hono.fetch(request, bindings)
  }

  refused(error: unknown, address: string | undefined): Problem {
    return refuse(this.#books, error, address)
  }

  drain(): void {
    this.#isDraining = true
  }

  close(): void {
    this.#books.metrics.close()
  }

  #route(): void {
    const document = JSON.stringify(openApi(ENDPOINTS))
    this.#open('/healthz', async () => new Reply(200, '{"status":"ok"}', JSON_TYPE))
    this.#open('/readyz', () => this.#readiness.reply())
    this.#open('/openapi.json', async () => new Reply(200, document, JSON_TYPE))
    this.#on('GET', '/metrics', (exchange, context) => this.#scrape(exchange, context))
    for (const each of ENDPOINTS) this.#on(each.method, each.path, (...asked) => this.#serve(each, ...asked))
    const methods = methodsOf(this.#hono.routes)
    this.#hono.all('*', (context) => this.#answer(context, 'unknown', async () => refusePath(methods.get(context.req.path))))
  }

  /** A path that needs no token and tells nothing of the data. */
  #open(path: string, run: () => Promise<Reply>): void {
    this.#on('GET', path, run)
  }

  #on(method: string, path: string, run: (exchange: Exchange, context: Context) => Promise<Reply>): void {
    this.#hono.on(method, path, (context) => this.#answer(context, path, (exchange) => run(exchange, context)))
  }

  #answer(context: Context, route: string, run: (exchange: Exchange) => Promise<Reply>): Promise<Response> {
    const { incoming, outgoing } = context.env
    const exchange = new Exchange(this.#books, { request: context.req.raw, incoming, outgoing, route })
    return exchange.answer(async () => {
      await this.#turns.take(incoming, outgoing)
      if (incoming.headers.host === undefined && incoming.httpVersion !== '1.0') throw bad('the host header is missing')
      if (!this.#isDraining) return run(exchange)
      throw new HttpProblem('UNAVAILABLE', 'the server is shutting down', 503, { connection: 'close' })
    })
  }

  async #serve(endpoint: Endpoint, exchange: Exchange, context: Context): Promise<Reply> {
    const access = await this.#admit(exchange, context)
    exchange.release = this.#concurrency.enter(access.tokenId)
    const { incoming, outgoing } = context.env
    const request = context.req.raw
    const { headers } = request
    const query = check(endpoint.query, readQuery(incoming.url!), 'query')
    checkConditions(headers, endpoint.headers)
    const call = this.#callOf(request)
    const allow = (body?: unknown): void => checkAccess(access, endpoint.need({ query, body }))
    if (endpoint.needsBody !== true) allow()
    const body = await this.#body(endpoint, new Body(incoming, outgoing, this.#limits), headers)
    if (endpoint.needsBody === true) allow(body)
    return replyOf(
      endpoint,
      await endpoint.run({ ...this.#served, limits: this.#limits, method: request.method, query, body, headers, call }),
    )
  }

  async #body(endpoint: Endpoint, body: Body, headers: Headers): Promise<unknown> {
    if (endpoint.body === BYTES) return body
    if (endpoint.body !== undefined) {
      checkMediaType(headers)
      return check(endpoint.body, parseJson(await body.bytes(this.#limits.maxBodyBytes)).value, 'body')
    }
    if (body.length !== 0) throw bad('this endpoint takes no body')
    return undefined
  }

  #callOf({ headers, signal }: Request): Call {
    const asked = headers.get('holdfast-timeout-ms')
    if (asked === null) return { signal, timeoutMs: this.#limits.requestTimeoutMs }
    if (!/^[1-9]\d{0,8}$/.test(asked)) throw bad('holdfast-timeout-ms must be a whole number of milliseconds')
    return { signal, timeoutMs: Math.min(Number(asked), this.#limits.requestTimeoutMs) }
  }

  async #admit(exchange: Exchange, context: Context): Promise<Access> {
    const access = await this.#gate.admit(context.env.incoming, context.req.raw.headers.get('authorization'))
    exchange.tokenId = access.tokenId
    return access
  }

  async #scrape(exchange: Exchange, context: Context): Promise<Reply> {
    checkAccess(await this.#admit(exchange, context), { workspace: EVERYTHING, write: false })
    const { metrics } = this.#books
    return new Reply(200, await metrics.text(), { 'content-type': metrics.contentType })
  }
}

function replyOf({ status, tag }: Endpoint, result: unknown): Reply {
  if (result instanceof Reply) return result
  return result === undefined ? new Reply(204) : new Reply(status ?? 200, jsonOf(result, tag), JSON_TYPE)
}

/** The methods of each path, as an `Allow` header lists them. */
function methodsOf(routes: readonly { readonly path: string; readonly method: string }[]): Map<string, string> {
  const methods = Map.groupBy(routes, ({ path }) => path)
  return new Map(
    methods
      .entries()
      .map(([path, each]) => [path, each.map(({ method }) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ')]),
  )
}

function refusePath(allowed: string | undefined): never {
  if (allowed !== undefined) throw new HttpProblem('UNSUPPORTED', `this path takes ${allowed}`, 405, { allow: allowed })
  throw new HttpProblem('NOT_FOUND', 'there is no such path; GET /openapi.json lists those that there are')
}
