/**
 * Additions to counters. An object takes about one write a second, so those that come while another is under way in this process are
 * written together, in their order.
 */
import { ABSENT, type GcsBucket } from '../engines/gcs.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { StateAdd, StateCommitResult } from './contract.ts'
import { liveOf, type KnownObject, type KnownObjects } from './gcs-known.ts'
import { backOff, MAX_ATTEMPTS, nothingApplied } from './space.ts'
import { addTo, readBytes } from './values.ts'

/** Where a counter is. */
export interface CounterPlace {
  readonly name: string
  readonly note: string | undefined
}

interface Job {
  readonly addition: StateAdd
  readonly signal: AbortSignal | undefined
  readonly resolve: (result: StateCommitResult) => void
  readonly reject: (error: unknown) => void
}

/** What there is to add to; `isSure` where it was read just now. */
interface Found {
  readonly object: KnownObject | undefined
  readonly value: string | Uint8Array | undefined
  readonly isSure: boolean
}

/** Longer than any safe integer, and little enough to remember. */
const MAX_KNOWN_BYTES = 32

export class Counters {
  readonly #bucket: GcsBucket
  readonly #known: KnownObjects
  readonly #waiting = new Map<string, Job[]>()

  constructor(bucket: GcsBucket, known: KnownObjects) {
    this.#bucket = bucket
    this.#known = known
  }

  add(place: CounterPlace, addition: StateAdd, call: BackendCall = {}): Promise<StateCommitResult> {
    return new Promise((resolve, reject) => {
      const job: Job = { addition, signal: call.signal, resolve, reject }
      const waiting = this.#waiting.get(place.name)
      waiting?.push(job)
      if (waiting !== undefined) return
      this.#waiting.set(place.name, [job])
      void this.#work(place)
    })
  }

  async #work(place: CounterPlace): Promise<void> {
    const waiting = this.#waiting.get(place.name)!
    while (waiting.length > 0) {
      const jobs = waiting.splice(0)
      await this.#addAll(place, jobs).catch((error: unknown) => {
        for (const { reject } of jobs) reject(error)
      })
    }
    this.#waiting.delete(place.name)
  }

  /** Their signals end only what has not begun: of a write that serves several, nobody can be taken out. */
  async #addAll(place: CounterPlace, given: readonly Job[]): Promise<void> {
    let jobs = given
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      jobs = jobs.filter(isWanted)
      if (jobs.length === 0 || (await this.#attempt(place, jobs))) return
      await backOff(attempt, {})
    }
    throw new HoldfastError(
      'CONFLICT',
      `key ${JSON.stringify(given[0]!.addition.key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`,
      { outcome: 'not-applied' },
    )
  }

  /** False where somebody else was quicker. */
  async #attempt({ name, note }: CounterPlace, jobs: readonly Job[]): Promise<boolean> {
    const { object, value, isSure } = await this.#find(name).catch(nothingApplied)
    const present = liveOf(object) === undefined ? undefined : value
    const { results, sum } = addAll(present, jobs)
    if (sum !== undefined) {
      const expiresAt = present === undefined ? undefined : object?.expiresAt
      const generation = await this.#bucket.write(name, { body: sum, expiresAt, note }, object?.generation ?? ABSENT)
      this.#known.forget(name)
      if (generation === undefined) return false
      this.#known.note(name, { generation, expiresAt }, sum)
    } else if (!isSure) {
      this.#known.forget(name)
      return this.#attempt({ name, note }, jobs)
    }
    for (const [i, { resolve }] of jobs.entries()) resolve(results[i]!)
    return true
  }

  async #find(name: string): Promise<Found> {
    const known = this.#known.get(name)
    if (known?.value !== undefined) return { object: known, value: known.value, isSure: false }
    const read = await this.#bucket.read(name)
    return { object: read, value: read?.body, isSure: true }
  }

  /** For what was read anyway. */
  noteIfSmall(name: string, object: KnownObject, body: string | Uint8Array): void {
    const value = body.length <= MAX_KNOWN_BYTES ? Buffer.from(readBytes(body)).toString('latin1') : undefined
    this.#known.note(name, object, value !== undefined && /^-?\d+$/.test(value) ? value : undefined)
  }
}

function isWanted({ signal, reject }: Job): boolean {
  if (signal?.aborted !== true) return true
  reject(signal.reason)
  return false
}

/** What becomes of each, one after the other, and the value in the end; undefined where nothing changes it. */
function addAll(
  present: string | Uint8Array | undefined,
  jobs: readonly Job[],
): { results: StateCommitResult[]; sum: string | undefined } {
  let value = present
  let sum: string | undefined
  const results = jobs.map(({ addition }): StateCommitResult => {
    const added = addTo(value, addition)
    if (typeof added !== 'number') return { applied: false, reason: added, key: addition.key }
    value = sum = String(added)
    return { applied: true, deleted: 0, sums: [added] }
  })
  return { results, sum }
}
