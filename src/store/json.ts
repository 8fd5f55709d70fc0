/** JSON that round-trips exactly, or is refused with the path of what does not. */
import { HoldfastError } from '../errors.ts'
import type { JsonObject, JsonValue } from './contract.ts'
import { parseExactly } from './parse.ts'
import { isSealedJson, keysMissing } from './sealed.ts'
import { invalid, typeName } from './text.ts'

/** Nesting beyond this is refused: some engines and parsers stop at 100 to 1,000 levels. */
export const MAX_DEPTH = 100

/**
 * Serialises `value` so that `parseJson` gives an equal value back. A property that is `undefined` counts as left out.
 * NaN, Infinity, BigInt, functions, symbols, class instances, cycles and `undefined` elsewhere: `INVALID_ARGUMENT` naming the path.
 */
export function toJson(value: unknown, path: string): string {
  const kind = kindOf(value, 0)
  if (kind === PLAIN) return JSON.stringify(value)
  // Only now is it worth while to know the path.
  if (kind === REFUSED) checkJson(value, path, 0)
  return writeJson(value as JsonValue)
}

/** `toJson` of a value that must be an object, not an array or a scalar. */
export function objectToJson(value: unknown, path: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${path} must be a plain object, not ${typeName(value)}`)
  }
  return toJson(value, path)
}

/** Parses stored JSON; what is not JSON is `CORRUPT`, with `what` naming the place and never the content. Encrypted text is JSON too. */
export function parseJson(text: string, what: string): JsonValue {
  try {
    return parseExactly(text)
  } catch {
    // The parser's own message quotes the text, which may be secret.
    throw new HoldfastError('CORRUPT', `${what} does not hold JSON; read it as bytes`)
  }
}

/** Encrypted: `DECRYPTION_FAILED`. */
export function parseJsonObject(text: string, what: string): JsonObject {
  if (isSealedJson(text)) throw keysMissing(what)
  const value = parseJson(text, what)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HoldfastError('CORRUPT', `${what} does not hold a JSON object`)
  }
  return value
}

/** Encrypted: `DECRYPTION_FAILED`. */
export function parseJsonArray(text: string, what: string): JsonValue[] {
  if (isSealedJson(text)) throw keysMissing(what)
  const value = parseJson(text, what)
  if (!Array.isArray(value)) throw new HoldfastError('CORRUPT', `${what} does not hold a JSON array`)
  return value
}

const PLAIN = 0
/** Holds a negative zero, which JSON.stringify would lose. */
const SPECIAL = 1
const REFUSED = 2
type JsonKind = typeof PLAIN | typeof SPECIAL | typeof REFUSED

function kindOf(value: unknown, depth: number): JsonKind {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return PLAIN
    case 'number':
      if (!Number.isFinite(value)) return REFUSED
      return value === 0 && Object.is(value, -0) ? SPECIAL : PLAIN
    case 'object':
      if (value === null) return PLAIN
      if (depth >= MAX_DEPTH) return REFUSED
      return Array.isArray(value) ? kindOfArray(value, depth) : kindOfObject(value, depth)
    default:
      return REFUSED
  }
}

function kindOfArray(value: readonly unknown[], depth: number): JsonKind {
  let kind: JsonKind = PLAIN
  for (let i = 0; i < value.length; i++) {
    const member = kindOf(value[i], depth + 1)
    if (member > kind) kind = member
  }
  return kind
}

function kindOfObject(value: object, depth: number): JsonKind {
  if (!isPlainObject(value)) return REFUSED
  let kind: JsonKind = PLAIN
  for (const key of Object.keys(value)) {
    const given = value[key]
    const member = given === undefined ? PLAIN : kindOf(given, depth + 1)
    if (member > kind) kind = member
  }
  return kind
}

/** Refuses what `kindOf` refuses, with the path of it. */
function checkJson(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return
    case 'number':
      if (!Number.isFinite(value)) throw invalid(`${path} is ${value}, which JSON cannot hold`)
      return
    case 'object':
      if (value === null) return
      if (depth >= MAX_DEPTH) throw invalid(`${path} is nested deeper than ${MAX_DEPTH} levels, or refers to itself`)
      // Not `forEach`, which leaves out what is missing.
      if (Array.isArray(value)) for (let i = 0; i < value.length; i++) checkJson(value[i], `${path}[${i}]`, depth + 1)
      else checkObject(value, path, depth)
      return
    default:
      throw invalid(`${path} is a ${typeof value}, which JSON cannot hold`)
  }
}

/** An object literal or its like: of no class, which may keep its data elsewhere than in its own properties. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  // A plain object of another realm has a prototype of its own whose prototype is null.
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

function checkObject(value: object, path: string, depth: number): void {
  if (!isPlainObject(value)) throw invalid(`${path} is a ${typeName(value)}; convert it to plain data first`)
  for (const key of Object.keys(value)) {
    const member = value[key]
    if (member !== undefined) checkJson(member, `${path}.${key}`, depth + 1)
  }
}

function writeJson(value: JsonValue): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${writeJson(member)}`).join(',')}}`
}

/** Equality of JSON values; the order of keys does not count. */
export function jsonEquals(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a === 'number' && typeof b === 'number') return a === b
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => jsonEquals(item, b[i]))
  }
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && jsonEquals((a as JsonObject)[key], (b as JsonObject)[key]))
}
