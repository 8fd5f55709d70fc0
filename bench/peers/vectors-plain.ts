/** What a careful user writes without a library: dot products of unit vectors in one typed array, and the best few kept sorted. */

type Best = { i: number; score: number }[]

/** The numbers of the best `limit` rows of the matrix, best first; only of those that `keep` keeps, where it is given. */
export function plainScan(
  matrix: Float32Array,
  wanted: Float32Array,
  limit: number,
  keep: (i: number) => boolean = () => true,
): number[] {
  const best: Best = []
  const dimension = wanted.length
  const count = matrix.length / dimension
  for (let i = 0; i < count; i++) {
    if (!keep(i)) continue
    let score = 0
    for (let d = 0, at = i * dimension; d < dimension; d++, at++) score += matrix[at]! * wanted[d]!
    if (best.length < limit || score > best[limit - 1]!.score) enter(best, { i, score }, limit)
  }
  return best.map(({ i }) => i)
}

function enter(best: Best, hit: Best[number], limit: number): void {
  best.push(hit)
  best.sort((a, b) => b.score - a.score)
  if (best.length > limit) best.pop()
}
