/**
 * Vectors as 8-bit and queries as 16-bit integers, with a bound of what that loses.
 *
 * For q ≈ q̃ and v ≈ ṽ: |q·v − q̃·ṽ| ≤ |q|·|v − ṽ| + |q − q̃|·|ṽ|, by Cauchy and Schwarz. The first length is measured when the vector is
 * written; for the second, the query's relative error never exceeds `queryLoss` of the dimension.
 */
import type { Distance } from './contract.ts'

const CODE_MAX = 127
const QUERY_MAX = 32_767
/** What the roundings of double precision can add to all of this, with a wide margin. */
const ROUNDING = 1e-9

/** The longest quantised query whose products with any codes stay within 32 bits. */
function longestQuery(dimension: number): number {
  return (0.99 * 2 ** 31) / (CODE_MAX * Math.sqrt(dimension)) - 0.5 * Math.sqrt(dimension)
}

/** The largest error of a quantised query, as a share of its length. */
export function queryLoss(dimension: number): number {
  return (0.5 * Math.sqrt(dimension)) / Math.min(QUERY_MAX, longestQuery(dimension)) + ROUNDING
}

/** What one code of a vector stands for. */
export function codeStep(vector: Float32Array): number {
  let largest = 0
  for (let i = 0; i < vector.length; i++) {
    const size = Math.abs(vector[i]!)
    if (size > largest) largest = size
  }
  return largest / CODE_MAX
}

export interface RowFigures {
  readonly factor: number
  readonly error: number
  readonly offset: number
}

/** Writes the codes of a vector from `at` on. */
export function quantise(vector: Float32Array, norm: number, distance: Distance, loss: number, codes: Int8Array, at: number): RowFigures {
  const step = codeStep(vector)
  if (step === 0) return { factor: 0, error: 0, offset: 0 }
  const perStep = 1 / step
  let squaredError = 0
  for (let i = 0; i < vector.length; i++) {
    const value = vector[i]!
    const scaled = value * perStep
    // Half away from zero, which needs no call.
    const code = (scaled + (scaled < 0 ? -0.5 : 0.5)) | 0
    codes[at + i] = code
    const error = value - code * step
    squaredError += error * error
  }
  const lost = Math.sqrt(squaredError)
  const error = (lost + loss * (norm + lost)) * (1 + ROUNDING)
  if (distance === 'cosine') return norm === 0 ? { factor: 0, error: 0, offset: 0 } : { factor: step / norm, error: error / norm, offset: 0 }
  return { factor: step, error, offset: distance === 'dot' ? 0 : -norm * norm }
}

export interface QueryFigures {
  readonly factor: number
  readonly error: number
  readonly offsetError: number
}

/** Writes the 16-bit codes of a query. */
export function quantiseQuery(query: Float32Array, norm: number, distance: Distance, codes: Int16Array): QueryFigures {
  const largest = codeStep(query) * CODE_MAX
  const scale = largest === 0 ? 0 : Math.min(QUERY_MAX / largest, longestQuery(query.length) / norm)
  codes.fill(0)
  for (let i = 0; i < query.length; i++) codes[i] = Math.round(query[i]! * scale)
  const step = scale === 0 ? 0 : 1 / scale
  if (distance === 'cosine') return { factor: norm === 0 ? 0 : step / norm, error: norm === 0 ? 0 : 1, offsetError: 0 }
  return distance === 'dot'
    ? { factor: step, error: norm, offsetError: 0 }
    : { factor: 2 * step, error: 2 * norm, offsetError: ROUNDING }
}
