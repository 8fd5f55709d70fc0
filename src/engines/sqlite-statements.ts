/** Prepared statements of SQLite: how they are run, and what they change. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SqlRow, SqlValue } from './sql.ts'

export interface Prepared {
  readonly statement: StatementSync
  readonly columns: readonly string[]
  /** Whether it changes nothing, says how many rows it changed, or may change anything, as schema changes do. */
  readonly effect: 'none' | 'counted' | 'any'
}

const MAX_STATEMENTS = 500

/** A connection with its prepared statements. */
export class Statements {
  readonly db: DatabaseSync
  readonly #known = new Map<string, Prepared>()

  constructor(db: DatabaseSync) {
    this.db = db
  }

  prepared(sql: string): Prepared {
    let prepared = this.#known.get(sql)
    if (prepared === undefined) {
      if (this.#known.size >= MAX_STATEMENTS) this.#known.clear()
      prepared = prepare(this.db, sql)
      this.#known.set(sql, prepared)
    }
    return prepared
  }

  /** A statement must not outlive its connection. */
  close(): void {
    this.#known.clear()
    this.db.close()
  }
}

/** Rows come as arrays: Node's own row objects are dictionaries, twice as slow to make and to read. */
function prepare(db: DatabaseSync, sql: string): Prepared {
  const statement = db.prepare(sql)
  statement.setReturnArrays(true)
  return { statement, columns: statement.columns().map(({ name }) => name), effect: effectOf(sql) }
}

export function rowsOf({ statement, columns }: Prepared, values: readonly SqlValue[]): SqlRow[] {
  const found = statement.all(...values) as unknown as SqlValue[][]
  return found.map((cells) => {
    const row: Record<string, SqlValue> = {}
    for (let i = 0; i < columns.length; i++) row[columns[i]!] = cells[i]!
    return row
  })
}

function effectOf(sql: string): Prepared['effect'] {
  if (sql.startsWith('SELECT')) return 'none'
  return /^(?:INSERT|UPDATE|DELETE)\b/.test(sql) ? 'counted' : 'any'
}
