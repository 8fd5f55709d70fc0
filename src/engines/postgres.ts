/**
 * Postgres by `pg`: a pool for each server, user and database of this process, and scripts run as transactions on it.
 *
 * Statements have no names and a session keeps nothing from one transaction to the next, neither settings nor locks, so that a pooler in
 * transaction mode, such as PgBouncer, may stand in between.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { Connections, Lease } from './postgres-client.ts'
import { cannotPrepare, lostConnection, lostToOthers, translatePostgresError } from './postgres-errors.ts'
import { applyMigrations, foundVersion } from './postgres-schema.ts'
import { drive, Transaction, type Access, type Manner } from './postgres-transaction.ts'
import { pending, rowsAlone, type Script, type SqlDialect, type SqlEngine, type SqlSchema, type SqlValue } from './sql.ts'

export interface PostgresEngine extends SqlEngine {
  /** Where the tables are, for messages: nothing secret. */
  readonly place: string
}

/** Transactions that lose to others are tried again this often, and then told to be unavailable. */
const MAX_ATTEMPTS = 30
const MAX_PAUSE_MS = 200
/** An aborted write has this long to say that it never happened. */
export const ABORT_ANSWER_MS = 500

export function quotePostgres(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

/** The dialect of tables in a Postgres schema. Names carry it: a search path is a session's setting, which poolers do not keep. */
export function postgresDialect(schema: string): SqlDialect {
  return {
    name: 'postgres',
    quote: quotePostgres,
    table: (name) => `${quotePostgres(schema)}.${quotePostgres(name)}`,
    types: { key: 'text COLLATE "C"', text: 'text', bytes: 'bytea', integer: 'bigint', boolean: 'smallint' },
    greatest: (a, b) => `greatest(${a}, ${b})`,
  }
}

interface EngineSettings {
  readonly schema: string
  readonly place: string
  /** Keeps statements prepared, unless it turns out that they do not stay. */
  readonly prepare: boolean
  /** Gives the connections back. */
  readonly release: () => Promise<void>
}

/** An engine over connections. */
export function createPostgresEngine(connections: Connections, settings: EngineSettings): PostgresEngine {
  return new Engine(connections, settings)
}

class Engine implements PostgresEngine {
  readonly dialect: SqlDialect
  readonly place: string
  readonly #connections: Connections
  readonly #schema: string
  readonly #release: () => Promise<void>
  #prepare: boolean

  constructor(connections: Connections, { schema, place, prepare, release }: EngineSettings) {
    this.dialect = postgresDialect(schema)
    this.place = place
    this.#connections = connections
    this.#schema = schema
    this.#prepare = prepare
    this.#release = release
  }

  async migrate(schema: SqlSchema, { autoCreate }: { readonly autoCreate: boolean }): Promise<void> {
    const found = await this.version(schema)
    if (pending(schema, found).length === 0) return
    if (!autoCreate) {
      throw new HoldfastError(
        'NOT_FOUND',
        `${this.place}: the ${schema.component} tables are at version ${found} of ${schema.migrations.length}, and autoCreate is off; \`holdfast schema\` shows and applies what is missing`,
      )
    }
    await applyMigrations(this, this.#schema, schema)
  }

  version(schema: SqlSchema): Promise<number> {
    return foundVersion(this, schema)
  }

  select<R>(sql: string, values: readonly SqlValue[], call?: BackendCall): Promise<R[]> {
    return this.#attempts(() => rowsAlone<R>(sql, ...values), 'read', call?.signal)
  }

  read<T>(script: () => Script<T>, call?: BackendCall): Promise<T> {
    return this.#attempts(script, 'read', call?.signal)
  }

  write<T>(script: () => Script<T>, call?: BackendCall): Promise<T> {
    return this.#attempts(script, 'write', call?.signal)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.select('SELECT 1', [], call)
  }

  close(): Promise<void> {
    return this.#release()
  }

  /**
   * Runs a script, and again where it failed without effect: because it lost to others, because its connection had died while nobody
   * used it, or because a pooler does not let statements stay prepared.
   */
  async #attempts<T>(script: () => Script<T>, access: Access, signal: AbortSignal | undefined): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const lease = await this.#lease(signal)
      const manner = { access, prepare: this.#prepare, signal }
      try {
        return await runOn(lease, script, manner)
      } catch (error) {
        const elsewhere = (lease.reused && lostConnection(error)) || (manner.prepare && cannotPrepare(error))
        if (attempt >= MAX_ATTEMPTS || signal?.aborted === true || !(elsewhere || lostToOthers(error))) throw error
        if (cannotPrepare(error)) this.#prepare = false
        if (elsewhere) continue
      }
      await sleep(Math.random() * Math.min(MAX_PAUSE_MS, 2 ** attempt))
      signal?.throwIfAborted()
    }
  }

  async #lease(signal: AbortSignal | undefined): Promise<Lease> {
    try {
      return await this.#connections.lease(signal)
    } catch (error) {
      throw signal?.aborted === true ? error : translatePostgresError(error, 'connecting')
    }
  }
}

async function runOn<T>(lease: Lease, script: () => Script<T>, manner: Manner): Promise<T> {
  const transaction = new Transaction(lease, manner)
  try {
    const value = await drive(script, transaction)
    await transaction.commit()
    return value
  } catch (error) {
    await transaction.undo()
    throw error
  } finally {
    transaction.end()
  }
}
