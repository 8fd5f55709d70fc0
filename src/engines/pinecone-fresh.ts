/**
 * Reading one's own writes from an engine that shows them later.
 *
 * Docs, "Check data freshness": a write's answer names its log sequence number in its namespace, a query's answer the number up to which
 * it is complete. So a write can wait until a query has reached it, and a query that an older replica answered can be asked again. Only
 * queries tell their number: other reads (fetch, list, stats) are not used.
 *
 * Where numbers are missing (a namespace without records, pod-based indexes) the effect of the write itself is waited for.
 */
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { pause, type Answer } from './pinecone-wire.ts'
import type { PineconeEngine, PineconeFilter, PineconeMatch, PineconePlace, PineconeQuery } from './pinecone.ts'

export type PlacedQuery = Omit<PineconeQuery, 'namespace' | 'vector'> & { readonly vector?: number[] }

/** What a query finds once a write can be seen: so many records match the filter. */
export interface Effect {
  readonly filter: PineconeFilter
  readonly count: number
}

/** The last write to a namespace that is known here. */
interface Written {
  readonly lsn: number
  /** There are no records any more, and so no number in answers. */
  isEmptied: boolean
}

const [FIRST_PAUSE_MS, LAST_PAUSE_MS] = [5, 1_000]
/** Answers without a number that are not believed where there was one before. */
const MAX_SILENT = 5
/** Namespaces whose last write is remembered. */
const MAX_REMEMBERED = 10_000

export class FreshPinecone {
  readonly engine: PineconeEngine
  readonly waitMs: number
  readonly #written = new Map<string, Written>()

  constructor(engine: PineconeEngine, waitMs: number) {
    this.engine = engine
    this.waitMs = waitMs
  }

  /** As new as the last write that was settled here. Without a vector, which records match is all that matters. */
  async query(place: PineconePlace, query: PlacedQuery, call?: BackendCall): Promise<PineconeMatch[]> {
    const written = this.#written.get(keyOf(place))
    let silent = 0
    const isNew = ({ indexedLsn }: Answer<unknown>): boolean => {
      if (written === undefined) return true
      if (indexedLsn !== undefined) return indexedLsn >= written.lsn
      // Either a replica that has none of its records yet, or a namespace that another process emptied.
      written.isEmptied ||= ++silent > MAX_SILENT
      return written.isEmptied
    }
    return (await this.#until(place, query, isNew, call)).value
  }

  /** Resolves when queries show a write: its number is reached, or, where it has none, each of its effects is there. */
  async settle(place: PineconePlace, lsn: number | undefined, effects: readonly Effect[], call?: BackendCall): Promise<void> {
    if (lsn !== undefined) this.#remember(place, lsn)
    for (const { filter, count } of effects) {
      const seen = (answer: Answer<PineconeMatch[]>): boolean => reached(answer, lsn) ?? answer.value.length === count
      const answer = await this.#until(place, { topK: Math.max(1, count), filter }, seen, call)
      if (reached(answer, lsn) === true) return
      const written = this.#written.get(keyOf(place))
      if (written !== undefined && written.lsn === lsn && answer.indexedLsn === undefined) written.isEmptied = true
    }
  }

  forget(place: PineconePlace): void {
    this.#written.delete(keyOf(place))
  }

  #remember(place: PineconePlace, lsn: number): void {
    const key = keyOf(place)
    const known = this.#written.get(key)
    this.#written.delete(key)
    // Where there was nothing any more, the index may be another one, which counts from 1 again.
    const least = known === undefined || known.isEmptied ? 0 : known.lsn
    this.#written.set(key, { lsn: Math.max(least, lsn), isEmptied: false })
    if (this.#written.size > MAX_REMEMBERED) this.#written.delete(this.#written.keys().next().value!)
  }

  async #until(
    place: PineconePlace,
    query: PlacedQuery,
    isEnough: (answer: Answer<PineconeMatch[]>) => boolean,
    call: BackendCall | undefined,
  ): Promise<Answer<PineconeMatch[]>> {
    const deadline = Date.now() + this.waitMs
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
      const answer = await this.engine.query(place, { ...query, vector: query.vector ?? anyVector(place) }, call)
      if (isEnough(answer)) return answer
      if (Date.now() > deadline) {
        // What is waited for may never come, where another process has made the index anew: the next call begins afresh.
        this.forget(place)
        throw tooOld(this.waitMs)
      }
      await pause(pauseMs, call?.signal)
    }
  }
}

function reached({ indexedLsn }: Answer<unknown>, lsn: number | undefined): boolean | undefined {
  return indexedLsn === undefined || lsn === undefined ? undefined : indexedLsn >= lsn
}

function anyVector({ dimension }: PineconePlace): number[] {
  return Array.from({ length: dimension }, (_, i) => (i === 0 ? 1 : 0))
}

function keyOf({ index, namespace }: PineconePlace): string {
  return `${index}/${namespace}`
}

function tooOld(waitMs: number): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `Pinecone did not show what it had accepted within ${waitMs} ms`)
}
