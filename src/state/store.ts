/** The state store: keys with JSON values or bytes, TTLs, counters, hashes. It checks and converts; the backend holds entries. */
import type {
  BackendCall,
  CallOptions,
  JsonObject,
  JsonObjectInput,
  JsonValue,
  Page,
  StoreBase,
  WorkspaceQuery,
} from '../store/contract.ts'
import { checkWorkspace, type CallMode, type StoreCore } from '../store/core.ts'
import { decodeCursor, encodeCursor } from '../store/cursor.ts'
import { jsonEquals, toJson } from '../store/json.ts'
import { parseExactly } from '../store/parse.ts'
import { byteLength } from '../store/platform.ts'
import { markBytes, unmarkBytes } from '../store/sealed.ts'
import { StoreScope, type ScopeOptions, type WorkspaceList } from '../store/scope.ts'
import { checkId, checkInteger, checkText, invalid, MAX_ID_BYTES } from '../store/text.ts'
import { checkKeys, copyBytes, entriesToJson, ttlMsOf, ttlToMs, type Entries } from './arguments.ts'
import type { ScanOptions, SetOptions, StateBackend, StateCapabilities, StateEntry, StateSet, StateValue } from './contract.ts'
import { compileGlob } from './glob.ts'
import { checkField, fieldOf, fieldsToSet, readHash, removeFields, withFields } from './hash.ts'
import { SCAN_PAGE, StateSpace, type Change } from './space.ts'
import { workspacesOf, workspaceSpace } from './spaces.ts'
import { readBytes, readJson } from './values.ts'

export type StateStoreOptions = ScopeOptions

/** A pattern may escape every byte of the longest key. */
const MAX_PATTERN_BYTES = 2 * MAX_ID_BYTES
const CURSOR_TAG = 'state'

/**
 * Keys are 1–512 bytes of UTF-8. Values are JSON (`get`, `set`) or bytes (`getBytes`, `setBytes`), two views of one thing: `set` stores
 * plain JSON text. Every method takes `{ signal, timeoutMs }` as part of its last parameter, and rejects with `INVALID_ARGUMENT` or a
 * `TypeError` what it cannot take, before anything is written.
 */
export class StateStore implements StoreBase {
  readonly kind = 'state'
  readonly backend: string
  readonly capabilities: StateCapabilities
  /** Shared with the workspace views; for this package's own layers above the store. @internal */
  readonly core: StoreCore<StateBackend>
  readonly workspaceId: string
  readonly #scope: StoreScope<StateBackend>
  readonly #space: StateSpace

  constructor(source: StateBackend | StoreCore<StateBackend>, options: StateStoreOptions) {
    this.#scope = new StoreScope('state', source, options)
    this.core = this.#scope.core
    this.backend = this.core.name
    this.capabilities = Object.freeze({ ...this.core.backend.capabilities })
    this.workspaceId = this.#scope.workspaceId
    this.#space = new StateSpace(this.core.backend, workspaceSpace(this.workspaceId))
  }

