/**
 * Documents in both places. The sidecar decides what exists: a vector is added before its document is written, and removed after its document
 * is gone. So whatever is interrupted, every document has its vector, and a vector without a document is passed over.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import type { DocumentRecord, ListRecordQuery } from './contract.ts'
import { documentTaken } from './faults.ts'
import { toPredicate, type FilterNode } from './filter.ts'
import type { KeptDocument } from './langchain-codec.ts'
import { checkAlive, settleNote, tagOf, type Note } from './langchain-notes.ts'
import type { Present, Shelf } from './langchain-shelf.ts'
import { inBatches } from './langchain-sidecar.ts'
import { parseMetadata } from './records.ts'

/** Writers that contend this long for one document are told so rather than left hanging. */
const MAX_ATTEMPTS = 100
const MAX_BACKOFF_MS = 200

export type Accepts = (record: DocumentRecord) => boolean

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export async function writeDocuments(
  shelf: Shelf,
  documents: readonly DocumentRecord[],
  mode: 'insert' | 'upsert',
  call: BackendCall | undefined,
): Promise<void> {
  const write = new Write(shelf, documents, call)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (await write.attempt(mode)) return
    await backOff(attempt, call)
  }
  throw contended(documents.map(({ id }) => id))
}

/** One write of documents over all its attempts. */
class Write {
  readonly #shelf: Shelf
  readonly #documents: readonly DocumentRecord[]
  readonly #ids: readonly string[]
  readonly #call: BackendCall | undefined
  readonly #name = randomUUID()
  #note: Note
  #kept: readonly KeptDocument[] | undefined
  /** Something was written. */
  #begun = false

  constructor(shelf: Shelf, documents: readonly DocumentRecord[], call: BackendCall | undefined) {
    this.#shelf = shelf
    this.#documents = documents
    this.#ids = documents.map(({ id }) => id)
    this.#call = call
    this.#note = { at: Date.now(), add: this.#ids, remove: [] }
  }

