/** Knowledge in any LangChain.js vector store, with a state store beside it for what such stores cannot do. */
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../../store/contract.ts'
import { withOutcome } from '../../store/core.ts'
import { defineBackend } from '../../store/factory.ts'
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  ListRecordQuery,
  SearchRecordQuery,
} from '../contract.ts'
import { checkNotRecreated, collectionMissing } from '../faults.ts'
import type { FilterNode } from '../filter.ts'
import { Directory, type Located } from '../langchain-directory.ts'
import { countDocuments, deleteDocuments, deleteMatching, listDocuments, writeDocuments } from '../langchain-documents.ts'
import { emptyShelf, sweepNotes } from '../langchain-notes.ts'
import {
  described,
  guarded,
  LANGCHAIN_OPTIONS,
  storeFor,
  type LangChainCollection,
  type LangChainKnowledgeOptions,
} from '../langchain-options.ts'
import { searchDocuments } from '../langchain-search.ts'
import { Shelf } from '../langchain-shelf.ts'
import { capabilitiesOf, limitsOf, Sidecar } from '../langchain-sidecar.ts'
import { Vectors, type LangChainVectorStore } from '../langchain-vectors.ts'

export type { LangChainCollection, LangChainDraft, LangChainKnowledgeOptions } from '../langchain-options.ts'

/** There is no `url`: what it would name is an object. */
export const create = defineBackend<LangChainKnowledgeOptions, KnowledgeBackend>(
  LANGCHAIN_OPTIONS,
  (options) => new LangChainKnowledge(options),
)

class LangChainKnowledge implements KnowledgeBackend {
  readonly capabilities: KnowledgeCapabilities
  readonly limits: Limits
  readonly listWorkspaces?: (query: WorkspaceRecordQuery, call?: BackendCall) => Promise<string[]>
  readonly #options: LangChainKnowledgeOptions
  readonly #sidecar: Sidecar
  readonly #directory: Directory
  /** By generation. */
  readonly #stores = new Map<string, Promise<LangChainVectorStore>>()
  /** Generations of which no note of an earlier time is left. */
  readonly #swept = new Set<string>()
  /** Where a record that the store was given lies, which spares asking again. */
  readonly #located = new WeakMap<CollectionRecord, Located>()

  constructor(options: LangChainKnowledgeOptions) {
    this.#options = options
    this.#sidecar = new Sidecar(options.documents, options.prefix ?? '')
    this.#directory = new Directory(this.#sidecar)
    this.capabilities = capabilitiesOf(this.#sidecar, options.visibility ?? 'eventual')
    this.limits = limitsOf(this.#sidecar)
    if (this.#sidecar.listSpaces !== undefined) this.listWorkspaces = (query, call) => this.#directory.workspaces(query, call)
  }

  async createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void> {
    await this.#bury(workspace, undefined, call)
    await this.#directory.create(workspace, collection, call)
  }

  async describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined> {
    const located = await this.#directory.find(workspace, name, call)
    if (located !== undefined) this.#located.set(located.record, located)
    return located?.record
  }

  listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]> {
    return this.#directory.list(workspace, call)
  }

  async deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    let located: Located | undefined
    do {
      located = await this.#directory.find(workspace, name, call)
    } while (located !== undefined && !(await this.#directory.remove(located, call)))
    await this.#bury(workspace, name, call)
    return located !== undefined
  }

  async write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void> {
    await this.#changing(workspace, collection, call, (shelf) => writeDocuments(shelf, documents, mode, call))
  }

  async get(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    const shelf = await this.#shelf(workspace, collection, call)
    const found = await shelf.read(ids, call)
    if (found.length < ids.length) await this.#checkThere(shelf, call)
    return found.map(({ record }) => (withEmbeddings ? record : { ...record, embedding: undefined }))
  }

  async delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number> {
    return this.#changing(workspace, collection, call, async (shelf) => {
      const count =
        'ids' in selection
          ? await deleteDocuments(shelf, selection.ids, undefined, call)
          : await deleteMatching(shelf, selection.filter, call)
      if (count === 0) await this.#checkThere(shelf, call)
      return count
    })
  }

  async count(
    workspace: string,
    collection: CollectionRecord,
    filter: FilterNode | undefined,
    call?: BackendCall,
  ): Promise<number> {
    const shelf = await this.#shelf(workspace, collection, call)
    const count = await countDocuments(shelf, filter, call)
    await this.#checkThere(shelf, call)
    return count
  }

  async list(
    workspace: string,
    collection: CollectionRecord,
    query: ListRecordQuery,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    const shelf = await this.#shelf(workspace, collection, call)
    const found = await listDocuments(shelf, query, call)
    if (found.length < query.limit) await this.#checkThere(shelf, call)
    return found
  }

  async search(
    workspace: string,
    collection: CollectionRecord,
    query: SearchRecordQuery,
    call?: BackendCall,
  ): Promise<HitRecord[]> {
    const shelf = await this.#shelf(workspace, collection, call)
    const hits = await searchDocuments(shelf, query, this.#options.maxCandidates ?? 1_000, call)
    if (hits.length < query.limit) await this.#checkThere(shelf, call)
    return hits
  }

  /** Only of the state store: vector stores have nothing of the kind. */
  ping(call?: BackendCall): Promise<void> {
    return this.#sidecar.ping(call)
  }

  async close(): Promise<void> {
    this.#stores.clear()
  }

  // ── Within ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #shelf(workspace: string, collection: CollectionRecord, call: BackendCall | undefined): Promise<Shelf> {
    const known = this.#located.get(collection)
    const located = known?.workspace === workspace ? known : await this.#directory.find(workspace, collection.name, call)
    if (located === undefined) throw collectionMissing(collection.name)
    checkNotRecreated(located.record, collection)
    return this.#shelfAt(located, await this.#storeOf(located))
  }

  /** An answer that lacks something may do so because the collection was deleted meanwhile. */
  async #checkThere({ located }: Shelf, call: BackendCall | undefined): Promise<void> {
    const now = await this.#directory.find(located.workspace, located.record.name, call)
    if (now?.generation !== located.generation) throw collectionMissing(located.record.name)
  }

