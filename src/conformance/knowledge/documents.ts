/** What is stored comes back exactly, by get too, and is counted. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { sameJson } from '../expect.ts'
import { HOSTILE_STRINGS, JSON_VALUES } from '../hostile.ts'
import { contents, doc, DOCS, eventually, lacks, needs, read, refuses, seed, type KnowledgeCase } from './support.ts'

const CONTENTS = [...HOSTILE_STRINGS, ' ', '{"json":true}', 'é e\u0301 😀', "'; DROP TABLE x; --", 'long '.repeat(4_000)]

export const documentCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/document/metadata',
    sentence: 'Metadata comes back exactly: empty, nested, with its key order, its types and any text.',
    async run({ store }) {
      const metadata = new Map(Object.entries(JSON_VALUES).map(([what, value]) => [what, { z: value, a: value }]))
      for (const [what, value] of metadata) {
        if (Buffer.byteLength(JSON.stringify(value)) > (store.limits.jsonBytes ?? Infinity)) metadata.delete(what)
      }
      await seed(store, [...metadata].map(([what, value]) => doc(what, { metadata: value })).concat(doc('{}', { metadata: {} })))
      const found = await contents(store)
      for (const [what, value] of metadata) sameJson(found.get(what)?.metadata, value, `metadata with ${what}`)
      assert.deepEqual(found.get('{}')?.metadata, {})
    },
  },
  {
    id: 'knowledge/document/metadata-keys',
    sentence: 'Metadata may use any keys, also those that engines, operators and this contract use themselves.',
    async run({ store }) {
      const keys = [
        'id',
        '_id',
        'score',
        'content',
        'embedding',
        'metadata',
        'contentHash',
        'vector',
        '$gt',
        '$vector',
        'a.b',
        '',
        '__proto__',
      ]
      const metadata = JSON.parse(`{${keys.map((key, i) => `${JSON.stringify(key)}:${i}`).join()}}`) as Record<string, unknown>
      await seed(store, [doc('a', { metadata })])
      const found = await read(store, 'a')
      sameJson(found.metadata, metadata)
      assert.equal(found.content, 'about a')
    },
  },
  {
    id: 'knowledge/document/metadata-left-out',
    sentence: 'A document without metadata has an empty object as its metadata.',
    async run({ store }) {
      await seed(store, [doc('a')])
      assert.deepEqual((await read(store, 'a')).metadata, {})
    },
  },
  {
    id: 'knowledge/document/content',
    sentence: 'Any string is content and comes back exactly, U+0000 and lone surrogates included.',
    async run({ store }) {
      await seed(
        store,
        CONTENTS.map((content, i) => doc(`d${i}`, { content })),
      )
      const found = await contents(store)
      for (const [i, content] of CONTENTS.entries()) assert.equal(found.get(`d${i}`)?.content, content)
    },
  },
  {
    id: 'knowledge/document/large',
    sentence: 'Content of a megabyte and metadata of a quarter, or as much as the declared limits allow, come back whole.',
    async run({ store }) {
      const { contentBytes = 2 ** 20, jsonBytes = 2 ** 18 } = store.limits
      const content = 'x'.repeat(Math.min(contentBytes, 2 ** 20))
      const metadata = { x: 'x'.repeat(Math.min(jsonBytes, 2 ** 18) - '{"x":""}'.length) }
      await seed(store, [doc('a', { content }), doc('b', { metadata })])
      const found = await contents(store)
      assert.ok(found.get('a')?.content === content, 'the content came back otherwise')
      assert.ok(found.get('b')?.metadata.x === metadata.x, 'the metadata came back otherwise')
    },
  },
  {
    id: 'knowledge/document/content-hash',
    sentence: 'contentHash is the first 16 hex digits of the SHA-256 of the content.',
    async run({ store }) {
      await seed(store, [doc('a', { content: 'Grüße 👋' }), doc('b', { content: '' })])
      const found = await contents(store)
      for (const { content, contentHash } of found.values()) {
        assert.equal(contentHash, createHash('sha256').update(content).digest('hex').slice(0, 16))
      }
      assert.equal(found.get('b')?.contentHash, 'e3b0c44298fc1c14')
    },
  },
  {
    id: 'knowledge/document/created-at',
    sentence: 'createdAt is kept to the millisecond; without one it is now.',
    async run({ store }) {
      const times = [0, 1, -86_400_001, 1_700_000_000_123, 253_402_300_799_999].map((ms) => new Date(ms))
      const from = Date.now()
      await seed(store, [...times.map((createdAt, i) => doc(`d${i}`, { createdAt })), doc('now')])
      const to = Date.now()
      const found = await contents(store)
      for (const [i, time] of times.entries()) assert.deepEqual(found.get(`d${i}`)?.createdAt, time)
      const now = found.get('now')?.createdAt.getTime() ?? 0
      assert.ok(now >= from && now <= to, `createdAt must be the time of the call, not ${now - from} ms off`)
    },
  },
  {
    id: 'knowledge/document/embedding',
    sentence:
      'Embeddings come back as the 32-bit floats that were written, not normalised, whether they came as numbers or floats.',
    async run({ store }) {
      const embeddings = [[3, 4, 12], [0.1, -0.2, 1e-7], new Float32Array([1 / 3, -2 / 3, 16_777_217]), [0, 0, 1000.5]]
      await seed(
        store,
        embeddings.map((embedding, i) => doc(`d${i}`, { embedding })),
      )
      const found = await contents(store)
      for (const [i, embedding] of embeddings.entries())
        assert.deepEqual(found.get(`d${i}`)?.embedding, Float32Array.from(embedding))
    },
  },
  {
    id: 'knowledge/document/answers-are-copies',
    sentence: 'What a caller does to an answer changes nothing that is stored.',
    async run({ store }) {
      await seed(store, [doc('a', { metadata: { tags: ['x'] } })])
      const first = await read(store, 'a')
      ;(first.metadata.tags as string[]).push('y')
      first.metadata.more = 1
      first.embedding?.fill(9)
      first.createdAt.setTime(0)
      const second = await read(store, 'a')
      assert.deepEqual(second.metadata, { tags: ['x'] })
      assert.deepEqual(second.embedding, new Float32Array([1, 0.5, 0.25]))
      assert.notEqual(second.createdAt.getTime(), 0)
    },
  },
]

export const getCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/get/order',
    sentence: 'get gives documents in the order asked, and leaves out what is missing.',
    skip: needs('get'),
    async run({ store }) {
      await seed(store, [doc('a'), doc('b'), doc('c')])
      await eventually(store, async () => {
        const found = await store.get(DOCS, ['c', 'nope', 'a', 'b'])
        assert.deepEqual(
          found.map(({ id, content }) => [id, content]),
          [
            ['c', 'about c'],
            ['a', 'about a'],
            ['b', 'about b'],
          ],
        )
      })
      assert.deepEqual(await store.get(DOCS, ['nope']), [])
      assert.deepEqual(await store.get(DOCS, []), [])
    },
  },
  {
    id: 'knowledge/get/whole-document',
    sentence: 'get gives the whole document, with its embedding unless told otherwise.',
    skip: needs('get'),
    async run({ store }) {
      const createdAt = new Date(1_234)
      await seed(store, [doc('a', { content: '', metadata: { k: [{}] }, createdAt })])
      const without = { id: 'a', content: '', metadata: { k: [{}] }, contentHash: 'e3b0c44298fc1c14', createdAt }
      await eventually(store, async () => {
        assert.deepEqual(await store.get(DOCS, ['a']), [{ ...without, embedding: new Float32Array([1, 0.5, 0.25]) }])
        assert.deepEqual(await store.get(DOCS, ['a'], { withEmbeddings: false }), [without])
      })
    },
  },
  {
    id: 'knowledge/get/unsupported',
    sentence: 'get is UNSUPPORTED where the backend cannot do it.',
    skip: lacks('get'),
    async run({ store }) {
      await seed(store, [])
      await refuses('UNSUPPORTED', store.get(DOCS, ['a']), 'get')
    },
  },
]

export const countCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/count/all-and-filtered',
    sentence: 'count counts all documents of the collection, or those that match the filter.',
    skip: needs('count'),
    async run({ store }) {
      await seed(store, [], { fields: { x: 'number' } })
      assert.equal(await store.count(DOCS), 0)
      await store.insert(DOCS, [doc('a', { metadata: { x: 1 } }), doc('b', { metadata: { x: 2 } }), doc('c')])
      await eventually(store, async () => assert.equal(await store.count(DOCS), 3))
      assert.equal(await store.count(DOCS, {}), 3)
      assert.equal(await store.count(DOCS, { x: 1 }), 1)
      assert.equal(await store.count(DOCS, { x: { $ne: 1 } }), 2)
      assert.equal(await store.count(DOCS, { x: 7 }), 0)
    },
  },
  {
    id: 'knowledge/count/unsupported',
    sentence: 'count is UNSUPPORTED where the backend cannot do it.',
    skip: lacks('count'),
    async run({ store }) {
      await seed(store, [])
      await refuses('UNSUPPORTED', store.count(DOCS), 'count')
    },
  },
]
