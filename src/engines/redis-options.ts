/** Where Redis and Valkey are: the options of every backend on them. */
import { HoldfastError } from '../errors.ts'
import type { OptionsSchema } from '../store/options.ts'
import type { RedisAddress } from './redis-wires.ts'

export interface RedisOptions {
  /** `redis://user:password@host:6379/0`, with TLS `rediss://`; `valkey://` and `valkeys://` mean the same. Default `redis://localhost:6379`. */
  readonly url?: string | undefined
  /** URLs or `host:port` of a primary and its replicas, of which the present primary is found, or with `cluster` of some of its nodes. */
  readonly nodes?: readonly string[] | undefined
  /** True: the servers form a cluster. Default false. */
  readonly cluster?: boolean | undefined
  /** URLs or `host:port` of sentinels, which know the primary. */
  readonly sentinels?: readonly string[] | undefined
  /** What the sentinels call the primary. Default `mymaster`. */
  readonly sentinelName?: string | undefined
  /** User and password for the sentinels, where they want one. */
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: string | undefined
  /** Default: those of the URL. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Number of the database; a cluster has only 0. Default: that of the URL, else 0. */
  readonly database?: number | undefined
  /** TLS options of Node (`ca`, `cert`, `key`, `servername` …); they turn TLS on. */
  readonly tls?: object | undefined
  /** Where the addresses that cluster or sentinels announce are reached from here: `{ '10.0.0.1:6379': 'localhost:7001' }`. */
  readonly addressMap?: Readonly<Record<string, string>> | undefined
  /** A client of node-redis, ioredis or iovalkey, alone or of a cluster; it is never closed here. The other options of this list do not count then. */
  readonly client?: unknown
  /** What every key begins with. No braces. Default `holdfast:`. */
  readonly prefix?: string | undefined
  /** Milliseconds that connecting may take. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Milliseconds without an answer after which a connection is taken for dead. Default 10,000. */
  readonly socketTimeoutMs?: number | undefined
  /** Replicas that must have a write before it counts. Default 0. */
  readonly waitReplicas?: number | undefined
  /** Milliseconds that they have for it, fewer than `socketTimeoutMs`; afterwards nobody knows whether the write will last. Default 1,000. */
  readonly waitTimeoutMs?: number | undefined
}

const MAX_MS = 2 ** 31 - 1

/** `urlVariable`: where hosting platforms put the URL. */
export function redisSchema(urlVariable: string): OptionsSchema<RedisOptions> {
  return {
    url: {
      type: 'string',
      description: 'URL of the server; by default redis://localhost:6379.',
      env: urlVariable,
      check: urlProblem,
    },
    nodes: {
      type: 'any',
      description: 'URLs of a primary and its replicas, or with cluster of some of its nodes.',
      check: addressesProblem,
    },
    cluster: { type: 'boolean', description: 'The servers form a cluster.', default: false },
    sentinels: { type: 'any', description: 'URLs of sentinels that know the primary.', check: addressesProblem },
    sentinelName: { type: 'string', description: 'What the sentinels call the primary.', default: 'mymaster' },
    sentinelUsername: { type: 'string', description: 'User for the sentinels.' },
    sentinelPassword: { type: 'string', description: 'Password for the sentinels.', secret: true },
    username: { type: 'string', description: 'User; by default that of the URL.' },
    password: { type: 'string', description: 'Password; by default that of the URL.', secret: true },
    database: { type: 'integer', description: 'Number of the database; by default that of the URL, else 0.', min: 0 },
    tls: { type: 'object', description: 'TLS options of Node; they turn TLS on.', secret: true },
    addressMap: {
      type: 'object',
      description: 'Where announced addresses are reached from here.',
      check: (map: object) => addressesProblem(Object.values(map)),
    },
    client: { type: 'any', description: 'A client of node-redis, ioredis or iovalkey, alone or of a cluster; it stays open.' },
    prefix: { type: 'string', description: 'What every key begins with.', default: 'holdfast:', check: prefixProblem },
    connectTimeoutMs: {
      type: 'integer',
      description: 'Milliseconds that connecting may take.',
      default: 5_000,
      min: 1,
      max: MAX_MS,
    },
    socketTimeoutMs: {
      type: 'integer',
      description: 'Milliseconds without an answer after which a connection is taken for dead.',
      default: 10_000,
      min: 1,
      max: MAX_MS,
    },
    waitReplicas: { type: 'integer', description: 'Replicas that must have a write before it counts.', default: 0, min: 0 },
    waitTimeoutMs: { type: 'integer', description: 'Milliseconds that they have for it.', default: 1_000, min: 1, max: MAX_MS },
  }
}

