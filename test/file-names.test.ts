import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, it } from 'vitest'
import { fileName, textOfFileName } from '../src/engines/files.ts'

const RUNS = Number(process.env['FUZZ'] ?? 20_000)
const SAFE = /^(?!\.)[a-z0-9_.=~-]{1,180}(?<![.~])$/
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

/** Text that is not well-formed is no id: the store refuses it. */
const text = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom('a', 'A', '.', '/', '\\', '=', '~', '4', '1', 'é', 'e\u0301', ' ', ':'), maxLength: 12 }),
    fc.constantFrom('con', 'CON', 'nul.txt', 'com1', '..', '.', '...', '', '=', '=41', '~', 'a~', 'index.jsonl', 'x'.repeat(512)),
  )
  .filter((value) => value.isWellFormed())

describe('the name of a file', () => {
  it('shows plain text as it is', () => {
    for (const plain of ['a', 'user_name', 'config.json', '2026-11-20', 'x'.repeat(180)]) strictEqual(fileName(plain), plain)
    deepStrictEqual(['a/b', 'A', '', '..', '.env', 'a.', 'con', 'é'].map(fileName), [
      'a=2fb',
      '=41',
      '=',
      '=2e=2e',
      '=2eenv',
      'a=2e',
      '=63on',
      '=c3=a9',
    ])
    match(fileName('x'.repeat(181)), /^~[0-9a-f]{64}$/)
  })

  it('is safe whatever the text, on every file system', () => {
    fc.assert(
      fc.property(text, (value) => {
        match(fileName(value), SAFE)
        ok(!DEVICE.test(fileName(value)))
      }),
      { numRuns: RUNS },
    )
  })

  it('tells the text, unless it is too long for a name', () => {
    fc.assert(
      fc.property(text, (value) => {
        const name = fileName(value)
        strictEqual(textOfFileName(name), name.startsWith('~') ? undefined : value)
      }),
      { numRuns: RUNS },
    )
  })

  it('differs for different texts, also where case does not count', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        if (a !== b) notStrictEqual(fileName(a).toLowerCase(), fileName(b).toLowerCase())
      }),
      { numRuns: RUNS },
    )
  })

  it('that no text has is told apart', () => {
    for (const name of ['A', '=zz', '=61', '.DS_Store', 'a b', '=4', '=ff', 'x'.repeat(181)])
      strictEqual(textOfFileName(name), undefined)
  })
})
