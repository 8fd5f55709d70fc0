/** A TCP proxy between a client and its server, with all that can go wrong on the way. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** What happens to the next thing that a client sends; it happens once, and the connection is reset with it. */
export type Loss =
  /** It never reaches the server. */
  | 'request'
  /** It reaches the server, whose answer is lost. */
  | 'answer'
  /** Only so many bytes of it, and of what follows, reach the server. */
  | { readonly afterBytes: number }

export class Proxy implements AsyncDisposable {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly #target: Endpoint
  readonly #server: Server
  readonly #links = new Set<Link>()
  #roundTrips = 0
  #opened = 0
  #isCut = false
  #isSilent = false
  #delayMs = 0
  #loss: Loss | undefined
  #untilLoss = 0

  private constructor(server: Server, target: Endpoint) {
    this.#server = server
    this.#target = target
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (client) => this.#accept(client))
  }

  /** A proxy on a port of its own before a server: its URL, or its host and port. */
  static async open(target: string | Endpoint): Promise<Proxy> {
    const server = createServer({ allowHalfOpen: false, noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Proxy(server, typeof target === 'string' ? endpointOf(target) : target)
  }

  /** A URL of the server, by way of this proxy. */
  url(original: string): string {
    const { host } = new URL(original)
    return original.replace(host, `${this.host}:${this.port}`)
  }

  /** Resets every connection, and every new one as soon as it is made, until `heal`. */
  cut(): void {
    this.#isCut = true
    this.reset()
  }

  /** Ends whatever is wrong. Connections that fell silent are reset. */
  heal(): void {
    this.#isCut = false
    this.#delayMs = 0
    this.#loss = undefined
    if (this.#isSilent) this.reset()
    this.#isSilent = false
  }

  /** Resets the connections that there are. */
  reset(): void {
    for (const link of this.#links) link.reset()
  }

  /** Everything arrives this much later, in each direction, until `heal`. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Connections stay open, new ones too, but nothing gets through any more, until `heal`. */
  halfOpen(): void {
    this.#isSilent = true
  }

  /** Loses the next request or its answer, and resets its connection. */
  lose(loss: Loss): void {
    this.#loss = loss
    this.#untilLoss = typeof loss === 'object' ? loss.afterBytes : 0
  }

  /** How often clients have sent something and were answered, or still wait for it, since the proxy opened. */
  get roundTrips(): number {
    return this.#roundTrips
  }

  /** The round trips of some work. Nothing else may use the proxy meanwhile. */
  async count(work: () => Promise<unknown>): Promise<number> {
    const before = this.#roundTrips
    await work()
    return this.#roundTrips - before
  }

  /** Connections that clients have made since the proxy opened. */
  get opened(): number {
    return this.#opened
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#links.size
  }

  async close(): Promise<void> {
    this.reset()
    this.#server.close()
    await once(this.#server, 'close')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #accept(client: Socket): void {
    this.#opened++
    if (this.#isCut) {
      client.on('error', ignore)
      client.resetAndDestroy()
      return
    }
    const link = new Link(client, connect({ ...this.#target, noDelay: true }), {
      toServer: (chunk) => this.#toServer(link, chunk),
      toClient: (chunk) => this.#toClient(link, chunk),
      ended: () => this.#links.delete(link),
    })
    this.#links.add(link)
  }

  #toServer(link: Link, chunk: Buffer): void {
    if (!link.waits) this.#roundTrips++
    link.waits = true
    if (this.#isSilent) return
    if (this.#loss === 'request') return this.#lost(link)
    if (this.#loss === 'answer') link.losesAnswer = true
    if (typeof this.#loss === 'object') {
      const passed = chunk.subarray(0, this.#untilLoss)
      this.#untilLoss -= passed.length
      if (passed.length < chunk.length) return link.sendThen(passed, () => this.#lost(link))
    }
    if (link.losesAnswer) this.#loss = undefined
    this.#later(() => link.server.write(chunk))
  }

  #toClient(link: Link, chunk: Buffer): void {
    link.waits = false
    if (this.#isSilent) return
    if (link.losesAnswer) return link.reset()
    this.#later(() => link.client.write(chunk))
  }

  #lost(link: Link): void {
    this.#loss = undefined
    link.reset()
  }

  /** Timers of one duration fire in their order, so nothing overtakes. */
  #later(work: () => void): void {
    if (this.#delayMs === 0) work()
    else setTimeout(work, this.#delayMs)
  }
}

interface LinkEvents {
  toServer(chunk: Buffer): void
  toClient(chunk: Buffer): void
  ended(): void
}

/** One client's connection and the one to the server that stands for it. */
class Link {
  readonly client: Socket
  readonly server: Socket
  /** The client has sent something that is not answered yet. */
  waits = false
  losesAnswer = false

  constructor(client: Socket, server: Socket, events: LinkEvents) {
    this.client = client
    this.server = server
    client.on('data', (chunk) => events.toServer(chunk)).on('end', () => server.end())
    server.on('data', (chunk) => events.toClient(chunk)).on('end', () => client.end())
    // A server that is down looks to the client like one that hangs up.
    for (const socket of [client, server]) socket.on('error', () => this.reset())
    for (const socket of [client, server]) socket.on('close', () => events.ended())
  }

  sendThen(chunk: Buffer, then: () => void): void {
    this.server.write(chunk, then)
  }

  reset(): void {
    this.client.resetAndDestroy()
    this.server.resetAndDestroy()
  }
}

function ignore(): void {
  // A client that is reset may be writing; that is the point.
}

const STANDARD_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

function endpointOf(url: string): Endpoint {
  const { hostname, port, protocol } = new URL(url)
  const number = port === '' ? STANDARD_PORTS[protocol] : Number(port)
  if (number === undefined) throw new Error(`no port in ${protocol}//${hostname}`)
  return { host: hostname, port: number }
}