  /** False where another writer came in between. */
  async attempt(mode: 'insert' | 'upsert'): Promise<boolean> {
    try {
      const found = await this.#shelf.present(this.#ids, this.#call)
      const taken = mode === 'insert' ? this.#ids.find((id) => found.has(id) && !this.#isOwn(id, found)) : undefined
      if (taken !== undefined) throw await this.#refused(taken)
      await this.#prepare(found)
      if (!(await this.#commit(found))) return false
    } catch (error) {
      throw this.#begun ? withOutcome(error, 'unknown') : error
    }
    await this.#finish()
    return true
  }

  /** Notes what is to come, and adds the vectors. */
  async #prepare(found: ReadonlyMap<string, Present>): Promise<void> {
    const own = new Set(this.#kept?.map(({ vectorId }) => vectorId))
    const replaced = Array.from(found, ([id, { vectorId }]) => [vectorId, id] as const).filter(([vectorId]) => !own.has(vectorId))
    if (this.#kept === undefined || replaced.length > 0) {
      this.#note = { ...this.#note, remove: [...this.#note.remove, ...replaced] }
      await this.#shelf.note(this.#name, JSON.stringify(this.#note), this.#call)
    }
    this.#kept ??= await this.#addVectors()
    this.#call?.signal?.throwIfAborted()
    checkAlive(this.#note)
  }

  async #addVectors(): Promise<KeptDocument[]> {
    const { vectors, describe } = this.#shelf
    const given = await vectors.add(
      this.#documents.map((record, i) => {
        return { ...describe(record), tag: tagOf(this.#name, i), documentId: record.id, embedding: record.embedding! }
      }),
    )
    return this.#documents.map((record, i) => ({ record, tag: tagOf(this.#name, i), vectorId: given[i]! }))
  }

  async #commit(found: ReadonlyMap<string, Present>): Promise<boolean> {
    const pending = this.#kept!.filter(({ record }) => !this.#isOwn(record.id, found))
    for (const batch of inBatches(pending, this.#shelf.commitKeys)) {
      if (!(await this.#shelf.replace(batch, found, this.#call))) return false
      this.#begun = true
    }
    return true
  }

  /** The documents are written; whoever reads does not see what is left to do. */
  async #finish(): Promise<void> {
    try {
      await this.#shelf.vectors.delete(this.#note.remove.map(([vectorId]) => vectorId))
      await this.#shelf.forget(this.#name, this.#call)
    } catch (error) {
      throw withOutcome(error, 'unknown')
    }
  }

  /** An insert that came too late removes its vectors at once; where it cannot, its note is there. */
  async #refused(id: string): Promise<HoldfastError> {
    if (this.#kept !== undefined) await settleNote(this.#shelf, this.#name, this.#note, true, this.#call).catch(() => undefined)
    return documentTaken(this.#shelf.located.record.name, id)
  }

  #isOwn(id: string, found: ReadonlyMap<string, Present>): boolean {
    const vectorId = found.get(id)?.vectorId
    return vectorId !== undefined && this.#kept?.some((kept) => kept.vectorId === vectorId) === true
  }
}

// ── Deleting ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** How many of the ids were there and are deleted; with a filter, those only that match. */
export async function deleteDocuments(
  shelf: Shelf,
  ids: readonly string[],
  filter: FilterNode | undefined,
  call: BackendCall | undefined,
): Promise<number> {
  const accepts = filter && accepting(filter)
  let count = 0
  for (const batch of inBatches(ids, shelf.commitKeys)) {
    try {
      count += await deleteBatch(shelf, batch, accepts, call)
    } catch (error) {
      throw count === 0 ? error : withOutcome(error, 'unknown')
    }
  }
  return count
}

/** Every document that matches when its turn comes. */
export async function deleteMatching(shelf: Shelf, filter: FilterNode, call: BackendCall | undefined): Promise<number> {
  let count = 0
  for await (const ids of shelf.ids(call)) {
    try {
      count += await deleteDocuments(shelf, ids, filter, call)
    } catch (error) {
      throw count === 0 ? error : withOutcome(error, 'unknown')
    }
  }
  return count
}

async function deleteBatch(
  shelf: Shelf,
  ids: readonly string[],
  accepts: Accepts | undefined,
  call: BackendCall | undefined,
): Promise<number> {
  const name = randomUUID()
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const found = await toDelete(shelf, ids, accepts, call)
    if (found.length === 0 && attempt === 0) return 0
    const remove = found.map(([id, { vectorId }]) => [vectorId, id] as const)
    if (remove.length > 0) await shelf.note(name, JSON.stringify({ at: Date.now(), add: [], remove } satisfies Note), call)
    if (remove.length === 0 || (await shelf.remove(found, call))) {
      await forgetVectors(shelf, name, remove, call)
      return found.length
    }
    await backOff(attempt, call)
  }
  throw contended(ids)
}

async function forgetVectors(shelf: Shelf, name: string, removed: Note['remove'], call: BackendCall | undefined): Promise<void> {
  try {
    await shelf.vectors.delete(removed.map(([vectorId]) => vectorId))
    await shelf.forget(name, call)
  } catch (error) {
    throw withOutcome(error, 'unknown')
  }
}

async function toDelete(
  shelf: Shelf,
  ids: readonly string[],
  accepts: Accepts | undefined,
  call: BackendCall | undefined,
): Promise<(readonly [string, Present])[]> {
  if (accepts === undefined) return [...(await shelf.present(ids, call))]
  const documents = await shelf.read(ids, call)
  return documents.filter(({ record }) => accepts(record)).map((document) => [document.record.id, document] as const)
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export function accepting(filter: FilterNode): Accepts {
  const holds = toPredicate(filter)
  return (record) => holds(parseMetadata(record))
}

export async function countDocuments(
  shelf: Shelf,
  filter: FilterNode | undefined,
  call: BackendCall | undefined,
): Promise<number> {
  const accepts = filter && accepting(filter)
  let count = 0
  for await (const ids of shelf.ids(call)) {
    if (accepts === undefined) count += ids.length
    else count += (await shelf.read(ids, call)).filter(({ record }) => accepts(record)).length
  }
  return count
}

export async function listDocuments(
  shelf: Shelf,
  { filter, limit, after, withEmbeddings }: ListRecordQuery,
  call: BackendCall | undefined,
): Promise<DocumentRecord[]> {
  const accepts = filter && accepting(filter)
  const found: DocumentRecord[] = []
  for await (const ids of shelf.ids(call, after)) {
    const documents = await shelf.read(accepts === undefined ? ids.slice(0, limit - found.length) : ids, call)
    const records = documents.map(({ record }) => record).filter((record) => accepts?.(record) ?? true)
    found.push(...records.map((record) => (withEmbeddings ? record : { ...record, embedding: undefined })))
    if (found.length >= limit) return found.slice(0, limit)
    call?.signal?.throwIfAborted()
  }
  return found
}

function contended(ids: readonly string[]): HoldfastError {
  const message = `documents such as ${JSON.stringify(ids[0])} were changed by others at each of ${MAX_ATTEMPTS} attempts`
  return new HoldfastError('CONFLICT', message, { outcome: 'unknown' })
}

/** Full jitter: writers that collided must not come back together. */
async function backOff(attempt: number, call: BackendCall | undefined): Promise<void> {
  await sleep(Math.random() * Math.min(MAX_BACKOFF_MS, 2 ** attempt))
  call?.signal?.throwIfAborted()
}
