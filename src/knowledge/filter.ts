/**
 * Filters: the language that callers write, the tree that backends compile, and its meaning on a metadata object.
 *
 * A filter is an object. `{ year: 2024 }` asks for equality, `{ year: { $gte: 2020, $lt: 2025 } }` uses operators, several fields or
 * operators in one object must all hold, and `$and`, `$or`, `$not` combine. A name with dots is a path into objects; keys that hold
 * dots cannot be reached.
 *
 * The meaning is MongoDB's, made strict and cut down to what every engine can do:
 * - Values are equal when type and value are (`'1'` is not `1`, `-0` is `0`). `$gt $gte $lt $lte` compare strings by code points or
 *   numbers, and hold for no other type.
 * - Where a field holds an array, a condition holds when it holds for an element. Elements that are arrays are not opened, so no
 *   condition but `$exists` is ever about them. A path goes on into the objects of an array; an array's indexes are no names.
 * - A field is missing when its path reaches nothing. That satisfies `$eq: null` and `$exists: false`. `$in` is `$eq` of any of its
 *   values, so `$in: [null]` takes missing fields too, and `$in: []` takes nothing.
 * - `$ne`, `$nin` and `$not` are the exact opposites of `$eq`, `$in` and what they enclose.
 */
import { HoldfastError } from '../errors.ts'
import { isPlainObject } from '../store/json.ts'
import { compareBytes, invalid, isPlainText, nearest, typeName } from '../store/text.ts'
import type { FieldType, FilterCapabilities } from './contract.ts'

export type FilterScalar = string | number | boolean | null

/**
 * A checked filter. `path` is the field's name split at its dots: one part, or several where `capabilities.filter.nested`.
 * A missing field satisfies only `ne`, `nin`, `not`, `exists: false`, `eq: null`, and `in` with null among its values.
 * `values` may be empty: then `in` holds for nothing and `nin` for everything. An `and` without nodes holds for everything; it stands
 * only alone, where a call means all documents. Numbers are finite and not -0.
 */
export type FilterNode =
  | { readonly op: 'and' | 'or'; readonly nodes: readonly FilterNode[] }
  | { readonly op: 'not'; readonly node: FilterNode }
  | { readonly op: 'eq' | 'ne'; readonly path: readonly string[]; readonly value: FilterScalar }
  | { readonly op: 'gt' | 'gte' | 'lt' | 'lte'; readonly path: readonly string[]; readonly value: string | number }
  | { readonly op: 'in' | 'nin'; readonly path: readonly string[]; readonly values: readonly FilterScalar[] }
  | { readonly op: 'exists'; readonly path: readonly string[]; readonly exists: boolean }

/** Every document. */
export const EVERYTHING: FilterNode = { op: 'and', nodes: [] }

/** Operators within operators beyond this are refused: engines limit the depth of expressions, and so does the stack. */
export const MAX_FILTER_DEPTH = 32

const FIELD_OPERATORS = ['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists', '$not'] as const
const LOGICAL_OPERATORS = ['$and', '$or', '$not'] as const

// ── From what callers write to a tree ───────────────────────────────────────────────────────────────────────────────

/**
 * Checks all of a filter. `{}` gives undefined: no condition. What is malformed is `INVALID_ARGUMENT` with its path; what the backend
 * cannot do is `UNSUPPORTED` with the remedy. Nothing is dropped: `undefined` as a condition and empty objects inside are refused.
 * Without `fields`, `checkDeclared` is left to the caller.
 */
export function parseFilter(
  filter: unknown,
  capabilities: FilterCapabilities,
  fields?: Readonly<Record<string, FieldType>>,
): FilterNode | undefined {
  if (isPlainObject(filter) && Reflect.ownKeys(filter).length === 0) return undefined
  const node = parseConditions(filter, 'filter', capabilities, 0)
  if (fields !== undefined) checkDeclared(node, capabilities, fields)
  return node
}

/** Where only declared fields can be filtered by: `UNSUPPORTED` for any other. */
export function checkDeclared(
  node: FilterNode,
  { declared }: FilterCapabilities,
  fields: Readonly<Record<string, FieldType>>,
): void {
  const undeclared = declared ? fieldsOf(node).find((name) => !Object.hasOwn(fields, name)) : undefined
  if (undeclared === undefined) return
  const name = JSON.stringify(undeclared)
  throw unsupported(
    `filter: ${name} is not declared, which this backend needs: createCollection(…, { fields: { ${name}: 'string' } })`,
  )
}

function fieldsOf(node: FilterNode): string[] {
  if ('nodes' in node) return node.nodes.flatMap(fieldsOf)
  return 'node' in node ? fieldsOf(node.node) : [node.path.join('.')]
}

