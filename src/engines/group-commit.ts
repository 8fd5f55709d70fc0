/** Group commit: writes that arrive in one turn of the event loop share one transaction, and so one fsync. */
import { HoldfastError } from '../errors.ts'
import { isBusy } from './sqlite-errors.ts'
import type { Script } from './sql.ts'

/** What group commit needs of the connection; all of it is synchronous. */
export interface Transactor {
  /** Milliseconds that a write waits for the lock before `UNAVAILABLE`. */
  readonly lockTimeoutMs: number
  /** Runs a statement without values. */
  execute(sql: string): void
  drive<T>(script: () => Script<T>): T
  /** False once SQLite has undone the transaction by itself, as it does when the disk is full. */
  inTransaction(): boolean
  translate(error: unknown): HoldfastError
}

interface Job {
  readonly script: () => Script<unknown>
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
  readonly signal: AbortSignal | undefined
  readonly deadline: number
}

/** A transaction ends when the event loop has waited this long for it. */
const TURN_MS = 10
/** After this long without a break, the lock is left free for a moment, or other processes would starve. */
const HOG_MS = 100
const BREAK_MS = 2

export class GroupCommit {
  readonly #db: Transactor
  #queue: Job[] = []
  #scheduled = false
  #busySince: number | undefined
  #whenDrained: (() => void)[] = []

  constructor(db: Transactor) {
    this.#db = db
  }

  /** Queues a script; resolves with its value once the transaction that holds it is durable. */
  add<T>(script: () => Script<T>, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = { script, resolve, reject, signal, deadline: performance.now() + this.#db.lockTimeoutMs }
      this.#queue.push(job)
      signal?.addEventListener('abort', () => this.#drop(job), { once: true })
      if (!this.#scheduled) this.#schedule(0)
    })
  }

  /** Resolves when nothing is queued. */
  drained(): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenDrained.push(resolve))
  }

  /** A job that is still queued has not happened, and its caller is told so. */
  #drop(job: Job): void {
    const at = this.#queue.indexOf(job)
    if (at < 0) return
    this.#queue.splice(at, 1)
    job.reject(job.signal?.reason)
    this.#settleDrained()
  }

  #schedule(delayMs: number): void {
    this.#scheduled = true
    if (delayMs === 0) setImmediate(this.#flush)
    else setTimeout(this.#flush, delayMs)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const began = performance.now()
    let delayMs = 0
    if (this.#queue.length > 0) {
      try {
        this.#db.execute('BEGIN IMMEDIATE')
        this.#commit(this.#runJobs(began))
      } catch (error) {
        delayMs = this.#notBegun(error)
      }
    }
    if (this.#queue.length === 0) {
      this.#busySince = undefined
      this.#settleDrained()
      return
    }
    this.#busySince ??= began
    if (delayMs === 0 && performance.now() - this.#busySince > HOG_MS) {
      this.#busySince = undefined
      delayMs = BREAK_MS
    }
    this.#schedule(delayMs)
  }

  /** Runs jobs until the queue is empty or the turn is over; returns what to tell their callers after the commit. */
  #runJobs(began: number): Settlement {
    const settlement: Settlement = { done: [], lost: undefined }
    const alone = this.#queue.length === 1
    let taken = 0
    while (taken < this.#queue.length) {
      const job = this.#queue[taken++]!
      this.#runJob(job, alone, settlement)
      if (settlement.lost !== undefined || performance.now() - began > TURN_MS) break
    }
    this.#queue = this.#queue.slice(taken)
    return settlement
  }

  #runJob(job: Job, alone: boolean, settlement: Settlement): void {
    try {
      if (!alone) this.#db.execute('SAVEPOINT job')
      const value = this.#db.drive(job.script)
      if (!alone) this.#db.execute('RELEASE job')
      settlement.done.push({ job, value })
    } catch (error) {
      if (!this.#db.inTransaction()) {
        settlement.lost = error
      } else if (alone) {
        this.#db.execute('ROLLBACK')
      } else {
        this.#db.execute('ROLLBACK TO job')
        this.#db.execute('RELEASE job')
      }
      job.reject(this.#db.translate(error))
    }
  }

  #commit(settlement: Settlement): void {
    let failure = settlement.lost
    if (failure === undefined && this.#db.inTransaction()) {
      try {
        this.#db.execute('COMMIT')
      } catch (error) {
        failure = error
        if (this.#db.inTransaction()) this.#db.execute('ROLLBACK')
      }
    }
    for (const { job, value } of settlement.done) {
      if (failure === undefined) job.resolve(value as never)
      else job.reject(this.#db.translate(failure))
    }
  }

  /** The lock is taken: wait a little, and give up those that have waited long enough. Anything else fails all that wait. */
  #notBegun(error: unknown): number {
    const now = performance.now()
    const waits = (job: Job): boolean => isBusy(error) && now < job.deadline
    const failed = this.#queue.filter((job) => !waits(job))
    this.#queue = this.#queue.filter(waits)
    for (const job of failed) job.reject(this.#db.translate(error))
    return 1 + Math.random() * 4
  }

  #settleDrained(): void {
    if (this.#queue.length > 0) return
    for (const resolve of this.#whenDrained.splice(0)) resolve()
  }
}

interface Settlement {
  readonly done: { readonly job: Job; readonly value: unknown }[]
  /** Why SQLite undid the whole transaction, where it did. */
  lost: unknown
}
