/** From values to pixels: linear from 0, or logarithmic in whole decades where a linear scale would make the small ones vanish. */

export interface Scale {
  /** The decades with their places, where the scale is logarithmic; otherwise none. */
  readonly ticks: readonly { readonly value: number; readonly at: number }[]
  /** Pixels from the left end. */
  at(value: number): number
}

/** Above this ratio of the largest to the smallest the scale is logarithmic. */
const WIDE = 20
/** The smallest bar of a logarithmic scale is that part of a decade at least, since a bar of no length is no bar. */
const LEAST = 0.15

export function scaleOf(values: readonly number[], width: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  if (!(least > 0) || most / least <= WIDE) return { ticks: [], at: (value) => (most > 0 ? (value / most) * width : 0) }
  const low = Math.floor(Math.log10(least) - LEAST)
  const span = Math.log10(most) - low
  const at = (value: number): number => Math.max(0, ((Math.log10(value) - low) / span) * width)
  const decades = Array.from({ length: Math.floor(span) + 1 }, (_, i) => 10 ** (low + i))
  return { ticks: decades.map((value) => ({ value, at: at(value) })), at }
}
