/** Knowledge in Pinecone, over its vectors API. Every read is a query: only queries tell how new their answer is. */
import { randomUUID } from 'node:crypto'
import { FreshPinecone } from '../../engines/pinecone-fresh.ts'
import { connectPinecone } from '../../engines/pinecone.ts'
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { compareBytes } from '../../store/text.ts'
import { selectNames } from '../../store/workspaces.ts'
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  SearchRecordQuery,
} from '../contract.ts'
import { checkNotRecreated, collectionMissing, documentTaken } from '../faults.ts'
import type { FilterNode } from '../filter.ts'
import { PineconeCatalogue, type Found } from '../pinecone-catalogue.ts'
import { PineconeDocuments } from '../pinecone-documents.ts'
import { compileFilter } from '../pinecone-filter.ts'
import { indexIn, PINECONE_OPTIONS, type PineconeKnowledgeOptions } from '../pinecone-options.ts'
import { recordId, toPineconeRecord, type CollectionPlace } from '../pinecone-records.ts'

/** With `waitForWrites: false`, `visibility` is `eventual`. */
export const capabilities: KnowledgeCapabilities = {
  // nested: API reference, MetadataValue: "Nested objects and mixed-type lists are rejected". null, arrays of anything and the order of
  // strings are not Pinecone's either, but can be told in what it has (pinecone-fields.ts).
  filter: { exists: true, null: true, arrays: true, nested: false, declared: false },
  insert: 'checked', // API reference, upsert: "it will overwrite the previous value"; there is no condition on a write.
  get: true,
  list: false, // API reference, list: by prefix and an opaque token, without a filter, and not from an id on.
  count: true,
  deleteByFilter: true,
  visibility: 'waited',
}

/** Docs, "Operation limits" and "Metadata limits"; one number of a vector is ours. Content and metadata together must fit into 40 KB. */
const LIMITS: Limits = { contentBytes: 32_768, jsonBytes: 32_768, dimension: 19_999, batch: 1_000 }

export const create = defineBackend<PineconeKnowledgeOptions, KnowledgeBackend>(PINECONE_OPTIONS, async (options, context) => {
  const { url, waitMs = 60_000, requestTimeoutMs = 30_000 } = options
  const controllerHost = options.controllerHost ?? (url?.startsWith('http') === true ? url : undefined)
  const engine = await connectPinecone(
    { apiKey: options.apiKey, client: options.client, controllerHost, requestTimeoutMs },
    context,
  )
  const { autoCreate = true, cloud = 'aws', region = 'us-east-1', prefix = 'holdfast-', waitForWrites = true } = options
  const index = options.index ?? indexIn(url)
  const fresh = new FreshPinecone(engine, waitMs)
  const catalogue = new PineconeCatalogue(fresh, { index, prefix, autoCreate, cloud, region })
  return new PineconeKnowledge(catalogue, new PineconeDocuments(fresh, waitForWrites), waitForWrites)
})

class PineconeKnowledge implements KnowledgeBackend {
  readonly capabilities: KnowledgeCapabilities
  readonly limits = LIMITS
  readonly #catalogue: PineconeCatalogue
  readonly #documents: PineconeDocuments
  /** Where a collection was when it was described, so that it can be looked up again while it is searched already. */
  readonly #described = new WeakMap<CollectionRecord, CollectionPlace>()

  constructor(catalogue: PineconeCatalogue, documents: PineconeDocuments, waits: boolean) {
    this.capabilities = { ...capabilities, visibility: waits ? 'waited' : 'eventual' }
    this.#catalogue = catalogue
    this.#documents = documents
  }

  async createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void> {
    await this.#catalogue.create(workspace, collection, call)
  }

  async describeCollection(workspace: string, name: string): Promise<CollectionRecord | undefined> {
    const found = await this.#catalogue.find(workspace, name)
    return found && this.#known(found)
  }

  async listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]> {
    const found = await this.#catalogue.list(workspace, call)
    return found.map((one) => this.#known(one)).toSorted((a, b) => compareBytes(a.name, b.name))
  }

  async deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    return this.#catalogue.remove(workspace, name, call)
  }

  async write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void> {
    const ids = documents.map(({ id }) => id)
    const place =
      mode === 'insert' ? await this.#untaken(workspace, collection, ids, call) : await this.#place(workspace, collection)
    const stamp = randomUUID()
    const records = documents.map((document) => toPineconeRecord(document, place, stamp))
    await this.#documents.upsert(place, records, { filter: { _w: stamp }, count: records.length }, call)
  }

  async get(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    return this.#read(workspace, collection, (place) => this.#documents.byIds(place, ids.map(recordId), withEmbeddings, call))
  }

  async delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number> {
    const [place, ids] = await this.#read(workspace, collection, async (place) => [
      place,
      'ids' in selection
        ? await this.#documents.existing(place, selection.ids, call)
        : await this.#documents.matching(place, selection.filter, call),
    ])
    await this.#documents.remove(place, ids, call)
    return ids.length
  }

  async count(
    workspace: string,
    collection: CollectionRecord,
    filter: FilterNode | undefined,
    call?: BackendCall,
  ): Promise<number> {
    const ids = await this.#read(workspace, collection, (place) => this.#documents.matching(place, filter, call))
    return ids.length
  }

  async search(
    workspace: string,
    collection: CollectionRecord,
    query: SearchRecordQuery,
    call?: BackendCall,
  ): Promise<HitRecord[]> {
    const filter = query.filter === undefined ? true : compileFilter(query.filter)
    return this.#read(workspace, collection, (place) =>
      filter === false ? [] : this.#documents.nearest(place, query, filter, call),
    )
  }

  async listWorkspaces(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]> {
    const names = new Set((await this.#catalogue.list(undefined, call)).map(({ workspace }) => workspace))
    return selectNames(names, query, () => true)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#catalogue.ping(call)
  }

  /** The client holds nothing open but idle connections, which end by themselves and keep no process alive. */
  async close(): Promise<void> {}

  // ── Collections ───────────────────────────────────────────────────────────────────────────────────────────────────

  #known({ record, place }: Found): CollectionRecord {
    this.#described.set(record, place)
    return record
  }

  /** Where the collection is now: another process may have deleted it since the store looked, or created it anew. */
  async #place(workspace: string, collection: CollectionRecord): Promise<CollectionPlace> {
    const found = await this.#catalogue.find(workspace, collection.name)
    if (found === undefined) throw collectionMissing(collection.name)
    checkNotRecreated(found.record, collection)
    return found.place
  }

  /** Reads where the collection was, and looks at the same time whether it still is there. */
  async #read<T>(workspace: string, collection: CollectionRecord, work: (place: CollectionPlace) => Promise<T> | T): Promise<T> {
    const guess = this.#described.get(collection)
    if (guess === undefined) return work(await this.#place(workspace, collection))
    const [now, result] = await Promise.allSettled([this.#place(workspace, collection), work(guess)])
    if (now.status === 'rejected') throw now.reason
    if (now.value.namespace !== guess.namespace) return work(now.value)
    if (result.status === 'rejected') throw result.reason
    return result.value
  }

  async #untaken(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    call: BackendCall | undefined,
  ): Promise<CollectionPlace> {
    const [place, existing] = await this.#read(workspace, collection, async (place) => [
      place,
      await this.#documents.existing(place, ids, call),
    ])
    const taken = new Set(existing)
    const first = ids.find((id) => taken.has(recordId(id)))
    if (first !== undefined) throw documentTaken(collection.name, first)
    return place
  }
}
