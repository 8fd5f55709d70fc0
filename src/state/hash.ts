/** A hash is one JSON object under its key. Field names are any text, `__proto__` included: only own properties count. */
import { HoldfastError } from '../errors.ts'
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { objectToJson } from '../store/json.ts'
import { parseExactly } from '../store/parse.ts'
import { invalid, typeName } from '../store/text.ts'
import type { StateEntry } from './contract.ts'
import { readJson } from './values.ts'

/** The hash stored under a key, `{}` when there is none; another JSON value is a `CONFLICT`. */
export function readHash(entry: StateEntry | undefined, key: string): JsonObject {
  if (entry === undefined) return {}
  const value = readJson(entry.value, key)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new HoldfastError('CONFLICT', `key ${JSON.stringify(key)} does not hold a hash`, { outcome: 'not-applied' })
}

export function fieldOf(hash: JsonObject, field: string): JsonValue | undefined {
  return Object.hasOwn(hash, field) ? hash[field] : undefined
}

/** The hash with the fields set; the spread defines properties, and so calls no setter, not even that of `__proto__`. */
export function withFields(hash: JsonObject, fields: JsonObject): JsonObject {
  return { ...hash, ...fields }
}

/** Removes the fields in place; how many were there. */
export function removeFields(hash: JsonObject, fields: ReadonlySet<string>): number {
  let removed = 0
  for (const field of fields) {
    if (Object.hasOwn(hash, field) && delete hash[field]) removed++
  }
  return removed
}

/** The two forms of `hset`, field and value or an object, as a JSON object that shares nothing with the caller's. */
export function fieldsToSet(fields: unknown, value: unknown): JsonObject {
  if (typeof fields === 'string' && value === undefined) throw invalid('value is undefined, which JSON cannot hold')
  const object = typeof fields === 'string' ? { [fields]: value } : fields
  return parseExactly(objectToJson(object, 'fields')) as JsonObject
}

export function checkField(field: unknown): string {
  if (typeof field === 'string') return field
  throw new TypeError(`a field must be a string, not ${typeName(field)}`)
}
