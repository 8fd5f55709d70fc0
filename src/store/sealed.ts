/**
 * How encrypted text and bytes are told from all that callers can write, so that no store takes the one for the other.
 *
 * Encrypted text is JSON of its field's kind, for backends that look; white space between its tokens, which `toJson` never writes, tells
 * it. Bytes can be any: those of a caller that begin like encrypted ones are stored with a mark in between.
 */
import { HoldfastError } from '../errors.ts'

/** `literal` is a JSON string literal, as escaped content is; `text` is no JSON, and where it may be is known from beside it. */
export type SealedShape = 'object' | 'array' | 'literal' | 'text'

const MARK = 'holdfast:sealed'
const AROUND: { readonly [S in SealedShape]: readonly [string, string] } = {
  object: [`{ "${MARK}": "`, '" }'],
  array: [`[ "${MARK}", "`, '" ]'],
  literal: [` "${MARK} `, '"'],
  text: [`${MARK} `, ''],
}

const encoder = new TextEncoder()
/** No UTF-8 has the first byte, so that no text begins so. */
const HEADER = Uint8Array.of(0xff, ...encoder.encode('HFSEAL\n'))
/** Behind the header: bytes of a caller that begin with it. No format of sealed bytes has this number. */
const NOT_SEALED = 0

export function wrapSealed(sealed: Uint8Array<ArrayBuffer>, shape: SealedShape): string {
  const [before, behind] = AROUND[shape]
  return `${before}${Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length).toString('base64')}${behind}`
}

/** What `wrapSealed` was given; undefined for any other text. */
export function unwrapSealed(text: string, shape: SealedShape): Uint8Array | undefined {
  const [before, behind] = AROUND[shape]
  if (!text.startsWith(before) || !text.endsWith(behind)) return undefined
  const base64 = text.slice(before.length, text.length - behind.length)
  const sealed = Buffer.from(base64, 'base64')
  // The decoder skips what is no base64; one text only is right for these bytes.
  return sealed.toString('base64') === base64 ? sealed : undefined
}

/** True for encrypted JSON, whatever its kind; false for all that `toJson` writes. */
export function isSealedJson(text: string): boolean {
  return text.startsWith(AROUND.object[0]) || text.startsWith(AROUND.array[0]) || text.startsWith(AROUND.literal[0])
}

export function withHeader(sealed: Uint8Array): Uint8Array {
  return joined(HEADER, sealed)
}

/** The sealed bytes behind the header; undefined for what is not encrypted. */
export function withoutHeader(value: string | Uint8Array): Uint8Array | undefined {
  return hasHeader(value) && value[HEADER.length] !== NOT_SEALED ? value.subarray(HEADER.length) : undefined
}

export const HEADER_BYTES = HEADER.length

/** A caller's bytes as they are stored: themselves, unless they begin as encrypted ones do. */
export function markBytes(bytes: Uint8Array): Uint8Array {
  return hasHeader(bytes) ? joined(HEADER, Uint8Array.of(NOT_SEALED), bytes) : bytes
}

/** The reverse of `markBytes`; encrypted ones are `DECRYPTION_FAILED`. */
export function unmarkBytes(stored: Uint8Array, key: string): Uint8Array {
  if (!hasHeader(stored)) return stored
  if (stored[HEADER.length] === NOT_SEALED) return stored.slice(HEADER.length + 1)
  throw keysMissing(`the value of key ${JSON.stringify(key)}`)
}

export function keysMissing(what: string): HoldfastError {
  return new HoldfastError('DECRYPTION_FAILED', `${what} is encrypted: open the store with its keys (encryption)`)
}

function hasHeader(value: string | Uint8Array): value is Uint8Array {
  if (typeof value === 'string' || value[0] !== HEADER[0] || value.length <= HEADER.length) return false
  return HEADER.every((byte, i) => value[i] === byte)
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
