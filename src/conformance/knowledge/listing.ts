/** list: every document once, in order, page by page; and delete: what was chosen, and nothing else. */
import assert from 'node:assert/strict'
import type { DeleteSelection, NewDocument } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { allPages } from '../expect.ts'
import { contents, doc, DOCS, eventually, lacks, needs, read, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

export const listCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/list/pages',
    sentence: 'list gives every document exactly once, in bytewise order of ids, whatever the size of a page.',
    skip: needs('list'),
    async run({ store }) {
      const ids = ['b', 'B', 'a', 'a ', '10', '9', 'é', '\uFFFD', '😀']
      await seed(
        store,
        ids.map((id) => doc(id)),
      )
      const ordered = ['10', '9', 'B', 'a', 'a ', 'b', 'é', '\uFFFD', '😀']
      for (const limit of [2, 9, 100]) {
        await eventually(store, async () => assert.deepEqual(await pages(store, limit), ordered, `pages of ${limit}`))
      }
    },
  },
  {
    id: 'knowledge/list/changes-between-pages',
    sentence: 'Writes between two pages lose and repeat nothing of the rest.',
    skip: needs('list'),
    async run({ store }) {
      await seed(
        store,
        ['a', 'b', 'c', 'd'].map((id) => doc(id)),
      )
      const first = await store.list(DOCS, { limit: 2 })
      await store.delete(DOCS, { ids: ['a', 'b'] })
      await store.insert(DOCS, [doc('aa'), doc('e')])
      await eventually(store, async () => {
        const { items } = await store.list(DOCS, { limit: 100, cursor: first.cursor })
        assert.deepEqual(
          items.map(({ id }) => id),
          ['c', 'd', 'e'],
        )
      })
    },
  },
  {
    id: 'knowledge/list/filter',
    sentence: 'list with a filter pages through what matches; a page is full while more follows.',
    skip: needs('list'),
    async run({ store }) {
      const documents = Array.from({ length: 9 }, (_, i) => doc(`d${i}`, { metadata: { odd: i % 2 === 1 } }))
      await seed(store, documents, { fields: { odd: 'boolean' } })
      const filter = { odd: true }
      const { items, cursor } = await store.list(DOCS, { filter, limit: 3 })
      assert.deepEqual(
        items.map(({ id }) => id),
        ['d1', 'd3', 'd5'],
      )
      const rest = await store.list(DOCS, { filter, limit: 3, cursor })
      assert.deepEqual(
        rest.items.map(({ id }) => id),
        ['d7'],
      )
      assert.equal(rest.cursor, undefined)
    },
  },
  {
    id: 'knowledge/list/whole-documents',
    sentence: 'list gives whole documents, with embeddings only where asked for, a hundred at a time by default.',
    skip: needs('list'),
    async run({ store }) {
      const createdAt = new Date(5)
      await seed(
        store,
        Array.from({ length: 101 }, (_, i) => doc(`d${i}`, { createdAt, metadata: { i } })),
      )
      const { items, cursor } = await store.list(DOCS)
      assert.equal(items.length, 100)
      assert.ok(cursor !== undefined, 'a cursor, because one more follows')
      assert.deepEqual({ ...items[0], contentHash: '' }, { ...stored('d0'), createdAt, metadata: { i: 0 } })
      const page = await store.list(DOCS, { limit: 1, withEmbeddings: true })
      assert.deepEqual(page.items[0]?.embedding, new Float32Array([1, 0.5, 0.25]))
    },
  },
  {
    id: 'knowledge/list/bad-arguments',
    sentence: 'A limit out of range or a cursor of another listing is refused.',
    skip: needs('list'),
    async run({ store }) {
      await seed(store, [doc('a')])
      for (const limit of [0, -1, 1.5, 1_001, Number.NaN, '5']) {
        await refuses(WRONG, store.list(DOCS, { limit } as { limit: number }), `limit ${limit}`)
      }
      for (const cursor of ['', 'nonsense', 'W10', 7]) {
        await refuses(WRONG, store.list(DOCS, { cursor } as { cursor: string }), `cursor ${cursor}`)
      }
    },
  },
  {
    id: 'knowledge/list/unsupported',
    sentence: 'list is UNSUPPORTED where the backend cannot do it.',
    skip: lacks('list'),
    async run({ store }) {
      await seed(store, [])
      await refuses('UNSUPPORTED', store.list(DOCS), 'list')
    },
  },
]

