/** search: scores, their order, how many hits, and what a hit holds. */
import assert from 'node:assert/strict'
import type { Distance, Embedding, Hit, SearchQuery } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { assertClose, contents, doc, DOCS, eventually, PROBE, read, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

/** Not normalised, in all directions: cosine, dot product and distance each order them differently. */
const VECTORS: Readonly<Record<string, readonly number[]>> = {
  near: [2, 1, 0],
  far: [20, 9, 1],
  small: [0.02, 0.01, 0.001],
  side: [0, 0, 3],
  behind: [-2, -1, 0],
  tilted: [1, -1.5, 0.5],
}
const QUERY = [2.5, 1, 0.25]

/** The contract's score, computed here from its definition in doubles. */
export function scoreOf(distance: Distance, a: Embedding, b: Embedding): number {
  let [dot, aa, bb, squares] = [0, 0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0]
    dot += x * y
    aa += x * x
    bb += y * y
    squares += (x - y) ** 2
  }
  if (distance === 'dot') return dot
  return distance === 'cosine' ? dot / Math.sqrt(aa * bb) : 1 / (1 + Math.sqrt(squares))
}

export const scoreCases: readonly KnowledgeCase[] = [
  ...(['cosine', 'dot', 'euclidean'] as const).map(scoreCase),
  {
    id: 'knowledge/score/recomputed-after-upsert',
    sentence: 'The score follows the embedding: after an upsert a search ranks by the new one.',
    async run({ store }) {
      await seed(store, [doc('a', { embedding: [1, 0, 0] }), doc('b', { embedding: [0, 1, 0] })])
      const query = { embedding: [1, 0, 0], limit: 2 }
      await eventually(store, async () => assert.equal((await store.search(DOCS, query))[0]?.id, 'a'))
      await store.upsert(DOCS, [doc('a', { embedding: [0, 0, 1] }), doc('b', { embedding: [3, 0, 0] })])
      await eventually(store, async () => {
        const [first, second] = await store.search(DOCS, query)
        assert.deepEqual([first?.id, second?.id], ['b', 'a'])
        assertClose(first?.score ?? Number.NaN, 1, 'score of b')
        assertClose(second?.score ?? Number.NaN, 0, 'score of a')
      })
    },
  },
  {
    id: 'knowledge/score/one-dimension',
    sentence: 'One dimension is enough.',
    async run({ store }) {
      await seed(store, [doc('a', { embedding: [-4] }), doc('b', { embedding: [2] })], { dimension: 1, distance: 'dot' })
      await eventually(store, async () => assert.deepEqual(await scores(store, { embedding: [3] }), { b: 6, a: -12 }))
    },
  },
  {
    id: 'knowledge/score/many-dimensions',
    sentence: 'Embeddings of the usual 1,536 dimensions keep every number and score right.',
    skip: ({ limits }) => ((limits.dimension ?? Infinity) < 1_536 ? 'limits.dimension is below 1,536' : undefined),
    async run({ store }) {
      const wave = (shift: number): Float32Array => Float32Array.from({ length: 1_536 }, (_, i) => Math.sin(i * 0.7 + shift))
      await seed(store, [doc('a', { embedding: wave(0) }), doc('b', { embedding: wave(2) })], { dimension: 1_536 })
      const [first, second] = await store.search(DOCS, { embedding: wave(0.3), withEmbeddings: true })
      assert.deepEqual(first?.embedding, wave(0))
      assertClose(first?.score ?? Number.NaN, scoreOf('cosine', wave(0), wave(0.3)), 'score of a')
      assertClose(second?.score ?? Number.NaN, scoreOf('cosine', wave(2), wave(0.3)), 'score of b')
    },
  },
]

function scoreCase(distance: Distance): KnowledgeCase {
  const means = { cosine: 'the cosine similarity', dot: 'the dot product', euclidean: '1 / (1 + distance)' }[distance]
  return {
    id: `knowledge/score/${distance}`,
    sentence: `Under ${distance} the score is ${means}, and the best hit comes first.`,
    async run({ store }) {
      await seed(
        store,
        Object.entries(VECTORS).map(([id, embedding]) => doc(id, { embedding })),
        { distance },
      )
      const expected = Object.entries(VECTORS).map(([id, vector]) => ({ id, score: scoreOf(distance, vector, QUERY) }))
      await eventually(store, async () => {
        assertRanking(await store.search(DOCS, { embedding: QUERY, limit: 10 }), expected)
        // An engine that ranks by another distance picks others, even where the store corrects the scores.
        assertRanking(await store.search(DOCS, { embedding: QUERY, limit: 2 }), best(expected).slice(0, 2))
      })
    },
  }
}

