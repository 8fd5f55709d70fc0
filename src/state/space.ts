/** One space of a state backend: reading, and the writes that depend on what is there or take more than one commit. */
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import { byteLength, sleep } from '../store/platform.ts'
import { MAX_ID_BYTES } from '../store/text.ts'
import type { StateBackend, StateCommit, StateCommitResult, StateEntry, StateScan, StateSet, StateValue } from './contract.ts'
import type { Glob } from './glob.ts'

/** Keys a page where the caller does not see the pages. */
export const SCAN_PAGE = 1_000
/** Where a commit takes one key, as on object stores, many keys would take as many round trips one after another. */
const SINGLES_AT_A_TIME = 32
/** Writers that contend this long for one key are told so rather than left hanging. */
export const MAX_ATTEMPTS = 1_000
const MAX_BACKOFF_MS = 200

export interface Change<T> {
  readonly result: T
  /** What to write; left out: nothing. */
  readonly set?: Omit<StateSet, 'key'>
}

export class StateSpace {
  readonly name: string
  readonly #backend: StateBackend
  readonly #batchSize: number
  readonly #commitSize: number
  /** Commits of one call at a time. */
  readonly #width: number

  constructor(backend: StateBackend, name: string) {
    this.name = name
    this.#backend = backend
    this.#batchSize = backend.limits?.batch ?? Infinity
    this.#commitSize = Math.min(backend.capabilities.commitKeys, this.#batchSize)
    this.#width = this.#commitSize === 1 ? SINGLES_AT_A_TIME : 1
  }

