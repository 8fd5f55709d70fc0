import * as fc from 'fast-check'
import { Query } from 'mingo'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../src/errors.ts'
import type { FilterCapabilities } from '../src/knowledge/contract.ts'
import { matches, MAX_FILTER_DEPTH, parseFilter } from '../src/knowledge/filter.ts'

const ALL: FilterCapabilities = { exists: true, null: true, arrays: true, nested: true, declared: false }

function refusal(filter: unknown, capabilities = ALL, fields = {}): { code: string; message: string } {
  try {
    parseFilter(filter, capabilities, fields)
  } catch (error) {
    if (isHoldfastError(error)) return error
    throw error
  }
  throw new Error(`was not refused: ${JSON.stringify(filter)}`)
}

function holds(filter: unknown, metadata: object): boolean {
  const node = parseFilter(filter, ALL, {})
  return node === undefined || matches(node, metadata)
}

const MALFORMED: [what: string, filter: unknown, message: RegExp][] = [
  ['no object', 'x', /^filter must be a plain object, not string/],
  ['null', null, /^filter must be a plain object, not null/],
  ['an array', [], /not array/],
  ['a Map, whose entries are no properties', new Map([['a', 1]]), /not Map/],
  ['an operator that is a symbol', { [Symbol('$and')]: [] }, /symbol/],
  ['undefined as a value', { a: undefined }, /^filter\.a must be .* not undefined/],
  ['an array as a value', { a: [1] }, /^filter\.a is an array; use \$in/],
  ['an object as a value', { a: { b: 1 } }, /^filter\.a\.b: a field takes/],
  ['a date', { a: new Date() }, /^filter\.a must be a plain object, not Date/],
  ['no operator', { a: {} }, /^filter\.a is empty/],
  ['an unknown operator', { a: { $gtt: 1 } }, /unknown operator "\$gtt", did you mean "\$gt"/],
  ['an unknown operator at the top', { $nor: [{ a: 1 }] }, /unknown operator "\$nor"/],
  ['a field operator at the top', { $gt: 1 }, /unknown operator "\$gt"/],
  ['operators beside values', { a: { $gt: 1, b: 2 } }, /^filter\.a\.b/],
  ['an empty $and', { $and: [] }, /^filter\.\$and is empty/],
  ['an empty $or', { x: 1, $or: [] }, /^filter\.\$or is empty/],
  ['an empty alternative, which would match all', { $or: [{ a: 1 }, {}] }, /^filter\.\$or\[1\] is empty/],
  ['an empty $not', { $not: {} }, /^filter\.\$not is empty/],
  ['$and of an object', { $and: { a: 1 } }, /must be an array/],
  ['undefined in $or', { $or: [undefined, { a: 1 }] }, /^filter\.\$or\[0\]/],
  ['$in of a scalar', { a: { $in: 1 } }, /^filter\.a\.\$in must be an array, not number/],
  ['$in of an object', { a: { $in: [{}] } }, /^filter\.a\.\$in\[0\]/],
  ['$exists of a number', { a: { $exists: 1 } }, /^filter\.a\.\$exists must be true or false/],
  ['$not of a value', { a: { $not: 1 } }, /use \$ne/],
  ['NaN', { a: Number.NaN }, /NaN/],
  ['Infinity', { a: { $lt: Infinity } }, /Infinity/],
  ['a BigInt', { a: 1n }, /bigint/],
  ['$gt of a boolean', { a: { $gt: true } }, /^filter\.a\.\$gt must be a string or a finite number, not boolean/],
  ['$lte of null', { a: { $lte: null } }, /not null/],
  ['a lone surrogate', { a: '\ud800' }, /well-formed/],
  ['U+0000', { a: { $in: ['a\0'] } }, /U\+0000/],
  ['a lone surrogate in a name', { '\udfff': 1 }, /name must be well-formed/],
  ['U+0000 in a name', { 'a\0': 1 }, /name must be well-formed/],
  ['an empty name', { '': 1 }, /must not be empty/],
  ['an empty part of a name', { 'a..b': 1 }, /must not be empty/],
]

