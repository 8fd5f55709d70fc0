/** Filters: every operator, and what a missing field means. */
import assert from 'node:assert/strict'
import type { FieldType, Filter } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { contents, doc, DOCS, eventually, finds, matching, PROBE, seed, type KnowledgeCase } from './support.ts'

const FIELDS = { color: 'string', size: 'number', ok: 'boolean' } as const satisfies Record<string, FieldType>

/** One letter each; `g` has none of the fields. */
const METADATA: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  a: { color: 'red', size: 1, ok: true },
  b: { color: 'blue', size: 2, ok: false },
  c: { color: 'Red', size: 3 },
  d: { color: 'red ', size: -1.5 },
  e: { color: '', size: 0, ok: true },
  f: { color: 'é' },
  g: {},
}

export function seedFiltered(store: KnowledgeStore): Promise<void> {
  return seed(
    store,
    Object.entries(METADATA).map(([id, metadata]) => doc(id, { metadata })),
    { fields: FIELDS },
  )
}

/** A case in which each filter finds the documents of these letters. */
function operatorCase(what: string, sentence: string, rows: readonly (readonly [Filter, string])[]): KnowledgeCase {
  return {
    id: `knowledge/filter/${what}`,
    sentence,
    async run({ store }) {
      await seedFiltered(store)
      await finds(store, rows)
    },
  }
}

