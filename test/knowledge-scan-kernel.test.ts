import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../src/store/contract.ts'
import type { Distance } from '../src/knowledge/contract.ts'
import type { FilterNode } from '../src/knowledge/filter.ts'
import { ExactScan } from '../src/knowledge/scan-exact.ts'
import { KernelScan } from '../src/knowledge/scan-kernel.ts'
import type { ScanMode } from '../src/knowledge/scan-types.ts'

const DISTANCES = ['cosine', 'dot', 'euclidean'] as const
const MODES = ['auto', 'exact'] as const
const EVEN: FilterNode = { op: 'eq', path: ['even'], value: true }
/** Few enough for the kernel to look at nothing else, in numbers that leave any rest when divided by four. */
const FEW: readonly FilterNode[] = [
  { op: 'eq', path: ['ninth'], value: 4 },
  ...[1, 2, 3, 4, 7].map((n): FilterNode => ({ op: 'in', path: ['n'], values: [2, 700, 701, 1500, 2222, 2998, 2999].slice(-n) })),
]

function kernel<T>(dimension: number, distance: Distance, mode: ScanMode = 'auto'): KernelScan<T> {
  return KernelScan.create<T>(dimension, distance, mode)!
}

/** Reproducible. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function gaussian(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
}

function vectors(count: number, dimension: number, next: () => number, clusters = 0, spread = 0.2): Float32Array[] {
  const draw = (): Float32Array => Float32Array.from({ length: dimension }, () => gaussian(next))
  const centres = Array.from({ length: clusters }, draw)
  return Array.from({ length: count }, () => {
    const centre = centres[Math.floor(next() * clusters)]
    return centre === undefined ? draw() : draw().map((x, i) => centre[i]! + spread * x)
  })
}

function both<T>(dimension: number, distance: Distance, mode: ScanMode = 'auto'): [ExactScan<T>, KernelScan<T>] {
  return [new ExactScan<T>(dimension, distance), kernel<T>(dimension, distance, mode)]
}

function fill(
  scans: readonly { upsert(id: string, vector: Float32Array, metadata: JsonObject, value: number): void }[],
  all: readonly Float32Array[],
): void {
  for (const [i, vector] of all.entries())
    for (const scan of scans) scan.upsert(`d${i}`, vector, { even: i % 2 === 0, ninth: i % 9, n: i }, i)
}

describe.each(DISTANCES)('the kernel under %s', (distance) => {
  it.each([1, 2, 3, 4, 5, 15, 16, 17, 31, 100, 384])(
    'gives bit for bit what plain JavaScript gives: %i numbers',
    async (dimension) => {
      for (const mode of MODES) {
        const next = generator(dimension)
        const [plain, fast] = both<number>(dimension, distance, mode)
        fill([plain, fast], vectors(3000, dimension, next, 7))
        for (const query of vectors(5, dimension, next, 7)) {
          for (const limit of [1, 10, 300, 10_000]) {
            for (const filter of [undefined, EVEN, ...FEW]) {
              expect(await fast.search(query, limit, filter)).toEqual(await plain.search(query, limit, filter))
            }
          }
        }
      }
    },
  )

  it('after any writes and deletions', async () => {
    const dimension = 5
    const vector = fc.array(fc.integer({ min: -2, max: 2 }), { minLength: dimension - 1, maxLength: dimension - 1 })
    const id = fc.constantFrom('a', 'b', 'B', 'ab', 'é', '\uffff', '😀', 'z')
    const operation = fc.record({ id, vector, even: fc.boolean(), kind: fc.constantFrom('write', 'write', 'write', 'delete') })
    const property = fc.asyncProperty(
      fc.array(operation, { maxLength: 60 }),
      vector,
      fc.nat(9),
      async (operations, query, limit) => {
        const [plain, fast] = both<number>(dimension, distance)
        for (const [i, { id, vector, even, kind }] of operations.entries()) {
          if (kind === 'delete') expect(fast.delete(id)).toBe(plain.delete(id))
          else for (const scan of [plain, fast]) scan.upsert(id, Float32Array.from([...vector, 1]), { even }, i)
          expect(fast.size).toBe(plain.size)
        }
        for (const filter of [undefined, EVEN]) {
          const asked = [Float32Array.from([...query, 1]), limit + 1, filter] as const
          expect(await fast.search(...asked)).toEqual(await plain.search(...asked))
        }
        expect(fast.matching(EVEN).toSorted()).toEqual(plain.matching(EVEN).toSorted())
      },
    )
    await fc.assert(property, { numRuns: 40 })
  })

  it('for the largest and smallest floats, and zero', async () => {
    const scales = [3e38, 1e30, 1e10, 1, 1e-10, 1e-30, 1e-45, 0]
    const next = generator(3)
    const [plain, fast] = both<number>(20, distance)
    const unit = vectors(200, 20, next).map((v) => v.map((x) => Math.max(-1, Math.min(1, x / 4))))
    const all = unit.map((v, i) => v.map((x) => x * scales[i % scales.length]!))
    fill([plain, fast], all)
    for (const query of all.slice(0, 24)) {
      for (const limit of [3, 20, 150]) expect(await fast.search(query, limit)).toEqual(await plain.search(query, limit))
    }
  })

  it('where thousands tie, and where all are nearly the same', async () => {
    for (const spread of [0, 1e-7, 1e-4]) {
      const next = generator(9)
      const [plain, fast] = both<number>(24, distance)
      const all = vectors(5000, 24, next, 2, spread)
      fill([plain, fast], all)
      for (const query of [all[0]!, all[1]!.map((x) => x + 0.01), vectors(1, 24, next)[0]!]) {
        for (const limit of [1, 10, 700]) expect(await fast.search(query, limit)).toEqual(await plain.search(query, limit))
      }
    }
  })
})

describe('the kernel', () => {
  it('takes the largest dimension', async () => {
    const next = generator(5)
    const [plain, fast] = both<number>(65_536, 'cosine')
    const all = vectors(40, 65_536, next)
    fill([plain, fast], all)
    for (const query of [all[7]!, vectors(1, 65_536, next)[0]!])
      expect(await fast.search(query, 5)).toEqual(await plain.search(query, 5))
  })

  it('finds nothing in nothing, and all where more is asked for', async () => {
    const fast = kernel<number>(3, 'dot')
    const query = Float32Array.from([1, 2, 3])
    expect(await fast.search(query, 5)).toEqual([])
    fast.upsert('a', query, {}, 1)
    expect(await fast.search(query, 10_000)).toEqual([{ id: 'a', score: 14, value: 1 }])
    expect(await fast.search(query, 10, EVEN)).toEqual([])
    fast.delete('a')
    expect(await fast.search(query, 5)).toEqual([])
  })
})

const name = fc.constantFrom('a', 'b', '__proto__', 'constructor')
const scalar = fc.constantFrom<(string | number | boolean | null)[]>(
  null,
  true,
  false,
  0,
  1,
  2.5,
  -3,
  '',
  '1',
  'x',
  '\uffff',
  '😀',
)
const value = fc.oneof(
  { weight: 4, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(fc.oneof(scalar, fc.record({ a: scalar })), { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.dictionary(name, scalar, { maxKeys: 2 }) },
)
const metadata = fc
  .array(fc.tuple(name, value), { maxLength: 4 })
  .map((entries) => JSON.parse(JSON.stringify(Object.fromEntries(entries))) as JsonObject)
const path = fc.oneof(
  name.map((one) => [one]),
  fc.tuple(name, name),
)
const leaf: fc.Arbitrary<FilterNode> = fc.oneof(
  fc.record({ op: fc.constantFrom('eq' as const, 'ne' as const), path, value: scalar }),
  fc.record({ op: fc.constantFrom('in' as const, 'nin' as const), path, values: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ op: fc.constant('exists' as const), path, exists: fc.boolean() }),
  fc.record({
    op: fc.constantFrom('gt' as const, 'gte' as const, 'lt' as const, 'lte' as const),
    path,
    value: fc.constantFrom(0, 1, 2, -4, '', '1', 'w', '\uffff'),
  }),
)
const filter: fc.Arbitrary<FilterNode> = fc.letrec<{ node: FilterNode }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.record({ op: fc.constantFrom('and' as const, 'or' as const), nodes: fc.array(tie('node'), { maxLength: 3 }) }),
    fc.record({ op: fc.constant('not' as const), node: tie('node') }),
  ),
})).node

describe('filters in columns', () => {
  it('mean what filters on objects mean, also after changes', () => {
    const [plain, fast] = both<number>(1, 'dot')
    const writes = fc.array(fc.tuple(fc.integer({ min: 0, max: 70 }), fc.option(metadata)), { maxLength: 40 })
    const property = fc.property(writes, fc.array(filter, { minLength: 1, maxLength: 5 }), (changes, filters) => {
      for (const [i, given] of changes) {
        if (given === null) expect(fast.delete(`d${i}`)).toBe(plain.delete(`d${i}`))
        else for (const scan of [plain, fast]) scan.upsert(`d${i}`, Float32Array.of(1), given, i)
      }
      for (const node of filters) expect(fast.matching(node).toSorted()).toEqual(plain.matching(node).toSorted())
    })
    fc.assert(property, { numRuns: 300 })
  })

  it('hold for a field that differs in every row, and for more fields than columns are kept', async () => {
    const [plain, fast] = both<number>(1, 'dot')
    for (let i = 0; i < 6000; i++) {
      const fields = Object.fromEntries(Array.from({ length: 70 }, (_, f) => [`f${f}`, (i * (f + 7)) % 11]))
      for (const scan of [plain, fast]) scan.upsert(`d${i % 3000}`, Float32Array.of(1), { ...fields, n: i, list: [i, { i }] }, i)
      if (i % 500 !== 499) continue
      for (const node of [
        { op: 'lt', path: ['n'], value: i - 100 },
        { op: 'eq', path: ['list'], value: i - 3 },
        { op: 'eq', path: ['list', 'i'], value: i - 4 },
        { op: 'eq', path: [`f${(i + 1) / 500}`], value: 3 },
        { op: 'and', nodes: Array.from({ length: 70 }, (_, f) => ({ op: 'ne', path: [`f${f}`], value: 10 })) },
      ] satisfies FilterNode[]) {
        expect(fast.matching(node as FilterNode).toSorted()).toEqual(plain.matching(node as FilterNode).toSorted())
      }
    }
  })
})
