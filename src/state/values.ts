/** What a stored value reads as: JSON text and bytes are two views of the same thing. */
import { HoldfastError } from '../errors.ts'
import type { JsonValue } from '../store/contract.ts'
import { parseExactly } from '../store/parse.ts'
import { keysMissing, withoutHeader } from '../store/sealed.ts'
import type { StateAdd, StateValue } from './contract.ts'

const encoder = new TextEncoder()
// A byte order mark is kept, and so refused by the JSON parser, rather than dropped in silence.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The value as JSON; what is not JSON is `CORRUPT`, what is encrypted `DECRYPTION_FAILED`. The message names the key, and never quotes
 * content, as the parser's own would.
 */
export function readJson(value: StateValue, key: string): JsonValue {
  try {
    return parse(value)
  } catch {
    if (withoutHeader(value) !== undefined) throw keysMissing(`the value of key ${JSON.stringify(key)}`)
    throw new HoldfastError('CORRUPT', `key ${JSON.stringify(key)} does not hold JSON; read it with getBytes`)
  }
}

/** The value as a plain `Uint8Array`, never a `Buffer`, which compares and slices differently. */
export function readBytes(value: StateValue): Uint8Array {
  if (typeof value === 'string') return encoder.encode(value)
  return value.constructor === Uint8Array ? value : new Uint8Array(value)
}

/** What `add` makes of a present value, or of an absent key; otherwise why it cannot. */
export function addTo(value: StateValue | undefined, { by, max }: StateAdd): number | 'not-integer' | 'max' {
  const sum = value === undefined ? by : readNumber(value) + by
  if (!Number.isSafeInteger(sum)) return 'not-integer'
  if (max !== undefined && sum > max) return 'max'
  // Turns -0 into 0, which is how its JSON text reads.
  return sum + 0
}

/** The safe integer that is stored; NaN where there is something else. */
function readNumber(value: StateValue): number {
  try {
    const parsed = parse(value)
    return Number.isSafeInteger(parsed) ? (parsed as number) : Number.NaN
  } catch {
    return Number.NaN
  }
}

function parse(value: StateValue): JsonValue {
  return parseExactly(typeof value === 'string' ? value : decoder.decode(value))
}
