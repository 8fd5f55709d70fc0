/**
 * Metadata as the flat fields that Pinecone can filter by. Its own values are strings, numbers, booleans and lists of strings; there is no
 * null and no object, and only numbers have an order. So a field `f` of a document becomes
 *
 * - `=f`: what its value equals, as a text of its type and value; of an array, the texts of its elements. It is there where `f` is.
 * - `#f`: its number; of an array, `<f` and `>f` are the least and the greatest number.
 * - `0#f` … `4#f`: the order of its string, six bytes a number; of an array, `0<f` … and `0>f` … are the first and the last string.
 *
 * These names begin with none of the characters of our own fields (`_`) and operators (`$`), whatever a field is called.
 */
import { digest, type PineconeMetadata } from '../engines/pinecone.ts'
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { compareBytes, isPlainText } from '../store/text.ts'
import type { FilterScalar } from './filter.ts'

/** Which of several values a field of order holds: the only one, or an array's least or greatest. */
export type Rank = '#' | '<' | '>'

export function equalityField(field: string): string {
  return `=${field}`
}

export function numberField(rank: Rank, field: string): string {
  return rank + field
}

export function orderField(part: number, rank: Rank, field: string): string {
  return `${part}${rank}${field}`
}

// ── Equality ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Longer strings are represented by their digest: the 40 KB of a record's metadata hold them in the document's JSON already. */
const MAX_TOKEN_LENGTH = 64
/** What is there, but equals nothing. */
const [ARRAY, OBJECT] = ['a', 'o']

/** A text that stands for this value and type, and no other. */
export function token(value: FilterScalar): string {
  if (value === null) return 'z'
  if (typeof value === 'boolean') return value ? 'b1' : 'b0'
  // The shortest text that names the double; -0 is 0 here, as it is in filters.
  if (typeof value === 'number') return `n${value}`
  return value.length <= MAX_TOKEN_LENGTH && isPlainText(value) ? `s${value}` : `h${digest(value)}`
}

function tokenOf(value: JsonValue): string {
  if (Array.isArray(value)) return ARRAY
  return typeof value === 'object' && value !== null ? OBJECT : token(value)
}

// ── Order of strings ────────────────────────────────────────────────────────────────────────────────────────────────

/** Base 257: a byte is 1–256, the end of the text 0. Six digits are exact in a double. */
const [BASE, BYTES_A_PART] = [257, 6]
/** Enough for a date and time with its offset, as ISO 8601 writes it. */
const PARTS = 5
export const MAX_ORDERED_BYTES = PARTS * BYTES_A_PART - 1

/**
 * The beginning of a text as numbers: texts are ordered as their numbers are, the first that differs deciding. The last one holds the
 * text's end, or is the fifth.
 */
export function orderParts(text: string): number[] {
  const bytes = Buffer.from(text.slice(0, MAX_ORDERED_BYTES + 1))
  const parts: number[] = []
  for (let from = 0; parts.length < PARTS && from <= bytes.length; from += BYTES_A_PART) {
    let part = 0
    for (let i = from; i < from + BYTES_A_PART; i++) part = part * BASE + (i < bytes.length ? bytes[i]! + 1 : 0)
    parts.push(part)
  }
  return parts
}

// ── A document's fields ─────────────────────────────────────────────────────────────────────────────────────────────

/** A name with a dot is a path, which this engine cannot follow; the others cannot be asked for. */
function canBeFiltered(field: string): boolean {
  return field !== '' && !field.includes('.') && isPlainText(field)
}

/** All that filters can ask of a document's metadata. */
export function filterFields(metadata: JsonObject): PineconeMetadata {
  const fields: PineconeMetadata = {}
  for (const [field, value] of Object.entries(metadata)) {
    if (!canBeFiltered(field)) continue
    if (Array.isArray(value)) addArray(fields, field, value)
    else addScalar(fields, field, value)
  }
  return fields
}

function addScalar(fields: PineconeMetadata, field: string, value: JsonValue): void {
  fields[equalityField(field)] = tokenOf(value)
  if (typeof value === 'number') fields[numberField('#', field)] = value
  if (typeof value === 'string') addOrder(fields, '#', field, value)
}

function addArray(fields: PineconeMetadata, field: string, values: readonly JsonValue[]): void {
  const tokens = [...new Set(values.map(tokenOf))]
  fields[equalityField(field)] = tokens.length === 0 ? [ARRAY] : tokens
  const numbers = values.filter((value) => typeof value === 'number').toSorted((a, b) => a - b)
  if (numbers.length > 0) {
    fields[numberField('<', field)] = numbers[0]!
    fields[numberField('>', field)] = numbers.at(-1)!
  }
  const strings = values.filter((value) => typeof value === 'string').toSorted(compareBytes)
  if (strings.length > 0) {
    addOrder(fields, '<', field, strings[0]!)
    addOrder(fields, '>', field, strings.at(-1)!)
  }
}

function addOrder(fields: PineconeMetadata, rank: Rank, field: string, text: string): void {
  for (const [part, value] of orderParts(text).entries()) fields[orderField(part, rank, field)] = value
}
