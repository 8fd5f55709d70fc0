/** The keys that data at rest is encrypted with: one that writes, and older ones that still read. */
import { createSecretKey, hash, hkdfSync, randomBytes, type KeyObject } from 'node:crypto'
import { types } from 'node:util'
import { HoldfastError } from '../errors.ts'
import { nearest, typeName } from '../store/text.ts'
import { Sealer } from './sealer.ts'

export interface KeyRingOptions {
  /** Id of the key that new data is encrypted with. */
  readonly current: string
  /**
   * Keys by id: 32 random bytes each, or those as hex or base64. Ids are 1–64 letters, digits, `.`, `_` and `-`; they are stored beside
   * the data, and are no secret. A key that data was written with must stay until that data is rotated.
   */
  readonly keys: Readonly<Record<string, Uint8Array | string>>
}

const KEY_BYTES = 32
const ID = /^[\w.-]{1,64}$/

/** Holds keys where no message, inspection or JSON shows them. */
export class KeyRing {
  readonly current: string
  readonly #keys: ReadonlyMap<string, KeyObject>

  constructor(options: KeyRingOptions) {
    const problems: string[] = []
    this.#keys = readKeys(options, problems)
    if (problems.length > 0)
      throw new HoldfastError('INVALID_OPTIONS', `key ring: ${problems.join('; ')}`, { outcome: 'not-applied' })
    this.current = options.current
  }

  get ids(): string[] {
    return [...this.#keys.keys()]
  }

  /** Seals and opens for one purpose in one workspace, with keys derived for just that. */
  sealer(purpose: string, workspace: string): Sealer {
    const derived = new Map<string, KeyObject>()
    return new Sealer(this.current, (id) => {
      const known = derived.get(id) ?? this.#derive(id, purpose, workspace)
      if (known !== undefined) derived.set(id, known)
      return known
    })
  }

  #derive(id: string, purpose: string, workspace: string): KeyObject | undefined {
    const key = this.#keys.get(id)
    if (key === undefined) return undefined
    // JSON of an array reads back as one list of texts only. HKDF takes up to 1,024 bytes of it: a workspace as JSON may be longer.
    const info = hash('sha256', JSON.stringify(['holdfast/1', purpose, workspace]), 'buffer')
    return createSecretKey(Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, KEY_BYTES)))
  }
}

/** A ring, or what one is made of. */
export function toKeyRing(given: KeyRing | KeyRingOptions): KeyRing {
  return given instanceof KeyRing ? given : new KeyRing(given)
}

/** A new key for a ring, as base64. */
export function generateKey(): string {
  return randomBytes(KEY_BYTES).toString('base64')
}

function readKeys(options: unknown, problems: string[]): Map<string, KeyObject> {
  const keys = new Map<string, KeyObject>()
  const { current, keys: given } = (options ?? {}) as { current?: unknown; keys?: unknown }
  if (typeof given !== 'object' || given === null) {
    problems.push(`keys must be an object of 32-byte keys by id, not ${typeName(given)}`)
    return keys
  }
  for (const [id, value] of Object.entries(given)) {
    const bytes = keyBytes(value)
    if (!ID.test(id)) problems.push(`key id ${shownId(id)} must be 1–64 letters, digits, ".", "_" and "-"`)
    else if (bytes === undefined) problems.push(`key ${shownId(id)} must be ${KEY_BYTES} bytes, or those as hex or base64`)
    else keys.set(id, createSecretKey(bytes))
  }
  if (typeof current !== 'string') problems.push(`current must be the id of a key, not ${typeName(current)}`)
  else if (!Object.hasOwn(given, current)) problems.push(unknownCurrent(current, Object.keys(given)))
  return keys
}

function unknownCurrent(current: string, ids: readonly string[]): string {
  const near = nearest(current, ids)
  return `current names key ${shownId(current)}, which is not among keys${near === undefined ? '' : `; ${shownId(near)} is`}`
}

/** A key that stands where its id belongs is still a secret. */
function shownId(id: string): string {
  return decoded(id)?.length === KEY_BYTES ? '(a key in the place of its id)' : JSON.stringify(id)
}

/** Undefined for what is no key. */
function keyBytes(value: unknown): Buffer | undefined {
  const bytes = types.isUint8Array(value) ? Buffer.from(value) : typeof value === 'string' ? decoded(value) : undefined
  return bytes?.length === KEY_BYTES ? bytes : undefined
}

function decoded(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  return /^[\w+/-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined
}
