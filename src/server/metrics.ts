/** What Prometheus scrapes: requests by endpoint, and the calls of the stores behind them. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { CallEvent } from '../index.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export interface Measured {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly seconds: number
}

export class Metrics {
  readonly #registry = new Registry()
  readonly #underWay: Gauge
  readonly #memory: Gauge
  readonly #requests: Histogram<'method' | 'route' | 'status'>
  readonly #refused: Counter<'code'>
  readonly #calls: Histogram<'kind' | 'backend' | 'method' | 'result'>
  readonly #onCall = (message: unknown): void => this.#call(message as CallEvent)

  constructor() {
    const registers = [this.#registry]
    this.#underWay = new Gauge({ name: 'holdfast_http_requests_under_way', help: 'Requests being answered.', registers })
    this.#requests = new Histogram({
      name: 'holdfast_http_request_duration_seconds',
      help: 'Time from the head of a request to the end of its answer.',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers,
    })
    this.#refused = new Counter({
      name: 'holdfast_http_requests_refused_total',
      help: 'Requests that were refused, by code.',
      labelNames: ['code'],
      registers,
    })
    this.#calls = new Histogram({
      name: 'holdfast_store_call_duration_seconds',
      help: 'Calls of stores in this process.',
      labelNames: ['kind', 'backend', 'method', 'result'],
      buckets: SECONDS,
      registers,
    })
    this.#memory = new Gauge({ name: 'holdfast_process_resident_bytes', help: 'Memory of this process.', registers })
    subscribe('holdfast:call', this.#onCall)
  }

  begin(): void {
    this.#underWay.inc()
  }

  end({ method, route, status, seconds }: Measured): void {
    this.#underWay.dec()
    this.#requests.observe({ method, route, status: String(status) }, seconds)
  }

  refuse(code: string): void {
    this.#refused.inc({ code })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  text(): Promise<string> {
    this.#memory.set(process.memoryUsage.rss())
    return this.#registry.metrics()
  }

  close(): void {
    unsubscribe('holdfast:call', this.#onCall)
  }

  #call({ kind, backend, method, result, durationMs }: CallEvent): void {
    this.#calls.observe({ kind, backend, method, result }, durationMs / 1000)
  }
}
