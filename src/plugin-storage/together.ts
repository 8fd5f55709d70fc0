/** Calls of one scope that come in the same moment, as one read and one commit of the backend. */
import type { StateSpace } from '../state/space.ts'
import type { StateAdd, StateCheck, StateCommit, StateCommitResult, StateEntry, StateSet } from '../state/contract.ts'
import type { BackendCall } from '../store/contract.ts'

export interface TogetherOptions {
  /** Keys that one commit of the backend may name. */
  readonly keysPerCommit: number
  /** Bytes of the values of one commit. */
  readonly bytesPerCommit: number
}

/** Whether a commit was applied; where not, why. */
export type Applied = { readonly applied: true } | Extract<StateCommitResult, { readonly applied: false }>

interface Waiting<Q, R> {
  readonly asked: Q
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

/** Changes in one commit: it is worked on in one go, and nothing else is meanwhile. */
const MAX_CHANGES = 128
const MAX_READS = 512
const NOBODY_WAITS: BackendCall = {}

export class Together {
  readonly #space: StateSpace
  readonly #options: TogetherOptions
  readonly #reads: Batch<string, StateEntry | undefined>
  readonly #commits: Batch<StateCommit, Applied>

  constructor(space: StateSpace, options: TogetherOptions) {
    this.#space = space
    this.#options = options
    this.#reads = new Batch((waiting) => this.#read(waiting))
    this.#commits = new Batch((waiting) => this.#commit(waiting))
  }

  /** Like `entry` of the space. A caller with a signal reads by itself, so that it is heard. */
  entry(key: string, call: BackendCall): Promise<StateEntry | undefined> {
    return call.signal === undefined ? this.#reads.add(key) : this.#space.entry(key, call)
  }

  /**
   * Like `commit` of the space. What is refused as part of a larger commit is tried again by itself, so that each caller hears of its own
   * refusal only; additions to one key count with what they come to together.
   */
  commit(commit: StateCommit, call: BackendCall): Promise<Applied> {
    return call.signal === undefined ? this.#commits.add(commit) : this.#space.commit(commit, call)
  }

  async #read(waiting: readonly Waiting<string, StateEntry | undefined>[]): Promise<void> {
    for (let at = 0; at < waiting.length; at += MAX_READS) {
      const some = waiting.slice(at, at + MAX_READS)
      // A key may be asked for by several.
      const keys = [...new Set(some.map(({ asked }) => asked))]
      await settle(some, async () => {
        const entries = await this.#space.entries(keys, NOBODY_WAITS)
        const found = new Map(keys.map((key, i) => [key, entries[i]]))
        return some.map(({ asked }) => found.get(asked))
      })
    }
  }

  async #commit(waiting: readonly Waiting<StateCommit, Applied>[]): Promise<void> {
    if (waiting.length === 1) return this.#alone(waiting[0]!)
    let rest = waiting
    const begun: Promise<void>[] = []
    while (rest.length > 0) {
      const merged = new MergedCommit(this.#options)
      const [taken, left] = [[] as Waiting<StateCommit, Applied>[], [] as Waiting<StateCommit, Applied>[]]
      for (const one of rest) (merged.take(one.asked) ? taken : left).push(one)
      begun.push(this.#apply(taken, merged))
      rest = left
    }
    await Promise.all(begun)
  }

  async #apply(taken: readonly Waiting<StateCommit, Applied>[], merged: MergedCommit): Promise<void> {
    if (taken.length === 1) return this.#alone(taken[0]!)
    let refused = false
    await settle(taken, async () => {
      const result = await this.#space.commit(merged.commit, NOBODY_WAITS)
      refused = !result.applied
      return result.applied ? taken.map(() => result) : undefined
    })
    if (refused) await Promise.all(taken.map((one) => this.#alone(one)))
  }

  #alone(one: Waiting<StateCommit, Applied>): Promise<void> {
    return settle([one], async () => [await this.#space.commit(one.asked, NOBODY_WAITS)])
  }
}

/** What is asked for before the microtasks that are queued already are done. */
class Batch<Q, R> {
  readonly #work: (waiting: readonly Waiting<Q, R>[]) => Promise<void>
  #waiting: Waiting<Q, R>[] = []

  constructor(work: (waiting: readonly Waiting<Q, R>[]) => Promise<void>) {
    this.#work = work
  }

  add(asked: Q): Promise<R> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ asked, resolve, reject }) === 1) queueMicrotask(this.#flush)
    })
  }

  readonly #flush = (): void => {
    const waiting = this.#waiting
    this.#waiting = []
    void this.#work(waiting)
  }
}

