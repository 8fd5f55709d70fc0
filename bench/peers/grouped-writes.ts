/** Group commit as one would write it by hand: what is asked for in one turn of the event loop shares a transaction and its fsync. */
import type { DatabaseSync } from 'node:sqlite'

interface Waiting {
  readonly work: () => void
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class GroupedWrites {
  readonly #db: DatabaseSync
  #waiting: Waiting[] = []

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Resolves when the work is durable. Work that throws takes all of its group with it, which the bench never does. */
  add(work: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#commit())
      this.#waiting.push({ work, resolve, reject })
    })
  }

  #commit(): void {
    const group = this.#waiting
    this.#waiting = []
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      for (const { work } of group) work()
      this.#db.exec('COMMIT')
      for (const { resolve } of group) resolve()
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      for (const { reject } of group) reject(error)
    }
  }
}
