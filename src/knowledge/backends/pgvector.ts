/** Knowledge in Postgres with the extension pgvector: HNSW or IVFFlat indexes, filters answered by the server, answers as of one moment. */
import { emitWarning } from 'node:process'
import { sqlState } from '../../engines/postgres-errors.ts'
import { openPostgresBackend, postgresTables, type OpenedPostgres } from '../../engines/postgres-options.ts'
import { ABORT_ANSWER_MS, type PostgresEngine } from '../../engines/postgres.ts'
import { distinctValues } from '../../engines/sql.ts'
import { HoldfastError, isHoldfastError } from '../../errors.ts'
import type { BackendCall, WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { invalid } from '../../store/text.ts'
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  ListRecordQuery,
  SearchRecordQuery,
} from '../contract.ts'
import { checkNotRecreated, collectionMissing, documentTaken } from '../faults.ts'
import type { FilterNode } from '../filter.ts'
import { PgvectorCollections, pgvectorSchema, type Stored } from '../pgvector-collections.ts'
import { PgvectorDocuments, toDocumentRecord, type DocumentRow } from '../pgvector-documents.ts'
import { explainExtension, findExtension, type VectorExtension } from '../pgvector-extension.ts'
import { checkConstruction, PGVECTOR_OPTIONS, type PgvectorOptions } from '../pgvector-options.ts'
import { fitsIndex, isIndexed, PgvectorSearch, toHitRecord, type HitRow } from '../pgvector-search.ts'

export type { PgvectorOptions } from '../pgvector-options.ts'

export const capabilities: KnowledgeCapabilities = {
  filter: { exists: true, null: true, arrays: true, nested: true, declared: false },
  insert: 'atomic',
  get: true,
  list: true,
  count: true,
  deleteByFilter: true,
  visibility: 'immediate',
}

/** pgvector's columns hold 16,000 dimensions, Postgres's values 1 GB; what is JSON in JSON on its way must fit into one string of Node. */
const LIMITS = { contentBytes: 50_000_000, jsonBytes: 10_000_000, dimension: 16_000, batch: 10_000 } as const

export const tables = postgresTables(pgvectorSchema)

export const create = defineBackend<PgvectorOptions, KnowledgeBackend>(PGVECTOR_OPTIONS, async (options, context) => {
  checkConstruction(options)
  const opened = await openPostgresBackend(options, context, pgvectorSchema).catch((error: unknown) => {
    throw explainExtension(error)
  })
  try {
    return new PgvectorKnowledge(opened, await findExtension(opened.engine), options)
  } catch (error) {
    await opened.engine.close()
    throw error
  }
})

const UNDEFINED_TABLE = '42P01'
const UNIQUE_VIOLATION = '23505'
/** Documents written between two looks at whether IVFFlat's index is due. */
const LISTED_EVERY = 1_000

class PgvectorKnowledge implements KnowledgeBackend {
  readonly capabilities = capabilities
  readonly limits = LIMITS
  readonly abortAnswerMs = ABORT_ANSWER_MS
  readonly #engine: PostgresEngine
  readonly #collections: PgvectorCollections
  readonly #documents: PgvectorDocuments
  readonly #search: PgvectorSearch
  /** What was found with the records that the store was given: it names them in the calls that follow. */
  readonly #stored = new WeakMap<CollectionRecord, Stored>()
  readonly #written = new Map<number, number>()

  constructor({ engine, prefix }: OpenedPostgres, vectors: VectorExtension, options: PgvectorOptions) {
    this.#engine = engine
    this.#collections = new PgvectorCollections(engine.dialect, prefix, vectors, options)
    this.#documents = new PgvectorDocuments(this.#collections, vectors)
    this.#search = new PgvectorSearch(this.#collections, vectors, options)
  }

  createCollection(workspace: string, collection: CollectionRecord, call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#collections.create(workspace, collection), call)
  }

  async describeCollection(workspace: string, name: string, call?: BackendCall): Promise<CollectionRecord | undefined> {
    const found = await this.#engine.read(() => this.#collections.find(workspace, name), call)
    if (found !== undefined) this.#stored.set(found.record, found.stored)
    return found?.record
  }

  async listCollections(workspace: string, call?: BackendCall): Promise<CollectionRecord[]> {
    const { sql, read } = this.#collections.list
    return (await this.#engine.select(sql, [workspace], call)).map(read)
  }

  deleteCollection(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    return this.#engine.write(() => this.#collections.remove(workspace, name), call)
  }

  write(
    workspace: string,
    collection: CollectionRecord,
    documents: readonly DocumentRecord[],
    mode: 'insert' | 'upsert',
    call?: BackendCall,
  ): Promise<void> {
    return this.#on(workspace, collection, call, async (stored) => {
      checkFits(stored, documents)
      await this.#engine
        .write(() => this.#documents.write(stored, documents, mode), call)
        .catch(async (error: unknown) => {
          throw mode === 'insert' && sqlState(error) === UNIQUE_VIOLATION
            ? await this.#taken(stored, collection, documents, error, call)
            : error
        })
      if (stored.index === 'ivfflat') await this.#relist(stored, collection, documents.length)
    })
  }

