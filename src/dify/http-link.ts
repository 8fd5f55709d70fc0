/** The way to a plugin that is an HTTP service. */
import { once } from 'node:events'
import { request as requestHttp, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { request as requestHttps } from 'node:https'
import { HoldfastError } from '../index.ts'
import { Budget } from './budget.ts'
import { lost } from './failures.ts'
import { linesOf } from './lines.ts'
import type { Link } from './link.ts'
import type { DifyPlugin } from './plugin.ts'
import { MAX_LINE_BYTES } from './rules.ts'

export const SESSION_HEADER = 'dify-plugin-session-id'

const LINGER_MS = 1_000

export interface HttpLinkOptions {
  readonly url: string
  readonly maxPendingBytes: number
  readonly onClose: () => void
}

export class HttpLink implements Link {
  readonly #base: string
  readonly #onClose: () => void
  readonly #bodies: Budget
  /** The request of each session. */
  readonly #posts = new Map<string, ClientRequest>()
  readonly #responses = new Set<ServerResponse>()
  #plugin: DifyPlugin | undefined

  constructor({ url, maxPendingBytes, onClose }: HttpLinkOptions) {
    const { protocol } = new URL(url)
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new HoldfastError('INVALID_OPTIONS', 'the URL of a plugin must be http or https')
    this.#base = url.replace(/\/+$/, '')
    this.#onClose = onClose
    this.#bodies = new Budget(maxPendingBytes)
  }

  get backlogBytes(): number {
    return this.#responses.values().reduce((sum, { writableLength }) => sum + writableLength, 0)
  }

  serve(plugin: DifyPlugin): void {
    this.#plugin = plugin
  }

  /** Receives a call as soon as there is room for it, and counts what is written to its response until that is read. */
  async receiving(bytes: number, response: ServerResponse, work: () => Promise<void>): Promise<void> {
    this.#responses.add(response)
    response.once('close', () => this.#responses.delete(response))
    await this.#bodies.within(bytes, work)
  }

  open(sessionId: string, line: string, action: string): void {
    void this.#post(sessionId, line, action)
  }

  answer(): void {
    // Calls come, and are answered, at the transaction endpoint.
  }

  forget(sessionId: string, isSaid: boolean): void {
    const post = this.#posts.get(sessionId)
    // Behind the last message comes the end of the answer.
    const timer = setTimeout(() => post?.destroy(), isSaid ? LINGER_MS : 0).unref()
    post?.once('close', () => clearTimeout(timer))
  }

  async close(): Promise<void> {
    this.#onClose()
    for (const post of this.#posts.values()) post.destroy()
    for (const response of this.#responses) response.destroy()
  }

  async #post(sessionId: string, line: string, action: string): Promise<void> {
    const plugin = this.#plugin!
    try {
      const response = await this.#send(sessionId, line, action)
      for await (const each of linesOf(response, () => MAX_LINE_BYTES)) await plugin.receive(each)
      plugin.endSession(sessionId, lost(plugin.pluginId, 'it ended its answer before the session'))
    } catch (error) {
      plugin.endSession(sessionId, lost(plugin.pluginId, error instanceof HoldfastError ? error.message : 'it does not answer'))
    } finally {
      this.#posts.delete(sessionId)
    }
  }

  async #send(sessionId: string, line: string, action: string): Promise<IncomingMessage> {
    const url = `${this.#base}/invoke?action=${encodeURIComponent(action)}`
    const body = Buffer.from(line)
    const headers = { 'content-type': 'application/json', 'content-length': body.length, [SESSION_HEADER]: sessionId }
    const request = (url.startsWith('https:') ? requestHttps : requestHttp)(url, { method: 'POST', headers })
    this.#posts.set(sessionId, request)
    // What ends either later is seen by whoever reads the answer, if somebody does.
    request.on('error', () => undefined)
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.on('error', () => undefined)
    if (response.statusCode === 200) return response
    response.destroy()
    throw new HoldfastError('UNAVAILABLE', `it answered with status ${response.statusCode}`)
  }
}
