/** `self.session.storage` of a Dify plugin: its four calls on plugin storage. */
import { HoldfastError, isHoldfastError, type CallOptions, type JsonObject, type JsonValue } from '../index.ts'
import type { OpenValue, PluginStorage } from '../plugin-storage/index.ts'

export interface StorageRules {
  /** `get` of a missing key is an error. Default false: no bytes, which the documented `if value:` takes for nothing. */
  readonly strict: boolean
  /** Does work that takes so many bytes as soon as there is room for them. */
  readonly within: Within
}

export type Within = <T>(bytes: number, work: () => Promise<T>) => Promise<T>

/** What a storage call answers. It rejects with an error whose message is for the plugin: no path, no address, no value. */
export async function answerStorage(
  storage: PluginStorage,
  request: JsonObject,
  rules: StorageRules,
  options: CallOptions,
): Promise<JsonValue> {
  const { opt, key, value } = request
  if (typeof key !== 'string') throw malformed('key must be a string')
  switch (opt) {
    case 'set':
      await storage.set(key, bytesFrom(value), options)
      return { data: 'ok' }
    case 'get':
      return { data: await readHex(storage, key, rules, options) }
    case 'del': {
      const deleted = await storage.delete(key, options)
      return { data: 'ok', deleted_num: deleted ? 1 : 0 }
    }
    case 'exist': {
      const exists = await storage.exist(key, options)
      return { data: exists, exist_num: exists ? 1 : 0 }
    }
    default:
      throw malformed('opt must be one of set, get, del, exist')
  }
}

function bytesFrom(value: unknown): Uint8Array {
  if (typeof value !== 'string' || value.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(value)) {
    throw malformed('value must be bytes in hexadecimal')
  }
  return Buffer.from(value, 'hex')
}

/** The size is known before the value is read. */
async function readHex(storage: PluginStorage, key: string, rules: StorageRules, options: CallOptions): Promise<string> {
  for (;;) {
    const value = await storage.open(key, options)
    if (value === undefined && rules.strict) throw new HoldfastError('NOT_FOUND', 'there is no such key')
    if (value === undefined) return ''
    const hex = await rules.within(value.size, () => hexOf(value)).catch(replaced)
    if (hex !== undefined) return hex
  }
}

async function hexOf(value: OpenValue): Promise<string> {
  return Buffer.concat(await Array.fromAsync(value.createReadStream())).toString('hex')
}

/** Somebody has replaced the value while it was read: the new one is as good. */
function replaced(error: unknown): undefined {
  if (!isHoldfastError(error, 'CONFLICT')) throw error
}

function malformed(what: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', what)
}

const FAILURES: Readonly<Record<string, string>> = {
  set: 'save data failed',
  get: 'load data failed',
  del: 'delete data failed',
  exist: 'load data failed',
}

/** What a plugin is told of a failure: the texts begin as those of Dify's daemon, and go on with our code. */
export function storageFailure(opt: JsonValue | undefined, error: unknown): string {
  if (isHoldfastError(error, 'PERMISSION_DENIED'))
    return 'permission denied, you need to enable storage access in plugin manifest'
  const [code, detail] = isHoldfastError(error)
    ? [error.code, SAFE.has(error.code) ? withoutScope(error.message) : REASONS[error.code]]
    : []
  if (code === 'NOT_FOUND') return 'load data failed, please check if the key is correct or you have not set it'
  const what =
    typeof opt === 'string' && Object.hasOwn(FAILURES, opt) ? FAILURES[opt] : 'unmarshal backwards invoke request failed'
  return `${what}: ${code ?? 'UNAVAILABLE'}: ${detail ?? 'the storage failed'}`
}

/** Whose storage it is the plugin need not be told: tenants have their names from the host. */
function withoutScope(message: string): string {
  return message.replace(/ \(plugin [\w-]+\/[\w-]+, workspace "(?:[^"\\]|\\.)*"\)$/, '')
}

/** Codes whose messages are about the plugin's own arguments. */
const SAFE: ReadonlySet<string> = new Set(['INVALID_ARGUMENT', 'QUOTA_EXCEEDED', 'VALUE_TOO_LARGE', 'CONFLICT'])

const REASONS: Readonly<Record<string, string>> = {
  UNAVAILABLE: 'the storage does not answer',
  TIMEOUT: 'the storage did not answer in time',
  DECRYPTION_FAILED: 'the value cannot be decrypted',
  CORRUPT: 'the value cannot be read',
}