  get(
    workspace: string,
    collection: CollectionRecord,
    ids: readonly string[],
    withEmbeddings: boolean,
    call?: BackendCall,
  ): Promise<DocumentRecord[]> {
    return this.#on(workspace, collection, call, async (stored) => {
      const { sql, values } = this.#documents.get(stored, ids, withEmbeddings)
      return (await this.#engine.select<DocumentRow>(sql, values, call)).map(toDocumentRecord)
    })
  }

  delete(
    workspace: string,
    collection: CollectionRecord,
    selection: { readonly ids: readonly string[] } | { readonly filter: FilterNode },
    call?: BackendCall,
  ): Promise<number> {
    return this.#on(workspace, collection, call, (stored) =>
      this.#engine.write(() => this.#documents.delete(stored, selection), call),
    )
  }

  count(workspace: string, collection: CollectionRecord, filter: FilterNode | undefined, call?: BackendCall): Promise<number> {
    return this.#on(workspace, collection, call, async (stored) => {
      const { sql, values } = this.#documents.count(stored, filter)
      const [counted] = await this.#engine.select<{ documents: number }>(sql, values, call)
      return counted?.documents ?? 0
    })
  }

  list(workspace: string, collection: CollectionRecord, query: ListRecordQuery, call?: BackendCall): Promise<DocumentRecord[]> {
    return this.#on(workspace, collection, call, async (stored) => {
      const { sql, values } = this.#documents.list(stored, query)
      return (await this.#engine.select<DocumentRow>(sql, values, call)).map(toDocumentRecord)
    })
  }

  search(workspace: string, collection: CollectionRecord, query: SearchRecordQuery, call?: BackendCall): Promise<HitRecord[]> {
    return this.#on(workspace, collection, call, async (stored) =>
      (await this.#found(stored, query, call)).map((found) => toHitRecord(found, stored)),
    )
  }

  async listWorkspaces({ after, limit }: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]> {
    const sql = distinctValues(this.#collections.table, 'workspace', { exclusive: after !== undefined })
    const found = await this.#engine.select<{ value: string }>(sql, [after ?? '', limit], call)
    return found.map(({ value }) => value)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#engine.ping(call)
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  /** Works on a collection's table. It may have been dropped since it was found, and another one made in its place. */
  async #on<T>(
    workspace: string,
    collection: CollectionRecord,
    call: BackendCall | undefined,
    work: (stored: Stored) => Promise<T>,
  ): Promise<T> {
    let stored = this.#stored.get(collection) ?? (await this.#find(workspace, collection, call))
    for (;;) {
      try {
        return await work(stored)
      } catch (error) {
        if (sqlState(error) !== UNDEFINED_TABLE) throw error
        const gone = stored.n
        stored = await this.#find(workspace, collection, call)
        if (stored.n === gone) throw tableMissing(collection, this.#collections.documents(stored), error)
      }
    }
  }

  async #find(workspace: string, collection: CollectionRecord, call: BackendCall | undefined): Promise<Stored> {
    const found = await this.#engine.read(() => this.#collections.find(workspace, collection.name), call)
    if (found === undefined) throw collectionMissing(collection.name)
    checkNotRecreated(found.record, collection)
    return found.stored
  }

  #found(stored: Stored, query: SearchRecordQuery, call: BackendCall | undefined): Promise<HitRow[]> {
    if (stored.index === 'ivfflat' && isIndexed(stored)) {
      return this.#engine.read(() => this.#search.searchLists(stored, query), call)
    }
    const { sql, values } = this.#search.search(stored, query)
    return this.#engine.select<HitRow>(sql, values, call)
  }

  /** Which id it was that exists; the error as it came where it is gone again. */
  async #taken(
    stored: Stored,
    { name }: CollectionRecord,
    documents: readonly DocumentRecord[],
    error: unknown,
    call: BackendCall | undefined,
  ): Promise<unknown> {
    const ids = documents.map(({ id }) => id)
    const taken = await this.#engine.read(() => this.#documents.taken(stored, ids), call).catch(() => undefined)
    return taken === undefined ? error : documentTaken(name, taken)
  }

  /** What was written is written: an index that cannot be made only leaves searches slow, and they say nothing of it. So this does. */
  async #relist(stored: Stored, { name }: CollectionRecord, count: number): Promise<void> {
    const written = (this.#written.get(stored.n) ?? LISTED_EVERY) + count
    this.#written.set(stored.n, written >= LISTED_EVERY ? 0 : written)
    if (written < LISTED_EVERY) return
    try {
      await this.#engine.write(() => this.#collections.relist(stored))
    } catch (error) {
      // Whoever deletes a collection needs no index of it.
      if (sqlState(error) === UNDEFINED_TABLE) return
      const reason = isHoldfastError(error) ? error.message : String(error)
      emitWarning(`the IVFFlat index of collection ${JSON.stringify(name)} cannot be made: ${reason}`, {
        type: 'HoldfastWarning',
        code: 'HOLDFAST_IVFFLAT',
      })
    }
  }
}

function checkFits(stored: Stored, documents: readonly DocumentRecord[]): void {
  const wrong = documents.find(({ embedding }) => !fitsIndex(stored, embedding!))
  if (wrong === undefined) return
  throw invalid(
    `the embedding of ${JSON.stringify(wrong.id)} has numbers beyond ±65,504, which 16-bit floats (halfvec) cannot hold; create the collection with index: 'none'`,
  )
}

function tableMissing({ name }: CollectionRecord, table: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'CORRUPT',
    `the table ${table} of collection ${JSON.stringify(name)} is missing; delete the collection`,
    { cause },
  )
}
