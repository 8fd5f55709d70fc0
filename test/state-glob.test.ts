import { describe, expect, it } from 'vitest'
import { array, assert, constantFrom, property } from 'fast-check'
import { compileGlob } from '../src/state/glob.ts'

/** What the words say, with no eye on speed. */
function naive(pattern: readonly string[], text: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return text.length === 0
  if (first === '*') return naive(rest, text) || (text.length > 0 && naive(pattern, text.slice(1)))
  if (text.length === 0) return false
  if (first === '?') return naive(rest, text.slice(1))
  if (first === '\\' && rest.length > 0) return rest[0] === text[0] && naive(rest.slice(1), text.slice(1))
  return first === text[0] && naive(rest, text.slice(1))
}

describe('glob', () => {
  const char = constantFrom('a', 'b', '*', '?', '\\', '😀', '\u{10ffff}', '[', '.')
  const text = array(char, { maxLength: 9 }).map((chars) => chars.join(''))

  it('matches what a naive matcher matches', () => {
    assert(
      property(text, text, (pattern, key) => {
        const glob = compileGlob(pattern)
        expect(glob.matches(key)).toBe(naive(Array.from(pattern), Array.from(key)))
      }),
      { numRuns: 3_000 },
    )
  })

  it('has a prefix that every match begins with, and is that match when it is exact', () => {
    assert(
      property(text, text, (pattern, key) => {
        const glob = compileGlob(pattern)
        if (!glob.matches(key)) return
        expect(key.startsWith(glob.prefix)).toBe(true)
        if (glob.exact) expect(key).toBe(glob.prefix)
      }),
      { numRuns: 3_000 },
    )
  })

  it('takes polynomial time where a regular expression takes exponential', () => {
    const began = performance.now()
    expect(compileGlob(`${'*a'.repeat(200)}b`).matches('a'.repeat(512))).toBe(false)
    expect(performance.now() - began).toBeLessThan(500)
  })

  it('unescapes the prefix', () => {
    expect(compileGlob('a\\*b\\?\\\\c*')).toMatchObject({ prefix: 'a*b?\\c', exact: false })
    expect(compileGlob('a\\')).toMatchObject({ prefix: 'a\\', exact: true })
  })
})
