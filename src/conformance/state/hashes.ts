/** A hash is one JSON object under its key. */
import assert from 'node:assert/strict'
import type { JsonValue } from '../../store/contract.ts'
import { expectError, expectNotApplied, expectTypeError, sameJson } from '../expect.ts'
import { HOSTILE_STRINGS, HOSTILE_TEXTS, JSON_VALUES, NON_STRINGS } from '../hostile.ts'
import { utf8, type StateCase } from './support.ts'

const FIELDS: readonly string[] = ['a.b', '$set', '$', '', 'a[0]', '0', ' a', 'a', 'A', ...HOSTILE_STRINGS, ...HOSTILE_TEXTS]

const reading: readonly StateCase[] = [
  {
    id: 'state/hash/missing',
    sentence: 'A hash that is not there is empty: `hget` gives `undefined`, `hgetall` gives `{}`, `hdel` gives 0.',
    async run({ store }) {
      assert.equal(await store.hget('k', 'f'), undefined)
      assert.deepEqual(await store.hgetall('k'), {})
      assert.equal(await store.hdel('k', 'f'), 0)
      assert.equal(await store.exists('k'), false)
    },
  },
  {
    id: 'state/hash/fields',
    sentence: '`hset` sets one field or several and leaves the others; `null` is a value of a field.',
    async run({ store }) {
      await store.hset('k', 'a', '123')
      await store.hset('k', { b: { x: [1] }, c: null })
      await store.hset('k', 'b', 2)
      assert.equal(await store.hget('k', 'a'), '123')
      assert.equal(await store.hget('k', 'c'), null)
      assert.equal(await store.hget('k', 'none'), undefined)
      assert.deepEqual(await store.hgetall('k'), { a: '123', b: 2, c: null })
    },
  },
  {
    id: 'state/hash/values',
    sentence: 'Any JSON value comes back from a field exactly.',
    async run({ store }) {
      await store.hset('k', JSON_VALUES)
      sameJson(await store.hgetall('k'), JSON_VALUES)
      sameJson(await store.hget('k', 'negative zero'), -0)
    },
  },
  {
    id: 'state/hash/removed',
    sentence: '`hdel` removes fields and counts those that were there.',
    async run({ store }) {
      await store.hset('k', { a: 1, b: 2, c: 3, d: 4 })
      assert.equal(await store.hdel('k', 'a'), 1)
      assert.equal(await store.hdel('k', 'a'), 0)
      assert.equal(await store.hdel('k', ['b', 'none', 'c']), 2)
      assert.deepEqual(await store.hgetall('k'), { d: 4 })
    },
  },
  {
    id: 'state/hash/emptied',
    sentence: 'A hash whose last field goes stays, as `{}`.',
    async run({ store }) {
      await store.hset('k', 'a', 1)
      assert.equal(await store.hdel('k', ['a']), 1)
      assert.deepEqual(await store.get('k'), {})
      await store.hset('k', 'b', 2)
      assert.deepEqual(await store.hgetall('k'), { b: 2 })
    },
  },
  {
    id: 'state/hash/one-object',
    sentence: 'A hash is one JSON object under its key, which `get` and `set` see too.',
    async run({ store }) {
      await store.hset('k', 'a', 1)
      assert.deepEqual(await store.get('k'), { a: 1 })
      assert.deepEqual(await store.keys(), ['k'])
      await store.set('k', { b: 2 })
      assert.equal(await store.hget('k', 'a'), undefined)
      assert.deepEqual(await store.hgetall('k'), { b: 2 })
      assert.equal(await store.delete('k'), true)
    },
  },
  {
    id: 'state/hash/no-live-references',
    sentence: 'What `hgetall` gives is a copy.',
    async run({ store }) {
      const value = { list: [1] }
      await store.hset('k', 'a', value)
      value.list.push(2)
      const found = await store.hgetall('k')
      found['b'] = 1
      assert.deepEqual(await store.hgetall('k'), { a: { list: [1] } })
    },
  },
]

