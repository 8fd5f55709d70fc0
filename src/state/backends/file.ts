/**
 * State as plain files: one a key, which holds the value and nothing else. A second one beside it, named `NAME~`, holds what the first
 * cannot tell: when the key expires, and the key itself where it is too long for a name.
 */
import { hash } from 'node:crypto'
import { join } from 'node:path'
import { filesOptions, folderLocation, type FilesOptions } from '../../engines/files-options.ts'
import {
  fileName,
  Folder,
  textOfFileName,
  type FileChange,
  type FolderChanges,
  type FolderObserver,
  type FolderView,
} from '../../engines/files.ts'
import type { BackendCall } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { compareBytes } from '../../store/text.ts'
import type {
  StateBackend,
  StateCapabilities,
  StateCheck,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateSet,
  StateValue,
} from '../contract.ts'
import { KeyIndex } from '../key-index.ts'
import { addTo } from '../values.ts'

export type FileStateOptions = FilesOptions

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: Infinity }

/** A value is held in memory while it is read or written. */
const LIMITS = { valueBytes: 128_000_000 } as const
const DEFAULT_PATH = join('.holdfast', 'state')
const SPACES = 'spaces'
/** Keys with a TTL that each key written looks at: more than it can add, so that the expired ones never pile up. */
const SWEPT_PER_WRITE = 2
/** Spaces whose keys are kept in memory: those used last. */
const MAX_SPACES = 1_000

export const create = defineBackend<FileStateOptions, StateBackend>(filesOptions(DEFAULT_PATH), (options) =>
  FileState.open(folderLocation(options, DEFAULT_PATH), options),
)

class FileState implements StateBackend, FolderObserver {
  readonly capabilities = capabilities
  readonly limits = LIMITS
  #folder!: Folder
  /** By folder, least recently used first. */
  readonly #spaces = new Map<string, Space>()

  static async open(location: string, options: FileStateOptions): Promise<FileState> {
    const backend = new FileState()
    backend.#folder = await Folder.open(location, options, backend)
    return backend
  }

  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    return this.#folder.read((files) => {
      const view = this.#view(files, space)
      return keys.map((key) => view.entry(key))
    }, call)
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    return this.#folder.write((files) => runCommit(new Changing(files, this.#space(files, space)), commit), call)
  }

  scan(space: string, { prefix, after, limit }: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#folder.read((files) => {
      const found = this.#space(files, space)
      const now = Date.now()
      const keys: string[] = []
      const inclusive = after === undefined || compareBytes(after, prefix) < 0
      for (const key of found.index.after(inclusive ? prefix : after, inclusive)) {
        if (keys.length >= limit || !key.startsWith(prefix)) break
        if (found.expiry(key) > now) keys.push(key)
      }
      return keys
    }, call)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#folder.read((files) => files.size(SPACES), call)
  }

  async backup(directory: string, call?: BackendCall): Promise<string[]> {
    return (await this.#folder.copyTo(join(directory, 'state'), call)).map((file) => join('state', file))
  }

  close(): Promise<void> {
    return this.#folder.close()
  }

  changed(change: FileChange): void {
    const at = change.file.lastIndexOf('/')
    this.#spaces.get(change.file.slice(0, at))?.changed(change.file.slice(at + 1), change)
  }

  reset(): void {
    this.#spaces.clear()
  }

  #view(files: FolderView, space: string): View {
    return new View(files, this.#space(files, space))
  }

  #space(files: FolderView, name: string): Space {
    const folder = `${SPACES}/${fileName(name)}`
    const space = this.#spaces.get(folder) ?? Space.load(files, folder)
    this.#spaces.delete(folder)
    this.#spaces.set(folder, space)
    if (this.#spaces.size > MAX_SPACES) this.#spaces.delete(this.#spaces.keys().next().value!)
    return space
  }
}

/** What the file beside a value says. */
interface Note {
  /** Where the name does not tell it. */
  readonly key?: string
  /** Milliseconds since 1970. */
  readonly expiresAt?: number
}

/** The keys of a space, as the names of its files tell. */
class Space {
  readonly folder: string
  /** Names by key. */
  readonly names = new Map<string, string>()
  readonly index = new KeyIndex(this.names)
  /** By name. */
  readonly notes = new Map<string, Note>()
  #sweeper = this.notes.entries()

  private constructor(folder: string) {
    this.folder = folder
  }

  static load(files: FolderView, folder: string): Space {
    const space = new Space(folder)
    const names = files.list(folder)
    for (const name of names) if (isNote(name)) space.#noted(name, files.read(`${folder}/${name}`))
    for (const name of names) if (!isNote(name)) space.#added(name)
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
    this.index.added(key)
  }

  #removed(name: string): void {
    const key = this.#keyOf(name)
    if (key === undefined || !this.names.delete(key)) return
    this.index.removed(key)
  }

  #noted(noteName: string, bytes: Uint8Array | undefined): void {
    const name = noteName.slice(0, -1)
    if (bytes === undefined) this.notes.delete(name)
    else this.notes.set(name, JSON.parse(Buffer.from(bytes).toString()) as Note)
  }

  #keyOf(name: string): string | undefined {
    return this.notes.get(name)?.key ?? textOfFileName(name)
  }
}

function isNote(name: string): boolean {
  return name.endsWith('~')
}

/** A space at one moment. */
class View {
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
class Changing extends View {
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

function runCommit(entries: Changing, commit: StateCommit): StateCommitResult {
  const { checks = [], set = [], delete: unwanted = [], add = [] } = commit
  // Everything is checked before anything changes.
  const failed = checks.find((check) => !entries.holds(check))
  if (failed !== undefined) return { applied: false, reason: 'check', key: failed.key }
  const sums: number[] = []
  for (const addition of add) {
    const sum = addTo(entries.value(addition.key), addition)
    if (typeof sum !== 'number') return { applied: false, reason: sum, key: addition.key }
    sums.push(sum)
  }
  for (const item of set) entries.set(item)
  for (const [i, { key }] of add.entries()) entries.set({ key, value: String(sums[i]), ttlMs: 'keep' })
  const deleted = unwanted.filter((key) => entries.remove(key)).length
  entries.sweep((set.length + add.length + unwanted.length) * SWEPT_PER_WRITE)
  return { applied: true, deleted, sums }
}

/** The value itself tells its version, so nothing besides it needs to be kept, and a value changed by other means has another. */
function versionOf(value: Uint8Array): string {
  return hash('sha256', value, 'base64url')
}

function bytesOf(value: StateValue): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value
}
