/** The `Range` header of RFC 9110, cut down to one range of bytes. */

export interface Range {
  readonly start: number
  /** Inclusive. */
  readonly end: number
}

/** Undefined where the header is to be ignored: it is no range of bytes, or several. */
export function rangeOf(header: string, size: number): Range | 'unsatisfiable' | undefined {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined
  if (from === '') return lastBytes(Number(to), size)
  const start = Number(from)
  const end = to === '' ? size - 1 : Math.min(Number(to), size - 1)
  // RFC 9110: a range whose end comes first is none.
  if (to !== '' && Number(to) < start) return undefined
  return start < size ? { start, end } : 'unsatisfiable'
}

function lastBytes(count: number, size: number): Range | 'unsatisfiable' {
  return count === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - count), end: size - 1 }
}
