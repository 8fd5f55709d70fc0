/** Random programs over one collection, compared step by step with the simplest thing that could be right: a list of documents. */
import assert from 'node:assert/strict'
import type * as FastCheck from 'fast-check'
import type { Distance, Filter, Hit } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { compareBytes } from '../../store/text.ts'
import type { Harness } from '../case.ts'
import { allPages } from '../expect.ts'
import { assertBestFirst, scoreOf } from '../knowledge/search.ts'
import { assertClose, contents, eventually, refuses } from '../knowledge/support.ts'
import { filterArbitraries } from './knowledge-arbitraries.ts'
import { mingoOracle, type Oracle } from './knowledge-filter.ts'
import type { PropertyOptions } from './options.ts'
import { loadFastCheck, parameters, withStore } from './run.ts'

type Fc = typeof FastCheck

interface ModelDocument {
  readonly id: string
  readonly content: string
  readonly embedding: readonly number[]
  readonly metadata: Readonly<Record<string, unknown>>
}

type Step =
  | { readonly op: 'insert' | 'upsert'; readonly documents: readonly ModelDocument[] }
  | { readonly op: 'delete' | 'get'; readonly ids: readonly string[] }
  | { readonly op: 'deleteMatching'; readonly filter: Filter }
  | { readonly op: 'count'; readonly filter: Filter | undefined }
  | { readonly op: 'list'; readonly filter: Filter | undefined; readonly limit: number }
  | ({ readonly op: 'search' } & SearchStep)
  | { readonly op: 'recreate'; readonly distance: Distance }

interface SearchStep {
  readonly embedding: readonly number[]
  readonly limit: number
  readonly filter: Filter | undefined
  readonly minScore: number | undefined
}

const FIELDS = { n: 'number', s: 'string', b: 'boolean' } as const
const IDS = ['a', 'A', 'a ', 'b', 'é', '😀', '10', '9', "'"]
const TOLERANCE = 2e-3

/** Every step of a random program gives what the model gives. Rejects with the smallest program that shows a difference. */
export async function knowledgeProperty(harness: Harness<KnowledgeStore>, options: PropertyOptions = {}): Promise<void> {
  const [fc, oracle] = [await loadFastCheck(), await mingoOracle()]
  await withStore(harness, async (store) => {
    let run = 0
    const program = fc.tuple(distances(fc), fc.array(steps(fc, store), { minLength: 1, maxLength: 15 }))
    const property = fc.asyncProperty(program, async ([distance, taken]) => {
      const trial = new Comparison(store, `run-${run++}`, oracle)
      await trial.start(distance)
      for (const step of taken) await trial.take(step)
      await trial.end()
    })
    await fc.assert(property, parameters(options))
  })
}

/** One collection, and what the model says that it holds. */
class Comparison {
  readonly #store: KnowledgeStore
  readonly #collection: string
  readonly #oracle: Oracle
  readonly #documents = new Map<string, ModelDocument>()
  #distance: Distance = 'cosine'

  constructor(store: KnowledgeStore, collection: string, oracle: Oracle) {
    this.#store = store
    this.#collection = collection
    this.#oracle = oracle
  }

  async start(distance: Distance): Promise<void> {
    this.#distance = distance
    this.#documents.clear()
    await this.#store.createCollection(this.#collection, { dimension: 3, distance, fields: FIELDS })
  }

