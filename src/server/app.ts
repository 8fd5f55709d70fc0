/** The HTTP application: which endpoint, who asks, what for; then the answer, a log line and a metric. */
import { randomUUID } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext } from 'hono'
import type { StateStore } from '../index.ts'
import { check as checkAccess, EVERYTHING, type Access } from './access.ts'
import { Body } from './bodies.ts'
import { BYTES, JSON_TYPE, Reply, type Call, type Endpoint, type Served } from './endpoint.ts'
import { Exchange } from './exchange.ts'
import { Gate } from './gate.ts'
import { Concurrency, DEFAULT_LIMITS, type Limits } from './limits.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { openApi } from './openapi.ts'
import { checkConditions } from './preconditions.ts'
import { HttpProblem } from './problem.ts'
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
  refused(error: unknown, address: string | undefined): Response
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
  readonly #log: Log
  readonly #limits: Limits
  readonly #gate: Gate
  readonly #readiness: Readiness
  readonly #metrics: Metrics
  readonly #concurrency: Concurrency
  #isDraining = false

  constructor({ served, state, log, limits, requireToken = false }: AppOptions) {
    this.#served = served
    this.#log = log
    this.#limits = limits
    this.#gate = new Gate(new Tokens(state), requireToken)
    this.#readiness = new Readiness(served)
    this.#metrics = new Metrics()
    this.#concurrency = new Concurrency(limits.maxConcurrent)
    this.#route()
  }

  fetch(request: Request, bindings: HttpBindings): Response | Promise<Response> {
    return this.#hono.fetch(request, bindings)
  }

  refused(error: unknown, address: string | undefined): Response {
    return new Exchange(this, { requestId: randomUUID(), address }).refuse(error)
  }

  drain(): void {
    this.#isDraining = true
  }

  close(): void {
    this.#metrics.close()
  }
}
