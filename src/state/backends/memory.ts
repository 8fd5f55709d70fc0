/** State in this process's memory: for tests, and for what may be lost with the process. */
import { defineBackend } from '../../store/factory.ts'
import { selectNames } from '../../store/workspaces.ts'
import { runCommit, type CommitEntries } from '../commit.ts'
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

export interface MemoryStateOptions {
  /** Says in a URL what the name says already. Default: none. */
  readonly url?: ':memory:' | 'memory:' | undefined
}

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: Infinity }

/** Each store is empty at first, and its own. */
export const create = defineBackend<MemoryStateOptions, StateBackend>(
  { url: { type: 'string', description: 'nothing to name: `:memory:`', choices: [':memory:', 'memory:'] } },
  () => new MemoryState(),
)

interface Entry {
  readonly space: string
  readonly key: string
  readonly value: StateValue
  readonly version: number
  /** Milliseconds since 1970; Infinity without a TTL. */
  readonly expiresAt: number
}

interface Space {
  readonly entries: Map<string, Entry>
  readonly index: KeyIndex
}

class MemoryState implements StateBackend {
  readonly capabilities = capabilities
  readonly #spaces = new Map<string, Space>()
  /** Entries with a TTL, in the order in which `#sweeper` looks at them. */
  readonly #expiring = new Set<Entry>()
  #sweeper = this.#expiring.values()
  #version = 0

  async get(space: string, keys: readonly string[]): Promise<(StateEntry | undefined)[]> {
    const now = Date.now()
    return keys.map((key) => toStateEntry(this.#find(space, key, now), now))
  }

  async commit(space: string, commit: StateCommit): Promise<StateCommitResult> {
    const now = Date.now()
    const entries: CommitEntries = {
      holds: (check) => this.#holds(space, check, now),
      value: (key) => this.#find(space, key, now)?.value,
      set: (item) => this.#put(space, item, now),
      remove: (key) => this.#remove(this.#find(space, key, now)),
      sweep: (count) => this.#sweep(count, now),
    }
    return runCommit(entries, commit)
  }

  async scan(space: string, scan: StateScan): Promise<string[]> {
    const now = Date.now()
    const found = this.#spaces.get(space)
    return found === undefined ? [] : found.index.page(scan, (key) => found.entries.get(key)!.expiresAt > now)
  }

  async listSpaces(scan: StateScan): Promise<string[]> {
    const now = Date.now()
    const isLive = ({ expiresAt }: Entry): boolean => expiresAt > now
    return selectNames(this.#spaces.keys(), scan, (name) => this.#spaces.get(name)!.entries.values().some(isLive))
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.#spaces.clear()
    this.#expiring.clear()
  }

  #find(space: string, key: string, now: number): Entry | undefined {
    const entry = this.#spaces.get(space)?.entries.get(key)
    return entry !== undefined && entry.expiresAt > now ? entry : undefined
  }

  #holds(space: string, { key, version }: StateCheck, now: number): boolean {
    const entry = this.#find(space, key, now)
    return version === null ? entry === undefined : entry !== undefined && String(entry.version) === version
  }

  #put(space: string, { key, value, ttlMs }: StateSet, now: number): void {
    const { entries, index } = this.#spaceFor(space)
    const old = entries.get(key)
    const expiresAt = ttlMs === 'keep' ? (this.#find(space, key, now)?.expiresAt ?? Infinity) : now + (ttlMs ?? Infinity)
    const entry: Entry = { space, key, value: copyOf(value), version: ++this.#version, expiresAt }
    entries.set(key, entry)
    if (old === undefined) index.added(key)
    else this.#expiring.delete(old)
    if (expiresAt !== Infinity) this.#expiring.add(entry)
  }

  #spaceFor(name: string): Space {
    let space = this.#spaces.get(name)
    if (space === undefined) {
      const entries = new Map<string, Entry>()
      space = { entries, index: new KeyIndex(entries) }
      this.#spaces.set(name, space)
    }
    return space
  }

  /** True when there was something to remove. Spaces come and go with their keys. */
  #remove(entry: Entry | undefined): boolean {
    const space = entry && this.#spaces.get(entry.space)
    if (space === undefined) return false
    space.entries.delete(entry!.key)
    space.index.removed(entry!.key)
    this.#expiring.delete(entry!)
    if (space.entries.size === 0) this.#spaces.delete(entry!.space)
    return true
  }

  /** Goes on where the last sweep stopped, so that every entry with a TTL has its turn. */
  #sweep(count: number, now: number): void {
    for (let i = 0; i < count && this.#expiring.size > 0; i++) {
      const { value, done } = this.#sweeper.next()
      if (done === true) this.#sweeper = this.#expiring.values()
      else if (value.expiresAt <= now) this.#remove(value)
    }
  }
}

function toStateEntry(entry: Entry | undefined, now: number): StateEntry | undefined {
  if (entry === undefined) return undefined
  const ttlMs = entry.expiresAt === Infinity ? undefined : entry.expiresAt - now
  return { value: copyOf(entry.value), version: String(entry.version), ttlMs }
}

/** Neither side may change what the other holds. */
function copyOf(value: StateValue): StateValue {
  return typeof value === 'string' ? value : new Uint8Array(value)
}
