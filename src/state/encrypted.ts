/** Encryption at rest over any state backend. Values are encrypted; spaces, keys and TTLs are not. */
import type { KeyRing, KeyRingOptions } from '../encryption/key-ring.ts'
import { notEncrypted, PlacesSeen } from '../encryption/mode.ts'
import { contextOf } from '../encryption/sealer.ts'
import { Sealers } from '../encryption/sealers.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall, Limits } from '../store/contract.ts'
import { HEADER_BYTES, withHeader, withoutHeader } from '../store/sealed.ts'
import type {
  StateAdd,
  StateBackend,
  StateCapabilities,
  StateCheck,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateSet,
  StateValue,
} from './contract.ts'
import { claim, isWrite, placeOf } from './mode.ts'
import { backOff, MAX_ATTEMPTS, nothingApplied } from './space.ts'
import { Turns } from './turns.ts'
import { addTo, readBytes } from './values.ts'

type Refused = Extract<StateCommitResult, { applied: false }>

const PURPOSE = 'state'

/** The same backend, whose values are encrypted. */
export function encryptState(backend: StateBackend, keys: KeyRing | KeyRingOptions): EncryptedState {
  return new EncryptedState(backend, keys)
}

export class EncryptedState implements StateBackend {
  readonly encrypted = true
  readonly capabilities: StateCapabilities
  readonly limits: Limits
  readonly abortAnswerMs?: number
  /** The backend beneath, for conversion. */
  readonly stored: StateBackend
  readonly listSpaces?: NonNullable<StateBackend['listSpaces']>
  readonly backup?: NonNullable<StateBackend['backup']>
  readonly #sealers: Sealers
  readonly #places: PlacesSeen
  readonly #turns = new Turns()

  constructor(backend: StateBackend, keys: KeyRing | KeyRingOptions) {
    this.stored = backend
    this.#sealers = new Sealers(keys, PURPOSE)
    this.capabilities = backend.capabilities
    this.limits = this.#room(backend.limits ?? {})
    this.#places = new PlacesSeen((space) => claim(backend, space))
    if (backend.abortAnswerMs !== undefined) this.abortAnswerMs = backend.abortAnswerMs
    if (backend.backup !== undefined) this.backup = (directory, call) => backend.backup!(directory, call)
    if (backend.listSpaces !== undefined) this.listSpaces = (scan, call) => backend.listSpaces!(scan, call)
  }

