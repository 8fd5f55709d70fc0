/** The search that the embedded backends share: all vectors of a collection in memory, each query a scan over them. */
import type { JsonObject } from '../store/contract.ts'
import type { Distance } from './contract.ts'
import type { FilterNode } from './filter.ts'
import { rowBytes, tooMuch, type ScanBudget } from './scan-budget.ts'
import { ExactScan } from './scan-exact.ts'
import type { GrowingScan, Neighbour, ScanMode, VectorScan } from './scan-types.ts'

export type { GrowingScan, ScanMode } from './scan-types.ts'

export interface ScanOptions {
  /** Default `auto`. */
  readonly mode?: ScanMode | undefined
  /** Default: no ceiling. */
  readonly budget?: ScanBudget | undefined
}

export function createScan<T>(dimension: number, distance: Distance, options: ScanOptions = {}): GrowingScan<T> {
  return new AutoScan(dimension, distance, options)
}

/** Numbers in all vectors from which on the kernel is worth its memory: plain JavaScript takes about 0.1 ms for so many. */
export const KERNEL_FROM = 150_000

type KernelModule = typeof import('./scan-kernel.ts')
let loading: Promise<KernelModule> | undefined

/** Plain JavaScript while it is small; from then on the kernel, whose code is loaded only now. */
class AutoScan<T> implements GrowingScan<T> {
  readonly #dimension: number
  readonly #distance: Distance
  readonly #options: ScanOptions
  #scan: VectorScan<T>
  /** Undefined once it has made way. */
  #exact: ExactScan<T> | undefined
  #isGrowing = false
  #isClosed = false
  #reserved = 0

  constructor(dimension: number, distance: Distance, options: ScanOptions) {
    this.#dimension = dimension
    this.#distance = distance
    this.#options = options
    this.#scan = this.#exact = new ExactScan(dimension, distance)
  }

  get size(): number {
    return this.#scan.size
  }

  get maxRows(): number {
    return this.#scan.maxRows
  }

  has(id: string): boolean {
    return this.#scan.has(id)
  }

  reserve(rows: number): void {
    if (rows > this.#scan.maxRows) throw tooMuch(`a collection of ${rows} vectors of this dimension cannot be kept in memory;`)
    const more = rows * rowBytes(this.#dimension) - this.#reserved
    if (more <= 0 || this.#isClosed) return
    this.#options.budget?.take(more)
    this.#reserved += more
  }

  upsert(id: string, vector: Float32Array, metadata: JsonObject, value: T): void {
    this.#scan.upsert(id, vector, metadata, value)
    if (this.#exact !== undefined && !this.#isGrowing && this.size * this.#dimension >= KERNEL_FROM) void this.#grow()
  }

  delete(id: string): boolean {
    return this.#scan.delete(id)
  }

  matching(filter: FilterNode): string[] {
    return this.#scan.matching(filter)
  }

  search(query: Float32Array, limit: number, filter?: FilterNode): Promise<Neighbour<T>[]> {
    return this.#scan.search(query, limit, filter)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#options.budget?.give(this.#reserved)
    this.#scan.close()
  }

  /** Where the kernel is not to be had, it stays as it is. */
  async #grow(): Promise<void> {
    this.#isGrowing = true
    try {
      loading ??= import('./scan-kernel.ts')
      this.#switch(await loading)
    } catch {
      // No memory for the kernel's copy, or its code is not there, as in some bundles.
    }
  }

  #switch({ KernelScan }: KernelModule): void {
    const scan = this.#isClosed ? undefined : KernelScan.create<T>(this.#dimension, this.#distance, this.#options.mode ?? 'auto')
    if (scan === undefined) return
    try {
      this.#exact!.pour(scan)
      this.#scan = scan
      this.#exact = undefined
    } catch (error) {
      scan.close()
      throw error
    }
  }
}
