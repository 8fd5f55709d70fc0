/** Checks of the arguments of store methods. */
import { decodeCursor } from '../store/cursor.ts'
import { checkId, invalid, typeName } from '../store/text.ts'

/** Tag of the cursors of `list`. */
export const CURSOR_TAG = 'documents'

export function checkCollection(name: unknown): string {
  return checkId(name, 'collection')
}

export function checkIds(ids: unknown): string[] {
  if (!Array.isArray(ids)) throw new TypeError(`ids must be an array, not ${typeName(ids)}`)
  return Array.from<unknown, string>(ids, (id, i) => checkId(id, `ids[${i}]`))
}

export function checkObject(value: unknown, what: string): void {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${what} must be an object, not ${typeName(value)}`)
}

export function checkMinScore(value: unknown): number {
  if (value === undefined) return -Infinity
  if (typeof value !== 'number') throw new TypeError(`minScore must be a number, not ${typeName(value)}`)
  if (Number.isNaN(value)) throw invalid('minScore must not be NaN')
  return value
}

export function afterOf(cursor: string, collection: string): string {
  const [of, id] = decodeCursor(CURSOR_TAG, cursor, ['string', 'string'])
  if (of !== collection) throw invalid('cursor belongs to another collection; start again without it')
  return checkId(id, 'cursor')
}