export const operatorCases: readonly KnowledgeCase[] = [
  operatorCase('none', 'An empty filter, or none, matches every document.', [[{}, 'abcdefg']]),
  operatorCase('equal', 'A value, or $eq, matches fields that equal it: case, spaces and normalisation count.', [
    [{ color: 'red' }, 'a'],
    [{ color: { $eq: 'red' } }, 'a'],
    [{ color: '' }, 'e'],
    [{ color: 'é' }, 'f'],
    [{ color: 'e\u0301' }, ''],
    [{ size: 0 }, 'e'],
    [{ size: -0 }, 'e'],
    [{ size: -1.5 }, 'd'],
    [{ ok: true }, 'ae'],
    [{ ok: false }, 'b'],
  ]),
  operatorCase('not-equal', '$ne matches what $eq does not, a missing field included.', [
    [{ color: { $ne: 'red' } }, 'bcdefg'],
    [{ size: { $ne: 0 } }, 'abcdfg'],
    [{ ok: { $ne: true } }, 'bcdfg'],
  ]),
  operatorCase('order-of-numbers', '$gt, $gte, $lt and $lte compare numbers; a missing field satisfies none of them.', [
    [{ size: { $gt: 1 } }, 'bc'],
    [{ size: { $gte: 1 } }, 'abc'],
    [{ size: { $lt: 0 } }, 'd'],
    [{ size: { $lte: 0 } }, 'de'],
    [{ size: { $gt: -1e9 } }, 'abcde'],
    [{ size: { $lt: 1e9 } }, 'abcde'],
  ]),
  operatorCase('order-of-strings', '$gt, $gte, $lt and $lte compare strings bytewise; a missing field satisfies none of them.', [
    [{ color: { $gt: 'red' } }, 'df'],
    [{ color: { $gte: 'red' } }, 'adf'],
    [{ color: { $lt: 'a' } }, 'ce'],
    [{ color: { $lte: 'blue' } }, 'bce'],
    [{ color: { $gte: '' } }, 'abcdef'],
    [{ color: { $gt: 'z' } }, 'f'],
  ]),
  operatorCase('in', '$in matches any of its values, $nin none of them; an empty $in matches nothing, an empty $nin all.', [
    [{ color: { $in: ['red', 'blue', 'green'] } }, 'ab'],
    [{ size: { $in: [3, 0] } }, 'ce'],
    [{ ok: { $in: [false] } }, 'b'],
    [{ color: { $nin: ['red', 'blue'] } }, 'cdefg'],
    [{ size: { $nin: [1, 2, 3] } }, 'defg'],
    [{ color: { $in: [] } }, ''],
    [{ color: { $nin: [] } }, 'abcdefg'],
  ]),
  operatorCase('several-conditions', 'Several fields, and several operators on one field, must all hold.', [
    [{ color: 'red', size: 1 }, 'a'],
    [{ color: 'red', size: 2 }, ''],
    [{ size: { $gte: 0, $lt: 2 } }, 'ae'],
    [{ size: { $gt: 0, $ne: 2 }, color: { $in: ['red', 'Red'] } }, 'ac'],
  ]),
  operatorCase('and-or', '$and wants all of its filters to hold, $or at least one of them, nested as you like.', [
    [{ $and: [{ ok: true }, { size: { $gt: 0 } }] }, 'a'],
    [{ $or: [{ color: 'red' }, { size: 3 }] }, 'ac'],
    [{ $or: [{ size: 2 }, { $and: [{ ok: true }, { color: '' }] }] }, 'be'],
    [{ $or: [{ color: 'red' }, { color: 'blue' }], size: { $gt: 1 } }, 'b'],
    [{ $and: [{ $or: [{ size: 1 }, { size: 2 }] }, { $or: [{ ok: false }, { color: 'x' }] }] }, 'b'],
  ]),
  operatorCase('not', '$not matches what its filter does not, missing fields included.', [
    [{ $not: { color: 'red' } }, 'bcdefg'],
    [{ $not: { size: { $gt: 0 } } }, 'defg'],
    [{ size: { $not: { $gt: 0 } } }, 'defg'],
    [{ $not: { size: { $lt: 0 } } }, 'abcefg'],
    [{ $not: { $or: [{ color: 'red' }, { ok: false }] } }, 'cdefg'],
    [{ $not: { $and: [{ color: 'red' }, { size: 1 }] } }, 'bcdefg'],
    [{ $not: { color: 'red', size: 1 } }, 'bcdefg'],
    [{ $not: { $not: { color: 'red' } } }, 'a'],
    [{ $not: { color: { $ne: 'red' } } }, 'a'],
    [{ $not: { size: { $nin: [1, 2] } } }, 'ab'],
    [{ $not: { color: { $in: [] } } }, 'abcdefg'],
  ]),
  operatorCase('missing-field', 'A missing field satisfies only $ne, $nin and negations.', [
    [{ $and: [{ $not: { ok: { $in: [true, false] } } }, { ok: true }] }, ''],
    [{ ok: { $nin: [true, false] } }, 'cdfg'],
    [{ $not: { size: { $gte: -100 } } }, 'fg'],
    [{ $or: [{ size: { $lt: -100 } }, { size: { $gt: 100 } }] }, ''],
    [{ color: { $in: ['', 'undefined', 'null'] } }, 'e'],
  ]),
  {
    id: 'knowledge/filter/every-method',
    sentence: 'search, count, list and delete take the same filters and find the same documents.',
    async run({ store }) {
      await seedFiltered(store)
      const filter = { $or: [{ size: { $gt: 1 } }, { $and: [{ ok: true }, { color: { $ne: 'red' } }] }] }
      const { count, list, deleteByFilter } = store.capabilities
      assert.equal((await matching(store, filter)).join(''), 'bce')
      if (count) assert.equal(await store.count(DOCS, filter), 3)
      if (list) assert.equal((await store.list(DOCS, { filter })).items.map(({ id }) => id).join(''), 'bce')
      if (!deleteByFilter) return
      assert.equal(await store.delete(DOCS, { filter }), 3)
      await eventually(store, async () => assert.equal([...(await contents(store)).keys()].toSorted().join(''), 'adfg'))
    },
  },
]

/** The filter in every method that takes one and that this store supports. */
export function filterCalls(store: KnowledgeStore, filter: Filter): [method: string, call: () => Promise<unknown>][] {
  const { count, list, deleteByFilter } = store.capabilities
  const calls: [string, () => Promise<unknown>][] = [['search', () => store.search(DOCS, { embedding: PROBE, filter })]]
  if (count) calls.push(['count', () => store.count(DOCS, filter)])
  if (list) calls.push(['list', () => store.list(DOCS, { filter })])
  if (deleteByFilter) calls.push(['delete', () => store.delete(DOCS, { filter })])
  return calls
}
