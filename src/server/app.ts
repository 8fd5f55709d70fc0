/** The HTTP application: which endpoint, who asks, what for; then the answer, a log line and a metric. */
import { randomUUID } from 'node:crypto'
import { Hono, type Context } from 'hono'
import type { StateStore } from '../index.ts'
import { check as checkAccess, LOCAL, LOOPBACK, type Access } from './access.ts'
import { BYTES, Reply, type Call, type Endpoint, type Served } from './endpoint.ts'
import { checkLength, Concurrency, DEFAULT_LIMITS, limited, type Limits } from './limits.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { HttpProblem, PROBLEM_TYPE, toProblem, type Problem } from './problem.ts'
import { bad, check, readJson, readQuery } from './request.ts'
import { ENDPOINTS } from './routes/index.ts'
import { Tokens } from './tokens.ts'

export interface AppOptions {
  readonly served: Served
  /** Where tokens are kept; also every workspace's state. */
  readonly state: StateStore
  readonly log: Log
  readonly limits?: Partial<Limits> | undefined
  /** Requests need a token. Default: they do once there is one. */
  readonly requireToken?: boolean | undefined
}

export interface App {
  fetch(request: Request): Response | Promise<Response>
  /** From now on `/readyz` says that the server takes no more work. */
  drain(): void
  close(): void
}

const READY_TIMEOUT_MS = 2_000
const MAX_REQUEST_ID = 128

export function createApp(options: AppOptions): App {
  const server = new Application(options)
  return { fetch: (request) => server.fetch(request), drain: () => server.drain(), close: () => server.close() }
}

class Application {
  readonly #hono = new Hono()
  readonly #served: Served
  readonly #log: Log
  readonly #limits: Limits
  readonly #tokens: Tokens
  readonly #metrics = new Metrics()
  readonly #concurrency: Concurrency
  readonly #requireToken: boolean
  #isDraining = false

  constructor({ served, state, log, limits = {}, requireToken = false }: AppOptions) {
    this.#served = served
    this.#log = log
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    this.#tokens = new Tokens(state)
    this.#requireToken = requireToken
    this.#concurrency = new Concurrency(this.#limits.maxConcurrent)
    this.#route()
  }

  fetch(request: Request): Response | Promise<Response> {
    return this.#hono.fetch(request)
  }

  drain(): void {
    this.#isDraining = true
  }

  close(): void {
    this.#metrics.close()
  }

