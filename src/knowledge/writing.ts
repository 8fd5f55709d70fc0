/** What makes writes safe to repeat, and honest about what they did. */
import { HoldfastError, isHoldfastError, outcomeOf } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { CallMode } from '../store/core.ts'
import type { CollectionRecord, DocumentRecord, KnowledgeBackend } from './contract.ts'
import { isSameDocument } from './records.ts'

/** The records with these ids that exist, by id, read in batches. */
export async function readRecords(
  backend: KnowledgeBackend,
  workspace: string,
  collection: CollectionRecord,
  ids: readonly string[],
  withEmbeddings: boolean,
  batchSize: number,
  call: BackendCall,
): Promise<Map<string, DocumentRecord>> {
  const distinct = [...new Set(ids)]
  const found = new Map<string, DocumentRecord>()
  for (let from = 0; from < distinct.length; from += batchSize) {
    const batch = distinct.slice(from, from + batchSize)
    for (const record of (await backend.get?.(workspace, collection, batch, withEmbeddings, call)) ?? [])
      found.set(record.id, record)
  }
  return found
}

/** An error after some batches were done: the call as a whole was not "not applied". */
export function partly(error: unknown, done: number): unknown {
  if (!isHoldfastError(error) || error.outcome !== 'not-applied') return error
  const { code, kind, backend, cause } = error
  return new HoldfastError(code, `${error.message} (the first ${done} were done)`, { kind, backend, outcome: 'unknown', cause })
}

/**
 * One insert over all its attempts. Where what is stored can be read back, a lost answer can be told from a conflict: a later attempt
 * that meets its own documents has succeeded.
 */
export class RepeatableInsert {
  readonly mode: CallMode
  readonly #backend: KnowledgeBackend
  readonly #workspace: string
  readonly #batchSize: number
  /** An attempt failed without saying that nothing was written. */
  #uncertain = false
  #begun = false

  constructor(backend: KnowledgeBackend, workspace: string, batchSize: number) {
    this.#backend = backend
    this.#workspace = workspace
    this.#batchSize = batchSize
    this.mode = backend.capabilities.get ? 'idempotent' : 'write'
  }

  /** Writes one batch of the documents, whose ids are all given. */
  async send(
    batch: readonly DocumentRecord[],
    all: readonly string[],
    collection: CollectionRecord,
    call: BackendCall,
  ): Promise<void> {
    if (!this.#begun && batch.length < all.length) await this.#refuseTaken(all, collection, call)
    this.#begun = true
    try {
      await this.#write(batch, collection, call)
    } catch (error) {
      if (!this.#uncertain || !isHoldfastError(error, 'CONFLICT')) {
        this.#uncertain ||= isUncertain(error)
        throw error
      }
      await this.#finish(batch, error, collection, call)
    }
    this.#uncertain = false
  }

  /** An id that exists in a later batch must not leave the earlier ones behind. */
  async #refuseTaken(all: readonly string[], collection: CollectionRecord, call: BackendCall): Promise<void> {
    const [taken] = await this.#stored(all, false, collection, call)
    if (taken === undefined) return
    const message = `the id ${JSON.stringify(taken[0])} exists in the collection ${JSON.stringify(collection.name)}`
    throw new HoldfastError('CONFLICT', message, { outcome: 'not-applied' })
  }

  async #finish(
    batch: readonly DocumentRecord[],
    conflict: HoldfastError,
    collection: CollectionRecord,
    call: BackendCall,
  ): Promise<void> {
    const ids = batch.map(({ id }) => id)
    const stored = await this.#stored(ids, true, collection, call)
    const missing = batch.filter(({ id }) => !stored.has(id))
    const isForeign = batch.some((sent) => stored.has(sent.id) && !isSameDocument(stored.get(sent.id)!, sent))
    const isPart = missing.length > 0
    if (isForeign || (isPart && this.#backend.capabilities.insert === 'atomic')) throw conflict
    if (isPart) await this.#write(missing, collection, call)
  }

  #write(batch: readonly DocumentRecord[], collection: CollectionRecord, call: BackendCall): Promise<void> {
    return this.#backend.write(this.#workspace, collection, batch, 'insert', call)
  }

  #stored(
    ids: readonly string[],
    withEmbeddings: boolean,
    collection: CollectionRecord,
    call: BackendCall,
  ): Promise<Map<string, DocumentRecord>> {
    return readRecords(this.#backend, this.#workspace, collection, ids, withEmbeddings, this.#batchSize, call)
  }
}

function isUncertain(error: unknown): boolean {
  if (!isHoldfastError(error)) return true
  return (error.outcome ?? outcomeOf(error.code)) === 'unknown'
}
