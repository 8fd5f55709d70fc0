/** Plugins that come to the host: the remote-debugging protocol of Dify. A plugin is let in by its key, and says what it is. */
import { timingSafeEqual, createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { HoldfastError } from '../index.ts'
import { lost } from './failures.ts'
import { linesOf, type Line } from './lines.ts'
import { readManifest, readTools, type Manifest, type ToolDeclaration } from './manifest.ts'
import { DifyPlugin, type Link, type PluginRules } from './plugin.ts'
import { isObject, objectFrom } from './protocol.ts'
import { MAX_LINE_BYTES } from './stdio.ts'

/** What a key lets in. */
export interface RemoteKey {
  readonly key: string
  /** The tenant in whose storage the plugin's sessions work by default. Default `''`. */
  readonly workspaceId?: string | undefined
  /** Plugins that the key is for, as `author/name`. Default: any, which its holder chooses. */
  readonly pluginIds?: readonly string[] | undefined
}

export interface ListenOptions {
  readonly keys: readonly RemoteKey[]
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Default: any free one. */
  readonly port?: number | undefined
  /** Called with each plugin that has registered. */
  readonly onPlugin?: ((plugin: DifyPlugin) => void) | undefined
  /** Milliseconds for the handshake. Default 10,000. */
  readonly handshakeTimeoutMs?: number | undefined
  /** Milliseconds of silence after which a plugin counts as dead. Default 60,000. */
  readonly heartbeatTimeoutMs?: number | undefined
  /** Connections at a time. Default 256. */
  readonly maxConnections?: number | undefined
  /** Bytes of all assets that a plugin may send; they are counted and not kept. Default 50 MiB. */
  readonly maxAssetBytes?: number | undefined
  /** Bytes of one line. Default 128 MiB. */
  readonly maxLineBytes?: number | undefined
}

const DEFAULTS = {
  handshakeTimeoutMs: 10_000,
  heartbeatTimeoutMs: 60_000,
  maxConnections: 256,
  maxAssetBytes: 50 * 2 ** 20,
  maxLineBytes: MAX_LINE_BYTES,
}
type Settled = ListenOptions & { readonly [K in keyof typeof DEFAULTS]: number }

function withDefaults(options: ListenOptions): Settled {
  const names = Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]
  const limits = Object.fromEntries(names.map((name) => [name, options[name] ?? DEFAULTS[name]])) as typeof DEFAULTS
  return { ...options, ...limits }
}

/** Before the key is known to be right, nobody may make the host hold much. */
const MAX_HANDSHAKE_BYTES = 4_096

export class DifyListener implements AsyncDisposable {
  /** For `REMOTE_INSTALL_URL`: `host:port`. */
  readonly address: string
  readonly #server: Server
  readonly #plugins = new Set<DifyPlugin>()
  readonly #sockets = new Set<Socket>()
  readonly #rules: PluginRules
  readonly #options: Settled

