/** A host that is not ours: it takes one plugin after another, keeps what they say, and answers what the test tells it to. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { JsonObject } from '../../src/index.ts'

export class OtherHost {
  readonly address: string
  /** All lines of all plugins. */
  readonly said: JsonObject[] = []
  readonly sockets: Socket[] = []
  readonly #server: Server
  #wake: () => void = () => undefined

  private constructor(server: Server) {
    this.#server = server
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket) => {
      this.sockets.push(socket)
      socket.on('error', () => undefined)
      let rest = ''
      socket.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        this.said.push(...lines.filter((line) => line !== '').map((line) => JSON.parse(line) as JsonObject))
        this.#wake()
      })
    })
  }

  static async open(): Promise<OtherHost> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const host = new OtherHost(server)
    onTestFinished(() => host.close())
    return host
  }

  close(): void {
    this.#server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  send(message: unknown): void {
    this.sockets.at(-1)!.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`)
  }

  invoke(tool: string, parameters: JsonObject = {}, sessionId = 's1'): void {
    const data = {
      user_id: 'u',
      type: 'tool',
      action: 'invoke_tool',
      provider: 'notes',
      tool,
      tool_parameters: parameters,
      credentials: {},
    }
    this.send({ session_id: sessionId, event: 'request', data })
  }

  answer(requestId: unknown, event: string, message: string, data: unknown): void {
    this.send({ session_id: 's1', event: 'backwards_response', data: { backwards_request_id: requestId, event, message, data } })
  }

  /** The first thing said that is so. */
  async heard<T>(pick: (message: JsonObject) => T | undefined): Promise<T> {
    for (;;) {
      for (const message of this.said) {
        const picked = pick(message)
        if (picked !== undefined) return picked
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** The next storage call, as `[request id, request]`. */
  async call(): Promise<readonly [string, JsonObject]> {
    return this.heard((message) => {
      const inner = ((message['data'] as JsonObject | undefined)?.['data'] ?? {}) as JsonObject
      if (inner['type'] !== 'storage') return undefined
      this.said.splice(this.said.indexOf(message), 1)
      return [inner['backwards_request_id'] as string, inner['request'] as JsonObject] as const
    })
  }

  /** What the session has streamed, and how it ended. */
  async session(sessionId = 's1'): Promise<{ streamed: JsonObject[]; error: JsonObject | undefined }> {
    const mine = (): { type: string; data: JsonObject }[] =>
      this.said
        .filter(({ session_id: id }) => id === sessionId)
        .map(({ data }) => data as unknown as { type: string; data: JsonObject })
    await this.heard(() => (mine().some(({ type }) => type === 'end') ? true : undefined))
    return {
      streamed: mine().flatMap(({ type, data }) => (type === 'stream' ? [data] : [])),
      error: mine().find(({ type }) => type === 'error')?.data,
    }
  }
}
