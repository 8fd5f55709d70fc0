/**
 * State as plain files: one a key, which holds the value and nothing else. A second one beside it, named `NAME~`, holds what the first
 * cannot tell: when the key expires, and the key itself where it is too long for a name.
 */
import { join } from 'node:path'
import { filesOptions, folderLocation, type FilesOptions } from '../../engines/files-options.ts'
import { fileName, Folder, type FileChange, type FolderObserver, type FolderView } from '../../engines/files.ts'
import type { BackendCall } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend, StateCapabilities, StateCommit, StateCommitResult, StateEntry, StateScan } from '../contract.ts'
import { Space, SpaceChanges, SpaceView } from '../file-space.ts'
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
      const view = new SpaceView(files, this.#space(files, space))
      return keys.map((key) => view.entry(key))
    }, call)
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    return this.#folder.write((files) => runCommit(new SpaceChanges(files, this.#space(files, space)), commit), call)
  }

  scan(space: string, { prefix, after, limit }: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#folder.read((files) => this.#space(files, space).page(prefix, after, limit, Date.now()), call)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#folder.read(() => undefined, call)
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

  #space(files: FolderView, name: string): Space {
    const folder = `${SPACES}/${fileName(name)}`
    const space = this.#spaces.get(folder) ?? Space.load(files, folder)
    this.#spaces.delete(folder)
    this.#spaces.set(folder, space)
    if (this.#spaces.size > MAX_SPACES) this.#spaces.delete(this.#spaces.keys().next().value!)
    return space
  }
}

function runCommit(entries: SpaceChanges, commit: StateCommit): StateCommitResult {
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
