/** JSON Lines: text to which lines are only added, and of which a crash can spoil the last one only. */
import { HoldfastError } from '../errors.ts'

/** A line as bytes, with its end. */
export function toLine(value: unknown): Uint8Array {
  try {
    return Buffer.from(`${JSON.stringify(value)}\n`)
  } catch (cause) {
    // Node has no strings of more than about half a billion characters.
    if (!(cause instanceof RangeError)) throw cause
    throw new HoldfastError('VALUE_TOO_LARGE', 'one line would be longer than Node can write', { outcome: 'not-applied', cause })
  }
}

export interface Lines {
  readonly values: readonly unknown[]
  /** Bytes that the values take, with the ends of their lines. */
  readonly size: number
  /** Bytes of a last line that was cut short, which are no value; 0 where there is none. */
  readonly torn: number
}

const NEWLINE = 0x0a

/** Reads lines. One that is whole and no JSON is `CORRUPT`; `what` names the file in the error. */
export function readLines(bytes: Uint8Array, what: string): Lines {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values: unknown[] = []
  let at = 0
  for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, at)) {
    values.push(parseLine(text.toString('utf8', at, end), what, values.length + 1))
    at = end + 1
  }
  return { values, size: at, torn: text.length - at }
}

function parseLine(line: string, what: string, number: number): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // The parser's message quotes the line.
    throw new HoldfastError('CORRUPT', `line ${number} of ${what} is not JSON`)
  }
}
