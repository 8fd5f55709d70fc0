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
  /** Rises whenever a statement may have changed something. */
  changeCount(): number
  translate(error: unknown): HoldfastError
}

interface Job {
  readonly script: () => Script<unknown>
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
  readonly signal: AbortSignal | undefined
  readonly deadline: number
  /** What became of it, before the commit: its value, or the error that it failed with. */
  failed: boolean
  result: unknown
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
      const deadline = performance.now() + this.#db.lockTimeoutMs
      const job: Job = { script, resolve, reject, signal, deadline, failed: false, result: undefined }
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
        this.#transact(began)
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

  /**
   * One transaction over the jobs of a turn. Savepoints would let each job be undone by itself, but they copy every page that it touches and
   * double its cost; so the jobs first run without, and again with them in the rare case that one failed half-way.
   */
  #transact(began: number): void {
    this.#db.execute('BEGIN IMMEDIATE')
    let count = this.#runJobs(began, false)
    if (count === undefined) {
      this.#db.execute('ROLLBACK')
      this.#db.execute('BEGIN IMMEDIATE')
      count = this.#runJobs(performance.now(), true)!
    }
    const jobs = this.#queue
    this.#queue = jobs.slice(count)
    jobs.length = count
    this.#commit(jobs)
  }

  /**
   * Runs jobs until the queue is empty or the turn is over, and gives how many it ran. Undefined: one failed half-way, and nothing guards
   * the others.
   */
  #runJobs(began: number, guarded: boolean): number | undefined {
    let count = 0
    for (const job of this.#queue) {
      const before = this.#db.changeCount()
      if (guarded) this.#runGuarded(job)
      else this.#runJob(job)
      count++
      // What SQLite undid by itself is undone for all.
      if (!this.#db.inTransaction()) return count
      if (!guarded && job.failed && this.#db.changeCount() !== before) return undefined
      if (performance.now() - began > TURN_MS) break
    }
    return count
  }

  #runJob(job: Job): void {
    try {
      job.result = this.#db.drive(job.script)
      job.failed = false
    } catch (error) {
      job.result = error
      job.failed = true
    }
  }

  #runGuarded(job: Job): void {
    this.#db.execute('SAVEPOINT job')
    this.#runJob(job)
    if (!this.#db.inTransaction()) return
    if (job.failed) this.#db.execute('ROLLBACK TO job')
    this.#db.execute('RELEASE job')
  }

  /** Makes it durable, then tells the callers. */
  #commit(done: readonly Job[]): void {
    const lost = this.#db.inTransaction() ? this.#tryCommit() : done.at(-1)?.result
    for (const { resolve, reject, failed, result } of done) {
      if (failed) reject(this.#db.translate(result))
      else if (lost === undefined) resolve(result as never)
      else reject(this.#db.translate(lost))
    }
  }

  /** The error that kept the transaction from being committed. */
  #tryCommit(): unknown {
    try {
      this.#db.execute('COMMIT')
      return undefined
    } catch (error) {
      if (this.#db.inTransaction()) this.#db.execute('ROLLBACK')
      return error
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
