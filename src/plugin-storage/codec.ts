/** Values to what is stored and back: as they are, or sealed in their place. */
import { contextOf, type Sealer } from '../encryption/sealer.ts'
import { HoldfastError } from '../errors.ts'
import { chunkCount, corrupt, newRecord, type Chunked, type StoredRecord } from './record.ts'

/** A value that is to be written: its bytes, or the chunks that hold them already. */
export interface Draft {
  readonly size: number
  readonly expiresAt: number | undefined
  readonly bytes?: Uint8Array | undefined
  readonly chunks?: Chunked | undefined
}

const NOTHING = new Uint8Array(0)

export class Codec {
  readonly #space: string
  readonly #sealer: Sealer | undefined

  constructor(space: string, sealer: Sealer | undefined) {
    this.#space = space
    this.#sealer = sealer
  }

  get sealed(): boolean {
    return this.#sealer !== undefined
  }

  /** Bytes that a chunk is longer when stored. */
  get overhead(): number {
    return this.#sealer?.overhead ?? 0
  }

  encode(key: string, { size, expiresAt, bytes = NOTHING, chunks }: Draft): Uint8Array {
    const fields = { sealed: this.sealed, size, expiresAt, chunks }
    if (this.#sealer === undefined) return behind(newRecord(fields, bytes.length), bytes)
    const head = newRecord(fields, 0)
    const payload = this.#sealer.seal(bytes, this.#recordContext(key, head))
    return behind(newRecord(fields, payload.length), payload)
  }

  /** The value in a record, as bytes of their own; nothing where it is in chunks. The record is proven genuine where it is encrypted. */
  decode(key: string, record: StoredRecord): Uint8Array<ArrayBuffer> {
    this.#check(key, record)
    const bytes =
      this.#sealer === undefined
        ? new Uint8Array(record.payload)
        : this.#sealer.open(record.payload, this.#recordContext(key, record.head), nameOf(key))
    if (bytes.length !== (record.chunks === undefined ? record.size : 0)) throw corrupt(nameOf(key))
    return bytes
  }

  encodeChunk(key: string, generation: string, index: number, bytes: Uint8Array): Uint8Array {
    return this.#sealer === undefined ? bytes : this.#sealer.seal(bytes, this.#chunkContext(key, generation, index))
  }

  decodeChunk(key: string, record: StoredRecord, index: number, stored: Uint8Array): Uint8Array {
    const { generation, chunkBytes } = record.chunks!
    const bytes =
      this.#sealer === undefined ? stored : this.#sealer.open(stored, this.#chunkContext(key, generation, index), nameOf(key))
    const isLast = index === chunkCount(record.size, record.chunks!) - 1
    if (bytes.length !== (isLast ? record.size - index * chunkBytes : chunkBytes)) throw corrupt(nameOf(key))
    return bytes
  }

  /** True where `encode` would seal with the same key. */
  isCurrent(record: StoredRecord): boolean {
    return record.sealed === this.sealed && (this.#sealer?.isCurrent(record.payload) ?? true)
  }

  isCurrentChunk(stored: Uint8Array): boolean {
    return this.#sealer?.isCurrent(stored) ?? true
  }

  /** Plaintext is never taken for what is encrypted, whoever put it there. */
  #check(key: string, record: StoredRecord): void {
    if (record.sealed === this.sealed) return
    const reason = record.sealed
      ? 'is encrypted, and this host has no key ring'
      : 'is not encrypted: it was changed from outside, or the scope is not converted to its end (PluginHost.encrypt)'
    throw new HoldfastError('DECRYPTION_FAILED', `${nameOf(key)} ${reason}`)
  }

  #recordContext(key: string, head: Uint8Array): Uint8Array {
    return contextOf('record', this.#space, key, head)
  }

  #chunkContext(key: string, generation: string, index: number): Uint8Array {
    return contextOf('chunk', this.#space, key, generation, index)
  }
}

/** The record with its payload in the room that was left for it. */
function behind(record: Uint8Array, payload: Uint8Array): Uint8Array {
  record.set(payload, record.length - payload.length)
  return record
}

export function nameOf(key: string): string {
  return `the value of ${JSON.stringify(key)}`
}
