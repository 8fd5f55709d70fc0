import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Distance } from '../src/knowledge/contract.ts'
import { createScan } from '../src/knowledge/scan.ts'
import { score } from '../src/knowledge/score.ts'
import { compareBytes } from '../src/store/text.ts'

const DISTANCES = ['cosine', 'euclidean', 'dot'] as const satisfies Distance[]

/** The definitions, in the plainest words. */
function naive(distance: Distance, a: readonly number[], b: readonly number[]): number {
  const sum = (f: (x: number, y: number) => number): number => a.reduce((total, x, i) => total + f(x, b[i]!), 0)
  if (distance === 'euclidean') return 1 / (1 + Math.sqrt(sum((x, y) => (x - y) ** 2)))
  const product = sum((x, y) => x * y)
  return distance === 'dot' ? product : product / (Math.hypot(...a) * Math.hypot(...b))
}

const DIMENSION = 7
// Few values, so that scores tie; never all zero.
const vector = fc
  .array(fc.integer({ min: -2, max: 2 }), { minLength: DIMENSION - 1, maxLength: DIMENSION - 1 })
  .map((v) => [...v, 1])
const id = fc.constantFrom('a', 'b', 'B', 'ab', 'é', '\uffff', '😀', 'z')
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ id, vector, odd: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ id }) },
)

describe.each(DISTANCES)('the scan under %s', (distance) => {
  it('finds what a plain sort finds, after any writes and deletions', async () => {
    const property = fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      vector,
      fc.integer({ min: 1, max: 10 }),
      fc.boolean(),
      async (operations, query, limit, filtered) => {
        const scan = createScan<number>(DIMENSION, distance)
        const model = new Map<string, { vector: number[]; odd: boolean; value: number }>()
        for (const [value, operation] of operations.entries()) {
          if ('vector' in operation) {
            const { id, vector, odd } = operation
            scan.upsert(id, Float32Array.from(vector), { odd }, value)
            model.set(id, { vector, odd, value })
          } else {
            expect(scan.delete(operation.id)).toBe(model.delete(operation.id))
          }
        }
        const expected = [...model]
          .filter(([, { odd }]) => !filtered || odd)
          .map(([id, { vector, value }]) => ({
            id,
            score: score(distance, Float32Array.from(query), Float32Array.from(vector)),
            value,
          }))
          .toSorted((a, b) => b.score - a.score || compareBytes(a.id, b.id))
        const filter = { op: 'eq', path: ['odd'], value: true } as const
        const found = await scan.search(Float32Array.from(query), limit, filtered ? filter : undefined)
        expect(scan.size).toBe(model.size)
        expect(found).toEqual(expected.slice(0, limit))
        expect(scan.matching(filter).toSorted(compareBytes)).toEqual(
          [...model].flatMap(([id, { odd }]) => (odd ? [id] : [])).toSorted(compareBytes),
        )
      },
    )
    await fc.assert(property, { numRuns: 400 })
  })

  it('gives the score that the contract defines', () => {
    const floats = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(floats, floats, (one, two) => {
        const length = Math.min(one.length, two.length)
        const [a, b] = [
          [...one.slice(0, length), 1],
          [...two.slice(0, length), 1],
        ]
        const expected = naive(distance, a, b)
        const actual = score(distance, Float32Array.from(a), Float32Array.from(b))
        expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(expected)))
      }),
    )
  })
})

describe('the score', () => {
  it('stays within its bounds, and is finite for the largest and smallest floats', () => {
    const huge = Float32Array.from([3e38, 3e38])
    const tiny = Float32Array.from([1e-45, 1e-45])
    expect(score('cosine', huge, huge)).toBeCloseTo(1, 9)
    expect(score('cosine', tiny, tiny)).toBeCloseTo(1, 9)
    expect(score('cosine', tiny, huge)).toBeLessThanOrEqual(1)
    expect(score('euclidean', huge, huge)).toBe(1)
    expect(score('dot', huge, huge)).toBeGreaterThan(1e76)
    for (let i = 1; i < 50; i++) {
      const vector = Float32Array.from({ length: 5 }, (_, j) => Math.sin(i * 31 + j))
      expect(
        score(
          'cosine',
          vector,
          vector.map((x) => x * i),
        ),
      ).toBeLessThanOrEqual(1)
    }
  })
})