/** An object of fields and logical operators, all of which must hold. */
function parseConditions(filter: unknown, path: string, capabilities: FilterCapabilities, depth: number): FilterNode {
  return conjunction(
    members(filter, path, depth).map(([name, value]) => {
      const at = `${path}.${name}`
      if (name === '$and' || name === '$or') return parseList(name, value, at, capabilities, depth + 1)
      if (name === '$not') return { op: 'not', node: parseConditions(value, at, capabilities, depth + 1) }
      if (name.startsWith('$')) throw unknownOperator(name, path, LOGICAL_OPERATORS)
      return parseField(checkedField(name, at, capabilities), value, at, capabilities, depth + 1)
    }),
  )
}

function parseList(
  name: '$and' | '$or',
  value: unknown,
  path: string,
  capabilities: FilterCapabilities,
  depth: number,
): FilterNode {
  const nodes = array(value, path).map((item, i) => parseConditions(item, `${path}[${i}]`, capabilities, depth))
  if (nodes.length === 0) throw invalid(`${path} is empty; leave it out`)
  return nodes.length === 1 ? nodes[0]! : { op: name === '$and' ? 'and' : 'or', nodes }
}

function parseField(
  field: readonly string[],
  value: unknown,
  path: string,
  capabilities: FilterCapabilities,
  depth: number,
): FilterNode {
  if (typeof value !== 'object' || value === null) return { op: 'eq', path: field, value: scalar(value, path, capabilities) }
  if (Array.isArray(value)) throw invalid(`${path} is an array; use $in for one of several values`)
  return conjunction(
    members(value, path, depth).map(([name, operand]) => parseOperator(name, field, operand, path, capabilities, depth)),
  )
}

function parseOperator(
  name: string,
  field: readonly string[],
  operand: unknown,
  path: string,
  capabilities: FilterCapabilities,
  depth: number,
): FilterNode {
  const at = `${path}.${name}`
  switch (name) {
    case '$eq':
    case '$ne':
      return { op: name === '$eq' ? 'eq' : 'ne', path: field, value: scalar(operand, at, capabilities) }
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte':
      return { op: name.slice(1) as 'gt' | 'gte' | 'lt' | 'lte', path: field, value: ordered(operand, at) }
    case '$in':
    case '$nin': {
      const values = array(operand, at).map((value, i) => scalar(value, `${at}[${i}]`, capabilities))
      return { op: name === '$in' ? 'in' : 'nin', path: field, values }
    }
    case '$exists':
      return { op: 'exists', path: field, exists: flag(operand, at, capabilities) }
    case '$not':
      return { op: 'not', node: parseNegated(field, operand, at, capabilities, depth + 1) }
    default:
      throw name.startsWith('$')
        ? unknownOperator(name, path, FIELD_OPERATORS)
        : invalid(`${at}: a field takes a value or operators; write the path of a nested field as one name with dots`)
  }
}

function parseNegated(
  field: readonly string[],
  operand: unknown,
  path: string,
  capabilities: FilterCapabilities,
  depth: number,
): FilterNode {
  if (!isPlainObject(operand))
    throw invalid(`${path} must be an object of operators, not ${typeName(operand)}; use $ne for a value`)
  return parseField(field, operand, path, capabilities, depth)
}

function conjunction(nodes: readonly FilterNode[]): FilterNode {
  return nodes.length === 1 ? nodes[0]! : { op: 'and', nodes }
}

/** The members of an object that must have some. Symbols, which other libraries use as operators, would otherwise go unnoticed. */
function members(value: unknown, path: string, depth: number): [string, unknown][] {
  if (!isPlainObject(value)) throw invalid(`${path} must be a plain object, not ${typeName(value)}`)
  if (depth > MAX_FILTER_DEPTH) throw invalid(`${path} is nested deeper than ${MAX_FILTER_DEPTH} levels`)
  if (Object.getOwnPropertySymbols(value).length > 0)
    throw invalid(`${path} has a symbol as a key; operators are texts such as "$gt"`)
  const found = Object.entries(value)
  if (found.length === 0) throw invalid(`${path} is empty, which is no condition`)
  return found
}

function array(value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`${path} must be an array, not ${typeName(value)}`)
  return Array.from<unknown>(value)
}

function scalar(value: unknown, path: string, capabilities: FilterCapabilities): FilterScalar {
  if (value === null) {
    if (!capabilities.null)
      throw unsupported(`${path}: this backend cannot filter by null; leave the field out of documents instead`)
    return null
  }
  return typeof value === 'boolean' ? value : ordered(value, path, 'a string, a finite number, a boolean or null')
}

function ordered(value: unknown, path: string, expected = 'a string or a finite number'): string | number {
  if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value
  if (typeof value === 'string') {
    if (!isPlainText(value)) throw invalid(`${path} must be well-formed Unicode without U+0000`)
    return value
  }
  throw invalid(`${path} must be ${expected}, not ${typeof value === 'number' ? value : typeName(value)}`)
}