  /** What is left is what the model holds, whole. */
  async end(): Promise<void> {
    await eventually(this.#store, async () => {
      const found = await contents(this.#store, this.#collection)
      assert.deepEqual([...found.keys()].toSorted(), [...this.#documents.keys()].toSorted())
      for (const [id, hit] of found) assertDocument(hit, this.#documents.get(id))
    })
    await this.#store.deleteCollection(this.#collection)
  }

  async take(step: Step): Promise<void> {
    const { capabilities } = this.#store
    switch (step.op) {
      case 'insert':
      case 'upsert':
        return this.#write(step.op, step.documents)
      case 'delete':
        return this.#remove(step.ids)
      case 'deleteMatching':
        return capabilities.deleteByFilter ? this.#removeMatching(step.filter) : undefined
      case 'get':
        return capabilities.get ? this.#get(step.ids) : undefined
      case 'count':
        return capabilities.count ? this.#count(step.filter) : undefined
      case 'list':
        return capabilities.list ? this.#list(step.limit, step.filter) : undefined
      case 'search':
        return this.#search(step)
      case 'recreate':
        assert.equal(await this.#store.deleteCollection(this.#collection), true)
        return this.start(step.distance)
    }
  }

  async #write(mode: 'insert' | 'upsert', documents: readonly ModelDocument[]): Promise<void> {
    const call = this.#store[mode](this.#collection, documents)
    if (mode === 'insert' && documents.some(({ id }) => this.#documents.has(id))) {
      await refuses('CONFLICT', call, 'insert of an id that exists')
      return
    }
    const ids = documents.map(({ id }) => id)
    assert.deepEqual(await call, ids)
    for (const document of documents) this.#documents.set(document.id, document)
    await this.#settle()
  }

  async #remove(ids: readonly string[]): Promise<void> {
    const there = ids.filter((id) => this.#documents.has(id))
    assert.equal(await this.#store.delete(this.#collection, { ids }), there.length)
    for (const id of there) this.#documents.delete(id)
    await this.#settle()
  }

  async #removeMatching(filter: Filter): Promise<void> {
    const there = this.#matching(filter)
    assert.equal(await this.#store.delete(this.#collection, { filter }), there.length, `delete ${JSON.stringify(filter)}`)
    for (const { id } of there) this.#documents.delete(id)
    await this.#settle()
  }

  async #get(ids: readonly string[]): Promise<void> {
    const found = await this.#store.get(this.#collection, ids)
    const expected = ids.filter((id) => this.#documents.has(id))
    assert.deepEqual(
      found.map(({ id }) => id),
      expected,
    )
    for (const document of found) assertDocument(document, this.#documents.get(document.id))
  }

  async #count(filter: Filter | undefined): Promise<void> {
    assert.equal(
      await this.#store.count(this.#collection, filter),
      this.#matching(filter).length,
      `count ${JSON.stringify(filter)}`,
    )
  }

  async #list(limit: number, filter: Filter | undefined): Promise<void> {
    const found = await allPages(limit, (cursor) => this.#store.list(this.#collection, { limit, filter, cursor }), 50)
    const expected = this.#matching(filter).map(({ id }) => id)
    assert.deepEqual(
      found.map(({ id }) => id),
      expected.toSorted(compareBytes),
    )
  }

  async #search(step: SearchStep): Promise<void> {
    const { embedding, limit, filter, minScore } = step
    const hits = await this.#store.search(this.#collection, { embedding, limit, filter, minScore })
    const scores = new Map(this.#matching(filter).map(({ id, embedding: own }) => [id, scoreOf(this.#distance, own, embedding)]))
    assertBestFirst(hits)
    for (const { id, score } of hits) assertClose(score, scores.get(id) ?? Number.NaN, `score of ${JSON.stringify(id)}`)
    // A score at the very edge of minScore may fall on either side.
    const above = (margin: number): number =>
      [...scores.values()].filter((score) => score >= (minScore ?? -Infinity) + margin).length
    assert.ok(hits.length >= Math.min(limit, above(TOLERANCE)), `only ${hits.length} hits of ${above(TOLERANCE)} that match`)
    assert.ok(hits.length <= Math.min(limit, above(-TOLERANCE)), `${hits.length} hits where ${above(-TOLERANCE)} match`)
    this.#assertBest(hits, scores, limit)
  }

  /** No document that was left out, though there was a limit to leave it out for, is better than one that came. */
  #assertBest(hits: readonly Hit[], scores: ReadonlyMap<string, number>, limit: number): void {
    const worst = hits.at(-1)?.score
    if (hits.length < limit || worst === undefined) return
    const came = new Set(hits.map(({ id }) => id))
    for (const [id, score] of scores)
      assert.ok(came.has(id) || score <= worst + TOLERANCE, `${JSON.stringify(id)} is better than the last hit`)
  }

  #matching(filter: Filter | undefined): ModelDocument[] {
    const holds = filter === undefined ? () => true : this.#oracle(filter)
    return [...this.#documents.values()].filter(({ metadata }) => holds(metadata))
  }

  /** On an `eventual` backend the next step must not run before this one shows. */
  async #settle(): Promise<void> {
    if (this.#store.capabilities.visibility !== 'eventual') return
    await eventually(this.#store, async () => {
      const found = await contents(this.#store, this.#collection)
      assert.equal(found.size, this.#documents.size)
      for (const [id, hit] of found) assertDocument(hit, this.#documents.get(id))
    })
  }
}

function assertDocument(
  actual: { content: string; metadata: unknown; embedding?: Float32Array },
  expected: ModelDocument | undefined,
): void {
  assert.ok(expected, 'a document that the model does not know')
  assert.equal(actual.content, expected.content)
  assert.equal(JSON.stringify(actual.metadata), JSON.stringify(expected.metadata))
  assert.deepEqual(actual.embedding, Float32Array.from(expected.embedding))
}

function steps(fc: Fc, store: KnowledgeStore): FastCheck.Arbitrary<Step> {
  const { metadata, filter } = filterArbitraries(fc, { ...store.capabilities.filter, declared: true })
  const embedding = fc
    .tuple(...Array.from({ length: 3 }, () => fc.integer({ min: -3, max: 3 })))
    .filter((vector) => vector.some((x) => x !== 0))
  const document = fc.record({
    id: fc.constantFrom(...IDS),
    content: fc.string({ unit: 'binary', maxLength: 8 }),
    embedding,
    metadata,
  })
  const documents = fc.uniqueArray(document, { selector: ({ id }) => id, minLength: 1, maxLength: 4 })
  const ids = fc.uniqueArray(fc.constantFrom(...IDS, 'missing'), { maxLength: 4 })
  const maybe = fc.option(filter, { nil: undefined })
  const limit = fc.integer({ min: 1, max: 6 })
  const minScore = fc.option(fc.double({ min: -2, max: 2, noNaN: true }), { nil: undefined })
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('insert' as const), documents }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('upsert' as const), documents }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('search' as const), embedding, limit, filter: maybe, minScore }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), ids }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('deleteMatching' as const), filter }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('get' as const), ids }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('count' as const), filter: maybe }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('list' as const), filter: maybe, limit }) },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('recreate' as const),
        distance: distances(fc),
      }),
    },
  )
}

function distances(fc: Fc): FastCheck.Arbitrary<Distance> {
  return fc.constantFrom('cosine', 'dot', 'euclidean')
}