  async get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    const entries = await this.stored.get(space, keys, call)
    return entries.map((entry, i) => entry && { ...entry, value: this.open(space, keys[i]!, entry.value) })
  }

  async commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    if (isWrite(commit)) await this.#places.pending(placeOf(this.stored, space))
    const { add = [], ...rest } = commit
    if (add.length === 0) return this.stored.commit(space, this.#sealed(space, rest), call)
    // Writers of this process that add to the same key would only get in each other's way.
    return this.#turns.take(`${space}\0${add[0]!.key}`, () => this.#adding(space, rest, add, call ?? {}))
  }

  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.stored.scan(space, scan, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.stored.ping(call)
  }

  /** Writes that were called before count as begun. */
  async close(): Promise<void> {
    await this.#places.settled()
    await this.#turns.settled()
    await this.stored.close()
  }

  /** The value as it is stored. */
  seal(space: string, key: string, value: StateValue): Uint8Array {
    return withHeader(this.#sealers.of(space).seal(readBytes(value), contextOf('state', space, key)))
  }

  /** What was stored under this very key; anything else is `DECRYPTION_FAILED`. */
  open(space: string, key: string, stored: StateValue): Uint8Array {
    const what = `the value of key ${JSON.stringify(key)}`
    const sealed = withoutHeader(stored)
    if (sealed === undefined) throw notEncrypted(what)
    return this.#sealers.of(space).open(sealed, contextOf('state', space, key), what)
  }

  isSealed(stored: StateValue): boolean {
    return withoutHeader(stored) !== undefined
  }

  /** True for what `seal` would seal with the same key now. */
  isCurrent(space: string, stored: StateValue): boolean {
    const sealed = withoutHeader(stored)
    return sealed !== undefined && this.#sealers.of(space).isCurrent(sealed)
  }

  #room({ valueBytes, ...others }: Limits): Limits {
    if (valueBytes === undefined) return others
    return { ...others, valueBytes: Math.max(1, valueBytes - HEADER_BYTES - this.#sealers.of('').overhead) }
  }

  #sealed(space: string, commit: StateCommit): StateCommit {
    if (commit.set === undefined) return commit
    return { ...commit, set: commit.set.map((item) => ({ ...item, value: this.seal(space, item.key, item.value) })) }
  }

  /** The engine cannot add to what is sealed: the sums are made here, and are written where nobody else wrote in the meantime. */
  async #adding(
    space: string,
    rest: Omit<StateCommit, 'add'>,
    add: readonly StateAdd[],
    call: BackendCall,
  ): Promise<StateCommitResult> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      call.signal?.throwIfAborted()
      const result = await this.#tryAdding(space, rest, add, call)
      if (result !== undefined) return result
      await backOff(attempt, call)
    }
    const key = JSON.stringify(add[0]!.key)
    throw new HoldfastError('CONFLICT', `key ${key} was changed by others at each of ${MAX_ATTEMPTS} attempts`, {
      outcome: 'not-applied',
    })
  }

  /** Undefined where another writer came in between. */
  async #tryAdding(
    space: string,
    { checks = [], set = [], delete: unwanted = [] }: Omit<StateCommit, 'add'>,
    add: readonly StateAdd[],
    call: BackendCall,
  ): Promise<StateCommitResult | undefined> {
    const keys = add.map(({ key }) => key)
    const entries = await this.stored.get(space, keys, call).catch(nothingApplied)
    const sums = this.#sums(space, add, entries)
    const read = keys.map((key, i): StateCheck => ({ key, version: entries[i]?.version ?? null }))
    const own = read.filter(({ key }) => !checks.some((check) => check.key === key))
    // A refusal is given only where the caller's checks hold at the same time: those come first.
    const commit = Array.isArray(sums)
      ? {
          checks: [...checks, ...own],
          set: [...this.#sealAll(space, set), ...this.#sealAll(space, setsOf(add, sums))],
          delete: unwanted,
        }
      : { checks: [...checks, ...own] }
    if (isStale(checks, read)) return this.#refusal(space, checks, call)
    const result = await this.stored.commit(space, commit, call)
    if (!result.applied) return own.some(({ key }) => key === result.key) ? undefined : result
    return Array.isArray(sums) ? { ...result, sums } : sums
  }

  /** What the engine says to the caller's checks alone; undefined where they hold by now. */
  async #refusal(space: string, checks: readonly StateCheck[], call: BackendCall): Promise<StateCommitResult | undefined> {
    const result = await this.stored.commit(space, { checks }, call)
    return result.applied ? undefined : result
  }

  #sums(space: string, add: readonly StateAdd[], entries: readonly (StateEntry | undefined)[]): number[] | Refused {
    const sums: number[] = []
    for (const [i, addition] of add.entries()) {
      const entry = entries[i]
      const sum = addTo(entry && this.open(space, addition.key, entry.value), addition)
      if (typeof sum !== 'number') return { applied: false, reason: sum, key: addition.key }
      sums.push(sum)
    }
    return sums
  }

  #sealAll(space: string, sets: readonly StateSet[]): StateSet[] {
    return sets.map((set) => ({ ...set, value: this.seal(space, set.key, set.value) }))
  }
}

function isStale(checks: readonly StateCheck[], read: readonly StateCheck[]): boolean {
  return checks.some(({ key, version }) => read.some((now) => now.key === key && now.version !== version))
}

function setsOf(add: readonly StateAdd[], sums: readonly number[]): StateSet[] {
  return add.map(({ key }, i) => ({ key, value: String(sums[i]), ttlMs: 'keep' }))
}
