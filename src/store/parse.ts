/**
 * `JSON.parse` that reads every key right.
 *
 * V8 may take a key that holds an escape for the key of an earlier object that equals its raw text: once `{"a":1,"\\":2}` was parsed
 * anywhere in the process, `{"a":1,"\n":2}` comes back with the key `\` (nodejs/node#63785; Node 24 and 26).
 */
import type { JsonObject, JsonValue } from './contract.ts'

/** Throws a `SyntaxError`, which quotes the text, for what is not JSON. */
export function parseExactly(text: string): JsonValue {
  const value = JSON.parse(text) as JsonValue
  // A key that was misread begins like its raw text, up to the first escape's backslash at least.
  return text.includes('\\') && hasBackslashInKey(value) ? reread(text) : value
}

function hasBackslashInKey(value: JsonValue): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(hasBackslashInKey)
  // Most text with escapes has them in its values only, so this is often run in vain; `for in`, which lists no keys, is the quickest.
  for (const key in value) if (key.includes('\\') || hasBackslashInKey(value[key]!)) return true
  return false
}

/** Strings, punctuation, and whatever else stands between them: numbers, true, false, null. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g

/** Reads text that is known to be JSON, slowly. Strings by themselves are read right. */
function reread(text: string): JsonValue {
  const tokens = text.matchAll(TOKEN)
  const next = (): string => tokens.next().value![0]
  const valueFrom = (token: string): JsonValue => {
    if (token === '{') return objectFrom(next())
    if (token === '[') return arrayFrom(next())
    return JSON.parse(token) as JsonValue
  }
  const arrayFrom = (first: string): JsonValue[] => {
    const items: JsonValue[] = []
    for (let token = first; token !== ']'; token = next()) if (token !== ',') items.push(valueFrom(token))
    return items
  }
  const objectFrom = (first: string): JsonObject => {
    const object: JsonObject = {}
    for (let token = first; token !== '}'; token = next()) {
      if (token === ',') continue
      next()
      define(object, JSON.parse(token) as string, valueFrom(next()))
    }
    return object
  }
  return valueFrom(next())
}

/** Like an assignment, but for `__proto__`, which is a key like any other. */
function define(object: JsonObject, key: string, value: JsonValue): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
}
