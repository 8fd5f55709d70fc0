/** Where a Postgres server is and how to talk to it, from a URL and options. */
import { readFileSync } from 'node:fs'
import { HoldfastError } from '../errors.ts'
import type { PostgresOptions } from './postgres-options.ts'

/** What `pg` is given, complete, so that it looks nowhere else. */
export interface PostgresPlace {
  /** A name, an address, or the folder of a socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string | undefined
  readonly ssl: false | Readonly<Record<string, unknown>>
  readonly applicationName: string | undefined
  /** Settings that the server is given with the connection. */
  readonly parameters: string | undefined
  readonly channelBinding: boolean
  readonly connectTimeoutMs: number
}

export const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const

const SCHEMES = /^(?:postgres|postgresql|neon|xata|cockroachdb|cockroach|crdb|asyncpg|async_postgres|postgres_async|pgvector)$/
/** Parameters that URLs may have. */
const PARAMETERS = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'application_name',
  'options',
  'channel_binding',
  'connect_timeout',
] as const
type Parameters = { readonly [K in (typeof PARAMETERS)[number]]?: string }

/** Databases on the internet that sleep when idle: they speak TLS only, and take a while to wake up. */
const SERVERLESS = /\.(?:neon\.tech|cockroachlabs\.cloud|xata\.(?:sh|io|tech)|supabase\.(?:co|com))$/i
const CONNECT_MS = 10_000
const SERVERLESS_CONNECT_MS = 30_000

/** What a URL says goes before the options of the same meaning, which may come from the environment; `INVALID_OPTIONS` lists every problem. */
export function postgresPlace(options: PostgresOptions): PostgresPlace {
  const { parts, parameters } = options.url === undefined ? { parts: undefined, parameters: {} } : parseUrl(options.url)
  const host = parameters.host ?? parts?.host ?? options.host ?? 'localhost'
  const user = parameters.user ?? parts?.user ?? options.user ?? 'postgres'
  const serverless = SERVERLESS.test(host)
  const seconds = parameters.connect_timeout === undefined ? undefined : Number(parameters.connect_timeout) * 1000
  return {
    host,
    port: portOf(parameters.port) ?? parts?.port ?? options.port ?? 5432,
    database: parameters.dbname ?? parts?.database ?? options.database ?? user,
    user,
    password: parameters.password ?? parts?.password ?? options.password,
    ssl: sslOf(parameters, options.ssl, serverless),
    applicationName: parameters.application_name,
    parameters: parameters.options,
    channelBinding: parameters.channel_binding !== undefined && parameters.channel_binding !== 'disable',
    connectTimeoutMs: options.connectTimeoutMs ?? seconds ?? (serverless ? SERVERLESS_CONNECT_MS : CONNECT_MS),
  }
}

/** For messages: nothing secret. */
export function describePlace({ host, port, database }: PostgresPlace, schema: string): string {
  return `postgres://${host.startsWith('/') ? `(${host})` : host}:${port}/${database}, schema ${schema}`
}

interface Parts {
  readonly host: string | undefined
  readonly port: number | undefined
  readonly database: string | undefined
  readonly user: string | undefined
  readonly password: string | undefined
}

function parseUrl(text: string): { parts: Parts; parameters: Parameters } {
  if (!URL.canParse(text)) throw refused('`url` is not a URL; write postgres://user:password@host:5432/database, with % escapes')
  const url = new URL(text)
  if (!SCHEMES.test(url.protocol.slice(0, -1).toLowerCase()))
    throw refused(`\`url\` is not one of Postgres but of ${url.protocol}`)
  const given = [...url.searchParams]
  const wrong = given.filter(([name]) => !(PARAMETERS as readonly string[]).includes(name)).map(([name]) => name)
  if (wrong.length > 0) {
    throw refused(`\`url\` has unknown parameters: ${wrong.join(', ')} (known: ${PARAMETERS.join(', ')})`)
  }
  const decoded = (part: string): string | undefined => (part === '' ? undefined : decode(part))
  const parts: Parts = {
    host: decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')),
    port: portOf(url.port),
    database: decoded(url.pathname.slice(1)),
    user: decoded(url.username),
    password: decoded(url.password),
  }
  return { parts, parameters: Object.fromEntries(given) }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refused('`url` has a % that escapes nothing; write %25')
  }
}

function portOf(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : Number(text)
}

function sslOf(parameters: Parameters, option: PostgresOptions['ssl'], serverless: boolean): PostgresPlace['ssl'] {
  const files = tlsFiles(parameters)
  if (typeof option === 'object') return { ...files, ...option }
  const mode = parameters.sslmode ?? (typeof option === 'boolean' ? (option ? 'verify-full' : 'disable') : option)
  if (mode === undefined) return serverless ? { ...files, rejectUnauthorized: true } : false
  switch (mode) {
    case 'disable':
      if (serverless) throw refused('this host takes only encrypted connections; leave out `ssl` and sslmode')
      return false
    case 'require':
      return { ...files, rejectUnauthorized: false }
    case 'verify-ca':
      return { ...files, rejectUnauthorized: true, checkServerIdentity: () => undefined }
    case 'verify-full':
      return { ...files, rejectUnauthorized: true }
    default:
      throw refused(`sslmode must be one of ${SSL_MODES.join(', ')}`)
  }
}

function tlsFiles({ sslrootcert, sslcert, sslkey }: Parameters): Record<string, string> {
  const read = (name: string, path: string | undefined): Record<string, string> =>
    path === undefined ? {} : { [name]: fileText(path) }
  return { ...(sslrootcert === 'system' ? {} : read('ca', sslrootcert)), ...read('cert', sslcert), ...read('key', sslkey) }
}

function fileText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new HoldfastError('INVALID_OPTIONS', `\`url\` names a file that cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function refused(message: string): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', message)
}
