/** Lines of a byte stream, with a limit: what is longer is passed over, and told with its beginning. */

export interface Line {
  readonly text: string
  /** The line was longer than allowed, and `text` is only its beginning. */
  readonly cut: boolean
}

const NEWLINE = 10
/** Of a line that is too long: enough to see what it wanted. */
const HEAD_BYTES = 4_096

/** Lines without their ends. Empty ones, which separate messages, are left out, and so is an unfinished one at the end. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line, void> {
  let pieces: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of stream) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end)
      start = end + 1
      if (bytes + piece.length > 0) yield lineOf([...pieces, piece], bytes + piece.length, maxBytes)
      pieces = []
      bytes = 0
    }
    const rest = chunk.subarray(start)
    // What goes beyond the limit is counted and not kept.
    if (rest.length > 0 && bytes <= maxBytes) pieces.push(rest)
    bytes += rest.length
  }
}

function lineOf(pieces: readonly Uint8Array[], bytes: number, maxBytes: number): Line {
  const cut = bytes > maxBytes
  const whole = Buffer.concat(pieces)
  return { text: (cut ? whole.subarray(0, HEAD_BYTES) : whole).toString('utf8'), cut }
}
