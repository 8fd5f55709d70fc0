/** What objects are called: names sort like keys, fit, and say which key they stand for. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HOSTILE_TEXTS } from '../../src/conformance/hostile.ts'
import {
  decodeKey,
  decodeSpace,
  encodeKey,
  encodeSpace,
  folderOf,
  keyRange,
  READABLE,
  spaceRange,
} from '../../src/state/gcs-names.ts'
import { MAX_PREFIX_BYTES } from '../../src/engines/gcs-options.ts'
import { compareBytes, isPlainText } from '../../src/store/text.ts'

const MAX_NAME_BYTES = 1_024

/** Mostly of what is escaped and what lies next to it. */
const text = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom(...Array.from('\u0001\u0008\t\n\u000b\f\r\u000e !"#ab0R\u00e9\uffff\u{10ffff}')),
      fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
    ),
    maxLength: 8,
  })
  .filter(isPlainText)
const key = text.filter((each) => each !== '')

describe('names of keys', () => {
  it('sort like keys and are their own', () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        expect(Math.sign(compareBytes(encodeKey(one), encodeKey(other)))).toBe(Math.sign(compareBytes(one, other)))
      }),
      { numRuns: 20_000 },
    )
  })

  it('say which key they stand for, and hold no line break', () => {
    fc.assert(
      fc.property(key, (each) => {
        expect(decodeKey(encodeKey(each))).toBe(each)
        expect(encodeKey(each)).not.toMatch(/[\r\n]/)
      }),
      { numRuns: 5_000 },
    )
    for (const each of HOSTILE_TEXTS) expect(decodeKey(encodeKey(each))).toBe(each)
  })

  it('are the keys themselves where nothing must be escaped', () => {
    for (const each of ['a', 'a/b', '../x', '100% ?#[*]', 'ключ', '😀', ' ']) expect(encodeKey(each)).toBe(each)
  })

  it('are not taken for keys where somebody else made them', () => {
    for (const name of ['', '\t', 'a\t', '\tz', '\t0b', '\t6', 'a\nb', '\t1\t0x', 'x'.repeat(513), 'a\0'])
      expect(decodeKey(name)).toBeUndefined()
  })

  it('fit, with the longest prefix and space', () => {
    const keys = ['\n', '\r\n', '\n\n\n', '\nx', '\t\u0001', '\r\u000e', '漢\n'].map((unit) => unit.repeat(512).slice(0, 512))
    const longest = keys.map((each) =>
      Array.from(each).reduce((sum, char) => (Buffer.byteLength(sum + char) > 512 ? sum : sum + char), ''),
    )
    for (const space of ['', 's'.repeat(118), 's'.repeat(514), '"'.repeat(60), '"'.repeat(61), '\n']) {
      for (const each of longest) {
        expect(MAX_PREFIX_BYTES + Buffer.byteLength(folderOf(space) + encodeKey(each))).toBeLessThanOrEqual(MAX_NAME_BYTES)
      }
    }
  })

  it('lie in the range of a scan exactly when their keys are asked for', () => {
    fc.assert(
      fc.property(key, text, fc.option(key, { nil: undefined }), (each, prefix, after) => {
        const wanted = each.startsWith(prefix) && (after === undefined || compareBytes(each, after) > 0)
        expect(isIn(encodeKey(each), keyRange({ prefix, after, limit: 1 }))).toBe(wanted)
      }),
      { numRuns: 20_000 },
    )
  })
})

describe('folders of spaces', () => {
  const readable = text.filter((space) => folderOf(space).startsWith(READABLE))

  it('sort like spaces, with what is in them', () => {
    fc.assert(
      fc.property(readable, readable, key, (one, other, each) => {
        const [first, second] = [folderOf(one) + encodeKey(each), folderOf(other)]
        if (one !== other) expect(Math.sign(compareBytes(first, second))).toBe(Math.sign(compareBytes(one, other)))
        expect(decodeSpace(encodeSpace(one))).toBe(one)
      }),
      { numRuns: 10_000 },
    )
  })

  it('lie in the range of a listing exactly when their spaces are asked for', () => {
    fc.assert(
      fc.property(readable, text, fc.option(text, { nil: undefined }), (space, prefix, after) => {
        const wanted = space.startsWith(prefix) && (after === undefined || compareBytes(space, after) > 0)
        const object = `${folderOf(space).slice(READABLE.length)}k`
        expect(isIn(object, spaceRange({ prefix, after, limit: 1 }))).toBe(wanted)
      }),
      { numRuns: 20_000 },
    )
  })

  it('are one each', () => {
    const spaces = [...new Set(['', ...HOSTILE_TEXTS.flatMap((each) => [each, `w:${each}`])])]
    expect(new Set(spaces.map(folderOf)).size).toBe(spaces.length)
    expect([folderOf(''), folderOf('w:acme/eu 1')]).toEqual(['s-!/', 's-w:acme/eu"01!/'])
    expect(folderOf('x'.repeat(200))).toMatch(/^h-[\w-]{43}!\/$/)
  })
})

function isIn(name: string, range: ReturnType<typeof keyRange>): boolean {
  if (range === undefined) return false
  const { startOffset, endOffset } = range
  return compareBytes(name, startOffset) >= 0 && (endOffset === undefined || compareBytes(name, endOffset) < 0)
}
