/** Sealing: AES-256-GCM with what the bytes are for bound in, so that they open in their own place and in no other. */
import { createCipheriv, createDecipheriv, randomFillSync, type KeyObject } from 'node:crypto'
import { HoldfastError } from '../errors.ts'

/** Sealed bytes: format, length of the key's id, the id, nonce, ciphertext, tag. */
const FORMAT = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'
const OPTIONS = { authTagLength: TAG_BYTES }

/** Where a sealer has its keys from; undefined for an id that it does not know. */
export type KeyById = (id: string) => KeyObject | undefined

/**
 * Seals and opens for one purpose in one workspace. Nonces are random, so a key is good for 2^32 seals of one workspace; rotate long
 * before that.
 */
export class Sealer {
  /** Bytes by which sealing with the current key makes something longer. */
  readonly overhead: number
  readonly #prefix: Uint8Array
  readonly #currentKey: KeyObject
  readonly #keyById: KeyById

  constructor(currentId: string, keyById: KeyById) {
    const id = Buffer.from(currentId)
    this.#prefix = Uint8Array.of(FORMAT, id.length, ...id)
    this.#currentKey = keyById(currentId)!
    this.#keyById = keyById
    this.overhead = this.#prefix.length + NONCE_BYTES + TAG_BYTES
  }

  /** `context` must be given again, byte for byte, to open it; see `contextOf`. */
  seal(plain: Uint8Array, context: Uint8Array): Uint8Array<ArrayBuffer> {
    const sealed = new Uint8Array(this.overhead + plain.length)
    const nonceAt = this.#prefix.length
    const bodyAt = nonceAt + NONCE_BYTES
    sealed.set(this.#prefix)
    const nonce = randomFillSync(sealed.subarray(nonceAt, bodyAt))
    const cipher = createCipheriv(CIPHER, this.#currentKey, nonce, OPTIONS)
    cipher.setAAD(context)
    sealed.set(cipher.update(plain), bodyAt)
    cipher.final()
    sealed.set(cipher.getAuthTag(), bodyAt + plain.length)
    return sealed
  }

  /** `DECRYPTION_FAILED` for what was not sealed in this context with a known key; `what` names it in the message. */
  open(sealed: Uint8Array, context: Uint8Array, what: string): Uint8Array<ArrayBuffer> {
    const id = keyIdOf(sealed)
    if (id === undefined) throw failed(`${what} is not encrypted, or was cut`)
    const key = this.#keyById(id)
    if (key === undefined) throw failed(`${what} is encrypted with key ${JSON.stringify(id)}, which is not in the key ring`)
    const nonceAt = 2 + sealed[1]!
    const bodyAt = nonceAt + NONCE_BYTES
    const tagAt = sealed.length - TAG_BYTES
    const decipher = createDecipheriv(CIPHER, key, sealed.subarray(nonceAt, bodyAt), OPTIONS)
    decipher.setAAD(context)
    decipher.setAuthTag(sealed.subarray(tagAt))
    const plain = new Uint8Array(tagAt - bodyAt)
    plain.set(decipher.update(sealed.subarray(bodyAt, tagAt)))
    try {
      decipher.final()
    } catch {
      throw failed(`${what} was changed, moved, or encrypted with another key of the same id`)
    }
    return plain
  }

  /** True for what `seal` would seal with the same key now. */
  isCurrent(sealed: Uint8Array): boolean {
    return Buffer.compare(sealed.subarray(0, this.#prefix.length), this.#prefix) === 0
  }
}

/** What is bound to sealed bytes: its parts in order, in a form in which no other parts read the same. */
export function contextOf(...parts: readonly (string | number | Uint8Array)[]): Uint8Array {
  const pieces: Uint8Array[] = []
  for (const part of parts) {
    const bytes = typeof part === 'object' ? part : Buffer.from(String(part))
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(bytes.length)
    pieces.push(length, bytes)
  }
  return Buffer.concat(pieces)
}

/** The id of the key that something was sealed with; undefined where it is nothing sealed. */
function keyIdOf(sealed: Uint8Array): string | undefined {
  const idBytes = sealed[1]
  if (sealed[0] !== FORMAT || idBytes === undefined || sealed.length < 2 + idBytes + NONCE_BYTES + TAG_BYTES) return undefined
  return Buffer.from(sealed.subarray(2, 2 + idBytes)).toString()
}

function failed(message: string): HoldfastError {
  return new HoldfastError('DECRYPTION_FAILED', message)
}
