/** The server as a process runs it: it listens, answers, and when it is told to end it takes no more work and finishes what it has. */
import { serve as listen } from '@hono/node-server'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { HoldfastError, type Persistence } from '../index.ts'
import { PluginHost, type PluginHostOptions } from '../plugin-storage/index.ts'
import { LOOPBACK } from './access.ts'
import { createApp } from './app.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { jsonLog, type Log } from './log.ts'
import { Tokens } from './tokens.ts'

export interface ServeOptions {
  /** The stores to serve; whoever opened them closes them, after the server. */
  readonly persistence: Pick<Persistence, 'conversation' | 'knowledge' | 'state'>
  /** Default 127.0.0.1: only this machine. Any other needs a token to be there. */
  readonly host?: string | undefined
  /** Default 4444; 0: any free one. */
  readonly port?: number | undefined
  readonly limits?: Partial<Limits> | undefined
  /** Quota, key ring and chunk size of plugin storage. */
  readonly plugins?: Omit<PluginHostOptions, 'state'> | undefined
  /** Default: JSON lines on standard error. */
  readonly log?: Log | undefined
  /** Milliseconds that requests under way have to finish when the server is closed. Default 10,000. */
  readonly drainMs?: number | undefined
}

export interface RunningServer extends AsyncDisposable {
  readonly url: string
  /** Whether requests need a token. */
  readonly needsToken: boolean
  /** Takes no more requests, lets those under way finish, and ends. A second call waits for the first. */
  close(): Promise<void>
}

const DEFAULT_PORT = 4444
const DRAIN_MS = 10_000

/** Starts a server. Without a token it listens on the loopback only: any other host is `INVALID_OPTIONS`; a port that is taken is `UNAVAILABLE`. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { persistence, host = '127.0.0.1', port = DEFAULT_PORT, limits = {}, drainMs = DRAIN_MS } = options
  const { conversation, knowledge, state } = persistence
  const needsToken = await new Tokens(state).any()
  if (!needsToken && !LOOPBACK.has(host)) {
    throw new HoldfastError(
      'INVALID_OPTIONS',
      `without a token only this machine may come in: make one with \`holdfast token create\`, or listen on 127.0.0.1`,
    )
  }
  const log = options.log ?? jsonLog((line) => process.stderr.write(line))
  const plugins = new PluginHost({ ...options.plugins, state })
  // A server that others reach never goes back to taking everybody, though its last token be revoked.
  const requireToken = !LOOPBACK.has(host)
  const app = createApp({ served: { conversation, knowledge, state, plugins }, state, log, limits, requireToken })
  const { headerTimeoutMs } = { ...DEFAULT_LIMITS, ...limits }
  const serverOptions = { headersTimeout: headerTimeoutMs, requestTimeout: 0, connectionsCheckingInterval: 1_000 }
  const server = listen({ fetch: app.fetch, hostname: host, port, createServer, serverOptions }) as Server
  await listening(server, host, port)
  const end = once(server, 'close').then(() => app.close())
  const close = async (): Promise<void> => {
    app.drain()
    server.close()
    server.closeIdleConnections()
    const hardEnd = setTimeout(() => server.closeAllConnections(), drainMs)
    await end.finally(() => clearTimeout(hardEnd))
  }
  return { url: urlOf(host, server), needsToken, close, [Symbol.asyncDispose]: close }
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  try {
    await once(server, 'listening')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new HoldfastError('UNAVAILABLE', `cannot listen on ${host}:${port} (${code}); choose another port`, { cause })
  }
}

function urlOf(host: string, server: Server): string {
  const { port } = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
