/** What lies side by side stays apart, and what several handles share they all see. */
import assert from 'node:assert/strict'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { compareBytes } from '../../store/text.ts'
import { BAD_IDS, HOSTILE_TEXTS, NON_STRINGS } from '../hostile.ts'
import { contents, doc, DOCS, eventually, PROBE, read, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

export const isolationCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/isolation/collections',
    sentence: 'Collections share nothing: the same id lives in each of them for itself.',
    async run({ store }) {
      await seed(store, [doc('same', { content: 'one' }), doc('own')], {}, 'one')
      await seed(store, [doc('same', { content: 'two', embedding: [1, 2] })], { dimension: 2 }, 'two')
      await eventually(store, async () => {
        assert.equal((await read(store, 'same', 'one')).content, 'one')
        assert.deepEqual([...(await contents(store, 'two', 2)).keys()], ['same'])
      })
      await store.delete('two', { ids: ['same', 'own'] })
      await eventually(store, async () => assert.equal((await contents(store, 'two', 2)).size, 0))
      assert.equal((await contents(store, 'one')).size, 2)
      await store.deleteCollection('two')
      assert.equal((await contents(store, 'one')).size, 2)
    },
  },
  {
    id: 'knowledge/isolation/joined-names',
    sentence: 'Workspace and collection are two names, not one joined text: `a` with `b:c` is not `a:b` with `c`.',
    async run({ store }) {
      for (const separator of [':', '/', '_', '-', '.', '__', ' ']) {
        const [first, second] = [store.workspace('a'), store.workspace(`a${separator}b`)]
        await seed(first, [doc('x', { content: 'first' })], {}, `b${separator}c`)
        assert.deepEqual(await second.listCollections(), [], `separator ${JSON.stringify(separator)}`)
        await seed(second, [], { dimension: 2 }, 'c')
        assert.equal(await second.deleteCollection('c'), true)
        await eventually(first, async () => void (await read(first, 'x', `b${separator}c`)))
      }
    },
  },
  {
    id: 'knowledge/isolation/clear',
    sentence: 'clear removes every collection of its workspace, says how much that was, and touches nothing of another.',
    async run({ store }) {
      const other = store.workspace('bystander')
      await seed(store, [doc('a')])
      await seed(store, [], {}, 'more')
      await seed(other, [doc('a')])
      assert.deepEqual(await store.clear(), { collections: 2, ...(store.capabilities.count && { documents: 1 }) })
      assert.deepEqual(await store.listCollections(), [])
      await refuses('NOT_FOUND', store.search(DOCS, { embedding: PROBE }), 'search after clear')
      await read(other, 'a')
      await store.createCollection(DOCS, { dimension: 3 })
      await eventually(store, async () => assert.equal((await contents(store)).size, 0))
    },
  },
]

export const nameCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/name/collections',
    sentence: 'Any text of 1 to 512 bytes names a collection, and names that differ in a byte are different collections.',
    async run({ store }) {
      for (const name of NAMES) await seed(store, [doc('a', { content: name })], {}, name)
      const listed = await store.listCollections()
      assert.deepEqual(
        listed.map(({ name }) => name),
        NAMES.toSorted(compareBytes),
      )
      assert.equal(await store.deleteCollection('a'), true)
      assert.equal(await store.collectionExists('a'), false)
      for (const name of NAMES.filter((name) => name !== 'a'))
        await eventually(store, async () => assert.equal((await read(store, 'a', name)).content, name))
    },
  },
  {
    id: 'knowledge/name/collections-refused',
    sentence: 'A collection’s name that is empty, too long, ill-formed or no text is refused by every method.',
    async run({ store }) {
      for (const [what, name] of NO_IDS) {
        await refuses(WRONG, store.createCollection(name, { dimension: 3 }), what)
        await refuses(WRONG, store.describeCollection(name), what)
        await refuses(WRONG, store.deleteCollection(name), what)
        await refuses(WRONG, store.insert(name, [doc('a')]), what)
        await refuses(WRONG, store.search(name, { embedding: PROBE }), what)
      }
    },
  },
  {
    id: 'knowledge/name/ids',
    sentence:
      'Any text of 1 to 512 bytes is a document’s id, and ids that differ in a byte are different documents, for every method.',
    async run({ store }) {
      await seed(
        store,
        HOSTILE_TEXTS.map((id) => doc(id)),
      )
      await refuses('CONFLICT', store.insert(DOCS, [doc(HOSTILE_TEXTS[0]!)]), 'insert of an id that exists')
      await store.upsert(
        DOCS,
        HOSTILE_TEXTS.map((id) => doc(id, { content: `content of ${id}` })),
      )
      await eventually(store, async () => {
        const found = await contents(store)
        assert.equal(found.size, HOSTILE_TEXTS.length)
        for (const id of HOSTILE_TEXTS) assert.equal(found.get(id)?.content, `content of ${id}`)
      })
      if (store.capabilities.get) assert.deepEqual(idsOf(await store.get(DOCS, HOSTILE_TEXTS)), HOSTILE_TEXTS)
      if (store.capabilities.list)
        assert.deepEqual(idsOf((await store.list(DOCS, { limit: 1_000 })).items), HOSTILE_TEXTS.toSorted(compareBytes))
      const half = HOSTILE_TEXTS.filter((_, i) => i % 2 === 0)
      assert.equal(await store.delete(DOCS, { ids: half }), half.length)
      const rest = HOSTILE_TEXTS.filter((_, i) => i % 2 === 1).toSorted()
      await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()].toSorted(), rest))
    },
  },
  {
    id: 'knowledge/name/ids-refused',
    sentence: 'get and delete refuse what can be no id.',
    async run({ store }) {
      await seed(store, [doc('a')])
      for (const [what, id] of NO_IDS) {
        if (store.capabilities.get) await refuses(WRONG, store.get(DOCS, ['a', id]), what)
        await refuses(WRONG, store.delete(DOCS, { ids: ['a', id] }), what)
      }
      await read(store, 'a')
    },
  },
]

