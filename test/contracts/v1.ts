/** The contracts of version 1, as they were frozen: their types, without their words. Never edited by hand. */
type Kind = 'conversation' | 'knowledge' | 'state'
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}
export type JsonObjectInput = Readonly<Record<string, unknown>>
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
}
export interface BackendCall {
  readonly signal?: AbortSignal | undefined
}
export interface Page<T> {
  items: T[]
  cursor?: string
}
export interface Limits {
  readonly contentBytes?: number
  readonly jsonBytes?: number
  readonly valueBytes?: number
  readonly dimension?: number
  readonly commitBytes?: number
  readonly batch?: number
}
export interface BackendBase {
  readonly limits?: Limits
  readonly encrypted?: boolean
  readonly abortAnswerMs?: number
  ping(call?: BackendCall): Promise<void>
  close(): Promise<void>
  backup?(directory: string, call?: BackendCall): Promise<string[]>
}
export interface WorkspaceRecordQuery {
  readonly after?: string | undefined
  readonly limit: number
}
export interface WorkspaceQuery {
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}
export interface StoreOptions {
  readonly workspace?: string | undefined
  readonly timeoutMs?: number | undefined
  readonly retries?: number | undefined
}
export interface StoreBase extends AsyncDisposable {
  readonly kind: Kind
  readonly backend: string
  readonly limits: Limits
  listWorkspaces(query?: WorkspaceQuery & CallOptions): Promise<Page<string>>
  ping(options?: CallOptions): Promise<void>
  close(): Promise<void>
}

export type FilterScalar = string | number | boolean | null
export type FilterNode =
  | {
      readonly op: 'and' | 'or'
      readonly nodes: readonly FilterNode[]
    }
  | {
      readonly op: 'not'
      readonly node: FilterNode
    }
  | {
      readonly op: 'eq' | 'ne'
      readonly path: readonly string[]
      readonly value: FilterScalar
    }
  | {
      readonly op: 'gt' | 'gte' | 'lt' | 'lte'
      readonly path: readonly string[]
      readonly value: string | number
    }
  | {
      readonly op: 'in' | 'nin'
      readonly path: readonly string[]
      readonly values: readonly FilterScalar[]
    }
  | {
      readonly op: 'exists'
      readonly path: readonly string[]
      readonly exists: boolean
    }
export type Predicate = (metadata: object) => boolean

