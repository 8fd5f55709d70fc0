/** The search that the embedded backends share: all vectors of a collection in memory, each query an exact scan over them. */
import type { JsonObject } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { Distance } from './contract.ts'
import { toPredicate, type FilterNode } from './filter.ts'
import { cosine, dot, euclideanScore, norm, squaredDistance } from './score.ts'

export interface Neighbour<T> {
  readonly id: string
  /** The contract's score. */
  readonly score: number
  /** As it was at the moment of the search. */
  readonly value: T
}

/** The vectors and metadata of one collection, and with each a value of the backend's own. It copies the vectors and keeps the rest. */
export interface VectorScan<T> {
  readonly size: number
  upsert(id: string, vector: Float32Array, metadata: JsonObject, value: T): void
  /** False where there was none. */
  delete(id: string): boolean
  /** The ids of all that match, in no order. */
  matching(filter: FilterNode): string[]
  /** The best `limit` of those that match, best first, ties by id bytewise, all as of the moment of the call. */
  search(query: Float32Array, limit: number, filter?: FilterNode): Promise<Neighbour<T>[]>
}

export function createScan<T>(dimension: number, distance: Distance): VectorScan<T> {
  return new ExactScan(dimension, distance)
}

const FIRST_CAPACITY = 16

/** One row a vector, without gaps: deleting moves the last row into the hole. */
class ExactScan<T> implements VectorScan<T> {
  readonly #dimension: number
  readonly #distance: Distance
  readonly #rows = new Map<string, number>()
  readonly #ids: string[] = []
  readonly #metadata: JsonObject[] = []
  readonly #values: T[] = []
  readonly #norms: number[] = []
  #matrix: Float32Array

  constructor(dimension: number, distance: Distance) {
    this.#dimension = dimension
    this.#distance = distance
    this.#matrix = new Float32Array(FIRST_CAPACITY * dimension)
  }

  get size(): number {
    return this.#ids.length
  }

  upsert(id: string, vector: Float32Array, metadata: JsonObject, value: T): void {
    const row = this.#rows.get(id) ?? this.#append(id)
    this.#matrix.set(vector, row * this.#dimension)
    this.#norms[row] = norm(vector)
    this.#metadata[row] = metadata
    this.#values[row] = value
  }

  delete(id: string): boolean {
    const row = this.#rows.get(id)
    if (row === undefined) return false
    const last = this.#ids.length - 1
    if (row !== last) this.#move(last, row)
    this.#rows.delete(id)
    this.#ids.pop()
    this.#metadata.pop()
    this.#values.pop()
    this.#norms.pop()
    return true
  }

  matching(filter: FilterNode): string[] {
    const accepts = toPredicate(filter)
    return this.#ids.filter((_, row) => accepts(this.#metadata[row]!))
  }

  async search(query: Float32Array, limit: number, filter?: FilterNode): Promise<Neighbour<T>[]> {
    const accepts = filter === undefined ? undefined : toPredicate(filter)
    const scoreOf = this.#scorer(query)
    const best = new Best(limit, this.#ids)
    for (let row = 0; row < this.#ids.length; row++) {
      if (accepts === undefined || accepts(this.#metadata[row]!)) best.offer(row, scoreOf(row))
    }
    return best.sorted().map(({ row, score }) => ({ id: this.#ids[row]!, score, value: this.#values[row]! }))
  }

  #scorer(query: Float32Array): (row: number) => number {
    const matrix = this.#matrix
    const dimension = this.#dimension
    if (this.#distance === 'dot') return (row) => dot(query, matrix, row * dimension)
    if (this.#distance === 'euclidean') return (row) => euclideanScore(squaredDistance(query, matrix, row * dimension))
    const norms = this.#norms
    const queryNorm = norm(query)
    return (row) => cosine(dot(query, matrix, row * dimension), queryNorm, norms[row]!)
  }

  #append(id: string): number {
    const row = this.#ids.push(id) - 1
    this.#rows.set(id, row)
    if (this.#matrix.length < (row + 1) * this.#dimension) {
      const grown = new Float32Array(this.#matrix.length * 2)
      grown.set(this.#matrix)
      this.#matrix = grown
    }
    return row
  }

  #move(from: number, to: number): void {
    const id = this.#ids[from]!
    this.#rows.set(id, to)
    this.#ids[to] = id
    this.#metadata[to] = this.#metadata[from]!
    this.#values[to] = this.#values[from]!
    this.#norms[to] = this.#norms[from]!
    this.#matrix.copyWithin(to * this.#dimension, from * this.#dimension, (from + 1) * this.#dimension)
  }
}

/** The best rows seen so far: a heap of bounded size with the worst on top, where a better one replaces it. */
class Best {
  readonly #limit: number
  readonly #ids: readonly string[]
  readonly #rows: number[] = []
  readonly #scores: number[] = []

  constructor(limit: number, ids: readonly string[]) {
    this.#limit = limit
    this.#ids = ids
  }

  offer(row: number, score: number): void {
    if (this.#rows.length < this.#limit) {
      this.#rows.push(row)
      this.#scores.push(score)
      this.#rise(this.#rows.length - 1)
    } else if (score >= this.#scores[0]! && this.#compare(row, score, this.#rows[0]!, this.#scores[0]!) < 0) {
      this.#rows[0] = row
      this.#scores[0] = score
      this.#sink()
    }
  }

  sorted(): { row: number; score: number }[] {
    return this.#rows
      .map((row, i) => ({ row, score: this.#scores[i]! }))
      .toSorted((a, b) => this.#compare(a.row, a.score, b.row, b.score))
  }

  /** Negative where the first is the better. */
  #compare(rowA: number, scoreA: number, rowB: number, scoreB: number): number {
    return scoreB - scoreA || compareBytes(this.#ids[rowA]!, this.#ids[rowB]!)
  }

  #isWorse(a: number, b: number): boolean {
    return this.#compare(this.#rows[a]!, this.#scores[a]!, this.#rows[b]!, this.#scores[b]!) > 0
  }

  #rise(at: number): void {
    for (let parent; at > 0; at = parent) {
      parent = (at - 1) >> 1
      if (!this.#isWorse(at, parent)) return
      this.#swap(at, parent)
    }
  }

  #sink(): void {
    for (let at = 0; ;) {
      const left = 2 * at + 1
      if (left >= this.#rows.length) return
      const child = left + 1 < this.#rows.length && this.#isWorse(left + 1, left) ? left + 1 : left
      if (!this.#isWorse(child, at)) return
      this.#swap(at, child)
      at = child
    }
  }

  #swap(a: number, b: number): void {
    ;[this.#rows[a], this.#rows[b]] = [this.#rows[b]!, this.#rows[a]!]
    ;[this.#scores[a], this.#scores[b]] = [this.#scores[b]!, this.#scores[a]!]
  }
}