export const deleteCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/delete/ids',
    sentence: 'delete by ids gives the count of what was there, and leaves the others.',
    async run({ store }) {
      await seed(store, [doc('a'), doc('b'), doc('c')])
      assert.equal(await store.delete(DOCS, { ids: ['a', 'nope', 'c'] }), 2)
      await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()], ['b']))
      assert.equal(await store.delete(DOCS, { ids: ['a'] }), 0)
      assert.equal(await store.delete(DOCS, { ids: ['b', 'b'] }), 1, 'an id given twice is deleted once')
    },
  },
  {
    id: 'knowledge/delete/empty-list',
    sentence: 'An empty list of ids deletes nothing.',
    async run({ store }) {
      await seed(store, [doc('a')])
      assert.equal(await store.delete(DOCS, { ids: [] }), 0)
      await read(store, 'a')
    },
  },
  {
    id: 'knowledge/delete/then-insert',
    sentence: 'A deleted id may be inserted again.',
    async run({ store }) {
      await seed(store, [doc('a', { content: 'first' })])
      await store.delete(DOCS, { ids: ['a'] })
      await eventually(store, async () => assert.equal((await contents(store)).size, 0))
      await store.insert(DOCS, [doc('a', { content: 'second' })])
      await eventually(store, async () => assert.equal((await read(store, 'a')).content, 'second'))
    },
  },
  {
    id: 'knowledge/delete/filter',
    sentence: 'delete by filter deletes what matches, gives the exact count, and leaves all others.',
    skip: needs('deleteByFilter'),
    async run({ store }) {
      await seed(store, [1, 2, 2, 3].map((x, i) => doc(`d${i}`, { metadata: { x } })).concat(doc('none')), {
        fields: { x: 'number' },
      })
      assert.equal(await store.delete(DOCS, { filter: { x: 9 } }), 0)
      assert.equal(await store.delete(DOCS, { filter: { x: { $in: [2, 7] } } }), 2)
      await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()].toSorted(), ['d0', 'd3', 'none']))
    },
  },
  {
    id: 'knowledge/delete/everything',
    sentence: 'The empty filter deletes all documents of the collection, which itself stays.',
    skip: needs('deleteByFilter'),
    async run({ store }) {
      await seed(store, [doc('a'), doc('b')])
      await seed(store, [doc('a')], {}, 'other')
      assert.equal(await store.delete(DOCS, { filter: {} }), 2)
      await eventually(store, async () => assert.equal((await contents(store)).size, 0))
      assert.equal((await contents(store, 'other')).size, 1)
    },
  },
  {
    id: 'knowledge/delete/selection',
    sentence: 'delete wants exactly one of ids and filter: neither or both is INVALID_ARGUMENT, and nothing is deleted.',
    async run({ store }) {
      await seed(store, [doc('a')])
      const bad: unknown[] = [
        {},
        { ids: undefined },
        { filter: undefined },
        { ids: ['a'], filter: { x: 1 } },
        { ids: [], filter: {} },
      ]
      for (const selection of bad) {
        await refuses('INVALID_ARGUMENT', store.delete(DOCS, selection as DeleteSelection), JSON.stringify(selection))
      }
      for (const selection of [
        undefined,
        null,
        'a',
        { ids: 'a' },
        { ids: [7] },
        { filter: 'x' },
        { filter: null },
        { filter: [] },
      ]) {
        await refuses(WRONG, store.delete(DOCS, selection as unknown as DeleteSelection), JSON.stringify(selection))
      }
      await read(store, 'a')
    },
  },
  {
    id: 'knowledge/delete/filter-unsupported',
    sentence: 'delete by filter is UNSUPPORTED where the backend cannot do it, and nothing is deleted.',
    skip: lacks('deleteByFilter'),
    async run({ store }) {
      await seed(store, [doc('a', { metadata: { x: 1 } })], { fields: { x: 'number' } })
      await refuses('UNSUPPORTED', store.delete(DOCS, { filter: { x: 1 } }), 'delete by filter')
      await read(store, 'a')
    },
  },
]

async function pages(store: KnowledgeStore, limit: number): Promise<string[]> {
  const items = await allPages(limit, (cursor) => store.list(DOCS, { limit, cursor }), 100)
  return items.map(({ id }) => id)
}

/** What a listing gives of `doc(id)`, its hash left out. */
function stored(id: string): Pick<NewDocument, 'content'> & { id: string; contentHash: string } {
  return { id, content: `about ${id}`, contentHash: '' }
}
