/**
 * SQLite by `node:sqlite`: one connection a file and process, write-ahead log, group commit.
 *
 * Writes queue until the event loop's next turn and share one transaction, and so one fsync; each resolves when that is durable. What takes
 * longer than a turn goes on in the next ones, while reads go past it by a connection of their own.
 * Several processes may use one file: a lock that another holds is waited for in short steps that leave the event loop free.
 */
import type { DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { IN_MEMORY } from '../store/location.ts'
import { sleep } from '../store/platform.ts'
import { GroupCommit } from './group-commit.ts'
import { isBusy, translateSqliteError } from './sqlite-errors.ts'
import { BUSY_TIMEOUT_MS, canonicalPath, openDatabase, refuseScrap, type Durability } from './sqlite-file.ts'
import { applyMigrations, schemaVersion } from './sqlite-schema.ts'
import { rowsOf, Statements } from './sqlite-statements.ts'
import {
  pending,
  type Script,
  type SqlDialect,
  type SqlEngine,
  type SqlRow,
  type SqlSchema,
  type SqlValue,
  type Statement,
} from './sql.ts'

export interface SqliteEngineOptions {
  /** Default `full`. */
  readonly durability?: Durability | undefined
  /** Milliseconds to wait for a lock that another process holds before `UNAVAILABLE`. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined
}

export interface SqliteEngine extends SqlEngine {
  /** Absolute path of the file, or `:memory:`. */
  readonly path: string
  /** Writes a consistent copy to a new file while readers and writers go on. An existing file is not touched: `CONFLICT`. */
  backup(file: string): Promise<void>
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

export const SQLITE_DIALECT: SqlDialect = {
  name: 'sqlite',
  quote,
  table: quote,
  types: { key: 'TEXT', text: 'TEXT', bytes: 'BLOB', integer: 'INTEGER', boolean: 'INTEGER' },
  greatest: (a, b) => `max(${a}, ${b})`,
}

/** Engines of this process by file and durability, so that the stores on one file share a connection and its commits. */
const engines = new Map<string, Promise<Connection>>()

/** Opens a database file, creating it and its folder where they are not there yet. `:memory:` is a new one each time. */
export async function openSqlite(location: string, options: SqliteEngineOptions = {}): Promise<SqliteEngine> {
  const durability = options.durability ?? 'full'
  const lockTimeoutMs = options.lockTimeoutMs ?? 30_000
  if (location === IN_MEMORY) return connect(location, durability, lockTimeoutMs, () => undefined)
  const path = await canonicalPath(location)
  const key = `${durability}:${path}`
  const opening = engines.get(key)
  const shared = await opening?.catch(() => undefined)
  if (shared?.hold() === true) return shared
  // Somebody else may have begun to open it while we waited.
  if (engines.get(key) !== opening) return openSqlite(location, options)
  const forget = (): void => {
    if (engines.get(key) === connecting) engines.delete(key)
  }
  const connecting = connect(path, durability, lockTimeoutMs, forget)
  engines.set(key, connecting)
  connecting.catch(forget)
  return connecting
}

async function connect(path: string, durability: Durability, lockTimeoutMs: number, onClose: () => void): Promise<Connection> {
  const deadline = performance.now() + lockTimeoutMs
  refuseScrap(path)
  for (;;) {
    try {
      return new Connection(path, () => openDatabase(path, durability), lockTimeoutMs, onClose)
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw translateSqliteError(error, path)
      await pause()
    }
  }
}

class Connection implements SqliteEngine {
  readonly dialect = SQLITE_DIALECT
  readonly path: string
  readonly #open: () => DatabaseSync
  /** What writes, and reads while no transaction is open. */
  readonly #main: Statements
  /** What reads beside an open transaction; made when it is first needed. */
  #beside: Statements | undefined
  readonly #commits: GroupCommit
  readonly #lockTimeoutMs: number
  readonly #onClose: () => void
  #users = 1
  #changeCount = 0

  constructor(path: string, open: () => DatabaseSync, lockTimeoutMs: number, onClose: () => void) {
    const db = open()
    this.path = path
    this.#open = open
    this.#main = new Statements(db)
    this.#lockTimeoutMs = lockTimeoutMs
    this.#onClose = onClose
    this.#commits = new GroupCommit({
      lockTimeoutMs,
      // Nobody else can see a database in memory.
      readsBeside: path !== IN_MEMORY,
      execute: (sql) => this.#main.prepared(sql).statement.run(),
      drive: (script) => this.#drive(script, this.#main),
      inTransaction: () => db.isTransaction,
      changeCount: () => this.#changeCount,
      logPages: () => this.#logPages(),
      checkpoint: () => void this.#checkpoint('PASSIVE'),
      translate: (error) => translateSqliteError(error, this.path),
    })
  }

  /** One more user of this connection; false when it is closed already. */
  hold(): boolean {
    if (this.#users === 0) return false
    this.#users++
    return true
  }

  async migrate(schema: SqlSchema, options: { readonly autoCreate: boolean }): Promise<void> {
    const found = await this.version(schema)
    if (pending(schema, found).length === 0) return
    if (!options.autoCreate) {
      throw new HoldfastError(
        'NOT_FOUND',
        `${this.path}: the ${schema.component} tables are at version ${found} of ${schema.migrations.length}, and autoCreate is off; \`holdfast schema\` shows and applies what is missing`,
      )
    }
    const name = `${schema.prefix}schema`
    await this.write(() => applyMigrations(this.dialect.quote(name), name, schema))
  }

  async version({ prefix, component }: SqlSchema): Promise<number> {
    const name = `${prefix}schema`
    return this.read(() => schemaVersion(this.dialect.quote(name), name, component))
  }

  select<R>(sql: string, values: readonly SqlValue[], call?: BackendCall): Promise<R[]> {
    return this.#reading((from) => rowsOf(from.prepared(sql), values) as R[], call)
  }

  read<T>(script: () => Script<T>, call?: BackendCall): Promise<T> {
    return this.#reading((from) => this.#snapshot(script, from), call)
  }

  write<T>(script: () => Script<T>, call?: BackendCall): Promise<T> {
    return this.#commits.add(script, call?.signal)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.select('SELECT count(*) AS n FROM sqlite_schema', [], call)
  }

  async backup(file: string): Promise<void> {
    const { backupTo } = await import('./sqlite-backup.ts')
    await backupTo(file, { db: this.#main.db, path: this.path, busyTimeoutMs: BUSY_TIMEOUT_MS })
  }

  async close(): Promise<void> {
    if (--this.#users > 0) return
    this.#onClose()
    await this.#commits.close()
    this.#beside?.close()
    this.#main.close()
  }

  /** Runs synchronous reading work, which nearly always answers at once. */
  #reading<T>(work: (from: Statements) => T, call: BackendCall | undefined): Promise<T> {
    try {
      return Promise.resolve(work(this.#readable()))
    } catch (error) {
      return this.#readAgain(work, call, error)
    }
  }

  /** Again and again where another process's recovery or checkpoint holds the lock. */
  async #readAgain<T>(work: (from: Statements) => T, call: BackendCall | undefined, first: unknown): Promise<T> {
    const deadline = performance.now() + this.#lockTimeoutMs
    for (let error = first; ;) {
      if (!isBusy(error) || performance.now() > deadline) throw translateSqliteError(error, this.path)
      await pause()
      call?.signal?.throwIfAborted()
      try {
        return work(this.#readable())
      } catch (next) {
        error = next
      }
    }
  }

  /** Nobody sees what is not committed. */
  #readable(): Statements {
    if (!this.#commits.isOpen) return this.#main
    this.#beside ??= new Statements(this.#open())
    return this.#beside
  }

  #snapshot<T>(script: () => Script<T>, from: Statements): T {
    from.prepared('BEGIN').statement.run()
    try {
      return this.#drive(script, from)
    } finally {
      if (from.db.isTransaction) from.prepared('COMMIT').statement.run()
    }
  }

  /** In memory there is no log: -1, as SQLite has it, both times. `NOOP` is a checkpoint that only tells how much one would have to do. */
  #logPages(): number {
    const [, log, done] = this.#checkpoint('NOOP')
    return log - done
  }

  #checkpoint(mode: 'NOOP' | 'PASSIVE'): [busy: number, log: number, done: number] {
    try {
      return this.#main.prepared(`PRAGMA wal_checkpoint(${mode})`).statement.get() as unknown as [number, number, number]
    } catch {
      // What was committed is safe in the log. Whatever is wrong, the next write says it.
      return [1, 0, 0]
    }
  }

  /** Runs a script's statements one after another; a failure is thrown into the script at its `yield`. */
  #drive<T>(script: () => Script<T>, on: Statements): T {
    const running = script()
    let step = running.next()
    while (step.done !== true) {
      let result
      try {
        result = this.#run(step.value, on)
      } catch (error) {
        if (isBusy(error)) throw error
        step = running.throw(translateSqliteError(error, this.path))
        continue
      }
      step = running.next(result)
    }
    return step.value
  }

  #run(statement: Statement, on: Statements): SqlRow[] | number {
    const prepared = on.prepared(statement.sql)
    if (statement.wants === 'changes') {
      const changed = Number(prepared.statement.run(...statement.values).changes)
      if (changed > 0 || prepared.effect === 'any') this.#changeCount++
      return changed
    }
    if (prepared.effect !== 'none') this.#changeCount++
    return rowsOf(prepared, statement.values)
  }
}

/** Jittered, so that processes that wait for one lock do not come back together. */
function pause(): Promise<void> {
  return sleep(1 + Math.random() * 4)
}
