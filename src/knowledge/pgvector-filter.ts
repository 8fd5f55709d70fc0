/**
 * Filters as SQL/JSON paths over what documents can be filtered by.
 *
 * Beside its metadata text a document has a derived object of all that filters can reach: by field, dots included, the list of its values.
 * Arrays are opened there already, as the language wants it, so that a condition is about the members of one list, and the server opens
 * nothing by rules of its own. One path holds a whole filter; it is a bound value, and the server answers its equalities from an index.
 * https://www.postgresql.org/docs/current/functions-json.html#FUNCTIONS-SQLJSON-PATH
 */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { isPlainText } from '../store/text.ts'
import type { FilterNode, FilterScalar } from './filter.ts'

/** Names longer than this are digested: a long name above many others would otherwise be kept with each of them. */
const MAX_NAME = 128
/** A filter of more conditions and values would take the server long, and a hostile one too long. */
const MAX_CONDITIONS = 50_000
/** The member that strings are kept under which the server cannot hold. */
const ODD = '~'

// ── What can be filtered by ─────────────────────────────────────────────────────────────────────────────────────────

type Scalar = string | number | boolean | null
type Values = Map<string, Set<Scalar>>

/** The values that filters reach in a document's metadata, by field. */
export function filterable(metadata: JsonObject): JsonObject {
  const found: Values = new Map()
  collect(metadata, '', found)
  return Object.fromEntries(Array.from(found, ([name, values]) => [name, Array.from(values, toServer)]))
}

function collect(holder: JsonObject, above: string, found: Values): void {
  for (const [key, value] of Object.entries(holder)) {
    if (!isReachable(key, above)) continue
    const name = join(above, key)
    const values = found.get(name) ?? new Set()
    found.set(name, values)
    for (const item of Array.isArray(value) ? value : [value]) {
      if (isScalar(item)) values.add(item === 0 ? 0 : item)
      else if (!Array.isArray(item)) collect(item, name, found)
    }
  }
}

/** No filter names a key that is empty, holds a dot, or is no plain text, nor one at the top that begins with `$`. */
function isReachable(key: string, above: string): boolean {
  return key !== '' && !key.includes('.') && isPlainText(key) && (above !== '' || !key.startsWith('$'))
}

/** The name of a field within another. Digests begin with `$`, as no name does that a filter may have. */
function join(above: string, key: string): string {
  const name = above === '' ? key : `${above}.${key}`
  return name.length <= MAX_NAME ? name : `$${createHash('sha256').update(name).digest('hex')}`
}

function isScalar(value: JsonValue): value is Scalar {
  return typeof value !== 'object' || value === null
}

/** The server has neither U+0000 nor lone surrogates. Filters have none either, so such a string equals nothing; but it has its place in their order. */
function toServer(value: Scalar): JsonValue {
  return typeof value !== 'string' || isPlainText(value) ? value : { [ODD]: orderKey(value) }
}

/** Text of the same order for every string, by UTF-16 units, those of surrogates behind all others: the order by code points. */
function orderKey(text: string): string {
  let key = ''
  for (let i = 0; i < text.length; i++) key += rank(text.charCodeAt(i)).toString(16).padStart(4, '0')
  return key
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

// ── Filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The filter as a path that is true for the documents that match, false for all others, and never unknown. */
export function toJsonPath(node: FilterNode): string {
  if (sizeOf(node) > MAX_CONDITIONS) {
    throw new HoldfastError('UNSUPPORTED', `a filter of more than ${MAX_CONDITIONS} conditions and values; split the call`, {
      outcome: 'not-applied',
    })
  }
  return predicate(node)
}

function sizeOf(node: FilterNode): number {
  if ('nodes' in node) return node.nodes.reduce((sum, each) => sum + sizeOf(each), 1)
  if ('node' in node) return sizeOf(node.node)
  return 'values' in node ? node.values.length : 1
}

const NOTHING = '(0 == 1)'
const COMPARISONS = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const

function predicate(node: FilterNode): string {
  switch (node.op) {
    case 'and':
      return node.nodes.length === 0 ? not(NOTHING) : balanced(node.nodes.map(predicate), '&&')
    case 'or':
      return balanced(node.nodes.map(predicate), '||')
    case 'not':
      return not(predicate(node.node))
    case 'eq':
      return equal(node.path, [node.value])
    case 'ne':
      return not(equal(node.path, [node.value]))
    case 'in':
      return equal(node.path, node.values)
    case 'nin':
      return not(equal(node.path, node.values))
    case 'exists':
      return node.exists ? exists(node.path) : not(exists(node.path))
    default:
      return compared(node.path, COMPARISONS[node.op], node.value)
  }
}

/** Equal to one of them. A missing field equals null. */
function equal(path: readonly string[], values: readonly FilterScalar[]): string {
  if (values.length === 0) return NOTHING
  const found = some(
    `${field(path)}[*]`,
    balanced(
      values.map((value) => `@ == ${JSON.stringify(value)}`),
      '||',
    ),
  )
  return values.includes(null) ? balanced([found, not(exists(path))], '||') : found
}

function compared(path: readonly string[], operator: string, value: string | number): string {
  const found = some(`${field(path)}[*]`, `@ ${operator} ${JSON.stringify(value)}`)
  if (typeof value === 'number') return found
  const odd = some(`${field(path)}[*].${JSON.stringify(ODD)}`, `@ ${operator} ${JSON.stringify(orderKey(value))}`)
  return balanced([found, odd], '||')
}

/** Values of another type make a comparison unknown, which `exists` takes for false: so that a negation of it is true. */
function some(items: string, condition: string): string {
  return `exists(${items} ? (${condition}))`
}

function exists(path: readonly string[]): string {
  return `exists(${field(path)})`
}

function not(condition: string): string {
  return `!(${condition})`
}

function field(path: readonly string[]): string {
  return `$.${JSON.stringify(path.reduce(join, ''))}`
}

/** As a tree of little depth: the server works on it by recursion. */
function balanced(conditions: readonly string[], operator: '&&' | '||'): string {
  if (conditions.length === 1) return conditions[0]!
  const middle = conditions.length >> 1
  return `(${balanced(conditions.slice(0, middle), operator)} ${operator} ${balanced(conditions.slice(middle), operator)})`
}
