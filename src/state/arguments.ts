/** Checks of what callers pass to a state store. */
import { toJson } from '../store/json.ts'
import { checkId, invalid, typeName } from '../store/text.ts'
import type { SetOptions } from './contract.ts'

/** About 317 years: every engine can hold the time at which the key ends. */
const MAX_TTL_SECONDS = 1e10

/** What `setMany` takes. */
export type Entries = Readonly<Record<string, unknown>> | Iterable<readonly [string, unknown]>

/** The TTL of `set` and its kin, in whole milliseconds; undefined where there is none. */
export function ttlMsOf(options: SetOptions | undefined): number | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`options must be an object such as { ttl: 60 }, not ${typeName(options)}`)
  }
  return options.ttl === undefined ? undefined : ttlToMs(options.ttl, 'ttl')
}

export function ttlToMs(seconds: unknown, what: string): number {
  if (typeof seconds !== 'number') throw new TypeError(`${what} must be a number of seconds, not ${typeName(seconds)}`)
  // Written so that NaN fails too.
  if (!(seconds > 0 && seconds <= MAX_TTL_SECONDS)) {
    throw invalid(`${what} must be greater than 0 and at most ${MAX_TTL_SECONDS} seconds, not ${seconds}`)
  }
  return Math.max(1, Math.round(seconds * 1_000))
}

/** A copy, so that the caller may go on using the array before the write is done. */
export function copyBytes(value: unknown): Uint8Array {
  if (isUint8Array(value)) return new Uint8Array(value)
  throw new TypeError(`bytes must be a Uint8Array, not ${typeName(value)}: ${remedyFor(value)}`)
}

/** Also of another realm; a subclass such as `Buffer` is one. */
function isUint8Array(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && typedArrayName.call(value) === 'Uint8Array'
}

const typedArrayName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!.get!

function remedyFor(value: unknown): string {
  if (typeof value === 'string') return 'convert text with Buffer.from(text), or store it as JSON with set'
  if (ArrayBuffer.isView(value)) return 'convert it with new Uint8Array(view.buffer, view.byteOffset, view.byteLength)'
  if (Object.prototype.toString.call(value).endsWith('ArrayBuffer]')) return 'convert it with new Uint8Array(buffer)'
  return 'store JSON values with set, or convert with Buffer.from(JSON.stringify(value))'
}

export function checkKeys(keys: unknown): string[] {
  if (!Array.isArray(keys)) throw new TypeError(`keys must be an array of strings, not ${typeName(keys)}`)
  return Array.from(keys, (key: unknown, i) => checkId(key, `keys[${i}]`))
}

/** The entries as JSON text by key; of a key given twice, the last counts. */
export function entriesToJson(entries: unknown): Map<string, string> {
  const texts = new Map<string, string>()
  for (const [key, value] of entriesOf(entries)) texts.set(checkId(key, 'key'), toJson(value, `entries[${JSON.stringify(key)}]`))
  return texts
}

function entriesOf(entries: unknown): Iterable<readonly [unknown, unknown]> {
  if (typeof entries !== 'object' || entries === null) {
    throw new TypeError(`entries must be an object, a Map or an iterable of [key, value], not ${typeName(entries)}`)
  }
  return Symbol.iterator in entries ? Iterator.from(entries as Iterable<unknown>).map(checkPair) : Object.entries(entries)
}

function checkPair(entry: unknown): readonly [unknown, unknown] {
  if (Array.isArray(entry) && entry.length === 2) return entry as [unknown, unknown]
  throw new TypeError(`each entry must be a [key, value] pair, not ${typeName(entry)}`)
}