function idsOf(documents: readonly { id: string }[]): string[] {
  return documents.map(({ id }) => id)
}

/** What can be no id, by what it is; typed as if it could. */
const NO_IDS: readonly (readonly [what: string, id: string])[] = [
  ...BAD_IDS,
  ...NON_STRINGS.map((value): [string, string] => [`a value of type ${typeof value}`, value as string]),
]

/** Few, because every collection costs a remote engine seconds; each stands for a way of folding, joining or misreading names. */
const NAMES: readonly string[] = [
  `"'; DROP TABLE docs; --\\`,
  'x'.repeat(512),
  `${'x'.repeat(511)}y`,
  ...'a|A|a | a|a.|\u00E9|e\u0301|a/b|a:b|a_b|../a|.|%|*|__proto__|1|01|漢 😀'.split('|'),
]

export const handleCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/handles/see-each-other',
    sentence: 'Two handles on the same data see each other’s inserts, replacements and deletions in the next search.',
    reopens: true,
    async run({ store, another }) {
      await seed(store, [doc('a', { content: 'one' })])
      const second = await another()
      // Both search after each step, so that what a handle keeps of an earlier search is there to be wrong.
      const bothSee = async (ids: readonly string[]): Promise<void> => {
        for (const handle of [store, second]) await seen(handle, ids)
      }
      await bothSee(['a'])
      await second.insert(DOCS, [doc('b')])
      await bothSee(['a', 'b'])
      await store.upsert(DOCS, [doc('a', { content: 'two' })])
      await eventually(second, async () => assert.equal((await read(second, 'a')).content, 'two'))
      await second.delete(DOCS, { ids: ['a'] })
      await bothSee(['b'])
      await store.delete(DOCS, { ids: ['b'] })
      await bothSee([])
    },
  },
  {
    id: 'knowledge/handles/recreated',
    sentence: 'A handle that has searched a collection notices that another one deleted it or created it anew.',
    reopens: true,
    async run({ store, another }) {
      await seed(store, [doc('a')])
      const second = await another()
      await seen(second, ['a'])
      await store.deleteCollection(DOCS)
      await refuses('NOT_FOUND', second.search(DOCS, { embedding: PROBE }), 'search in a collection that another handle deleted')
      await seed(store, [doc('c', { embedding: [1, 2] })], { dimension: 2, distance: 'dot' })
      assert.equal((await second.describeCollection(DOCS))?.dimension, 2)
      await eventually(second, async () => assert.deepEqual([...(await contents(second, DOCS, 2)).keys()], ['c']))
      await refuses('INVALID_ARGUMENT', second.insert(DOCS, [doc('d')]), 'an embedding of the former dimension')
      await store.deleteCollection(DOCS)
      await seed(store, [doc('e')])
      await seen(second, ['e'])
    },
  },
  {
    id: 'knowledge/handles/conflict',
    sentence: 'An id that one handle inserted is a CONFLICT for the other; of both at once, one wins where insert is atomic.',
    reopens: true,
    async run({ store, another }) {
      await seed(store, [doc('a')])
      const second = await another()
      await refuses('CONFLICT', second.insert(DOCS, [doc('a')]), 'an id that another handle inserted')
      if (store.capabilities.insert !== 'atomic') return
      const race = await Promise.allSettled([store, second].map((handle) => handle.insert(DOCS, [doc('race')])))
      assert.equal(race.filter(({ status }) => status === 'fulfilled').length, 1)
    },
  },
  {
    id: 'knowledge/handles/reopened',
    sentence: 'Collections and documents are whole after everything was closed and opened again.',
    reopens: true,
    async run({ store, reopen }) {
      const createdAt = new Date(1_234_567)
      const documents = [doc('a', { content: 'x\0y', metadata: { z: 1, a: [null] }, createdAt, embedding: [3, 4, 5] }), doc('b')]
      await seed(store, documents, { distance: 'euclidean', fields: { z: 'number' } })
      const [described, before] = [await store.describeCollection(DOCS), await contents(store)]
      const after = await reopen()
      assert.deepEqual(await after.describeCollection(DOCS), described)
      await eventually(after, async () => assert.deepEqual(await contents(after), before))
      await refuses('CONFLICT', after.insert(DOCS, [doc('b')]), 'an id from before')
    },
  },
]

async function seen(store: KnowledgeStore, ids: readonly string[]): Promise<void> {
  await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()].toSorted(), ids))
}