describe('parseFilter', () => {
  it('gives a tree', () => {
    expect(parseFilter({}, ALL)).toBeUndefined()
    expect(parseFilter({ a: 1 }, ALL)).toEqual({ op: 'eq', path: ['a'], value: 1 })
    expect(parseFilter({ 'a.b': { $gte: 1, $lt: 3 }, c: null }, ALL)).toEqual({
      op: 'and',
      nodes: [
        {
          op: 'and',
          nodes: [
            { op: 'gte', path: ['a', 'b'], value: 1 },
            { op: 'lt', path: ['a', 'b'], value: 3 },
          ],
        },
        { op: 'eq', path: ['c'], value: null },
      ],
    })
    expect(parseFilter({ $not: { a: { $not: { $in: [] } } } }, ALL)).toEqual({
      op: 'not',
      node: { op: 'not', node: { op: 'in', path: ['a'], values: [] } },
    })
  })

  it('turns -0 into 0', () => {
    expect(parseFilter({ a: { $in: [-0] } }, ALL)).toStrictEqual({ op: 'in', path: ['a'], values: [0] })
  })

  it.each(MALFORMED)('refuses %s', (_, filter, message) => {
    const { code, message: text } = refusal(filter)
    expect(code).toBe('INVALID_ARGUMENT')
    expect(text).toMatch(message)
  })

  it('takes nesting up to a limit', () => {
    const nested = (levels: number): object => {
      let filter: object = { a: 1 }
      for (let i = 0; i < levels; i++) filter = { $not: filter }
      return filter
    }
    expect(holds(nested(MAX_FILTER_DEPTH), { a: 1 })).toBe(true)
    expect(refusal(nested(MAX_FILTER_DEPTH + 1)).message).toMatch(/nested deeper/)
    expect(refusal({ $and: [nested(100_000)] }).message).toMatch(/nested deeper/)
  })

  it('refuses what the backend cannot do, with the remedy', () => {
    const none: FilterCapabilities = { exists: false, null: false, arrays: false, nested: false, declared: true }
    const fields = { a: 'number' }
    expect(refusal({ a: null }, none, fields)).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringMatching(/by null/) })
    expect(refusal({ a: { $nin: [1, null] } }, none, fields)).toMatchObject({ code: 'UNSUPPORTED' })
    expect(refusal({ a: { $exists: true } }, none, fields)).toMatchObject({ code: 'UNSUPPORTED' })
    expect(refusal({ 'a.b': 1 }, none, fields)).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/top-level/),
    })
    for (const filter of [{ b: 1 }, { $or: [{ a: 1 }, { $not: { b: 1 } }] }]) {
      expect(refusal(filter, none, fields)).toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/"b" is not declared/),
      })
    }
    expect(refusal({ constructor: 1 }, none, fields).code).toBe('UNSUPPORTED')
    expect(parseFilter({ a: { $gt: 1 } }, none, { a: 'number' })).toBeDefined()
  })
})

const MEANING: [filter: unknown, metadata: object, expected: boolean][] = [
  [{ a: '1' }, { a: 1 }, false],
  [{ a: 1 }, { a: true }, false],
  [{ a: 0 }, { a: -0 }, true],
  [{ a: { $in: [0] } }, { a: -0 }, true],
  [{ a: { $gte: 0 } }, { a: -0 }, true],
  [{ a: { $gt: 'a' } }, { a: 1 }, false],
  [{ a: { $lt: 9 } }, { a: '1' }, false],
  [{ a: { $gte: 0 } }, { a: true }, false],
  [{ a: { $lt: '\u{1f600}' } }, { a: '\uffff' }, true],
  [{ a: { $gt: 'a' } }, { a: 'ab' }, true],
  // A missing field satisfies only these.
  [{ a: 1 }, {}, false],
  [{ a: { $ne: 1 } }, {}, true],
  [{ a: { $nin: [1] } }, {}, true],
  [{ a: { $not: { $gt: 1 } } }, {}, true],
  [{ a: { $exists: false } }, {}, true],
  [{ a: null }, {}, true],
  [{ a: { $in: [null] } }, {}, true],
  [{ a: { $ne: null } }, {}, false],
  [{ a: { $nin: [null, 1] } }, {}, false],
  [{ a: { $lte: 1 } }, {}, false],
  // null is a value.
  [{ a: null }, { a: null }, true],
  [{ a: { $exists: true } }, { a: null }, true],
  [{ a: { $ne: 1 } }, { a: null }, true],
  [{ a: { $in: [] } }, { a: null }, false],
  [{ a: { $nin: [] } }, { a: null }, true],
  // Arrays: any element, no deeper.
  [{ a: 1 }, { a: [2, 1] }, true],
  [{ a: { $ne: 1 } }, { a: [2, 1] }, false],
  [{ a: { $ne: 1 } }, { a: [] }, true],
  [{ a: null }, { a: [] }, false],
  [{ a: null }, { a: [1, null] }, true],
  [{ a: { $exists: true } }, { a: [] }, true],
  [{ a: { $gt: 4, $lt: 2 } }, { a: [1, 5] }, true],
  [{ a: 1 }, { a: [[1]] }, false],
  // Paths.
  [{ 'a.b': 1 }, { a: { b: 1 } }, true],
  [{ 'a.b': 1 }, { 'a.b': 1 }, false],
  [{ 'a.b': 1 }, { a: [{ b: 2 }, { b: [3, 1] }] }, true],
  [{ 'a.b': null }, { a: 5 }, true],
  [{ 'a.b': null }, { a: [{ b: 1 }, {}] }, false],
  [{ 'a.0': 1 }, { a: [1] }, false],
  [{ 'a.0': 1 }, { a: { 0: 1 } }, true],
  [{ 'a.length': 1 }, { a: [1] }, false],
  [{ 'a.length': 1 }, { a: 'x' }, false],
  // Names are just names.
  [{ constructor: { $exists: true } }, {}, false],
  [{ toString: null }, {}, true],
  [JSON.parse('{"__proto__":1}'), JSON.parse('{"__proto__":1}'), true],
  [JSON.parse('{"__proto__":1}'), {}, false],
  [{ 'constructor.name': 'Object' }, {}, false],
  // Combinations.
  [{ $or: [{ a: 1 }, { b: 2 }] }, { b: 2 }, true],
  [{ $and: [{ a: 1 }, { b: 2 }] }, { b: 2 }, false],
  [{ a: 1, $not: { b: 2 } }, { a: 1, b: 2 }, false],
  [{ a: { $not: { $not: { $in: [1] } } } }, { a: 1 }, true],
]

