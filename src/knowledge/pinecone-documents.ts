/** The documents of one collection: the queries that read them, and the writes that wait until queries show them. */
import type { Effect, FreshPinecone } from '../engines/pinecone-fresh.ts'
import type { PineconeFilter } from '../engines/pinecone.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { DocumentRecord, HitRecord, SearchRecordQuery } from './contract.ts'
import type { FilterNode } from './filter.ts'
import { compileFilter } from './pinecone-filter.ts'
import { queryVector, recordId, toDocumentRecord, type CollectionPlace, type SizedRecord } from './pinecone-records.ts'
import { scanIds } from './pinecone-scan.ts'

/** Docs, "Operation limits": 1,000 records or 2 MB an upsert, 1,000 ids a deletion, 4 MB an answer. */
const [MAX_RECORDS, MAX_REQUEST_BYTES, MAX_ANSWER_BYTES] = [1_000, 2_000_000, 4_000_000]
/** A record in an answer: its metadata, id and score, and as text each number of its vector. */
const [RECORD_BYTES, NUMBER_BYTES] = [41_500, 20]
/** Requests of one call at a time: Pinecone takes 100 a second in a namespace. */
const WIDTH = 4

export class PineconeDocuments {
  readonly #fresh: FreshPinecone
  readonly #waits: boolean

  constructor(fresh: FreshPinecone, waits: boolean) {
    this.#fresh = fresh
    this.#waits = waits
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Scores are left to the store: Pinecone's are off by more than 1e-3 at times (1.00112152 for equal vectors). */
  async nearest(
    place: CollectionPlace,
    { embedding, limit }: SearchRecordQuery,
    filter: PineconeFilter | true,
    call: BackendCall | undefined,
  ): Promise<HitRecord[]> {
    const query = { topK: limit, vector: queryVector(embedding, place), ...(filter === true ? {} : { filter }) }
    if (limit > perAnswer(place)) {
      const matches = await this.#fresh.query(place, query, call)
      return this.byIds(place, idsOf(matches), true, call)
    }
    const matches = await this.#fresh.query(place, { ...query, includeMetadata: true, includeValues: true }, call)
    return matches.map((match) => toDocumentRecord(match, place, true))
  }

  /** Whole documents, as many at a time as fit into an answer for certain. */
  async byIds(
    place: CollectionPlace,
    ids: readonly string[],
    withEmbeddings: boolean,
    call: BackendCall | undefined,
  ): Promise<DocumentRecord[]> {
    const parts = chunks(ids, perAnswer(place))
    const pages = await inParallel(parts, (part) => {
      const filter = { _id: { $in: part } }
      return this.#fresh.query(place, { topK: part.length, filter, includeMetadata: true, includeValues: withEmbeddings }, call)
    })
    return pages.flat().map((match) => toDocumentRecord(match, place, withEmbeddings))
  }

  /** The record ids of those that exist, of up to 1,000. */
  async existing(place: CollectionPlace, ids: readonly string[], call: BackendCall | undefined): Promise<string[]> {
    if (ids.length === 0) return []
    return idsOf(await this.#fresh.query(place, { topK: ids.length, filter: { _id: { $in: ids.map(recordId) } } }, call))
  }

  async matching(place: CollectionPlace, node: FilterNode | undefined, call: BackendCall | undefined): Promise<string[]> {
    const filter = node === undefined ? true : compileFilter(node)
    return filter === false ? [] : scanIds(this.#fresh, place, filter === true ? undefined : filter, call)
  }

  // ── Writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async upsert(
    place: CollectionPlace,
    records: readonly SizedRecord[],
    effect: Effect,
    call: BackendCall | undefined,
  ): Promise<void> {
    const send = async (part: readonly SizedRecord[]): Promise<number | undefined> => {
      const { lsn } = await this.#fresh.engine.upsert(
        place,
        part.map(({ record }) => record),
        call,
      )
      return lsn
    }
    await this.#applied(place, requests(records), send, [effect], call)
  }

  async remove(place: CollectionPlace, ids: readonly string[], call: BackendCall | undefined): Promise<void> {
    const parts = chunks(ids, MAX_RECORDS)
    const send = async (part: readonly string[]): Promise<number | undefined> =>
      (await this.#fresh.engine.remove(place, [...part], call)).lsn
    await this.#applied(
      place,
      parts,
      send,
      parts.map((part) => ({ filter: { _id: { $in: part } }, count: 0 })),
      call,
    )
  }

  /** Sends the parts of a write, and waits until it can be seen. Once a part was accepted, no failure can say that nothing happened. */
  async #applied<T>(
    place: CollectionPlace,
    parts: readonly T[],
    send: (part: T) => Promise<number | undefined>,
    effects: readonly Effect[],
    call: BackendCall | undefined,
  ): Promise<void> {
    let accepted = 0
    try {
      const numbers = await inParallel(parts, async (part) => {
        const lsn = await send(part)
        accepted++
        return lsn
      })
      const known = numbers.filter((lsn) => lsn !== undefined)
      const lsn = known.length < parts.length || parts.length === 0 ? undefined : Math.max(...known)
      if (this.#waits && parts.length > 0) await this.#fresh.settle(place, lsn, effects, call)
    } catch (error) {
      throw accepted === 0 ? error : withOutcome(error, 'unknown')
    }
  }
}

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

function perAnswer({ dimension }: CollectionPlace): number {
  return Math.max(1, Math.floor(MAX_ANSWER_BYTES / (RECORD_BYTES + NUMBER_BYTES * dimension)))
}

function idsOf(matches: readonly { readonly id: string }[]): string[] {
  return matches.map(({ id }) => id)
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** Records in as few upserts as their bytes allow. */
function requests(records: readonly SizedRecord[]): SizedRecord[][] {
  const parts: SizedRecord[][] = []
  let room = 0
  for (const record of records) {
    const last = parts.at(-1)
    if (last === undefined || record.bytes > room || last.length === MAX_RECORDS) {
      parts.push([record])
      room = MAX_REQUEST_BYTES - record.bytes
    } else {
      last.push(record)
      room -= record.bytes
    }
  }
  return parts
}

/** Results in the order of the items. After a failure nothing more is begun, and what was is waited for. */
async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const pending = items.entries()
  let failed = false
  const worker = async (): Promise<void> => {
    for (const [i, item] of pending) {
      if (failed) return
      try {
        results[i] = await work(item)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: Math.min(WIDTH, items.length) }, worker))
  const failure = workers.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  return results
}
