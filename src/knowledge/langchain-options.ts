/** The options of the `langchain` backend, and what is the caller's in them: vector stores and functions. */
import { HoldfastError } from '../errors.ts'
import { isPlainObject } from '../store/json.ts'
import type { OptionsSchema } from '../store/options.ts'
import { redact } from '../store/redact.ts'
import { decodeText, typeName } from '../store/text.ts'
import type { Distance, DocumentRecord, KnowledgeCapabilities } from './contract.ts'
import type { DocumentsStore } from './langchain-sidecar.ts'
import { toVectorError, type LangChainVectorStore, type NewVector } from './langchain-vectors.ts'
import { parseMetadata } from './records.ts'

/** A collection that a vector store is wanted for. */
export interface LangChainCollection {
  /** 32 hexadecimal digits: a name for an index that no other collection ever has, also after this one was deleted. */
  readonly id: string
  readonly workspace: string
  readonly name: string
  readonly dimension: number
  readonly distance: Distance
}

/** A document on its way to the vector store. */
export interface LangChainDraft {
  readonly id: string
  readonly content: string
  readonly metadata: object
}

export interface LangChainKnowledgeOptions {
  /**
   * A vector store for every collection, which then have one dimension and one distance, or what gives one for a collection: the same for the
   * same `id`. It stays the caller's to close.
   */
  readonly store:
    | LangChainVectorStore
    | ((collection: LangChainCollection) => LangChainVectorStore | Promise<LangChainVectorStore>)
  /** A state store, which keeps collections and documents; it stays the caller's to close, after this one. */
  readonly documents: DocumentsStore
  /**
   * What the vector store is told of a document besides its vector, for other users of it. Metadata must be what that store takes. Default:
   * no text and no metadata.
   */
  readonly toDocument?:
    | ((document: LangChainDraft) => { readonly pageContent: string; readonly metadata?: Readonly<Record<string, unknown>> })
    | undefined
  /** Removes the index of a deleted collection; it may be called again for the same. Default: its vectors are deleted one by one. */
  readonly drop?: ((collection: LangChainCollection) => Promise<void> | void) | undefined
  /** When a vector that was added can be found in the vector store. Default `eventual`, which promises nothing. */
  readonly visibility?: KnowledgeCapabilities['visibility'] | undefined
  /** Neighbours that the vector store is asked for at most, because many refuse more. Default 1,000. */
  readonly maxCandidates?: number | undefined
  /** Tells several knowledge stores with one `documents` apart: up to 64 letters, digits, `_` and `-`. Default `''`. */
  readonly prefix?: string | undefined
}

export const LANGCHAIN_OPTIONS: OptionsSchema<LangChainKnowledgeOptions> = {
  store: {
    type: 'any',
    description: 'a LangChain.js VectorStore, or a function that gives one for a collection',
    required: true,
    check: storeProblem,
  },
  documents: {
    type: 'object',
    description: 'a state store, which keeps collections and documents',
    required: true,
    check: documentsProblem,
  },
  toDocument: {
    type: 'function',
    description: 'what the vector store is told of a document; default nothing but its vector',
  },
  drop: { type: 'function', description: 'removes the index of a deleted collection; default: its vectors are deleted' },
  visibility: {
    type: 'string',
    description: 'when a vector that was added can be found',
    choices: ['immediate', 'waited', 'eventual'],
    default: 'eventual',
  },
  maxCandidates: {
    type: 'integer',
    description: 'neighbours that the vector store is asked for at most',
    min: 1,
    max: 1_000_000,
    default: 1_000,
  },
  prefix: {
    type: 'string',
    description: 'tells several knowledge stores with one `documents` apart; default none',
    check: prefixProblem,
  },
}

/** Smaller values would not hold the embeddings in use. */
const MIN_VALUE_BYTES = 64 * 1024

/** Also called with what is no store at all. */
function storeProblem(store: unknown): string | undefined {
  if (typeof store === 'function') return undefined
  const isObject = typeof store === 'object' && store !== null
  const lacking = ['addVectors', 'similaritySearchVectorWithScore'].filter(
    (name) => !isObject || typeof Reflect.get(store, name) !== 'function',
  )
  return lacking.length === 0 ? undefined : `is no LangChain vector store: it has no ${lacking.join(', ')}`
}

function documentsProblem(documents: Partial<DocumentsStore>): string | undefined {
  if (documents.kind !== 'state' || documents.core === undefined) return `must be a state store, not ${typeName(documents)}`
  if (documents.workspaceId !== '') return 'must be the whole store, not the view of one workspace'
  const { valueBytes = Infinity } = documents.core.backend.limits ?? {}
  return valueBytes < MIN_VALUE_BYTES ? `takes values of ${valueBytes} bytes, and ${MIN_VALUE_BYTES} are needed` : undefined
}

function prefixProblem(prefix: string): string | undefined {
  return /^[\w-]{0,64}$/.test(prefix) ? undefined : 'must be up to 64 letters, digits, "_" and "-"'
}

/** The store that serves a collection. */
export async function storeFor(
  store: LangChainKnowledgeOptions['store'],
  collection: LangChainCollection,
): Promise<LangChainVectorStore> {
  if (typeof store !== 'function') return store
  const made = await guarded('store', () => store(collection))
  const problem = typeof made === 'function' ? 'is a function' : storeProblem(made)
  if (problem !== undefined) throw broken(`what the option \`store\` gave ${problem}`)
  return made
}

/** Runs a function of the caller's that talks to the vector store's engine. */
export async function guarded<T>(option: 'store' | 'drop', work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toVectorError(error, `option \`${option}\``, option === 'drop' ? 'unknown' : 'not-applied')
  }
}

/** Not empty, which some stores refuse. */
const SILENCE = { pageContent: 'holdfast', metadata: {} }

/** What a vector store is told of a document besides its vector. */
export function described(
  toDocument: LangChainKnowledgeOptions['toDocument'],
  record: DocumentRecord,
): Pick<NewVector, 'pageContent' | 'metadata'> {
  if (toDocument === undefined) return SILENCE
  const content = decodeText(record.content, record.escaped)
  try {
    const { pageContent, metadata = {} } = toDocument({ id: record.id, content, metadata: parseMetadata(record) })
    if (typeof pageContent === 'string' && isPlainObject(metadata)) return { pageContent, metadata }
  } catch (cause) {
    throw broken(`toDocument failed: ${redact(cause instanceof Error ? cause.message : String(cause))}`, cause)
  }
  throw broken('toDocument must return { pageContent: string, metadata?: object }')
}

function broken(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', message, { outcome: 'not-applied', cause })
}