describe('matches', () => {
  it.each(MEANING)('%j of %j is %j', (filter, metadata, expected) => {
    expect(holds(filter, metadata)).toBe(expected)
  })
})

/**
 * mingo implements MongoDB. It is of another mind than we about
 * - `$eq: null` and `$in` with null where a path leads into an array that is empty, holds scalars, or holds objects that lack the field:
 *   we call a field missing when nothing at all is reached;
 * - a field that holds arrays in several objects of an array, whose elements it sees for `$eq` but not for `$gt`;
 * - names that are indexes (`a.0`), arrays within arrays, booleans under `$gt` (we refuse them) and the order of strings (by UTF-16).
 * The data here keeps away from these.
 */
const scalar = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom('', 'a', 'b', 'ab', '1'),
  fc.boolean(),
  fc.constant(null),
)
const ordered = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom('', 'a', 'b', 'ab'))
const value = fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }))
const metadata = fc.record(
  { x: value, y: value, n: scalar, o: fc.record({ p: value, q: value }, { requiredKeys: [] }) },
  { requiredKeys: [] },
)
const operators = fc.oneof(
  fc.record({ $eq: scalar }),
  fc.record({ $ne: scalar }),
  ...(['$gt', '$gte', '$lt', '$lte'] as const).map((name) => ordered.map((operand) => ({ [name]: operand }))),
  fc.record({ $in: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ $nin: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ $exists: fc.boolean() }),
  fc.record({ $gte: ordered, $ne: scalar }),
)
const condition = fc.oneof(scalar, operators, fc.record({ $not: operators }))
const field = fc.constantFrom('x', 'y', 'z', 'o.p', 'o.q', 'o.r', 'n', 'n.p')
const { filter } = fc.letrec<{ filter: object }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(field, condition).map(([name, wanted]) => ({ [name]: wanted })),
    fc.tuple(condition, condition).map(([x, y]) => ({ x, 'o.p': y })),
    fc.array(tie('filter'), { minLength: 1, maxLength: 3 }).map(($and) => ({ $and })),
    fc.array(tie('filter'), { minLength: 1, maxLength: 3 }).map(($or) => ({ $or })),
  ),
}))

describe('the same as mingo', () => {
  it('on scalars, arrays and nested fields', () => {
    fc.assert(
      fc.property(filter, metadata, (filter, metadata) => {
        expect(holds(filter, metadata)).toBe(new Query(filter).test(metadata))
      }),
      { numRuns: 5_000 },
    )
  })

  it('on fields of objects in arrays', () => {
    const objects = fc.array(fc.record({ p: scalar }), { minLength: 1, maxLength: 3 }).map((o) => ({ o }))
    const positive = fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      operators.filter((wanted) => !JSON.stringify(wanted).includes('null')),
    )
    fc.assert(
      fc.property(positive, objects, (wanted, metadata) => {
        const filter = { 'o.p': wanted }
        expect(holds(filter, metadata)).toBe(new Query(filter).test(metadata))
      }),
      { numRuns: 3_000 },
    )
  })

  it('under a top-level $not, as the opposite', () => {
    fc.assert(
      fc.property(filter, metadata, (filter, metadata) => {
        expect(holds({ $not: filter }, metadata)).toBe(!new Query(filter).test(metadata))
      }),
    )
  })
})
