/** LangChain.js vector stores for tests, with the habits of real ones, and harnesses over them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DocumentInterface } from '@langchain/core/documents'
import { FakeEmbeddings, FakeVectorStore } from '@langchain/core/utils/testing'
import { VectorStore } from '@langchain/core/vectorstores'
import type { Harness } from '../src/conformance/case.ts'
import { wireOutage } from '../src/conformance/run.ts'
import type { LangChainCollection, LangChainKnowledgeOptions } from '../src/knowledge/backends/langchain.ts'
import type { Distance } from '../src/knowledge/contract.ts'
import { score } from '../src/knowledge/score.ts'
import type { KnowledgeStore } from '../src/knowledge/store.ts'
import { create as createMemory } from '../src/state/backends/memory.ts'
import { create as createSqlite } from '../src/state/backends/sqlite.ts'
import type { StateBackend } from '../src/state/contract.ts'
import { StateStore } from '../src/state/store.ts'
import { builtIn, harnessOver, localContext } from './conformance/harness.ts'

/** In which a store differs from the best one there could be. */
export interface Habits {
  /** Makes ids of its own, and returns them. */
  readonly ownIds?: boolean
  /** Takes no ids and returns none, so that nothing can be deleted by id. */
  readonly noIds?: boolean
  /** Adds a vector once more where the id is there already. */
  readonly duplicates?: boolean
  /** As LangChain's base class: `delete` throws "Not implemented.". */
  readonly cannotDelete?: boolean
  /** As Faiss: deletes nothing, and fails, where one of the ids is not there. */
  readonly strictDelete?: boolean
  /** Gives at most so many hits, whatever is asked for. */
  readonly atMost?: number
  /** Leaves out every n-th vector from every answer, as an approximate index may. */
  readonly misses?: number
  /** What was added is found so many milliseconds later. */
  readonly lagMs?: number
  /** The score is a distance: less is nearer. */
  readonly distances?: boolean
  /** Ranks by this, whatever the collection says. */
  readonly metric?: Distance
  /** A search before the first vector fails. */
  readonly needsVectors?: boolean
  /** Called before each method; throws or waits. */
  readonly before?: (method: 'addVectors' | 'delete' | 'search') => Promise<void> | void
  /** Called after what the method does. */
  readonly after?: (method: 'addVectors' | 'delete' | 'search') => Promise<void> | void
}

interface Row {
  readonly id: string
  readonly vector: Float32Array
  readonly document: DocumentInterface
  readonly from: number
}

/** A vector store on LangChain's own base class: an exact scan, except where its habits say otherwise. */
export class ScanStore extends VectorStore {
  declare FilterType: object
  readonly calls: string[] = []
  rows: Row[] = []
  #habits: Habits
  readonly #metric: Distance
  #minted = 0

  constructor(metric: Distance, habits: Habits = {}) {
    super(new FakeEmbeddings(), {})
    this.#habits = habits
    this.#metric = habits.metric ?? metric
  }

  set habits(habits: Habits) {
    this.#habits = habits
  }

  _vectorstoreType(): string {
    return 'scan'
  }

  async addDocuments(documents: DocumentInterface[]): Promise<string[] | void> {
    return this.addVectors(await this.embeddings.embedDocuments(documents.map(({ pageContent }) => pageContent)), documents)
  }

  async addVectors(
    vectors: number[][],
    documents: DocumentInterface[],
    options?: { readonly ids?: string[] },
  ): Promise<string[] | void> {
    this.calls.push('addVectors')
    await this.#habits.before?.('addVectors')
    const { ownIds, noIds, duplicates, lagMs = 0 } = this.#habits
    const mint = (): string => `own-${++this.#minted}`
    const ids = documents.map((_, i) => (ownIds || noIds ? mint() : options!.ids![i]!))
    if (!duplicates) this.rows = this.rows.filter(({ id }) => !ids.includes(id))
    const from = Date.now() + lagMs
    // As real stores do, it keeps metadata as JSON.
    const rows = vectors.map((vector, i) => {
      const { pageContent, metadata } = documents[i]!
      const document = { pageContent, metadata: JSON.parse(JSON.stringify(metadata)) as Record<string, unknown> }
      return { id: ids[i]!, vector: Float32Array.from(vector), document, from }
    })
    this.rows = this.rows.concat(rows)
    await this.#habits.after?.('addVectors')
    return noIds ? undefined : ids
  }

