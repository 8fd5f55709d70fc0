/** The knowledge cases: every sentence of the contract as a program. */
import type { KnowledgeStore } from '../knowledge/store.ts'
import { commonCases, type Call, type CommonSubject } from './common.ts'
import { collectionCases } from './knowledge/collections.ts'
import { countCases, documentCases, getCases } from './knowledge/documents.ts'
import { embeddingCases, outcomeCases, raceCases } from './knowledge/embedding.ts'
import { capabilityCases } from './knowledge/filter-capabilities.ts'
import { strictnessCases } from './knowledge/filter-strictness.ts'
import { operatorCases } from './knowledge/filter.ts'
import { deleteCases, listCases } from './knowledge/listing.ts'
import { refusalCases } from './knowledge/refusals.ts'
import { scoreCases, searchCases } from './knowledge/search.ts'
import { handleCases, isolationCases, nameCases } from './knowledge/sharing.ts'
import { contents, doc, DOCS, PROBE, seed, type KnowledgeCase } from './knowledge/support.ts'
import { insertCases, upsertCases } from './knowledge/writing.ts'

const FIELDS = { x: 'number' } as const
const CREATED = new Date(1_000)

/** How the cases that hold for every store use this kind. */
const subject: CommonSubject<KnowledgeStore> = {
  kind: 'knowledge',
  seed: (store) =>
    seed(
      store,
      [1, 2].map((x) => doc(`d${x}`, { metadata: { x }, createdAt: CREATED })),
      { fields: FIELDS },
    ),
  async snapshot(store) {
    const collections = await store.listCollections()
    const found = await Promise.all(collections.map(({ name, dimension }) => contents(store, name, dimension)))
    return collections.map((collection, i) => ({ collection, documents: [...(found[i] ?? [])] }))
  },
  reads: ({ capabilities }) => ({
    ...READS,
    ...(capabilities.get && { get }),
    ...(capabilities.count && { count }),
    ...(capabilities.list && { list }),
  }),
  writes: (store) => ({ ...WRITES, ...(store.capabilities.deleteByFilter && { deleteByFilter }), ...ENDINGS }),
}

const READS: Readonly<Record<string, Call<KnowledgeStore>>> = {
  describeCollection: (store, options) => store.describeCollection(DOCS, options),
  collectionExists: (store, options) => store.collectionExists(DOCS, options),
  listCollections: (store, options) => store.listCollections(options),
  search: (store, options) => store.search(DOCS, { embedding: PROBE, ...options }),
  filteredSearch: (store, options) => store.search(DOCS, { embedding: PROBE, filter: { x: 1 }, ...options }),
}

const get: Call<KnowledgeStore> = (store, options) => store.get(DOCS, ['d1'], options)
const count: Call<KnowledgeStore> = (store, options) => store.count(DOCS, { x: 1 }, options)
const list: Call<KnowledgeStore> = (store, options) => store.list(DOCS, { limit: 1, ...options })

const WRITES: Readonly<Record<string, Call<KnowledgeStore>>> = {
  createCollection: (store, options) => store.createCollection('more', { dimension: 2, ...options }),
  insert: (store, options) => store.insert(DOCS, [doc('new')], options),
  upsert: (store, options) => store.upsert(DOCS, [doc('d1')], options),
  delete: (store, options) => store.delete(DOCS, { ids: ['d1'], ...options }),
}

const deleteByFilter: Call<KnowledgeStore> = (store, options) => store.delete(DOCS, { filter: { x: 2 }, ...options })

/** Last, because nothing can follow them. */
const ENDINGS: Readonly<Record<string, Call<KnowledgeStore>>> = {
  deleteCollection: (store, options) => store.deleteCollection(DOCS, options),
  clear: (store, options) => store.clear(options),
}

export const knowledgeCases: readonly KnowledgeCase[] = [
  ...commonCases(subject),
  ...collectionCases,
  ...nameCases,
  ...insertCases,
  ...upsertCases,
  ...refusalCases,
  ...documentCases,
  ...getCases,
  ...countCases,
  ...listCases,
  ...deleteCases,
  ...scoreCases,
  ...searchCases,
  ...operatorCases,
  ...strictnessCases,
  ...capabilityCases,
  ...isolationCases,
  ...handleCases,
  ...embeddingCases,
  ...outcomeCases,
  ...raceCases,
]
