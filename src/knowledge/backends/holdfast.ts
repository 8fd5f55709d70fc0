/** Knowledge on another Holdfast, over HTTP. */
import { HOLDFAST_OPTIONS, HoldfastServer, type HoldfastOptions, type Remote } from '../../engines/holdfast.ts'
import { fromBase64, toBase64 } from '../../store/base64.ts'
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  SearchRecordQuery,
} from '../contract.ts'
import type { FilterNode } from '../filter.ts'

export type HoldfastKnowledgeOptions = HoldfastOptions

export const create = defineBackend<HoldfastKnowledgeOptions, KnowledgeBackend>(HOLDFAST_OPTIONS, async (options) => {
  const server = new HoldfastServer(options)
  return new HoldfastKnowledge(server, await server.about<KnowledgeCapabilities>('knowledge'))
})

type Wire<R extends DocumentRecord> = Omit<R, 'embedding'> & { readonly embedding?: string }

class HoldfastKnowledge implements KnowledgeBackend {
  readonly capabilities: KnowledgeCapabilities
  readonly limits: Limits
  readonly encrypted: boolean
  readonly get?: NonNullable<KnowledgeBackend['get']>
  readonly count?: NonNullable<KnowledgeBackend['count']>
  readonly list?: NonNullable<KnowledgeBackend['list']>
  readonly listWorkspaces?: (query: WorkspaceRecordQuery, call?: BackendCall) => Promise<string[]>
  readonly #server: HoldfastServer

  constructor(server: HoldfastServer, { capabilities, limits, encrypted, has }: Remote<KnowledgeCapabilities>) {
    this.#server = server
    this.capabilities = capabilities
    this.limits = limits
    this.encrypted = encrypted
    if (has.includes('get')) {
      this.get = (workspace, collection, ids, withEmbeddings, call) =>
        this.#documents('get', { workspace, collection, ids, withEmbeddings }, call)
    }
    if (has.includes('count')) {
      this.count = (workspace, collection, filter, call) => this.#call('count', { workspace, collection, filter }, call)
    }
    if (has.includes('list')) {
      this.list = (workspace, collection, query, call) => this.#documents('list', { workspace, collection, query }, call)
    }
    if (has.includes('listWorkspaces')) this.listWorkspaces = (query, call) => this.#call('listWorkspaces', { query }, call)
  }

  createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void> {
    return this.#call('createCollection', { workspace, collection }, call)
  }

  describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined> {
    return this.#call('describeCollection', { workspace, name }, call)
  }

  listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]> {
    return this.#call('listCollections', { workspace }, call)
  }

  deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    return this.#call('deleteCollection', { workspace, name }, call)
  }

  write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void> {
    return this.#call('write', { workspace, collection, documents: documents.map(toWire), mode }, call)
  }

  delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number> {
    return this.#call('delete', { workspace, collection, selection }, call)
  }

  search(workspace: string, collection: CollectionRecord, query: SearchRecordQuery, call?: BackendCall): Promise<HitRecord[]> {
    const wire = { ...query, embedding: toBase64(query.embedding) }
    return this.#documents<HitRecord>('search', { workspace, collection, query: wire }, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#server.ping('knowledge', call)
  }

  async close(): Promise<void> {
    // Each request stands for itself.
  }

  #call<T>(method: string, body: object, call: BackendCall | undefined): Promise<T> {
    return this.#server.call('knowledge', method, body, call)
  }

  async #documents<R extends DocumentRecord>(method: string, body: object, call: BackendCall | undefined): Promise<R[]> {
    const found = await this.#call<Wire<R>[]>(method, body, call)
    return found.map(fromWire<R>)
  }
}

function toWire(record: DocumentRecord): Wire<DocumentRecord> {
  return { ...record, embedding: toBase64(record.embedding!) }
}

function fromWire<R extends DocumentRecord>({ embedding, ...record }: Wire<R>): R {
  if (embedding === undefined) return record as unknown as R
  return { ...record, embedding: new Float32Array(fromBase64(embedding).buffer) } as unknown as R
}
