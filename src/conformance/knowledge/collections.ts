/** Collections: settings, names, their end and their rebirth. */
import assert from 'node:assert/strict'
import type { CollectionOptions } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { contents, doc, DOCS, eventually, PROBE, read, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

export const collectionCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/collection/create-and-describe',
    sentence: 'createCollection makes a collection that describeCollection gives back with its settings.',
    async run({ store }) {
      const wanted = {
        name: DOCS,
        dimension: 4,
        distance: 'euclidean',
        fields: { year: 'number', lang: 'string', ok: 'boolean' },
      } as const
      assert.deepEqual(await store.createCollection(DOCS, wanted), wanted)
      assert.deepEqual(await store.describeCollection(DOCS), wanted)
    },
  },
  {
    id: 'knowledge/collection/defaults',
    sentence: 'The default distance is cosine, and no fields are declared.',
    async run({ store }) {
      await store.createCollection(DOCS, { dimension: 2 })
      assert.deepEqual(await store.describeCollection(DOCS), { name: DOCS, dimension: 2, distance: 'cosine', fields: {} })
    },
  },
  {
    id: 'knowledge/collection/create-again-same',
    sentence: 'Creating a collection that exists with the same settings is fine and keeps its documents.',
    async run({ store }) {
      await seed(store, [doc('a')], { fields: { x: 'number', y: 'string' } })
      await store.createCollection(DOCS, { dimension: 3, distance: 'cosine', fields: { y: 'string', x: 'number' } })
      await eventually(store, async () => assert.deepEqual([...(await contents(store)).keys()], ['a']))
    },
  },
  {
    id: 'knowledge/collection/create-again-other',
    sentence: 'Creating a collection that exists with other settings is a CONFLICT and changes nothing.',
    async run({ store }) {
      await seed(store, [doc('a')], { fields: { x: 'number' } })
      const others: CollectionOptions[] = [
        { dimension: 4, fields: { x: 'number' } },
        { dimension: 3, distance: 'dot', fields: { x: 'number' } },
        { dimension: 3, fields: { x: 'string' } },
        { dimension: 3, fields: { x: 'number', y: 'number' } },
        { dimension: 3 },
      ]
      for (const other of others) await refuses('CONFLICT', store.createCollection(DOCS, other), JSON.stringify(other))
      assert.deepEqual(await store.describeCollection(DOCS), {
        name: DOCS,
        dimension: 3,
        distance: 'cosine',
        fields: { x: 'number' },
      })
      await read(store, 'a')
    },
  },
  {
    id: 'knowledge/collection/created-once-by-many',
    sentence: 'Many callers may create the same collection at once; with other settings, exactly one of them wins.',
    async run({ store }) {
      await Promise.all(Array.from({ length: 8 }, () => store.createCollection(DOCS, { dimension: 3 })))
      const race = await Promise.allSettled([2, 3, 4, 5].map((dimension) => store.createCollection('race', { dimension })))
      const won = race.filter((result) => result.status === 'fulfilled').map((result) => result.value)
      assert.equal(won.length, 1, 'exactly one of the different creations must succeed')
      assert.deepEqual(await store.describeCollection('race'), won[0])
      assert.equal((await store.listCollections()).length, 2)
    },
  },
  {
    id: 'knowledge/collection/missing',
    sentence: 'A collection that does not exist is undefined to describe, false to ask for, and false to delete.',
    async run({ store }) {
      assert.equal(await store.describeCollection('nowhere'), undefined)
      assert.equal(await store.collectionExists('nowhere'), false)
      assert.equal(await store.deleteCollection('nowhere'), false)
      assert.deepEqual(await store.listCollections(), [])
    },
  },
  {
    id: 'knowledge/collection/delete',
    sentence: 'deleteCollection is true once; then the collection is gone for every method.',
    async run({ store }) {
      await seed(store, [doc('a')])
      assert.equal(await store.collectionExists(DOCS), true)
      assert.equal(await store.deleteCollection(DOCS), true)
      assert.equal(await store.deleteCollection(DOCS), false)
      assert.equal(await store.collectionExists(DOCS), false)
      assert.deepEqual(await store.listCollections(), [])
      await refuses('NOT_FOUND', store.search(DOCS, { embedding: PROBE }), 'search in a deleted collection')
    },
  },
  {
    id: 'knowledge/collection/recreated-empty',
    sentence: 'A collection that is deleted and created again, with another dimension, holds nothing of its former self.',
    async run({ store }) {
      await seed(store, [doc('a'), doc('b')])
      await store.search(DOCS, { embedding: PROBE })
      await store.deleteCollection(DOCS)
      await seed(store, [doc('c', { embedding: [1, 2] })], { dimension: 2, distance: 'dot' })
      await eventually(store, async () => assert.deepEqual([...(await contents(store, DOCS, 2)).keys()], ['c']))
      await refuses('INVALID_ARGUMENT', store.insert(DOCS, [doc('d')]), 'an embedding of the former dimension')
      await store.deleteCollection(DOCS)
      await store.createCollection(DOCS, { dimension: 3 })
      await eventually(store, async () => assert.equal((await contents(store)).size, 0, 'the old documents must not come back'))
    },
  },
  {
    id: 'knowledge/collection/list',
    sentence: 'listCollections gives all collections with their settings, in bytewise order of their names.',
    async run({ store }) {
      const names = ['b', 'B', 'a', 'é', '😀', '\uFFFD', 'a b', '1']
      for (const name of names) await store.createCollection(name, { dimension: 2 })
      const listed = await store.listCollections()
      assert.deepEqual(
        listed.map(({ name }) => name),
        ['1', 'B', 'a', 'a b', 'b', 'é', '\uFFFD', '😀'],
      )
      assert.deepEqual(listed[0], { name: '1', dimension: 2, distance: 'cosine', fields: {} })
    },
  },
  {
    id: 'knowledge/collection/unknown',
    sentence: 'Reading from, writing to or deleting in a collection that does not exist is NOT_FOUND.',
    async run({ store }) {
      for (const [method, call] of documentCalls(store, 'nowhere')) await refuses('NOT_FOUND', call(), method)
    },
  },
  {
    id: 'knowledge/collection/bad-settings',
    sentence: 'Settings that make no sense are refused, and nothing is created.',
    async run({ store }) {
      for (const dimension of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', undefined]) {
        await refuses(WRONG, store.createCollection(DOCS, { dimension } as CollectionOptions), `dimension ${String(dimension)}`)
      }
      for (const settings of [{ distance: 'manhattan' }, { distance: '' }, { fields: { x: 'date' } }, { fields: ['x'] }]) {
        const options = { dimension: 3, ...settings } as unknown as CollectionOptions
        await refuses(WRONG, store.createCollection(DOCS, options), JSON.stringify(settings))
      }
      assert.deepEqual(await store.listCollections(), [])
    },
  },
  {
    id: 'knowledge/collection/dimension-limit',
    sentence: 'A dimension beyond the declared limit is VALUE_TOO_LARGE.',
    skip: (store) => (store.limits.dimension === undefined ? 'limits.dimension is not declared' : undefined),
    async run({ store }) {
      const dimension = (store.limits.dimension ?? 0) + 1
      await refuses('VALUE_TOO_LARGE', store.createCollection(DOCS, { dimension }), `dimension ${dimension}`)
      assert.equal(await store.collectionExists(DOCS), false)
    },
  },
]

/** Every method that works on the documents of a collection and that this store supports. */
export function documentCalls(store: KnowledgeStore, collection: string): [method: string, call: () => Promise<unknown>][] {
  return [...writeCalls(store, collection), ...readCalls(store, collection)]
}

export function writeCalls(store: KnowledgeStore, collection: string): [method: string, call: () => Promise<unknown>][] {
  const calls: [string, () => Promise<unknown>][] = [
    ['insert', () => store.insert(collection, [doc('new')])],
    ['upsert', () => store.upsert(collection, [doc('new')])],
    ['delete by ids', () => store.delete(collection, { ids: ['new'] })],
  ]
  if (store.capabilities.deleteByFilter) calls.push(['delete by filter', () => store.delete(collection, { filter: { x: 1 } })])
  return calls
}

export function readCalls(store: KnowledgeStore, collection: string): [method: string, call: () => Promise<unknown>][] {
  const { get, count, list } = store.capabilities
  const calls: [string, () => Promise<unknown>][] = [['search', () => store.search(collection, { embedding: PROBE })]]
  if (get) calls.push(['get', () => store.get(collection, ['a'])])
  if (count) calls.push(['count', () => store.count(collection)])
  if (list) calls.push(['list', () => store.list(collection)])
  return calls
}