  private constructor(server: Server, rules: PluginRules, options: Settled) {
    this.#server = server
    this.#rules = rules
    this.#options = options
    const { address, port } = server.address() as AddressInfo
    this.address = `${address}:${port}`
    server.maxConnections = options.maxConnections
    server.on('connection', (socket) => void this.#accept(socket))
  }

  static async open(rules: PluginRules, options: ListenOptions): Promise<DifyListener> {
    if (options.keys.some(({ key }) => key.length < MIN_KEY)) {
      throw new HoldfastError('INVALID_OPTIONS', `a key of remote plugins must have at least ${MIN_KEY} characters`)
    }
    const server = createServer({ noDelay: true })
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
    await once(server, 'listening')
    return new DifyListener(server, rules, withDefaults(options))
  }

  /** Plugins that are connected. */
  get plugins(): readonly DifyPlugin[] {
    return [...this.#plugins]
  }

  /** Takes no more plugins, and ends the connections to those that there are. */
  async close(): Promise<void> {
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
    const handshake = setTimeout(() => refuse(socket, 'handshake timeout'), this.#options.handshakeTimeoutMs)
    const lines = linesOf(
      guarded(socket, () => isIn),
      this.#options.maxLineBytes,
    )
    let isIn = false
    try {
      const key = await this.#handshake(lines)
      isIn = true
      const plugin = await this.#register(socket, lines, key)
      clearTimeout(handshake)
      await this.#serve(plugin, socket, lines)
    } catch (error) {
      refuse(socket, error instanceof HoldfastError ? error.message : 'the connection failed')
    } finally {
      clearTimeout(handshake)
    }
  }

  async #handshake(lines: AsyncGenerator<Line, void>): Promise<RemoteKey> {
    const first = await lines.next()
    const message = first.done === true ? undefined : objectFrom(first.value.text)
    const data = message?.['type'] === 'handshake' ? message['data'] : undefined
    const given = isObject(data) && typeof data['key'] === 'string' ? data['key'] : ''
    const matching = this.#options.keys.find(({ key }) => sameText(key, given))
    if (matching === undefined) throw new HoldfastError('UNAUTHORIZED', 'handshake failed, invalid key')
    return matching
  }

  async #register(socket: Socket, lines: AsyncGenerator<Line, void>, key: RemoteKey): Promise<DifyPlugin> {
    let manifest: Manifest | undefined
    let tools: readonly ToolDeclaration[] = []
    let assetBytes = 0
    for (;;) {
      const { value: line, done } = await lines.next()
      if (done === true) throw new HoldfastError('INVALID_ARGUMENT', 'the plugin hung up before it had registered')
      const { type, data } = (line.cut ? undefined : objectFrom(line.text)) ?? {}
      if (type === 'manifest_declaration') manifest = readManifest(data)
      else if (type === 'tool_declaration') tools = readTools(data)
      else if (type === 'asset_chunk') assetBytes += line.text.length * (3 / 4)
      else if (type === 'end') break
      else if (typeof type !== 'string' || !type.endsWith('_declaration'))
        throw new HoldfastError('INVALID_ARGUMENT', 'unknown message in the registration')
      if (assetBytes > this.#options.maxAssetBytes)
        throw new HoldfastError('VALUE_TOO_LARGE', 'the assets of the plugin are too large')
    }
    if (manifest === undefined) throw new HoldfastError('INVALID_ARGUMENT', 'the plugin sent no manifest')
    if (key.pluginIds !== undefined && !key.pluginIds.includes(manifest.pluginId)) {
      throw new HoldfastError('PERMISSION_DENIED', 'this key is not for that plugin')
    }
    return new DifyPlugin(manifest, tools, new SocketLink(socket), this.#rules, key.workspaceId)
  }

  async #serve(plugin: DifyPlugin, socket: Socket, lines: AsyncGenerator<Line, void>): Promise<void> {
    this.#plugins.add(plugin)
    const { heartbeatTimeoutMs } = this.#options
    const silence = setTimeout(() => socket.destroy(new Error('silent')), heartbeatTimeoutMs)
    try {
      this.#options.onPlugin?.(plugin)
      for await (const line of lines) {
        silence.refresh()
        plugin.receive(line)
      }
      plugin.fail(lost(plugin.pluginId, 'it hung up'))
    } catch {
      plugin.fail(lost(plugin.pluginId, 'the connection was lost'))
    } finally {
      clearTimeout(silence)
      this.#plugins.delete(plugin)
      socket.destroy()
    }
  }
}

/** Short ones can be guessed. */
const MIN_KEY = 16

class SocketLink implements Link {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
  }

  open(_: string, line: string): void {
    this.#socket.write(line)
  }

  answer(lines: string): void {
    this.#socket.write(lines)
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return
    const closed = once(this.#socket, 'close')
    this.#socket.destroy()
    await closed
  }
}

/** The bytes of a connection, few of them until it is let in. */
async function* guarded(socket: Socket, isIn: () => boolean): AsyncGenerator<Uint8Array, void> {
  let bytes = 0
  for await (const chunk of socket as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_HANDSHAKE_BYTES && !isIn() && chunk.indexOf(10) < 0) {
      throw new HoldfastError('INVALID_ARGUMENT', 'the handshake is too long')
    }
    yield chunk
  }
}

/** Failure is one plain line, then the end of the connection. */
function refuse(socket: Socket, why: string): void {
  if (socket.destroyed) return
  socket.end(`${why.replaceAll(/\s+/g, ' ').slice(0, 200)}\n`)
  setTimeout(() => socket.destroy(), 1_000).unref()
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
