/** The knowledge contract: what callers of a store see, and what a backend implements. */
import type {
  BackendBase,
  BackendCall,
  JsonObject,
  JsonObjectInput,
  StoreOptions,
  WorkspaceRecordQuery,
} from '../store/contract.ts'
import type { FilterNode } from './filter.ts'

// ── What callers see ────────────────────────────────────────────────────────────────────────────────────────────────

export type Distance = 'cosine' | 'euclidean' | 'dot'
export type FieldType = 'string' | 'number' | 'boolean'
export type Embedding = readonly number[] | Float32Array

export interface CollectionOptions {
  /** Numbers in every embedding, from 1. */
  readonly dimension: number
  /** Default `cosine`. */
  readonly distance?: Distance | undefined
  /**
   * Metadata fields to filter by, for engines that must know them (`capabilities.filter.declared`). Their values are checked on write: of
   * this type, null, or left out.
   */
  readonly fields?: Readonly<Record<string, FieldType>> | undefined
}

export interface Collection {
  name: string
  dimension: number
  distance: Distance
  fields: Record<string, FieldType>
}

export interface Document {
  id: string
  content: string
  /** 32-bit floats, as written (not normalised). Left out where the call did not ask for it. */
  embedding?: Float32Array
  metadata: JsonObject
  /** The first 16 hex digits of the SHA-256 of the content's UTF-8. */
  contentHash: string
  createdAt: Date
}

/** A document with its score: cosine similarity, dot product, or 1 / (1 + euclidean distance), on every engine, within 1e-3. */
export interface Hit extends Document {
  score: number
}

export interface NewDocument {
  /** Default: a new UUID. The same id twice in one call is `INVALID_ARGUMENT`. */
  readonly id?: string | undefined
  readonly content: string
  /** May be left out where the store has `embed`. */
  readonly embedding?: Embedding | undefined
  readonly metadata?: JsonObjectInput | undefined
  /** Default: now. */
  readonly createdAt?: Date | undefined
}

/**
 * `{ field: value }` and `$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not`; see `filter.ts`. Strings are ordered by code points; `$in` is
 * any of several `$eq`. `{}` matches all, also in `delete`; empty `$and` and `$or` are refused.
 */
export type Filter = Readonly<Record<string, unknown>>

export type SearchQuery = {
  /** Default 5, 1–10,000. Exactly min(limit, matches) hits come back. */
  readonly limit?: number | undefined
  readonly filter?: Filter | undefined
  /** Only hits whose score is at least this. */
  readonly minScore?: number | undefined
  /** Default false. */
  readonly withEmbeddings?: boolean | undefined
} & (
  | { readonly embedding: Embedding; readonly text?: undefined }
  /** Needs `embed` in the store's options. */
  | { readonly text: string; readonly embedding?: undefined }
)

export interface DocumentQuery {
  readonly filter?: Filter | undefined
  /** 1–1,000, default 100. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  /** Default false. */
  readonly withEmbeddings?: boolean | undefined
}

/** Which documents to delete: exactly one of the two. */
export type DeleteSelection =
  | { readonly ids: readonly string[]; readonly filter?: undefined }
  | { readonly filter: Filter; readonly ids?: undefined }

/** Texts in, one embedding each, in their order. */
export type Embed = (texts: readonly string[]) => Promise<readonly Embedding[]> | readonly Embedding[]

export interface KnowledgeStoreOptions extends StoreOptions {
  /** Makes embeddings of documents and queries that come without one. */
  readonly embed?: Embed | undefined
}

export interface FilterCapabilities {
  /** `$exists`. */
  readonly exists: boolean
  /** `null` as a value of `$eq`, `$ne`, `$in`, `$nin`. */
  readonly null: boolean
  /** A field that holds an array matches when one of its elements does. */
  readonly arrays: boolean
  /** `a.b` reaches into objects. */
  readonly nested: boolean
  /** Only fields declared in `createCollection` can be filtered by. */
  readonly declared: boolean
}

export interface KnowledgeCapabilities {
  readonly filter: FilterCapabilities
  /** `atomic`: a batch is inserted whole or not at all. `checked`: the ids are looked up first, which may race, and an outage may leave part. */
  readonly insert: 'atomic' | 'checked'
  readonly get: boolean
  readonly list: boolean
  readonly count: boolean
  readonly deleteByFilter: boolean
  /** When a write is searchable: when it resolves (`waited`: because it waits), or some time later (`eventual`). */
  readonly visibility: 'immediate' | 'waited' | 'eventual'
}

// ── What a backend implements ───────────────────────────────────────────────────────────────────────────────────────
// Arguments are checked; every string is well-formed and free of U+0000; JSON is text that must come back byte for byte.

export interface CollectionRecord {
  readonly name: string
  readonly dimension: number
  readonly distance: Distance
  readonly fields: Readonly<Record<string, FieldType>>
}

export interface DocumentRecord {
  readonly id: string
  /** The content, or, where `escaped`, a JSON string literal of it. */
  readonly content: string
  readonly escaped: boolean
  /** JSON object text. */
  readonly metadata: string
  readonly contentHash: string
  readonly createdAt: number
  /** Present in every write; in answers only where asked for. */
  readonly embedding?: Float32Array | undefined
}

export interface HitRecord extends DocumentRecord {
  /** The contract's score. Left out where the engine gives none that is exact to 1e-3: then `embedding` is there, and the store scores. */
  readonly score?: number | undefined
}

export interface SearchRecordQuery {
  readonly embedding: Float32Array
  readonly limit: number
  readonly filter?: FilterNode | undefined
  readonly withEmbeddings: boolean
}

export interface ListRecordQuery {
  readonly filter?: FilterNode | undefined
  readonly limit: number
  /** Continue behind this id, bytewise. */
  readonly after?: string | undefined
  readonly withEmbeddings: boolean
}

export interface KnowledgeBackend extends BackendBase {
  readonly capabilities: KnowledgeCapabilities
  /** Creates, or does nothing where it exists with the same settings; with other settings: `CONFLICT`. */
  createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void>
  describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined>
  /** In bytewise order of their names. */
  listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]>
  /** False where there was none. */
  deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean>
  /**
   * `insert`: an id that exists is a `CONFLICT`. `upsert`: it is replaced whole. Unknown collection here and below: `NOT_FOUND`. What an
   * engine cannot hold although the contract allows it is refused before anything is written: numbers beyond its range
   * (`INVALID_ARGUMENT`), a zero vector under euclidean or dot (`UNSUPPORTED`).
   */
  write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void>
  /** Those that exist, in any order. Where `capabilities.get`. */
  get?(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]>
  /** How many were deleted. The filter only where `capabilities.deleteByFilter`. */
  delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number>
  /** Where `capabilities.count`. */
  count?(workspace: string, collection: CollectionRecord, filter: FilterNode | undefined, call?: BackendCall): Promise<number>
  /** In bytewise order of ids. Where `capabilities.list`. */
  list?(workspace: string, collection: CollectionRecord, query: ListRecordQuery, call?: BackendCall): Promise<DocumentRecord[]>
  /** The best `limit` of those that match the filter, best first: exactly min(limit, matches). */
  search(workspace: string, collection: CollectionRecord, query: SearchRecordQuery, call?: BackendCall): Promise<HitRecord[]>
  /** The workspaces that hold a collection, once each, in bytewise order. A backend that would have to read everything for it leaves it out. */
  listWorkspaces?(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]>
}