  async entry(key: string, call: BackendCall): Promise<StateEntry | undefined> {
    return (await this.#backend.get(this.name, [key], call))[0]
  }

  /** One answer a key, in their order. */
  async entries(keys: readonly string[], call: BackendCall): Promise<(StateEntry | undefined)[]> {
    const found: (StateEntry | undefined)[] = []
    for (const batch of batchesOf(keys, this.#batchSize)) found.push(...(await this.#backend.get(this.name, batch, call)))
    return found
  }

  commit(commit: StateCommit, call: BackendCall): Promise<StateCommitResult> {
    return this.#backend.commit(this.name, commit, call)
  }

  /** A commit that nothing in its own terms can refuse; how many keys were deleted. */
  apply(commit: Pick<StateCommit, 'set' | 'delete'>, call: BackendCall): Promise<number> {
    return this.#backend.commit(this.name, commit, call).then(deletedBy)
  }

  /** As few commits as the backend allows; they are not atomic together. */
  async setAll(sets: readonly StateSet[], call: BackendCall): Promise<void> {
    await sideBySide(this.#commitsOf(sets), this.#width, (set) => this.apply({ set }, call))
  }

  /** As many as a commit takes, by number and by bytes. */
  *#commitsOf(sets: readonly StateSet[]): Generator<readonly StateSet[], void> {
    const { commitBytes = Infinity } = this.#backend.limits ?? {}
    let batch: StateSet[] = []
    let bytes = 0
    for (const set of sets) {
      const size = commitBytes === Infinity ? 0 : sizeOf(set.value)
      if (batch.length > 0 && (batch.length >= this.#commitSize || bytes + size > commitBytes)) {
        yield batch
        batch = []
        bytes = 0
      }
      batch.push(set)
      bytes += size
    }
    if (batch.length > 0) yield batch
  }

  /** How many of the keys, all different, were there. */
  deleteAll(keys: readonly string[], call: BackendCall): Promise<number> {
    return sideBySide(batchesOf(keys, this.#commitSize), this.#width, (batch) => this.apply({ delete: batch }, call))
  }

  /** Deletes every key that is there when its turn comes; how many there were. */
  clear(call: BackendCall): Promise<number> {
    return inTurn(this.pages('', call), (keys) => this.deleteAll(keys, call))
  }

  /** Reads the entry, decides, and writes if nobody else did in the meantime; otherwise it begins again. */
  async change<T>(key: string, call: BackendCall, decide: (entry: StateEntry | undefined) => Change<T>): Promise<T> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const entry = await this.entry(key, call).catch(nothingApplied)
      const { result, set } = decide(entry)
      if (set === undefined) return result
      const checks = [{ key, version: entry?.version ?? null }]
      const { applied } = await this.commit({ checks, set: [{ key, ...set }] }, call)
      if (applied) return result
      await backOff(attempt, call)
    }
    throw new HoldfastError('CONFLICT', `key ${JSON.stringify(key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`, {
      outcome: 'not-applied',
    })
  }

  scan(scan: StateScan, call: BackendCall): Promise<string[]> {
    return this.#backend.scan(this.name, scan, call)
  }

  /** All keys with the prefix, in bytewise order. */
  async *pages(prefix: string, call: BackendCall): AsyncGenerator<string[], void> {
    let after: string | undefined
    let keys: string[]
    do {
      keys = await this.scan({ prefix, after, limit: SCAN_PAGE }, call)
      if (keys.length > 0) yield keys
      after = keys.at(-1)
    } while (keys.length === SCAN_PAGE)
  }

  async matching(glob: Glob, call: BackendCall): Promise<string[]> {
    const bytes = byteLength(glob.prefix)
    if (bytes > MAX_ID_BYTES || (glob.exact && bytes === 0)) return []
    if (glob.exact) return (await this.entry(glob.prefix, call)) === undefined ? [] : [glob.prefix]
    const found: string[] = []
    for await (const keys of this.pages(glob.prefix, call)) found.push(...keys.filter((key) => glob.matches(key)))
    return found
  }
}

function deletedBy(result: StateCommitResult): number {
  if (result.applied) return result.deleted
  throw new HoldfastError('INVALID_BACKEND', `the backend refused a commit without conditions (${result.reason})`, {
    outcome: 'not-applied',
  })
}

/** Adds up what the batches give. Once one is applied, the failure of a later one leaves the call partly done: `unknown`. */
async function inTurn<T>(batches: Iterable<T> | AsyncIterable<T>, work: (batch: T) => Promise<number>): Promise<number> {
  let sum = 0
  let begun = false
  try {
    for await (const batch of batches) {
      sum += await work(batch)
      begun = true
    }
    return sum
  } catch (error) {
    throw begun ? withOutcome(error, 'unknown') : error
  }
}

/** The same with several at a time. After a failure none is begun any more, and those under way are waited for. */
async function sideBySide<T>(batches: Iterable<T>, width: number, work: (batch: T) => Promise<number>): Promise<number> {
  if (width === 1) return inTurn(batches, work)
  const pending = Iterator.from(batches)
  let failed = false
  const worker = (): Promise<number> =>
    inTurn(
      until(pending, () => failed),
      work,
    ).catch((error: unknown) => {
      failed = true
      throw error
    })
  const results = await Promise.allSettled(Array.from({ length: width }, worker))
  const failure = results.find((result) => result.status === 'rejected')
  const sums = results.map((result) => (result.status === 'fulfilled' ? result.value : 0))
  if (failure === undefined) return sums.reduce((sum, each) => sum + each, 0)
  throw sums.some((sum) => sum > 0) ? withOutcome(failure.reason, 'unknown') : failure.reason
}

function* until<T>(items: Iterator<T>, ended: () => boolean): Generator<T, void> {
  for (let next = items.next(); next.done !== true; next = items.next()) {
    yield next.value
    if (ended()) return
  }
}

function sizeOf(value: StateValue): number {
  return typeof value === 'string' ? byteLength(value) : value.length
}

/** `size` may be Infinity. */
function* batchesOf<T>(items: readonly T[], size: number): Generator<readonly T[], void> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

/** Full jitter: writers that collided must not come back together. */
export async function backOff(attempt: number, call: BackendCall): Promise<void> {
  await sleep(Math.random() * Math.min(MAX_BACKOFF_MS, 2 ** attempt))
  call.signal?.throwIfAborted()
}

/** The read before a write failed, so nothing is written, and the call may be tried again. */
export function nothingApplied(error: unknown): never {
  throw withOutcome(error, 'not-applied')
}
