/** One scope: what belongs to one plugin in one workspace, in a state space of its own. */
import type { KeyRing } from '../encryption/key-ring.ts'
import { HoldfastError, type ErrorCode } from '../errors.ts'
import { StateSpace } from '../state/space.ts'
import type { StateBackend, StateEntry } from '../state/contract.ts'
import type { StateStore } from '../state/store.ts'
import { readBytes, readJson } from '../state/values.ts'
import type { BackendCall, CallOptions, JsonObject } from '../store/contract.ts'
import type { CallMode, StoreCore } from '../store/core.ts'
import { backOff, nothingApplied } from './contention.ts'
import { Codec, nameOf } from './codec.ts'
import { indexKey, indexSpace, META, scopeSpace, USED, valueKey, type ScopeId } from './layout.ts'
import { corrupt, decodeRecord, isExpired, MAX_HEAD_BYTES, type StoredRecord } from './record.ts'
import { Together } from './together.ts'

/**
 * How much one commit of the backend holds together. `all`: value, counter, and everything around them. `counter`: value and counter.
 * `single`: one key only.
 */
export type Atomicity = 'all' | 'counter' | 'single'

/** What every commit is checked against, so that no value comes into a scope that was cleared or converted meanwhile. */
export interface Meta {
  readonly version: string
  readonly encrypted: boolean
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** Set while `clear` removes everything. */
  readonly clearing: boolean
}

export interface ScopeOptions {
  readonly state: StateStore
  readonly encryption: KeyRing | undefined
  readonly chunkBytes: number
}

/** The keys of the largest commit: value, counter, meta, writing mark, new and old expiry. */
const KEYS_OF_ALL = 6
/** About 4 s of waiting for `clear`. */
const OPEN_ATTEMPTS = 50
/** A sweep removes more than this, so that it catches up. */
const MORTALS_PER_SWEEP = 64
const PURPOSE = 'plugin-storage'

export class Scope {
  readonly id: ScopeId
  readonly space: StateSpace
  readonly core: StoreCore<StateBackend>
  readonly codec: Codec
  readonly atomicity: Atomicity
  readonly keysPerCommit: number
  /** Bytes of the largest value that is stored in one piece, and of a chunk. */
  readonly chunkBytes: number
  /** The space, for changes of many values at the same moment. */
  readonly together: Together
  readonly #state: StateStore
  readonly #index: StateSpace
  #meta: Meta | undefined
  #opening: Promise<Meta> | undefined
  #modeChecked = false
  #mortals = 0

  constructor(id: ScopeId, { state, encryption, chunkBytes }: ScopeOptions) {
    const { core, workspaceId: owner } = state
    this.id = id
    this.core = core
    this.#state = state
    this.space = new StateSpace(core.backend, scopeSpace(owner, id))
    this.#index = new StateSpace(core.backend, indexSpace(owner))
    this.codec = new Codec(this.space.name, encryption?.sealer(PURPOSE, id.workspaceId))
    this.keysPerCommit = Math.min(core.backend.capabilities.commitKeys, core.limits.batch ?? Infinity)
    this.atomicity = atomicityOf(this.keysPerCommit)
    this.together = new Together(this.space, {
      keysPerCommit: this.keysPerCommit,
      bytesPerCommit: core.limits.commitBytes ?? Infinity,
    })
    const room = (core.limits.valueBytes ?? Infinity) - MAX_HEAD_BYTES - this.codec.overhead
    this.chunkBytes = Math.max(1, Math.min(chunkBytes, room))
  }

