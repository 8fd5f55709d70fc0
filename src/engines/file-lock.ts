/**
 * A lock between processes that the operating system releases when its holder dies, however it dies. Node has no call for one; SQLite's
 * write lock on a database file that holds nothing is one, and works the same on every system.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { isBusy, translateSqliteError } from './sqlite-errors.ts'

export class FileLock {
  readonly #path: string
  readonly #db: DatabaseSync
  readonly #begin: StatementSync
  readonly #end: StatementSync

  /** Makes the file where it is missing; its folder must be there. */
  constructor(path: string) {
    this.#path = path
    try {
      this.#db = new DatabaseSync(path, { timeout: 0 })
      // Nothing is kept in it, so nothing of it needs to survive.
      this.#db.exec('PRAGMA synchronous = OFF')
      fill(this.#db)
      this.#begin = this.#db.prepare('BEGIN IMMEDIATE')
      // Unlike COMMIT, it never has to wait for others.
      this.#end = this.#db.prepare('ROLLBACK')
    } catch (error) {
      throw translateSqliteError(error, path)
    }
  }

  /** True when the lock is ours now; false when another handle holds it. Never waits. */
  tryAcquire(): boolean {
    try {
      this.#begin.run()
      return true
    } catch (error) {
      if (isBusy(error)) return false
      throw translateSqliteError(error, this.#path)
    }
  }

  release(): void {
    this.#end.run()
  }

  close(): void {
    this.#db.close()
  }
}

/** Makes an empty file a database, or each lock would begin to make it one. Where somebody else holds the lock, somebody else does. */
function fill(db: DatabaseSync): void {
  try {
    if (db.prepare('PRAGMA page_count').get()?.['page_count'] === 0) db.exec('PRAGMA user_version = 1')
  } catch (error) {
    if (!isBusy(error)) throw error
    if (db.isTransaction) db.exec('ROLLBACK')
  }
}
