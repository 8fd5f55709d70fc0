/**
 * Vectors as 8-bit and queries as 16-bit integers, with a bound of what that loses.
 *
 * For q ≈ q̃ and v ≈ ṽ: |q·v − q̃·ṽ| ≤ |q|·|v − ṽ| + |q − q̃|·|ṽ|, by Cauchy and Schwarz. The first length is measured when the vector is
 * written; for the second, the query's relative error never exceeds `queryLoss` of the dimension.
 */
import type { Distance } from './contract.ts'

export const CODE_MAX = 127
const QUERY_MAX = 32_767
/** What the roundings of double precision can add to all of this, with a wide margin. */
const ROUNDING = 1e-9
/** Squared distances below this are all the score 1. */
const TIED = 1e-30

/** The longest quantised query whose products with any codes stay within 32 bits. */
function longestQuery(dimension: number): number {
  return (0.99 * 2 ** 31) / (CODE_MAX * Math.sqrt(dimension)) - 0.5 * Math.sqrt(dimension)
}

/** The largest error of a quantised query, as a share of its length. */
export function queryLoss(dimension: number): number {
  return (0.5 * Math.sqrt(dimension)) / Math.min(QUERY_MAX, longestQuery(dimension)) + ROUNDING
}

export interface RowFigures {
  readonly norm: number
  readonly factor: number
  readonly error: number
  readonly offset: number
}

/** `step` is what one code stands for, and `lost` the length of the difference that the codes make. */
export function rowFigures(distance: Distance, loss: number, norm: number, step: number, lost: number): RowFigures {
  if (norm === 0) return { norm, factor: 0, error: 0, offset: 0 }
  const error = (lost + loss * (norm + lost)) * (1 + ROUNDING)
  if (distance === 'cosine') return { norm, factor: step / norm, error: error / norm, offset: 0 }
  return { norm, factor: step, error, offset: distance === 'dot' ? 0 : -norm * norm }
}

export interface QueryFigures {
  readonly factor: number
  readonly error: number
  readonly offsetError: number
  /** Squared distances are rounded as large numbers are where the query is long, and may tie then as scores. */
  readonly rounding: number
}

/** Writes the 16-bit codes of a query. */
export function quantiseQuery(query: Float32Array, norm: number, distance: Distance, codes: Int16Array): QueryFigures {
  let largest = 0
  for (let i = 0; i < query.length; i++) largest = Math.max(largest, Math.abs(query[i]!))
  const scale = largest === 0 ? 0 : Math.min(QUERY_MAX / largest, longestQuery(query.length) / norm)
  codes.fill(0)
  for (let i = 0; i < query.length; i++) codes[i] = Math.round(query[i]! * scale)
  const step = scale === 0 ? 0 : 1 / scale
  if (distance === 'cosine')
    return { factor: norm === 0 ? 0 : step / norm, error: norm === 0 ? 0 : 1, offsetError: 0, rounding: 0 }
  if (distance === 'dot') return { factor: step, error: norm, offsetError: 0, rounding: 0 }
  return { factor: 2 * step, error: 2 * norm, offsetError: ROUNDING, rounding: ROUNDING * norm * norm + TIED }
}
