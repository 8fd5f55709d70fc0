/** Keys with escapes come back as they are, whatever was parsed before. */
import { array, assert, constantFrom, property, stringify, tuple, uniqueArray } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseExactly } from '../src/store/parse.ts'

const CHARACTERS = [...Array.from('\\\n"nu0é\u{1f600}\0/x{}[],: '), '\ud800']
const text = array(constantFrom(...CHARACTERS), { maxLength: 4 }).map((characters) => characters.join(''))
const entries = uniqueArray(tuple(text, text), { maxLength: 4, selector: ([key]) => key })

describe('parseExactly', () => {
  it('reads keys with escapes after any other text', () => {
    assert(
      property(array(entries, { minLength: 2, maxLength: 4 }), (objects) => {
        for (const object of objects) {
          const value = {
            first: 1,
            ...Object.fromEntries(object),
            nested: [[], {}, -0.5, true, null, Object.fromEntries(object)],
          }
          const json = JSON.stringify(value)
          const read = parseExactly(json)
          expect(read).toEqual(value)
          expect(JSON.stringify(read), stringify(value)).toBe(json)
        }
      }),
      { numRuns: 500 },
    )
  })

  it.each(['\n', '"', '\0', '\ud800', '\nx', 'x"', 'é\n', '\\n'])(
    'reads the key %j after an object whose key is its raw text',
    (key) => {
      const raw = JSON.stringify(key).slice(1, -1).slice(0, key.length)
      parseExactly(JSON.stringify({ poisoned: 0, [raw]: 0 }))
      expect(parseExactly(JSON.stringify({ poisoned: 0, [key]: 0 }))).toEqual({ poisoned: 0, [key]: 0 })
    },
  )

  it('keeps __proto__ a key, and takes white space', () => {
    const read = parseExactly(' { "\\\\" : [ 1 , { } ] , "__proto__" : { "\\n" : -0 } } ') as Record<string, unknown>
    expect(Object.keys(read)).toEqual(['\\', '__proto__'])
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect(JSON.stringify(read)).toBe(String.raw`{"\\":[1,{}],"__proto__":{"\n":0}}`)
    expect(Object.is((read['__proto__'] as { '\n': number })['\n'], -0)).toBe(true)
  })

  it('takes long strings', () => {
    const value = { '\\': '\\"'.repeat(200_000) }
    expect(parseExactly(JSON.stringify(value))).toEqual(value)
  })

  it('throws for what is not JSON', () => {
    expect(() => parseExactly('{"\\\\":1')).toThrow(SyntaxError)
  })
})
