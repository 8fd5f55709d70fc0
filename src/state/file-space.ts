/**
 * A state space as a folder of plain files: `NAME` holds a value and nothing else; `NAME~` beside it, where there is one, holds what the
 * first cannot tell: when the key expires, and the key itself where it is too long for a name. The folder has a `NAME~` beside it where
 * the name of the space is too long.
 */
import { hash } from 'node:crypto'
import { fileName, textOfFileName, type FileChange, type FolderChanges, type FolderView } from '../engines/files.ts'
import { HoldfastError } from '../errors.ts'
import type { CommitEntries } from './commit.ts'
import type { StateCheck, StateEntry, StateScan, StateSet, StateValue } from './contract.ts'
import { KeyIndex } from './key-index.ts'

/** What the file beside a value says. */
interface Note {
  /** Where the name does not tell it. */
  readonly key?: string
  /** The same for the name of a space, beside its folder. */
  readonly space?: string
  /** Milliseconds since 1970. */
  readonly expiresAt?: number
}

const SPACES = 'spaces'

export function folderOf(space: string): string {
  return `${SPACES}/${fileName(space)}`
}

/** The folders of all spaces by the names of these. Some may hold no key that is not expired, or nothing at all. */
export function foldersBySpace(files: FolderView): Map<string, string> {
  const folders = new Map<string, string>()
  for (const name of files.list(SPACES)) {
    const folder = `${SPACES}/${name}`
    const space = isNote(name) ? undefined : spaceOf(files, name)
    if (space !== undefined) folders.set(space, folder)
  }
  return folders
}

/** What somebody else put there, under a name that no space has, is none. */
function spaceOf(files: FolderView, name: string): string | undefined {
  if (!name.startsWith('~')) return textOfFileName(name)
  const folder = `${SPACES}/${name}`
  const note = readNote(files, `${folder}~`)
  if (note?.space !== undefined && folderOf(note.space) === folder) return note.space
  // The folder itself goes later than its last key.
  if (files.list(folder).length === 0) return undefined
  throw new HoldfastError(
    'CORRUPT',
    `${folder}~, which names the space of that folder, is missing or wrong; restore it from a backup`,
  )
}

/** Whether a folder holds a key that is not expired; it reads no more notes than that takes. */
export function holdsKey(files: FolderView, folder: string, now: number): boolean {
  return files.list(folder).some((name) => {
    if (isNote(name)) return false
    const { key = textOfFileName(name), expiresAt = Infinity } = readNote(files, `${folder}/${name}~`) ?? {}
    return key !== undefined && expiresAt > now
  })
}

/** The keys of a space, as the names of its files tell. */
export class Space {
  readonly name: string
  readonly folder: string
  /** The file that tells the name where the folder does not. */
  readonly nameFile: string | undefined
  /** Names by key. */
  readonly names = new Map<string, string>()
  readonly #index = new KeyIndex(this.names)
  /** By name. */
  readonly notes = new Map<string, Note>()
  #sweeper = this.notes.entries()

  private constructor(name: string) {
    this.name = name
    this.folder = folderOf(name)
    this.nameFile = textOfFileName(fileName(name)) === undefined ? `${this.folder}~` : undefined
  }

  static load(files: FolderView, name: string): Space {
    const space = new Space(name)
    const { folder } = space
    const found = files.list(folder)
    for (const file of found) if (isNote(file)) space.#noted(file, files.read(`${folder}/${file}`))
    for (const file of found) if (!isNote(file)) space.#added(file)
    return space
  }

  /** Takes over a change of one of its files. */
  changed(name: string, change: FileChange): void {
    const bytes = change.kind === 'remove' ? undefined : change.bytes
    if (isNote(name)) this.#noted(name, bytes)
    else if (bytes === undefined) this.#removed(name)
    else this.#added(name)
  }

  /** Milliseconds since 1970; Infinity without a TTL, -Infinity without the key. */
  expiry(key: string): number {
    const name = this.names.get(key)
    return name === undefined ? -Infinity : (this.notes.get(name)?.expiresAt ?? Infinity)
  }

  holdsKey(now: number): boolean {
    return this.names.keys().some((key) => this.expiry(key) > now)
  }

  /** The keys that a scan gives. */
  page(scan: StateScan, now: number): string[] {
    return this.#index.page(scan, (key) => this.expiry(key) > now)
  }

  /** Expired keys among the next `count` notes, going on where the last sweep stopped, so that every one has its turn. */
  expired(count: number, now: number): string[] {
    const keys: string[] = []
    for (let i = 0; i < count && this.notes.size > 0; i++) {
      const { value, done } = this.#sweeper.next()
      if (done === true) this.#sweeper = this.notes.entries()
      else if ((value[1].expiresAt ?? Infinity) <= now) keys.push(this.#keyOf(value[0])!)
    }
    return keys.filter((key) => this.names.has(key))
  }

  /** A file that somebody else put there, under a name that no key has, is not looked at. */
  #added(name: string): void {
    const key = this.#keyOf(name)
    if (key === undefined || this.names.has(key)) return
    this.names.set(key, name)
    this.#index.added(key)
  }

