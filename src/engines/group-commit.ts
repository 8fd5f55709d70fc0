/** Group commit: writes that arrive in one turn of the event loop share one transaction, and so one fsync. */
import { HoldfastError } from '../errors.ts'
import { isBusy } from './sqlite-errors.ts'
import type { Script } from './sql.ts'

/** What group commit needs of the connection; all of it is synchronous. */
export interface Transactor {
  /** Milliseconds that a write waits for the lock before `UNAVAILABLE`. */
  readonly lockTimeoutMs: number
  /** Whether others can read past a transaction that is open for several turns of the event loop. */
  readonly readsBeside: boolean
  /** Runs a statement without values. */
  execute(sql: string): void
  drive<T>(script: () => Script<T>): T
  /** False once SQLite has undone the transaction by itself, as it does when the disk is full. */
  inTransaction(): boolean
  /** Rises whenever a statement may have changed something. */
  changeCount(): number
  /** Pages of the log that are not in the file itself yet; 0 where that cannot be told. */
  logPages(): number
  /** Writes to the file those that no reader needs in the log; does not fail. */
  checkpoint(): void
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

/** The event loop gets its turn when it has waited this long. */
const TURN_MS = 10
/** A turn that took longer leaves the commit to the next one. */
const COMMIT_AT_ONCE_MS = 3
/** A transaction that goes on in the next turn ends after this long, whatever else is queued. */
const TRANSACTION_MS = 50
/** After this long without a break, the lock is left free for a moment, or other processes would starve. */
const HOG_MS = 100
const BREAK_MS = 2
/**
 * Beyond so many pages the log is written to the file, in a turn of its own: as part of a commit, as SQLite does it, callers would wait for it.
 * After a burst it may be longer, since bursts come back to the same pages.
 */
const LOG_PAGES = 1_000
const BURST_LOG_PAGES = 4_000
const BURST_JOBS = 100

export class GroupCommit {
  readonly #db: Transactor
  /** Jobs that the open transaction, if there is one, has not come to. */
  #queue: Job[] = []
  /** Jobs that ran in the open transaction. */
  #ran: Job[] = []
  /** When the open transaction began. */
  #openSince: number | undefined
  /** Savepoints guard the jobs of the open transaction. */
  #guarded = false
  #scheduled = false
  #queuedAt: number | undefined
  #busySince: number | undefined
  #whenDrained: (() => void)[] = []
  /** Pages of the log, as of the last commit. 0 once they were dealt with: what a reader holds up is not tried over and over. */
  #logPages = 0
  /** Jobs of the last commit. */
  #committed = 0
  #closed = false

  constructor(db: Transactor) {
    this.#db = db
  }

  /** True while what a transaction has done so far is to be seen by nobody. */
  get isOpen(): boolean {
    return this.#openSince !== undefined
  }

  /** Queues a script; resolves with its value once the transaction that holds it is durable. */
  add<T>(script: () => Script<T>, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      // One look at the clock for all that is queued in a turn.
      const deadline = (this.#queuedAt ??= performance.now()) + this.#db.lockTimeoutMs
      const job: Job = { script, resolve, reject, signal, deadline, failed: false, result: undefined }
      this.#queue.push(job)
      signal?.addEventListener('abort', () => this.#drop(job), { once: true })
      if (!this.#scheduled) this.#schedule(0)
    })
  }

  /** Resolves when nothing is queued or under way, and nothing will be. */
  async close(): Promise<void> {
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#whenDrained.push(resolve))
    this.#closed = true
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
    if (this.#closed) return
    this.#queuedAt = undefined
    const began = performance.now()
    let delayMs = 0
    try {
      this.#turn(began)
    } catch (error) {
      delayMs = this.#notBegun(this.#undone(error))
    }
    if (this.#isIdle) {
      this.#busySince = undefined
      this.#settleDrained()
      if (this.#wantsCheckpoint) this.#schedule(0)
      return
    }
    this.#busySince ??= began
    if (delayMs === 0 && !this.isOpen && performance.now() - this.#busySince > HOG_MS) {
      this.#busySince = undefined
      delayMs = BREAK_MS
    }
    this.#schedule(delayMs)
  }

  get #isIdle(): boolean {
    return this.#queue.length === 0 && !this.isOpen
  }

  get #wantsCheckpoint(): boolean {
    const isBurst = Math.max(this.#queue.length, this.#committed) >= BURST_JOBS
    return !this.isOpen && this.#logPages > (isBurst ? BURST_LOG_PAGES : LOG_PAGES)
  }

  /**
   * A checkpoint, or a part of a transaction, or all of it. Savepoints would let each job be undone by itself, but they copy every page that
   * it touches and double its cost; so the jobs first run without, and again with them in the rare case that one failed half-way.
   */
  #turn(began: number): void {
    if (this.#wantsCheckpoint) return this.#checkpoint()
    if (this.isOpen && (this.#queue.length === 0 || began - this.#openSince! > TRANSACTION_MS)) return this.#commit()
    if (this.#queue.length === 0) return
    if (!this.isOpen) this.#begin(began, false)
    if (!this.#runJobs(began)) {
      this.#undo()
      this.#begin(performance.now(), true)
      this.#runJobs(performance.now())
    }
    const isWhole = this.#queue.length === 0 && performance.now() - began < COMMIT_AT_ONCE_MS
    if (isWhole || !this.#db.readsBeside || !this.#db.inTransaction()) this.#commit()
  }

  #checkpoint(): void {
    this.#logPages = 0
    this.#db.checkpoint()
  }

  #begin(now: number, guarded: boolean): void {
    this.#db.execute('BEGIN IMMEDIATE')
    this.#openSince = now
    this.#guarded = guarded
  }

  /** The error after which everything is undone, or that which kept it from being undone. */
  #undone(error: unknown): unknown {
    try {
      this.#undo()
      return error
    } catch (worse) {
      return worse
    }
  }

  /** Back to the queue with what the open transaction did. */
  #undo(): void {
    this.#queue = [...this.#ran, ...this.#queue]
    this.#ran = []
    this.#openSince = undefined
    if (this.#db.inTransaction()) this.#db.execute('ROLLBACK')
  }

  /** Runs jobs until the queue is empty or the turn is over. False: one failed half-way, and nothing guards the others. */
  #runJobs(began: number): boolean {
    let count = 0
    let isWell = true
    for (const job of this.#queue) {
      const before = this.#db.changeCount()
      if (this.#guarded) this.#runGuarded(job)
      else this.#runJob(job)
      count++
      // What SQLite undid by itself is undone for all.
      if (!this.#db.inTransaction()) break
      isWell = this.#guarded || !job.failed || this.#db.changeCount() === before
      if (!isWell || performance.now() - began > TURN_MS) break
    }
    this.#take(count)
    return isWell
  }

  #take(count: number): void {
    const taken = this.#queue
    this.#queue = taken.slice(count)
    taken.length = count
    if (this.#ran.length === 0) this.#ran = taken
    else for (const job of taken) this.#ran.push(job)
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
  #commit(): void {
    const jobs = this.#ran
    const lost = this.#db.inTransaction() ? this.#tryCommit() : jobs.at(-1)?.result
    this.#ran = []
    this.#openSince = undefined
    for (const { resolve, reject, failed, result } of jobs) {
      if (failed) reject(this.#db.translate(result))
      else if (lost === undefined) resolve(result as never)
      else reject(this.#db.translate(lost))
    }
    this.#logPages = this.#db.logPages()
    this.#committed = jobs.length
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
    if (!this.#isIdle) return
    for (const resolve of this.#whenDrained.splice(0)) resolve()
  }
}