function flag(value: unknown, path: string, capabilities: FilterCapabilities): boolean {
  if (typeof value !== 'boolean') throw invalid(`${path} must be true or false, not ${typeName(value)}`)
  if (!capabilities.exists)
    throw unsupported(`${path}: this backend cannot ask whether a field exists; store a value that says so`)
  return value
}

/** The parts of a field's name: text without U+0000, no part empty, not beginning with `$`. `what` names it in the error. */
export function checkField(name: string, what: string): readonly string[] {
  const parts = name.split('.')
  if (!isPlainText(name)) throw invalid(`${what}: a field's name must be well-formed Unicode without U+0000`)
  if (name.startsWith('$')) throw invalid(`${what}: a field's name must not begin with "$"`)
  if (parts.includes('')) throw invalid(`${what}: a field's name must not be empty, nor a part between its dots`)
  return parts
}

function checkedField(name: string, what: string, { nested }: FilterCapabilities): readonly string[] {
  const parts = checkField(name, what)
  if (parts.length === 1 || nested) return parts
  throw unsupported(`${what}: this backend filters by top-level fields only; copy the value to one`)
}

function unknownOperator(name: string, path: string, known: readonly string[]): HoldfastError {
  const near = nearest(name, known)
  return invalid(
    `${path}: unknown operator "${name}"${near === undefined ? '' : `, did you mean "${near}"?`} (known here: ${known.join(' ')})`,
  )
}

function unsupported(message: string): HoldfastError {
  return new HoldfastError('UNSUPPORTED', message, { outcome: 'not-applied' })
}

// ── What a tree means ───────────────────────────────────────────────────────────────────────────────────────────────

export type Predicate = (metadata: object) => boolean

/** True where the metadata (parsed JSON) satisfies the filter. For many objects, make a `toPredicate` once. */
export function matches(node: FilterNode, metadata: object): boolean {
  return toPredicate(node)(metadata)
}

/** The filter as a function. */
export function toPredicate(node: FilterNode): Predicate {
  switch (node.op) {
    case 'and': {
      const all = node.nodes.map(toPredicate)
      return (metadata) => all.every((holds) => holds(metadata))
    }
    case 'or': {
      const any = node.nodes.map(toPredicate)
      return (metadata) => any.some((holds) => holds(metadata))
    }
    case 'not':
      return negated(toPredicate(node.node))
    case 'eq':
      return someValue(node.path, (value) => value === node.value, node.value === null)
    case 'ne':
      return negated(toPredicate({ ...node, op: 'eq' }))
    case 'in': {
      const values = new Set<unknown>(node.values)
      return someValue(node.path, (value) => values.has(value), values.has(null))
    }
    case 'nin':
      return negated(toPredicate({ ...node, op: 'in' }))
    case 'exists':
      return (metadata) => someAt(metadata, node.path, 0, () => true) === node.exists
    default:
      return someValue(node.path, comparison(node.op, node.value), false)
  }
}

function negated(holds: Predicate): Predicate {
  return (metadata) => !holds(metadata)
}

function comparison(op: 'gt' | 'gte' | 'lt' | 'lte', operand: string | number): (value: unknown) => boolean {
  const accepts = ACCEPTS[op]
  return typeof operand === 'string'
    ? (value) => typeof value === 'string' && accepts(compareBytes(value, operand))
    : (value) => typeof value === 'number' && accepts(value - operand)
}

const ACCEPTS: Readonly<Record<'gt' | 'gte' | 'lt' | 'lte', (order: number) => boolean>> = {
  gt: (order) => order > 0,
  gte: (order) => order >= 0,
  lt: (order) => order < 0,
  lte: (order) => order <= 0,
}

/** True where the test holds for a value of the field or, if it is an array, for one of its elements; else `ifMissing`. */
function someValue(path: readonly string[], test: (value: unknown) => boolean, ifMissing: boolean): Predicate {
  const testEach = (value: unknown): boolean => (Array.isArray(value) ? value.some(test) : test(value))
  return (metadata) => {
    if (someAt(metadata, path, 0, testEach)) return true
    return ifMissing && !someAt(metadata, path, 0, () => true)
  }
}

/** True where the test holds for one of the values that the path reaches. Own properties only: `constructor` is just a name. */
function someAt(holder: object, path: readonly string[], index: number, test: (value: unknown) => boolean): boolean {
  const name = path[index]!
  if (!Object.hasOwn(holder, name)) return false
  const value = (holder as Record<string, unknown>)[name]
  if (index === path.length - 1) return test(value)
  if (Array.isArray(value)) return value.some((item) => isObject(item) && someAt(item, path, index + 1, test))
  return isObject(value) && someAt(value, path, index + 1, test)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The values that a path reaches, for checks of declared fields. */
export function valuesAt(metadata: object, path: readonly string[]): unknown[] {
  const found: unknown[] = []
  someAt(metadata, path, 0, (value) => {
    found.push(value)
    return false
  })
  return found
}
