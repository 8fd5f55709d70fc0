/** State entries as items of a DynamoDB table. */
import { TTL_ATTRIBUTE } from '../engines/dynamodb-table.ts'
import type { DynamoItem, DynamoValue } from '../engines/dynamodb.ts'
import { HoldfastError } from '../errors.ts'
import type { StateEntry, StateValue } from './contract.ts'

/** What is stored under a key. */
export interface Stored {
  readonly value: StateValue
  readonly version: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number | undefined
}

/**
 * Names are stored as their UTF-8. DynamoDB refuses an empty key, so an empty name has one byte 0 before it, and what begins with such a byte
 * one more; the order stays.
 */
export function encodeName(name: string): Uint8Array {
  return Buffer.from(name === '' || name.startsWith('\0') ? `\0${name}` : name)
}

export function decodeName(bytes: Uint8Array): string {
  const name = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
  return name.startsWith('\0') ? name.slice(1) : name
}

export function itemKey(space: string, key: string): DynamoItem {
  return { space: { B: encodeName(space) }, key: { B: encodeName(key) } }
}

/** Text as S, bytes as B. The text of an integer is a number, N, to which DynamoDB itself can add. */
export function encodeValue(value: StateValue): DynamoValue {
  if (typeof value !== 'string') return { B: value }
  return isInteger(value) ? { N: value } : { S: value }
}

const INTEGER = /^(?:0|-?[1-9]\d{0,15})$/

/** True for text that comes back the same from a number. */
function isInteger(text: string): boolean {
  return INTEGER.test(text) && Number.isSafeInteger(Number(text))
}

/** DynamoDB's own time is in seconds, so an item of ours always expires first. */
export function encodeExpiry(expiresAt: number | undefined): Record<string, DynamoValue> {
  if (expiresAt === undefined) return {}
  return { expiresAt: { N: String(expiresAt) }, [TTL_ATTRIBUTE]: { N: String(Math.ceil(expiresAt / 1_000)) } }
}

/** What an item holds; undefined for none, and for one that has expired. */
export function readItem(item: DynamoItem | undefined, now: number): Stored | undefined {
  if (item === undefined) return undefined
  const { value, version, expiresAt } = item as Readonly<Record<string, Partial<Record<'S' | 'N' | 'B', unknown>> | undefined>>
  const found = value?.S ?? value?.N ?? value?.B
  if (found === undefined || typeof version?.S !== 'string') throw notOurs(item)
  const at = expiresAt?.N === undefined ? undefined : Number(expiresAt.N)
  if (at !== undefined && at <= now) return undefined
  return { value: found as StateValue, version: version.S, expiresAt: at }
}

function notOurs(item: DynamoItem): HoldfastError {
  const key = 'key' in item && 'B' in item['key'] ? JSON.stringify(decodeName(item['key'].B)) : 'a key'
  return new HoldfastError('CORRUPT', `the item of ${key} has no \`value\` or no \`version\`: another program wrote it`)
}

export function toEntry(stored: Stored | undefined, now: number): StateEntry | undefined {
  if (stored === undefined) return undefined
  const { value, version, expiresAt } = stored
  return { value, version, ttlMs: expiresAt === undefined ? undefined : expiresAt - now }
}
