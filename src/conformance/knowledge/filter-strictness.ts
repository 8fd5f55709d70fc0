/** Filters are exact: nothing is coerced, nothing is interpolated, and what is no filter is refused. */
import assert from 'node:assert/strict'
import type { FieldType, Filter } from '../../knowledge/contract.ts'
import { HOSTILE_TEXTS } from '../hostile.ts'
import { filterCalls, seedFiltered } from './filter.ts'
import { contents, doc, finds, matching, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

/** What is no filter. None of it may match anything, least of all everything. */
const BAD_FILTERS: readonly unknown[] = [
  { size: { $regex: 'x' } },
  { size: { $mod: [2, 0] } },
  { size: { $exists: 'yes' } },
  { $where: '1 == 1' },
  { $nor: [{ size: 1 }] },
  { $comment: 'x' },
  { size: { gt: 1 } },
  { size: { $GT: 1 } },
  { size: { $gt: 1, color: 'red' } },
  { size: {} },
  { size: undefined },
  { size: { $eq: undefined } },
  { size: Number.NaN },
  { size: { $gt: Infinity } },
  { size: 1n },
  { size: { $gt: true } },
  { size: { $lt: null } },
  { size: new Date(0) },
  { size: [1, 2] },
  { size: { $eq: { x: 1 } } },
  { size: { $in: 1 } },
  { size: { $in: [[1]] } },
  { size: { $in: [{ $gt: 1 }] } },
  { size: { $nin: 'red' } },
  { $and: { size: 1 } },
  { $and: [1] },
  { $or: 'x' },
  { $or: [null] },
  { $not: 'x' },
  { $not: [{ size: 1 }] },
  { size: { $not: 1 } },
  { size: { $and: [{ $gt: 1 }] } },
  { color: /red/ },
  { color: 'a\0b' },
  { color: '\uD800' },
  { '': 1 },
  { 'size.': 1 },
  { 'size\0': 1 },
  { $and: [] },
  { $or: [{}] },
  { $not: {} },
  'x',
  ['x'],
  null,
  7,
]

export const strictnessCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/filter/unknown-operator',
    sentence: 'An unknown operator is INVALID_ARGUMENT for every method; it never matches all, and deletes nothing.',
    async run({ store }) {
      await seedFiltered(store)
      for (const filter of [{ size: { $regex: 'x' } }, { $where: '1' }, { $or: [{ size: 1 }, { size: { $near: 1 } }] }]) {
        for (const [method, call] of filterCalls(store, filter)) await refuses('INVALID_ARGUMENT', call(), method)
      }
      assert.equal((await contents(store)).size, 7)
    },
  },
  {
    id: 'knowledge/filter/malformed',
    sentence: 'What is no filter is refused for every method; it never matches all, and deletes nothing.',
    async run({ store }) {
      await seedFiltered(store)
      for (const filter of BAD_FILTERS) {
        for (const [method, call] of filterCalls(store, filter as Filter))
          await refuses(WRONG, call(), `${method} with ${show(filter)}`)
      }
      assert.equal((await contents(store)).size, 7)
    },
  },
  {
    id: 'knowledge/filter/types',
    sentence: 'Types are never coerced: 1, "1" and true are three values, and none is greater than another’s type.',
    skip: (store) => (store.capabilities.filter.declared ? 'a declared field has one type' : undefined),
    async run({ store }) {
      const values = { a: 1, b: '1', c: true, d: 0, e: '', f: false, g: 'true' }
      await seed(
        store,
        Object.entries(values).map(([id, x]) => doc(id, { metadata: { x } })),
      )
      await finds(store, [
        [{ x: 1 }, 'a'],
        [{ x: '1' }, 'b'],
        [{ x: true }, 'c'],
        [{ x: 0 }, 'd'],
        [{ x: '' }, 'e'],
        [{ x: false }, 'f'],
        [{ x: 'true' }, 'g'],
        [{ x: { $ne: 1 } }, 'bcdefg'],
        [{ x: { $in: [1, 'true'] } }, 'ag'],
        [{ x: { $nin: ['1', true] } }, 'adefg'],
        [{ x: { $gte: 0 } }, 'ad'],
        [{ x: { $gte: '' } }, 'beg'],
        [{ x: { $lt: 2 } }, 'ad'],
        [{ x: { $lt: '2' } }, 'be'],
        [{ $not: { x: { $gte: 0 } } }, 'bcefg'],
      ])
    },
  },
  {
    id: 'knowledge/filter/numbers-exact',
    sentence: 'Numbers are compared as doubles, exactly.',
    async run({ store }) {
      const big = Number.MAX_SAFE_INTEGER
      const values = { a: big, b: big - 1, c: 0.1 + 0.2, d: 0.3, e: 1e300, f: -5e-324 }
      await seed(
        store,
        Object.entries(values).map(([id, n]) => doc(id, { metadata: { n } })),
        { fields: { n: 'number' } },
      )
      await finds(store, [
        [{ n: big }, 'a'],
        [{ n: big - 1 }, 'b'],
        [{ n: 0.3 }, 'd'],
        [{ n: { $gt: 0.3, $lt: 1 } }, 'c'],
        [{ n: { $in: [1e300, 0.1 + 0.2] } }, 'ce'],
        [{ n: { $lt: 0 } }, 'f'],
      ])
    },
  },
  {
    id: 'knowledge/filter/hostile-values',
    sentence: 'A value in a filter is only a value, whatever an engine’s query language would make of it.',
    async run({ store }) {
      const [first, ...rest] = HOSTILE_TEXTS
      const documents = HOSTILE_TEXTS.map((text, i) => doc(`d${i}`, { metadata: { text } }))
      await seed(store, documents, { fields: { text: 'string' } })
      // Two searches find what a folding or misread value would add or lose; each alone is tried for the most dangerous ones.
      assert.deepEqual(await matching(store, { text: { $in: [first] } }), ['d0'])
      assert.equal((await matching(store, { text: { $in: rest } })).length, rest.length)
      for (const text of HOSTILE_TEXTS.filter((text) => /['"`\\%*{]/.test(text) && text.length < 50).slice(0, 24)) {
        assert.deepEqual(await matching(store, { text }), [`d${HOSTILE_TEXTS.indexOf(text)}`], JSON.stringify(text))
      }
      for (const text of [`' OR '1'='1' --`, '") || true || ("', 'd0" || 1 == 1', '*)', '% ']) {
        assert.deepEqual(await matching(store, { text }), [], JSON.stringify(text))
      }
    },
  },
  {
    id: 'knowledge/filter/hostile-fields',
    sentence:
      'A field’s name is only a name: quotes, keywords and names that JavaScript objects inherit find nothing they should not.',
    async run({ store }) {
      const names = [
        'a b',
        `a"b'c`,
        'a`b',
        'a\\b',
        'select',
        'id',
        'score',
        'content',
        '__proto__',
        'constructor',
        'toString',
        'ключ',
        '1',
        'a-b',
        '%',
        "') OR 1=1 --",
      ]
      const fields = Object.fromEntries(names.map((name) => [name, 'string'])) as Record<string, FieldType>
      // A computed key defines `__proto__` as a property, where an assignment would not.
      const documents = names.map((name, i) =>
        doc(`d${i}`, { metadata: JSON.parse(`{${JSON.stringify(name)}:"yes"}`) as Record<string, unknown> }),
      )
      await seed(store, [...documents, doc('none')], { fields })
      for (const [i, name] of names.entries()) {
        assert.deepEqual(await matching(store, Object.fromEntries([[name, 'yes']])), [`d${i}`], JSON.stringify(name))
      }
      assert.equal((await matching(store, { constructor: { $ne: 'yes' } })).length, names.length)
      assert.deepEqual(await matching(store, { toString: { $gt: '' } }), [`d${names.indexOf('toString')}`])
    },
  },
  {
    id: 'knowledge/filter/large',
    sentence: 'Filters with many values, many branches and deep nesting are answered, not cut.',
    async run({ store }) {
      await seedFiltered(store)
      let deep: Filter = { size: 1 }
      for (let depth = 0; depth < 6; depth++)
        deep = depth % 2 ? { $or: [deep, { color: 'blue' }] } : { $and: [deep, { size: { $gte: 0 } }] }
      await finds(store, [
        [{ size: { $in: Array.from({ length: 100 }, (_, i) => 100 - i) } }, 'abc'],
        [{ $or: Array.from({ length: 30 }, (_, i) => ({ size: i })) }, 'abce'],
        [{ $and: Array.from({ length: 30 }, (_, i) => ({ size: { $ne: i + 1 } })) }, 'defg'],
        [deep, 'ab'],
      ])
    },
  },
  {
    id: 'knowledge/filter/not-changed',
    sentence: 'The caller’s filter is read when the call begins and never changed.',
    async run({ store }) {
      await seedFiltered(store)
      const filter = { size: { $in: [1, 2] } }
      const pending = matching(store, filter)
      filter.size.$in.push(3)
      assert.equal((await pending).join(''), 'ab')
      assert.deepEqual(filter, { size: { $in: [1, 2, 3] } })
      const frozen = Object.freeze({ color: Object.freeze({ $in: Object.freeze(['red']) }) })
      assert.equal((await matching(store, frozen)).join(''), 'a')
    },
  },
]

function show(filter: unknown): string {
  return JSON.stringify(filter, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
}
