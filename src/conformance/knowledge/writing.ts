/** insert and upsert: ids, conflicts, batches, and who wins. */
import assert from 'node:assert/strict'
import type { NewDocument } from '../../knowledge/contract.ts'
import { contents, doc, DOCS, eventually, needsInsert, read, refuses, seed, type KnowledgeCase } from './support.ts'

export const insertCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/insert/ids',
    sentence: 'insert gives the ids in the order of the documents.',
    async run({ store }) {
      await seed(store, [])
      assert.deepEqual(await store.insert(DOCS, [doc('b'), doc('a')]), ['b', 'a'])
      assert.deepEqual(await store.insert(DOCS, []), [], 'an empty batch')
    },
  },
  {
    id: 'knowledge/insert/minted-ids',
    sentence: 'A document without an id gets a new one, which no other batch gets.',
    async run({ store }) {
      await seed(store, [])
      const ids: string[] = []
      for (let batch = 0; batch < 3; batch++) {
        const documents = [0, 1].map((i) => ({ content: `${batch}.${i}`, embedding: [1, batch, i] }))
        ids.push(...(await store.insert(DOCS, documents)))
      }
      assert.equal(new Set(ids).size, 6, 'minted ids must be unique over batches')
      await eventually(store, async () => {
        const found = await contents(store)
        assert.deepEqual(
          ids.map((id) => found.get(id)?.content),
          ['0.0', '0.1', '1.0', '1.1', '2.0', '2.1'],
        )
      })
    },
  },
  {
    id: 'knowledge/insert/conflict',
    sentence: 'Inserting an id that exists is a CONFLICT that leaves every document as it was and adds none.',
    async run({ store }) {
      await seed(store, [doc('a', { content: 'first', metadata: { v: 1 } })])
      const batch = [doc('new-1'), doc('a', { content: 'second', metadata: { v: 2 }, embedding: [0, 1, 0] }), doc('new-2')]
      const error = await refuses('CONFLICT', store.insert(DOCS, batch), 'an id that exists')
      assert.equal((error as { outcome?: string }).outcome, 'not-applied')
      const found = await contents(store)
      assert.deepEqual([...found.keys()], ['a'])
      assert.equal(found.get('a')?.content, 'first')
      assert.deepEqual(found.get('a')?.metadata, { v: 1 })
    },
  },
  {
    id: 'knowledge/insert/one-winner',
    sentence: 'Of many callers that insert the same id at once, exactly one wins, where insert is atomic.',
    skip: needsInsert('atomic'),
    async run({ store }) {
      await seed(store, [])
      const race = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) => store.insert(DOCS, [doc(`own-${i}`), doc('same', { content: `writer ${i}` })])),
      )
      const winners = race.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []))
      assert.equal(winners.length, 1, 'exactly one insert must succeed')
      for (const [i, result] of race.entries()) {
        if (result.status === 'rejected') await refuses('CONFLICT', Promise.reject(result.reason as Error), `writer ${i}`)
      }
      await eventually(store, async () => {
        const found = await contents(store)
        assert.deepEqual([...found.keys()].toSorted(), [`own-${winners[0]}`, 'same'])
        assert.equal(found.get('same')?.content, `writer ${winners[0]}`)
      })
    },
  },
  {
    id: 'knowledge/insert/concurrent',
    sentence: 'Writes of different documents at the same time all arrive.',
    async run({ store }) {
      await seed(store, [])
      const writes = Array.from({ length: 10 }, (_, i) =>
        i % 2 ? store.insert(DOCS, [doc(`d${i}`)]) : store.upsert(DOCS, [doc(`d${i}`)]),
      )
      await Promise.all(writes)
      await eventually(store, async () => assert.equal((await contents(store)).size, 10))
    },
  },
  {
    id: 'knowledge/insert/large-batch',
    sentence:
      'A thousand documents are inserted at once; a backend whose insert is atomic and whose batch is smaller refuses them whole.',
    async run({ store }) {
      await seed(store, [])
      const { batch = Infinity } = store.limits
      const tooMany = store.capabilities.insert === 'atomic' && batch < 1_000
      if (tooMany) await refuses('VALUE_TOO_LARGE', store.insert(DOCS, thousand()), 'a batch beyond the limit')
      else assert.equal((await store.insert(DOCS, thousand())).length, 1_000)
      await eventually(store, async () => assert.equal((await contents(store)).size, tooMany ? 0 : 1_000))
    },
  },
  {
    id: 'knowledge/insert/twice-in-a-batch',
    sentence: 'An id that is there twice in one batch is refused, for nobody can say which of the two was meant.',
    async run({ store }) {
      await seed(store, [])
      const batch = [doc('a', { content: 'one' }), doc('b'), doc('a', { content: 'two' })]
      await refuses('INVALID_ARGUMENT', store.insert(DOCS, batch), 'insert')
      await refuses('INVALID_ARGUMENT', store.upsert(DOCS, batch), 'upsert')
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/insert/no-live-references',
    sentence: 'What a caller does to its objects after the call changes nothing that is stored.',
    async run({ store }) {
      await seed(store, [])
      const metadata = { tags: ['x'] }
      const embedding = new Float32Array([1, 2, 3])
      const documents = [doc('a', { metadata, embedding })]
      const pending = store.insert(DOCS, documents)
      metadata.tags.push('pushed while the call ran')
      embedding.fill(9)
      documents.push(doc('late'))
      await pending
      metadata.tags.push('pushed afterwards')
      embedding.fill(8)
      await eventually(store, async () => {
        const found = await contents(store)
        assert.deepEqual([...found.keys()], ['a'])
        assert.deepEqual(found.get('a')?.metadata, { tags: ['x'] })
        assert.deepEqual(found.get('a')?.embedding, new Float32Array([1, 2, 3]))
      })
    },
  },
]

