/** Knowledge in an SQLite file, by Node's own `node:sqlite`: the default. Searches are exact: scans of all vectors, in memory. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Script } from '../../engines/sql.ts'
import {
  openSqliteBackend,
  SQLITE_OPTIONS,
  sqliteTables,
  type OpenedSqlite,
  type SqliteOptions,
} from '../../engines/sqlite-options.ts'
import type { SqliteEngine } from '../../engines/sqlite.ts'
import { HoldfastError } from '../../errors.ts'
import type { BackendCall, WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { compareBytes } from '../../store/text.ts'
import { fromBlob } from '../blob.ts'
import type {
  CollectionRecord,
  Distance,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  ListRecordQuery,
  SearchRecordQuery,
} from '../contract.ts'
import { checkNotRecreated } from '../faults.ts'
import { matches, type FilterNode } from '../filter.ts'
import { LiveIndex, type Loaded } from '../live-index.ts'
import { parseMetadata } from '../records.ts'
import { ScanBudget } from '../scan-budget.ts'
import { VECTOR_OPTIONS, type VectorOptions } from '../scan-options.ts'
import type { ScanOptions } from '../scan.ts'
import { score } from '../score.ts'
import {
  KnowledgeSql,
  knowledgeSchema,
  toCollectionRecord,
  toDocumentRecord,
  type ChangeRow,
  type DocumentRow,
  type SettingsRow,
} from '../sql.ts'

export interface SqliteKnowledgeOptions extends SqliteOptions, VectorOptions {}

export const capabilities: KnowledgeCapabilities = {
  filter: { exists: true, null: true, arrays: true, nested: true, declared: false },
  insert: 'atomic',
  get: true,
  list: true,
  count: true,
  deleteByFilter: true,
  visibility: 'immediate',
}

/** SQLite takes rows of 1,000,000,000 bytes; long before that, one document would hold up the event loop for seconds. */
const LIMITS = { contentBytes: 100_000_000, jsonBytes: 100_000_000, dimension: 65_536 } as const

export const tables = sqliteTables('knowledge', knowledgeSchema)

export const create = defineBackend<SqliteKnowledgeOptions, KnowledgeBackend>(
  { ...SQLITE_OPTIONS, ...VECTOR_OPTIONS },
  async ({ scan, maxVectorMemoryMb, ...options }) =>
    new SqliteKnowledge(await openSqliteBackend('knowledge', options, knowledgeSchema), { scan, maxVectorMemoryMb }),
)

/** The vectors in memory: by prefix, workspace and collection. */
interface Shelf {
  readonly indexes: Map<string, LiveIndex>
  readonly scan: ScanOptions
  users: number
}

/** Stores on one file share its connection, and so, where their options are the same, the vectors. */
const shelves = new WeakMap<SqliteEngine, Map<string, Shelf>>()

function shelfOf(engine: SqliteEngine, { scan: mode, maxVectorMemoryMb }: VectorOptions): Shelf {
  const ofEngine = shelves.get(engine) ?? new Map<string, Shelf>()
  shelves.set(engine, ofEngine)
  const key = JSON.stringify([mode, maxVectorMemoryMb])
  const shelf = ofEngine.get(key) ?? { indexes: new Map(), scan: { mode, budget: new ScanBudget(maxVectorMemoryMb) }, users: 0 }
  ofEngine.set(key, shelf)
  shelf.users++
  return shelf
}

class SqliteKnowledge implements KnowledgeBackend {
  readonly capabilities = capabilities
  readonly limits = LIMITS
  readonly backup: OpenedSqlite['backup']
  readonly #engine: SqliteEngine
  readonly #prefix: string
  readonly #sql: KnowledgeSql
  readonly #shelf: Shelf
  #isClosed = false

  constructor({ engine, prefix, backup }: OpenedSqlite, options: VectorOptions) {
    this.backup = backup
    this.#engine = engine
    this.#prefix = prefix
    this.#sql = new KnowledgeSql(engine.dialect, prefix)
    this.#shelf = shelfOf(engine, options)
  }

  createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#sql.create(workspace, collection), call)
  }

  async describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined> {
    const [found] = await this.#engine.select<SettingsRow>(this.#sql.describe, [workspace, name], call)
    // Another process may have deleted it; its vectors need not stay in memory.
    if (found === undefined) this.#drop(this.#key(workspace, name))
    return found && toCollectionRecord(found)
  }

  async listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]> {
    const found = await this.#engine.select<SettingsRow>(this.#sql.listCollections, [workspace], call)
    return found.map(toCollectionRecord)
  }

  async deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    const deleted = await this.#engine.write(() => this.#sql.remove(workspace, name), call)
    this.#drop(this.#key(workspace, name))
    return deleted
  }

  write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void> {
    return this.#engine.write(() => this.#sql.write(workspace, collection, documents, mode), call)
  }

  async get(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    const found = await this.#engine.read(() => this.#sql.get(workspace, collection, ids, withEmbeddings), call)
    return found.map(toDocumentRecord)
  }

  delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number> {
    return this.#engine.write(
      () =>
        'ids' in selection
          ? this.#sql.delete(workspace, collection, selection.ids)
          : this.#sql.deleteMatching(workspace, collection, selection.filter),
      call,
    )
  }

  async count(
    workspace: string,
    collection: CollectionRecord,
    filter: FilterNode | undefined,
    call?: BackendCall,
  ): Promise<number> {
    if (filter !== undefined) return (await this.#fresh(workspace, collection)).scan.matching(filter).length
    const { documents } = await this.#engine.read(() => this.#sql.open(workspace, collection), call)
    return documents
  }

  /** With a filter it reads piece by piece, and the event loop gets its turn between two. */
  async list(
    workspace: string,
    collection: CollectionRecord,
    query: ListRecordQuery,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    const found: DocumentRow[] = []
    let after = query.after ?? ''
    for (;;) {
      const limit = query.limit - found.length
      const page = await this.#engine.read(() => this.#sql.list(workspace, collection, { ...query, after, limit }), call)
      found.push(...page.rows)
      if (page.next === undefined || found.length >= query.limit) return found.map(toDocumentRecord)
      after = page.next
      await turn()
      call?.signal?.throwIfAborted()
    }
  }

  /** Exact as of one moment: what changes while the index is scanned is made up for when the documents are read. */
  async search(
    workspace: string,
    collection: CollectionRecord,
    query: SearchRecordQuery,
    call?: BackendCall,
  ): Promise<HitRecord[]> {
    for (let spare = 0; ; spare = 2 * spare + query.limit) {
      const loaded = await this.#fresh(workspace, collection)
      const best = await loaded.scan.search(query.embedding, query.limit + spare, query.filter)
      const isAll = best.length < query.limit + spare
      const hits = await this.#engine.read(() => this.#answer(workspace, collection, query, loaded, best, isAll), call)
      if (hits !== undefined) return hits
      call?.signal?.throwIfAborted()
    }
  }

  async listWorkspaces({ after, limit }: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]> {
    const sql = this.#sql.listWorkspaces(after !== undefined)
    const found = await this.#engine.select<{ value: string }>(sql, [after ?? '', limit], call)
    return found.map(({ value }) => value)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#engine.ping(call)
  }

  close(): Promise<void> {
    if (!this.#isClosed && --this.#shelf.users === 0) for (const key of this.#shelf.indexes.keys()) this.#drop(key)
    this.#isClosed = true
    return this.#engine.close()
  }

  async #fresh(workspace: string, collection: CollectionRecord): Promise<Loaded> {
    const key = this.#key(workspace, collection.name)
    const { indexes, scan } = this.#shelf
    for (;;) {
      const index = indexes.get(key) ?? new LiveIndex(this.#engine, this.#sql, workspace, collection.name, scan)
      // The one that was used last stands last.
      indexes.delete(key)
      indexes.set(key, index)
      try {
        const loaded = await index.fresh()
        checkNotRecreated(loaded.collection, collection)
        return loaded
      } catch (error) {
        if (!(error instanceof HoldfastError && error.code === 'QUOTA_EXCEEDED' && this.#dropAnother(key))) throw error
      }
    }
  }

  /** Frees the memory of the collection that was searched longest ago; it is loaded again when it is searched again. */
  #dropAnother(key: string): boolean {
    const oldest = this.#shelf.indexes.keys().find((other) => other !== key)
    if (oldest !== undefined) this.#drop(oldest)
    return oldest !== undefined
  }

  /** Undefined where too few of the best are as they were to be sure of the answer. `isAll`: they are all that matched. */
  *#answer(
    workspace: string,
    collection: CollectionRecord,
    query: SearchRecordQuery,
    loaded: Loaded,
    best: readonly Ranked[],
    isAll: boolean,
  ): Script<HitRecord[] | undefined> {
    const missed = yield* this.#sql.missed(workspace, collection, loaded)
    if (missed === undefined) return undefined
    const changed = new Set(missed.map(({ id }) => id))
    const kept = changed.size === 0 ? best : best.filter(({ id }) => !changed.has(id))
    if (kept.length < query.limit && !isAll) return undefined
    const winners = kept
      .concat(judged(missed, query, collection.distance))
      .toSorted(byScore)
      .slice(0, query.limit)
    const found = yield* this.#sql.byIds(
      loaded.n,
      winners.map(({ id }) => id),
      query.withEmbeddings,
    )
    const rows = new Map(found.map((row) => [row.id, row]))
    return winners.map(({ id, score }) => ({ ...toDocumentRecord(rows.get(id)!), score }))
  }

  #drop(key: string): void {
    this.#shelf.indexes.get(key)?.close()
    this.#shelf.indexes.delete(key)
  }

  #key(workspace: string, name: string): string {
    return JSON.stringify([this.#prefix, workspace, name])
  }
}

interface Ranked {
  readonly id: string
  readonly score: number
}

/** Those of the changed documents that match. */
function judged(changes: readonly ChangeRow[], { embedding: query, filter }: SearchRecordQuery, distance: Distance): Ranked[] {
  return changes.flatMap(({ id, metadata, embedding }) => {
    if (metadata === null || embedding === null) return []
    if (filter !== undefined && !matches(filter, parseMetadata({ id, metadata }))) return []
    return [{ id, score: score(distance, query, fromBlob(embedding)) }]
  })
}

function byScore(a: Ranked, b: Ranked): number {
  return b.score - a.score || compareBytes(a.id, b.id)
}
