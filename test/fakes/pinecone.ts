/**
 * Pinecone over HTTP, as far as its vectors API goes: requests are checked against the published specification and executed for real.
 *
 * Sources: the repository `pinecone-io/pinecone-api`, `2026-07/db_data_2026-07.oas.yaml` and `2026-07/db_control_2026-07.oas.yaml` (paths, fields,
 * ranges, error bodies, the version header); docs.pinecone.io "Check data freshness" (log sequence numbers in `x-pinecone-request-lsn` and
 * `x-pinecone-max-indexed-lsn`), "Operation limits" (1,000 records or 2 MB an upsert, 1,000 ids a fetch or deletion, top_k 10,000, results of
 * 4 MB), "Filter by metadata" (see `pinecone-filter.ts`). What the specification leaves out and was taken from reports of users says so.
 *
 * It is stricter than the service where that helps: unknown fields, parameters and versions are refused. Left out: sparse vectors, hosted
 * embedding, documents, imports, aliases, backups, quotas.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FakeIndex, type Behaviour, type DataAnswer, type Metric } from './pinecone-data.ts'
import { asObject, bad, isInteger, isText, Refusal, shape } from './pinecone-refusal.ts'

const API_VERSION = '2026-07'

export interface Fault {
  /** Which requests: matched against `METHOD /path`. */
  readonly on: RegExp
  readonly status: number
  /** How many. Default 1. */
  readonly times?: number
  /** The request is executed before it is answered so. Default false. */
  readonly applied?: boolean
  /** Seconds, for `Retry-After`. */
  readonly retryAfter?: number
}

interface Created {
  readonly index: FakeIndex
  readonly readyAt: number
}

export class FakePinecone implements AsyncDisposable {
  readonly apiKey = 'pcsk_fake-key-of-the-tests'
  readonly behaviour: Behaviour = {
    lagMs: 3,
    otherLagMs: 30,
    replicas: 1,
    tellsLsn: true,
    missingDiffers: false,
    scoreError: 1.2e-3,
  }
  /** Milliseconds until a new index takes requests. */
  readyMs = 0
  /** `METHOD /path` of every request, in order. */
  readonly requests: string[] = []
  readonly indexes = new Map<string, Created>()
  #faults: { fault: Fault; left: number }[] = []
  #server: Server | undefined
  #port = 0

  static async start(): Promise<FakePinecone> {
    const fake = new FakePinecone()
    await fake.listen()
    return fake
  }

  /** Again on the port it had, after `stop`. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response))
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Ends the server and its connections; what was stored stays. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  fail(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 })
  }

  heal(): void {
    this.#faults = []
  }

  /** The requests that some work made. */
  async requestsOf(work: () => Promise<unknown>): Promise<string[]> {
    const before = this.requests.length
    await work()
    return this.requests.slice(before)
  }

  /** Drops the indexes whose names begin so. */
  drop(prefix: string): void {
    for (const name of this.indexes.keys()) if (name.startsWith(prefix)) this.indexes.delete(name)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  // ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    // Each index has a host of its own; here, a path.
    const [, name, rest] = /^\/i\/([^/]+)(\/.*)$/.exec(url.pathname) ?? []
    const path = rest ?? url.pathname
    const plane = name === undefined ? 'control' : 'data'
    try {
      const body = await textOf(request)
      const line = `${request.method} ${path}`
      this.requests.push(line)
      const fault = this.#faultOn(line)
      const answer = fault?.applied === false ? undefined : this.#answer(request, name, path, url.searchParams, body)
      if (fault !== undefined) throw new Faulty(fault)
      send(response, answer?.status ?? 200, JSON.stringify(answer?.body), answer?.headers)
    } catch (error) {
      if (!(error instanceof Refusal)) return void response.destroy()
      const headers = error instanceof Faulty && error.retryAfter !== undefined ? { 'retry-after': String(error.retryAfter) } : {}
      send(response, error.status, error.body(plane), headers)
    }
  }