  run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: (call: BackendCall) => Promise<T>): Promise<T> {
    return this.#state.run(method, mode, options, work)
  }

  /** The record under a key, also an expired one; the first look makes sure that the scope is stored the way this host stores. */
  async find(key: string, call: BackendCall): Promise<StoredRecord | undefined> {
    const place = valueKey(key)
    if (this.#modeChecked) return toRecord(await this.space.entry(place, call), key)
    const [meta, entry] = await this.space.entries([META, place], call)
    this.#checkMode(meta && readMeta(meta))
    return toRecord(entry, key)
  }

  /** `find` before a change, which many may be about to make. */
  async findToChange(key: string, call: BackendCall): Promise<StoredRecord | undefined> {
    if (!this.#modeChecked || this.atomicity !== 'all') return this.find(key, call)
    return toRecord(await this.together.entry(valueKey(key), call), key)
  }

  /** One answer a key. */
  async findAll(keys: readonly string[], call: BackendCall): Promise<(StoredRecord | undefined)[]> {
    return (await this.look(keys, call)).records
  }

  /** Those of the keys whose values have expired; times are in plain text, so that this needs no key ring. */
  async expiredAmong(keys: readonly string[], call: BackendCall): Promise<string[]> {
    const entries = await this.space.entries(keys.map(valueKey), call)
    const now = Date.now()
    return keys.filter((key, i) => {
      const record = toRecord(entries[i], key)
      return record !== undefined && isExpired(record, now)
    })
  }

  /** Records and the counter at one time, as far as the backend reads at one time. */
  async look(keys: readonly string[], call: BackendCall): Promise<{ used: number; records: (StoredRecord | undefined)[] }> {
    const [meta, used, ...entries] = await this.space.entries([META, USED, ...keys.map(valueKey)], call)
    this.#checkMode(meta && readMeta(meta))
    return { used: readUsed(used, this), records: entries.map((entry, i) => toRecord(entry, keys[i]!)) }
  }

  /** Before a write: the scope is there, listed, and stored the way this host stores. */
  opened(): Meta | Promise<Meta> {
    // Commits too small to be checked against what is known are preceded by a look.
    if (this.#meta !== undefined && this.atomicity === 'all') return this.#meta
    this.#opening ??= this.#open({})
      .catch(nothingApplied)
      .finally(() => (this.#opening = undefined))
    return this.#opening
  }

  /** After a commit that found the scope changed. */
  forget(): void {
    this.#meta = undefined
    this.#modeChecked = false
  }

  /** Counts writes with a TTL; true when it is time to remove what has expired, so that it never piles up. */
  isSweepDue(): boolean {
    return ++this.#mortals % MORTALS_PER_SWEEP === 0
  }

  async meta(call: BackendCall): Promise<Meta | undefined> {
    const entry = await this.space.entry(META, call)
    return entry && readMeta(entry)
  }

  /** Bytes of all values, those included that expired and are not swept yet. */
  async used(call: BackendCall): Promise<number> {
    return readUsed(await this.space.entry(USED, call), this)
  }

  async state(call: BackendCall): Promise<{ meta: Meta | undefined; usedBytes: number }> {
    const [meta, used] = await this.space.entries([META, USED], call)
    return { meta: meta && readMeta(meta), usedBytes: readUsed(used, this) }
  }

  async list(call: BackendCall): Promise<void> {
    const { workspaceId, pluginId } = this.id
    const value = JSON.stringify({ workspaceId, pluginId })
    await this.#index.apply({ set: [{ key: indexKey(this.id), value }] }, call)
  }

  async unlist(call: BackendCall): Promise<void> {
    await this.#index.apply({ delete: [indexKey(this.id)] }, call)
  }

  /** Thrown within a call of the store, which adds the rest. */
  error(code: ErrorCode, message: string): HoldfastError {
    return new HoldfastError(code, `${message} (plugin ${this.id.pluginId}, workspace ${JSON.stringify(this.id.workspaceId)})`)
  }

  async #open(call: BackendCall): Promise<Meta> {
    for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
      const meta = (await this.meta(call)) ?? (await this.#create(call))
      if (meta?.version === this.#meta?.version && this.#meta !== undefined) return this.#meta
      if (meta !== undefined && !meta.clearing) {
        this.#checkMode(meta)
        // After the meta, also where that was there: whoever made it may have been killed before it came to this.
        await this.list(call)
        this.#meta = meta
        return meta
      }
      await backOff(attempt, call)
    }
    throw this.error('CONFLICT', 'the scope is being cleared; if that was interrupted, clear it again')
  }

  /** Undefined where somebody else was first. */
  async #create(call: BackendCall): Promise<Meta | undefined> {
    const fields = { encrypted: this.codec.sealed, createdAt: Date.now(), clearing: false }
    const set = [{ key: META, value: writeMeta(fields) }]
    const { applied } = await this.space.commit({ checks: [{ key: META, version: null }], set }, call)
    return applied ? this.meta(call) : undefined
  }

  #checkMode(meta: Meta | undefined): void {
    if (meta === undefined) return
    if (meta.encrypted && !this.codec.sealed) {
      throw this.error('DECRYPTION_FAILED', 'the scope is encrypted: give PluginHost its key ring')
    }
    if (!meta.encrypted && this.codec.sealed) {
      throw this.error('DECRYPTION_FAILED', 'the scope is not encrypted: convert it with PluginHost.encrypt')
    }
    this.#modeChecked = true
  }
}

function atomicityOf(commitKeys: number): Atomicity {
  if (commitKeys >= KEYS_OF_ALL) return 'all'
  return commitKeys >= 2 ? 'counter' : 'single'
}

function toRecord(entry: StateEntry | undefined, key: string): StoredRecord | undefined {
  return entry && decodeRecord(readBytes(entry.value), entry.version, nameOf(key))
}

export function readMeta({ value, version }: StateEntry): Meta {
  const { encrypted, createdAt, clearing } = readJson(value, META) as JsonObject
  if (typeof encrypted !== 'boolean' || typeof createdAt !== 'number') throw corrupt('the description of a scope')
  return { version, encrypted, createdAt, clearing: clearing === true }
}

export function writeMeta({ encrypted, createdAt, clearing }: Omit<Meta, 'version'>): string {
  return JSON.stringify({ encrypted, createdAt, clearing })
}

export function readUsed(entry: StateEntry | undefined, scope: Scope): number {
  if (entry === undefined) return 0
  const used = Number(Buffer.from(readBytes(entry.value)).toString())
  if (!Number.isSafeInteger(used))
    throw scope.error('CORRUPT', 'the counter of used bytes is no number: run PluginHost.reconcile')
  return used
}
