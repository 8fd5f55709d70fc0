/**
 * Plugins that are HTTP services: the host posts each invocation, and the plugin posts its calls back to the host's transaction endpoint.
 * A session's id alone opens nothing there: each plugin has an address of its own, which only it was given.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { HoldfastError } from '../index.ts'
import { addressOf, listen } from './address.ts'
import { HttpLink } from './http-link.ts'
import { linesOf, type Line } from './lines.ts'
import { readManifest, readTools } from './manifest.ts'
import { DifyPlugin } from './plugin.ts'
import { errorLines, readMessage, traceOf, type BackwardsCall } from './protocol.ts'
import { digest } from './registration.ts'
import { MAX_CALLS, MAX_LINE_BYTES, type PluginRules } from './rules.ts'

export interface TransactionOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: any free one. */
  readonly port?: number | undefined
  /** What plugins reach this host by, where that is not its own address, such as behind a proxy. */
  readonly publicUrl?: string | undefined
  /** Bytes of one call. Default 128 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Bytes of all calls that are being received. Default 512 MiB. */
  readonly maxReceivedBytes?: number | undefined
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

/** An address for one plugin. */
export interface Reservation {
  /** For the plugin's `DIFY_PLUGIN_DAEMON_URL`. Whoever knows it can answer for the plugin: keep it secret. */
  readonly daemonUrl: string
  /** Once the plugin runs; a second time is `CONFLICT` until the first plugin is closed. */
  connect(options: ServerlessOptions): DifyPlugin
}

const PATH = '/backwards-invocation/transaction'
const SESSION_HEADER = 'dify-plugin-session-id'
/** Keeps proxies from taking a slow answer for a dead connection. */
const KEEP_ALIVE_MS = 25_000
const MAX_RECEIVED_BYTES = 512 * 2 ** 20
const MIN_SECRET = 32

/** The transaction endpoint of a host, and the plugins that may use it. */
export class DifyTransactions implements AsyncDisposable {
  readonly #server: Server
  readonly #rules: PluginRules
  readonly #options: TransactionOptions
  readonly #base: string
  /** By the digest of the secret, so that how long it takes to find one tells nothing of it. */
  readonly #plugins = new Map<string, DifyPlugin>()
  #calls = 0
  #receivedBytes = 0

  private constructor(server: Server, rules: PluginRules, options: TransactionOptions) {
    this.#server = server
    this.#rules = rules
    this.#options = options
    this.#base = (options.publicUrl ?? `http://${addressOf(server)}`).replace(/\/+$/, '')
    server.maxConnections = 2 * (options.maxCalls ?? MAX_CALLS)
    server.on('request', (request, response) => void this.#handle(request, response))
  }

  /** @internal */
  static async open(rules: PluginRules, options: TransactionOptions = {}): Promise<DifyTransactions> {
    const server = createServer({ headersTimeout: 15_000, requestTimeout: 300_000 })
    await listen(server, options)
    return new DifyTransactions(server, rules, options)
  }

  /**
   * An address for a plugin that is about to be started. By default its secret is a new one; give one of at least 32 characters, of letters,
   * digits, `-` and `_`, where the plugin must find the host again after the host has been restarted.
   */
  reserve(secret: string = randomBytes(32).toString('base64url')): Reservation {
    if (secret.length < MIN_SECRET || !/^[\w-]+$/.test(secret))
      throw new HoldfastError('INVALID_OPTIONS', `the secret must be ${MIN_SECRET} or more letters, digits, "-" and "_"`)
    const connect = (options: ServerlessOptions): DifyPlugin => this.#connect(secret, options)
    return { daemonUrl: `${this.#base}/${secret}`, connect }
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return
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
    const id = hash(secret)
    if (this.#plugins.has(id)) throw new HoldfastError('CONFLICT', 'this address has its plugin: reserve another one')
    const link = new HttpLink(url, SESSION_HEADER, () => this.#plugins.delete(id))
    const plugin = new DifyPlugin({ manifest: readManifest(manifest), tools: readTools(tools), link, workspaceId }, this.#rules)
    link.plugin = plugin
    this.#plugins.set(id, plugin)
    return plugin
  }

  /** The plugin's SDK looks at no status, and takes no answer for success: whatever happens is said by an event. */
  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sessionId = String(request.headers[SESSION_HEADER] ?? '').slice(0, 128)
    const refuse = (status: number, why: string): void => {
      response.writeHead(status, { 'content-type': 'application/x-ndjson', connection: 'close' })
      response.end(errorLines(sessionId, 'unknown', why))
    }
    const [, secret = '', ...rest] = (request.url ?? '').split('/')
    if (request.method !== 'POST' || `/${rest.join('/')}` !== PATH) return refuse(404, 'NOT_FOUND: there is nothing here')
    const plugin = this.#plugins.get(hash(secret))
    // The same for an address that never was, and one whose plugin is gone.
    if (plugin === undefined) return refuse(401, 'UNAUTHORIZED: this host knows no plugin at this address')
    const { maxCalls = MAX_CALLS } = this.#options
    if (this.#calls >= maxCalls) return refuse(429, 'RATE_LIMITED: too many calls wait for an answer')
    this.#calls++
    try {
      await this.#transact(plugin, sessionId, request, response)
    } catch {
      response.destroy()
    } finally {
      this.#calls--
    }
  }

  async #transact(plugin: DifyPlugin, sessionId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const line = await this.#receive(request)
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const keepAlive = setInterval(() => response.write('\n\n'), KEEP_ALIVE_MS)
    const link = plugin.link as HttpLink
    try {
      const call = callIn(line)
      if (typeof call === 'string') response.end(errorLines(sessionId, requestOf(line), `${UNREADABLE}: ${call}`))
      else if (call.sessionId !== sessionId) response.end(errorLines(sessionId, call.requestId, NO_SESSION))
      else await plugin.answer(call, line!.bytes, (lines) => link.send(response, lines))
      response.end()
      await finished(response)
    } finally {
      clearInterval(keepAlive)
    }
  }

  /** The first line of the body; the whole body is read, as no answer would be heard before. */
  async #receive(request: IncomingMessage): Promise<Line | undefined> {
    const { maxBodyBytes = MAX_LINE_BYTES } = this.#options
    let first: Line | undefined
    for await (const line of linesOf(this.#metered(request), () => maxBodyBytes)) first ??= line
    return first
  }
}