export interface RedisLogin {
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly database: number
  readonly tls?: object | undefined
}

/** The servers that the options name, and how to be let in. */
export interface RedisPlace {
  readonly kind: 'server' | 'servers' | 'cluster' | 'sentinels'
  readonly addresses: readonly RedisAddress[]
  readonly login: RedisLogin
  /** For the sentinels. */
  readonly sentinelLogin: RedisLogin
  /** For messages: nothing secret. */
  readonly where: string
}

const DEFAULT_URL = 'redis://localhost:6379'

export function placeOf(options: RedisOptions): RedisPlace {
  const { url = DEFAULT_URL, nodes, sentinels, cluster = false } = options
  const texts = sentinels ?? nodes ?? [url]
  const kind = sentinels ? 'sentinels' : cluster ? 'cluster' : nodes ? 'servers' : 'server'
  const parts = texts.map(partsOf)
  // With sentinels the URL has no other use than to say who we are to the servers.
  const named = loginOf(sentinels ? [partsOf(url)] : parts)
  const login = {
    username: options.username ?? named.username,
    password: options.password ?? named.password,
    database: options.database ?? named.database,
    tls: options.tls ?? named.tls,
  }
  if (kind === 'cluster' && login.database !== 0) throw refused('database must be 0 in a cluster')
  if (cluster && sentinels) throw refused('sentinels do not watch clusters: leave out one of cluster and sentinels')
  const known = loginOf(parts)
  const { sentinelUsername: username = known.username, sentinelPassword: password = known.password } = options
  const sentinelLogin = { username, password, database: 0, tls: options.tls ?? known.tls }
  const addresses = parts.map(({ address }) => address)
  return { kind, addresses, login, sentinelLogin, where: addresses.map(addressText).join(', ') }
}

export function addressText({ host, port }: RedisAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** An address in the words of the servers, `host:port`, also with an IPv6 host without brackets. */
export function addressFrom(text: string): RedisAddress {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(text.slice(colon + 1)) }
}

function refused(problem: string): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', problem)
}

interface UrlParts {
  readonly address: RedisAddress
  readonly login: RedisLogin
}

/** The first that says something about it counts. */
function loginOf(parts: readonly UrlParts[]): RedisLogin {
  const logins = parts.map(({ login }) => login)
  const who = logins.find(({ password, username }) => password !== undefined || username !== undefined)
  return {
    username: who?.username,
    password: who?.password,
    database: logins.find(({ database }) => database !== 0)?.database ?? 0,
    tls: logins.find(({ tls }) => tls !== undefined)?.tls,
  }
}

const SCHEME = /^(?:redis|valkey)(s?):$/
const DEFAULT_PORT = 6379

/** Throws where the text is no URL of a server. */
function partsOf(text: string): UrlParts {
  const url = new URL(text.includes('://') ? text : `redis://${text}`)
  const secure = SCHEME.exec(url.protocol)?.[1]
  if (secure === undefined) throw new Error('scheme')
  const database = Number(/^\/?(\d*)$/.exec(url.pathname)?.[1] ?? Number.NaN)
  if (Number.isNaN(database) || url.search !== '' || url.hash !== '' || url.hostname === '') throw new Error('parts')
  return {
    address: {
      host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    },
    login: {
      username: url.username === '' ? undefined : decodeURIComponent(url.username),
      password: url.password === '' ? undefined : decodeURIComponent(url.password),
      database,
      tls: secure === 's' ? {} : undefined,
    },
  }
}

const URL_FORM =
  'must be like redis://user:password@host:6379/0 (or rediss:, valkey:, valkeys:), special characters of the password escaped, without parameters'

function urlProblem(text: string): string | undefined {
  try {
    partsOf(text)
    return undefined
  } catch {
    return URL_FORM
  }
}

function addressesProblem(list: unknown): string | undefined {
  if (!Array.isArray(list) || list.length === 0) return 'must be a list of URLs or host:port'
  const wrong = list.findIndex((text: unknown) => typeof text !== 'string' || urlProblem(text) !== undefined)
  return wrong === -1 ? undefined : `[${wrong}] ${URL_FORM}, or host:port`
}

/** A cluster takes what is between the first braces for the slot: that is for the space. */
function prefixProblem(prefix: string): string | undefined {
  if (/[{}]/.test(prefix)) return 'must not hold braces'
  return prefix.isWellFormed() && prefix.length <= 100 ? undefined : 'must be well-formed and at most 100 characters long'
}
