/** JSON values come back exactly, or are refused. */
import assert from 'node:assert/strict'
import type { JsonValue } from '../../store/contract.ts'
import { expectNotApplied, inParallel, sameJson } from '../expect.ts'
import { BAD_JSON, HOSTILE_STRINGS, HOSTILE_TEXTS, JSON_VALUES } from '../hostile.ts'
import type { StateCase } from './support.ts'

/** Text that careless code takes for something else, and what it looks like. */
const LOOKALIKES: readonly JsonValue[] = [
  '123',
  123,
  '1e3',
  '007',
  ' 5 ',
  'true',
  true,
  'null',
  null,
  '{}',
  '[]',
  '"quoted"',
  '-0',
  '',
]

const returning: readonly StateCase[] = [
  {
    id: 'state/values/missing',
    sentence: 'A key that is not there is `undefined`, `false` or empty, never an exception.',
    async run({ store }) {
      assert.equal(await store.get('none'), undefined)
      assert.equal(await store.getBytes('none'), undefined)
      assert.equal(await store.exists('none'), false)
      assert.equal(await store.delete('none'), false)
      assert.deepEqual(await store.getMany(['none']), [undefined])
    },
  },
  {
    id: 'state/values/round-trip',
    sentence: 'JSON values come back exactly, whatever they are.',
    async run({ store }) {
      await inParallel(Object.entries(JSON_VALUES), 8, async ([name, value]) => {
        await store.set(name, value)
        sameJson(await store.get(name), value, name)
      })
    },
  },
  {
    id: 'state/values/replaced',
    sentence: '`set` replaces what was there, whole.',
    async run({ store }) {
      await store.set('k', { a: 1, b: 2 })
      await store.set('k', { c: 3 })
      assert.deepEqual(await store.get('k'), { c: 3 })
    },
  },
  {
    id: 'state/values/null',
    sentence: '`null` is a value, not the absence of one.',
    async run({ store }) {
      await store.set('k', null)
      assert.equal(await store.get('k'), null)
      assert.equal(await store.exists('k'), true)
      assert.deepEqual(await store.getMany(['k', 'none']), [null, undefined])
      assert.equal(await store.setIfAbsent('k', 1), false)
      assert.equal(await store.compareAndSet('k', undefined, 1), false)
      assert.deepEqual(await store.keys(), ['k'])
      assert.equal(await store.delete('k'), true)
    },
  },
  {
    id: 'state/values/types-kept',
    sentence: 'The string "123" never comes back as a number, nor any text as what it looks like.',
    async run({ store }) {
      await store.setMany(LOOKALIKES.map((value, i): [string, JsonValue] => [`k${i}`, value]))
      assert.deepEqual(await store.getMany(LOOKALIKES.map((_, i) => `k${i}`)), LOOKALIKES)
      await store.set('alone', '123')
      assert.equal(await store.get('alone'), '123')
    },
  },
  {
    id: 'state/values/negative-zero',
    sentence: 'Negative zero stays negative.',
    async run({ store }) {
      await store.setMany({ alone: -0, nested: { a: [-0, 0] } })
      assert.deepEqual(await store.getMany(['alone', 'nested']), [-0, { a: [-0, 0] }])
    },
  },
  {
    id: 'state/values/any-text',
    sentence: 'Any string comes back as it was, as a value and as an object’s key: U+0000, lone surrogates, controls, SQL.',
    async run({ store }) {
      await store.set('texts', HOSTILE_TEXTS)
      await inParallel(HOSTILE_STRINGS.entries(), 8, async ([i, text]) => {
        await store.set(`k${i}`, { text, [text]: [text] })
        sameJson(await store.get(`k${i}`), { text, [text]: [text] })
      })
      assert.deepEqual(await store.get('texts'), HOSTILE_TEXTS)
    },
  },
  {
    id: 'state/values/deep',
    sentence: 'Values nested 100 levels deep come back; those too deep to be safe everywhere are refused.',
    async run({ store }) {
      await store.set('k', nested(100))
      assert.deepEqual(await store.get('k'), nested(100))
      await expectNotApplied('INVALID_ARGUMENT', () => store.set('k', nested(1_000)))
      await expectNotApplied('INVALID_ARGUMENT', () => store.set('k', nested(100_000)))
    },
  },
  {
    id: 'state/values/undefined-member',
    sentence: 'A member that is `undefined` counts as left out.',
    async run({ store }) {
      await store.set('k', { a: undefined, b: 1 })
      assert.deepEqual(await store.get('k'), { b: 1 })
    },
  },
  {
    id: 'state/values/large',
    sentence: 'A value of 1 MB, or of the declared limit where that is less, comes back exactly.',
    async run({ store }) {
      const bytes = Math.min(1_000_000, store.limits.valueBytes ?? Infinity)
      const value = 'é"'.repeat(Math.floor((bytes - 2) / 4))
      await store.set('k', value)
      assert.ok((await store.get('k')) === value, 'the large value differs')
    },
  },
]

