/** Keys are any text: compared bytewise, never folded, trimmed, normalised or read as something else. */
import assert from 'node:assert/strict'
import type { StateStore } from '../../state/store.ts'
import { expectError, expectNotApplied, expectTypeError, inParallel } from '../expect.ts'
import { BAD_IDS, HOSTILE_TEXTS, NEAR_DUPLICATES, NON_STRINGS } from '../hostile.ts'
import { fill, sorted, type StateCase } from './support.ts'

const LONG = 'x'.repeat(511)
const WIDE = '€'.repeat(170)

export const keyCases: readonly StateCase[] = [
  {
    id: 'state/keys/distinct',
    sentence: 'Keys are compared bytewise: case, spaces, normal forms, paths and far bytes all count.',
    async run({ store }) {
      await inParallel(NEAR_DUPLICATES.entries(), 8, async ([i, [a, b]]) => {
        const [one, other] = [`${i}:${a}`, `${i}:${b}`]
        await store.set(one, 'one')
        assert.equal(await store.get(other), undefined, `${other} finds what ${one} holds`)
        await store.set(other, 'other')
        assert.deepEqual(await store.getMany([one, other]), ['one', 'other'], `${one} and ${other} are one`)
        assert.equal(await store.delete(other), true)
        assert.equal(await store.exists(one), true, `deleting ${other} deleted ${one}`)
      })
    },
  },
  {
    id: 'state/keys/hostile',
    sentence: 'Otherwise hostile text is just text: every such key holds its own value and is listed as it is.',
    async run({ store }) {
      await store.setMany(new Map(HOSTILE_TEXTS.map((key, i) => [key, i])))
      const numbers = HOSTILE_TEXTS.map((_, i) => i)
      assert.deepEqual(await store.getMany(HOSTILE_TEXTS), numbers)
      assert.deepEqual(await store.keys(), sorted(HOSTILE_TEXTS))
      assert.equal(await store.delete('%'), true)
      assert.equal(await store.delete('*'), true)
      assert.equal(await store.deleteMany(HOSTILE_TEXTS), HOSTILE_TEXTS.length - 2)
    },
  },
  {
    id: 'state/keys/proto',
    sentence: '`__proto__` and its like are keys like any other, for every method.',
    async run({ store }) {
      for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) {
        assert.equal(await store.get(key), undefined)
        assert.equal(await store.exists(key), false)
        assert.equal(await store.increment(key), 1)
        assert.deepEqual(await store.keys(), [key])
        assert.equal(await store.delete(key), true)
      }
      await store.setMany(JSON.parse('{"__proto__":{"polluted":1}}') as Record<string, unknown>)
      assert.deepEqual(await store.get('__proto__'), { polluted: 1 })
      assert.equal(({} as { polluted?: unknown }).polluted, undefined)
    },
  },
  {
    id: 'state/keys/long',
    sentence: 'Keys of 512 bytes are kept whole, also where 511 of them are the same.',
    async run({ store }) {
      const keys = [`${LONG}a`, `${LONG}b`, LONG, `${WIDE}aa`, `${WIDE}ab`]
      await store.setMany(keys.map((key, i): [string, number] => [key, i]))
      assert.deepEqual(await store.getMany(keys), [0, 1, 2, 3, 4])
      assert.deepEqual(await store.keys(), sorted(keys))
      assert.deepEqual((await store.scan({ prefix: `${LONG}b` })).items, [`${LONG}b`])
      assert.equal(await store.delete(`${LONG}b`), true)
      assert.equal(await store.get(`${LONG}a`), 0)
    },
  },
  {
    id: 'state/keys/refused',
    sentence: 'A key is 1–512 bytes of well-formed text without U+0000; every method refuses another.',
    async run({ store }) {
      for (const [, key] of BAD_IDS) {
        for (const call of callsWith(store, key)) await expectError('INVALID_ARGUMENT', call)
      }
      assert.deepEqual(await store.keys(), [])
    },
  },
  {
    id: 'state/keys/wrong-type',
    sentence: 'A key that is no string is a TypeError, for every method.',
    async run({ store }) {
      for (const key of [undefined, ...NON_STRINGS]) {
        for (const call of callsWith(store, key as string)) await expectTypeError(call)
      }
      await expectTypeError(() => store.getMany('abc' as never))
      await expectTypeError(() => store.deleteMany('abc' as never))
      await expectTypeError(() => store.setMany('abc' as never))
      assert.deepEqual(await store.keys(), [])
    },
  },
  {
    id: 'state/keys/nothing-half-done',
    sentence: 'One bad key among several refuses the whole call before anything happens.',
    async run({ store }) {
      await fill(store, ['a', 'b'])
      await expectNotApplied('INVALID_ARGUMENT', () => store.deleteMany(['a', '']))
      await expectNotApplied('INVALID_ARGUMENT', () => store.setMany({ a: 2, '': 2 }))
      await expectError('INVALID_ARGUMENT', () => store.getMany(['a', 'b\0']))
      assert.deepEqual(await store.getMany(['a', 'b']), [1, 1])
    },
  },
]

/** A call of every method that takes a key. */
function callsWith(store: StateStore, key: string): (() => Promise<unknown>)[] {
  return [
    () => store.get(key),
    () => store.set(key, 1),
    () => store.getBytes(key),
    () => store.setBytes(key, Uint8Array.of(1)),
    () => store.delete(key),
    () => store.exists(key),
    () => store.ttl(key),
    () => store.expire(key, 1),
    () => store.persist(key),
    () => store.getMany([key]),
    () => store.setMany([[key, 1]]),
    () => store.deleteMany([key]),
    () => store.setIfAbsent(key, 1),
    () => store.compareAndSet(key, undefined, 1),
    () => store.increment(key),
    () => store.hget(key, 'f'),
    () => store.hset(key, 'f', 1),
    () => store.hgetall(key),
    () => store.hdel(key, 'f'),
  ]
}
