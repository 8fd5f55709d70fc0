/**
 * State in SQLite, and what state on every SQL engine shares. Entries are rows of one table. The scripts rely on SQLite's single writer:
 * what they have read stays as it is until they end. Text is stored as text and bytes as bytes, so other programs can read both.
 */
import {
  changes,
  distinctValues,
  marks,
  padded,
  type Script,
  type SqlDialect,
  type SqlEngine,
  type SqlSchema,
  type SqlValue,
  type Statement,
} from '../engines/sql.ts'
import type { BackendCall, Limits } from '../store/contract.ts'
import { compareBytes, successorOf } from '../store/text.ts'
import type {
  StateBackend,
  StateCapabilities,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateSet,
  StateValue,
} from './contract.ts'
import { addTo } from './values.ts'

export interface SqlStateOptions {
  /** Table-name prefix. */
  readonly prefix: string
  readonly capabilities: StateCapabilities
  readonly limits?: Limits
}

/**
 * The table has row ids of its own: in a `WITHOUT ROWID` table the values lie in the tree of keys, and at 1 KB a value that made reads and
 * writes 3 to 5 times slower and the file 3 times larger.
 */
export function stateSchema(dialect: SqlDialect, prefix: string): SqlSchema {
  const { types } = dialect
  const columns = [
    `space ${types.key} NOT NULL`,
    `key ${types.key} NOT NULL`,
    // Small columns first, so that they are read without the pages that a large value overflows to.
    `version ${types.integer} NOT NULL`,
    `expires_at ${types.integer}`,
    'value ANY NOT NULL',
    'PRIMARY KEY (space, key)',
  ]
  const table = dialect.table(`${prefix}state`)
  const up = [`CREATE TABLE ${table} (${columns.join(', ')}) STRICT`, expiryIndex(dialect, prefix)]
  return { prefix, component: 'state', migrations: [{ version: 1, up }] }
}

/** By it the expired rows are found. */
export function expiryIndex(dialect: SqlDialect, prefix: string): string {
  const [index, table] = [dialect.quote(`${prefix}state_expiry`), dialect.table(`${prefix}state`)]
  return `CREATE INDEX ${index} ON ${table} (expires_at) WHERE expires_at IS NOT NULL`
}

/** The backend over tables that are there already. */
export function createSqlState(engine: SqlEngine, options: SqlStateOptions): StateBackend {
  return new SqlState(engine, options)
}

/** Keys in one `IN (…)`. */
const KEYS_PER_STATEMENT = 512
/** Keys written between two purges of expired rows. A purge takes twice as many rows, so they never pile up. */
const PURGE_EVERY = 64
const PURGED_PER_WRITE = 2

/** When to remove expired rows. */
export class Purges {
  // A process may be too short-lived to come to its second purge.
  #written = PURGE_EVERY

  /** How many expired rows this commit is to remove. */
  due({ set, add, delete: unwanted }: StateCommit): number {
    this.#written += (set?.length ?? 0) + (add?.length ?? 0) + (unwanted?.length ?? 0)
    if (this.#written < PURGE_EVERY) return 0
    const rows = this.#written * PURGED_PER_WRITE
    this.#written = 0
    return rows
  }
}

class SqlState implements StateBackend {
  readonly capabilities: StateCapabilities
  readonly limits: Limits
  readonly #engine: SqlEngine
  readonly #sql: StateStatements
  readonly #purges = new Purges()

  constructor(engine: SqlEngine, options: SqlStateOptions) {
    this.capabilities = options.capabilities
    this.limits = options.limits ?? {}
    this.#engine = engine
    this.#sql = stateStatements(engine.dialect, options.prefix)
  }

  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    const now = Date.now()
    if (keys.length !== 1) return this.#getMany(space, keys, now, call)
    return this.#engine.select<EntryRow>(this.#sql.get, [space, keys[0]!, now], call).then((found) => [toEntry(found[0], now)])
  }

