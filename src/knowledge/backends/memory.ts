/** Knowledge in this process's memory: for tests, and for what may be lost with the process. */
import type { WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { compareBytes } from '../../store/text.ts'
import { selectNames } from '../../store/workspaces.ts'
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  ListRecordQuery,
  SearchRecordQuery,
} from '../contract.ts'
import { checkNotRecreated, checkSameSettings, collectionMissing, documentTaken } from '../faults.ts'
import type { FilterNode } from '../filter.ts'
import { parseMetadata } from '../records.ts'
import { ScanBudget } from '../scan-budget.ts'
import { VECTOR_OPTIONS, type VectorOptions } from '../scan-options.ts'
import { createScan, type GrowingScan, type ScanOptions } from '../scan.ts'

export interface MemoryKnowledgeOptions extends VectorOptions {
  /** Says in a URL what the name says already. Default: none. */
  readonly url?: ':memory:' | 'memory:' | undefined
}

export const capabilities: KnowledgeCapabilities = {
  filter: { exists: true, null: true, arrays: true, nested: true, declared: false },
  insert: 'atomic',
  get: true,
  list: true,
  count: true,
  deleteByFilter: true,
  visibility: 'immediate',
}

/** Each store is empty at first, and its own. */
export const create = defineBackend<MemoryKnowledgeOptions, KnowledgeBackend>(
  { url: { type: 'string', description: 'nothing to name: `:memory:`', choices: [':memory:', 'memory:'] }, ...VECTOR_OPTIONS },
  (options) => new MemoryKnowledge(options),
)

interface Entry {
  readonly record: CollectionRecord
  readonly documents: Map<string, DocumentRecord>
  readonly scan: GrowingScan<DocumentRecord>
}

/** Writes wait for nothing between their first line and their last, so each is atomic. */
class MemoryKnowledge implements KnowledgeBackend {
  readonly capabilities = capabilities
  readonly limits = { dimension: 65_536 }
  readonly #workspaces = new Map<string, Map<string, Entry>>()
  readonly #scan: ScanOptions

  constructor({ scan: mode, maxVectorMemoryMb }: VectorOptions) {
    this.#scan = { mode, budget: new ScanBudget(maxVectorMemoryMb) }
  }

  async createCollection(workspace: string, collection: CollectionRecord): Promise<void> {
    const collections = this.#workspaces.get(workspace) ?? new Map<string, Entry>()
    const existing = collections.get(collection.name)
    if (existing !== undefined) return checkSameSettings(existing.record, collection)
    const scan = createScan<DocumentRecord>(collection.dimension, collection.distance, this.#scan)
    this.#workspaces.set(workspace, collections)
    collections.set(collection.name, { record: collection, documents: new Map(), scan })
  }

  async describeCollection(workspace: string, name: string): Promise<CollectionRecord | undefined> {
    return this.#workspaces.get(workspace)?.get(name)?.record
  }

  async listCollections(workspace: string): Promise<CollectionRecord[]> {
    const collections = this.#workspaces.get(workspace)?.values() ?? []
    return Array.from(collections, ({ record }) => record).toSorted((a, b) => compareBytes(a.name, b.name))
  }

  async deleteCollection(workspace: string, name: string): Promise<boolean> {
    const collections = this.#workspaces.get(workspace)
    collections?.get(name)?.scan.close()
    return collections?.delete(name) ?? false
  }

  async write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
  ): Promise<void> {
    const entry = this.#entry(workspace, collection)
    const taken = mode === 'insert' ? documents.find(({ id }) => entry.documents.has(id)) : undefined
    if (taken !== undefined) throw documentTaken(collection.name, taken.id)
    const metadata = documents.map(parseMetadata)
    entry.scan.reserve(entry.documents.size + documents.filter(({ id }) => !entry.documents.has(id)).length)
    for (const [i, document] of documents.entries()) {
      entry.documents.set(document.id, document)
      entry.scan.upsert(document.id, document.embedding!, metadata[i]!, document)
    }
  }

  async get(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
  ): Promise<DocumentRecord[]> {
    const { documents } = this.#entry(workspace, collection)
    return ids.filter((id) => documents.has(id)).map((id) => copyOf(documents.get(id)!, withEmbeddings))
  }

  async delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
  ): Promise<number> {
    const { documents, scan } = this.#entry(workspace, collection)
    const ids = 'ids' in selection ? selection.ids : scan.matching(selection.filter)
    for (const id of ids) documents.delete(id)
    return ids.filter((id) => scan.delete(id)).length
  }

  async count(workspace: string, collection: CollectionRecord, filter: FilterNode | undefined): Promise<number> {
    const { scan } = this.#entry(workspace, collection)
    return filter === undefined ? scan.size : scan.matching(filter).length
  }

  async list(workspace: string, collection: CollectionRecord, query: ListRecordQuery): Promise<DocumentRecord[]> {
    const { documents, scan } = this.#entry(workspace, collection)
    const { after } = query
    const ids = query.filter === undefined ? [...documents.keys()] : scan.matching(query.filter)
    return ids
      .filter((id) => after === undefined || compareBytes(id, after) > 0)
      .toSorted(compareBytes)
      .slice(0, query.limit)
      .map((id) => copyOf(documents.get(id)!, query.withEmbeddings))
  }

  async search(workspace: string, collection: CollectionRecord, query: SearchRecordQuery): Promise<HitRecord[]> {
    const { scan } = this.#entry(workspace, collection)
    const best = await scan.search(query.embedding, query.limit, query.filter)
    return best.map(({ score, value }) => ({ ...copyOf(value, query.withEmbeddings), score }))
  }

  async listWorkspaces(query: WorkspaceRecordQuery): Promise<string[]> {
    return selectNames(this.#workspaces.keys(), query, (name) => this.#workspaces.get(name)!.size > 0)
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    for (const collections of this.#workspaces.values()) for (const { scan } of collections.values()) scan.close()
    this.#workspaces.clear()
  }

  #entry(workspace: string, collection: CollectionRecord): Entry {
    const entry = this.#workspaces.get(workspace)?.get(collection.name)
    if (entry === undefined) throw collectionMissing(collection.name)
    checkNotRecreated(entry.record, collection)
    return entry
  }
}

/** The caller may change an embedding that it gets. */
function copyOf(document: DocumentRecord, withEmbedding: boolean): DocumentRecord {
  return { ...document, embedding: withEmbedding ? document.embedding?.slice() : undefined }
}