export const upsertCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/upsert/replaces-whole',
    sentence: 'upsert creates what is new and replaces what exists whole: content, hash, metadata, embedding and time.',
    async run({ store }) {
      const before = doc('a', { content: 'old', metadata: { old: 1, both: 1 }, createdAt: new Date(1_000), embedding: [1, 0, 0] })
      await seed(store, [before])
      const hash = (await read(store, 'a')).contentHash
      const after = doc('a', { content: 'new', metadata: { both: 2 }, createdAt: new Date(2_000), embedding: [0, 1, 0] })
      assert.deepEqual(await store.upsert(DOCS, [after, doc('b')]), ['a', 'b'])
      await eventually(store, async () => {
        assert.equal((await contents(store)).size, 2)
        const found = await read(store, 'a')
        assert.equal(found.content, 'new')
        assert.notEqual(found.contentHash, hash)
        assert.deepEqual(found.metadata, { both: 2 })
        assert.deepEqual(found.embedding, new Float32Array([0, 1, 0]))
        assert.deepEqual(found.createdAt, new Date(2_000))
      })
    },
  },
  {
    id: 'knowledge/upsert/repeatable',
    sentence: 'The same upsert twice leaves what it left once.',
    async run({ store }) {
      await seed(store, [])
      const batch = [doc('a', { metadata: { v: 1 } }), doc('b')]
      await store.upsert(DOCS, batch)
      await store.upsert(DOCS, batch)
      await eventually(store, async () => {
        const found = await contents(store)
        assert.deepEqual([...found.keys()].toSorted(), ['a', 'b'])
        assert.deepEqual(found.get('a')?.metadata, { v: 1 })
      })
    },
  },
  {
    id: 'knowledge/upsert/large-batch',
    sentence: 'A thousand documents are upserted at once; the store splits what an engine takes in parts.',
    async run({ store }) {
      await seed(store, [])
      assert.equal((await store.upsert(DOCS, thousand())).length, 1_000)
      await eventually(store, async () => assert.equal((await contents(store)).size, 1_000))
      const ids = thousand().map(({ id }) => id!)
      assert.equal(await store.delete(DOCS, { ids: ids.slice(1) }), 999)
      await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()], ['d0']))
    },
  },
  {
    id: 'knowledge/upsert/minted-ids',
    sentence: 'upsert mints ids too, new ones in each call.',
    async run({ store }) {
      await seed(store, [])
      const [first] = await store.upsert(DOCS, [{ content: 'x', embedding: [1, 1, 1] }])
      const [second] = await store.upsert(DOCS, [{ content: 'x', embedding: [1, 1, 1] }])
      assert.notEqual(first, second)
      await eventually(store, async () => assert.equal((await contents(store)).size, 2))
    },
  },
]

function thousand(): NewDocument[] {
  return Array.from({ length: 1_000 }, (_, i) => doc(`d${i}`, { embedding: [i + 1, 1, -i] }))
}
