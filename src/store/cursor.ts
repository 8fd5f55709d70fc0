/** Opaque cursors: a position in a listing as text that a caller passes back unread. */
import type { JsonValue } from './contract.ts'
import { fromBase64Url, toBase64Url } from './platform.ts'
import { invalid, typeName } from './text.ts'

/** `tag` names the listing, so that a cursor of one listing is refused by another. */
export function encodeCursor(tag: string, position: readonly (string | number)[]): string {
  return toBase64Url(JSON.stringify([tag, ...position]))
}

/** The position in a cursor of the same tag, whose parts have the types of `shape`; anything else is `INVALID_ARGUMENT`. */
export function decodeCursor<const S extends readonly ('string' | 'number')[]>(
  tag: string,
  cursor: unknown,
  shape: S,
): { [I in keyof S]: S[I] extends 'string' ? string : number } {
  if (typeof cursor !== 'string') throw new TypeError(`cursor must be a string, not ${typeName(cursor)}`)
  const [found, ...position] = readCursor(cursor)
  if (found !== tag || position.length !== shape.length || !shape.every((type, i) => typeof position[i] === type)) {
    throw invalid('cursor is not one that this listing gave; start again without it')
  }
  return position as { [I in keyof S]: S[I] extends 'string' ? string : number }
}

function readCursor(cursor: string): JsonValue[] {
  try {
    const value = JSON.parse(fromBase64Url(cursor)) as JsonValue
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}
