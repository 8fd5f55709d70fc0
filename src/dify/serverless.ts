/**
 * Plugins that are HTTP services: the host posts each invocation, and the plugin posts its calls back to the host's transaction endpoint.
 * A session's id alone opens nothing there: each plugin has an address of its own, which only it was given.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { HoldfastError } from '../index.ts'
import { lost } from './failures.ts'
import { linesOf } from './lines.ts'
import { readManifest, readTools, type Manifest } from './manifest.ts'
import { DifyPlugin, type Link, type PluginRules } from './plugin.ts'
import { errorLines, readMessage } from './protocol.ts'
import { MAX_LINE_BYTES } from './stdio.ts'

export interface TransactionOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: any free one. */
  readonly port?: number | undefined
  /** What plugins reach this host by, where that is not its own address, such as behind a proxy. */
  readonly publicUrl?: string | undefined
  /** Bytes of one call. Default 128 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Calls of all plugins at a time. Default 1,000. */
  readonly maxCalls?: number | undefined
}

export interface ServerlessOptions {
  /** Where the plugin listens: its `/invoke` is below it. */
  readonly url: string
  /** The plugin's manifest, or its fields: a service does not say what it is. */
  readonly manifest: unknown
  /** Its tool providers, as in a `tool_declaration`. */
  readonly tools?: unknown
  readonly workspaceId?: string | undefined
}

const PATH = '/backwards-invocation/transaction'
const SESSION_HEADER = 'dify-plugin-session-id'
/** Keeps proxies from taking a slow answer for a dead connection. */
const KEEP_ALIVE_MS = 25_000
const MAX_CALLS = 1_000

/** The transaction endpoint of a host, and the plugins that may use it. */
export class DifyTransactions implements AsyncDisposable {
  readonly #server: Server
  readonly #rules: PluginRules
  readonly #base: string
  readonly #maxBodyBytes: number
  readonly #maxCalls: number
  readonly #plugins = new Map<string, DifyPlugin>()
  #calls = 0

  private constructor(server: Server, rules: PluginRules, options: TransactionOptions) {
    this.#server = server
    this.#rules = rules
    const { address, port } = server.address() as AddressInfo
    this.#base = (options.publicUrl ?? `http://${address}:${port}`).replace(/\/+$/, '')
    this.#maxBodyBytes = options.maxBodyBytes ?? MAX_LINE_BYTES
    this.#maxCalls = options.maxCalls ?? MAX_CALLS
    server.on('request', (request, response) => void this.#handle(request, response))
  }

  static async open(rules: PluginRules, options: TransactionOptions = {}): Promise<DifyTransactions> {
    const server = createServer({ headersTimeout: 15_000, requestTimeout: 300_000 })
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
    await once(server, 'listening')
    return new DifyTransactions(server, rules, options)
  }

  /** An address for a plugin that is about to be started: its `DIFY_PLUGIN_DAEMON_URL`. Keep it secret. */
  reserve(): { readonly daemonUrl: string; connect(options: ServerlessOptions): DifyPlugin } {
    const secret = randomBytes(32).toString('base64url')
    const connect = (options: ServerlessOptions): DifyPlugin => this.#connect(secret, options)
    return { daemonUrl: `${this.#base}/${secret}`, connect }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    await Promise.all([...this.#plugins.values()].map((plugin) => plugin.close()))
    this.#server.closeAllConnections()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connect(secret: string, { url, manifest, tools, workspaceId }: ServerlessOptions): DifyPlugin {
    const read: Manifest = readManifest(manifest)
    const link = new HttpLink(url.replace(/\/+$/, ''), () => this.#plugins.delete(secret))
    const plugin = new DifyPlugin(read, readTools(tools), link, this.#rules, workspaceId)
    link.plugin = plugin
    this.#plugins.set(secret, plugin)
    return plugin
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, secret = '', ...rest] = (request.url ?? '').split('/')
    const plugin = this.#plugins.get(secret)
    if (request.method !== 'POST' || plugin === undefined || `/${rest.join('/')}` !== PATH) {
      response.writeHead(404).end()
      return
    }
    if (this.#calls >= this.#maxCalls) {
      response.writeHead(429, { 'retry-after': '1' }).end()
      return
    }
    this.#calls++
    try {
      await this.#transact(plugin, request, response)
    } catch {
      response.destroy()
    } finally {
      this.#calls--
    }
  }

  /** The plugin's SDK looks at no status: whatever happens is said by an event. */
  async #transact(plugin: DifyPlugin, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sessionId = String(request.headers[SESSION_HEADER] ?? '')
    const lines = linesOf(request, this.#maxBodyBytes)
    const { value: line, done } = await lines.next()
    const message = done === true || line.cut ? undefined : readMessage(line.text)
    const call = message?.event === 'session' && message.message.type === 'invoke' ? message.message.call : undefined
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const keepAlive = setInterval(() => response.write('\n\n'), KEEP_ALIVE_MS)
    try {
      if (call === undefined)
        response.end(errorLines(sessionId, 'unknown', 'unmarshal backwards invoke request failed: INVALID_ARGUMENT'))
      else if (call.sessionId !== sessionId) response.end(errorLines(sessionId, call.requestId, 'there is no such session'))
      else response.end(await plugin.answer(call))
    } finally {
      clearInterval(keepAlive)
    }
  }
}

class HttpLink implements Link {
  plugin: DifyPlugin | undefined
  readonly #url: string
  readonly #onClose: () => void
  readonly #closing = new AbortController()

  constructor(url: string, onClose: () => void) {
    this.#url = url
    this.#onClose = onClose
  }

  open(sessionId: string, line: string, action: string): void {
    void this.#post(sessionId, line, action)
  }

  answer(): void {
    // Calls come, and are answered, at the transaction endpoint.
  }

  async close(): Promise<void> {
    this.#onClose()
    this.#closing.abort()
  }

  async #post(sessionId: string, line: string, action: string): Promise<void> {
    const plugin = this.plugin!
    try {
      const response = await fetch(`${this.#url}/invoke?action=${encodeURIComponent(action)}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', [SESSION_HEADER]: sessionId },
        body: line,
        signal: this.#closing.signal,
        redirect: 'error',
      })
      if (!response.ok || response.body === null)
        throw new HoldfastError('UNAVAILABLE', `it answered with status ${response.status}`)
      for await (const each of linesOf(response.body, MAX_LINE_BYTES)) plugin.receive(each)
      plugin.endSession(sessionId, undefined)
    } catch (error) {
      const why = error instanceof HoldfastError ? error.message : 'it does not answer'
      plugin.endSession(sessionId, lost(plugin.pluginId, why))
    }
  }
}
