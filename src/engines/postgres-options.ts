/** The options that all Postgres backends take, and how they open their database by them. */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import type { FactoryContext, StoreTables } from '../store/factory.ts'
import type { OptionsSchema } from '../store/options.ts'
import {
  OneConnection,
  PoolConnections,
  type Connections,
  type PostgresConnection,
  type PostgresModule,
  type PostgresPool,
} from './postgres-client.ts'
import { describePlace, postgresPlace, SSL_MODES, type PostgresPlace } from './postgres-place.ts'
import { postgresMigrationStatements } from './postgres-schema.ts'
import { createPostgresEngine, postgresDialect, type PostgresEngine } from './postgres.ts'
import type { SqlDialect, SqlSchema } from './sql.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:5432/database?sslmode=…`; what it says goes before the options of the same meaning. */
  readonly url?: string | undefined
  /** A `Pool` or a connected `Client` of `pg`, used instead of the options that say where the server is, and never closed here. */
  readonly client?: PostgresPool | PostgresConnection | undefined
  /** A name, an address, or the folder of a socket. Default `localhost`. */
  readonly host?: string | undefined
  /** Default 5432. */
  readonly port?: number | undefined
  /** Default: the user's name. */
  readonly database?: string | undefined
  /** Default `postgres`. */
  readonly user?: string | undefined
  readonly password?: string | undefined
  /**
   * `true` or `verify-full`: encrypted, to a server that is who it says; `verify-ca`: of a known authority; `require`: to anybody;
   * an object: what `node:tls` is given. Default: `verify-full` for hosts of Neon, CockroachDB Cloud, Xata and Supabase, else `disable`.
   */
  readonly ssl?: boolean | (typeof SSL_MODES)[number] | object | undefined
  /** Schema that the tables are in, made where it is missing. Default `public`. */
  readonly schema?: string | undefined
  /** Table-name prefix: up to 40 letters, digits and underscores. Default `holdfast_`. */
  readonly prefix?: string | undefined
  /** Makes and updates the tables. Default true. */
  readonly autoCreate?: boolean | undefined
  /** Connections at most. Stores of this process with the same place and number share them. Default 10. */
  readonly poolSize?: number | undefined
  /**
   * Keeps statements prepared on each connection, which saves the server a fifth of its time. Behind a pooler in transaction mode only where
   * that supports it, as PgBouncer does from 1.21 on. Default false.
   */
  readonly prepare?: boolean | undefined
  /** Milliseconds in which a connection must be there. Default 10,000, for serverless hosts 30,000. */
  readonly connectTimeoutMs?: number | undefined
}

export const DEFAULT_POSTGRES_PREFIX = 'holdfast_'
export const DEFAULT_POSTGRES_SCHEMA = 'public'
const DEFAULT_POOL_SIZE = 10
/** Connections that nobody has used for this long are closed. */
const IDLE_MS = 60_000
/** Looks from time to time whether a silent server is still there. */
const KEEP_ALIVE_MS = 10_000

export const POSTGRES_OPTIONS: OptionsSchema<PostgresOptions> = {
  url: { type: 'string', description: 'postgres://user:password@host:5432/database' },
  client: { type: 'any', description: 'a Pool or a connected Client of pg, used instead of a place', check: wrongClient },
  host: { type: 'string', description: 'host, or folder of its socket; default localhost', env: 'PGHOST' },
  port: { type: 'integer', description: 'port; default 5432', env: 'PGPORT', min: 1, max: 65_535 },
  database: { type: 'string', description: 'database; default the name of the user', env: 'PGDATABASE' },
  user: { type: 'string', description: 'user; default postgres', env: 'PGUSER' },
  password: { type: 'string', description: 'password of the user', env: 'PGPASSWORD', secret: true },
  ssl: {
    type: 'any',
    description: 'disable, require, verify-ca, verify-full, a boolean, or options of node:tls',
    env: 'PGSSLMODE',
    check: wrongSsl,
  },
  schema: { type: 'string', description: 'schema of the tables', default: DEFAULT_POSTGRES_SCHEMA, check: wrongSchema },
  prefix: { type: 'string', description: 'table-name prefix', default: DEFAULT_POSTGRES_PREFIX, check: wrongPrefix },
  autoCreate: { type: 'boolean', description: 'make and update the tables', default: true },
  poolSize: { type: 'integer', description: 'connections at most', default: DEFAULT_POOL_SIZE, min: 1, max: 10_000 },
  prepare: { type: 'boolean', description: 'keep statements prepared; not behind every pooler', default: false },
  connectTimeoutMs: {
    type: 'integer',
    description: 'milliseconds to wait for a connection; default 10,000, for serverless hosts 30,000',
    min: 1,
    max: 2 ** 31 - 1,
  },
}

/** What a backend builds on: its engine, brought up to date, and its table prefix. */
export interface OpenedPostgres {
  readonly engine: PostgresEngine
  readonly prefix: string
}

/** Opens the database and brings the tables of a schema up to date; what fails leaves nothing open. */
export async function openPostgresBackend(
  options: PostgresOptions,
  context: Pick<FactoryContext, 'loadClient'>,
  schema: (dialect: SqlDialect, prefix: string) => SqlSchema,
): Promise<OpenedPostgres> {
  const { autoCreate = true, prefix = DEFAULT_POSTGRES_PREFIX } = options
  const engine = await openPostgres(options, context)
  try {
    await engine.migrate(schema(engine.dialect, prefix), { autoCreate })
  } catch (error) {
    await engine.close()
    throw error
  }
  return { engine, prefix }
}

