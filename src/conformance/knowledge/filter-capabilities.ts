/** What filters can do only where a backend declares it: each capability where it is there, and where it is not. */
import assert from 'node:assert/strict'
import type { FieldType, Filter, FilterCapabilities } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { filterCalls } from './filter.ts'
import { contents, doc, finds, lacksFilter, needsFilter, refuses, seed, type KnowledgeCase } from './support.ts'

export const capabilityCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/filter/exists',
    sentence:
      'Where declared, $exists: true matches documents that have the field, whatever its value, and $exists: false the others.',
    skip: needsFilter('exists'),
    async run({ store }) {
      await seedValues(store, { a: { x: 'v' }, b: { x: '' }, c: {}, d: { y: 'v' } }, { x: 'string' })
      await finds(store, [
        [{ x: { $exists: true } }, 'ab'],
        [{ x: { $exists: false } }, 'cd'],
        [{ $not: { x: { $exists: true } } }, 'cd'],
        [{ x: { $exists: true, $ne: 'v' } }, 'b'],
      ])
    },
  },
  absent('exists', { x: { $exists: true } }, { $or: [{ x: 'v' }, { x: { $exists: false } }] }),
  {
    id: 'knowledge/filter/null',
    sentence: 'Where declared, null equals null and a missing field, and nothing else.',
    skip: (store) => needsFilter('null')(store) ?? lacksFilter('declared')(store),
    async run({ store }) {
      await seedValues(store, { a: { x: null }, b: {}, c: { x: 'null' }, d: { x: 0 }, e: { x: '' }, f: { x: false } })
      await finds(store, [
        [{ x: null }, 'ab'],
        [{ x: { $eq: null } }, 'ab'],
        [{ x: { $ne: null } }, 'cdef'],
        [{ x: { $in: [null, 0] } }, 'abd'],
        [{ x: { $nin: [null, ''] } }, 'cdf'],
        [{ $not: { x: null } }, 'cdef'],
      ])
    },
  },
  absent('null', { x: null }, { x: { $eq: null } }, { x: { $ne: null } }, { x: { $in: ['v', null] } }, { x: { $nin: [null] } }),
  {
    id: 'knowledge/filter/stored-null',
    sentence: 'A stored null equals no string, number or boolean, and is neither greater nor less than any.',
    skip: lacksFilter('declared'),
    async run({ store }) {
      await seedValues(store, { a: { x: null }, b: { x: 0 }, c: { x: '' } })
      await finds(store, [
        [{ x: 0 }, 'b'],
        [{ x: '' }, 'c'],
        [{ x: false }, ''],
        [{ x: 'null' }, ''],
        [{ x: { $ne: 0 } }, 'ac'],
        [{ x: { $gte: 0 } }, 'b'],
        [{ x: { $lt: 1 } }, 'b'],
        [{ x: { $in: ['', 0] } }, 'bc'],
        [{ x: { $nin: [0] } }, 'ac'],
      ])
    },
  },
  {
    id: 'knowledge/filter/exists-null',
    sentence: 'A field whose value is null exists.',
    skip: (store) => needsFilter('exists')(store) ?? needsFilter('null')(store) ?? lacksFilter('declared')(store),
    async run({ store }) {
      await seedValues(store, { a: { x: null }, b: {}, c: { x: 1 } })
      await finds(store, [
        [{ x: { $exists: true } }, 'ac'],
        [{ x: { $exists: true, $eq: null } }, 'a'],
        [{ x: { $exists: false } }, 'b'],
      ])
    },
  },
  {
    id: 'knowledge/filter/arrays',
    sentence: 'Where declared, a field that holds an array matches when one of its elements does.',
    skip: (store) => needsFilter('arrays')(store) ?? lacksFilter('declared')(store),
    async run({ store }) {
      await seedValues(store, { a: { x: ['p', 'q'] }, b: { x: ['q'] }, c: { x: [] }, d: { x: 'q' }, e: { x: [1, 7] }, f: {} })
      await finds(store, [
        [{ x: 'q' }, 'abd'],
        [{ x: { $ne: 'q' } }, 'cef'],
        [{ x: { $in: ['p', 7] } }, 'ae'],
        [{ x: { $nin: ['p', 7] } }, 'bcdf'],
        [{ x: { $gt: 5 } }, 'e'],
        [{ x: { $gte: 'q' } }, 'abd'],
        [{ $not: { x: 'p' } }, 'bcdef'],
        [{ x: '["q"]' }, ''],
        [{ x: 'p,q' }, ''],
      ])
    },
  },
  {
    id: 'knowledge/filter/arrays-absent',
    sentence: 'Without that capability an array equals no value; a filter on its field finds the scalars, never all documents.',
    skip: (store) => (store.capabilities.filter.arrays ? 'capabilities.filter.arrays is true' : lacksFilter('declared')(store)),
    async run({ store }) {
      await seedValues(store, { a: { x: ['p', 'q'] }, b: { x: 'q' }, c: {} })
      await finds(store, [
        [{ x: 'q' }, 'b'],
        [{ x: { $in: ['p', 'q'] } }, 'b'],
        [{ x: { $gte: '' } }, 'b'],
      ])
    },
  },
  {
    id: 'knowledge/filter/objects',
    sentence: 'An object equals no string, number or boolean.',
    skip: lacksFilter('declared'),
    async run({ store }) {
      await seedValues(store, { a: { x: { y: 'q' } }, b: { x: 'q' }, c: { x: '{"y":"q"}' } })
      await finds(store, [
        [{ x: 'q' }, 'b'],
        [{ x: '{"y":"q"}' }, 'c'],
        [{ x: '[object Object]' }, ''],
        [{ x: { $ne: 'q' } }, 'ac'],
        [{ x: { $gte: '' } }, 'bc'],
      ])
    },
  },
  {
    id: 'knowledge/filter/nested',
    sentence: 'Where declared, `a.b` reaches into objects, with the same meaning as a field at the top.',
    skip: (store) => needsFilter('nested')(store) ?? lacksFilter('declared')(store),
    async run({ store }) {
      await seedValues(store, {
        a: { x: { y: 1 } },
        b: { x: { y: 2, z: { w: 'deep' } } },
        c: { x: 1 },
        d: { y: 1 },
        e: {},
        f: { x: { y: '1' } },
      })
      await finds(store, [
        [{ 'x.y': 1 }, 'a'],
        [{ 'x.y': { $gt: 0 } }, 'ab'],
        [{ 'x.y': { $ne: 1 } }, 'bcdef'],
        [{ 'x.z.w': 'deep' }, 'b'],
        [{ $or: [{ 'x.y': '1' }, { y: 1 }] }, 'df'],
        [{ 'x.constructor.name': { $gt: '' } }, ''],
      ])
    },
  },
  absent('nested', { 'x.y': 'v' }, { $not: { 'x.y': 'v' } }),
  {
    id: 'knowledge/filter/declared',
    sentence:
      'Where only declared fields can be filtered by, any other is UNSUPPORTED, and the message names the field and the remedy.',
    skip: needsFilter('declared'),
    async run({ store }) {
      await seed(store, [doc('a', { metadata: { x: 'v', other: 'v' } })], { fields: { x: 'string' } })
      await finds(store, [[{ x: 'v' }, 'a']])
      for (const filter of [{ other: 'v' }, { other: { $ne: 'v' } }, { $or: [{ x: 'v' }, { other: 'v' }] }]) {
        for (const [method, call] of filterCalls(store, filter)) {
          const error = await refuses('UNSUPPORTED', call(), method)
          assert.match(String(error), /other/, 'the message must name the field')
          assert.match(String(error), /fields|createCollection/, 'the message must name the remedy')
        }
      }
      assert.equal((await contents(store)).size, 1)
    },
  },
  {
    id: 'knowledge/filter/undeclared',
    sentence: 'Where fields need no declaration, any field can be filtered by, in a collection that declares others too.',
    skip: lacksFilter('declared'),
    async run({ store }) {
      await seedValues(store, { a: { x: 'v', other: 'v' }, b: { other: 'w' }, c: {} }, { x: 'string' })
      await finds(store, [
        [{ other: 'v' }, 'a'],
        [{ other: { $ne: 'v' } }, 'bc'],
        [{ unheard: { $ne: 'v' } }, 'abc'],
        [{ unheard: 'v' }, ''],
      ])
    },
  },
]

/** Where the capability is missing: UNSUPPORTED for every method, never all documents, and nothing is deleted. */
function absent(flag: keyof FilterCapabilities, ...filters: readonly Filter[]): KnowledgeCase {
  return {
    id: `knowledge/filter/${flag}-absent`,
    sentence: `Without capabilities.filter.${flag} such a filter is UNSUPPORTED: it is never dropped.`,
    skip: lacksFilter(flag),
    async run({ store }) {
      await seedValues(store, { a: { x: 'v' }, b: {} }, { x: 'string' })
      for (const filter of filters) {
        for (const [method, call] of filterCalls(store, filter)) {
          await refuses('UNSUPPORTED', call(), `${method} with ${JSON.stringify(filter)}`)
        }
      }
      assert.equal((await contents(store)).size, 2)
    },
  }
}

function seedValues(
  store: KnowledgeStore,
  values: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  fields: Readonly<Record<string, FieldType>> = {},
): Promise<void> {
  return seed(
    store,
    Object.entries(values).map(([id, metadata]) => doc(id, { metadata })),
    { fields },
  )
}