  #faultOn(line: string): (Required<Pick<Fault, 'applied'>> & Fault) | undefined {
    const found = this.#faults.find(({ fault, left }) => left > 0 && fault.on.test(line))
    if (found === undefined) return undefined
    found.left--
    return { applied: false, ...found.fault }
  }

  #answer(request: IncomingMessage, name: string | undefined, path: string, query: URLSearchParams, body: string): Answer {
    const { headers, method = 'GET' } = request
    if (headers['api-key'] !== this.apiKey) throw new Refusal(401, 'Unauthorized')
    if (headers['x-pinecone-api-version'] !== API_VERSION) throw bad(`X-Pinecone-Api-Version must be ${API_VERSION}`)
    if (method === 'POST' && headers['content-type'] !== 'application/json') throw bad('Content-Type must be application/json')
    if (name === undefined) return this.#control(method, path, body, headers.host ?? '')
    const created = this.indexes.get(name)
    if (created === undefined || Date.now() < created.readyAt) throw new Refusal(404, 'no index at this host')
    return { status: 200, ...created.index.handle(method, path, query, body) }
  }

  // ── The control plane ─────────────────────────────────────────────────────────────────────────────────────────────

  #control(method: string, path: string, body: string, host: string): Answer {
    if (path === '/indexes' && method === 'GET') {
      return { status: 200, body: { indexes: [...this.indexes.keys()].map((name) => this.#described(name, host)) } }
    }
    if (path === '/indexes' && method === 'POST') return { status: 201, body: this.#create(body, host) }
    const name = /^\/indexes\/([^/]+)$/.exec(path)?.[1]
    if (name === undefined) throw new Refusal(404, `no such operation: ${method} ${path}`)
    if (!this.indexes.has(name)) throw new Refusal(404, `Index ${name} not found.`)
    if (method === 'GET') return { status: 200, body: this.#described(name, host) }
    if (method !== 'DELETE') throw new Refusal(405, 'Method not allowed')
    this.indexes.delete(name)
    return { status: 202, body: undefined }
  }

  #create(text: string, host: string): unknown {
    const body: unknown = JSON.parse(text)
    const isPart = (value: unknown, path: string): void => void asObject(value, path)
    shape({ name: isText, schema: isPart, deployment: isPart }, ['name', 'schema'])(body, 'index')
    const { name, schema, deployment } = body as { name: string; schema: unknown; deployment?: unknown }
    if (!/^[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?$/.test(name))
      throw bad('Name must consist of lower case alphanumeric characters or "-", up to 45')
    shape({ deployment_type: isText, cloud: isText, region: isText }, ['deployment_type', 'cloud', 'region'])(
      deployment,
      'deployment',
    )
    if (this.indexes.has(name)) throw new Refusal(409, 'Resource already exists.')
    // Only this reserved field makes an index for the vectors API.
    const isField = shape({ type: isText, dimension: isInteger(1, 20_000), metric: isText }, ['type', 'dimension', 'metric'])
    shape({ fields: shape({ _values: isField }, ['_values']) }, ['fields'])(schema, 'schema')
    const { _values: field } = (schema as { fields: { _values: { dimension: number; metric: Metric; type: string } } }).fields
    const { dimension, metric, type } = field
    if (type !== 'dense_vector' || !['cosine', 'euclidean', 'dotproduct'].includes(metric))
      throw new Refusal(422, 'unknown type or metric')
    this.indexes.set(name, { index: new FakeIndex(dimension, metric, this.behaviour), readyAt: Date.now() + this.readyMs })
    return this.#described(name, host)
  }

  #described(name: string, host: string): unknown {
    const { index, readyAt } = this.indexes.get(name)!
    const ready = Date.now() >= readyAt
    return {
      name,
      host: `http://${host}/i/${name}`,
      schema: { fields: { _values: { type: 'dense_vector', dimension: index.dimension, metric: index.metric } } },
      deployment: { deployment_type: 'managed', cloud: 'aws', region: 'us-east-1' },
      read_capacity: { mode: 'OnDemand', status: { state: 'Ready' } },
      deletion_protection: 'disabled',
      status: { ready, state: ready ? 'Ready' : 'Initializing' },
    }
  }
}

interface Answer extends DataAnswer {
  readonly status: number
}

class Faulty extends Refusal {
  readonly retryAfter: number | undefined

  constructor({ status, retryAfter }: Fault) {
    super(status, 'made to fail by a test')
    this.retryAfter = retryAfter
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function send(
  response: ServerResponse,
  status: number,
  body: string | undefined,
  headers: Readonly<Record<string, string>> = {},
): void {
  const type = body?.startsWith('{') === true ? 'application/json' : 'text/plain'
  response.writeHead(status, { 'content-type': type, ...headers }).end(body)
}
