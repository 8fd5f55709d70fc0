/** The knowledge store: collections of documents, found by meaning and by metadata. It checks and converts; the backend holds records. */
import type { HoldfastError } from '../errors.ts'
import type { BackendCall, CallOptions, Page, StoreBase, WorkspaceQuery } from '../store/contract.ts'
import { checkWorkspace, withOutcome, type CallMode, type StoreCore } from '../store/core.ts'
import { encodeCursor } from '../store/cursor.ts'
import { StoreScope, type ScopeOptions } from '../store/scope.ts'
import { checkInteger, invalid, typeName } from '../store/text.ts'
import { afterOf, checkCollection, checkIds, checkMinScore, checkObject, CURSOR_TAG } from './arguments.ts'
import type {
  Collection,
  CollectionOptions,
  CollectionRecord,
  DeleteSelection,
  Document,
  DocumentQuery,
  DocumentRecord,
  Embed,
  Filter,
  Hit,
  KnowledgeBackend,
  KnowledgeCapabilities,
  KnowledgeStoreOptions,
  NewDocument,
  SearchQuery,
} from './contract.ts'
import { embedDrafts, embedTexts } from './embed.ts'
import { checkDeclared, EVERYTHING, parseFilter, type FilterNode } from './filter.ts'
import {
  checkRecords,
  checkVector,
  toCollection,
  toCollectionRecord,
  toDocument,
  toDrafts,
  toFloats,
  toHits,
  tooLarge,
  type Draft,
} from './records.ts'
import { partly, readRecords, RepeatableInsert } from './writing.ts'

export interface RemovedCollections {
  collections: number
  /** Left out where the backend cannot count them. */
  documents?: number
}

export interface GetOptions {
  /** Default true. */
  readonly withEmbeddings?: boolean | undefined
}

/**
 * Every method takes `{ signal, timeoutMs }` as part of its last parameter. What it cannot take it rejects before anything is written,
 * with `INVALID_ARGUMENT` or, where the JavaScript type is wrong, a `TypeError`. Unknown collection: `NOT_FOUND`. What the backend
 * cannot do is `UNSUPPORTED`; see `capabilities`.
 */
export class KnowledgeStore implements StoreBase {
  readonly kind = 'knowledge'
  readonly backend: string
  readonly capabilities: KnowledgeCapabilities
  /** Shared with the workspace views; for this package's own layers above the store. @internal */
  readonly core: StoreCore<KnowledgeBackend>
  readonly workspaceId: string
  readonly #scope: StoreScope<KnowledgeBackend>
  readonly #embed: Embed | undefined

  constructor(source: KnowledgeBackend | StoreCore<KnowledgeBackend>, options: KnowledgeStoreOptions & ScopeOptions) {
    this.#scope = new StoreScope('knowledge', source, options)
    this.core = this.#scope.core
    this.backend = this.core.name
    this.capabilities = Object.freeze({ ...this.core.backend.capabilities })
    this.workspaceId = this.#scope.workspaceId
    this.#embed = options.embed
    if (options.embed !== undefined && typeof options.embed !== 'function') {
      throw new TypeError(`embed must be a function, not ${typeName(options.embed)}`)
    }
  }

  get limits(): StoreBase['limits'] {
    return this.core.limits
  }

