/**
 * An HTTP proxy before a server of Cloud Storage: it answers in its place, loses answers, counts requests, and, before fake-gcs-server,
 * puts right what that gets wrong.
 */
import { once } from 'node:events'
import { Agent, createServer, request as send, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Seen {
  readonly method: string
  /** With the query, escaped. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
}

/** What is done with a request instead of forwarding it: answer with a status, or reset the connection; before or after it was forwarded. */
export interface Mishap {
  readonly status: number | 'reset'
  readonly when: 'before' | 'after'
}

export interface GcsProxyOptions {
  /** The server is fake-gcs-server 1.56, whose mistakes are put right. */
  readonly corrects?: boolean
}

interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export class GcsProxy implements AsyncDisposable {
  /** Decides of each request. */
  intercept: ((seen: Seen) => Mishap | undefined) | undefined
  readonly seen: Seen[] = []
  readonly #target: URL
  readonly #corrects: boolean
  readonly #agent = new Agent({ keepAlive: true })
  readonly #server: Server
  #deleting: Promise<unknown> = Promise.resolve()
  #others = new Set<Promise<unknown>>()

  private constructor(target: string, { corrects = false }: GcsProxyOptions) {
    this.#target = new URL(target)
    this.#corrects = corrects
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  static async open(target: string, options: GcsProxyOptions = {}): Promise<GcsProxy> {
    const proxy = new GcsProxy(target, options)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The requests of some work. */
  async count(work: () => Promise<unknown>): Promise<number> {
    const before = this.seen.length
    await work()
    return this.seen.length - before
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
    this.#agent.destroy()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const seen: Seen = { method: request.method!, path: request.url!, headers: request.headers }
      this.seen.push(seen)
      const mishap = this.intercept?.(seen)
      const reply = mishap?.when === 'before' ? undefined : await this.#forward(seen, Buffer.concat(chunks))
      if (mishap === undefined) response.writeHead(reply!.status, reply!.headers).end(reply!.body)
      else if (mishap.status === 'reset') response.socket?.resetAndDestroy()
      else response.writeHead(mishap.status, { 'content-type': 'application/json' }).end(errorBody(mishap.status))
    } catch {
      // The client or the server hung up.
      response.socket?.resetAndDestroy()
    }
  }

  #forward(seen: Seen, body: Buffer): Promise<Reply> {
    if (!this.#corrects) return this.#exchange(seen, body)
    const path = asJsonDownload(seen)
    if (path !== undefined) return this.#exchange({ ...seen, path }, body)
    const url = new URL(seen.path, this.#target)
    const wanted = url.searchParams.get('ifGenerationMatch')
    if (seen.method === 'DELETE' && wanted !== null) return this.#deleteOf(url, wanted, seen)
    return seen.method === 'GET' ? this.#exchange(seen, body) : this.#other(() => this.#exchange(seen, body))
  }

  /** It deletes whatever is there, so it is asked first, while no other write is under way. */
  #deleteOf(url: URL, wanted: string, seen: Seen): Promise<Reply> {
    const before = [this.#deleting, ...this.#others]
    const work = Promise.allSettled(before).then(async () => {
      const found = await this.#exchange({ ...seen, method: 'GET', path: url.pathname }, Buffer.alloc(0))
      if (found.status !== 200) return found
      const { generation } = JSON.parse(found.body.toString()) as { generation: string }
      if (generation !== wanted) return { status: 412, headers: {}, body: Buffer.from(errorBody(412)) }
      return this.#exchange({ ...seen, path: url.pathname }, Buffer.alloc(0))
    })
    this.#deleting = work
    return work
  }

  #other(exchange: () => Promise<Reply>): Promise<Reply> {
    const work = this.#deleting.then(exchange, exchange).finally(() => this.#others.delete(work))
    this.#others.add(work)
    return work
  }

  async #exchange({ method, path, headers }: Seen, body: Buffer): Promise<Reply> {
    const { hostname, port, host } = this.#target
    const own = { ...headers, host, connection: 'keep-alive', 'content-length': String(body.length) }
    delete (own as Record<string, unknown>)['transfer-encoding']
    const request = send({ agent: this.#agent, hostname, port, method, path, headers: own })
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const kept = Object.entries(response.headers).filter(([name]) => name !== 'connection' && name !== 'transfer-encoding')
    return { status: response.statusCode!, headers: Object.fromEntries(kept), body: Buffer.concat(chunks) }
  }
}

/** It serves `/BUCKET/OBJECT` only under one host name, and tells an object's own metadata at `/download` too, which the real one does not. */
function asJsonDownload({ method, path }: Seen): string | undefined {
  const found = /^\/(?!storage\/|upload\/|download\/)([^/?]+)\/([^?]+)$/.exec(path)
  return method === 'GET' && found !== null ? `/download/storage/v1/b/${found[1]}/o/${found[2]}?alt=media` : undefined
}

function errorBody(status: number): string {
  const reason = status === 429 ? 'rateLimitExceeded' : status === 412 ? 'conditionNotMet' : 'backendError'
  return JSON.stringify({ error: { code: status, message: `made up: ${status}`, errors: [{ domain: 'global', reason }] } })
}
