/** The contract's scores: cosine similarity, dot product, or 1 / (1 + euclidean distance). */
import type { Distance } from './contract.ts'

/** Score of two vectors of one dimension; under cosine, 0 where either has no direction. */
export function score(distance: Distance, a: Float32Array, b: Float32Array): number {
  if (distance === 'euclidean') return euclideanScore(squaredDistance(a, b, 0))
  const product = dot(a, b, 0)
  return distance === 'dot' ? product : cosine(product, norm(a), norm(b))
}

/** `row` is where the second vector begins in `matrix`. Sums are double precision; four of them keep the processor's pipeline full. */
export function dot(query: Float32Array, matrix: Float32Array, row: number): number {
  const length = query.length
  const unrolled = length - (length % 4)
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i < unrolled; i += 4) {
    s0 += query[i]! * matrix[row + i]!
    s1 += query[i + 1]! * matrix[row + i + 1]!
    s2 += query[i + 2]! * matrix[row + i + 2]!
    s3 += query[i + 3]! * matrix[row + i + 3]!
  }
  for (; i < length; i++) s0 += query[i]! * matrix[row + i]!
  return s0 + s1 + s2 + s3
}

export function squaredDistance(query: Float32Array, matrix: Float32Array, row: number): number {
  const length = query.length
  const unrolled = length - (length % 4)
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i < unrolled; i += 4) {
    const d0 = query[i]! - matrix[row + i]!
    const d1 = query[i + 1]! - matrix[row + i + 1]!
    const d2 = query[i + 2]! - matrix[row + i + 2]!
    const d3 = query[i + 3]! - matrix[row + i + 3]!
    s0 += d0 * d0
    s1 += d1 * d1
    s2 += d2 * d2
    s3 += d3 * d3
  }
  for (; i < length; i++) s0 += (query[i]! - matrix[row + i]!) ** 2
  return s0 + s1 + s2 + s3
}

export function norm(vector: Float32Array): number {
  return Math.sqrt(dot(vector, vector, 0))
}

/** Rounding must not carry a similarity beyond its bounds. */
export function cosine(product: number, normA: number, normB: number): number {
  const norms = normA * normB
  return norms === 0 ? 0 : Math.max(-1, Math.min(1, product / norms))
}

export function euclideanScore(squared: number): number {
  return 1 / (1 + Math.sqrt(squared))
}
