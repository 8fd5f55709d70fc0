/** Several keys in one call, and `delete`. */
import assert from 'node:assert/strict'
import { expectTypeError } from '../expect.ts'
import { fill, type StateCase } from './support.ts'

export const manyCases: readonly StateCase[] = [
  {
    id: 'state/delete/present',
    sentence: '`delete` removes a key and is `true`; of a key that is not there it is `false`.',
    async run({ store }) {
      await fill(store, ['a', 'b'])
      assert.equal(await store.delete('a'), true)
      assert.equal(await store.delete('a'), false)
      assert.equal(await store.delete('none'), false)
      assert.equal(await store.get('a'), undefined)
      assert.deepEqual(await store.keys(), ['b'])
    },
  },
  {
    id: 'state/delete/one-winner',
    sentence: 'Of concurrent deletes of one key exactly one is `true`.',
    async run({ store }) {
      await store.set('k', 1)
      const deleted = await Promise.all(Array.from({ length: 10 }, () => store.delete('k')))
      assert.equal(deleted.filter(Boolean).length, 1)
    },
  },
  {
    id: 'state/many/get',
    sentence: '`getMany` answers each key in its place, `undefined` where there is nothing, also for a key asked for twice.',
    async run({ store }) {
      await store.setMany({ a: 1, b: null })
      assert.deepEqual(await store.getMany(['b', 'none', 'a', 'a']), [null, undefined, 1, 1])
      assert.deepEqual(await store.getMany([]), [])
    },
  },
  {
    id: 'state/many/set',
    sentence: '`setMany` takes an object, a Map or any iterable of pairs.',
    async run({ store }) {
      await store.setMany({ a: 1, b: 2 })
      await store.setMany(new Map([['c', 3]]))
      await store.setMany(Object.entries({ d: 4, a: 5 }).values())
      assert.deepEqual(await store.getMany(['a', 'b', 'c', 'd']), [5, 2, 3, 4])
      await store.setMany({})
      await store.setMany([])
      assert.deepEqual(await store.keys(), ['a', 'b', 'c', 'd'])
    },
  },
  {
    id: 'state/many/set-twice',
    sentence: 'Of a key given twice to `setMany` the last value counts.',
    async run({ store }) {
      await store.setMany([
        ['k', 1],
        ['other', 0],
        ['k', 2],
      ])
      assert.equal(await store.get('k'), 2)
    },
  },
  {
    id: 'state/many/set-wrong-type',
    sentence: '`setMany` refuses what is no object and no iterable of pairs.',
    async run({ store }) {
      for (const entries of [null, undefined, 5, 'ab', ['ab'], [1], [['a']]])
        await expectTypeError(() => store.setMany(entries as never))
      assert.deepEqual(await store.keys(), [])
    },
  },
  {
    id: 'state/many/delete',
    sentence: '`deleteMany` counts the keys that were there, each once; an empty list deletes nothing.',
    async run({ store }) {
      await fill(store, ['a', 'b', 'c'])
      assert.equal(await store.deleteMany([]), 0)
      assert.equal(await store.deleteMany(['a', 'none', 'b', 'a']), 2)
      assert.equal(await store.deleteMany(['a', 'b']), 0)
      assert.deepEqual(await store.keys(), ['c'])
    },
  },
  {
    id: 'state/many/beyond-a-batch',
    sentence: 'Many keys in one call work, whatever an engine takes at once.',
    async run({ store }) {
      const keys = Array.from({ length: 130 }, (_, i) => `k${1_000 + i}`)
      await store.setMany(keys.map((key, i): [string, number] => [key, i]))
      assert.deepEqual(
        await store.getMany(keys),
        keys.map((_, i) => i),
      )
      assert.equal(await store.deleteMany(keys), 130)
      assert.deepEqual(await store.keys(), [])
    },
  },
  {
    id: 'state/many/beyond-a-commit',
    sentence: 'Large values in one call are stored, whatever bytes an engine takes at once.',
    async run({ store }) {
      const text = 'x'.repeat(Math.min(400_000, (store.limits.valueBytes ?? Infinity) - 2))
      const keys = Array.from({ length: 12 }, (_, i) => `k${10 + i}`)
      await store.setMany(keys.map((key): [string, string] => [key, text]))
      assert.deepEqual(await store.keys(), keys)
      for (const key of keys) assert.equal(await store.get(key), text)
    },
  },
  {
    id: 'state/clear/counts',
    sentence: '`clear` removes every key, and gives how many there were.',
    async run({ store }) {
      await fill(store, ['a', '%', 'c'])
      await store.increment('n')
      assert.equal(await store.clear(), 4)
      assert.deepEqual(await store.keys(), [])
      assert.equal(await store.get('a'), undefined)
      assert.equal(await store.increment('n'), 1)
      await store.delete('n')
      assert.equal(await store.clear(), 0)
    },
  },
  {
    id: 'state/clear/beyond-a-page',
    sentence: '`clear` goes on beyond one page of keys.',
    skip: ({ capabilities }) => (capabilities.commitKeys < 10 ? 'a thousand keys would take a thousand commits here' : undefined),
    async run({ store }) {
      await fill(
        store,
        Array.from({ length: 1_005 }, (_, i) => `k${i}`),
      )
      assert.equal(await store.clear(), 1_005)
      assert.deepEqual((await store.scan({ limit: 1 })).items, [])
    },
  },
]
