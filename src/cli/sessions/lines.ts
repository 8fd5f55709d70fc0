/** Lines of a byte stream of any length. `node:readline` will not do: it also ends lines at U+2028, which JSON may hold. */
import { HoldfastError } from '../../index.ts'

export interface NumberedLine {
  /** From 1. */
  readonly number: number
  /** Undefined where the bytes are not UTF-8. */
  readonly text: string | undefined
}

const LINE_FEED = 10
const MAX_LINE_BYTES = 256 * 1024 * 1024

export async function* readLines(stream: AsyncIterable<Buffer>): AsyncGenerator<NumberedLine, void> {
  let number = 1
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of stream) {
    let start = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      held.push(chunk.subarray(start, end))
      yield { number: number++, text: decode(held) }
      ;[held, heldBytes] = [[], 0]
      start = end + 1
    }
    held.push(chunk.subarray(start))
    heldBytes += chunk.length - start
    if (heldBytes > MAX_LINE_BYTES)
      throw new HoldfastError('VALUE_TOO_LARGE', `line ${number} is longer than ${MAX_LINE_BYTES} bytes`)
  }
  if (heldBytes > 0) yield { number, text: decode(held) }
}

// A byte order mark at the beginning of the file is dropped by the decoder.
const decoder = new TextDecoder('utf-8', { fatal: true })

function decode(chunks: readonly Buffer[]): string | undefined {
  try {
    return decoder.decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
  } catch {
    return undefined
  }
}
