/** `session.storage`: what a plugin sees of its own storage. It checks and converts; scope and ledger do the rest. */
import type { Readable, Writable } from 'node:stream'
import type { SetOptions } from '../state/contract.ts'
import { ttlMsOf, ttlToMs } from '../state/arguments.ts'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { BackendCall, CallOptions, JsonValue } from '../store/contract.ts'
import { withOutcome, type CallMode } from '../store/core.ts'
import { parseJson, toJson } from '../store/json.ts'
import { checkInteger, checkText } from '../store/text.ts'
import { checkKey, checkKeyList, copyEntries, copyValue, MAX_KEY_BYTES, textToBytes, type ByteEntries } from './arguments.ts'
import { nameOf, type Draft } from './codec.ts'
import { expiredKeys } from './expiry.ts'
import { VALUES } from './layout.ts'
import { change, ensureRoomFor } from './ledger.ts'
import { isExpired, type StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'
import { openValue, readStream, writeStream, type OpenValue, type Run } from './streams.ts'
import { expiresAtOf, readValue, writeValue } from './values.ts'

export interface PluginStorageOptions {
  /** What the values may have together, in bytes. */
  readonly quotaBytes: number
  readonly enabled: boolean
}

export interface StorageUsage {
  /** Bytes of all values; expired ones count until they are swept. */
  readonly usedBytes: number
  readonly quotaBytes: number
}

/** Calls at a time of a method that writes many values. */
const WIDTH = 16
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Keys are any text of 1–256 bytes of UTF-8; `a`, `a/b` and `./a` are three keys. Values are bytes. Every method takes
 * `{ signal, timeoutMs }` in its last parameter; a write beyond the quota is `QUOTA_EXCEEDED` and leaves everything as it was.
 */
export class PluginStorage {
  readonly #scope: Scope
  readonly #limit: number
  readonly #enabled: boolean

  constructor(scope: Scope, { quotaBytes, enabled }: PluginStorageOptions) {
    this.#scope = scope
    this.#limit = quotaBytes
    this.#enabled = enabled
  }

  /** Replaces the value and its TTL: without `ttl` (seconds) it stays until it is deleted. Bytes only, else a `TypeError`. */
  async set(key: string, value: Uint8Array, options?: SetOptions & CallOptions): Promise<void> {
    await this.#write('set', 'idempotent', key, copyValue(value), true, options)
  }

  /** The bytes, or undefined. */
  async get(key: string, options?: CallOptions): Promise<Uint8Array<ArrayBuffer> | undefined> {
    checkKey(key)
    return await this.#run('get', 'read', options, (call) => readValue(this.#scope, key, call))
  }

  /** True when the key was there. */
  async delete(key: string, options?: CallOptions): Promise<boolean> {
    checkKey(key)
    return this.#change('delete', 'write', key, options, (old) =>
      old === undefined ? { result: false } : { result: !isExpired(old, Date.now()), write: 'delete' },
    )
  }

  async exist(key: string, options?: CallOptions): Promise<boolean> {
    checkKey(key)
    return this.#run('exist', 'read', options, async (call) => live(await this.#scope.find(key, call)) !== undefined)
  }

  /** The value as UTF-8 text; what is not that is `CORRUPT`. */
  async getText(key: string, options?: CallOptions): Promise<string | undefined> {
    checkKey(key)
    return this.#run('getText', 'read', options, async (call) => {
      const bytes = await readValue(this.#scope, key, call)
      return bytes && textOf(bytes, key)
    })
  }

  async setText(key: string, text: string, options?: SetOptions & CallOptions): Promise<void> {
    await this.#write('setText', 'idempotent', key, textToBytes(text), true, options)
  }

  /** The value as JSON; what is not that is `CORRUPT`. `T` is the caller's word for it, unchecked. */
  async getJson<T = JsonValue>(key: string, options?: CallOptions): Promise<T | undefined> {
    checkKey(key)
    return this.#run('getJson', 'read', options, async (call) => {
      const bytes = await readValue(this.#scope, key, call)
      return bytes && (parseJson(textOf(bytes, key), nameOf(key)) as T)
    })
  }

  async setJson(key: string, value: unknown, options?: SetOptions & CallOptions): Promise<void> {
    await this.#write('setJson', 'idempotent', key, Buffer.from(toJson(value, 'value')), true, options)
  }

  /** All keys with the prefix, in bytewise order. */
  async keys(options: { readonly prefix?: string | undefined } & CallOptions = {}): Promise<string[]> {
    return Array.fromAsync(this.scanPrefix(options.prefix ?? '', options))
  }

  /** The same, page by page, from behind the key `after` on; `timeoutMs` holds for each page. */
  async *scanPrefix(
    prefix: string,
    options?: { readonly after?: string | undefined } & CallOptions,
  ): AsyncGenerator<string, void> {
    checkText(prefix, 'prefix', MAX_KEY_BYTES)
    let after = options?.after === undefined ? undefined : VALUES + checkKey(options.after)
    do {
      const page = await this.#run('keys', 'read', options, (call) => this.#page(prefix, after, call))
      yield* page.keys
      after = page.next
    } while (after !== undefined)
  }

  /** False, and nothing changes, when there is a value. */
  async setIfAbsent(key: string, value: Uint8Array, options?: SetOptions & CallOptions): Promise<boolean> {
    return this.#write('setIfAbsent', 'write', key, copyValue(value), false, options)
  }

  /**
   * Adds to the integer that is stored as text, 0 when there is none, and gives the sum; the TTL stays. What is there, or the sum, is no
   * safe integer: `CONFLICT`.
   */
  async increment(key: string, by = 1, options?: CallOptions): Promise<number> {
    checkKey(key)
    checkInteger(by, 'by', { min: Number.MIN_SAFE_INTEGER }, 1)
    return this.#change('increment', 'write', key, options, (old) => {
      const present = live(old)
      const sum = (present === undefined ? 0 : this.#integer(key, present)) + by
      if (!Number.isSafeInteger(sum)) throw this.#scope.error('CONFLICT', `${nameOf(key)} or the sum is no safe integer`)
      const bytes = Buffer.from(String(sum))
      return { result: sum, write: { size: bytes.length, bytes, expiresAt: present?.expiresAt } }
    })
  }

  /** Seconds left, fractions included; `null` without a TTL, `undefined` when there is no such key. */
  async ttl(key: string, options?: CallOptions): Promise<number | null | undefined> {
    checkKey(key)
    return this.#run('ttl', 'read', options, async (call) => {
      const record = live(await this.#scope.find(key, call))
      return record && (record.expiresAt === undefined ? null : Math.max(0.001, (record.expiresAt - Date.now()) / 1_000))
    })
  }

  /** The key is to go after this many seconds from now; false when it is not there. */
  async expire(key: string, seconds: number, options?: CallOptions): Promise<boolean> {
    checkKey(key)
    const ttlMs = ttlToMs(seconds, 'seconds')
    return this.#change('expire', 'idempotent', key, options, (old) => {
      const record = live(old)
      return record === undefined ? { result: false } : { result: true, write: this.#until(key, record, expiresAtOf(ttlMs)) }
    })
  }

  /** Removes the TTL; true when there was one. */
  async persist(key: string, options?: CallOptions): Promise<boolean> {
    checkKey(key)
    return this.#change('persist', 'write', key, options, (old) => {
      const record = live(old)
      return record?.expiresAt === undefined ? { result: false } : { result: true, write: this.#until(key, record, undefined) }
    })
  }

  /** The values in the order of the keys, undefined where there is none. */
  async getMany(keys: readonly string[], options?: CallOptions): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
    const wanted = checkKeyList(keys)
    return this.#run('getMany', 'read', options, async (call) => {
      const records = await this.#scope.findAll(wanted, call)
      const values: (Uint8Array<ArrayBuffer> | undefined)[] = []
      for (const [i, key] of wanted.entries()) {
        const record = live(records[i])
        const inPieces = record?.chunks !== undefined
        values.push(inPieces ? await readValue(this.#scope, key, call) : record && this.#scope.codec.decode(key, record))
      }
      return values
    })
  }

  /**
   * `set` of many: an object, a Map, or `[key, value]` pairs, of which the last counts for a key. What does not fit as a whole is refused
   * as a whole; apart from that it is not atomic across keys.
   */
  async setMany(entries: ByteEntries, options?: SetOptions & CallOptions): Promise<void> {
    const copies = copyEntries(entries)
    const ttlMs = ttlMsOf(options)
    await this.#run('setMany', 'idempotent', options, async (call) => {
      const sizes = new Map(Array.from(copies, ([key, { length }]) => [key, length]))
      await ensureRoomFor(this.#scope, sizes, this.#limit, call)
      await inParallel(copies, ([key, bytes]) =>
        writeValue(this.#scope, { key, bytes, ttlMs, limit: this.#limit, replace: true }, call),
      )
    })
  }

  /**
   * The value as it is when reading begins, chunk by chunk. The stream fails with `NOT_FOUND` where there is none, and with `CONFLICT`
   * when the value is replaced before its end.
   */
  createReadStream(key: string, options?: CallOptions): Readable {
    return readStream(this.#scope, checkKey(key), this.#steps('createReadStream', options))
  }

  /** The value as it is now, with its size, to be read whole or in part; undefined where there is none. */
  async open(key: string, options?: CallOptions): Promise<OpenValue | undefined> {
    return openValue(this.#scope, checkKey(key), this.#steps('open', options))
  }

  /**
   * Takes bytes; they are the value, all at once, when the stream has finished. A stream that fails or is destroyed before leaves the old
   * value. `timeoutMs` holds for each step.
   */
  createWriteStream(key: string, options?: SetOptions & CallOptions): Writable {
    const steps = this.#steps('createWriteStream', options)
    return writeStream(this.#scope, checkKey(key), this.#limit, ttlMsOf(options), steps)
  }

  async usage(options?: CallOptions): Promise<StorageUsage> {
    const usedBytes = await this.#run('usage', 'read', options, (call) => this.#scope.used(call))
    return { usedBytes, quotaBytes: this.#limit }
  }

  #run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: (call: BackendCall) => Promise<T>): Promise<T> {
    return this.#scope.run(`storage.${method}`, mode, options, this.#enabled ? work : this.#denied)
  }

  readonly #denied = async (): Promise<never> => {
    throw this.#scope.error('PERMISSION_DENIED', 'storage is not enabled: set resource.permission.storage in the plugin manifest')
  }

  #steps(method: string, options: CallOptions | undefined): Run {
    return (mode, work) => this.#run(method, mode, options, work)
  }

  async #write(
    method: string,
    mode: CallMode,
    key: string,
    bytes: Uint8Array,
    replace: boolean,
    options: (SetOptions & CallOptions) | undefined,
  ): Promise<boolean> {
    const write = { key: checkKey(key), bytes, ttlMs: ttlMsOf(options), limit: this.#limit, replace }
    return this.#run(method, mode, options, (call) => writeValue(this.#scope, write, call))
  }

  #change<T>(
    method: string,
    mode: CallMode,
    key: string,
    options: CallOptions | undefined,
    decide: Parameters<typeof change<T>>[4],
  ): Promise<T> {
    return this.#run(method, mode, options, (call) => change(this.#scope, key, this.#limit, call, decide))
  }

  async #page(
    prefix: string,
    after: string | undefined,
    call: BackendCall,
  ): Promise<{ keys: string[]; next: string | undefined }> {
    const { space } = this.#scope
    const found = await space.scan({ prefix: VALUES + prefix, after, limit: KEYS_PER_PAGE }, call)
    const expired = found.length === 0 ? new Set() : await expiredKeys(this.#scope, call)
    const keys = found.map((place) => place.slice(VALUES.length)).filter((key) => !expired.has(key))
    return { keys, next: found.length === KEYS_PER_PAGE ? found.at(-1) : undefined }
  }

  /** The same value with another end. */
  #until(key: string, record: StoredRecord, expiresAt: number | undefined): Draft {
    const bytes = this.#scope.codec.decode(key, record)
    return { size: record.size, expiresAt, bytes, chunks: record.chunks }
  }

  #integer(key: string, record: StoredRecord): number {
    const text = Buffer.from(this.#scope.codec.decode(key, record)).toString('latin1')
    return /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  }
}

const KEYS_PER_PAGE = 1_000

function live(record: StoredRecord | undefined): StoredRecord | undefined {
  return record === undefined || isExpired(record, Date.now()) ? undefined : record
}

/** The parser's own message would quote the value. */
function textOf(bytes: Uint8Array, key: string): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new HoldfastError('CORRUPT', `${nameOf(key)} is not UTF-8 text; read it with get`)
  }
}

/** Once one is applied, the failure of another leaves the call partly done: `unknown`. */
async function inParallel<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const pending = Iterator.from(items)
  let begun = false
  const worker = async (): Promise<void> => {
    for (let next = pending.next(); next.done !== true; next = pending.next()) {
      await work(next.value)
      begun = true
    }
  }
  const results = await Promise.allSettled(Array.from({ length: WIDTH }, worker))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed === undefined) return
  throw begun && isHoldfastError(failed.reason) ? withOutcome(failed.reason, 'unknown') : failed.reason
}
