/** `keys`, `scan` and `scanPrefix`: every key once, in bytewise order, whatever it is called. */
import assert from 'node:assert/strict'
import type { StateStore } from '../../state/store.ts'
import { collect, expectError, expectTypeError, inParallel } from '../expect.ts'
import { fill, scanAll, sorted, type StateCase } from './support.ts'

/** In bytewise order, which is neither that of UTF-16 units nor that of any language. */
const ORDERED = [
  '!',
  '0',
  '10',
  '9',
  'A',
  'B',
  '_',
  'a',
  'aa',
  'a\u0301',
  'b',
  '~',
  'É',
  'é',
  '\ud7ff',
  '\ue000',
  '\uffff',
  '\u{10000}',
  '😀',
]

/** Prefixes that a wildcard, an escape or a "next prefix" computed by adding one gets wrong, each with keys near it that it must not find. */
const PREFIXES: Readonly<Record<string, readonly string[]>> = {
  '%': ['a', 'x%'],
  _: ['a', 'x_'],
  a_: ['ab', 'a', 'abc'],
  'a%': ['a', 'ab%'],
  '\\': ['a', '/'],
  'a\\%': ['a%', 'a\\\\%'],
  '*': ['a', 'x*'],
  'a*': ['a', 'ab'],
  '?': ['a'],
  '[ab]': ['a', 'b', '[a]'],
  a: ['A', 'b', 'á', '`', 'Aa'],
  'a ': ['a', 'a\u00a0', 'ab'],
  '\u007f': ['~', '\u0080'],
  'p\ud7ff': ['p\ud7fe', 'p\ue000', 'q'],
  'p\uffff': ['p\ufffe', 'p\u{10000}', 'q'],
  'p\u{10ffff}': ['p\u{10fffe}', 'p', 'q'],
  '\u{10ffff}': ['\u{10fffe}', 'a'],
  '😀': ['😁', '\ud7ff'],
}

const GLOBS: readonly (readonly [pattern: string, found: readonly string[]])[] = [
  ['*', ['', 'a', 'b', 'ab', 'a*', 'a?', 'a\\', '[ab]', 'a.c', 'a/b', 'a\nb', 'A', '😀', 'a😀b', '%', '_']],
  ['a', ['a']],
  ['A', ['A']],
  ['a*', ['a', 'ab', 'a*', 'a?', 'a\\', 'a.c', 'a/b', 'a\nb', 'a😀b']],
  ['*b', ['b', 'ab', 'a/b', 'a\nb', 'a😀b']],
  ['a*b', ['ab', 'a/b', 'a\nb', 'a😀b']],
  ['**a**', ['a', 'ab', 'a*', 'a?', 'a\\', '[ab]', 'a.c', 'a/b', 'a\nb', 'a😀b']],
  ['?', ['a', 'b', 'A', '😀', '%', '_']],
  ['a?b', ['a/b', 'a\nb', 'a😀b']],
  ['??', ['ab', 'a*', 'a?', 'a\\']],
  ['a\\*', ['a*']],
  ['a\\?', ['a?']],
  ['a\\\\', ['a\\']],
  ['\\a\\b', ['ab']],
  ['[ab]', ['[ab]']],
  ['a.c', ['a.c']],
  ['%', ['%']],
  ['_', ['_']],
  ['(a|b)', []],
  ['', []],
]

