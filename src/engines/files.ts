/**
 * Folders of plain files that several processes may use at once: a lock that dies with its holder, a journal that makes changes durable
 * and atomic, and group commit.
 *
 * Work queues until the event loop's next turn and shares one hold of the lock and one fsync; each piece resolves when that is durable.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { makeFolder } from '../store/folder.ts'
import { IN_MEMORY } from '../store/location.ts'
import { PendingChanges, UNFINISHED_NAME, type FileChange } from './file-changes.ts'
import { copyFolder } from './file-copy.ts'
import { translateFileError } from './file-errors.ts'
import { FileLock } from './file-lock.ts'
import { Journal, JOURNAL_NAME, type FolderObserver } from './journal.ts'

export type { FileChange } from './file-changes.ts'
export { fileName, textOfFileName } from './file-names.ts'
export type { FolderObserver } from './journal.ts'

export interface FolderOptions {
  /** `full` (default): what resolved survives a power cut. `relaxed`: it survives a killed process. */
  readonly durability?: 'full' | 'relaxed' | undefined
  /** Milliseconds to wait for the lock before `UNAVAILABLE`. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined
}

/** The folder as a piece of work sees it: with what it, and those before it, have changed. Files are named from the folder, with `/`. */
export interface FolderView {
  /** Bytes of a file; undefined where there is none. */
  size(file: string): number | undefined
  read(file: string): Uint8Array | undefined
  /** Names in a folder, in no order; none where there is no such folder. */
  list(folder: string): string[]
}

export interface FolderChanges extends FolderView {
  append(file: string, bytes: Uint8Array): void
  put(file: string, bytes: Uint8Array): void
  remove(file: string): void
}

interface Job {
  /** Work, or the folder that a copy goes to. */
  readonly task: ((files: FolderChanges) => unknown) | string
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
  readonly deadline: number
}

/** The lock is given back when the event loop has waited this long, or so much is to be written. */
const TURN_MS = 10
const TURN_BYTES = 64 * 1024 * 1024
/** After this long without a break the lock is left free for longer than others sleep, or they would starve. */
const HOG_MS = 100
const BREAK_MS = 6
const LOCK_NAME = 'lock.db'

export class Folder {
  /** Absolute. */
  readonly path: string
  readonly #lock: FileLock
  readonly #journal: Journal
  readonly #observer: FolderObserver
  readonly #lockTimeoutMs: number
  readonly #isTemporary: boolean
  #queue: Job[] = []
  #draining: Promise<void> | undefined

  /** Opens a folder, and makes it where it is missing. `:memory:` is a temporary one, which goes with the handle. */
  static async open(location: string, options: FolderOptions, observer: FolderObserver): Promise<Folder> {
    const isTemporary = location === IN_MEMORY
    try {
      const path = isTemporary ? await mkdtemp(join(tmpdir(), 'holdfast-')) : location
      await makeFolder(path)
      return new Folder(await realpath(path), isTemporary, options, observer)
    } catch (error) {
      throw translateFileError(error, location)
    }
  }

  private constructor(path: string, isTemporary: boolean, options: FolderOptions, observer: FolderObserver) {
    const { durability = 'full', lockTimeoutMs = 30_000 } = options
    this.path = path
    this.#isTemporary = isTemporary
    this.#observer = observer
    this.#lockTimeoutMs = lockTimeoutMs
    this.#lock = new FileLock(join(path, LOCK_NAME))
    try {
      this.#journal = new Journal(path, durability === 'full' && !isTemporary)
    } catch (error) {
      this.#lock.close()
      throw error
    }
  }

  /** Reads at once where the lock is free, else in its turn. What it read is durable, and the newest. */
  async read<T>(work: (files: FolderView) => T, call?: BackendCall): Promise<T> {
    if (this.#draining !== undefined || !this.#lock.tryAcquire()) return this.write(work, call)
    try {
      this.#journal.catchUp(this.#observer)
      return work(new PendingChanges(this.path))
    } catch (error) {
      throw translateFileError(error, this.path)
    } finally {
      this.#lock.release()
    }
  }

  /**
   * Runs work that may change files, after all that was asked for earlier; resolves with its value once the changes are durable. Work that
   * throws has changed nothing. It runs while nobody else can change the folder, and must not wait for anything.
   */
  write<T>(work: (files: FolderChanges) => T, call?: BackendCall): Promise<T> {
    return this.#enqueue<T>(work, call)
  }

  /** Copies the files as they are at one moment; writers wait meanwhile. Gives their names, relative to both folders. */
  copyTo(directory: string, call?: BackendCall): Promise<string[]> {
    return this.#enqueue<string[]>(directory, call)
  }

  /** Ends what is queued, and leaves the journal empty unless others work on. */
  async close(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining
    try {
      if (!this.#isTemporary && this.#lock.tryAcquire()) await this.#holding(() => this.#journal.checkpoint())
    } catch (error) {
      throw translateFileError(error, this.path)
    } finally {
      this.#journal.close()
      this.#lock.close()
      if (this.#isTemporary) await rm(this.path, { recursive: true, force: true })
    }
  }

  #enqueue<T>(task: Job['task'], { signal }: BackendCall = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = { task, resolve, reject, deadline: performance.now() + this.#lockTimeoutMs }
      this.#queue.push(job)
      signal?.addEventListener('abort', () => this.#drop(job, signal.reason), { once: true })
      this.#draining ??= this.#drain()
    })
  }

  /** Work that is still queued has not happened, and its caller is told so. */
  #drop(job: Job, reason: unknown): void {
    const at = this.#queue.indexOf(job)
    if (at < 0) return
    this.#queue.splice(at, 1)
    job.reject(reason)
  }

