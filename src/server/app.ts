/** The HTTP application: which endpoint, who asks, what for; then the answer, a log line and a metric. */
import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext } from 'hono'
import type { StateStore } from '../index.ts'
import { check as checkAccess, EVERYTHING, type Access } from './access.ts'
import { Body } from './bodies.ts'
import { BYTES, JSON_TYPE, Reply, type Call, type Endpoint, type Served } from './endpoint.ts'
import { Exchange, refuse, type Books } from './exchange.ts'
import { Gate } from './gate.ts'
import { Concurrency, DEFAULT_LIMITS, type Limits } from './limits.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { checkConditions } from './preconditions.ts'
import { HttpProblem, type Problem } from './problem.ts'
import { Readiness } from './readiness.ts'
import { bad, check, checkMediaType, parseJson, readQuery } from './request.ts'
import { ENDPOINTS } from './routes/index.ts'
import { Tokens } from './tokens.ts'

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

class Application implements App {
  readonly #hono = new Hono<{ Bindings: HttpBindings }>()
  readonly #served: Served
  readonly #books: Books & { readonly metrics: Metrics }
  readonly #limits: Limits
  readonly #gate: Gate
  readonly #readiness: Readiness
  readonly #concurrency: Concurrency
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
      if (!this.#isDraining) return run(exchange)
      throw new HttpProblem('UNAVAILABLE', 'the server is shutting down', 503, { connection: 'close' })
    })
  }

  async #serve(endpoint: Endpoint, exchange: Exchange, context: Context): Promise<Reply> {
    const access = await this.#admit(exchange, context)
    exchange.release = this.#concurrency.enter(access.tokenId)
    const { incoming, outgoing } = context.env
    const request = context.req.raw
    const query = check(endpoint.query, readQuery(incoming.url!), 'query')
    checkConditions(request.headers, endpoint.headers)
    const call = this.#callOf(request)
    const body = await this.#body(endpoint, new Body(incoming, outgoing, this.#limits), request.headers, () =>
      checkAccess(access, endpoint.need({ query, body: undefined })),
    )
    if (endpoint.needsBody) checkAccess(access, endpoint.need({ query, body }))
    const input = { ...this.#served, limits: this.#limits, query, body, headers: request.headers, call }
    return replyOf(endpoint, await endpoint.run(input))
  }
}
