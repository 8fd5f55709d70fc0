/** The scan in plain JavaScript. */
import type { JsonObject } from '../store/contract.ts'
import type { Distance } from './contract.ts'
import { toPredicate, type FilterNode } from './filter.ts'
import { Best } from './scan-best.ts'
import type { Neighbour, VectorScan } from './scan-types.ts'
import { cosine, dot, euclideanScore, norm, squaredDistance } from './score.ts'

const FIRST_CAPACITY = 16

/** In plain JavaScript, for small collections and where the kernel cannot run. One row a vector, without gaps: deleting moves the last row into the hole. */
export class ExactScan<T> implements VectorScan<T> {
  readonly maxRows = Infinity
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

  has(id: string): boolean {
    return this.#rows.has(id)
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

  close(): void {}

  /** Writes all that it holds to another. */
  pour(into: VectorScan<T>): void {
    for (const [row, id] of this.#ids.entries()) {
      const vector = this.#matrix.subarray(row * this.#dimension, (row + 1) * this.#dimension)
      into.upsert(id, vector, this.#metadata[row]!, this.#values[row]!)
    }
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