interface Scored {
  readonly id: string
  readonly score: number
}

function best(scored: readonly Scored[]): Scored[] {
  return scored.toSorted((a, b) => b.score - a.score)
}

function assertRanking(hits: readonly Hit[], expected: readonly Scored[]): void {
  assertBestFirst(hits)
  assert.deepEqual(
    hits.map(({ id }) => id),
    best(expected).map(({ id }) => id),
    'the best must come first',
  )
  for (const { id, score } of expected)
    assertClose(hits.find((hit) => hit.id === id)?.score ?? Number.NaN, score, `score of ${id}`)
}

export function assertBestFirst(hits: readonly Hit[]): void {
  for (const [i, hit] of hits.entries()) {
    assert.ok(i === 0 || hit.score <= hits[i - 1]!.score, `hit ${i} scores higher than the one before it`)
  }
}

async function scores(store: KnowledgeStore, query: SearchQuery): Promise<Record<string, number>> {
  const hits = await store.search(DOCS, query)
  return Object.fromEntries(hits.map(({ id, score }) => [id, score]))
}

export const searchCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/search/limit',
    sentence: 'search gives exactly min(limit, documents) hits, five by default, and they are the best ones.',
    async run({ store }) {
      await seed(
        store,
        Array.from({ length: 8 }, (_, i) => doc(`d${i}`, { embedding: [1, i / 4, 0] })),
      )
      const found = async (limit?: number): Promise<string[]> =>
        (await store.search(DOCS, { embedding: [1, 0, 0], limit })).map(({ id }) => id)
      assert.deepEqual(await found(), ['d0', 'd1', 'd2', 'd3', 'd4'])
      assert.deepEqual(await found(1), ['d0'])
      assert.deepEqual(await found(7), ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6'])
      assert.equal((await found(10_000)).length, 8)
    },
  },
  {
    id: 'knowledge/search/empty',
    sentence: 'A collection without documents gives no hits, and so does one whose documents were all deleted.',
    async run({ store }) {
      await seed(store, [])
      assert.deepEqual(await store.search(DOCS, { embedding: PROBE }), [])
      await store.insert(DOCS, [doc('a')])
      await eventually(store, async () => void (await read(store, 'a')))
      await store.delete(DOCS, { ids: ['a'] })
      await eventually(store, async () => assert.deepEqual(await store.search(DOCS, { embedding: PROBE }), []))
    },
  },
  {
    id: 'knowledge/search/rare-matches',
    sentence: 'A filter that few documents pass still gives min(limit, matches) hits, the best of those that match.',
    async run({ store }) {
      // The three that match are the worst of 500: a filter applied to the best few finds none of them.
      const rare = new Set([120, 260, 400])
      const documents = Array.from({ length: 500 }, (_, i) =>
        doc(`d${i}`, {
          embedding: rare.has(i) ? [-1, i / 100, 0] : [1, i / 1_000, 0],
          metadata: { kind: rare.has(i) ? 'rare' : 'common' },
        }),
      )
      await seed(store, documents, { fields: { kind: 'string' } })
      const found = async (limit: number): Promise<string[]> =>
        (await store.search(DOCS, { embedding: [1, 0, 0], limit, filter: { kind: 'rare' } })).map(({ id }) => id)
      await eventually(store, async () => {
        assert.deepEqual(await found(5), ['d400', 'd260', 'd120'])
        assert.deepEqual(await found(2), ['d400', 'd260'])
      })
    },
  },
  {
    id: 'knowledge/search/ties',
    sentence: 'Documents that score the same count each: never more or fewer than min(limit, matches).',
    async run({ store }) {
      await seed(
        store,
        Array.from({ length: 9 }, (_, i) => doc(`d${i}`)),
      )
      for (const limit of [1, 4, 9, 20]) {
        const hits = await store.search(DOCS, { embedding: PROBE, limit })
        assert.equal(new Set(hits.map(({ id }) => id)).size, Math.min(limit, 9), `limit ${limit}`)
        assert.equal(hits.length, Math.min(limit, 9))
      }
    },
  },
  {
    id: 'knowledge/search/min-score',
    sentence: 'minScore keeps the hits that score at least that, whatever its sign.',
    async run({ store }) {
      const documents = [4, 2, 0, -2, -4].map((x, i) => doc(`d${i}`, { embedding: [x, 1, 0], metadata: { i } }))
      await seed(store, documents, { distance: 'dot', fields: { i: 'number' } })
      const found = async (minScore: number, extra: Partial<SearchQuery> = {}): Promise<string> =>
        (await store.search(DOCS, { embedding: [1, 0, 0], minScore, ...extra } as SearchQuery)).map(({ id }) => id).join(' ')
      assert.equal(await found(0.5), 'd0 d1')
      assert.equal(await found(-3), 'd0 d1 d2 d3')
      assert.equal(await found(0), 'd0 d1 d2', 'a score equal to minScore stays')
      assert.equal(await found(5), '')
      assert.equal(await found(-100), 'd0 d1 d2 d3 d4')
      assert.equal(await found(-3, { limit: 2 }), 'd0 d1')
      assert.equal(await found(-3, { filter: { i: { $gt: 0 } } }), 'd1 d2 d3')
    },
  },
  {
    id: 'knowledge/search/whole-documents',
    sentence: 'A hit holds the document’s fields and its score; the embedding only where asked for.',
    async run({ store }) {
      const createdAt = new Date(1_700_000_000_001)
      await seed(store, [doc('a', { content: '', metadata: { k: [null, {}] }, createdAt, embedding: [3, 4, 0] })], {
        distance: 'dot',
      })
      const fields = { id: 'a', content: '', metadata: { k: [null, {}] }, contentHash: 'e3b0c44298fc1c14', createdAt, score: 3 }
      assert.deepEqual(await store.search(DOCS, { embedding: [1, 0, 0] }), [fields])
      assert.deepEqual(await store.search(DOCS, { embedding: [1, 0, 0], withEmbeddings: true }), [
        { ...fields, embedding: new Float32Array([3, 4, 0]) },
      ])
    },
  },
  {
    id: 'knowledge/search/deleted-and-replaced',
    sentence: 'search never finds what was deleted or replaced.',
    async run({ store }) {
      await seed(store, [doc('a', { metadata: { v: 1 } }), doc('b', { metadata: { v: 1 } })], { fields: { v: 'number' } })
      await store.search(DOCS, { embedding: PROBE })
      await store.delete(DOCS, { ids: ['a'] })
      await store.upsert(DOCS, [doc('b', { metadata: { v: 2 } })])
      await eventually(store, async () => {
        assert.deepEqual([...(await contents(store)).keys()], ['b'])
        assert.deepEqual(await store.search(DOCS, { embedding: PROBE, filter: { v: 1 } }), [])
      })
    },
  },
  {
    id: 'knowledge/search/query-is-copied',
    sentence: 'A query is a list of numbers or a Float32Array, and what its owner does to it during the call changes nothing.',
    async run({ store }) {
      await seed(store, [doc('a', { embedding: [1, 0, 0] }), doc('b', { embedding: [0, 1, 0] })])
      const embedding = new Float32Array([1, 0, 0])
      const pending = store.search(DOCS, { embedding, limit: 1 })
      embedding.set([0, 1, 0])
      assert.equal((await pending)[0]?.id, 'a')
      assert.equal((await store.search(DOCS, { embedding, limit: 1 }))[0]?.id, 'b')
    },
  },
  {
    id: 'knowledge/search/bad-queries',
    sentence:
      'A query of the wrong dimension, with NaN, without a direction under cosine, or without anything to search by is refused.',
    async run({ store }) {
      await seed(store, [doc('a')])
      for (const embedding of [[1, 2], [1, 2, 3, 4], [], [0, 0, 0], [1, Number.NaN, 0], [1, Infinity, 0], '1,2,3', [1, '2', 3]]) {
        await refuses(WRONG, store.search(DOCS, { embedding } as SearchQuery), `query ${JSON.stringify(embedding)}`)
      }
      for (const query of [{}, undefined, null, { embedding: PROBE, text: 'both' }]) {
        await refuses(WRONG, store.search(DOCS, query as unknown as SearchQuery), JSON.stringify(query))
      }
      for (const extra of [
        { limit: 0 },
        { limit: 10_001 },
        { limit: 1.5 },
        { limit: '5' },
        { minScore: Number.NaN },
        { minScore: '1' },
      ]) {
        await refuses(WRONG, store.search(DOCS, { embedding: PROBE, ...extra } as SearchQuery), JSON.stringify(extra))
      }
    },
  },
  {
    id: 'knowledge/search/zero-query',
    sentence: 'Under dot and euclidean a zero vector is a query like any other.',
    async run({ store }) {
      for (const distance of ['dot', 'euclidean'] as const) {
        await seed(store, [doc('a', { embedding: [0, 3, 4] })], { distance }, distance)
        const [hit] = await store.search(distance, { embedding: [0, 0, 0] })
        assertClose(hit?.score ?? Number.NaN, distance === 'dot' ? 0 : 1 / 6, distance)
      }
    },
  },
]
