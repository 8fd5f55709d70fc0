/** Search over both places: the vector store proposes neighbours, the sidecar says which of them exist, match, and how near they are. */
import type { BackendCall } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { HitRecord, SearchRecordQuery } from './contract.ts'
import { accepting, type Accepts } from './langchain-documents.ts'
import type { Shelf } from './langchain-shelf.ts'
import type { Neighbour, Neighbours } from './langchain-vectors.ts'
import { score } from './score.ts'

/** A filter lets fewer through than there are neighbours, so more are asked for. */
const FIRST_WITH_FILTER = 4
/** Where too few of the neighbours count, this many times as many are asked for. */
const GROWTH = 4

/**
 * Exactly min(limit, matches): more and more neighbours are asked for, up to `maxCandidates`, and where those are not enough, every
 * document that the vector store did not come up with is looked at in the sidecar.
 */
export async function searchDocuments(
  shelf: Shelf,
  query: SearchRecordQuery,
  maxCandidates: number,
  call: BackendCall | undefined,
): Promise<HitRecord[]> {
  const { limit, filter } = query
  const pool = new Pool(shelf, query, call)
  const first = filter === undefined ? limit : FIRST_WITH_FILTER * limit
  for (let k = Math.min(first, maxCandidates); ; k = Math.min(GROWTH * k, maxCandidates)) {
    const { found, count } = await neighbours(shelf, query.embedding, k, call)
    await pool.lookAt(found)
    if (pool.isFull) return pool.best()
    if (count < k || k === maxCandidates) break
    call?.signal?.throwIfAborted()
  }
  await pool.lookAtRest()
  return pool.best()
}

/** Some stores cannot be searched before they hold something; that is no failure of a collection without documents. */
async function neighbours(shelf: Shelf, query: Float32Array, k: number, call: BackendCall | undefined): Promise<Neighbours> {
  try {
    return await shelf.vectors.nearest(query, k)
  } catch (error) {
    const first = await shelf.ids(call).next()
    if (first.done === true) return { found: [], count: 0 }
    throw error
  }
}

type Scored = HitRecord & { readonly score: number }

/** The best of the documents that were looked at. */
class Pool {
  readonly #shelf: Shelf
  readonly #query: SearchRecordQuery
  readonly #accepts: Accepts | undefined
  readonly #call: BackendCall | undefined
  /** Every document that was asked for, by id: the tag of its vector, where it exists and matches. */
  readonly #tags = new Map<string, string | undefined>()
  /** Those found by the vector that they have now. By a former one a document is found in a wrong place, and a better one may be missed. */
  readonly #proper = new Set<string>()
  #hits: Scored[] = []

  constructor(shelf: Shelf, query: SearchRecordQuery, call: BackendCall | undefined) {
    this.#shelf = shelf
    this.#query = query
    this.#accepts = query.filter && accepting(query.filter)
    this.#call = call
  }

  get isFull(): boolean {
    return this.#proper.size >= this.#query.limit
  }

  /** Each document counts once, however often it is proposed. */
  async lookAt(neighbours: readonly Neighbour[]): Promise<void> {
    await this.#read(neighbours.map(({ documentId }) => documentId))
    for (const { documentId, tag } of neighbours) if (this.#tags.get(documentId) === tag) this.#proper.add(documentId)
  }

  async lookAtRest(): Promise<void> {
    for await (const ids of this.#shelf.ids(this.#call)) {
      await this.#read(ids)
      this.#call?.signal?.throwIfAborted()
    }
  }

  best(): HitRecord[] {
    const { withEmbeddings } = this.#query
    return this.#hits.map((hit) => (withEmbeddings ? hit : { ...hit, embedding: undefined }))
  }

  async #read(ids: readonly string[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#tags.has(id))
    if (unknown.length === 0) return
    for (const id of unknown) this.#tags.set(id, undefined)
    const documents = await this.#shelf.read(unknown, this.#call)
    const matching = documents.filter(({ record }) => this.#accepts?.(record) ?? true)
    for (const { record, tag } of matching) this.#tags.set(record.id, tag)
    const { embedding: query, limit } = this.#query
    const { distance } = this.#shelf.located.record
    const hits = matching.map(({ record }) => ({ ...record, score: score(distance, query, record.embedding!) }))
    this.#hits = this.#hits.concat(hits).toSorted(byScore).slice(0, limit)
  }
}

function byScore(a: Scored, b: Scored): number {
  return b.score - a.score || compareBytes(a.id, b.id)
}
