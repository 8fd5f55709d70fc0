/** What filters become in Pinecone's language, executed on what metadata becomes there, against independent judges. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { filterArbitraries } from '../../src/conformance/property/knowledge-arbitraries.ts'
import { mingoOracle } from '../../src/conformance/property/knowledge-filter.ts'
import { parseFilter } from '../../src/knowledge/filter.ts'
import { capabilities } from '../../src/knowledge/backends/pinecone.ts'
import type { Filter } from '../../src/knowledge/contract.ts'
import { filterFields, MAX_ORDERED_BYTES } from '../../src/knowledge/pinecone-fields.ts'
import { compileFilter } from '../../src/knowledge/pinecone-filter.ts'
import type { JsonObject } from '../../src/store/contract.ts'
import { compareBytes } from '../../src/store/text.ts'
import { matcherOf } from '../fakes/pinecone-filter.ts'

/** As the backend and the fake together would find it. */
function finds(filter: Filter, metadata: JsonObject, missingDiffers: boolean): boolean {
  const compiled = compileFilter(parseFilter(filter, capabilities.filter)!)
  return typeof compiled === 'boolean' ? compiled : matcherOf(compiled, missingDiffers)(filterFields(metadata))
}

const RUNS = 2_000

describe.each([true, false])('filters on pinecone, $ne of a missing field being %s', (missingDiffers) => {
  it('match what mingo matches', async () => {
    const oracle = await mingoOracle()
    const { metadata, filter } = filterArbitraries(fc, capabilities.filter)
    const property = fc.asyncProperty(metadata, filter, async (document, wanted) => {
      expect(finds(wanted, document as JsonObject, missingDiffers), JSON.stringify(wanted)).toBe(oracle(wanted)(document))
    })
    await fc.assert(property, { numRuns: RUNS })
  })
})

describe('the order of strings on pinecone', () => {
  const short = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 7 }),
    fc.constantFrom('', 'a', 'aaaaaa', 'aaaaaaa', 'aaaaaaaaaaaa', 'é', '😀', '\uFFFD'),
  )
  const text = fc.array(short, { maxLength: 6 }).map((parts) => parts.join(''))

  it('is that of their bytes, whatever the length of the stored one', async () => {
    const property = fc.asyncProperty(fc.tuple(text, text), async ([stored, given]) => {
      const operand = Buffer.from(given.toWellFormed())
        .subarray(0, MAX_ORDERED_BYTES)
        .toString()
        .replaceAll(/[\uFFFD\0]/g, '')
      const order = compareBytes(stored.toWellFormed(), operand)
      const expected = { $gt: order > 0, $gte: order >= 0, $lt: order < 0, $lte: order <= 0 }
      for (const [operator, holds] of Object.entries(expected)) {
        expect(finds({ x: { [operator]: operand } }, { x: stored }, false), `${stored} ${operator} ${operand}`).toBe(holds)
        expect(finds({ x: { $not: { [operator]: operand } } }, { x: [stored] }, true)).toBe(!holds)
      }
    })
    await fc.assert(property, { numRuns: RUNS })
  })

  it('orders times as ISO 8601 writes them, with an offset', () => {
    const stored = { at: '2024-05-01T12:00:00.000+02:00' }
    expect(finds({ at: { $gte: '2024-05-01T12:00:00.000+02:00', $lt: '2024-05-01T12:00:00.001+02:00' } }, stored, false)).toBe(
      true,
    )
    expect(finds({ at: { $gt: '2024-05-01' } }, stored, false)).toBe(true)
    expect(finds({ at: { $gt: '2024-05-02' } }, stored, false)).toBe(false)
  })

  it('refuses an operand that is longer than what is kept, rather than compare a part of it', () => {
    expect(() => finds({ x: { $gt: 'y'.repeat(MAX_ORDERED_BYTES) } }, { x: 'z' }, false)).not.toThrow()
    expect(() => finds({ x: { $gt: 'y'.repeat(MAX_ORDERED_BYTES + 1) } }, { x: 'z' }, false)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', outcome: 'not-applied' }),
    )
  })
})

describe('filters on pinecone', () => {
  it('cut lists of more values than an operator takes', () => {
    const values = Array.from({ length: 25_000 }, (_, i) => i)
    expect(finds({ x: { $in: values } }, { x: 24_999 }, false)).toBe(true)
    expect(finds({ x: { $in: values } }, { x: 25_000 }, false)).toBe(false)
    expect(finds({ x: { $nin: values } }, { x: 24_999 }, false)).toBe(false)
    expect(finds({ x: { $nin: values } }, {}, false)).toBe(true)
  })

  it('compare long strings by digest, whole', () => {
    const long = 'x'.repeat(5_000)
    expect(finds({ x: long }, { x: long }, false)).toBe(true)
    expect(finds({ x: long }, { x: `${long}y` }, false)).toBe(false)
    expect(finds({ x: { $ne: long } }, { x: [`${long}y`, long] }, false)).toBe(false)
  })
})