const strict: readonly StateCase[] = [
  {
    id: 'state/hash/any-field',
    sentence: 'A field’s name is any text: dots, dollars, the empty one, U+0000, lone surrogates, `__proto__`.',
    async run({ store }) {
      for (const field of ['__proto__', 'constructor', 'toString']) {
        await store.set('empty', {})
        assert.equal(await store.hget('empty', field), undefined, field)
        await store.hset('empty', field, { polluted: 1 })
        assert.deepEqual(await store.hget('empty', field), { polluted: 1 }, field)
        assert.equal(await store.hdel('empty', field), 1, field)
      }
      const fields = new Map(FIELDS.map((field, i) => [field, i]))
      await store.hset('k', Object.fromEntries(fields))
      const found = await store.hgetall('k')
      assert.deepEqual(new Map(Object.entries(found)), new Map(Object.entries(Object.fromEntries(fields))))
      for (const field of ['a.b', '$set', '', 'a\0b']) assert.equal(await store.hget('k', field), fields.get(field))
      assert.equal(({} as { polluted?: unknown }).polluted, undefined)
    },
  },
  {
    id: 'state/hash/not-a-hash',
    sentence: 'On a key that holds another JSON value every hash method is a `CONFLICT`, and leaves it.',
    async run({ store }) {
      const values: JsonValue[] = [[1], 'text', 5, null, true]
      for (const value of values) {
        await store.set('k', value)
        await expectError('CONFLICT', () => store.hget('k', 'f'), store)
        await expectError('CONFLICT', () => store.hgetall('k'), store)
        await expectNotApplied('CONFLICT', () => store.hset('k', 'f', 1), store)
        await expectNotApplied('CONFLICT', () => store.hdel('k', 'f'), store)
        assert.deepEqual(await store.get('k'), value)
      }
    },
  },
  {
    id: 'state/hash/corrupt',
    sentence: 'On a key that does not hold JSON every hash method is `CORRUPT`, and leaves it.',
    async run({ store }) {
      await store.setBytes('k', utf8('{"a":'))
      await expectError('CORRUPT', () => store.hget('k', 'a'))
      await expectError('CORRUPT', () => store.hgetall('k'))
      await expectError('CORRUPT', () => store.hset('k', 'a', 1))
      await expectError('CORRUPT', () => store.hdel('k', 'a'))
      assert.equal((await store.getBytes('k'))?.length, 5)
    },
  },
  {
    id: 'state/hash/wrong-type',
    sentence: 'A field that is no string, and fields that are no object, are a TypeError.',
    async run({ store }) {
      for (const field of NON_STRINGS) await expectTypeError(() => store.hget('k', field as string))
      for (const fields of [null, undefined, 5, [['a', 1]], true]) {
        await expectTypeError(() => store.hset('k', fields as never))
      }
      for (const field of [null, undefined, 5, [5], {}]) await expectTypeError(() => store.hdel('k', field as never))
      assert.equal(await store.exists('k'), false)
    },
  },
]

const concurrent: readonly StateCase[] = [
  {
    id: 'state/hash/concurrent',
    sentence: 'Of concurrent changes to different fields none is lost.',
    async run({ store }) {
      await store.hset('k', { old: 1, stays: 2 })
      const sets = Array.from({ length: 12 }, (_, i) => store.hset('k', `f${i}`, i))
      await Promise.all([...sets, store.hdel('k', 'old')])
      const expected = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, i]))
      assert.deepEqual(await store.hgetall('k'), { ...expected, stays: 2 })
    },
  },
  {
    id: 'state/hash/concurrent-handles',
    sentence: 'Of changes to different fields from two handles none is lost.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? store : other).hset('k', `f${i}`, i)))
      assert.equal(Object.keys(await store.hgetall('k')).length, 12)
    },
  },
]

export const hashCases: readonly StateCase[] = [...reading, ...strict, ...concurrent]
