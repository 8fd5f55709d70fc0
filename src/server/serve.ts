/** The server as a process runs it: it listens, answers, and when it is told to end it takes no more work and finishes what it has. */
import { getRequestListener, RequestError, type Http2Bindings, type HttpBindings } from '@hono/node-server'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { HoldfastError, type Persistence } from '../index.ts'
import { PluginHost, type PluginHostOptions } from '../plugin-storage/index.ts'
import { LOOPBACK } from './access.ts'
import { createApp, type App } from './app.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { batched, jsonLog, type Log } from './log.ts'
import { HttpProblem, PROBLEM_TYPE, type Problem } from './problem.ts'
import { Tokens } from './tokens.ts'
import { guardWire } from './wire.ts'

export interface ServeOptions {
  /** The stores to serve; whoever opened them closes them, after the server. */
  readonly persistence: Pick<Persistence, 'conversation' | 'knowledge' | 'state'>
  /** Default 127.0.0.1: only this machine. Any other needs a token to be there. */
  readonly host?: string | undefined
  /** Default 4444; 0: any free one. */
  readonly port?: number | undefined
  /** Takes no request without a token, also while there is none. Default: once there is one, and on any host but this machine's own. */
  readonly requireToken?: boolean | undefined
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
/** Connections that have become idle are looked for this often while the server drains. */
const SWEEP_MS = 25
/** Longer than proxies keep an idle connection, so that it is they who end it, and send nothing into one that ends. */
const KEEP_ALIVE_MS = 75_000
/** Request line and headers together; ids and keys in the query may be percent-encoded. */
const MAX_HEADER_BYTES = 32 * 1_024

/** Starts a server. Without a token it listens on the loopback only: any other host is `INVALID_OPTIONS`; a port that is taken is `UNAVAILABLE`. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { persistence, host = '127.0.0.1', port = DEFAULT_PORT, drainMs = DRAIN_MS } = options
  const { conversation, knowledge, state } = persistence
  const hasToken = await new Tokens(state).any()
  if (!hasToken && !LOOPBACK.has(host)) {
    throw new HoldfastError(
      'INVALID_OPTIONS',
      `without a token only this machine may come in: make one with \`holdfast token create\`, or listen on 127.0.0.1`,
    )
  }
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const log = options.log ?? jsonLog(batched((line) => process.stderr.write(line)))
  const plugins = new PluginHost({ ...options.plugins, state })
  // A server that others reach, or that has asked for tokens, never takes everybody again, though its last token be revoked.
  const requireToken = options.requireToken === true || hasToken || !LOOPBACK.has(host)
  const app = createApp({ served: { conversation, knowledge, state, plugins }, state, log, limits, requireToken })
  const server = serverOf(app, host, limits)
  const unused = unusedOf(server)
  try {
    await listening(server, host, port)
  } catch (error) {
    app.close()
    throw error
  }
  server.on('error', ({ name, message }) => log({ event: 'server', level: 'error', message: `${name}: ${message}` }))
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= drained(server, unused, app, drainMs))
  return { url: urlOf(host, server), needsToken: requireToken, close, [Symbol.asyncDispose]: close }
}

function serverOf(app: App, hostname: string, limits: Limits): Server {
  const fetch = (request: Request, env: HttpBindings | Http2Bindings) => app.fetch(request, env as HttpBindings)
  const listener = getRequestListener(fetch, {
    hostname: urlHost(hostname),
    errorHandler: (error) => malformed(app.refused(error instanceof RequestError ? MALFORMED : error, undefined)),
  })
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    // It is missed by the application, which says so.
    requireHostHeader: false,
    headersTimeout: limits.headerTimeoutMs,
    // Values may take long; what stops moving is found out by the pause.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(1_000, limits.headerTimeoutMs),
  })
  server.maxConnections = limits.maxConnections
  server.timeout = limits.requestTimeoutMs + limits.bodyPauseMs
  server.on('request', (incoming, outgoing) => void listener(incoming, outgoing))
  guardWire(server, (incoming, outgoing) => void listener(incoming, outgoing), app.refused.bind(app))
  return server
}

const MALFORMED = new HttpProblem('INVALID_ARGUMENT', 'the request line or the host is malformed')

function malformed(problem: Problem): Response {
  const headers = { 'content-type': PROBLEM_TYPE, 'x-request-id': problem.requestId }
  return new Response(JSON.stringify(problem), { status: problem.status, headers })
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  try {
    await once(server.listen(port, host), 'listening')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new HoldfastError('UNAVAILABLE', `cannot listen on ${host}:${port} (${code}); choose another port`, { cause })
  }
}

/** Connections that nothing has come by yet: to Node these are not idle. */
function unusedOf(server: Server): ReadonlySet<Socket> {
  const unused = new Set<Socket>()
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  // A request that announces its body comes by an event of its own.
  for (const event of ['request', 'checkContinue', 'checkExpectation']) {
    server.on(event, ({ socket }: IncomingMessage) => void unused.delete(socket))
  }
  return unused
}

/** Listens no more, ends connections as their answers have gone out, and at the latest after the time to drain. */
async function drained(server: Server, unused: ReadonlySet<Socket>, app: App, drainMs: number): Promise<void> {
  app.drain()
  const ended = once(server, 'close')
  server.close()
  for (const socket of unused) socket.destroy()
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  const hardEnd = setTimeout(() => server.closeAllConnections(), drainMs)
  try {
    await ended
  } finally {
    clearInterval(sweep)
    clearTimeout(hardEnd)
    app.close()
  }
}

function urlOf(host: string, server: Server): string {
  const { port } = server.address() as AddressInfo
  return `http://${urlHost(host)}:${port}`
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