  #removed(name: string): void {
    const key = this.#keyOf(name)
    if (key === undefined || !this.names.delete(key)) return
    this.#index.removed(key)
  }

  #noted(noteName: string, bytes: Uint8Array | undefined): void {
    const name = noteName.slice(0, -1)
    if (bytes === undefined) this.notes.delete(name)
    else this.notes.set(name, parseNote(bytes, `${this.folder}/${noteName}`))
  }

  #keyOf(name: string): string | undefined {
    return this.notes.get(name)?.key ?? textOfFileName(name)
  }
}

function isNote(name: string): boolean {
  return name.endsWith('~')
}

function readNote(files: FolderView, file: string): Note | undefined {
  const bytes = files.read(file)
  return bytes && parseNote(bytes, file)
}

function parseNote(bytes: Uint8Array, file: string): Note {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as Note
  } catch {
    throw new HoldfastError('CORRUPT', `${file} is not JSON; restore it, or remove it with the file beside it`)
  }
}

/** A space at one moment. */
export class SpaceView {
  protected readonly now = Date.now()
  protected readonly space: Space
  readonly #files: FolderView

  constructor(files: FolderView, space: Space) {
    this.#files = files
    this.space = space
  }

  /** The bytes under a key that is there and not expired. */
  value(key: string): Uint8Array | undefined {
    if (this.space.expiry(key) <= this.now) return undefined
    return this.#files.read(`${this.space.folder}/${this.space.names.get(key)!}`)
  }

  entry(key: string): StateEntry | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    const expiresAt = this.space.expiry(key)
    return { value, version: versionOf(value), ttlMs: expiresAt === Infinity ? undefined : expiresAt - this.now }
  }
}

/** The same, and what a commit does to it. */
export class SpaceChanges extends SpaceView implements CommitEntries {
  readonly #files: FolderChanges

  constructor(files: FolderChanges, space: Space) {
    super(files, space)
    this.#files = files
  }

  holds({ key, version }: StateCheck): boolean {
    const value = this.value(key)
    return value === undefined ? version === null : versionOf(value) === version
  }

  set({ key, value, ttlMs }: StateSet): void {
    const before = this.space.expiry(key)
    const kept = before > this.now ? before : Infinity
    const name = fileName(key)
    const { names, nameFile, name: space } = this.space
    // It comes with the first key, and goes with the last.
    if (names.size === 0 && nameFile !== undefined) this.#files.put(nameFile, Buffer.from(JSON.stringify({ space })))
    this.#note(name, key, ttlMs === 'keep' ? kept : this.now + (ttlMs ?? Infinity))
    this.#change({ kind: 'put', file: `${this.space.folder}/${name}`, bytes: bytesOf(value) })
  }

  /** True where the key was there, and not expired. */
  remove(key: string): boolean {
    const name = this.space.names.get(key)
    if (name === undefined) return false
    const isLive = this.space.expiry(key) > this.now
    this.#change({ kind: 'remove', file: `${this.space.folder}/${name}` })
    this.#note(name, undefined, Infinity)
    const { names, nameFile } = this.space
    if (names.size === 0 && nameFile !== undefined) this.#files.remove(nameFile)
    return isLive
  }

  sweep(count: number): void {
    for (const key of this.space.expired(count, this.now)) this.remove(key)
  }

  /** Writes the note of a file before it, or removes it where there is nothing to note. */
  #note(name: string, key: string | undefined, expiresAt: number): void {
    const note: Note = {
      ...(key !== undefined && textOfFileName(name) === undefined ? { key } : {}),
      ...(expiresAt === Infinity ? {} : { expiresAt }),
    }
    const file = `${this.space.folder}/${name}~`
    if (Object.keys(note).length > 0) this.#change({ kind: 'put', file, bytes: Buffer.from(JSON.stringify(note)) })
    else if (this.space.notes.has(name)) this.#change({ kind: 'remove', file })
  }

  #change(change: Exclude<FileChange, { kind: 'append' }>): void {
    if (change.kind === 'put') this.#files.put(change.file, change.bytes)
    else this.#files.remove(change.file)
    this.space.changed(change.file.slice(this.space.folder.length + 1), change)
  }
}

/** The value itself tells its version, so nothing besides it needs to be kept, and a value changed by other means has another. */
function versionOf(value: Uint8Array): string {
  return hash('sha256', value, 'base64url')
}

function bytesOf(value: StateValue): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value
}