const refusing: readonly StateCase[] = [
  {
    id: 'state/values/too-large',
    sentence: 'A value beyond the declared limit is refused, and the old one stays.',
    skip: ({ limits }) => ((limits.valueBytes ?? Infinity) <= 64e6 ? undefined : 'no limit within what a test may allocate'),
    async run({ store }) {
      const bytes = store.limits.valueBytes ?? 0
      const text = 'x'.repeat(bytes)
      await store.set('k', 'old')
      await expectNotApplied('VALUE_TOO_LARGE', () => store.set('k', text), store)
      await expectNotApplied('VALUE_TOO_LARGE', () => store.setBytes('k', new Uint8Array(bytes + 1)), store)
      await expectNotApplied('VALUE_TOO_LARGE', () => store.setMany({ k: text }), store)
      assert.equal(await store.get('k'), 'old')
      await store.setBytes('k', new Uint8Array(bytes))
    },
  },
  {
    id: 'state/values/refused',
    sentence: 'What JSON cannot hold is `INVALID_ARGUMENT` with the path of it, and changes nothing.',
    async run({ store }) {
      await store.set('k', 'old')
      for (const [name, value] of Object.entries({ ...BAD_JSON, undefined: undefined })) {
        await expectNotApplied('INVALID_ARGUMENT', () => store.set('k', value))
        const error = await expectNotApplied('INVALID_ARGUMENT', () => store.set('k', { list: [0, value] }))
        assert.match(error.message, /list\[1\]/, `the message names no path for ${name}`)
      }
      assert.equal(await store.get('k'), 'old')
      assert.deepEqual(await store.keys(), ['k'])
    },
  },
  {
    id: 'state/values/refused-everywhere',
    sentence: 'Every method that writes a value refuses what JSON cannot hold, before it writes anything.',
    async run({ store }) {
      await expectNotApplied('INVALID_ARGUMENT', () => store.setMany({ a: 1, b: Number.NaN }))
      await expectNotApplied('INVALID_ARGUMENT', () => store.setIfAbsent('a', undefined))
      await expectNotApplied('INVALID_ARGUMENT', () => store.compareAndSet('a', undefined, 1n))
      await expectNotApplied('INVALID_ARGUMENT', () => store.hset('a', 'field', Infinity))
      await expectNotApplied('INVALID_ARGUMENT', () => store.hset('a', { x: 1, y: new Date(0) }))
      assert.deepEqual(await store.keys(), [])
    },
  },
  {
    id: 'state/values/no-live-references',
    sentence: 'What is stored is a copy: neither the object given nor the one got changes it.',
    async run({ store }) {
      const value = { list: [1] }
      await store.set('k', value)
      value.list.push(2)
      const found = (await store.get('k')) as { list: number[] }
      assert.deepEqual(found, { list: [1] })
      found.list.push(3)
      assert.deepEqual(await store.get('k'), { list: [1] })
    },
  },
]

export const valueCases: readonly StateCase[] = [...returning, ...refusing]

function nested(levels: number): JsonValue {
  let value: JsonValue = []
  for (let level = 1; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value }
  return value
}