/** Gives each its result, or all of them the error. Undefined: they go on waiting. */
async function settle<Q, R>(waiting: readonly Waiting<Q, R>[], work: () => Promise<readonly R[] | undefined>): Promise<void> {
  try {
    const results = await work()
    if (results !== undefined) for (const [i, { resolve }] of waiting.entries()) resolve(results[i]!)
  } catch (error) {
    for (const { reject } of waiting) reject(error)
  }
}

/** Commits that name different keys, as one. A key may be checked, or added to, by several. */
class MergedCommit {
  readonly #options: TogetherOptions
  readonly #checks = new Map<string, StateCheck>()
  readonly #sets = new Map<string, StateSet>()
  readonly #unwanted = new Set<string>()
  readonly #adds = new Map<string, StateAdd>()
  #bytes = 0
  #taken = 0

  constructor(options: TogetherOptions) {
    this.#options = options
  }

  get commit(): StateCommit {
    const [checks, set, add] = [[...this.#checks.values()], [...this.#sets.values()], [...this.#adds.values()]]
    return { checks, set, delete: [...this.#unwanted], add }
  }

  /** False where it does not go together with what is there. The first is taken in any case. */
  take(commit: StateCommit): boolean {
    const bytes = (commit.set ?? []).reduce((sum, { value }) => sum + value.length, 0)
    if (this.#taken > 0 && !(this.#hasRoom(commit, bytes) && this.#agrees(commit))) return false
    this.#taken++
    this.#bytes += bytes
    for (const check of commit.checks ?? []) this.#checks.set(check.key, check)
    for (const set of commit.set ?? []) this.#sets.set(set.key, set)
    for (const key of commit.delete ?? []) this.#unwanted.add(key)
    for (const add of commit.add ?? []) this.#adds.set(add.key, sumOf(this.#adds.get(add.key), add))
    return true
  }

  #hasRoom({ checks = [], set = [], delete: unwanted = [], add = [] }: StateCommit, bytes: number): boolean {
    const { keysPerCommit, bytesPerCommit } = this.#options
    // Many a key is counted twice, which only makes the commit smaller.
    const named = this.#checks.size + this.#sets.size + this.#unwanted.size + this.#adds.size
    const more = checks.length + set.length + unwanted.length + add.length
    return this.#taken < MAX_CHANGES && named + more <= keysPerCommit && this.#bytes + bytes <= bytesPerCommit
  }

  #agrees({ checks = [], set = [], delete: unwanted = [], add = [] }: StateCommit): boolean {
    const isTouched = (key: string): boolean => this.#sets.has(key) || this.#unwanted.has(key)
    return (
      checks.every(
        ({ key, version }) => !isTouched(key) && (!this.#checks.has(key) || this.#checks.get(key)!.version === version),
      ) &&
      set.every(({ key }) => !isTouched(key)) &&
      unwanted.every((key) => !isTouched(key)) &&
      add.every(({ key, max }) => (this.#adds.get(key)?.max ?? max) === (max ?? this.#adds.get(key)?.max))
    )
  }
}

/** The greatest sum that either allows holds for both together. */
function sumOf(a: StateAdd | undefined, b: StateAdd): StateAdd {
  if (a === undefined) return b
  const max = a.max ?? b.max
  return { key: b.key, by: a.by + b.by, ...(max !== undefined && { max }) }
}
