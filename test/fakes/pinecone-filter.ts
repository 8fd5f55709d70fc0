/**
 * Pinecone's metadata filters, executed.
 *
 * Sources: docs.pinecone.io "Filter by metadata" (operators and their types: `$gt $gte $lt $lte` number; `$eq $ne` number, string, boolean;
 * `$in $nin` string, number; `$exists` boolean; `$and $or`; the language "is based on MongoDB's query and projection operators"), "Operation
 * limits" (10,000 values in `$in` and `$nin`), and "Using arrays of strings as metadata values" (a list "takes on" each of its values).
 *
 * Whether `$ne` and `$nin` hold for a record without the field is not documented and has changed (deepset-ai/haystack-core-integrations#590:
 * "now returns only documents where the field is set and different"): `missingDiffers` chooses.
 */
import { asObject, bad, isFlag } from './pinecone-refusal.ts'

export type Value = string | number | boolean | string[]
export type Metadata = Readonly<Record<string, Value>>
export type Matcher = (metadata: Metadata) => boolean

const MAX_VALUES = 10_000

export function matcherOf(filter: unknown, missingDiffers: boolean, path = 'filter'): Matcher {
  const parts = Object.entries(asObject(filter, path)).map(([name, operand]): Matcher => {
    const at = `${path}.${name}`
    if (name === '$and' || name === '$or') return logical(name, operand, missingDiffers, at)
    if (name.startsWith('$')) throw bad(`Invalid operator ${name} at ${path}`)
    return condition(name, operand, missingDiffers, at)
  })
  if (parts.length === 0) throw bad(`${path} must have at least one condition`)
  return (metadata) => parts.every((part) => part(metadata))
}

function logical(name: '$and' | '$or', operand: unknown, missingDiffers: boolean, path: string): Matcher {
  if (!Array.isArray(operand) || operand.length === 0) throw bad(`${path} must be a list of filters`)
  const parts = operand.map((part, i) => matcherOf(part, missingDiffers, `${path}[${i}]`))
  return name === '$and'
    ? (metadata) => parts.every((part) => part(metadata))
    : (metadata) => parts.some((part) => part(metadata))
}

function condition(field: string, operand: unknown, missingDiffers: boolean, path: string): Matcher {
  if (typeof operand !== 'object' || operand === null) return condition(field, { $eq: operand }, missingDiffers, path)
  const entries = Object.entries(asObject(operand, path))
  if (entries.length === 0) throw bad(`${path} must have an operator`)
  const parts = entries.map(([operator, value]) => operation(operator, value, missingDiffers, `${path}.${operator}`))
  return (metadata) => {
    const value = Object.hasOwn(metadata, field) ? metadata[field] : undefined
    return parts.every((holds) => holds(value))
  }
}

type Test = (value: Value | undefined) => boolean

function operation(operator: string, operand: unknown, missingDiffers: boolean, path: string): Test {
  const differs =
    (equals: Test): Test =>
    (value) =>
      value === undefined ? missingDiffers : !equals(value)
  switch (operator) {
    case '$eq':
      return equalTo([scalar(operand, path)])
    case '$ne':
      return differs(equalTo([scalar(operand, path)]))
    case '$in':
      return equalTo(listed(operand, path))
    case '$nin':
      return differs(equalTo(listed(operand, path)))
    case '$exists':
      isFlag(operand, path)
      return (value) => (value !== undefined) === operand
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return comparedTo(operator, operand, path)
    default:
      throw bad(`Invalid operator ${operator}`)
  }
}

function equalTo(wanted: readonly (string | number | boolean)[]): Test {
  const values = new Set<unknown>(wanted)
  return (value) => (Array.isArray(value) ? value.some((item) => values.has(item)) : values.has(value))
}

function comparedTo(operator: string, operand: unknown, path: string): Test {
  if (typeof operand !== 'number') throw bad(`${path}: the operator must be followed by a number`)
  const accepts: Readonly<Record<string, (value: number) => boolean>> = {
    $gt: (value) => value > operand,
    $gte: (value) => value >= operand,
    $lt: (value) => value < operand,
    $lte: (value) => value <= operand,
  }
  return (value) => typeof value === 'number' && accepts[operator]!(value)
}

function scalar(value: unknown, path: string): string | number | boolean {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  throw bad(`${path} must be a string, a number or a boolean`)
}

function listed(value: unknown, path: string): (string | number)[] {
  if (!Array.isArray(value) || value.length === 0) throw bad(`${path} must be a list of values`)
  if (value.length > MAX_VALUES) throw bad(`${path} has more than ${MAX_VALUES} values`)
  for (const item of value)
    if (typeof item !== 'string' && typeof item !== 'number') throw bad(`${path} takes strings and numbers`)
  return value as (string | number)[]
}
