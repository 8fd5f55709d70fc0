/** Stores over the same engine that see it otherwise: with `embed`, over a bad line, or with what they knew a moment ago. */
import assert from 'node:assert/strict'
import { HoldfastError } from '../../errors.ts'
import type { Embed, Embedding, KnowledgeBackend } from '../../knowledge/contract.ts'
import { KnowledgeStore } from '../../knowledge/store.ts'
import { documentCalls } from './collections.ts'
import { assertClose, contents, doc, DOCS, eventually, needs, PROBE, read, refuses, seed, type KnowledgeCase } from './support.ts'

/** Three numbers from a text: how often it says `red`, `blue`, and anything at all. */
const embedColors: Embed = (texts) => texts.map((text) => [text.split('red').length - 1, text.split('blue').length - 1, 0.1])

export const embeddingCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/embed/text-search',
    sentence: 'With embed, documents need no embeddings, and search takes a text.',
    async run({ store }) {
      await seed(store, [])
      const embedding = withEmbed(store, embedColors)
      await embedding.insert(DOCS, [{ id: 'r', content: 'red red' }])
      await embedding.upsert(DOCS, [{ id: 'b', content: 'blue' }])
      await eventually(store, async () => {
        assert.deepEqual((await read(store, 'r')).embedding, new Float32Array([2, 0, 0.1]))
        const hits = await embedding.search(DOCS, { text: 'blue', limit: 1 })
        assert.deepEqual(
          hits.map(({ id }) => id),
          ['b'],
        )
        assertClose(hits[0]?.score ?? Number.NaN, 1, 'score of the same text')
      })
    },
  },
  {
    id: 'knowledge/embed/only-what-lacks-one',
    sentence: 'embed gets the contents that lack an embedding, in their order, and no others; a given embedding is kept.',
    async run({ store }) {
      await seed(store, [])
      const asked: string[] = []
      const embedding = withEmbed(store, (texts) => {
        asked.push(...texts)
        return embedColors(texts)
      })
      await embedding.insert(DOCS, [
        { id: 'a', content: 'red' },
        doc('own', { embedding: [7, 7, 7] }),
        { id: 'b', content: 'blue\0' },
      ])
      assert.deepEqual(asked, ['red', 'blue\0'])
      await eventually(store, async () => {
        const found = await contents(store)
        assert.deepEqual(found.get('a')?.embedding, new Float32Array([1, 0, 0.1]))
        assert.deepEqual(found.get('own')?.embedding, new Float32Array([7, 7, 7]))
        assert.deepEqual(found.get('b')?.embedding, new Float32Array([0, 1, 0.1]))
      })
    },
  },
  {
    id: 'knowledge/embed/distrusted',
    sentence:
      'What embed returns is checked: a wrong number of embeddings or a wrong embedding is refused, and nothing is written.',
    async run({ store }) {
      await seed(store, [])
      const wrong: unknown[] = [
        [],
        [[1, 2, 3]],
        [
          [1, 2, 3],
          [1, 2, 3],
          [1, 2, 3],
        ],
        [
          [1, 2],
          [1, 2],
        ],
        [
          [1, 2, 3],
          [1, Number.NaN, 3],
        ],
      ]
      for (const made of [
        ...wrong,
        [[1, 2, 3], 'x'],
        [
          [1, 2, 3],
          [0, 0, 0],
        ],
        undefined,
        'xy',
      ]) {
        const embedding = withEmbed(store, () => made as Embedding[])
        const batch = ['a', 'b'].map((id) => ({ id, content: id }))
        await refuses('INVALID_ARGUMENT', embedding.insert(DOCS, batch), `insert where embed gives ${JSON.stringify(made)}`)
      }
      const search = withEmbed(store, () => [[1, 2]]).search(DOCS, { text: 'red' })
      await refuses('INVALID_ARGUMENT', search, 'search where embed gives another dimension')
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/embed/fails',
    sentence: 'Where embed fails, so does the call, and nothing is written.',
    async run({ store }) {
      await seed(store, [])
      const embedding = withEmbed(store, () => Promise.reject(new Error('the model is asleep')))
      const error = await refuses('UNAVAILABLE', embedding.insert(DOCS, [{ content: 'x' }]), 'insert while embed fails')
      assert.match(String(error), /asleep/)
      assert.equal((error as HoldfastError).outcome, 'not-applied')
      await refuses('UNAVAILABLE', embedding.search(DOCS, { text: 'x' }), 'search while embed fails')
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/embed/absent',
    sentence: 'Without embed, a document without an embedding and a search by text are refused, and nothing is written.',
    async run({ store }) {
      await seed(store, [])
      const plain = withEmbed(store, undefined)
      await refuses('INVALID_ARGUMENT', plain.insert(DOCS, [doc('a'), { content: 'x' }]), 'insert without an embedding')
      await refuses('INVALID_ARGUMENT', plain.upsert(DOCS, [doc('a'), { content: 'x' }]), 'upsert without an embedding')
      await refuses('INVALID_ARGUMENT', plain.search(DOCS, { text: 'x' }), 'search by text')
      assert.equal((await contents(store)).size, 0)
    },
  },
]

export const outcomeCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/outcome/lost-answer',
    sentence: 'An insert whose answer was lost is tried again, meets its own documents, and succeeds.',
    skip: needs('get'),
    async run({ store }) {
      await seed(store, [])
      assert.deepEqual(await losingAnswers(store, 1).insert(DOCS, [doc('a'), doc('b')]), ['a', 'b'])
      const [id] = await losingAnswers(store, 1).insert(DOCS, [{ content: 'minted', embedding: [1, 2, 3] }])
      await losingAnswers(store, 1).upsert(DOCS, [doc('c')])
      await eventually(store, async () => assert.deepEqual(new Set((await contents(store)).keys()), new Set(['a', 'b', 'c', id])))
    },
  },
  {
    id: 'knowledge/outcome/foreign-document',
    sentence: 'A lost answer excuses no conflict: an id that holds another document stays a CONFLICT.',
    skip: needs('get'),
    async run({ store }) {
      await seed(store, [doc('a', { content: 'another' })])
      await refuses('CONFLICT', losingAnswers(store, 0, 1).insert(DOCS, [doc('a')]), 'insert of an id that another document has')
      assert.equal((await read(store, 'a')).content, 'another')
    },
  },
  {
    id: 'knowledge/outcome/unknown',
    sentence: 'A write that may have happened says so: its outcome is unknown.',
    async run({ store }) {
      await seed(store, [])
      const error = await refuses('UNAVAILABLE', losingAnswers(store, 100).upsert(DOCS, [doc('a')]), 'a write without an answer')
      assert.equal((error as HoldfastError).outcome, 'unknown')
      await eventually(store, async () => void (await read(store, 'a')))
    },
  },
]