  // ── Collections ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Creates a collection. It exists with the same settings: nothing happens; with others: `CONFLICT`. */
  async createCollection(name: string, options: CollectionOptions & CallOptions): Promise<Collection> {
    const record = toCollectionRecord(checkCollection(name), options, this.limits)
    await this.#scope.run('createCollection', 'idempotent', options, (call) =>
      this.core.backend.createCollection(this.workspaceId, record, call),
    )
    return toCollection(record)
  }

  /** Deletes a collection and its documents; false where there was none. */
  async deleteCollection(name: string, options?: CallOptions): Promise<boolean> {
    checkCollection(name)
    return this.#scope.run('deleteCollection', 'write', options, (call) =>
      this.core.backend.deleteCollection(this.workspaceId, name, call),
    )
  }

  async collectionExists(name: string, options?: CallOptions): Promise<boolean> {
    checkCollection(name)
    const record = await this.#scope.run('collectionExists', 'read', options, (call) => this.#described(name, call))
    return record !== undefined
  }

  /** Undefined where there is none. */
  async describeCollection(name: string, options?: CallOptions): Promise<Collection | undefined> {
    checkCollection(name)
    const record = await this.#scope.run('describeCollection', 'read', options, (call) => this.#described(name, call))
    return record && toCollection(record)
  }

  /** All of this workspace, in bytewise order of their names. */
  async listCollections(options?: CallOptions): Promise<Collection[]> {
    const records = await this.#scope.run('listCollections', 'read', options, (call) =>
      this.core.backend.listCollections(this.workspaceId, call),
    )
    return records.map(toCollection)
  }

  // ── Documents ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Adds documents and returns their ids in order. An id that exists when the call starts: `CONFLICT`, and none is added. Beyond
   * `limits.batch`, an engine whose insert is atomic refuses (`VALUE_TOO_LARGE`), and for others the documents are sent in parts.
   */
  async insert(collection: string, documents: readonly NewDocument[], options?: CallOptions): Promise<string[]> {
    checkCollection(collection)
    const drafts = toDrafts(documents, this.limits)
    if (this.capabilities.insert === 'atomic' && drafts.length > this.#batchSize()) {
      throw tooLarge(`an insert of ${drafts.length} documents, which happens whole or not at all,`, 'batch', this.limits.batch)
    }
    const ids = drafts.map(({ record }) => record.id)
    const insert = new RepeatableInsert(this.core.backend, this.workspaceId, this.#batchSize())
    await this.#write('insert', insert.mode, collection, drafts, options, (batch, record, call) =>
      insert.send(batch, ids, record, call),
    )
    return ids
  }

  /** Adds documents or replaces them whole, and returns their ids in order. Sent in parts beyond `limits.batch`; may be repeated. */
  async upsert(collection: string, documents: readonly NewDocument[], options?: CallOptions): Promise<string[]> {
    checkCollection(collection)
    const drafts = toDrafts(documents, this.limits)
    await this.#write('upsert', 'idempotent', collection, drafts, options, (batch, record, call) =>
      this.core.backend.write(this.workspaceId, record, batch, 'upsert', call),
    )
    return drafts.map(({ record }) => record.id)
  }

  /** The documents with these ids, in this order; those that are missing are left out. */
  async get(collection: string, ids: readonly string[], options: GetOptions & CallOptions = {}): Promise<Document[]> {
    checkCollection(collection)
    const wanted = checkIds(ids)
    const withEmbeddings = options.withEmbeddings ?? true
    return this.#scope.run('get', 'read', options, async (call) => {
      const { backend } = this.core
      if (!this.capabilities.get || backend.get === undefined) throw this.#unsupported('get', 'use search with a filter')
      const record = await this.#collection(collection, call)
      const found = await readRecords(backend, this.workspaceId, record, wanted, withEmbeddings, this.#batchSize(), call)
      return wanted.flatMap((id) => {
        const document = found.get(id)
        return document === undefined ? [] : [toDocument(document, withEmbeddings)]
      })
    })
  }

  /** Deletes by ids or by filter, exactly one of them, and returns how many there were. No ids: none; the filter `{}`: all. */
  async delete(collection: string, selection: DeleteSelection & CallOptions): Promise<number> {
    checkCollection(collection)
    checkObject(selection, 'selection')
    const { ids, filter } = selection
    if ((ids === undefined) === (filter === undefined)) throw invalid('delete takes exactly one of ids and filter')
    if (ids === undefined) return this.#deleteMatching(collection, filter, selection)
    const unwanted = [...new Set(checkIds(ids))]
    let count = 0
    await this.#inBatches(
      'delete',
      'write',
      collection,
      selection,
      () => unwanted,
      async (batch, record, call) => {
        count += await this.core.backend.delete(this.workspaceId, record, { ids: batch }, call)
      },
    )
    return count
  }

  /** How many documents there are, or match. */
  async count(collection: string, filter?: Filter, options?: CallOptions): Promise<number> {
    checkCollection(collection)
    const node = this.#filter(filter)
    return this.#scope.run('count', 'read', options, async (call) => {
      const { backend } = this.core
      if (!this.capabilities.count || backend.count === undefined) throw this.#unsupported('count', 'page through search or list')
      return backend.count(this.workspaceId, await this.#filtered(collection, node, call), node, call)
    })
  }

  /** One page of the documents, or of those that match, in bytewise order of ids. */
  async list(collection: string, query: DocumentQuery & CallOptions = {}): Promise<Page<Document>> {
    checkCollection(collection)
    checkObject(query, 'query')
    const limit = checkInteger(query.limit, 'limit', { min: 1, max: 1_000 }, 100)
    const after = query.cursor === undefined ? undefined : afterOf(query.cursor, collection)
    const filter = this.#filter(query.filter)
    const withEmbeddings = query.withEmbeddings ?? false
    const items = await this.#scope.run('list', 'read', query, async (call) => {
      const { backend } = this.core
      if (!this.capabilities.list || backend.list === undefined) throw this.#unsupported('list', 'keep the ids yourself')
      const record = await this.#filtered(collection, filter, call)
      // One more than asked, so that a cursor is given only where it leads somewhere.
      return backend.list(this.workspaceId, record, { filter, limit: limit + 1, after, withEmbeddings }, call)
    })
    const page = items.slice(0, limit).map((item) => toDocument(item, withEmbeddings))
    if (items.length <= limit) return { items: page }
    return { items: page, cursor: encodeCursor(CURSOR_TAG, [collection, page[limit - 1]!.id]) }
  }

  /** What `embed` makes of a text, to search several collections for it. Without `embed` in the options: `INVALID_ARGUMENT`. */
  async embedText(text: string, options?: CallOptions): Promise<Float32Array> {
    if (typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeName(text)}`)
    return this.#scope.run('embedText', 'read', options, async () => (await embedTexts(this.#embed, [text], 'embedText'))[0]!)
  }

  /** The documents nearest to an embedding or, with `embed`, to a text: best first, ties by id bytewise. */
  async search(collection: string, query: SearchQuery & CallOptions): Promise<Hit[]> {
    checkCollection(collection)
    checkObject(query, 'query')
    const { text, withEmbeddings = false } = query
    const filter = this.#filter(query.filter)
    const minScore = checkMinScore(query.minScore)
    const limit = checkInteger(query.limit, 'limit', { min: 1, max: 10_000 }, 5)
    if ((query.embedding === undefined) === (text === undefined)) throw invalid('search takes exactly one of embedding and text')
    if (text !== undefined && typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeName(text)}`)
    let embedding = text === undefined ? toFloats(query.embedding, 'embedding') : undefined
    return this.#scope.run('search', 'read', query, async (call) => {
      const record = await this.#filtered(collection, filter, call)
      embedding ??= (await embedTexts(this.#embed, [text!], 'search({ text })'))[0]!
      checkVector(embedding, record, 'embedding')
      const found = await this.core.backend.search(this.workspaceId, record, { embedding, limit, filter, withEmbeddings }, call)
      return toHits(found, embedding, record, { minScore, withEmbeddings })
    })
  }

  // ── The store itself ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Deletes all collections of this workspace; how many there were, and how many documents, where the backend can count them. */
  async clear(options?: CallOptions): Promise<RemovedCollections> {
    const removed: RemovedCollections = { collections: 0, documents: 0 }
    try {
      // An attempt goes on where the one before it failed.
      await this.#scope.run('clear', 'write', options, (call) => this.#clear(removed, call))
      return removed
    } catch (error) {
      throw removed.collections === 0 ? error : withOutcome(error, 'unknown')
    }
  }

  /** The same store for another tenant. Closing the view leaves this store open; closing this store closes its views. */
  workspace(id: string): KnowledgeStore {
    return new KnowledgeStore(this.core, { name: this.core.name, workspace: checkWorkspace(id), embed: this.#embed })
  }

  /** One page of the workspaces with a collection, in bytewise order. On a view, and where the backend cannot list them: `UNSUPPORTED`. */
  async listWorkspaces(query: WorkspaceQuery & CallOptions = {}): Promise<Page<string>> {
    const { backend } = this.core
    return this.#scope.listWorkspaces(query, backend.listWorkspaces?.bind(backend))
  }

  async ping(options?: CallOptions): Promise<void> {
    return this.#scope.ping(options)
  }

  /**
   * Writes a consistent copy of all workspaces into `directory`, which exists, while writers go on, and returns the names of its files. On a
   * view, and where the engine has tools of its own for that: `UNSUPPORTED`.
   */
  async backupTo(directory: string, options?: CallOptions): Promise<string[]> {
    return this.#scope.backupTo(directory, options)
  }

  async close(): Promise<void> {
    await this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ── Within ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #described(name: string, call: BackendCall): Promise<CollectionRecord | undefined> {
    return this.core.backend.describeCollection(this.workspaceId, name, call)
  }

  /** Asked for anew in each call: another process may have deleted it, or created it again with other settings. */
  async #collection(name: string, call: BackendCall): Promise<CollectionRecord> {
    const record = await this.#described(name, call)
    if (record !== undefined) return record
    throw this.core.error('NOT_FOUND', `there is no collection ${JSON.stringify(name)}; create it first`)
  }

  /** Before the call begins, so that what happens to the caller's object meanwhile does not matter. */
  #filter(filter: Filter | undefined): FilterNode | undefined {
    return filter === undefined ? undefined : parseFilter(filter, this.capabilities.filter)
  }

  /** The collection, which has declared the filter's fields where it must. */
  async #filtered(name: string, filter: FilterNode | undefined, call: BackendCall): Promise<CollectionRecord> {
    const record = await this.#collection(name, call)
    if (filter !== undefined) checkDeclared(filter, this.capabilities.filter, record.fields)
    return record
  }

  #batchSize(): number {
    return this.limits.batch ?? Infinity
  }

  async #deleteMatching(collection: string, filter: Filter, options: CallOptions): Promise<number> {
    const node = this.#filter(filter)
    return this.#scope.run('delete', 'write', options, async (call) => {
      if (!this.capabilities.deleteByFilter) throw this.#unsupported('delete by filter', 'search for the ids and delete those')
      const record = await this.#filtered(collection, node, call)
      return this.core.backend.delete(this.workspaceId, record, { filter: node ?? EVERYTHING }, call)
    })
  }

  #write(
    method: string,
    mode: CallMode,
    collection: string,
    drafts: readonly Draft[],
    options: CallOptions | undefined,
    send: Send<DocumentRecord>,
  ): Promise<void> {
    let records: readonly DocumentRecord[] | undefined
    const complete = async (collection: CollectionRecord): Promise<readonly DocumentRecord[]> => {
      records ??= await embedDrafts(this.#embed, drafts, method)
      checkRecords(records, collection, this.capabilities.filter)
      return records
    }
    return this.#inBatches(method, mode, collection, options, complete, send)
  }

  /** Sends items in batches. Each attempt checks all of them first, and begins where the one before it failed. */
  async #inBatches<T>(
    method: string,
    mode: CallMode,
    collection: string,
    options: CallOptions | undefined,
    check: (record: CollectionRecord) => Promise<readonly T[]> | readonly T[],
    send: Send<T>,
  ): Promise<void> {
    let done = 0
    try {
      await this.#scope.run(method, mode, options, async (call) => {
        const record = await this.#collection(collection, call)
        const items = await check(record)
        while (done < items.length) {
          const batch = items.slice(done, done + this.#batchSize())
          await send(batch, record, call)
          done += batch.length
        }
      })
    } catch (error) {
      throw done === 0 ? error : partly(error, done)
    }
  }

  async #clear(removed: RemovedCollections, call: BackendCall): Promise<void> {
    const { backend } = this.core
    for (const record of await backend.listCollections(this.workspaceId, call)) {
      const documents = this.capabilities.count ? await backend.count?.(this.workspaceId, record, undefined, call) : undefined
      if (!(await backend.deleteCollection(this.workspaceId, record.name, call))) continue
      removed.collections++
      if (documents === undefined) delete removed.documents
      else if (removed.documents !== undefined) removed.documents += documents
    }
  }

  #unsupported(method: string, remedy: string): HoldfastError {
    return this.core.error('UNSUPPORTED', `${method}: the backend ${this.backend} cannot do this; ${remedy}`, 'not-applied')
  }
}

type Send<T> = (batch: readonly T[], record: CollectionRecord, call: BackendCall) => Promise<void>