  async #getMany(
    space: string,
    keys: readonly string[],
    now: number,
    call: BackendCall | undefined,
  ): Promise<(StateEntry | undefined)[]> {
    const found = new Map<string, EntryRow>()
    for (const batch of batchesOf(keys)) {
      const rows = await this.#engine.select<EntryRow>(this.#sql.getMany(batch.length), [space, now, ...batch], call)
      for (const entry of rows) found.set(entry.key, entry)
    }
    return keys.map((key) => toEntry(found.get(key), now))
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    const purge = this.#purges.due(commit)
    const { set } = commit
    const only = set?.length === 1 && purge === 0 && isOnlySet(commit) ? set[0]! : undefined
    // The clock is read when the script runs: it may have waited for a lock.
    if (only !== undefined) return this.#engine.write(() => runSet(this.#sql, space, only, Date.now()), call)
    return this.#engine.write(() => runCommit(this.#sql, space, commit, purge, Date.now()), call)
  }

  async scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    const { exclusive, from, end } = rangeOf(scan)
    const bounds = end === undefined ? [from] : [from, end]
    const sql = this.#sql.scan(exclusive, end !== undefined)
    const now = Date.now()
    const rows = await this.#engine.select<{ key: string }>(sql, [space, ...bounds, now, now, scan.limit], call)
    return rows.map(({ key }) => key)
  }

  async listSpaces(scan: StateScan, call?: BackendCall): Promise<string[]> {
    const { exclusive, from, end } = rangeOf(scan)
    const bounds = end === undefined ? [from] : [from, end, end]
    const sql = this.#sql.spaces(exclusive, end !== undefined)
    const rows = await this.#engine.select<{ value: string }>(sql, [...bounds, Date.now(), scan.limit], call)
    return rows.map(({ value }) => value)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#engine.ping(call)
  }

  close(): Promise<void> {
    return this.#engine.close()
  }
}

function isOnlySet({ checks, delete: unwanted, add }: StateCommit): boolean {
  return checks === undefined && unwanted === undefined && add === undefined
}

/** `runCommit` of nothing but one `set`, which is what most commits are. */
function* runSet(sql: StateStatements, space: string, { key, value, ttlMs }: StateSet, now: number): Script<StateCommitResult> {
  if (ttlMs === 'keep') {
    yield putKeepingTtl(sql, space, key, value, now)
    return DONE
  }
  const expiresAt = ttlMs === undefined ? null : now + ttlMs
  const updated = yield { sql: sql.update, values: [value, expiresAt, space, key], wants: 'changes' }
  if (updated === 0) yield { sql: sql.insert, values: [space, key, firstVersion(), value, expiresAt], wants: 'changes' }
  return DONE
}

const DONE: StateCommitResult = Object.freeze({ applied: true, deleted: 0, sums: Object.freeze([]) })

function* runCommit(
  sql: StateStatements,
  space: string,
  { checks = [], set = [], delete: unwanted = [], add = [] }: StateCommit,
  purge: number,
  now: number,
): Script<StateCommitResult> {
  // A refusal is a result, which undoes nothing: so everything is checked before anything is written. Without `yield*`: each generator that
  // a statement passes through costs.
  for (const { key, version } of checks) {
    const [found] = (yield { sql: sql.version, values: [space, key, now], wants: 'rows' }) as unknown as EntryRow[]
    if (version !== (found === undefined ? null : String(found.version))) return { applied: false, reason: 'check', key }
  }
  const sums: number[] = []
  for (const addition of add) {
    const [found] = (yield { sql: sql.get, values: [space, addition.key, now], wants: 'rows' }) as unknown as EntryRow[]
    const sum = addTo(found?.value, addition)
    if (typeof sum !== 'number') return { applied: false, reason: sum, key: addition.key }
    sums.push(sum)
  }
  for (const item of set) yield* runSet(sql, space, item, now)
  for (let i = 0; i < add.length; i++) yield putKeepingTtl(sql, space, add[i]!.key, String(sums[i]), now)
  const deleted = unwanted.length === 0 ? 0 : yield* remove(sql, space, unwanted, now)
  if (purge > 0) yield { sql: sql.purge, values: [now, purge], wants: 'changes' }
  return { applied: true, deleted, sums }
}

function putKeepingTtl(sql: StateStatements, space: string, key: string, value: StateValue, now: number): Statement {
  return { sql: sql.putKeepingTtl, values: [space, key, firstVersion(), value, now], wants: 'changes' }
}

function* remove(sql: StateStatements, space: string, keys: readonly string[], now: number): Script<number> {
  let deleted = 0
  for (const batch of batchesOf(keys)) deleted += yield* changes(sql.deleteMany(batch.length), space, now, ...batch)
  return deleted
}

