/**
 * What SQL backends share. Their logic is written once, as scripts: generators that yield statements and get results back. An engine
 * drives a script in its own way, SQLite synchronously inside a group commit, a server over a connection, and may run it again after a
 * lock or serialization failure. So a script has no effect but through its statements.
 */
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'

export type SqlValue = null | number | string | Uint8Array
export type SqlRow = Readonly<Record<string, SqlValue>>

export interface Statement {
  /** With `?` for each value, on every engine; no `?` elsewhere. Constant text, so that engines can keep it prepared. */
  readonly sql: string
  readonly values: readonly SqlValue[]
  /** What the script wants back: the rows, or how many rows changed. */
  readonly wants: 'rows' | 'changes'
  /**
   * Said of a statement that is a transaction by itself: where a server's script has begun none yet, it needs no round trips to begin and end
   * one. A script goes on after it only where it changed nothing, since it cannot be undone. SQLite has nothing to gain from it.
   */
  readonly alone?: true
}

/** Results arrive as rows or as a count, as the statement asked. */
export type Script<T> = Generator<Statement, T, SqlRow[] | number>

/** Yields a statement and gives its rows. */
export function* rows<R>(sql: string, ...values: SqlValue[]): Script<R[]> {
  return (yield { sql, values, wants: 'rows' }) as unknown as R[]
}

/** Yields a statement and gives its first row. */
export function* row<R>(sql: string, ...values: SqlValue[]): Script<R | undefined> {
  const found = yield* rows<R>(sql, ...values)
  return found[0]
}

/** Yields a statement and gives the number of rows it changed. */
export function* changes(sql: string, ...values: SqlValue[]): Script<number> {
  return (yield { sql, values, wants: 'changes' }) as number
}

/** `rows` of a statement that is a transaction by itself. */
export function* rowsAlone<R>(sql: string, ...values: SqlValue[]): Script<R[]> {
  return (yield { sql, values, wants: 'rows', alone: true }) as unknown as R[]
}

/** `row` of a statement that is a transaction by itself. */
export function* rowAlone<R>(sql: string, ...values: SqlValue[]): Script<R | undefined> {
  const found = yield* rowsAlone<R>(sql, ...values)
  return found[0]
}

/** `changes` of a statement that is a transaction by itself. */
export function* changesAlone(sql: string, ...values: SqlValue[]): Script<number> {
  return (yield { sql, values, wants: 'changes', alone: true }) as number
}

/** Where SQL engines differ. */
export interface SqlDialect {
  readonly name: 'sqlite' | 'postgres' | 'mysql'
  /** Quotes an identifier; anything is allowed in it. */
  quote(identifier: string): string
  /** A table's name, ready for statements: quoted, and where the engine has schemas, with the schema that the tables are in. */
  table(name: string): string
  /** Column types. Text compares bytewise on every engine. */
  readonly types: {
    /** Text that is part of a key, up to 512 bytes. */
    readonly key: string
    /** Text of any length. */
    readonly text: string
    readonly bytes: string
    /** A 64-bit integer; milliseconds since 1970 are one too. */
    readonly integer: string
    readonly boolean: string
  }
  /** The greater of two SQL expressions. */
  greatest(a: string, b: string): string
}

/** One forward step of a schema; `up` gives its statements. */
export interface Migration {
  readonly version: number
  readonly up: readonly string[]
}

/** The tables of one kind of store on an engine. Versions begin at 1 and rise by 1. */
export interface SqlSchema {
  /** Table-name prefix, default `holdfast_`. */
  readonly prefix: string
  readonly component: string
  readonly migrations: readonly Migration[]
}

/** An open database, shared by all stores of this process that name the same one. */
export interface SqlEngine {
  readonly dialect: SqlDialect
  /** Brings the schema up to date under a lock; with `autoCreate: false` it only checks, and `NOT_FOUND` says what is missing. */
  migrate(schema: SqlSchema, options: { readonly autoCreate: boolean }): Promise<void>
  /** The version that the tables of a schema have, 0 where there are none; it changes nothing. */
  version(schema: SqlSchema): Promise<number>
  /** Runs one statement that only reads. */
  select<R>(sql: string, values: readonly SqlValue[], call?: BackendCall): Promise<R[]>
  /** Runs a script that only reads, on one snapshot. */
  read<T>(script: () => Script<T>, call?: BackendCall): Promise<T>
  /** Runs a script in one transaction. It resolves when the transaction is durable; a throw in the script undoes the script. */
  write<T>(script: () => Script<T>, call?: BackendCall): Promise<T>
  ping(call?: BackendCall): Promise<void>
  /** Gives this user's hold on the engine back; the last one closes it. */
  close(): Promise<void>
}

/** `?, ?, ?` for a list of values. Lists are padded to a power of two by `padded`, so that few texts need preparing. */
export function marks(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ')
}

/**
 * Lists the values of a column that an index begins with, in order, by one step in that index for each: `DISTINCT` would read all of it.
 * Its own values are the lower bound and, where `bounded`, the upper one, twice over; those of `where`; the limit.
 */
export function distinctValues(
  table: string,
  column: string,
  options: { readonly exclusive: boolean; readonly bounded?: boolean; readonly where?: string },
): string {
  const { exclusive, bounded = false, where } = options
  const end = bounded ? ` AND ${column} < ?` : ''
  const next = (bound: string): string => `SELECT min(${column}) FROM ${table} WHERE ${column} ${bound}${end}`
  // One row leads to the next, so that they come in order, and no more of them than the limit takes.
  return `WITH RECURSIVE found (value) AS (${next(exclusive ? '> ?' : '>= ?')}
    UNION ALL SELECT (${next('> found.value')}) FROM found WHERE found.value IS NOT NULL)
    SELECT value FROM found WHERE value IS NOT NULL${where === undefined ? '' : ` AND ${where}`} LIMIT ?`
}

/** The values, the last one repeated up to the next power of two: harmless in `IN (…)`, and keeps the number of texts small. */
export function padded<T>(values: readonly T[]): T[] {
  const size = 2 ** Math.ceil(Math.log2(Math.max(1, values.length)))
  return Array.from({ length: size }, (_, i) => values[Math.min(i, values.length - 1)]!)
}

/** The migrations still to run from `found` on; a schema from a newer Holdfast is refused. */
export function pending(schema: SqlSchema, found: number): readonly Migration[] {
  const known = schema.migrations.length
  if (found > known) {
    throw new HoldfastError(
      'UNSUPPORTED',
      `the ${schema.component} tables are at version ${found}, and this Holdfast knows ${known}: use a newer Holdfast`,
    )
  }
  return schema.migrations.slice(found)
}
