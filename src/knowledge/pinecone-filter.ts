/**
 * Filters in Pinecone's language, over the fields of `pinecone-fields.ts`.
 *
 * The language has `$and` and `$or`, but no `$not`: negations are pushed down to the conditions. Whether `$ne` and `$nin` take records that
 * lack the field is not documented (they have changed: deepset-ai/haystack-core-integrations#590), so each is joined with an explicit
 * `$exists`. On lists they are MongoDB's, on which the language "is based" (docs: "Filter by metadata"): no element equals.
 */
import type { PineconeFilter } from '../engines/pinecone.ts'
import { HoldfastError } from '../errors.ts'
import type { FilterNode, FilterScalar } from './filter.ts'
import { equalityField, MAX_ORDERED_BYTES, numberField, orderField, orderParts, token, type Rank } from './pinecone-fields.ts'

/** A filter, or what is known without asking. */
export type Compiled = PineconeFilter | boolean

type Order = 'gt' | 'gte' | 'lt' | 'lte'
type Leaf = Exclude<FilterNode, { op: 'and' | 'or' | 'not' }>

/** Docs, "Operation limits": each `$in` or `$nin` takes this many values. */
const MAX_VALUES = 10_000

const OPPOSITE: Readonly<Record<Order, Order>> = { gt: 'lte', gte: 'lt', lt: 'gte', lte: 'gt' }

/** All of a filter, or `UNSUPPORTED`. */
export function compileFilter(node: FilterNode, negated = false): Compiled {
  switch (node.op) {
    case 'not':
      return compileFilter(node.node, !negated)
    case 'and':
    case 'or': {
      const parts = node.nodes.map((part) => compileFilter(part, negated))
      return (node.op === 'and') === negated ? any(parts) : all(parts)
    }
    default:
      return compileLeaf(node, negated)
  }
}

export function all(parts: readonly Compiled[]): Compiled {
  return joined('$and', parts, true)
}

function any(parts: readonly Compiled[]): Compiled {
  return joined('$or', parts, false)
}

/** `neutral` changes nothing, and its opposite decides. */
function joined(operator: '$and' | '$or', parts: readonly Compiled[], neutral: boolean): Compiled {
  if (parts.includes(!neutral)) return !neutral
  const filters = parts.filter((part) => typeof part !== 'boolean')
  if (filters.length === 0) return neutral
  return filters.length === 1 ? filters[0]! : { [operator]: filters }
}

function compileLeaf(node: Leaf, negated: boolean): Compiled {
  // Nested paths are refused before a filter gets here: a path is one name.
  const field = node.path[0]!
  switch (node.op) {
    case 'eq':
    case 'ne':
      return oneOf(field, [node.value], (node.op === 'ne') !== negated)
    case 'in':
    case 'nin':
      return oneOf(field, node.values, (node.op === 'nin') !== negated)
    case 'exists':
      return exists(equalityField(field), node.exists !== negated)
    default:
      return ordered(node.op, field, node.value, negated)
  }
}

function exists(field: string, isThere: boolean): PineconeFilter {
  return { [field]: { $exists: isThere } }
}

// ── Equality ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The field equals one of the values, or none of them. A missing field equals null. */
function oneOf(field: string, values: readonly FilterScalar[], negated: boolean): Compiled {
  const name = equalityField(field)
  const tokens = [...new Set(values.map(token))]
  const takesMissing = values.includes(null)
  const lists = Array.from({ length: Math.ceil(tokens.length / MAX_VALUES) }, (_, i) =>
    tokens.slice(i * MAX_VALUES, (i + 1) * MAX_VALUES),
  )
  if (!negated) return any([...lists.map((list) => ({ [name]: isIn(list) })), ...(takesMissing ? [exists(name, false)] : [])])
  const differs = all(lists.map((list) => ({ [name]: isNotIn(list) })))
  return takesMissing ? all([exists(name, true), differs]) : any([exists(name, false), differs])
}

function isIn(tokens: readonly string[]): PineconeFilter {
  return tokens.length === 1 ? { $eq: tokens[0] } : { $in: tokens }
}

function isNotIn(tokens: readonly string[]): PineconeFilter {
  return tokens.length === 1 ? { $ne: tokens[0] } : { $nin: tokens }
}

// ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** For the only value of the field, or for the element of an array that satisfies it first. */
function ordered(op: Order, field: string, value: string | number, negated: boolean): Compiled {
  const ranks: readonly Rank[] = ['#', op === 'gt' || op === 'gte' ? '>' : '<']
  const parts = typeof value === 'number' ? undefined : partsOf(value)
  const one = (rank: Rank, op: Order): Compiled =>
    parts === undefined ? { [numberField(rank, field)]: { [`$${op}`]: value } } : orderedText(op, rank, field, parts)
  if (!negated) return any(ranks.map((rank) => one(rank, op)))
  const first = (rank: Rank): string => (parts === undefined ? numberField(rank, field) : orderField(0, rank, field))
  return all(ranks.map((rank) => any([exists(first(rank), false), one(rank, OPPOSITE[op])])))
}

/** Docs, "Filter by metadata": `$gt $gte $lt $lte` compare numbers only. What does not fit into the numbers that we keep is refused. */
function partsOf(text: string): readonly number[] {
  if (Buffer.byteLength(text) <= MAX_ORDERED_BYTES) return orderParts(text)
  const message = `pinecone: the order of strings is known for up to ${MAX_ORDERED_BYTES} bytes; a filter may compare with no longer one`
  throw new HoldfastError('UNSUPPORTED', message, { outcome: 'not-applied' })
}

/** The first part that differs decides. A record has every part up to the end of its text, so one that is equal so far has the next. */
function orderedText(op: Order, rank: Rank, field: string, parts: readonly number[]): Compiled {
  const strict = op === 'gt' || op === 'gte' ? '$gt' : '$lt'
  const last = parts.length - 1
  return any(
    parts.map((part, i) => {
      const before = parts.slice(0, i).map((equal, j) => ({ [orderField(j, rank, field)]: { $eq: equal } }))
      return all([...before, { [orderField(i, rank, field)]: { [i === last ? `$${op}` : strict]: part } }])
    }),
  )
}