export const raceCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/race/deleted',
    sentence: 'A call that loses a race against deleteCollection is NOT_FOUND, never an empty answer or a write into nowhere.',
    async run({ store }) {
      await seed(store, [doc('a')], { fields: { x: 'number' } })
      const late = await believing(store)
      await store.deleteCollection(DOCS)
      for (const [method, call] of documentCalls(late, DOCS)) await refuses('NOT_FOUND', call(), method)
      assert.deepEqual(await store.listCollections(), [])
    },
  },
  {
    id: 'knowledge/race/recreated',
    sentence: 'A call that loses a race against a collection created anew with another dimension is refused, and mixes nothing.',
    async run({ store }) {
      await seed(store, [doc('a')])
      const late = await believing(store)
      await store.deleteCollection(DOCS)
      await seed(store, [doc('b', { embedding: [1, 2] })], { dimension: 2 })
      const refusals = ['CONFLICT', 'NOT_FOUND', 'INVALID_ARGUMENT'] as const
      await refuses(refusals, late.insert(DOCS, [doc('c')]), 'insert of the former dimension')
      await refuses(refusals, late.upsert(DOCS, [doc('b')]), 'upsert of the former dimension')
      await refuses(refusals, late.search(DOCS, { embedding: PROBE }), 'search with the former dimension')
      const found = await contents(store, DOCS, 2)
      assert.deepEqual([...found.keys()], ['b'])
      assert.deepEqual(found.get('b')?.embedding, new Float32Array([1, 2]))
    },
  },
]

/** The same data through a store with, or without, an `embed`. It shares the engine, which stays open. */
function withEmbed(store: KnowledgeStore, embed: Embed | undefined): KnowledgeStore {
  return new KnowledgeStore(store.core, { name: store.backend, workspace: store.workspaceId, embed })
}

/** The same data through a store that believes collections to be what they were when it was made. */
async function believing(store: KnowledgeStore): Promise<KnowledgeStore> {
  const { backend } = store.core
  const known = await backend.describeCollection(store.workspaceId, DOCS)
  return over(store, { describeCollection: () => Promise.resolve(known) })
}

/** The same data over a line that is cut for the first writes: after the engine got them, or before. */
function losingAnswers(store: KnowledgeStore, after: number, before = 0): KnowledgeStore {
  const { backend } = store.core
  let writes = 0
  const write: KnowledgeBackend['write'] = async (...args) => {
    writes++
    if (writes <= before) throw lost()
    await backend.write(...args)
    if (writes <= after) throw lost()
  }
  return over(store, { write })
}

/** The same data through another store, some of whose backend's methods are replaced. */
function over(store: KnowledgeStore, replaced: Partial<KnowledgeBackend>): KnowledgeStore {
  const backend = new Proxy(store.core.backend, {
    get(target, property) {
      if (Object.hasOwn(replaced, property)) return Reflect.get(replaced, property)
      const member: unknown = Reflect.get(target, property, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  return new KnowledgeStore(backend, { name: store.backend, workspace: store.workspaceId })
}

function lost(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the answer was lost on purpose', { outcome: 'unknown' })
}
