/** Checks of ids, keys and other text. Everything a caller names is hostile until it has passed here. */
import { HoldfastError } from '../errors.ts'
import { byteLength } from './platform.ts'

export const MAX_ID_BYTES = 512

/** Ids and keys: 1–512 UTF-8 bytes, well-formed, no U+0000. `what` names the argument in the error. */
export function checkId(value: unknown, what: string, maxBytes = MAX_ID_BYTES): string {
  checkText(value, what, maxBytes)
  if (value === '') throw invalid(`${what} must not be empty`)
  return value
}

/** Like an id, but may be empty: workspaces, prefixes, patterns. */
export function checkText(value: unknown, what: string, maxBytes = MAX_ID_BYTES): asserts value is string {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string, not ${typeName(value)}`)
  // A UTF-16 unit is at most 3 bytes of UTF-8, so short text needs no count.
  if (value.length * 3 > maxBytes && byteLength(value) > maxBytes) {
    throw invalid(`${what} is longer than ${maxBytes} bytes of UTF-8`)
  }
  if (!isPlainText(value)) throw invalid(`${what} must be well-formed Unicode without U+0000`)
}

/** An integer in a range; `undefined` gives the default. */
export function checkInteger(value: unknown, what: string, range: { min: number; max?: number }, fallback: number): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') throw new TypeError(`${what} must be a number, not ${typeName(value)}`)
  const max = range.max ?? Number.MAX_SAFE_INTEGER
  if (!Number.isInteger(value) || value < range.min || value > max) {
    throw invalid(`${what} must be an integer from ${range.min} to ${max}, not ${value}`)
  }
  return value
}

export function checkDate(value: unknown, what: string): number {
  if (!(value instanceof Date)) throw new TypeError(`${what} must be a Date, not ${typeName(value)}`)
  const ms = value.getTime()
  if (Number.isNaN(ms)) throw invalid(`${what} is not a valid date`)
  return ms
}

/** True where every engine can store the text as it is: no lone surrogate, no U+0000. */
export function isPlainText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0')
}

/**
 * Any string as text that every engine can store. Plain text stays readable; the rest becomes a JSON string literal, in
 * which lone surrogates and U+0000 are escapes. `decodeText` takes both back exactly.
 */
export function encodeText(value: string): { text: string; escaped: boolean } {
  return isPlainText(value) ? { text: value, escaped: false } : { text: JSON.stringify(value), escaped: true }
}

export function decodeText(text: string, escaped: boolean): string {
  return escaped ? (JSON.parse(text) as string) : text
}

/** Order by UTF-8 bytes, which is the order by code points; JavaScript's `<` orders by UTF-16 units. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++
  if (i === length) return a.length - b.length
  const x = a.charCodeAt(i)
  const y = b.charCodeAt(i)
  // Surrogates (astral code points) sort above the rest of the BMP.
  const xs = x >= 0xd800 && x <= 0xdfff
  const ys = y >= 0xd800 && y <= 0xdfff
  return xs === ys ? x - y : xs ? 1 : -1
}

/** The name nearest to `value` among `names`, by edit distance, or undefined where none is near. */
export function nearest(value: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(value.length / 3)) + 1
  for (const name of names) {
    const distance = editDistance(value.toLowerCase(), name.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [name, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substituted))
    }
    row = next
  }
  return row[b.length]!
}

/** What a value is, for messages: `null`, `array`, `Date`, `string` …; never the value itself, which may be secret. */
export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value !== 'object') return typeof value
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== '' ? name : 'object'
}

export function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', message, { outcome: 'not-applied' })
}

/** The least text above every text that begins with `prefix`, by code points; undefined where there is none. */
export function successorOf(prefix: string): string | undefined {
  const points = Array.from(prefix, (char) => char.codePointAt(0)!)
  while (points.at(-1) === 0x10ffff) points.pop()
  const last = points.pop()
  if (last === undefined) return undefined
  // Surrogates are no code points of text.
  return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
}