  async #drain(): Promise<void> {
    await nextTurn()
    let busySince = performance.now()
    while (this.#queue.length > 0) {
      try {
        if (this.#lock.tryAcquire()) await this.#holding(() => this.#turn())
        else await this.#waitForLock()
      } catch (error) {
        this.#failAll(error)
      }
      if (performance.now() - busySince < HOG_MS) continue
      await sleep(BREAK_MS)
      busySince = performance.now()
    }
    // At once, with no turn between it and the look at the queue.
    this.#draining = undefined
  }

  /** Runs what needs the lock, brought up to date, and gives the lock back. */
  async #holding(work: () => Promise<void>): Promise<void> {
    try {
      this.#journal.catchUp(this.#observer)
      await work()
    } finally {
      this.#lock.release()
    }
  }

  /** Jittered, so that processes that wait for one lock do not come back together. */
  async #waitForLock(): Promise<void> {
    await sleep(1 + Math.random() * 4)
    const now = performance.now()
    const late = this.#queue.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    this.#queue = this.#queue.filter(({ deadline }) => deadline > now)
    const message = `${this.path}: another process held the lock for ${this.#lockTimeoutMs} ms; is it stopped?`
    for (const job of late) job.reject(new HoldfastError('UNAVAILABLE', message, { outcome: 'not-applied' }))
  }

  /** Does what is queued, in its order, until the turn is over. A copy has a turn of its own. */
  async #turn(): Promise<void> {
    const [first] = this.#queue
    if (typeof first?.task === 'string') return this.#copy(this.#queue.shift()!, first.task)
    const turn = new Turn(this.path)
    const until = performance.now() + TURN_MS
    let taken = 0
    for (const { task } of this.#queue) {
      if (typeof task === 'string' || turn.bytes > TURN_BYTES || performance.now() > until) break
      if (!turn.run(this.#queue[taken++]!, task)) this.#observer.reset()
    }
    this.#queue = this.#queue.slice(taken)
    await this.#commit(turn)
  }

  async #commit(turn: Turn): Promise<void> {
    try {
      if (turn.hasChanges) await this.#journal.commit(turn.merged())
      turn.resolve()
    } catch (error) {
      // What is kept in memory has changes that the files may not have.
      this.#observer.reset()
      turn.reject(translateFileError(error, this.path, 'unknown'))
    }
  }

  async #copy({ resolve, reject }: Job, directory: string): Promise<void> {
    await copyFolder(this.path, directory, isOwn).then(
      (files) => resolve(files as never),
      (error: unknown) => reject(translateFileError(error, directory)),
    )
  }

  #failAll(error: unknown): void {
    const failure = translateFileError(error, this.path)
    for (const job of this.#queue.splice(0)) job.reject(failure)
  }
}

/** Work that shares one hold of the lock. */
class Turn implements FolderChanges {
  readonly #root: string
  readonly #done: { readonly job: Job; readonly value: unknown }[] = []
  #pending: PendingChanges

  constructor(root: string) {
    this.#root = root
    this.#pending = new PendingChanges(root)
  }

  get bytes(): number {
    return this.#pending.bytes
  }

  get hasChanges(): boolean {
    return this.#pending.changes.length > 0
  }

  merged(): FileChange[] {
    return this.#pending.merged()
  }

  /** False where the work failed after it had begun to change something, which is undone. */
  run(job: Job, work: (files: FolderChanges) => unknown): boolean {
    const before = this.#pending.changes.length
    try {
      this.#done.push({ job, value: work(this) })
      return true
    } catch (error) {
      job.reject(translateFileError(error, this.#root))
      if (this.#pending.changes.length === before) return true
      this.#pending = new PendingChanges(this.#root, this.#pending.changes.slice(0, before))
      return false
    }
  }

  resolve(): void {
    for (const { job, value } of this.#done) job.resolve(value as never)
  }

  reject(error: unknown): void {
    for (const { job } of this.#done) job.reject(error)
  }

  size(file: string): number | undefined {
    return this.#pending.size(file)
  }

  read(file: string): Uint8Array | undefined {
    return this.#pending.read(file)
  }

  list(folder: string): string[] {
    return this.#pending.list(folder)
  }

  append(file: string, bytes: Uint8Array): void {
    this.#pending.add({ kind: 'append', file, at: this.size(file) ?? 0, bytes })
  }

  put(file: string, bytes: Uint8Array): void {
    this.#pending.add({ kind: 'put', file, bytes })
  }

  remove(file: string): void {
    this.#pending.add({ kind: 'remove', file })
  }
}

/** What belongs to the folder itself, and not to what is kept in it. */
function isOwn(name: string): boolean {
  return name === JOURNAL_NAME || name === UNFINISHED_NAME || name.startsWith(LOCK_NAME)
}
