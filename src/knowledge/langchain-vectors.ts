/** A LangChain.js vector store as what it is used for: a place that finds nearest neighbours, and is believed in nothing else. */
import { HoldfastError, isHoldfastError, type ErrorCode, type Outcome } from '../errors.ts'
import { redact } from '../store/redact.ts'
import { typeName } from '../store/text.ts'

/** What a LangChain store is given of a document. Plain objects: its `Document` class is not needed. */
export interface LangChainDocument {
  readonly id?: string | undefined
  readonly pageContent: string
  readonly metadata: Record<string, unknown>
}

/** The methods of LangChain's `VectorStore` that are used. */
export interface LangChainVectorStore {
  addVectors(vectors: number[][], documents: LangChainDocument[], options?: { readonly ids: string[] }): Promise<unknown>
  similaritySearchVectorWithScore(query: number[], k: number): Promise<readonly (readonly [LangChainDocument, number])[]>
  /** Where it is not there, or not implemented, vectors of what was deleted stay in the store and are passed over. */
  delete?(params: { readonly ids: string[] }): Promise<unknown>
}

/** One vector to add. */
export interface NewVector {
  /** A UUID, because some stores take nothing else. The store may choose another. */
  readonly tag: string
  /** Of the document that it belongs to. */
  readonly documentId: string
  readonly embedding: Float32Array
  readonly pageContent: string
  readonly metadata: Readonly<Record<string, unknown>>
}

/** A vector that a search found. */
export interface Neighbour {
  readonly documentId: string
  /** The id that the vector was to have. */
  readonly tag: string
}

export interface Neighbours {
  /** Nearest first; some may be there twice, or stand for documents that have another vector by now, or do not exist any more. */
  readonly found: readonly Neighbour[]
  /** Vectors that the store gave, those of other collections included. */
  readonly count: number
}

/** The metadata field that says whose a vector is: the one thing that a store must give back as it was. */
const TAG = 'holdfast'
/** Of a UUID. */
const TAG_LENGTH = 36
/** A longer id is none that could be kept beside the document. */
const MAX_VECTOR_ID = 256

/** The vectors of one collection in a store, which may hold those of others too. */
export class Vectors {
  readonly #store: LangChainVectorStore
  readonly #mark: string

  /** `generation` is hexadecimal, and no other collection ever has it. */
  constructor(store: LangChainVectorStore, generation: string) {
    this.#store = store
    this.#mark = `d${generation}`
  }

  /** Gives the ids by which they can be deleted. Nothing that was added counts before its document is written. */
  async add(vectors: readonly NewVector[]): Promise<string[]> {
    const ids = vectors.map(({ tag }) => tag)
    const documents = vectors.map(({ tag, documentId, pageContent, metadata }) => {
      return { id: tag, pageContent, metadata: { ...metadata, [TAG]: this.#markOf(tag, documentId) } }
    })
    const embeddings = vectors.map(({ embedding }) => Array.from(embedding))
    const given = await called('addVectors', 'not-applied', () =>
      this.#store.addVectors(embeddings, documents, { ids: [...ids] }),
    )
    return isIdList(given, ids.length) ? given : ids
  }

  /** Those that are not there do not matter, also where the store minds. A store that cannot delete keeps all. */
  async delete(vectorIds: readonly string[]): Promise<void> {
    const ids = vectorIds.filter((id) => id !== '')
    if (ids.length === 0 || typeof this.#store.delete !== 'function') return
    try {
      await called('delete', 'unknown', () => this.#store.delete!({ ids }))
    } catch (error) {
      if (isHoldfastError(error, 'UNSUPPORTED')) return
      if (!isMissing(error)) throw error
      // Some stores delete nothing where one of the ids is not there.
      if (ids.length > 1) for (const id of ids) await this.delete([id])
    }
  }

  async nearest(query: Float32Array, k: number): Promise<Neighbours> {
    const found: unknown = await called('similaritySearchVectorWithScore', undefined, () =>
      this.#store.similaritySearchVectorWithScore(Array.from(query), k),
    )
    if (!Array.isArray(found)) {
      throw new HoldfastError('INVALID_BACKEND', `the vector store's search gave ${typeName(found)}, not an array`)
    }
    return { found: found.flatMap((hit) => this.#neighbour(hit)), count: found.length }
  }

  /** Letters and digits only, which every store gives back as they were. */
  #markOf(tag: string, documentId: string): string {
    return this.#mark + Buffer.from(`${tag}${documentId}`).toString('hex')
  }

  /** Nothing where the vector is none of this collection. */
  #neighbour(hit: unknown): Neighbour[] {
    const document: unknown = Array.isArray(hit) ? hit[0] : undefined
    const mark = isRecord(document) && isRecord(document['metadata']) ? document['metadata'][TAG] : undefined
    if (typeof mark !== 'string' || !mark.startsWith(this.#mark)) return []
    const text = Buffer.from(mark.slice(this.#mark.length), 'hex').toString()
    return [{ tag: text.slice(0, TAG_LENGTH), documentId: text.slice(TAG_LENGTH) }]
  }
}

/** Ids as LangChain's stores return them, where they do. */
function isIdList(given: unknown, length: number): given is string[] {
  const isId = (id: unknown): boolean => typeof id === 'string' && id !== '' && id.length <= MAX_VECTOR_ID
  return Array.isArray(given) && given.length === length && given.every(isId)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

async function called<T>(method: string, outcome: Outcome | undefined, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw toVectorError(error, method, outcome)
  }
}

/** What a vector store threw. Its errors are those of its engine's client, of which only the HTTP status is common. */
export function toVectorError(cause: unknown, method: string, outcome: Outcome | undefined): HoldfastError {
  if (isHoldfastError(cause)) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  return new HoldfastError(codeOf(cause, message), `the vector store's ${method} failed: ${redact(message)}`, { outcome, cause })
}

function codeOf(cause: unknown, message: string): ErrorCode {
  // The words of LangChain's own base class.
  if (/^not implemented\b/i.test(message)) return 'UNSUPPORTED'
  switch (statusOf(cause)) {
    case 401:
    case 403:
      return 'UNAUTHORIZED'
    case 429:
      return 'RATE_LIMITED'
    default:
      return 'UNAVAILABLE'
  }
}

function isMissing(error: unknown): boolean {
  const { message, cause } = error as HoldfastError
  return statusOf(cause) === 404 || /\b(not found|(does|do) not exist)\b/i.test(message)
}

function statusOf(cause: unknown): unknown {
  if (!isRecord(cause)) return undefined
  const { status, statusCode, code, response } = cause
  return [status, statusCode, code, isRecord(response) ? response['status'] : undefined].find(
    (value) => typeof value === 'number',
  )
}