  override async delete(params: { readonly ids?: string[] } = {}): Promise<void> {
    this.calls.push('delete')
    if (this.#habits.cannotDelete) return super.delete(params)
    await this.#habits.before?.('delete')
    const gone = new Set(params.ids)
    const missing = params.ids?.filter((id) => !this.rows.some((row) => row.id === id)) ?? []
    if (this.#habits.strictDelete && missing.length > 0) throw new Error(`Some documentIds do not exist: ${missing.join()}`)
    this.rows = this.rows.filter(({ id }) => !gone.has(id))
    await this.#habits.after?.('delete')
  }

  async similaritySearchVectorWithScore(query: number[], k: number): Promise<[DocumentInterface, number][]> {
    this.calls.push(`search ${k}`)
    await this.#habits.before?.('search')
    const { atMost = Infinity, misses, distances, needsVectors } = this.#habits
    if (needsVectors && this.rows.length === 0) throw new Error('Vector store not initialised yet.')
    const wanted = Float32Array.from(query)
    const found = this.rows
      .filter(({ from }, i) => from <= Date.now() && (misses === undefined || i % misses !== 0))
      .map(({ vector, document }) => ({ document, score: score(this.#metric, wanted, vector) }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, Math.min(k, atMost))
    await this.#habits.after?.('search')
    return found.map(({ document, score }) => [document, distances ? 1 - score : score])
  }
}

/** LangChain's own store in memory, as `@langchain/core` has it: no ids, no deletion. */
export function fakeStore(distance: Distance): FakeVectorStore {
  const similarity = (a: number[], b: number[]): number => score(distance, Float32Array.from(a), Float32Array.from(b))
  return new FakeVectorStore(new FakeEmbeddings(), { similarity })
}

/** What a harness gives its stores to stand on. */
export interface Ground {
  readonly state: () => Promise<StateBackend>
  readonly remove: () => Promise<unknown>
}

export async function memoryGround(): Promise<Ground> {
  const backend = await createMemory({}, localContext('state', 'memory'))
  return {
    state: async () => Object.assign(Object.create(backend) as StateBackend, bound(backend)),
    remove: () => backend.close(),
  }
}

/** Its methods but `close`: it outlives its handles, as a server does. */
function bound(backend: StateBackend): StateBackend {
  const names = ['get', 'commit', 'scan', 'listSpaces', 'ping'] as const
  const methods = Object.fromEntries(names.map((name) => [name, backend[name]!.bind(backend)]))
  return { ...methods, capabilities: backend.capabilities, close: async () => undefined } as unknown as StateBackend
}

export async function sqliteGround(): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-langchain-'))
  return {
    state: async () => createSqlite({ path: join(folder, 'documents.db') }, localContext('state', 'sqlite')),
    remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
  }
}

export type Options = Partial<LangChainKnowledgeOptions> & { readonly retries?: number }

/** Opens the knowledge store as users do. */
export function openLangChain(
  documents: StateStore,
  options: Options & Pick<LangChainKnowledgeOptions, 'store'>,
): Promise<KnowledgeStore> {
  return builtIn('knowledge').create('langchain', { retries: 0, ...options, documents })
}

export function stateStore(backend: StateBackend): StateStore {
  return new StateStore(backend, { name: 'sidecar', retries: 0 })
}

export interface HarnessOptions extends Options {
  readonly ground?: () => Promise<Ground>
  /** Changes what the sidecar can do. */
  readonly wrap?: (backend: StateBackend) => StateBackend
  readonly habits?: Habits
  /** A store of LangChain's own in place of a `ScanStore`. */
  readonly make?: (collection: LangChainCollection) => VectorStore
}

/** Handles share the vector stores of a place and its state; both can be cut off. */
export function langchainHarness(options: HarnessOptions = {}): Harness<KnowledgeStore> {
  const { ground = memoryGround, wrap = (backend) => backend, habits, make, ...rest } = options
  return harnessOver(async () => {
    const { state, remove } = await ground()
    const stores = new Map<string, VectorStore>()
    return {
      remove,
      open: async () => {
        const wire = wireOutage(wrap(await state()))
        const documents = stateStore(wire.backend)
        let isCut = false
        const store = (collection: LangChainCollection): VectorStore => {
          const found = stores.get(collection.id) ?? make?.(collection) ?? new ScanStore(collection.distance, habits)
          stores.set(collection.id, found)
          return cuttable(found, () => isCut)
        }
        const knowledge = await openLangChain(documents, { visibility: 'immediate', store, ...rest })
        const { close } = knowledge
        knowledge.close = async () => {
          await close.call(knowledge)
          await documents.close()
        }
        return {
          store: knowledge,
          cut: () => {
            isCut = true
            wire.cut()
          },
          heal: () => {
            isCut = false
            wire.heal()
          },
        }
      },
    }
  })
}

function cuttable(store: VectorStore, isCut: () => boolean): VectorStore {
  return new Proxy(store, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target)
      if (typeof member !== 'function') return member
      return (...args: unknown[]): unknown =>
        isCut() ? Promise.reject(new Error('fetch failed')) : Reflect.apply(member, target, args)
    },
  })
}
