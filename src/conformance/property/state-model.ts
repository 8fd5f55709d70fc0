/** The state contract over a Map, in as few lines as it takes, and sharing nothing with the store it is compared with. */
import { isDeepStrictEqual } from 'node:util'
import type { JsonValue } from '../../store/contract.ts'

/** One call, as data that can be printed and shrunk. */
export type Step =
  | { readonly call: 'get' | 'getBytes' | 'exists' | 'ttl' | 'delete' | 'expire' | 'persist'; readonly key: string }
  | { readonly call: 'set' | 'setIfAbsent'; readonly key: string; readonly value: JsonValue; readonly ttl?: number | undefined }
  | { readonly call: 'setBytes'; readonly key: string; readonly bytes: readonly number[] }
  | { readonly call: 'swap'; readonly key: string; readonly expected: JsonValue | undefined; readonly value: JsonValue }
  | { readonly call: 'swapPresent'; readonly key: string; readonly value: JsonValue }
  | { readonly call: 'increment'; readonly key: string; readonly by: number }
  | HashStep
  | { readonly call: 'scan'; readonly prefix: string; readonly limit: number }
  | { readonly call: 'setMany'; readonly keys: readonly string[]; readonly value: JsonValue }
  | { readonly call: 'getMany' | 'deleteMany'; readonly keys: readonly string[] }
  | { readonly call: 'clear' }

/** JSON where the bytes hold some, else the bytes: `set` and `setBytes` share what they write. */
export function readable(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return undefined
  const json = parse(bytes)
  return json === undefined ? [...bytes] : { json }
}

function parse(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) as JsonValue
  } catch {
    return undefined
  }
}

type HashStep =
  | { readonly call: 'hgetall'; readonly key: string }
  | { readonly call: 'hget' | 'hdel'; readonly key: string; readonly field: string }
  | { readonly call: 'hset'; readonly key: string; readonly field: string; readonly value: JsonValue }

interface Stored {
  /** Undefined where the bytes are no JSON. */
  readonly json: JsonValue | undefined
  readonly bytes: readonly number[]
  readonly ttl: boolean
}

/** Answers each step as a store must, an error by its code. */
export class Model {
  /** The value under the key of the step before it was taken. */
  before: JsonValue | undefined
  readonly #entries = new Map<string, Stored>()

  keys(prefix: string): string[] {
    const found = [...this.#entries.keys()].filter((key) => key.startsWith(prefix))
    return found.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  content(key: string): unknown {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    return entry.json === undefined ? entry.bytes : { json: entry.json }
  }

  answer(step: Step): unknown {
    switch (step.call) {
      case 'clear': {
        const count = this.#entries.size
        this.#entries.clear()
        return count
      }
      case 'scan':
        return [this.keys(step.prefix), this.keys(step.prefix)]
      case 'setMany':
        return step.keys.forEach((key) => this.#put(key, step.value))
      case 'deleteMany':
        return step.keys.filter((key) => this.#entries.delete(key)).length
      case 'getMany': {
        const found = step.keys.map((key) => this.#get(key))
        return found.includes('CORRUPT') ? 'CORRUPT' : found.map((each) => each && (each as { json: JsonValue }).json)
      }
      default:
        return this.#answerOnKey(step)
    }
  }

  #answerOnKey(step: Extract<Step, { key: string }>): unknown {
    const { key } = step
    const entry = this.#entries.get(key)
    this.before = entry?.json
    switch (step.call) {
      case 'get': {
        const found = this.#get(key)
        return typeof found === 'object' ? found.json : found
      }
      case 'getBytes':
        return this.content(key)
      case 'exists':
        return entry !== undefined
      case 'ttl':
        return entry && (entry.ttl || null)
      case 'delete':
        return this.#entries.delete(key)
      case 'expire':
        return entry !== undefined && this.#put(key, entry.json, { ...entry, ttl: true })
      case 'persist':
        return entry?.ttl === true && this.#put(key, entry.json, { ...entry, ttl: false })
      case 'set':
        this.#put(key, step.value, { ttl: step.ttl !== undefined })
        return undefined
      case 'setBytes':
        this.#put(key, parse(Uint8Array.from(step.bytes)), { bytes: step.bytes })
        return undefined
      case 'setIfAbsent':
        return entry === undefined && this.#put(key, step.value, { ttl: step.ttl !== undefined })
      case 'swap':
        return this.#swap(key, step.expected, step.value)
      case 'swapPresent':
        return this.#swap(key, this.before, step.value)
      case 'increment':
        return this.#increment(key, step.by)
      default:
        return this.#answerOnHash(step)
    }
  }

  #answerOnHash(step: HashStep): unknown {
    const { key } = step
    const entry = this.#entries.get(key)
    const hash = entry === undefined ? {} : entry.json
    if (hash === undefined) return 'CORRUPT'
    if (typeof hash !== 'object' || hash === null || Array.isArray(hash)) return 'CONFLICT'
    const fields = new Map(Object.entries(hash))
    const store = (): true => this.#put(key, Object.fromEntries(fields), { ttl: entry?.ttl ?? false })
    switch (step.call) {
      case 'hgetall':
        return hash
      case 'hget':
        return fields.get(step.field)
      case 'hset':
        fields.set(step.field, step.value)
        store()
        return undefined
      default:
        return Number(fields.delete(step.field) && store())
    }
  }

  #get(key: string): { json: JsonValue } | 'CORRUPT' | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    return entry.json === undefined ? 'CORRUPT' : { json: entry.json }
  }

  #put(key: string, json: JsonValue | undefined, rest: Partial<Stored> = {}): true {
    this.#entries.set(key, { bytes: [], ttl: false, ...rest, json })
    return true
  }

  #swap(key: string, expected: JsonValue | undefined, value: JsonValue): boolean | string {
    const entry = this.#entries.get(key)
    if (expected === undefined || entry === undefined) return expected === entry && this.#put(key, value)
    if (entry.json === undefined) return 'CORRUPT'
    return isDeepStrictEqual(unsigned(entry.json), unsigned(expected)) && this.#put(key, value)
  }

  #increment(key: string, by: number): number | string {
    const entry = this.#entries.get(key)
    const present = entry === undefined ? 0 : entry.json
    const sum = Number.isSafeInteger(present) ? (present as number) + by : Number.NaN
    if (!Number.isSafeInteger(sum)) return 'CONFLICT'
    this.#put(key, sum + 0, { ttl: entry?.ttl ?? false })
    return sum + 0
  }
}

/** Without the sign of zero, which does not count in comparisons. */
function unsigned(value: JsonValue): JsonValue {
  return JSON.parse(JSON.stringify(value)) as JsonValue
}
