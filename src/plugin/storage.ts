/** `session.storage` of a plugin that is a process of its own: four calls over the connection, and what can be made of them. */
import { HoldfastError, toJson, type CallOptions, type JsonObject, type JsonValue } from '../index.ts'
import type { ByteEntries } from '../plugin-storage/index.ts'
import type { SessionStorage } from './define.ts'

/** Sends one storage call, and resolves with what the host answers. */
export type Call = (request: JsonObject, options: CallOptions | undefined) => Promise<JsonObject>

/** How a host says that there is no such key; some say it of every failure. */
const NOT_SET = 'load data failed, please check if the key is correct or you have not set it'

/** Calls at a time of a method that reads many values: a host refuses too many. */
const WIDTH = 16

export class RemoteStorage implements SessionStorage {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  async set(key: string, value: Uint8Array, options?: CallOptions & { readonly ttl?: number | undefined }): Promise<void> {
    if (!(value instanceof Uint8Array))
      throw new TypeError('value must be a Uint8Array: convert text with Buffer.from(text), or use setText')
    if (options?.ttl !== undefined) throw unable('set with a ttl')
    const { data } = await this.#call({ opt: 'set', key, value: Buffer.from(value).toString('hex') }, options)
    if (data !== 'ok') throw unexpected('set')
  }

  async get(key: string, options?: CallOptions): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const hex = await this.#call({ opt: 'get', key }, options).then(
      ({ data }) => data,
      (error: unknown) => (error instanceof Error && error.message.includes(NOT_SET) ? '' : Promise.reject(error)),
    )
    if (typeof hex !== 'string') throw unexpected('get')
    // No bytes may be a value, or that there is none: only the host can tell.
    if (hex === '' && !(await this.exist(key, options))) return undefined
    return new Uint8Array(Buffer.from(hex, 'hex'))
  }

  /** True when the key was there. */
  async delete(key: string, options?: CallOptions): Promise<boolean> {
    const answer = await this.#call({ opt: 'del', key }, options)
    if (answer['data'] !== 'ok') throw unexpected('delete')
    return answer['deleted_num'] !== 0
  }

  async exist(key: string, options?: CallOptions): Promise<boolean> {
    return (await this.#call({ opt: 'exist', key }, options))['data'] === true
  }

  async getText(key: string, options?: CallOptions): Promise<string | undefined> {
    const bytes = await this.get(key, options)
    return bytes && textOf(bytes)
  }

  async setText(key: string, text: string, options?: CallOptions): Promise<void> {
    if (typeof text !== 'string') throw new TypeError('text must be a string')
    await this.set(key, Buffer.from(text), options)
  }

  async getJson<T = JsonValue>(key: string, options?: CallOptions): Promise<T | undefined> {
    const text = await this.getText(key, options)
    return text === undefined ? undefined : (parse(text) as T)
  }

  async setJson(key: string, value: unknown, options?: CallOptions): Promise<void> {
    await this.set(key, Buffer.from(toJson(value, 'value')), options)
  }

  async getMany(keys: readonly string[], options?: CallOptions): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
    const values: (Uint8Array<ArrayBuffer> | undefined)[] = []
    for (let at = 0; at < keys.length; at += WIDTH) {
      values.push(...(await Promise.all(keys.slice(at, at + WIDTH).map((key) => this.get(key, options)))))
    }
    return values
  }

  /** One call a value; not atomic across keys, and what fits is stored although something else does not. */
  async setMany(entries: ByteEntries, options?: CallOptions): Promise<void> {
    const pairs = Symbol.iterator in entries ? [...entries] : Object.entries(entries)
    for (const [key, value] of pairs) await this.set(key, value, options)
  }

  async keys(): Promise<never> {
    throw unable('keys')
  }

  scanPrefix(): never {
    throw unable('scanPrefix')
  }

  async setIfAbsent(): Promise<never> {
    throw unable('setIfAbsent')
  }

  async increment(): Promise<never> {
    throw unable('increment')
  }

  async ttl(): Promise<never> {
    throw unable('ttl')
  }

  async expire(): Promise<never> {
    throw unable('expire')
  }

  async persist(): Promise<never> {
    throw unable('persist')
  }

  async usage(): Promise<never> {
    throw unable('usage')
  }

  async open(): Promise<never> {
    throw unable('open')
  }

  createReadStream(): never {
    throw unable('createReadStream')
  }

  createWriteStream(): never {
    throw unable('createWriteStream')
  }
}

function unable(method: string): HoldfastError {
  return new HoldfastError(
    'UNSUPPORTED',
    `storage.${method}: the protocol between plugin and host carries set, get, delete and exist only; run the plugin in the host's process for more`,
    { outcome: 'not-applied' },
  )
}

function unexpected(method: string): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `storage.${method}: the host answered something else than the protocol says`)
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new HoldfastError('CORRUPT', 'the value is not UTF-8 text; read it with get')
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HoldfastError('CORRUPT', 'the value is not JSON; read it with get')
  }
}