export interface Session {
  id: string
  userId?: string
  agentId?: string
  name?: string
  state: JsonObject
  metadata: JsonObject
  lastSeq: number
  version: number
  createdAt: Date
  updatedAt: Date
}
export type Role = 'system' | 'user' | 'assistant' | 'tool' | (string & {})
export interface Message {
  id: string
  sessionId: string
  seq: number
  role: Role
  content: string | null
  parts?: JsonValue[]
  toolCalls?: JsonValue[]
  toolCallId?: string
  metadata?: JsonObject
  createdAt: Date
}
export interface NewSession {
  readonly id?: string | undefined
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  readonly name?: string | undefined
  readonly state?: JsonObjectInput | undefined
  readonly metadata?: JsonObjectInput | undefined
}
export interface SessionPatch {
  readonly userId?: string | null | undefined
  readonly agentId?: string | null | undefined
  readonly name?: string | null | undefined
  readonly state?: JsonObjectInput | undefined
  readonly metadata?: JsonObjectInput | undefined
}
export interface NewMessage {
  readonly id?: string | undefined
  readonly role: Role
  readonly content?: string | null | undefined
  readonly parts?: readonly unknown[] | undefined
  readonly toolCalls?: readonly unknown[] | undefined
  readonly toolCallId?: string | undefined
  readonly metadata?: JsonObjectInput | undefined
  readonly createdAt?: Date | undefined
}
export interface MessagePatch {
  readonly role?: Role | undefined
  readonly content?: string | null | undefined
  readonly parts?: readonly unknown[] | null | undefined
  readonly toolCalls?: readonly unknown[] | null | undefined
  readonly toolCallId?: string | null | undefined
  readonly metadata?: JsonObjectInput | null | undefined
}
export interface SessionQuery {
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>> | undefined
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  readonly order?: 'asc' | 'desc' | undefined
}
export interface MessageQuery {
  readonly limit?: number | undefined
  readonly before?: number | undefined
  readonly after?: number | undefined
  readonly order?: 'asc' | 'desc' | undefined
}
export interface MessageSearch {
  readonly text: string
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  readonly limit?: number | undefined
}
export interface ConversationCapabilities {
  readonly search: boolean
}
export interface SessionRecord {
  readonly id: string
  readonly userId: string | null
  readonly agentId: string | null
  readonly name: string | null
  readonly state: string
  readonly metadata: string
  readonly lastSeq: number
  readonly version: number
  readonly createdAt: number
  readonly updatedAt: number
}
export interface MessageRecord {
  readonly id: string
  readonly seq: number
  readonly role: string
  readonly content: string | null
  readonly escaped: boolean
  readonly parts: string | null
  readonly toolCalls: string | null
  readonly toolCallId: string | null
  readonly metadata: string | null
  readonly createdAt: number
}
export interface SessionRecordPatch {
  readonly userId?: string | null
  readonly agentId?: string | null
  readonly name?: string | null
  readonly state?: string
  readonly metadata?: string
}
export interface MessageRecordPatch {
  readonly role?: string
  readonly content?: string | null
  readonly escaped?: boolean
  readonly parts?: string | null
  readonly toolCalls?: string | null
  readonly toolCallId?: string | null
  readonly metadata?: string | null
}
export interface SessionRecordQuery {
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>> | undefined
  readonly order: 'asc' | 'desc'
  readonly limit: number
  readonly after?:
    | {
        readonly updatedAt: number
        readonly id: string
      }
    | undefined
}
export interface MessageRecordQuery {
  readonly after?: number | undefined
  readonly before?: number | undefined
  readonly order: 'asc' | 'desc'
  readonly limit?: number | undefined
  readonly ids?: readonly string[] | undefined
}
export interface MessageSelection {
  readonly ids?: readonly string[]
  readonly afterSeq?: number
}
export interface MessageRecordSearch {
  readonly terms: readonly string[]
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  readonly limit: number
}
export interface ConversationBackend extends BackendBase {
  readonly capabilities: ConversationCapabilities
  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void>
  getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined>
  patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    options: {
      readonly now: number
      readonly ifVersion?: number | undefined
    },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined>
  deleteSession(
    workspace: string,
    id: string,
    options: {
      readonly updatedBefore?: number | undefined
    },
    call?: BackendCall,
  ): Promise<number | undefined>
  listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]>
  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: {
      readonly now: number
      readonly expectedSeq?: number | undefined
    },
    call?: BackendCall,
  ): Promise<number>
  readMessages(workspace: string, sessionId: string, query: MessageRecordQuery, call?: BackendCall): Promise<MessageRecord[]>
  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    options: {
      readonly now: number
    },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined>
  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: {
      readonly now: number
    },
    call?: BackendCall,
  ): Promise<number>
  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void>
  listWorkspaces?(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]>
  search?(
    workspace: string,
    search: MessageRecordSearch,
    call?: BackendCall,
  ): Promise<
    {
      readonly sessionId: string
      readonly message: MessageRecord
    }[]
  >
}

export type Distance = 'cosine' | 'euclidean' | 'dot'
export type FieldType = 'string' | 'number' | 'boolean'
export type Embedding = readonly number[] | Float32Array
export interface CollectionOptions {
  readonly dimension: number
  readonly distance?: Distance | undefined
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
  embedding?: Float32Array
  metadata: JsonObject
  contentHash: string
  createdAt: Date
}
export interface Hit extends Document {
  score: number
}
export interface NewDocument {
  readonly id?: string | undefined
  readonly content: string
  readonly embedding?: Embedding | undefined
  readonly metadata?: JsonObjectInput | undefined
  readonly createdAt?: Date | undefined
}
export type Filter = Readonly<Record<string, unknown>>
export type SearchQuery = {
  readonly limit?: number | undefined
  readonly filter?: Filter | undefined
  readonly minScore?: number | undefined
  readonly withEmbeddings?: boolean | undefined
} & (
  | {
      readonly embedding: Embedding
      readonly text?: undefined
    }
  | {
      readonly text: string
      readonly embedding?: undefined
    }
)
export interface DocumentQuery {
  readonly filter?: Filter | undefined
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  readonly withEmbeddings?: boolean | undefined
}
export type DeleteSelection =
  | {
      readonly ids: readonly string[]
      readonly filter?: undefined
    }
  | {
      readonly filter: Filter
      readonly ids?: undefined
    }