interface StateStatements {
  /** space, key, now */
  readonly get: string
  /** space, now, keys */
  getMany(count: number): string
  /** space, key, now */
  readonly version: string
  /** value, expiry, space, key. Tried first: an `ON CONFLICT` builds the row twice, and most keys that are set are there. */
  readonly update: string
  /** space, key, first version, value, expiry */
  readonly insert: string
  /** space, key, first version, value, now */
  readonly putKeepingTtl: string
  /** space, now, keys */
  deleteMany(count: number): string
  /** now, rows */
  readonly purge: string
  /** space, lower bound, upper bound if there is one, now twice, limit */
  scan(exclusive: boolean, bounded: boolean): string
  /** lower bound, upper bound twice if there is one, now, limit */
  spaces(exclusive: boolean, bounded: boolean): string
}

export function stateStatements(dialect: SqlDialect, prefix: string): StateStatements {
  const table = dialect.table(`${prefix}state`)
  const live = '(expires_at IS NULL OR expires_at > ?)'
  // Rows are only fetched for their expiry where some have expired; else a listing reads the keys' index and nothing else. An OR would
  // not do: SQLite looks at the row before the subquery then.
  const listed = `CASE WHEN EXISTS (SELECT 1 FROM ${table} WHERE expires_at <= ?) THEN ${live} ELSE TRUE END`
  const insert = `INSERT INTO ${table} (space, key, version, value, expires_at) VALUES (?, ?, ?, ?, ?)`
  const onConflict = `ON CONFLICT (space, key) DO UPDATE SET version = ${table}.version + 1, value = excluded.value`
  return {
    get: `SELECT value, version, expires_at FROM ${table} WHERE space = ? AND key = ? AND ${live}`,
    getMany: (count) =>
      `SELECT key, value, version, expires_at FROM ${table} WHERE space = ? AND ${live} AND key IN (${marks(count)})`,
    version: `SELECT version FROM ${table} WHERE space = ? AND key = ? AND ${live}`,
    update: `UPDATE ${table} SET version = version + 1, value = ?, expires_at = ? WHERE space = ? AND key = ?`,
    insert,
    putKeepingTtl: `INSERT INTO ${table} (space, key, version, value) VALUES (?, ?, ?, ?) ${onConflict}, expires_at = CASE WHEN ${table}.expires_at > ? THEN ${table}.expires_at END`,
    deleteMany: (count) => `DELETE FROM ${table} WHERE space = ? AND ${live} AND key IN (${marks(count)})`,
    purge: `DELETE FROM ${table} WHERE (space, key) IN (SELECT space, key FROM ${table} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
    scan: (exclusive, bounded) =>
      `SELECT key FROM ${table} WHERE space = ? AND key ${exclusive ? '>' : '>='} ?${bounded ? ' AND key < ?' : ''} AND ${listed} ORDER BY key LIMIT ?`,
    spaces: (exclusive, bounded) => {
      const where = `EXISTS (SELECT 1 FROM ${table} WHERE space = found.value AND ${live})`
      return distinctValues(table, 'space', { exclusive, bounded, where })
    },
  }
}

/** Where a scan begins, and the text that it ends before, if there is one. */
export function rangeOf({ prefix, after }: StateScan): { exclusive: boolean; from: string; end: string | undefined } {
  const exclusive = after !== undefined && compareBytes(after, prefix) >= 0
  return { exclusive, from: exclusive ? after : prefix, end: successorOf(prefix) }
}

interface EntryRow {
  readonly key: string
  readonly value: StateValue
  readonly version: number
  readonly expires_at: number | null
}

function toEntry(found: EntryRow | undefined, now: number): StateEntry | undefined {
  if (found === undefined) return undefined
  const ttlMs = found.expires_at === null ? undefined : found.expires_at - now
  return { value: found.value, version: String(found.version), ttlMs }
}

/**
 * Versions rise from here with each write. A key that is deleted and made again begins anywhere, and so does not come back to a version
 * that somebody still holds; half of what an integer can hold is left to rise.
 */
export function firstVersion(): number {
  return Math.floor(Math.random() * 2 ** 52)
}

function* batchesOf(keys: readonly string[]): Generator<SqlValue[], void> {
  for (let at = 0; at < keys.length; at += KEYS_PER_STATEMENT) yield padded(keys.slice(at, at + KEYS_PER_STATEMENT))
}