  /** Runs a call of this package's own layers above the store as one of its own. @internal */
  run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: (call: BackendCall) => Promise<T>): Promise<T> {
    return this.#scope.run(method, mode, options, work)
  }

  get limits(): StoreBase['limits'] {
    return this.core.limits
  }

  /** True where values are encrypted. */
  get encrypted(): boolean {
    return this.core.backend.encrypted === true
  }

  /** The JSON value, or undefined. What is stored is not JSON: `CORRUPT`. `T` is the caller's word for it, unchecked. */
  async get<T = JsonValue>(key: string, options?: CallOptions): Promise<T | undefined> {
    checkId(key, 'key')
    // Here and below: a promise that is returned from an `async` function without `await` takes three turns of the microtask queue, not one.
    return await this.#scope.run('get', 'read', options, async (call) => {
      const entry = await this.#space.entry(key, call)
      return entry === undefined ? undefined : (readJson(entry.value, key) as T)
    })
  }

  /** Replaces the value and its TTL: without `ttl` (seconds) the key stays until it is deleted. */
  async set(key: string, value: unknown, options?: SetOptions & CallOptions): Promise<void> {
    checkId(key, 'key')
    await this.#set('set', { key, value: this.#sized(toJson(value, 'value')), ttlMs: ttlMsOf(options) }, options)
  }

  /** The bytes, or undefined. Of a JSON value they are the UTF-8 of its text. */
  async getBytes(key: string, options?: CallOptions): Promise<Uint8Array | undefined> {
    checkId(key, 'key')
    return await this.#scope.run('getBytes', 'read', options, async (call) => {
      const entry = await this.#space.entry(key, call)
      return entry === undefined ? undefined : unmarkBytes(readBytes(entry.value), key)
    })
  }

  /** Like `set`, of a `Uint8Array` (a `Buffer` is one); anything else is a `TypeError`. */
  async setBytes(key: string, bytes: Uint8Array, options?: SetOptions & CallOptions): Promise<void> {
    checkId(key, 'key')
    await this.#set('setBytes', { key, value: this.#sized(markBytes(copyBytes(bytes))), ttlMs: ttlMsOf(options) }, options)
  }

  /** True when the key was there. */
  async delete(key: string, options?: CallOptions): Promise<boolean> {
    checkId(key, 'key')
    return this.#scope.run('delete', 'write', options, async (call) => (await this.#space.apply({ delete: [key] }, call)) > 0)
  }

  async exists(key: string, options?: CallOptions): Promise<boolean> {
    checkId(key, 'key')
    return this.#scope.run('exists', 'read', options, async (call) => (await this.#space.entry(key, call)) !== undefined)
  }

  /**
   * All keys that match: `*` is any text, `?` one code point, `\` takes the next character as it is. In bytewise order. It reads every
   * key that begins like the pattern up to its first wildcard; `scan` never holds them all.
   */
  async keys(pattern = '*', options?: CallOptions): Promise<string[]> {
    checkText(pattern, 'pattern', MAX_PATTERN_BYTES)
    const glob = compileGlob(pattern)
    return this.#scope.run('keys', 'read', options, (call) => this.#space.matching(glob, call))
  }

  /** One page of the keys with a prefix, in bytewise order. Keys that are there all the while are seen exactly once over the pages. */
  async scan(options: ScanOptions & CallOptions = {}): Promise<Page<string>> {
    const prefix = options.prefix ?? ''
    checkText(prefix, 'prefix')
    const limit = checkInteger(options.limit, 'limit', { min: 1, max: 1_000 }, 100)
    const after = options.cursor === undefined ? undefined : afterOf(options.cursor, prefix)
    // One more than asked, so that a cursor is given only where it leads somewhere.
    const items = await this.#scope.run('scan', 'read', options, (call) =>
      this.#space.scan({ prefix, after, limit: limit + 1 }, call),
    )
    if (items.length <= limit) return { items }
    items.length = limit
    return { items, cursor: encodeCursor(CURSOR_TAG, [prefix, items[limit - 1]!]) }
  }

  /** The keys with a prefix, in bytewise order, page by page; `timeoutMs` holds for each page. */
  async *scanPrefix(prefix: string, options?: CallOptions): AsyncGenerator<string, void> {
    let cursor: string | undefined
    do {
      const page = await this.scan({ ...options, prefix, limit: SCAN_PAGE, cursor })
      yield* page.items
      cursor = page.cursor
    } while (cursor !== undefined)
  }

  /** Seconds left, fractions included; `null` without a TTL, `undefined` when there is no such key. */
  async ttl(key: string, options?: CallOptions): Promise<number | null | undefined> {
    checkId(key, 'key')
    return this.#scope.run('ttl', 'read', options, async (call) => {
      const entry = await this.#space.entry(key, call)
      return entry && (entry.ttlMs === undefined ? null : entry.ttlMs / 1_000)
    })
  }

  /** The key is to go after this many seconds from now; false when it is not there. */
  async expire(key: string, seconds: number, options?: CallOptions): Promise<boolean> {
    checkId(key, 'key')
    const ttlMs = ttlToMs(seconds, 'seconds')
    return this.#change('expire', 'idempotent', key, options, (entry) =>
      entry === undefined ? { result: false } : { result: true, set: { value: entry.value, ttlMs } },
    )
  }

  /** Removes the TTL; true when there was one. */
  async persist(key: string, options?: CallOptions): Promise<boolean> {
    checkId(key, 'key')
    return this.#change('persist', 'write', key, options, (entry) =>
      entry?.ttlMs === undefined ? { result: false } : { result: true, set: { value: entry.value } },
    )
  }

  /** The values in the order of the keys, undefined where there is none. One that is not JSON: `CORRUPT`. */
  async getMany<T = JsonValue>(keys: readonly string[], options?: CallOptions): Promise<(T | undefined)[]> {
    const wanted = checkKeys(keys)
    return this.#scope.run('getMany', 'read', options, async (call) => {
      const entries = await this.#space.entries(wanted, call)
      return entries.map((entry, i) => entry && (readJson(entry.value, wanted[i]!) as T))
    })
  }

  /** `set` of many: an object, a Map, or `[key, value]` pairs, of which the last counts for a key. Not atomic across keys. */
  async setMany(entries: Entries, options?: SetOptions & CallOptions): Promise<void> {
    const ttlMs = ttlMsOf(options)
    const sets = Array.from(entriesToJson(entries), ([key, text]): StateSet => ({ key, value: this.#sized(text), ttlMs }))
    await this.#scope.run('setMany', 'idempotent', options, (call) => this.#space.setAll(sets, call))
  }

  /** How many of the keys were there. Not atomic across keys. */
  async deleteMany(keys: readonly string[], options?: CallOptions): Promise<number> {
    const unwanted = [...new Set(checkKeys(keys))]
    return this.#scope.run('deleteMany', 'write', options, (call) => this.#space.deleteAll(unwanted, call))
  }

  /** False, and nothing changes, when the key is there. */
  async setIfAbsent(key: string, value: unknown, options?: SetOptions & CallOptions): Promise<boolean> {
    checkId(key, 'key')
    const set = { key, value: this.#sized(toJson(value, 'value')), ttlMs: ttlMsOf(options) }
    return this.#scope.run('setIfAbsent', 'write', options, async (call) => {
      const result = await this.#space.commit({ checks: [{ key, version: null }], set: [set] }, call)
      return result.applied
    })
  }

  /**
   * Sets the value if the present one equals `expected` as JSON, the order of members aside; `undefined` expects no such key. False, and
   * nothing changes, otherwise. The TTL becomes the one given, or none.
   */
  async compareAndSet(key: string, expected: unknown, value: unknown, options?: SetOptions & CallOptions): Promise<boolean> {
    if (expected === undefined) return this.setIfAbsent(key, value, options)
    checkId(key, 'key')
    const expectedText = toJson(expected, 'expected')
    const set = { value: this.#sized(toJson(value, 'value')), ttlMs: ttlMsOf(options) }
    return this.#change('compareAndSet', 'write', key, options, (entry) =>
      entry !== undefined && holds(entry, expectedText, key) ? { result: true, set } : { result: false },
    )
  }

  /**
   * Adds to the number under the key, 0 when there is none, and gives the sum; the TTL stays. What is there, or the sum, is no safe
   * integer: `CONFLICT`.
   */
  async increment(key: string, by = 1, options?: CallOptions): Promise<number> {
    checkId(key, 'key')
    checkInteger(by, 'by', { min: Number.MIN_SAFE_INTEGER }, 1)
    return this.#scope.run('increment', 'write', options, async (call) => {
      const result = await this.#space.commit({ add: [{ key, by }] }, call)
      if (!result.applied)
        throw this.core.error('CONFLICT', `key ${JSON.stringify(key)} or the sum is not a safe integer`, 'not-applied')
      return result.sums[0]!
    })
  }

  /** One field of a hash, or undefined. The key holds something else than an object: `CONFLICT`, as for every hash method. */
  async hget<T = JsonValue>(key: string, field: string, options?: CallOptions): Promise<T | undefined> {
    checkId(key, 'key')
    checkField(field)
    return this.#scope.run('hget', 'read', options, async (call) => {
      return fieldOf(readHash(await this.#space.entry(key, call), key), field) as T | undefined
    })
  }

  /** Sets one field, or those of an object; the others and the TTL stay. Any text is a field. */
  hset(key: string, field: string, value: unknown, options?: CallOptions): Promise<void>
  hset(key: string, fields: JsonObjectInput, options?: CallOptions): Promise<void>
  async hset(key: string, fields: string | JsonObjectInput, valueOrOptions: unknown, last?: CallOptions): Promise<void> {
    checkId(key, 'key')
    const options = typeof fields === 'string' ? last : (valueOrOptions as CallOptions | undefined)
    const added = fieldsToSet(fields, valueOrOptions)
    await this.#change('hset', 'idempotent', key, options, (entry) => ({
      result: undefined,
      set: this.#hash(withFields(readHash(entry, key), added)),
    }))
  }

  /** All fields; `{}` when there is no such key. */
  async hgetall<T extends object = JsonObject>(key: string, options?: CallOptions): Promise<T> {
    checkId(key, 'key')
    return this.#scope.run('hgetall', 'read', options, async (call) => readHash(await this.#space.entry(key, call), key) as T)
  }

  /** Removes fields; how many were there. The TTL stays, and so does the key, as `{}`, when its last field goes. */
  hdel(key: string, fields: readonly string[], options?: CallOptions): Promise<number>
  hdel(key: string, ...fields: readonly string[]): Promise<number>
  async hdel(key: string, ...rest: readonly unknown[]): Promise<number> {
    checkId(key, 'key')
    const [fields, options] = Array.isArray(rest[0]) ? (rest as [unknown[], CallOptions | undefined]) : [rest, undefined]
    const unwanted = new Set(fields.map(checkField))
    return this.#change('hdel', 'write', key, options, (entry) => {
      const hash = readHash(entry, key)
      const result = removeFields(hash, unwanted)
      return result === 0 ? { result } : { result, set: this.#hash(hash) }
    })
  }

  /** Deletes every key of this workspace that is there when its turn comes; how many there were. */
  async clear(options?: CallOptions): Promise<number> {
    return this.#scope.run('clear', 'write', options, (call) => this.#space.clear(call))
  }

  /** The same store for another tenant. Closing the view leaves this store open; closing this store closes its views. */
  workspace(id: string): StateStore {
    return new StateStore(this.core, { name: this.core.name, workspace: checkWorkspace(id) })
  }

  /** One page of the workspaces that hold a key, in bytewise order. On a view, and where the backend cannot list them: `UNSUPPORTED`. */
  async listWorkspaces(query: WorkspaceQuery & CallOptions = {}): Promise<Page<string>> {
    const { backend } = this.core
    const list: WorkspaceList = (wanted, call) => workspacesOf((scan) => backend.listSpaces!(scan, call), wanted)
    return this.#scope.listWorkspaces(query, backend.listSpaces && list)
  }

  async ping(options?: CallOptions): Promise<void> {
    return this.#scope.ping(options)
  }

  /**
   * Writes a consistent copy of all workspaces into `directory`, which exists, while writers go on, and returns the names of its files. On a
   * view, and where the engine has tools of its own for that: `UNSUPPORTED`.
   */
  async backupTo(directory: string, options?: CallOptions): Promise<string[]> {
    return this.#scope.backupTo(directory, options)
  }

  async close(): Promise<void> {
    await this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #set(method: string, set: StateSet, options: CallOptions | undefined): Promise<unknown> {
    return this.#scope.run(method, 'idempotent', options, (call) => this.#space.apply({ set: [set] }, call))
  }

  #change<T>(
    method: string,
    mode: CallMode,
    key: string,
    options: CallOptions | undefined,
    decide: (entry: StateEntry | undefined) => Change<T>,
  ): Promise<T> {
    return this.#scope.run(method, mode, options, (call) => this.#space.change(key, call, decide))
  }

  #hash(hash: JsonObject): Omit<StateSet, 'key'> {
    return { value: this.#sized(toJson(hash, 'hash')), ttlMs: 'keep' }
  }

  #sized<V extends StateValue>(value: V): V {
    const limit = this.limits.valueBytes
    if (limit === undefined || value.length * 3 <= limit) return value
    const bytes = typeof value === 'string' ? byteLength(value) : value.length
    if (bytes <= limit) return value
    throw this.core.error('VALUE_TOO_LARGE', `a value of ${bytes} bytes; ${this.backend} takes up to ${limit}`, 'not-applied')
  }
}

function afterOf(cursor: string, prefix: string): string {
  const [of, after] = decodeCursor(CURSOR_TAG, cursor, ['string', 'string'])
  // The position of another listing would skip keys, or read some twice.
  if (of !== prefix || !after.startsWith(prefix)) throw invalid('cursor belongs to a scan of another prefix')
  return checkId(after, 'cursor')
}

function holds(entry: StateEntry, expectedText: string, key: string): boolean {
  return entry.value === expectedText || jsonEquals(readJson(entry.value, key), parseExactly(expectedText))
}
