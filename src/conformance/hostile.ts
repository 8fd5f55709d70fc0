/** Text and values that engines, query languages and file systems like to trip over. All of it is ordinary data to a store. */

/** Pairs that must stay two: engines fold, trim, normalise, cut or ignore what makes them differ. Each at most 500 bytes. */
export const NEAR_DUPLICATES: readonly (readonly [string, string])[] = [
  ['a', 'A'],
  ['é', 'É'],
  ['ß', 'ss'],
  ['straße', 'STRASSE'],
  ['i', 'İ'],
  ['k', '\u212A'],
  ['a', 'a '],
  ['a', ' a'],
  ['a', 'a\t'],
  ['a', 'a\n'],
  ['a', 'a\u00A0'],
  ['a  b', 'a b'],
  ['\u00E9', 'e\u0301'],
  ['\u00C5', '\u212B'],
  ['\uFB01', 'fi'],
  ['\uFF41', 'a'],
  ['\uAC00', '\u1100\u1161'],
  ['ab', 'a\u200Bb'],
  ['ab', 'a\u00ADb'],
  ['a', '\uFEFFa'],
  ['☎', '☎\uFE0F'],
  ['😀', '😁'],
  ['e', 'é'],
  ['1', '01'],
  ['1', '1.0'],
  ['1', '１'],
  ['a', './a'],
  ['a', 'a/'],
  ['a', 'a.'],
  ['a/b', 'a//b'],
  ['a/b', 'a\\b'],
  ['a/b', 'a/./b'],
  ['b', 'a/../b'],
  ['a:b', 'a%3Ab'],
  ['a b', 'a+b'],
  ['a b', 'a%20b'],
  ["it's", "it''s"],
  ['a\r\nb', 'a\nb'],
  [`${'x'.repeat(254)}1`, `${'x'.repeat(254)}2`],
  [`${'x'.repeat(255)}1`, `${'x'.repeat(255)}2`],
  [`${'x'.repeat(499)}1`, `${'x'.repeat(499)}2`],
  [`${'é'.repeat(249)}1`, `${'é'.repeat(249)}2`],
]

const SEPARATORS = [':', '/', '\\', '|', ',', ';', '.', '#', '::', 'a:b', 'a/b', 'a\\b', 'a|b', 'a#b', 'a:', ':a', '{a}', 'a{b}c']

const PATHS = [
  '..',
  '../a',
  '../../etc/passwd',
  './a',
  '/a',
  '/etc/passwd',
  'C:\\a',
  '~',
  '.hidden',
  'CON',
  'aux.json',
  'a/../../b',
  '%2e%2e%2f',
]

const PATTERNS = [
  '%',
  '_',
  '*',
  '?',
  '[a]',
  '[^a]',
  'a%',
  'a_',
  'a*',
  '\\%',
  '\\\\',
  '^a$',
  '(a',
  'a)',
  '+',
  '.*',
  '!',
  '~a',
  '-a',
  'a~1',
]

const QUOTES = [
  "'",
  '"',
  '`',
  "''",
  '""',
  "a'b",
  'a"b',
  '$1',
  ':name',
  '@p1',
  '?1',
  '${x}',
  '{{x}}',
  '%s',
  '%d',
  '<b>',
  '&amp;',
  '\\u0041',
  '\\x00',
]

const STATEMENTS = [
  "'; DROP TABLE holdfast_sessions; --",
  '"; DELETE FROM holdfast_messages; --',
  "' OR '1'='1",
  'a AND b',
  'a OR b',
  'NOT a',
  'NEAR(a b)',
  'SELECT 1',
  '/* a */',
  '-- a',
  '{"$ne": null}',
  '{"$gt": ""}',
  '$where',
  '$set',
  'a.b.c',
  '*:*',
  '@field:{a|b}',
]

const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'length',
  'null',
  'undefined',
  'true',
  'false',
  'NaN',
]

const NUMBERS = ['0', '-0', '00', '123', '1e3', '0x10', '-1', '9007199254740993', '1.5']

const UNICODE = [
  'ümlaut',
  '漢字',
  'ひらがな',
  'שלום',
  'مرحبا',
  '\u202Ertl',
  '👩‍👩‍👧‍👦',
  '🏳️‍🌈',
  '𝕏',
  '\u{10FFFF}',
  '\uFFFF',
  '\uFFFE',
  '\uFDD0',
  '\uFFFD',
  '\uE000',
  '\uD7FF',
  '\u2028',
  '\u2029',
  '\u0085',
  '\u0001',
  '\u001F',
  '\u007F',
  '\u001B[31m',
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  '\u00A0',
  '\u3000',
  '\u200B',
]

const LONG = [
  'x'.repeat(512),
  `${'x'.repeat(511)}y`,
  'é'.repeat(256),
  '漢'.repeat(170),
  '😀'.repeat(128),
  ' '.repeat(512),
  '%'.repeat(512),
]

