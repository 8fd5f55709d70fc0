/**
 * Plugins that are HTTP services: the host posts each invocation, and the plugin posts its calls back to the host's transaction endpoint.
 * A session's id alone opens nothing there: each plugin has an address of its own, which only it was given.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { HoldfastError } from '../index.ts'
import { addressOf, listen } from './address.ts'
import { HttpLink, SESSION_HEADER } from './http-link.ts'
import { linesOf, type Line } from './lines.ts'
import { readManifest, readTools } from './manifest.ts'
import { DifyPlugin } from './plugin.ts'
import { NO_SESSION } from './calls.ts'
import { errorLines, readMessage, traceOf } from './protocol.ts'
import { digest } from './registration.ts'
import { MAX_LINE_BYTES, MAX_PENDING_BYTES, type PluginRules } from './rules.ts'

export interface TransactionOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: any free one. */
  readonly port?: number | undefined
  /** What plugins reach this host by, where that is not its own address, such as behind a proxy. */
  readonly publicUrl?: string | undefined
  /** Bytes of one call. Default 128 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Connections of all plugins at a time; more are closed at once. Default 2,000. */
  readonly maxConnections?: number | undefined
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
/** Keeps proxies from taking a slow answer for a dead connection. */
const KEEP_ALIVE_MS = 25_000
const MAX_CONNECTIONS = 2_000
/** A connection on which nothing moves is given up. */
const IDLE_MS = 120_000
const MIN_SECRET = 32
const UNREADABLE = 'unmarshal backwards invoke request failed: '

/** The transaction endpoint of a host, and the plugins that may use it. */
export class DifyTransactions implements AsyncDisposable {
  readonly #server: Server
  readonly #rules: PluginRules
  readonly #options: TransactionOptions
  readonly #base: string
  readonly #places = new Places()

  private constructor(server: Server, rules: PluginRules, options: TransactionOptions) {
    this.#server = server
    this.#rules = rules
    this.#options = options
    this.#base = (options.publicUrl ?? `http://${addressOf(server)}`).replace(/\/+$/, '')
    server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS
    server.setTimeout(IDLE_MS)
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
    await Promise.all(this.#places.all.map(({ plugin }) => plugin.close()))
    this.#server.closeAllConnections()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connect(secret: string, { url, manifest, tools, workspaceId }: ServerlessOptions): DifyPlugin {
    if (this.#places.at(secret) !== undefined)
      throw new HoldfastError('CONFLICT', 'this address has its plugin: close that one, or reserve another address')
    const { maxPendingBytes = MAX_PENDING_BYTES } = this.#rules
    const link = new HttpLink({ url, maxPendingBytes, onClose: () => this.#places.delete(secret) })
    const plugin = new DifyPlugin({ manifest: readManifest(manifest), tools: readTools(tools), link, workspaceId }, this.#rules)
    link.serve(plugin)
    this.#places.set(secret, { plugin, link })
    return plugin
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, secret = '', ...rest] = (request.url ?? '').split('/')
    if (request.method !== 'POST' || `/${rest.join('/')}` !== PATH)
      return refuse(request, response, 404, 'NOT_FOUND: there is nothing here')
    const place = this.#places.at(secret)
    // The same for an address that never was, and one whose plugin is gone.
    if (place === undefined) return refuse(request, response, 401, 'UNAUTHORIZED: this host knows no plugin at this address')
    try {
      await this.#transact(place, request, response)
    } catch {
      response.destroy()
    }
  }

  async #transact({ plugin, link }: Place, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { maxBodyBytes = MAX_LINE_BYTES } = this.#options
    const length = Number(request.headers['content-length'] ?? maxBodyBytes)
    await link.receiving(Math.min(length, maxBodyBytes), response, async () => {
      const line = await firstLine(request, maxBodyBytes)
      response.writeHead(200, CONTENT)
      const keepAlive = setInterval(() => response.write('\n\n'), KEEP_ALIVE_MS)
      try {
        await this.#answer(plugin, line, sessionOf(request), (lines) => void response.write(lines))
      } finally {
        clearInterval(keepAlive)
      }
    })
    response.end()
  }

  async #answer(plugin: DifyPlugin, line: Line | undefined, sessionId: string, send: (lines: string) => void): Promise<void> {
    const message = line === undefined || line.cut ? undefined : readMessage(line.text)
    const call = message?.event === 'session' && message.message.type === 'invoke' ? message.message.call : undefined
    if (call === undefined) {
      const { requestId = UNKNOWN } = (line && traceOf(line.text)) ?? {}
      const why =
        line?.cut === true ? 'VALUE_TOO_LARGE: the body is larger than this host takes' : 'INVALID_ARGUMENT: the body is no call'
      return send(errorLines(sessionId, requestId, UNREADABLE + why))
    }
    // A plugin has one of its sessions in the header of each call; what it says must be the same.
    if (call.sessionId !== sessionId) return send(errorLines(sessionId, call.requestId, NO_SESSION))
    await plugin.answer(call, line!.bytes, send)
  }
}

interface Place {
  readonly plugin: DifyPlugin
  readonly link: HttpLink
}

/** By the digest of the secret, so that how long it takes to find one tells nothing of it. */
class Places {
  readonly #places = new Map<string, Place>()

  get all(): readonly Place[] {
    return [...this.#places.values()]
  }

  at(secret: string): Place | undefined {
    return this.#places.get(digest(secret).toString('hex'))
  }

  set(secret: string, place: Place): void {
    this.#places.set(digest(secret).toString('hex'), place)
  }

  delete(secret: string): void {
    this.#places.delete(digest(secret).toString('hex'))
  }
}

const CONTENT = { 'content-type': 'application/x-ndjson' }
const UNKNOWN = 'unknown'

/** The plugin's SDK looks at no status, and takes an empty answer to `set` for success: whatever happens is said by an event. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number, why: string): void {
  request.resume()
  response.writeHead(status, { ...CONTENT, connection: 'close' })
  response.end(errorLines(sessionOf(request), UNKNOWN, why))
}

function sessionOf({ headers }: IncomingMessage): string {
  return String(headers[SESSION_HEADER] ?? '').slice(0, 128)
}

/** The whole body is read: who is still sending hears no answer. */
async function firstLine(request: IncomingMessage, maxBytes: number): Promise<Line | undefined> {
  let first: Line | undefined
  for await (const line of linesOf(request, () => maxBytes)) first ??= line
  return first
}
