/**
 * The journal of a folder of files: what is to be changed is written here first, and is durable before a file is touched. So one fsync
 * serves any number of files, changes are made together or not at all, and whoever takes the lock next finishes what a dead process
 * began. Other processes learn from it what has changed. Every method needs the folder's lock.
 */
import {
  closeSync,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmdirSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { HoldfastError } from '../errors.ts'
import { applyChange, decodeFrames, encodeFrame, writeFully, type FileChange } from './file-changes.ts'
import { translateFileError } from './file-errors.ts'
import { syncFile, syncFolder, syncFolderNow } from './file-sync.ts'

/** What a folder's user keeps in memory of it, and how it hears that it is out of date. */
export interface FolderObserver {
  /** Another process, or another handle, made this change. */
  changed(change: FileChange): void
  /** Anything may be different now. */
  reset(): void
}

/** The first bytes of the file: what it is, which generation, how far it was applied, and where the generation before ended. */
interface Header {
  readonly generation: number
  readonly applied: number
  readonly previousEnd: number
}

export const JOURNAL_NAME = 'journal'
const MAGIC = 'HFJOURN1'
const HEADER_BYTES = 32
const APPLIED_AT = 16
/** The files are made durable, and the journal emptied, beyond so many bytes or changes. */
const MAX_BYTES = 4 * 1024 * 1024
const MAX_CHANGES = 1_000
/** Files that are made durable at a time: as many as Node has threads for it. */
const SYNCED_AT_ONCE = 4
/** Small changes made without a break for the event loop. */
const APPLIED_A_TURN = 64

const sync = promisify(fsync)
const syncData = promisify(fdatasync)

export class Journal {
  readonly #root: string
  readonly #durable: boolean
  readonly #fd: number
  /** Up to where this process knows what happened; undefined before the first look. */
  #known: { generation: number; at: number } | undefined
  #changesSince = 0

  constructor(root: string, durable: boolean) {
    this.#root = root
    this.#durable = durable
    this.#fd = openSync(join(root, JOURNAL_NAME), constants.O_RDWR | constants.O_CREAT)
  }

  /** Finishes what a dead process left unfinished, and tells the observer of everything that it does not know yet. */
  catchUp(observer: FolderObserver): void {
    const { generation, applied, previousEnd } = this.#header()
    const { size } = fstatSync(this.#fd)
    const known = this.#known
    if (known?.generation === generation && known.at === size && applied === size) return
    // The first look is that of a new process, perhaps after a power cut: then nothing is known of what reached the files.
    const from = known === undefined ? HEADER_BYTES : Math.min(applied, size)
    const missedNothing = known !== undefined && known.generation === generation - 1 && known.at === previousEnd
    if (known?.generation !== generation && !missedNothing) observer.reset()
    if (known?.generation !== generation) this.#changesSince = 0
    const heardTo = known?.generation === generation ? known.at : missedNothing ? HEADER_BYTES : size
    this.#known = { generation, at: this.#redo(generation, from, heardTo, size, applied, observer) }
  }

  /** Makes the changes. A failure before they are durable leaves everything as it was: `not-applied`. */
  async commit(changes: readonly FileChange[]): Promise<void> {
    const { generation, at } = this.#known!
    const frame = encodeFrame(changes, generation)
    await this.#write(frame, at)
    for (const [i, change] of changes.entries()) {
      applyChange(this.#root, change, false)
      if (i % APPLIED_A_TURN === APPLIED_A_TURN - 1) await nextTurn()
    }
    this.#known = { generation, at: at + frame.length }
    this.#markApplied(at + frame.length)
    this.#changesSince += changes.length
    if (at + frame.length > MAX_BYTES || this.#changesSince > MAX_CHANGES) await this.checkpoint()
  }

  /** Makes the files durable and empties the journal. Does nothing where it is empty. */
  async checkpoint(): Promise<void> {
    const { generation, at } = this.#known!
    if (at === HEADER_BYTES) return
    const frames = decodeFrames(this.#read(HEADER_BYTES, at), generation)
    await this.#syncFiles(frames.flatMap(({ changes }) => changes))
    // The new header makes the old frames void, whether or not the file gets shorter before a power cut.
    this.#writeHeader({ generation: generation + 1, applied: HEADER_BYTES, previousEnd: at })
    ftruncateSync(this.#fd, HEADER_BYTES)
    await sync(this.#fd)
    this.#known = { generation: generation + 1, at: HEADER_BYTES }
    this.#changesSince = 0
  }

  close(): void {
    closeSync(this.#fd)
  }

  #header(): Header {
    const bytes = this.#read(0, HEADER_BYTES)
    // A new file, or one whose first write a power cut took.
    if (bytes.every((byte) => byte === 0)) return this.#create()
    if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
      throw new HoldfastError('CORRUPT', `${join(this.#root, JOURNAL_NAME)} is no journal of this version; is the path right?`)
    }
    const [generation, applied, previousEnd] = [8, APPLIED_AT, 24].map((at) => Number(bytes.readBigUInt64LE(at)))
    return { generation: generation!, applied: applied!, previousEnd: previousEnd! }
  }

  #create(): Header {
    const header = { generation: 1, applied: HEADER_BYTES, previousEnd: 0 }
    this.#writeHeader(header)
    ftruncateSync(this.#fd, HEADER_BYTES)
    fsyncSync(this.#fd)
    syncFolderNow(this.#root)
    return header
  }

  #writeHeader({ generation, applied, previousEnd }: Header): void {
    const bytes = Buffer.alloc(HEADER_BYTES)
    bytes.write(MAGIC, 'latin1')
    for (const [i, value] of [generation, applied, previousEnd].entries()) bytes.writeBigUInt64LE(BigInt(value), 8 + i * 8)
    writeFully(this.#fd, bytes, 0)
  }

  #markApplied(end: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(end))
    writeSync(this.#fd, bytes, 0, 8, APPLIED_AT)
  }

  /** Makes the changes from `from` on, and tells of those from `heardTo` on. Gives the end of the last whole frame. */
  #redo(generation: number, from: number, heardTo: number, size: number, applied: number, observer: FolderObserver): number {
    const start = Math.min(from, heardTo)
    const frames = decodeFrames(this.#read(start, size), generation)
    // Until this is done, others must see that it is not.
    if (from < applied) this.#markApplied(from)
    for (const { changes, end } of frames) {
      if (start + end > from) for (const change of changes) applyChange(this.#root, change, true)
      if (start + end > heardTo) for (const change of changes) observer.changed(change)
      this.#changesSince += changes.length
    }
    const end = start + (frames.at(-1)?.end ?? 0)
    if (end < size) ftruncateSync(this.#fd, end)
    if (end !== applied || from < applied) this.#markApplied(end)
    return end
  }

  async #write(frame: Uint8Array, at: number): Promise<void> {
    try {
      writeFully(this.#fd, frame, at)
    } catch (error) {
      ftruncateSync(this.#fd, at)
      throw translateFileError(error, this.#root)
    }
    if (this.#durable) await syncData(this.#fd)
  }

  async #syncFiles(changes: readonly FileChange[]): Promise<void> {
    const files = [...new Set(changes.map(({ file }) => join(this.#root, file)))]
    await inTurns(files, syncFile)
    for (const { kind, file } of changes) if (kind === 'remove') this.#removeIfEmpty(dirname(join(this.#root, file)))
    const folders = new Set([this.#root])
    for (const file of files) {
      for (let folder = dirname(file); folder.length > this.#root.length; folder = dirname(folder)) folders.add(folder)
    }
    await inTurns([...folders], syncFolder)
  }

  #removeIfEmpty(folder: string): void {
    if (!folder.startsWith(this.#root + sep)) return
    try {
      rmdirSync(folder)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error
    }
  }

  #read(from: number, to: number): Buffer {
    const bytes = Buffer.alloc(to - from)
    let done = 0
    while (done < bytes.length) {
      const count = readSync(this.#fd, bytes, done, bytes.length - done, from + done)
      if (count === 0) break
      done += count
    }
    return bytes.subarray(0, done)
  }
}

async function inTurns(paths: readonly string[], work: (path: string) => Promise<void>): Promise<void> {
  const rest = paths.values()
  const worker = async (): Promise<void> => {
    for (const path of rest) await work(path)
  }
  await Promise.all(Array.from({ length: SYNCED_AT_ONCE }, worker))
}