/** Well-formed, distinct, 1–512 bytes, without U+0000: each is a valid id, key and name. */
export const HOSTILE_TEXTS: readonly string[] = [
  ...new Set([
    ...SEPARATORS,
    ...PATHS,
    ...PATTERNS,
    ...QUOTES,
    ...STATEMENTS,
    ...NAMES,
    ...NUMBERS,
    ...UNICODE,
    ...LONG,
    ...NEAR_DUPLICATES.flat(),
  ]),
]

/** Strings that only content and JSON values may hold; engines cut, refuse or replace them. */
export const HOSTILE_STRINGS: readonly string[] = [
  '',
  '\0',
  'a\0b',
  '\0a',
  'a\0',
  '\uD800',
  '\uDC00',
  'a\uD83D',
  '\uDE00\uD83D',
  '\\u0000',
  '"\\ud800"',
  '"quoted"',
  'null',
  '{}',
]

/** Text that is no id, with why. */
export const BAD_IDS: readonly (readonly [reason: string, id: string])[] = [
  ['empty', ''],
  ['513 bytes', 'x'.repeat(513)],
  ['514 bytes in 257 characters', 'é'.repeat(257)],
  ['514 bytes in 257 UTF-16 units', `${'😀'.repeat(128)}é`],
  ['U+0000', 'a\0b'],
  ['only U+0000', '\0'],
  ['a high surrogate alone', '\uD800'],
  ['a low surrogate alone', 'a\uDC00'],
  ['surrogates in the wrong order', '\uDE00\uD83D'],
]

/** What is no string. */
export const NON_STRINGS: readonly unknown[] = [
  null,
  5,
  true,
  {},
  [],
  ['a'],
  Symbol('a'),
  1n,
  new Date(0),
  { toString: () => 'a' },
]

/** JSON values that must come back exactly, by name. */
export const JSON_VALUES: Readonly<Record<string, unknown>> = {
  null: null,
  true: true,
  false: false,
  zero: 0,
  'negative zero': -0,
  one: 1,
  'the greatest safe integer': Number.MAX_SAFE_INTEGER,
  'an integer beyond 64 bits': 1e21,
  '0.1 + 0.2': 0.1 + 0.2,
  'the greatest number': Number.MAX_VALUE,
  '1e308': 1e308,
  'the least number': Number.MIN_VALUE,
  'a long fraction': 1.2345678901234567,
  'empty text': '',
  'text like a number': '123',
  'text like true': 'true',
  'text like null': 'null',
  'text like JSON': '{"a":1}',
  'text like a date': '2026-01-01T00:00:00.000Z',
  escapes: '\b\f\n\r\t"\\/\u2028\u2029',
  'U+0000': 'a\0b',
  'a lone high surrogate': '\uD83D',
  'a lone low surrogate': '\uDE00',
  noncharacters: '\uFFFF\uFFFE\u{10FFFF}',
  'an empty object': {},
  'an empty array': [],
  'nested empties': { a: {}, b: [], c: [{}], d: [[]], e: '' },
  'keys out of order': { z: 1, a: 2, m: { y: 1, b: 2 } },
  'keys that look like numbers': { b: 1, '10': 2, '9': 3, '01': 4 },
  'keys that differ in length and case': { aaa: 1, B: 2, a: 3, A: 4, bb: 5 },
  'an empty key': { '': 1 },
  'hostile keys': Object.fromEntries(
    ['a.b', '$set', '$', '.', 'a b', '%', '"', "'", '\\', '漢', '😀', '\0', '\uD800'].map((key) => [key, key]),
  ),
  'an own __proto__': JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}') as unknown,
  'null among values': { a: null, b: [null, 1, null] },
  'mixed arrays': [1, '1', true, null, {}, [], -0, 1.5],
  deep: nested(60),
  wide: Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key ${i}`, i])),
  'a long text': 'x😀'.repeat(20_000),
  'an array of a thousand': Array.from({ length: 1_000 }, (_, i) => i),
}

/** What JSON cannot hold, by name; each is refused with `INVALID_ARGUMENT` and the path. */
export const BAD_JSON: Readonly<Record<string, unknown>> = {
  NaN: Number.NaN,
  Infinity: Infinity,
  '-Infinity': -Infinity,
  'a BigInt': 1n,
  'a function': () => 1,
  'a symbol': Symbol('a'),
  'a Date': new Date(0),
  'a Map': new Map(),
  bytes: new Uint8Array(1),
  'a class instance': new (class Point {
    x = 1
  })(),
  'an error': new Error('a'),
  'undefined in an array': [undefined],
  'a cycle': cycle(),
}

function nested(depth: number): unknown {
  let value: unknown = 'the bottom'
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? { level: value } : [value]
  return value
}

function cycle(): unknown {
  const loop: { self?: unknown } = {}
  loop.self = loop
  return loop
}
