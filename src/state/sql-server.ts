/**
 * State on Postgres, where others write at the same time.
 *
 * A commit of several keys holds every key that its outcome depends on until it ends: those that are there by a lock on their row, absent
 * ones by a row that nobody else can make meanwhile; only then it decides, and writes. That is two-phase locking, so commits have a serial
 * order, and writers of one key wait for each other where optimistic transactions would fail and begin anew. What names one key, or only
 * sets, is a single statement, which locks the rows that it writes in the same way. Keys are locked in bytewise order; where two commits
 * wait for each other all the same, the server ends one of them, and the engine tries it again. Each read is one statement, and so sees
 * commits whole.
 *
 * The server's clock decides what is expired: machines do not agree about the time.
 */
import type { SqlDialect, SqlEngine, SqlSchema } from '../engines/sql.ts'
import type { BackendCall, Limits } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { StateBackend, StateCapabilities, StateCommit, StateCommitResult, StateEntry, StateScan } from './contract.ts'
import { Refusal, runCommit } from './sql-server-commit.ts'
import { serverStatements, type ServerStatements } from './sql-server-statements.ts'
import { changesAlone } from '../engines/sql.ts'
import { expiryIndex, Purges, rangeOf, type SqlStateOptions } from './sql.ts'

export function serverStateSchema(dialect: SqlDialect, prefix: string): SqlSchema {
  const { types } = dialect
  const columns = [
    `space ${types.key} NOT NULL`,
    `key ${types.key} NOT NULL`,
    `version ${types.integer} NOT NULL`,
    `expires_at ${types.integer}`,
    `text ${types.text}`,
    `bytes ${types.bytes}`,
    // Listings read the index of keys and nothing else.
    'PRIMARY KEY (space, key) INCLUDE (expires_at)',
    'CHECK ((text IS NULL) <> (bytes IS NULL))',
  ]
  const up = [`CREATE TABLE ${dialect.table(`${prefix}state`)} (${columns.join(', ')})`, expiryIndex(dialect, prefix)]
  return { prefix, component: 'state', migrations: [{ version: 1, up }] }
}

export interface ServerStateOptions extends SqlStateOptions {
  readonly abortAnswerMs: number
}

/** The backend over tables that are there already. */
export function createServerState(engine: SqlEngine, options: ServerStateOptions): StateBackend {
  return new ServerState(engine, options)
}

interface EntryRow {
  readonly key: string
  readonly text: string | null
  readonly bytes: Uint8Array | null
  readonly version: number
  readonly ttl: number | null
}

class ServerState implements StateBackend {
  readonly capabilities: StateCapabilities
  readonly limits: Limits
  readonly abortAnswerMs: number
  readonly #engine: SqlEngine
  readonly #sql: ServerStatements
  readonly #purges = new Purges()

  constructor(engine: SqlEngine, options: ServerStateOptions) {
    this.capabilities = options.capabilities
    this.limits = options.limits ?? {}
    this.abortAnswerMs = options.abortAnswerMs
    this.#engine = engine
    this.#sql = serverStatements(engine.dialect, options.prefix)
  }

  async get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    if (keys.length === 1) {
      const [found] = await this.#engine.select<EntryRow>(this.#sql.get, [space, keys[0]!], call)
      return [found && toEntry(found)]
    }
    const found = await this.#engine.select<EntryRow>(this.#sql.getMany, [space, JSON.stringify(keys)], call)
    const entries = new Map(found.map((row) => [row.key, toEntry(row)]))
    return keys.map((key) => entries.get(key))
  }

  async commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    const purged = this.#purges.due(commit)
    if (purged > 0) await this.#purge(purged, call)
    try {
      return await this.#engine.write(() => runCommit(this.#sql, space, commit), call)
    } catch (error) {
      if (error instanceof Refusal) return error.result
      throw error
    }
  }

  async scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    const { exclusive, from, end } = rangeOf(scan)
    const bounds = end === undefined ? [nextAfter(space), ''] : [space, end]
    const rows = await this.#engine.select<{ key: string }>(this.#sql.scan(exclusive), [space, from, ...bounds, scan.limit], call)
    return rows.map(({ key }) => key)
  }

  async listSpaces(scan: StateScan, call?: BackendCall): Promise<string[]> {
    const { exclusive, from, end } = rangeOf(scan)
    const bounds = end === undefined ? [from] : [from, end, end]
    const sql = this.#sql.spaces(exclusive, end !== undefined)
    const rows = await this.#engine.select<{ value: string }>(sql, [...bounds, scan.limit], call)
    return rows.map(({ value }) => value)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#engine.ping(call)
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  /** Before the commit: when it fails, nothing of that has been sent. */
  async #purge(rows: number, call: BackendCall | undefined): Promise<void> {
    try {
      await this.#engine.write(() => changesAlone(this.#sql.purge, rows), call)
    } catch (error) {
      throw withOutcome(error, 'not-applied')
    }
  }
}

/** The text that comes next: U+0000 is in no space. */
function nextAfter(space: string): string {
  return `${space}\u0001`
}

function toEntry({ text, bytes, version, ttl }: EntryRow): StateEntry {
  return { value: text ?? bytes!, version: String(version), ttlMs: ttl ?? undefined }
}