export type Embed = (texts: readonly string[]) => Promise<readonly Embedding[]> | readonly Embedding[]
export interface KnowledgeStoreOptions extends StoreOptions {
  readonly embed?: Embed | undefined
}
export interface FilterCapabilities {
  readonly exists: boolean
  readonly null: boolean
  readonly arrays: boolean
  readonly nested: boolean
  readonly declared: boolean
}
export interface KnowledgeCapabilities {
  readonly filter: FilterCapabilities
  readonly insert: 'atomic' | 'checked'
  readonly get: boolean
  readonly list: boolean
  readonly count: boolean
  readonly deleteByFilter: boolean
  readonly visibility: 'immediate' | 'waited' | 'eventual'
}
export interface CollectionRecord {
  readonly name: string
  readonly dimension: number
  readonly distance: Distance
  readonly fields: Readonly<Record<string, FieldType>>
}
export interface DocumentRecord {
  readonly id: string
  readonly content: string
  readonly escaped: boolean
  readonly metadata: string
  readonly contentHash: string
  readonly createdAt: number
  readonly embedding?: Float32Array | undefined
}
export interface HitRecord extends DocumentRecord {
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
  readonly after?: string | undefined
  readonly withEmbeddings: boolean
}
export interface KnowledgeBackend extends BackendBase {
  readonly capabilities: KnowledgeCapabilities
  createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void>
  describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined>
  listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]>
  deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean>
  write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void>
  get?(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]>
  delete(
    workspace: string,
    collection: CollectionRecord,
    selection:
      | {
          readonly ids: readonly string[]
        }
      | {
          readonly filter: FilterNode
        },
    call?: BackendCall,
  ): Promise<number>
  count?(workspace: string, collection: CollectionRecord, filter: FilterNode | undefined, call?: BackendCall): Promise<number>
  list?(workspace: string, collection: CollectionRecord, query: ListRecordQuery, call?: BackendCall): Promise<DocumentRecord[]>
  search(workspace: string, collection: CollectionRecord, query: SearchRecordQuery, call?: BackendCall): Promise<HitRecord[]>
  listWorkspaces?(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]>
}

export interface SetOptions {
  readonly ttl?: number | undefined
}
export interface ScanOptions {
  readonly prefix?: string | undefined
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}
export interface StateCapabilities {
  readonly bytes: 'native' | 'base64'
  readonly commitKeys: number
}
export type StateValue = string | Uint8Array
export interface StateEntry {
  readonly value: StateValue
  readonly version: string
  readonly ttlMs?: number | undefined
}
export interface StateCheck {
  readonly key: string
  readonly version: string | null
}
export interface StateSet {
  readonly key: string
  readonly value: StateValue
  readonly ttlMs?: number | 'keep' | undefined
}
export interface StateAdd {
  readonly key: string
  readonly by: number
  readonly max?: number | undefined
}
export interface StateCommit {
  readonly checks?: readonly StateCheck[]
  readonly set?: readonly StateSet[]
  readonly delete?: readonly string[]
  readonly add?: readonly StateAdd[]
}
export type StateCommitResult =
  | {
      readonly applied: true
      readonly deleted: number
      readonly sums: readonly number[]
    }
  | {
      readonly applied: false
      readonly reason: 'check' | 'max' | 'not-integer'
      readonly key: string
    }
export interface StateScan {
  readonly prefix: string
  readonly after?: string | undefined
  readonly limit: number
}
export interface StateBackend extends BackendBase {
  readonly capabilities: StateCapabilities
  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]>
  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult>
  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]>
  listSpaces?(scan: StateScan, call?: BackendCall): Promise<string[]>
}
