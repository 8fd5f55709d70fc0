/**
 * The record under a value's key: a head, and the value itself, or, when that is large, only where its chunks are. Whoever counts or
 * converts values needs the head alone, which is never encrypted, though bound to what is.
 */
import { HoldfastError } from '../errors.ts'
import { GENERATION_LENGTH } from './layout.ts'

/** Where the bytes of a value in chunks are. All chunks have `chunkBytes`, but for the last. */
export interface Chunked {
  readonly generation: string
  readonly chunkBytes: number
}

export interface RecordHead {
  readonly sealed: boolean
  /** Bytes of the value. */
  readonly size: number
  /** Milliseconds since 1970; undefined without a TTL. */
  readonly expiresAt: number | undefined
  /** Undefined where the value is in the record. */
  readonly chunks: Chunked | undefined
}

export interface StoredRecord extends RecordHead {
  readonly version: string
  /** The head as it is stored. */
  readonly head: Uint8Array
  /** The value, or nothing, as it is stored. */
  readonly payload: Uint8Array
}

const FORMAT = 1
const SEALED = 1
const EXPIRES = 2
const CHUNKED = 4

const UINT48 = 6
const UINT32 = 4
const FIXED_BYTES = 2 + UINT48
/** The longest head. */
export const MAX_HEAD_BYTES = FIXED_BYTES + UINT48 + GENERATION_LENGTH + UINT32

/** A record with this head and room for as many bytes behind it. */
export function newRecord({ sealed, size, expiresAt, chunks }: RecordHead, room: number): Uint8Array {
  const flags = (sealed ? SEALED : 0) | (expiresAt === undefined ? 0 : EXPIRES) | (chunks === undefined ? 0 : CHUNKED)
  const record = new Uint8Array(headBytes(flags) + room)
  record[0] = FORMAT
  record[1] = flags
  writeUint48(record, 2, size)
  if (expiresAt !== undefined) writeUint48(record, FIXED_BYTES, expiresAt)
  if (chunks !== undefined) writeChunked(record, record.length - room - GENERATION_LENGTH - UINT32, chunks)
  return record
}

/** By hand: a `Buffer` over these few bytes would cost more than all of the head. */
function writeUint48(bytes: Uint8Array, at: number, value: number): void {
  let rest = value
  for (let i = UINT48 - 1; i >= 0; i--) {
    bytes[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

function writeChunked(bytes: Uint8Array, at: number, { generation, chunkBytes }: Chunked): void {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  view.writeUInt32BE(chunkBytes, at + view.write(generation, at, 'latin1'))
}

/** `what` names the value in the error for what is no record. */
export function decodeRecord(stored: Uint8Array, version: string, what: string): StoredRecord {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.length)
  const flags = bytes[1] ?? 0xff
  const length = headBytes(flags)
  if (bytes[0] !== FORMAT || flags > (SEALED | EXPIRES | CHUNKED) || bytes.length < length) throw corrupt(what)
  const expires = (flags & EXPIRES) !== 0
  return {
    version,
    sealed: (flags & SEALED) !== 0,
    size: bytes.readUIntBE(2, UINT48),
    expiresAt: expires ? bytes.readUIntBE(FIXED_BYTES, UINT48) : undefined,
    chunks: (flags & CHUNKED) === 0 ? undefined : decodeChunked(bytes, FIXED_BYTES + (expires ? UINT48 : 0), what),
    head: stored.subarray(0, length),
    payload: stored.subarray(length),
  }
}

function decodeChunked(bytes: Buffer, at: number, what: string): Chunked {
  const generation = bytes.toString('latin1', at, at + GENERATION_LENGTH)
  const chunkBytes = bytes.readUInt32BE(at + GENERATION_LENGTH)
  if (chunkBytes === 0 || !/^[0-9a-z]*$/.test(generation)) throw corrupt(what)
  return { generation, chunkBytes }
}

function headBytes(flags: number): number {
  return FIXED_BYTES + (flags & EXPIRES ? UINT48 : 0) + (flags & CHUNKED ? GENERATION_LENGTH + UINT32 : 0)
}

export function isExpired({ expiresAt }: Pick<RecordHead, 'expiresAt'>, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now
}

export function chunkCount(size: number, { chunkBytes }: Chunked): number {
  return Math.ceil(size / chunkBytes)
}

export function corrupt(what: string): HoldfastError {
  return new HoldfastError('CORRUPT', `${what} is not as plugin storage writes it: damaged, or written by something else`)
}
