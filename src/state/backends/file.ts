/**
 * State as plain files: a folder a space, and in it a file a key, which holds the value and nothing else. A second one beside it, named
 * `NAME~`, holds what the first cannot tell: when the key expires, and the key, or the name of the space, where it is too long for a name.
 */
import { join } from 'node:path'
import { filesOptions, folderLocation, type FilesOptions } from '../../engines/files-options.ts'
import { Folder, type FileChange, type FolderObserver, type FolderView } from '../../engines/files.ts'
import type { BackendCall } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { selectNames } from '../../store/workspaces.ts'
import { runCommit } from '../commit.ts'
import type { StateBackend, StateCapabilities, StateCommit, StateCommitResult, StateEntry, StateScan } from '../contract.ts'
import { folderOf, foldersBySpace, holdsKey, Space, SpaceChanges, SpaceView } from '../file-space.ts'

export type FileStateOptions = FilesOptions

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: Infinity }

/** A value is held in memory while it is read or written. */
const LIMITS = { valueBytes: 128_000_000 } as const
const DEFAULT_PATH = join('.holdfast', 'state')
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

  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#folder.read((files) => this.#space(files, space).page(scan, Date.now()), call)
  }

  listSpaces(scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#folder.read((files) => {
      const now = Date.now()
      const folders = foldersBySpace(files)
      return selectNames(folders.keys(), scan, (name) => this.#holdsKey(files, folders.get(name)!, now))
    }, call)
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

  /** A listing of many spaces must not push out those that are in use, so it takes none into memory. */
  #holdsKey(files: FolderView, folder: string, now: number): boolean {
    return this.#spaces.get(folder)?.holdsKey(now) ?? holdsKey(files, folder, now)
  }

  #space(files: FolderView, name: string): Space {
    const folder = folderOf(name)
    const space = this.#spaces.get(folder) ?? Space.load(files, name)
    this.#spaces.delete(folder)
    this.#spaces.set(folder, space)
    if (this.#spaces.size > MAX_SPACES) this.#spaces.delete(this.#spaces.keys().next().value!)
    return space
  }
}
