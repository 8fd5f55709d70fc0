/** Changes of files: how they are written to a journal, and how they are made. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../errors.ts'

/** `file` is relative to the folder, with `/`. Each may be made again, in the same order, and ends with the same files. */
export type FileChange =
  /** Writes at `at`, where the file ends. At 0 the file may be missing. */
  | { readonly kind: 'append'; readonly file: string; readonly at: number; readonly bytes: Uint8Array }
  /** Replaces the file, or makes it; whoever opens it finds the old content or the new. */
  | { readonly kind: 'put'; readonly file: string; readonly bytes: Uint8Array }
  | { readonly kind: 'remove'; readonly file: string }

/** What is being written before it takes a file's place. One is enough: the holder of the lock makes one change after the other. */
export const UNFINISHED_NAME = 'unfinished'

/** Makes a change. `again`: it may have been made before, wholly or in part. */
export function applyChange(root: string, change: FileChange, again: boolean): void {
  const path = join(root, change.file)
  if (change.kind === 'append') return appendAt(path, change.at, change.bytes, again)
  if (change.kind === 'remove') return removeFile(path)
  const unfinished = join(root, UNFINISHED_NAME)
  writeFileSync(unfinished, change.bytes)
  inFolderOf(path, () => renameSync(unfinished, path))
}

function appendAt(path: string, at: number, bytes: Uint8Array, again: boolean): void {
  const fd = at === 0 ? inFolderOf(path, () => openSync(path, 'w')) : openForAppend(path, again)
  if (fd === undefined) return
  try {
    writeFully(fd, bytes, at)
    if (again) ftruncateSync(fd, at + bytes.length)
  } finally {
    closeSync(fd)
  }
}

/** Undefined where the file was removed by a change that comes later. */
function openForAppend(path: string, again: boolean): number | undefined {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    if (again && isMissing(error)) return undefined
    throw error
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

/** Makes the folder only where it turns out to be missing. */
function inFolderOf<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!isMissing(error)) throw error
    mkdirSync(dirname(path), { recursive: true })
    return work()
  }
}