export const listingCases: readonly StateCase[] = [
  {
    id: 'state/listing/empty',
    sentence: 'With nothing to list, listings are empty and end at once.',
    async run({ store }) {
      assert.deepEqual(await store.keys(), [])
      assert.deepEqual(await store.scan({}), { items: [] })
      assert.deepEqual(await store.scan({ prefix: 'x' }), { items: [] })
      assert.deepEqual(await collect(store.scanPrefix('')), [])
    },
  },
  {
    id: 'state/listing/order',
    sentence: 'Listings are in bytewise order, on every engine and beyond the basic plane too.',
    async run({ store }) {
      await fill(store, ORDERED.toReversed())
      assert.deepEqual(await store.keys(), ORDERED)
      assert.deepEqual(await scanAll(store, '', 4), ORDERED)
      assert.deepEqual(await collect(store.scanPrefix('')), ORDERED)
    },
  },
  {
    id: 'state/listing/pages',
    sentence: 'Pages hold at most `limit` keys, and together every key once, whether or not the last one is full.',
    async run({ store }) {
      const keys = ['a', 'b', 'c', 'd', 'e', 'f']
      await fill(store, [...keys, 'z'])
      await store.delete('z')
      for (const limit of [1, 2, 4, 6, 1_000]) assert.deepEqual(await scanAll(store, '', limit), keys, `limit ${limit}`)
    },
  },
  {
    id: 'state/listing/default-limit',
    sentence: 'A page holds 100 keys unless `limit` says otherwise; `keys` and `scanPrefix` go on beyond it.',
    async run({ store }) {
      const keys = Array.from({ length: 101 }, (_, i) => `k${1_000 + i}`)
      await fill(store, keys)
      const first = await store.scan()
      assert.deepEqual(first.items, keys.slice(0, 100))
      assert.deepEqual((await store.scan({ cursor: first.cursor })).items, keys.slice(100))
      assert.deepEqual(await store.keys(), keys)
      assert.deepEqual(await collect(store.scanPrefix('k')), keys)
    },
  },
  {
    id: 'state/listing/large-values',
    sentence: 'A listing is complete however much its values weigh together.',
    async run({ store }) {
      const keys = Array.from({ length: 20 }, (_, i) => `k${10 + i}`)
      const value = 'x'.repeat(Math.min(64_000, (store.limits.valueBytes ?? Infinity) - 2))
      await Promise.all(keys.map((key) => store.set(key, value)))
      assert.deepEqual(await store.keys(), keys)
      assert.deepEqual((await store.scan({ limit: 1_000 })).items, keys)
    },
  },
  {
    id: 'state/listing/limit-range',
    sentence: '`limit` is an integer from 1 to 1,000.',
    async run({ store }) {
      for (const limit of [0, -1, 1_001, 1.5, NaN, Infinity]) await expectError('INVALID_ARGUMENT', () => store.scan({ limit }))
      await expectTypeError(() => store.scan({ limit: '5' as never }))
    },
  },
  {
    id: 'state/listing/prefix',
    sentence: 'A prefix is text: no character in it stands for another, and nothing beyond it is found.',
    async run({ store }) {
      const keys = Object.entries(PREFIXES).flatMap(([prefix, others]) => [
        prefix,
        `${prefix}x`,
        `${prefix}\u{10ffff}`,
        ...others,
      ])
      await fill(store, keys)
      await inParallel(Object.keys(PREFIXES), 8, async (prefix) => {
        const inside = sorted([...new Set(keys)].filter((key) => key.startsWith(prefix)))
        assert.deepEqual(await scanAll(store, prefix, 3), inside, `prefix ${JSON.stringify(prefix)}`)
        assert.deepEqual(await collect(store.scanPrefix(prefix)), inside, `prefix ${JSON.stringify(prefix)}`)
      })
    },
  },
  {
    id: 'state/listing/prefix-refused',
    sentence: 'A prefix or pattern that is not well-formed text is refused.',
    async run({ store }) {
      for (const text of ['\0', '\ud800']) {
        await expectError('INVALID_ARGUMENT', () => store.scan({ prefix: text }))
        await expectError('INVALID_ARGUMENT', () => store.keys(text))
        await expectError('INVALID_ARGUMENT', () => collect(store.scanPrefix(text)))
      }
      await expectTypeError(() => store.scan({ prefix: 5 as never }))
      await expectTypeError(() => store.keys(/a/ as never))
    },
  },
  {
    id: 'state/listing/glob',
    sentence: 'In a pattern `*` is any text, `?` one code point, `\\` takes the next literally, and all else stands for itself.',
    async run({ store }) {
      await fill(
        store,
        GLOBS[0]![1].filter((key) => key !== ''),
      )
      for (const [pattern, found] of GLOBS) {
        const expected = sorted(found.filter((key) => key !== ''))
        assert.deepEqual(await store.keys(pattern), expected, `pattern ${JSON.stringify(pattern)}`)
      }
    },
  },
  {
    id: 'state/listing/glob-cost',
    sentence: 'A pattern of many `*` takes no exponential time.',
    async run({ store }) {
      await fill(store, ['a'.repeat(500), `${'a'.repeat(400)}b`])
      const started = performance.now()
      assert.deepEqual(await store.keys(`${'a*'.repeat(40)}b`), [`${'a'.repeat(400)}b`])
      assert.deepEqual(await store.keys(`${'*a'.repeat(40)}c`), [])
      assert.ok(performance.now() - started < 20_000, 'the pattern took seconds')
    },
  },
  {
    id: 'state/listing/cursor-refused',
    sentence: 'A cursor belongs to the listing that gave it; anything else is refused.',
    async run({ store }) {
      await fill(store, ['a1', 'a2', 'b1', 'b2'])
      const { cursor } = await store.scan({ prefix: 'a', limit: 1 })
      assert.ok(cursor !== undefined, 'more follows, yet there is no cursor')
      await expectError('INVALID_ARGUMENT', () => store.scan({ prefix: 'b', limit: 1, cursor }))
      await expectError('INVALID_ARGUMENT', () => store.scan({ limit: 1, cursor }))
      for (const other of ['', 'a1', 'AAAA', '{}', '\0', cursor.slice(1)]) {
        await expectError('INVALID_ARGUMENT', () => store.scan({ prefix: 'a', limit: 1, cursor: other }))
      }
      await expectTypeError(() => store.scan({ prefix: 'a', cursor: 5 as never }))
    },
  },
  {
    id: 'state/listing/changes-meanwhile',
    sentence: 'A key that is there all the while is seen exactly once, whatever is added and removed between the pages.',
    async run({ store }) {
      const stay = ['b', 'd', 'f', 'h', 'j']
      await fill(store, [...stay, 'c', 'g'])
      const found = await scanAll(store, '', 2, () => change(store))
      assert.deepEqual(
        found.filter((key) => stay.includes(key)),
        stay,
      )
      assert.deepEqual(found, sorted(found), 'the pages are out of order')
      assert.equal(new Set(found).size, found.length, 'a key was seen twice')
    },
  },
  {
    id: 'state/listing/scan-prefix-stops',
    sentence: '`scanPrefix` can be left at any time.',
    async run({ store }) {
      await fill(store, ['a', 'b', 'c'])
      const seen: string[] = []
      for await (const key of store.scanPrefix('')) {
        seen.push(key)
        if (seen.length === 2) break
      }
      assert.deepEqual(seen, ['a', 'b'])
    },
  },
]

/** Removes the key a page ended with and adds keys before and behind it. */
async function change(store: StateStore): Promise<void> {
  await store.deleteMany(['c', 'g'])
  await fill(store, ['a', 'e', 'i'])
}
