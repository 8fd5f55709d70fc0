/**
 * The two families of clients, as wires: node-redis (`redis`) and ioredis (`iovalkey`, `ioredis`). Ours carry one connection each, without
 * their own reconnecting, queues and resending, which could apply a write twice; those that users inject are taken as they are.
 */
import { isIP } from 'node:net'
import { HoldfastError } from '../errors.ts'
import { LostError } from './redis-errors.ts'
import type { RedisArg, RedisReply, RedisWire } from './redis-link.ts'

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/** Opens a connection to a server, without logging in. It has until `signal` aborts. */
export type RedisDial = (address: RedisAddress, tls: object | undefined, signal: AbortSignal) => Promise<RedisWire>

// ── node-redis ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** `$`, the type of binary-safe strings. They come as text unless told otherwise. */
const AS_BYTES = { typeMapping: { 36: Buffer } }

interface NodeRedisClient {
  readonly isOpen: boolean
  readonly isReady: boolean
  on(event: 'error', listener: (error: unknown) => void): unknown
  connect(): Promise<unknown>
  sendCommand(command: readonly RedisArg[], options: object): Promise<unknown>
  duplicate(options: object): NodeRedisClient
  destroy(): void
}

interface NodeRedisCluster {
  sendCommand(key: string, isReadonly: boolean, command: readonly RedisArg[], options: object): Promise<unknown>
}

export interface NodeRedis {
  createClient(options: object): NodeRedisClient
}

export function dialNodeRedis({ createClient }: NodeRedis): RedisDial {
  // Making a client from new options makes a new class with all commands, which takes 50 ms; duplicating one takes none.
  const template = createClient({ RESP: 2, disableOfflineQueue: true, disableClientInfo: true, maintNotifications: 'disabled' })
  template.destroy()
  return async ({ host, port }, tls, signal) => {
    const socket = { host, port, reconnectStrategy: false, ...(tls && { tls: true, ...withName(tls, host) }) }
    const client = template.duplicate({ socket })
    client.on('error', ignore)
    await untilAborted(client.connect(), signal, () => client.destroy())
    return {
      get isOpen() {
        return client.isReady
      },
      send: (command) => client.sendCommand(command, AS_BYTES) as Promise<RedisReply>,
      destroy: () => client.destroy(),
    }
  }
}

// ── ioredis ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface IoCommand {
  toWritable(socket: unknown): unknown
}

interface IoRedisClient {
  readonly status: string
  on(event: 'error', listener: (error: unknown) => void): unknown
  connect(): Promise<unknown>
  sendCommand(command: IoCommand): Promise<unknown>
  callBuffer(name: RedisArg, args: readonly RedisArg[]): Promise<unknown>
  disconnect(): void
}

export interface IoRedis {
  readonly Redis: new (options: object) => IoRedisClient
  readonly Command: new (name: string, args: readonly RedisArg[], options: { readonly replyEncoding: null }) => IoCommand
}

export function dialIoRedis({ Redis, Command }: IoRedis): RedisDial {
  return async ({ host, port }, tls, signal) => {
    const client = new Redis({
      host,
      port,
      family: 0,
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: null,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      ...(tls && { tls: withName(tls, host) }),
    })
    // `connect` itself says only that the connection is closed.
    let reason: unknown
    client.on('error', (error) => (reason ??= error))
    await untilAborted(client.connect(), signal, () => client.disconnect()).catch((error: unknown) => {
      throw reason ?? error
    })
    return {
      get isOpen() {
        return client.status === 'ready'
      },
      send: ([name, ...args]) =>
        client.sendCommand(new Command(String(name), args, { replyEncoding: null })) as Promise<RedisReply>,
      destroy: () => client.disconnect(),
    }
  }
}

// ── Injected clients ────────────────────────────────────────────────────────────────────────────────────────────────

export interface InjectedClient {
  send(key: string, command: readonly RedisArg[]): Promise<RedisReply>
  /** True where commands of one turn go over one connection, so that WAIT follows its write. */
  readonly isOneConnection: boolean
}

/** A client, pool or cluster of node-redis 5 or later, or a `Redis` or `Cluster` of ioredis or iovalkey. */
export function injectedClient(client: unknown): InjectedClient {
  if (isObject(client) && typeof client['callBuffer'] === 'function')
    return injectedIoRedis(client as object as IoRedisClient & Settings)
  if (isObject(client) && typeof client['sendCommand'] === 'function' && typeof client['withTypeMapping'] === 'function') {
    return injectedNodeRedis(client)
  }
  throw new HoldfastError(
    'INVALID_OPTIONS',
    'client is neither one of node-redis 5 or later (createClient, createClientPool, createCluster) nor of ioredis or iovalkey (Redis, Cluster)',
  )
}

function injectedNodeRedis(client: Readonly<Record<string, unknown>>): InjectedClient {
  if (Array.isArray(client['masters'])) {
    const cluster = client as object as NodeRedisCluster
    const send = (key: string, command: readonly RedisArg[]): Promise<RedisReply> =>
      cluster.sendCommand(key, false, command, AS_BYTES) as Promise<RedisReply>
    return { send, isOneConnection: false }
  }
  if ('getSentinelNode' in client) {
    throw new HoldfastError(
      'INVALID_OPTIONS',
      'client is a sentinel of node-redis, which sends writes again; give the option sentinels',
    )
  }
  const single = client as object as NodeRedisClient
  const send = (_: string, command: readonly RedisArg[]): Promise<RedisReply> =>
    single.sendCommand(command, AS_BYTES) as Promise<RedisReply>
  return { send, isOneConnection: !('totalClients' in client) }
}

interface Settings {
  readonly isCluster?: boolean
  readonly options?: {
    readonly autoResendUnfulfilledCommands?: boolean
    readonly retryDelayOnFailover?: number
    readonly keyPrefix?: string
  }
}

function injectedIoRedis(client: IoRedisClient & Settings): InjectedClient {
  const { isCluster = false, options = {} } = client
  const resends = isCluster ? options.retryDelayOnFailover !== 0 : options.autoResendUnfulfilledCommands !== false
  if (resends) {
    const remedy = isCluster ? 'retryDelayOnFailover: 0' : 'autoResendUnfulfilledCommands: false'
    throw new HoldfastError(
      'INVALID_OPTIONS',
      `client would send a write twice after a lost connection: create it with ${remedy}`,
    )
  }
  if (options.keyPrefix)
    throw new HoldfastError('INVALID_OPTIONS', 'client has a keyPrefix of its own: give the option prefix instead')
  const send = (_: string, [name, ...args]: readonly RedisArg[]): Promise<RedisReply> =>
    client.callBuffer(name!, args) as Promise<RedisReply>
  return { send, isOneConnection: !isCluster }
}

// ── Both ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Names are sent to servers that hold certificates of several; addresses may not be. */
function withName(tls: object, host: string): object {
  return isIP(host) === 0 ? { servername: host, ...tls } : tls
}

/** Some time-outs of the clients do not cover all of connecting. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, giveUp: () => void): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(new LostError('no connection in time', false))
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, aborted.promise])
  } catch (error) {
    giveUp()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** Each command that fails says so itself. */
function ignore(): void {}