/** The system may take less than all at once. */
export function writeFully(fd: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

/** The files as they will be once the changes collected here were made. */
export class PendingChanges {
  readonly #root: string
  readonly #byFile = new Map<string, FileChange[]>()
  readonly changes: FileChange[] = []
  bytes = 0

  constructor(root: string, changes: readonly FileChange[] = []) {
    this.#root = root
    for (const change of changes) this.add(change)
  }

  add(change: FileChange): void {
    const earlier = this.#byFile.get(change.file)
    if (earlier !== undefined && change.kind === 'append') earlier.push(change)
    else {
      // Files come in the order in which each was last begun anew.
      this.#byFile.delete(change.file)
      this.#byFile.set(change.file, [change])
    }
    this.changes.push(change)
    if (change.kind !== 'remove') this.bytes += change.bytes.length
  }

  /** The same in as few changes as there are files: what was replaced again is left out, and what was appended is joined. */
  merged(): FileChange[] {
    return Array.from(this.#byFile.values(), mergedChange)
  }

  /** Bytes of a file; undefined where there is none. */
  size(file: string): number | undefined {
    const last = this.#byFile.get(file)?.at(-1)
    if (last === undefined) return statSync(join(this.#root, file), { throwIfNoEntry: false })?.size
    if (last.kind === 'remove') return undefined
    return last.bytes.length + (last.kind === 'append' ? last.at : 0)
  }

  read(file: string): Uint8Array | undefined {
    const changes = this.#byFile.get(file)
    const startsAnew = changes !== undefined && (changes[0]!.kind !== 'append' || changes[0]!.at === 0)
    const stored = startsAnew ? undefined : readIfThere(join(this.#root, file))
    if (changes === undefined) return stored
    let parts = stored && [stored]
    for (const change of changes) {
      if (change.kind === 'append') (parts ??= []).push(change.bytes)
      else parts = change.kind === 'put' ? [change.bytes] : undefined
    }
    return parts && joined(parts)
  }

  /** Names in a folder, in no order. */
  list(folder: string): string[] {
    const names = new Set(listIfThere(join(this.#root, folder)))
    for (const [file, changes] of this.#byFile) {
      if (!file.startsWith(`${folder}/`)) continue
      const name = file.slice(folder.length + 1).split('/')[0]!
      if (changes.at(-1)!.kind !== 'remove') names.add(name)
      else if (file === `${folder}/${name}`) names.delete(name)
    }
    return [...names]
  }
}

/** Changes of one file, of which none but the first replaces or removes it. */
function mergedChange(changes: readonly FileChange[]): FileChange {
  const first = changes[0]!
  if (changes.length === 1) return first
  const bytes = joined(changes.map((change) => (change.kind === 'remove' ? new Uint8Array() : change.bytes)))
  const { file } = first
  return first.kind === 'append' ? { kind: 'append', file, at: first.at, bytes } : { kind: 'put', file, bytes }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** A file, as systems and people leave them anywhere, is no folder. */
function listIfThere(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return []
    throw error
  }
}

// ── Frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────
// bytes of what follows the checksum (4) · checksum (4) · bytes of the head (4) · head: JSON of the changes · their bytes, joined

type Head = readonly (readonly [kind: FileChange['kind'], file: string, length: number, at: number])[]

export interface Frame {
  readonly changes: readonly FileChange[]
  /** Where it ends, from the beginning of what was decoded. */
  readonly end: number
}

const PREFIX = 12
/** One call of the system writes less than 2 GiB. */
const MAX_FRAME = 2_000_000_000
/** A safe path below the folder. A journal that names another was not written by us. */
const SAFE_FILE = /^(?:[\w=~-][\w.=~-]*\/)*[\w=~-][\w.=~-]*$/

/** Changes that are made together or not at all. Checksums differ by `generation`, so that frames of an earlier one are none of a later. */
export function encodeFrame(changes: readonly FileChange[], generation: number): Uint8Array {
  const head: Head = changes.map((change) =>
    change.kind === 'remove'
      ? [change.kind, change.file, 0, 0]
      : [change.kind, change.file, change.bytes.length, change.kind === 'append' ? change.at : 0],
  )
  const headBytes = Buffer.from(JSON.stringify(head))
  const prefix = Buffer.alloc(PREFIX)
  const parts = [prefix, headBytes, ...changes.flatMap((change) => (change.kind === 'remove' ? [] : [change.bytes]))]
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (length > MAX_FRAME) {
    throw new HoldfastError('VALUE_TOO_LARGE', `one write of more than ${MAX_FRAME} bytes`, { outcome: 'not-applied' })
  }
  const frame = Buffer.concat(parts, length)
  frame.writeUInt32LE(length - 8, 0)
  frame.writeUInt32LE(headBytes.length, 8)
  frame.writeUInt32LE(crc32(frame.subarray(8), generation % 2 ** 32), 4)
  return frame
}

/** The frames up to the first that is not whole, as a killed writer leaves it. */
export function decodeFrames(bytes: Buffer, generation: number): Frame[] {
  const frames: Frame[] = []
  let at = 0
  while (bytes.length - at >= PREFIX) {
    const end = at + 8 + bytes.readUInt32LE(at)
    if (end > bytes.length || crc32(bytes.subarray(at + 8, end), generation % 2 ** 32) !== bytes.readUInt32LE(at + 4)) break
    frames.push({ changes: decodeChanges(bytes.subarray(at + 8, end)), end })
    at = end
  }
  return frames
}

function decodeChanges(body: Buffer): FileChange[] {
  let from = 4 + body.readUInt32LE(0)
  const head = JSON.parse(body.toString('utf8', 4, from)) as Head
  return head.map(([kind, file, length, at]): FileChange => {
    if (!SAFE_FILE.test(file)) throw new HoldfastError('CORRUPT', 'the journal names a file outside its folder')
    const bytes = body.subarray(from, (from += length))
    if (kind === 'append') return { kind, file, at, bytes }
    return kind === 'put' ? { kind, file, bytes } : { kind, file }
  })
}