/** What a backend's file exports as `tables`. */
export function postgresTables(
  schemaOf: (dialect: SqlDialect, prefix: string) => SqlSchema,
): (options: PostgresOptions, context: Pick<FactoryContext, 'loadClient'>) => StoreTables {
  return (options, context) => {
    const { prefix = DEFAULT_POSTGRES_PREFIX, schema: namespace = DEFAULT_POSTGRES_SCHEMA } = options
    const dialect = postgresDialect(namespace)
    const schema = schemaOf(dialect, prefix)
    const withEngine = async <T>(work: (engine: PostgresEngine) => Promise<T>): Promise<T> => {
      const engine = await openPostgres(options, context)
      try {
        return await work(engine)
      } finally {
        await engine.close()
      }
    }
    return {
      place: placeOf(options, namespace),
      version: schema.migrations.length,
      found: () => withEngine((engine) => engine.version(schema)),
      sql: (from = 0) => postgresMigrationStatements(dialect, namespace, schema, from),
      apply: () => withEngine((engine) => engine.migrate(schema, { autoCreate: true })),
    }
  }
}

/** Opens a database without looking at it: the first statement connects. Engines of one place share its connections. */
export async function openPostgres(
  options: PostgresOptions,
  { loadClient }: Pick<FactoryContext, 'loadClient'>,
): Promise<PostgresEngine> {
  const { client, schema = DEFAULT_POSTGRES_SCHEMA, poolSize = DEFAULT_POOL_SIZE, prepare = false } = options
  const settings = { schema, prepare, place: placeOf(options, schema) }
  if (client !== undefined) {
    if (options.url !== undefined) throw new HoldfastError('INVALID_OPTIONS', 'give `url` or `client`, not both')
    return engineOn(injected(client), settings)
  }
  const target = postgresPlace(options)
  const pg = await loadClient<PostgresModule>('pg')
  return engineOn(pooled(pg, target, poolSize), settings)
}

function placeOf(options: PostgresOptions, schema: string): string {
  return options.client === undefined ? describePlace(postgresPlace(options), schema) : `the given client, schema ${schema}`
}

/** Connections with their users; the last one to leave closes them. */
interface Shared {
  readonly connections: Connections
  readonly forget: () => void
  users: number
}

const pools = new Map<string, Shared>()
const clients = new WeakMap<object, Shared>()

function engineOn(shared: Shared, settings: Omit<Parameters<typeof createPostgresEngine>[1], 'release'>): PostgresEngine {
  shared.users++
  return createPostgresEngine(shared.connections, {
    ...settings,
    release: async () => {
      if (--shared.users > 0) return
      shared.forget()
      await shared.connections.end()
    },
  })
}

function pooled(pg: PostgresModule, place: PostgresPlace, poolSize: number): Shared {
  // A digest, so that no password lies about as a key.
  const key = createHash('sha256')
    .update(JSON.stringify([place, poolSize]))
    .digest('hex')
  const known = pools.get(key)
  if (known !== undefined) return known
  const connections = new PoolConnections(openPool(pg, place, poolSize), true, place)
  const shared: Shared = { connections, users: 0, forget: () => pools.delete(key) }
  pools.set(key, shared)
  return shared
}

function openPool({ Pool, Client }: PostgresModule, place: PostgresPlace, poolSize: number): PostgresPool {
  const { connectTimeoutMs, applicationName, parameters, channelBinding, ...server } = place
  // For connecting only: given to the pool, it would also limit how long work may wait for its turn.
  class TimedClient extends Client {
    constructor(options: object) {
      // The pool hides the password from those who look through its options.
      super({ ...options, ...server, connectionTimeoutMillis: connectTimeoutMs })
    }
  }
  return new Pool({
    ...server,
    application_name: applicationName ?? 'holdfast',
    ...(parameters === undefined ? {} : { options: parameters }),
    enableChannelBinding: channelBinding,
    max: poolSize,
    idleTimeoutMillis: IDLE_MS,
    // An idle connection keeps no process alive.
    allowExitOnIdle: true,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    Client: TimedClient,
  })
}

function injected(client: PostgresPool | PostgresConnection): Shared {
  const known = clients.get(client)
  if (known !== undefined) return known
  const connections = isPool(client) ? new PoolConnections(client, false) : new OneConnection(client)
  const shared: Shared = { connections, users: 0, forget: () => clients.delete(client) }
  clients.set(client, shared)
  return shared
}

function isPool(client: PostgresPool | PostgresConnection): client is PostgresPool {
  return 'totalCount' in client && 'connect' in client
}

function wrongClient(client: object | null): string | undefined {
  const fits = typeof client === 'object' && client !== null && 'query' in client && 'on' in client
  return fits ? undefined : 'must be a Pool or a connected Client of pg'
}

function wrongSsl(ssl: unknown): string | undefined {
  if (typeof ssl === 'boolean' || (typeof ssl === 'object' && ssl !== null)) return undefined
  return (SSL_MODES as readonly unknown[]).includes(ssl)
    ? undefined
    : `must be a boolean, an object or one of ${SSL_MODES.join(', ')}`
}

function wrongSchema(schema: string): string | undefined {
  // A question mark stands for a value in our statements.
  return /^[^?\0]{1,63}$/.test(schema) && Buffer.byteLength(schema) <= 63
    ? undefined
    : 'must be a name of 1 to 63 bytes without a question mark'
}

function wrongPrefix(prefix: string): string | undefined {
  if (!/^\w{0,40}$/.test(prefix)) return 'must be up to 40 letters, digits and underscores'
  return undefined
}
