/** An HTTP gateway before DynamoDB that answers some requests itself, before or after they took effect. */
import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What is to go wrong with a request. */
export interface Fault {
  /** `before`: it never reaches DynamoDB; `after`: it does, and its answer is replaced. */
  readonly when: 'before' | 'after'
  /** The error that the client gets instead; left out: the connection is reset. */
  readonly answer?:
    | { readonly status: number; readonly type: string; readonly message?: string; readonly more?: object }
    | undefined
  /** Only of these operations. Default: all. */
  readonly operation?: string
}

export const THROTTLED = {
  status: 400,
  type: 'ProvisionedThroughputExceededException',
  message: 'The level of throughput is exceeded',
}
export const BROKEN = { status: 500, type: 'InternalServerError', message: 'Internal server error' }

export class Gateway implements AsyncDisposable {
  readonly url: string
  /** Names of the operations that clients asked for, in their order. */
  readonly operations: string[] = []
  /** Asked for each request; may say what is to go wrong. */
  chaos: (operation: string) => Fault | undefined = () => undefined
  readonly #server: Server
  readonly #target: URL
  readonly #faults: Fault[] = []

  private constructor(server: Server, target: URL) {
    this.#server = server
    this.#target = target
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (incoming, outgoing) => void this.#serve(incoming, outgoing))
  }

  static async open(target: string): Promise<Gateway> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Gateway(server, new URL(target))
  }

  /** The next requests that fit go wrong, one each, in this order. */
  next(...faults: readonly Fault[]): void {
    this.#faults.push(...faults)
  }

  /** The operations that some work asks for. */
  async during(work: () => Promise<unknown>): Promise<string[]> {
    const before = this.operations.length
    await work()
    return this.operations.slice(before)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const operation = String(incoming.headers['x-amz-target']).split('.')[1]!
    this.operations.push(operation)
    const body = Buffer.concat(await incoming.toArray())
    const fault = this.#fault(operation)
    if (fault?.when === 'before') return answer(outgoing, fault)
    const proxied = request(this.#target, { method: incoming.method!, headers: incoming.headers, agent: false })
    proxied.end(body)
    proxied.on('error', () => outgoing.destroy())
    proxied.on('response', (response) => {
      if (fault !== undefined) {
        response.resume().on('end', () => answer(outgoing, fault))
        return
      }
      outgoing.writeHead(response.statusCode!, response.headers)
      response.pipe(outgoing)
    })
  }

  #fault(operation: string): Fault | undefined {
    const at = this.#faults.findIndex((fault) => fault.operation === undefined || fault.operation === operation)
    return at === -1 ? this.chaos(operation) : this.#faults.splice(at, 1)[0]
  }
}

function answer(outgoing: ServerResponse, { answer }: Fault): void {
  if (answer === undefined) return void outgoing.socket?.resetAndDestroy()
  const { status, type, message, more } = answer
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' })
  outgoing.end(JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${type}`, message, ...more }))
}