  #route(): void {
    const document = JSON.stringify(openApi(ENDPOINTS))
    this.#open('/healthz', async () => new Reply(200, '{"status":"ok"}', JSON_TYPE))
    this.#open('/readyz', () => this.#ready())
    this.#open('/openapi.json', async () => new Reply(200, document, JSON_TYPE))
    this.#hono.get('/metrics', (context) => this.#answer(context, '/metrics', () => this.#scrape(context)))
    for (const each of ENDPOINTS) {
      this.#hono.on(each.method, each.path, (context) =>
        this.#answer(context, each.path, (caller) => this.#serve(each, context, caller)),
      )
    }
    const paths = new Set(ENDPOINTS.map(({ path }) => path))
    this.#hono.all('*', (context) =>
      this.#answer(context, 'unknown', async () => {
        throw paths.has(context.req.path)
          ? new HttpProblem('UNSUPPORTED', 'this path takes other methods', 405)
          : new HttpProblem('NOT_FOUND', 'there is no such path; GET /openapi.json lists those that there are')
      }),
    )
  }

  /** A path that needs no token and tells nothing of the data. */
  #open(path: string, run: () => Promise<Reply>): void {
    this.#hono.get(path, (context) => this.#answer(context, path, run))
  }

  /** Runs one request, and accounts for it however it ends. */
  async #answer(context: Context, route: string, run: (request: { tokenId?: string }) => Promise<Reply>): Promise<Response> {
    const began = performance.now()
    const { method } = context.req
    const requestId = requestIdOf(context.req.raw.headers)
    const caller: { tokenId?: string } = {}
    this.#metrics.begin()
    let reply: Reply
    let problem: Problem | undefined
    try {
      reply = await run(caller)
    } catch (error) {
      problem = toProblem(error, requestId)
      reply = problemReply(problem)
      if (problem.status >= 500) this.#logFailure(error, requestId)
    }
    const durationMs = performance.now() - began
    this.#metrics.end({ method, route, status: reply.status, seconds: durationMs / 1000 })
    this.#account({ requestId, method, route, status: reply.status, durationMs, ...caller }, problem)
    return new Response(reply.body, {
      status: reply.status,
      headers: { ...SAFE_HEADERS, ...reply.headers, 'x-request-id': requestId },
    })
  }

  #account(line: Omit<Parameters<Log>[0], 'event' | 'level'>, problem: Problem | undefined): void {
    const { code, status = 200 } = problem ?? {}
    const refused = problem !== undefined && status < 500
    if (refused) this.#metrics.refuse(problem.code)
    this.#log({ event: refused ? 'audit' : 'request', level: status >= 500 ? 'error' : refused ? 'warn' : 'info', ...line, code })
  }

  /** The error's own words stay on this side. */
  #logFailure(error: unknown, requestId: string): void {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    this.#log({ event: 'server', level: 'error', requestId, message })
  }

  async #serve(endpoint: Endpoint, context: Context, caller: { tokenId?: string }): Promise<Reply> {
    const access = await this.#authenticate(context.req.raw)
    caller.tokenId = access.tokenId
    this.#concurrency.enter(access.tokenId)
    try {
      return await this.#perform(endpoint, context, access)
    } finally {
      this.#concurrency.leave(access.tokenId)
    }
  }

  async #perform(endpoint: Endpoint, context: Context, access: Access): Promise<Reply> {
    const request = context.req.raw
    const query = check(endpoint.query, readQuery(request.url), 'query')
    const body = await this.#body(endpoint, request)
    checkAccess(access, endpoint.need({ query, body }))
    const call = this.#callOf(request)
    const result = await endpoint.run({ ...this.#served, limits: this.#limits, query, body, headers: request.headers, call })
    if (result instanceof Reply) return result
    return result === undefined ? new Reply(204) : new Reply(200, JSON.stringify(result), JSON_TYPE)
  }

  async #body({ body }: Endpoint, request: Request): Promise<unknown> {
    if (body === undefined) return undefined
    if (body !== BYTES) return check(body, await readJson(request, this.#limits.maxBodyBytes), 'body')
    checkLength(request.headers, this.#limits.maxValueBytes)
    return request.body === null ? null : limited(request.body, this.#limits.maxValueBytes)
  }

  #callOf({ headers, signal }: Request): Call {
    const asked = headers.get('holdfast-timeout-ms')
    if (asked === null) return { signal, timeoutMs: this.#limits.requestTimeoutMs }
    if (!/^[1-9]\d{0,8}$/.test(asked)) throw bad('holdfast-timeout-ms must be a whole number of milliseconds')
    return { signal, timeoutMs: Math.min(Number(asked), this.#limits.requestTimeoutMs) }
  }

  async #authenticate({ headers, url }: Request): Promise<Access> {
    const header = headers.get('authorization')
    const token = header === null ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1]
    if (header !== null) return this.#tokens.access(token ?? '')
    if (this.#requireToken || (await this.#tokens.any())) return this.#tokens.access('')
    // A web page may make its own name mean this machine, and would then be let in by the browser of whoever looks at it.
    if (!LOOPBACK.has(new URL(url).hostname))
      throw new HttpProblem('PERMISSION_DENIED', 'without a token, call the server by 127.0.0.1')
    return LOCAL
  }

  async #scrape(context: Context): Promise<Reply> {
    checkAccess(await this.#authenticate(context.req.raw), { workspace: '*', write: false })
    return new Reply(200, await this.#metrics.text(), { 'content-type': this.#metrics.contentType })
  }

  async #ready(): Promise<Reply> {
    if (this.#isDraining) return new Reply(503, '{"status":"draining"}', JSON_TYPE)
    const { conversation, knowledge, state } = this.#served
    const stores = { conversation, knowledge, state }
    const answers = await Promise.all(
      Object.entries(stores).map(async ([kind, store]) => {
        const up = await store.ping({ timeoutMs: READY_TIMEOUT_MS }).then(
          () => true,
          () => false,
        )
        return [kind, up ? 'ok' : 'unavailable'] as const
      }),
    )
    const ready = answers.every(([, status]) => status === 'ok')
    return new Reply(
      ready ? 200 : 503,
      JSON.stringify({ status: ready ? 'ok' : 'unavailable', ...Object.fromEntries(answers) }),
      JSON_TYPE,
    )
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }

/** Answers are data for programs: no browser is to guess, keep or run them. */
const SAFE_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'",
}

function problemReply(problem: Problem): Reply {
  const more: Record<string, string> = {}
  if (problem.status === 429) more['retry-after'] = '1'
  if (problem.status === 401) more['www-authenticate'] = 'Bearer'
  return new Reply(problem.status, JSON.stringify(problem), { 'content-type': PROBLEM_TYPE, ...more })
}

/** The caller's own, where it is harmless in a log, so that one id leads through several services. */
function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && given.length <= MAX_REQUEST_ID && /^[\w.:-]+$/.test(given) ? given : randomUUID()
}