  #shelfAt(located: Located, store: LangChainVectorStore): Shelf {
    const key = this.#directory.key(located.record.name)
    const describe = (record: DocumentRecord) => described(this.#options.toDocument, record)
    return new Shelf(located, this.#sidecar, key, new Vectors(store, located.generation), describe)
  }

  /** A change first does away with what an earlier one left behind; if it fails, the next one has to. */
  async #changing<T>(
    workspace: string,
    collection: CollectionRecord,
    call: BackendCall | undefined,
    change: (shelf: Shelf) => Promise<T>,
  ): Promise<T> {
    const shelf = await this.#shelf(workspace, collection, call)
    const { generation } = shelf.located
    if (!this.#swept.has(generation) && (await sweepNotes(shelf, call))) this.#swept.add(generation)
    try {
      return await change(shelf)
    } catch (error) {
      this.#swept.delete(generation)
      throw error
    }
  }

  /**
   * Removes what is left of deleted collections, of this call or of an earlier one that did not come to its end. Where that fails for another
   * collection than the one that the call is about, its grave stays for a later change.
   */
  async #bury(workspace: string, name: string | undefined, call: BackendCall | undefined): Promise<void> {
    for (const grave of await this.#directory.graves(workspace, call)) {
      try {
        await this.#empty(grave, call)
      } catch (error) {
        if (grave.record.name === name) throw withOutcome(error, 'unknown')
      }
    }
  }

  async #empty(grave: Located, call: BackendCall | undefined): Promise<void> {
    const { drop } = this.#options
    const shelf = this.#shelfAt(grave, drop === undefined ? await this.#storeOf(grave) : NO_VECTORS)
    const isQuiet = await emptyShelf(shelf, () => drop && guarded('drop', () => drop(toCollection(grave))), call)
    if (isQuiet) await this.#directory.closeGrave(grave, call)
    this.#stores.delete(grave.generation)
    this.#swept.delete(grave.generation)
  }

  /** One for each collection, as long as the backend lives; what failed is tried again. */
  #storeOf(located: Located): Promise<LangChainVectorStore> {
    const known = this.#stores.get(located.generation)
    if (known !== undefined) return known
    const made = storeFor(this.#options.store, toCollection(located))
    this.#stores.set(located.generation, made)
    made.catch(() => this.#stores.delete(located.generation))
    return made
  }
}

/** Stands for the store of a collection whose index is dropped as a whole. */
const NO_VECTORS: LangChainVectorStore = {
  addVectors: async () => undefined,
  similaritySearchVectorWithScore: async () => [],
}

function toCollection({ generation, workspace, record }: Located): LangChainCollection {
  const { name, dimension, distance } = record
  return { id: generation, workspace, name, dimension, distance }
}
