/**
 * Metadata by field, so that filters need not look at objects: a column has for each row a number that stands for the field's value, and
 * a condition is tried on each value once. Columns are made when a filter first names their field, and kept up to date from then on.
 */
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import { toPredicate, type FilterNode } from './filter.ts'

/** Filters name fields, and callers make filters. */
const MAX_COLUMNS = 64
/** Different arrays and objects that a column tells apart; for more, filters look at the rows' own metadata. */
const MAX_COMPOSITES = 4096
/** Of the value of such rows. */
const UNCODED = 0

type Leaf = Exclude<FilterNode, { readonly nodes: unknown } | { readonly node: unknown }>

export class MetadataColumns {
  readonly #metadata: readonly JsonObject[]
  readonly #columns = new Map<string, Column>()

  /** By row. The array's owner tells of each change by `update`. */
  constructor(metadata: readonly JsonObject[]) {
    this.#metadata = metadata
  }

  update(row: number): void {
    for (const [name, column] of this.#columns) {
      column.set(row, this.#metadata[row]!)
      // What no row has any more is not taken out, so that a field which changes with every write would add up.
      if (column.values > 2 * this.#metadata.length + 1000) this.#columns.delete(name)
    }
  }

  /** A bit for each row, set where the filter holds; `words` of 32. */
  matching(node: FilterNode, words: number): Uint32Array {
    switch (node.op) {
      case 'and':
        return this.#all(node.nodes, words)
      case 'or':
        return this.#any(node.nodes, words)
      case 'not':
        return inverted(this.matching(node.node, words))
      case 'ne':
        return inverted(this.matching({ ...node, op: 'eq' }, words))
      case 'nin':
        return inverted(this.matching({ ...node, op: 'in' }, words))
      default:
        return this.#column(node.path[0]!).matching(node, words, this.#metadata)
    }
  }

  #all(nodes: readonly FilterNode[], words: number): Uint32Array {
    const result = new Uint32Array(words).fill(0xff_ff_ff_ff)
    for (const node of nodes) {
      const other = this.matching(node, words)
      for (let i = 0; i < words; i++) result[i]! &= other[i]!
    }
    return result
  }

  #any(nodes: readonly FilterNode[], words: number): Uint32Array {
    const result = new Uint32Array(words)
    for (const node of nodes) {
      const other = this.matching(node, words)
      for (let i = 0; i < words; i++) result[i]! |= other[i]!
    }
    return result
  }

  #column(name: string): Column {
    const found = this.#columns.get(name)
    if (found !== undefined) return found
    if (this.#columns.size >= MAX_COLUMNS) this.#columns.delete(this.#columns.keys().next().value!)
    const column = new Column(name)
    for (const [row, metadata] of this.#metadata.entries()) column.set(row, metadata)
    this.#columns.set(name, column)
    return column
  }
}

class Column {
  readonly #name: string
  /** Undefined where the field is missing. */
  readonly #values: (JsonValue | undefined)[] = [undefined]
  readonly #scalars = new Map<JsonValue | undefined, number>()
  readonly #composites = new Map<string, number>()
  #codes = new Int32Array(64)

  constructor(name: string) {
    this.#name = name
  }

  get values(): number {
    return this.#values.length
  }

  set(row: number, metadata: JsonObject): void {
    if (row >= this.#codes.length) this.#grow(row)
    this.#codes[row] = this.#code(Object.hasOwn(metadata, this.#name) ? metadata[this.#name] : undefined)
  }

  matching(leaf: Leaf, words: number, metadata: readonly JsonObject[]): Uint32Array {
    const accepts = toPredicate(leaf)
    const verdicts = this.#verdicts(leaf, accepts)
    const rows = Math.min(metadata.length, words * 32)
    const result = new Uint32Array(words)
    for (let word = 0; word * 32 < rows; word++) result[word] = this.#word(word * 32, Math.min(rows, word * 32 + 32), verdicts)
    if (this.#composites.size >= MAX_COMPOSITES) this.#addUncoded(result, rows, (row) => accepts(metadata[row]!))
    return result
  }

  #word(from: number, to: number, verdicts: Uint8Array): number {
    const codes = this.#codes
    let bits = 0
    for (let row = from; row < to; row++) bits |= verdicts[codes[row]!]! << (row - from)
    return bits
  }

  #addUncoded(result: Uint32Array, rows: number, holds: (row: number) => boolean): void {
    for (let row = 0; row < rows; row++) {
      if (this.#codes[row] === UNCODED && holds(row)) result[row >>> 5]! |= 1 << (row & 31)
    }
  }

  /** For each value, 1 where the condition holds. */
  #verdicts(leaf: Leaf, accepts: (metadata: object) => boolean): Uint8Array {
    const verdicts = new Uint8Array(this.#values.length)
    const test = leaf.path.length === 1 ? scalarTest(leaf) : undefined
    for (let code = 1; code < verdicts.length; code++) {
      const value = this.#values[code]
      const isScalar = typeof value !== 'object' && value !== undefined
      const holds = isScalar && test !== undefined ? test(value) : accepts(this.#holder(value))
      verdicts[code] = holds ? 1 : 0
    }
    return verdicts
  }

  /** Not by assignment: a field may be called `__proto__`. */
  #holder(value: JsonValue | undefined): object {
    return value === undefined ? {} : Object.fromEntries([[this.#name, value]])
  }

  #code(value: JsonValue | undefined): number {
    if (typeof value === 'object' && value !== null) return this.#compositeCode(value)
    return this.#scalars.get(value) ?? this.#add(this.#scalars, value, value)
  }

  #compositeCode(value: JsonValue): number {
    if (this.#composites.size >= MAX_COMPOSITES) return UNCODED
    const key = JSON.stringify(value)
    return this.#composites.get(key) ?? this.#add(this.#composites, key, value)
  }

  #add<K>(codes: Map<K, number>, key: K, value: JsonValue | undefined): number {
    const code = this.#values.push(value) - 1
    codes.set(key, code)
    return code
  }

  #grow(row: number): void {
    const grown = new Int32Array(Math.max(row + 1, this.#codes.length * 2))
    grown.set(this.#codes)
    this.#codes = grown
  }
}

/** What the filter's predicate says of a field that holds this value, which is neither null, nor an array or object. */
function scalarTest(leaf: Leaf): ((value: JsonValue) => boolean) | undefined {
  switch (leaf.op) {
    case 'eq': {
      const wanted = leaf.value
      return (value) => value === wanted
    }
    case 'in': {
      const wanted = new Set<unknown>(leaf.values)
      return (value) => wanted.has(value)
    }
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return typeof leaf.value === 'number' ? numberTest(leaf.op, leaf.value) : stringTest(leaf.op, leaf.value)
    default:
      return undefined
  }
}

function numberTest(op: 'gt' | 'gte' | 'lt' | 'lte', operand: number): (value: JsonValue) => boolean {
  if (op === 'gt') return (value) => typeof value === 'number' && value > operand
  if (op === 'gte') return (value) => typeof value === 'number' && value >= operand
  if (op === 'lt') return (value) => typeof value === 'number' && value < operand
  return (value) => typeof value === 'number' && value <= operand
}

function stringTest(op: 'gt' | 'gte' | 'lt' | 'lte', operand: string): (value: JsonValue) => boolean {
  const holds = numberTest(op, 0)
  return (value) => typeof value === 'string' && holds(compareBytes(value, operand))
}

function inverted(bits: Uint32Array): Uint32Array {
  for (let i = 0; i < bits.length; i++) bits[i] = ~bits[i]!
  return bits
}
