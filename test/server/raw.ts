/** HTTP byte by byte, as no client library would send it. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

export class RawConnection {
  readonly socket: Socket
  #pending = Buffer.alloc(0)
  #isOver = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#on(() => (this.#pending = Buffer.concat([this.#pending, chunk]))))
    socket.on('error', () => this.#on(() => (this.#isOver = true)))
    socket.on('close', () => this.#on(() => (this.#isOver = true)))
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** The next answer; undefined where the connection ended without one. One to HEAD has no body, whatever its head says. */
  async answer(timeoutMs = 5_000, isHead = false): Promise<RawAnswer | undefined> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const answer = this.#take(isHead)
      if (answer !== undefined || this.#isOver) return answer
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`no answer within ${timeoutMs} ms`)
      await this.#change(left)
    }
  }

  /** Resolves when the other side has ended the connection. */
  async ended(timeoutMs = 5_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!this.#isOver) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`still open after ${timeoutMs} ms`)
      await this.#change(left)
    }
  }

  /** Bytes that came and are no whole answer yet. */
  get rest(): Buffer {
    return this.#pending
  }

  close(): void {
    this.socket.destroy()
  }

  #take(isHead: boolean): RawAnswer | undefined {
    const end = this.#pending.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const [line = '', ...lines] = this.#pending.toString('latin1', 0, end).split('\r\n')
    const headers = new Map(
      lines.map((each): [string, string] => [each.split(':')[0]!.toLowerCase(), each.slice(each.indexOf(':') + 1).trim()]),
    )
    const status = Number(line.split(' ')[1])
    const length = isHead || status < 200 || status === 204 ? 0 : Number(headers.get('content-length') ?? 0)
    const from = end + 4
    const isChunked = headers.get('transfer-encoding') === 'chunked'
    const to = isChunked ? this.#pending.indexOf('0\r\n\r\n', from) + 5 : from + length
    if ((isChunked && to < from + 5) || this.#pending.length < to) return undefined
    const raw = this.#pending.subarray(from, to)
    this.#pending = this.#pending.subarray(to)
    return { status, headers, body: isChunked ? unchunked(raw) : Buffer.from(raw) }
  }

  #on(change: () => void): void {
    change()
    this.#wake?.()
  }

  async #change(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#wake = resolve
    await promise
    clearTimeout(timer)
  }
}

function unchunked(raw: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < raw.length;) {
    const line = raw.indexOf('\r\n', at)
    const size = Number.parseInt(raw.toString('latin1', at, line), 16)
    if (size === 0) break
    parts.push(raw.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return Buffer.concat(parts)
}

/** One request on a connection of its own, and its answer. */
export async function rawRequest(url: string, bytes: string | Buffer): Promise<RawAnswer | undefined> {
  const connection = await RawConnection.open(url)
  try {
    return await connection.send(bytes).answer()
  } finally {
    connection.close()
  }
}

/** `code` of a problem document. */
export function codeOf(answer: RawAnswer | undefined): string | undefined {
  return answer === undefined ? undefined : (JSON.parse(answer.body.toString()) as { code?: string }).code
}
