/** A plugin as a process of its own: a child of its host, or beside one that it registers with. */
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
  /** Milliseconds between them, and before a lost connection is made again. Default 5,000. */
  readonly retryMs?: number | undefined
}

const ASSET_CHUNK_BYTES = 8_192
const PARENT_CHECK_MS = 500

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

/** Over the standard streams. Nothing else may write to standard output. */
export async function serveStdio(plugin: Plugin): Promise<void> {
  process.stdout.write(`${JSON.stringify(wireManifest(plugin))}\n\n`)
  const parent = process.ppid
  // A host that was killed leaves its pipes open where others hold them too.
  const orphaned = setInterval(() => process.ppid !== parent && process.exit(1), PARENT_CHECK_MS)
  orphaned.unref()
  try {
    await converse(plugin, { incoming: process.stdin, write: (text) => void process.stdout.write(text) })
  } finally {
    clearInterval(orphaned)
  }
}

/** Registers with a host that listens for plugins under development, and again whenever the connection was lost. */
export async function serveRemote(plugin: Plugin, options: RemoteOptions): Promise<void> {
  const { signal, retryMs = 5_000 } = options
  for (;;) {
    if (signal?.aborted === true) return
    const socket = await reach(options)
    const onAbort = (): void => void socket.destroy()
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      register(plugin, socket, options.key)
      await converse(plugin, { incoming: refusable(socket), write: (text) => void socket.write(text) })
    } catch (error) {
      if (error instanceof HoldfastError) throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
      socket.destroy()
    }
    await sleep(retryMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
  }
}

async function reach({ address, signal, attempts = 3, retryMs = 5_000 }: RemoteOptions): Promise<Socket> {
  const [, host, port] = /^(?:\w+:\/\/)?\[?([^\]/]+?)\]?:(\d{1,5})\/?$/.exec(address) ?? []
  if (host === undefined) throw new HoldfastError('INVALID_OPTIONS', 'the address of the host must be host:port')
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    const socket = connect({ host, port: Number(port), noDelay: true })
    try {
      await once(socket, 'connect')
      return socket.on('error', () => undefined)
    } catch (cause) {
      if (attempt >= attempts) throw new HoldfastError('UNAVAILABLE', `no host at ${host}:${port}`, { cause })
      await sleep(retryMs)
    }
  }
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
    if (isFirst && chunk[0] !== BRACE && chunk[0] !== NEWLINE) {
      throw new HoldfastError(
        'UNAUTHORIZED',
        `the host refuses the plugin: ${Buffer.from(chunk).toString('utf8').trim().slice(0, 200)}`,
      )
    }
    isFirst = false
    yield chunk
  }
}

const BRACE = '{'.charCodeAt(0)
const NEWLINE = 10
