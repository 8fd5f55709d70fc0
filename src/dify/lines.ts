/** Lines of a byte stream, with a limit: what is longer is passed over, and told with its beginning. */
import { objectFrom } from './protocol.ts'

export interface Line {
  readonly text: string
  /** Its length, also of what was passed over. */
  readonly bytes: number
  /** The line was longer than allowed, and `text` is only its beginning. */
  readonly cut: boolean
}

const NEWLINE = 10
const BRACE = 125
/** Of a line that is too long: enough to see what it wanted. */
const HEAD_BYTES = 4_096
const FIRST_CAPACITY = 64 * 1_024

export interface LinesOptions {
  /**
   * A JSON object is a line as soon as it is whole. The SDK sends the end of a line by itself, which the network keeps back until what came
   * before is acknowledged: 40 ms for each message.
   */
  readonly eager?: boolean
}

/**
 * Lines without their ends. Empty ones, which separate messages, are left out, and so is an unfinished one at the end. The limit is asked
 * for as the bytes come, so it may change between lines.
 */
export async function* linesOf(
  stream: AsyncIterable<Uint8Array>,
  maxBytes: () => number,
  { eager = false }: LinesOptions = {},
): AsyncGenerator<Line, void> {
  const gathered = new Gathered()
  for await (const chunk of stream) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      gathered.add(chunk.subarray(start, end), maxBytes())
      start = end + 1
      const line = gathered.take()
      if (line.bytes > 0) yield line
    }
    gathered.add(chunk.subarray(start), maxBytes())
    if (eager && gathered.isObject()) yield gathered.take()
  }
}

/** The bytes of one line, in one buffer: many small pieces would take many times the memory of what they hold. */
class Gathered {
  #buffer = Buffer.alloc(0)
  #kept = 0
  #bytes = 0
  #cut = false
  /** From how many bytes on it is looked again whether the object is whole. */
  #looksFrom = 0

  add(piece: Uint8Array, maxBytes: number): void {
    this.#bytes += piece.length
    if (!this.#cut && this.#bytes > maxBytes) this.#shorten()
    const part = this.#cut ? piece.subarray(0, Math.max(0, HEAD_BYTES - this.#kept)) : piece
    this.#makeRoom(part.length)
    this.#buffer.set(part, this.#kept)
    this.#kept += part.length
  }

  /** Looked at ever less often, or many small pieces of a long line would be parsed again and again. */
  isObject(): boolean {
    if (this.#cut || this.#kept === 0 || this.#kept < this.#looksFrom || this.#buffer[this.#kept - 1] !== BRACE) return false
    this.#looksFrom = 2 * this.#kept
    return objectFrom(this.#text()) !== undefined
  }

  take(): Line {
    const line = { text: this.#text(), bytes: this.#bytes, cut: this.#cut }
    // A buffer that one long line needed is not kept for the short ones.
    if (this.#buffer.length > FIRST_CAPACITY) this.#buffer = Buffer.alloc(0)
    this.#kept = 0
    this.#bytes = 0
    this.#cut = false
    this.#looksFrom = 0
    return line
  }

  #text(): string {
    return this.#buffer.toString('utf8', 0, this.#kept)
  }

  /** Of a line that turns out to be too long only the beginning stays. */
  #shorten(): void {
    this.#cut = true
    this.#kept = Math.min(this.#kept, HEAD_BYTES)
    if (this.#buffer.length > FIRST_CAPACITY) this.#buffer = Buffer.from(this.#buffer.subarray(0, HEAD_BYTES))
  }

  #makeRoom(more: number): void {
    const needed = this.#kept + more
    if (needed <= this.#buffer.length) return
    const wider = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length, FIRST_CAPACITY))
    this.#buffer.copy(wider, 0, 0, this.#kept)
    this.#buffer = wider
  }
}
