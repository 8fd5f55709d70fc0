/** Plugins that come to the host: the remote-debugging protocol of Dify. A plugin is let in by its key, and says what it is. */
import { timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { HoldfastError, type ErrorCode } from '../index.ts'
import { addressOf, listen } from './address.ts'
import { onceAt } from './expiry.ts'
import { linesOf, type Line } from './lines.ts'
import { StreamLink } from './link.ts'
import { DifyPlugin } from './plugin.ts'
import { digest, readHandshake, readRegistration } from './registration.ts'
import { MAX_LINE_BYTES, type PluginRules } from './rules.ts'
import { Silence } from './silence.ts'

/** What a key lets in. */
export interface RemoteKey {
  /** At least 16 characters. */
  readonly key: string
  /** The tenant that the plugin is let in for: its sessions work in that one's storage, and in no other's. Default: any that the host names. */
  readonly workspaceId?: string | undefined
  /** Plugins that the key is for, as `author/name`. Default: any, which its holder chooses. */
  readonly pluginIds?: readonly string[] | undefined
  /** Milliseconds since 1970. From then on nobody comes in with the key, and who has come in by it is ended. Default: it does not end. */
  readonly expiresAt?: number | undefined
}

/** A connection that was not let in, or that ended with its key. */
export interface Refusal {
  readonly code: ErrorCode
  /** What the other side was told. */
  readonly reason: string
  /** Whose connection it was. */
  readonly address: string | undefined
}

export interface ListenOptions {
  readonly keys: readonly RemoteKey[]
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: any free one. */
  readonly port?: number | undefined
  /** Called with each plugin that has registered. */
  readonly onPlugin?: ((plugin: DifyPlugin) => void) | undefined
  /** Called with each connection that is refused, once. Default: nobody is told. */
  readonly onRefused?: ((refusal: Refusal) => void) | undefined
  /** Milliseconds for the handshake. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined
  /** Milliseconds of silence after which a plugin counts as dead. Default 60,000. */
  readonly heartbeatTimeoutMs?: number | undefined
  /** Connections at a time; more are closed at once. Default 256. */
  readonly maxConnections?: number | undefined
  /** Bytes of all assets that a plugin may send; they are counted and not kept. Default 50 MiB. */
  readonly maxAssetBytes?: number | undefined
  /** Bytes of one line. Default 128 MiB: a value of 64 MiB, as they come in hexadecimal. */
  readonly maxLineBytes?: number | undefined
}

const DEFAULTS = {
  handshakeTimeoutMs: 10_000,
  heartbeatTimeoutMs: 60_000,
  maxConnections: 256,
  maxAssetBytes: 50 * 2 ** 20,
  maxLineBytes: MAX_LINE_BYTES,
}
type Limits = typeof DEFAULTS

/** Before the key is known to be right, nobody may make the host hold much. */
const MAX_HANDSHAKE_BYTES = 4_096
/** Short keys can be guessed. */
const MIN_KEY = 16
const REFUSAL_MS = 1_000
const NEWLINE = 10
const KEY_ENDED = 'handshake failed, the key has ended'
const TOO_MANY = new HoldfastError('RATE_LIMITED', 'too many connections')

export class DifyListener implements AsyncDisposable {
  /** For `REMOTE_INSTALL_URL`: `host:port`. */
  readonly address: string
  readonly #server: Server
  readonly #rules: PluginRules
  readonly #options: ListenOptions
  readonly #limits: Limits
  readonly #keys: readonly (readonly [Buffer, RemoteKey])[]
  readonly #plugins = new Set<DifyPlugin>()
  readonly #sockets = new Set<Socket>()
  readonly #refused = new WeakSet<Socket>()

  private constructor(server: Server, rules: PluginRules, options: ListenOptions) {
    this.#server = server
    this.#rules = rules
    this.#options = options
    this.#limits = limitsOf(options)
    this.#keys = options.keys.map((key) => [digest(key.key), key])
    this.address = addressOf(server)
    server.maxConnections = this.#limits.maxConnections
    server.on('connection', (socket) => void this.#accept(socket))
    server.on('drop', (dropped) => this.#note(TOO_MANY, dropped?.remoteAddress))
  }

  /** @internal */
  static async open(rules: PluginRules, options: ListenOptions): Promise<DifyListener> {
    checkKeys(options.keys)
    const server = createServer({ noDelay: true })
    await listen(server, options)
    return new DifyListener(server, rules, options)
  }

  /** Plugins that are connected, in the order in which they came; one that has lost its connection may be there twice for a while. */
  get plugins(): readonly DifyPlugin[] {
    return [...this.#plugins]
  }

  /** The one of this id, `author/name`, that came last. */
  plugin(pluginId: string): DifyPlugin | undefined {
    return this.plugins.findLast((plugin) => plugin.pluginId === pluginId)
  }

  /** Takes no more plugins, and ends the connections to those that there are. */
  async close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    await Promise.all(this.plugins.map((plugin) => plugin.close()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #accept(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket))
    const { handshakeTimeoutMs, maxLineBytes } = this.#limits
    const late = setTimeout(() => this.#refuse(socket, new HoldfastError('TIMEOUT', 'handshake timeout')), handshakeTimeoutMs)
    let isIn = false
    const stream = acknowledged(socket, () => isIn)
    const lines = linesOf(stream, () => (isIn ? maxLineBytes : MAX_HANDSHAKE_BYTES), { eager: true })
    try {
      const key = this.#keyOf(await readHandshake(lines))
      isIn = true
      clearTimeout(late)
      await this.#letIn(socket, lines, key)
    } catch (error) {
      this.#refuse(socket, error)
    } finally {
      clearTimeout(late)
    }
  }

  async #letIn(socket: Socket, lines: AsyncIterator<Line, void> & AsyncIterable<Line>, key: RemoteKey): Promise<void> {
    let plugin: DifyPlugin | undefined
    const forget = onceAt(key.expiresAt ?? Infinity, () => {
      this.#refuse(socket, new HoldfastError('UNAUTHORIZED', KEY_ENDED))
      void plugin?.fail('its key has ended')
    })
    const silence = new Silence(
      this.#limits.heartbeatTimeoutMs,
      () => false,
      (why) => this.#refuse(socket, new HoldfastError('TIMEOUT', why)),
    )
    try {
      plugin = await this.#register(socket, lines, key, silence).finally(() => silence.stop())
      await this.#serve(plugin, lines)
    } finally {
      forget()
    }
  }

  /** Once a connection: what fails in its end is no refusal of its own. */
  #refuse(socket: Socket, error: unknown): void {
    if (this.#refused.has(socket)) return
    this.#refused.add(socket)
    const refused = error instanceof HoldfastError ? error : new HoldfastError('UNAVAILABLE', 'the connection failed')
    this.#note(refused, socket.remoteAddress)
    hangUp(socket, reasonOf(refused))
  }

  #note(error: HoldfastError, address: string | undefined): void {
    const { onRefused } = this.#options
    const refusal = { code: error.code, reason: reasonOf(error), address }
    if (onRefused !== undefined) queueMicrotask(() => onRefused(refusal))
  }

  /** Digests are compared, each in constant time. */
  #keyOf(given: string): RemoteKey {
    const hash = digest(given)
    const match = this.#keys.find(([each]) => timingSafeEqual(each, hash))
    if (match === undefined) throw new HoldfastError('UNAUTHORIZED', 'handshake failed, invalid key')
    // Only who holds it learns that.
    if (Date.now() >= (match[1].expiresAt ?? Infinity)) throw new HoldfastError('UNAUTHORIZED', KEY_ENDED)
    return match[1]
  }

  async #register(socket: Socket, lines: AsyncIterator<Line, void>, key: RemoteKey, silence: Silence): Promise<DifyPlugin> {
    const { manifest, tools } = await readRegistration(lines, this.#limits.maxAssetBytes, () => silence.heard())
    const { workspaceId, pluginIds } = key
    if (pluginIds !== undefined && !pluginIds.includes(manifest.pluginId))
      throw new HoldfastError('PERMISSION_DENIED', 'this key is not for that plugin')
    const link = new StreamLink(socket, () => destroyed(socket))
    return new DifyPlugin({ manifest, tools, link, workspaceId, isBound: workspaceId !== undefined }, this.#rules)
  }

  async #serve(plugin: DifyPlugin, lines: AsyncIterable<Line>): Promise<void> {
    const silence = new Silence(
      this.#limits.heartbeatTimeoutMs,
      () => plugin.isHeldUp,
      (why) => void plugin.fail(why),
    )
    this.#plugins.add(plugin)
    const { onPlugin } = this.#options
    if (onPlugin !== undefined) queueMicrotask(() => onPlugin(plugin))
    try {
      for await (const line of lines) {
        silence.heard()
        await plugin.receive(line)
      }
      await plugin.fail('it hung up')
    } catch {
      await plugin.fail('the connection was lost')
    } finally {
      silence.stop()
      this.#plugins.delete(plugin)
    }
  }
}

function limitsOf(options: ListenOptions): Limits {
  const names = Object.keys(DEFAULTS) as (keyof Limits)[]
  return Object.fromEntries(names.map((name) => [name, options[name] ?? DEFAULTS[name]])) as Limits
}

function checkKeys(keys: readonly RemoteKey[]): void {
  if (keys.some(({ key }) => key.length < MIN_KEY))
    throw new HoldfastError('INVALID_OPTIONS', `a key of remote plugins must have at least ${MIN_KEY} characters`)
  if (keys.some(({ expiresAt = 0 }) => !Number.isFinite(expiresAt)))
    throw new HoldfastError('INVALID_OPTIONS', 'expiresAt of a key must be milliseconds since 1970')
  if (new Set(keys.map(({ key }) => key)).size < keys.length)
    throw new HoldfastError('INVALID_OPTIONS', 'two keys of remote plugins are the same: nobody could tell whose plugin it is')
}

function reasonOf({ message }: HoldfastError): string {
  return message.replaceAll(/\s+/g, ' ').slice(0, 200)
}

/** Failure is one plain line, then the end of the connection. */
function hangUp(socket: Socket, why: string): void {
  if (socket.destroyed || socket.writableEnded) return
  socket.end(`${why}\n`)
  setTimeout(() => socket.destroy(), REFUSAL_MS).unref()
}

/**
 * The bytes of a connection. The SDK sends the end of a message by itself, and its next message waits in its kernel until ours acknowledges
 * that, which takes 40 ms where there is nothing to send along: so a space is sent, which JSON takes for nothing before the next line.
 */
async function* acknowledged(socket: Socket, isIn: () => boolean): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of socket as AsyncIterable<Uint8Array>) {
    const isEnd = chunk.length <= 2 && chunk.every((byte) => byte === NEWLINE)
    if (isEnd && isIn() && socket.writable && socket.writableLength === 0) socket.write(' ')
    yield chunk
  }
}

async function destroyed(socket: Socket): Promise<void> {
  if (socket.closed) return
  const closed = once(socket, 'close')
  socket.destroy()
  await closed
}
