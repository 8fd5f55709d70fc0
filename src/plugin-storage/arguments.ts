/** Checks of what plugins pass. */
import { types } from 'node:util'
import { invalid, checkId, typeName } from '../store/text.ts'

/** Keys of plugins are shorter than those of the state store beneath, which they lie in with a prefix. */
export const MAX_KEY_BYTES = 256

/** What `setMany` takes. */
export type ByteEntries = Readonly<Record<string, Uint8Array>> | Iterable<readonly [string, Uint8Array]>

export function checkKey(key: unknown, what = 'key'): string {
  return checkId(key, what, MAX_KEY_BYTES)
}

export function checkKeyList(keys: unknown): string[] {
  if (!Array.isArray(keys)) throw new TypeError(`keys must be an array of strings, not ${typeName(keys)}`)
  return Array.from(keys, (key: unknown, i) => checkKey(key, `keys[${i}]`))
}

/** A copy, so that the caller may go on using the array before the write is done. */
export function copyValue(value: unknown): Uint8Array {
  return new Uint8Array(checkBytes(value))
}

export function checkBytes(value: unknown): Uint8Array {
  if (types.isUint8Array(value)) return value
  throw new TypeError(`value must be bytes (a Uint8Array or Buffer), not ${typeName(value)}: ${remedyFor(value)}`)
}

function remedyFor(value: unknown): string {
  if (typeof value === 'string') return 'use setText, or convert it with Buffer.from(text)'
  if (ArrayBuffer.isView(value)) return 'convert it with new Uint8Array(view.buffer, view.byteOffset, view.byteLength)'
  if (types.isAnyArrayBuffer(value)) return 'convert it with new Uint8Array(buffer)'
  return 'use setJson, or convert it with Buffer.from(JSON.stringify(value))'
}

/** UTF-8 of text that comes back as it was. */
export function textToBytes(text: unknown): Uint8Array {
  if (typeof text !== 'string')
    throw new TypeError(`text must be a string, not ${typeName(text)}: use set for bytes, setJson for values`)
  if (!text.isWellFormed()) throw invalid('text holds half a surrogate pair, which UTF-8 cannot hold; use setJson')
  return new Uint8Array(Buffer.from(text))
}

/** Values by key; of a key given twice, the last counts. */
export function copyEntries(entries: unknown): Map<string, Uint8Array> {
  if (typeof entries !== 'object' || entries === null) {
    throw new TypeError(`entries must be an object, a Map or an iterable of [key, value], not ${typeName(entries)}`)
  }
  const copies = new Map<string, Uint8Array>()
  const pairs = Symbol.iterator in entries ? (entries as Iterable<unknown>) : Object.entries(entries)
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new TypeError(`each entry must be a [key, value] pair, not ${typeName(pair)}`)
    copies.set(checkKey(pair[0]), copyValue(pair[1]))
  }
  return copies
}
