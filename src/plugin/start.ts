/** A plugin as a process of its own: a child of its host, or beside one that it registers with. */
import { Console } from 'node:console'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../index.ts'
import { converse } from './connection.ts'
import type { Plugin } from './define.ts'
import { ICON_FILE, toolDeclarations, wireManifest } from './manifest.ts'

export interface RemoteOptions {
  /** Where the host listens: `host:port`. */
  readonly address: string
  /** The key that it gave for plugins under development. */
  readonly key: string
  readonly signal?: AbortSignal | undefined
  /** Attempts to connect, one after another, before it gives up. Default 3. */
  readonly attempts?: number | undefined
  /** Milliseconds between them, and before a lost connection is made again; up to half as many more are added. Default 5,000. */
  readonly retryMs?: number | undefined
}

const ASSET_CHUNK_BYTES = 8_192
const PARENT_CHECK_MS = 500
const RETRY_MS = 5_000
const CONNECT_MS = 10_000

/**
 * Runs the plugin as its environment says: `INSTALL_METHOD=remote` with `REMOTE_INSTALL_URL` and `REMOTE_INSTALL_KEY` registers with a host;
 * otherwise it talks over its standard streams to the host that started it. It resolves when the host is gone.
 */
export async function start(plugin: Plugin, env: Readonly<Record<string, string | undefined>> = process.env): Promise<void> {
  if (env['INSTALL_METHOD'] !== 'remote') return serveStdio(plugin)
  const { REMOTE_INSTALL_URL: address, REMOTE_INSTALL_KEY: key } = env
  if (address === undefined || key === undefined) {
    throw new HoldfastError('INVALID_OPTIONS', 'INSTALL_METHOD=remote needs REMOTE_INSTALL_URL=host:port and REMOTE_INSTALL_KEY')
  }
  return serveRemote(plugin, { address, key })
}

/** Over the standard streams. What tools print with `console` goes to standard error meanwhile: standard output is the protocol's. */
export async function serveStdio(plugin: Plugin): Promise<void> {
  const { console } = globalThis
  globalThis.console = new Console(process.stderr)
  process.stdout.on('error', () => process.exit(1)).write(`${JSON.stringify(wireManifest(plugin))}\n\n`)
  const parent = process.ppid
  // A host that was killed leaves its pipes open where others hold them too.
  const orphaned = setInterval(() => process.ppid !== parent && process.exit(1), PARENT_CHECK_MS)
  orphaned.unref()
  try {
    await converse(plugin, { incoming: process.stdin, outgoing: process.stdout })
  } finally {
    clearInterval(orphaned)
    globalThis.console = console
  }
}

/**
 * Registers with a host that listens for plugins under development, and again whenever the connection was lost. It resolves when the signal
 * is aborted. A host that refuses the plugin: `UNAUTHORIZED`; one that cannot be reached: `UNAVAILABLE`.
 */
export async function serveRemote(plugin: Plugin, options: RemoteOptions): Promise<void> {
  const { signal = new AbortController().signal, retryMs = RETRY_MS } = options
  while (!signal.aborted) {
    const socket = await reach(options, signal)
    if (socket === undefined) return
    const onAbort = (): void => void socket.destroy()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      register(plugin, socket, options.key)
      await converse(plugin, { incoming: refusable(socket), outgoing: socket })
    } catch (error) {
      if (error instanceof HoldfastError) throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
    }
    await pause(retryMs, signal)
  }
}

/** Undefined where it is aborted. */
async function reach(
  { address, attempts = 3, retryMs = RETRY_MS }: RemoteOptions,
  signal: AbortSignal,
): Promise<Socket | undefined> {
  const place = placeOf(address)
  for (let attempt = 1; !signal.aborted; attempt++) {
    const socket = connect({ ...place, noDelay: true })
    // What ends it later is seen by whoever reads.
    socket.on('error', () => undefined)
    try {
      await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]) })
      return socket
    } catch (cause) {
      socket.destroy()
      if (attempt >= attempts && !signal.aborted)
        throw new HoldfastError('UNAVAILABLE', `no host at ${place.host}:${place.port}`, { cause })
      await pause(retryMs, signal)
    }
  }
  return undefined
}

/** `host:port`, also with a protocol before and with an IPv6 address in brackets. */
function placeOf(address: string): { host: string; port: number } {
  const [, ipv6, name, port] = /^(?:\w+:\/\/)?(?:\[([\da-fA-F:.]+)\]|([^:/\s[\]]+)):(\d{1,5})\/?$/.exec(address) ?? []
  const host = ipv6 ?? name
  if (host === undefined || Number(port) > 65_535)
    throw new HoldfastError('INVALID_OPTIONS', 'the address of the host must be host:port')
  return { host, port: Number(port) }
}

/** Up to half as long again, so that the plugins of a host that was restarted do not all come at once. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms * (1 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
}

/** Success gets no reply; failure is one plain line. */
function register(plugin: Plugin, socket: Socket, key: string): void {
  const say = (type: string, data: unknown): void => void socket.write(`${JSON.stringify({ type, data })}\n\n`)
  say('handshake', { key })
  say('manifest_declaration', wireManifest(plugin))
  say('tool_declaration', toolDeclarations(plugin))
  const { filename, data } = ICON_FILE
  for (let at = 0; at < data.length; at += ASSET_CHUNK_BYTES) {
    const chunk = data.subarray(at, at + ASSET_CHUNK_BYTES)
    say('asset_chunk', { filename, data: chunk.toString('base64'), end: at + ASSET_CHUNK_BYTES >= data.length })
  }
  say('end', {})
}

/** What the host sends; a plain line as its first is the reason why it refuses. */
async function* refusable(socket: Socket): AsyncGenerator<Uint8Array, void> {
  let isFirst = true
  for await (const chunk of socket as AsyncIterable<Uint8Array>) {
    if (isFirst && !BEGINS.includes(chunk[0]!)) {
      throw new HoldfastError(
        'UNAUTHORIZED',
        `the host refuses the plugin: ${Buffer.from(chunk).toString('utf8').trim().slice(0, 200)}`,
      )
    }
    isFirst = false
    yield chunk
  }
}

/** How messages begin, white space included. */
const BEGINS = Buffer.from('{ \n')
