/** What a scan is, whichever way it goes about it. */
import type { JsonObject } from '../store/contract.ts'
import type { FilterNode } from './filter.ts'

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
  readonly maxRows: number
  upsert(id: string, vector: Float32Array, metadata: JsonObject, value: T): void
  /** False where there was none. */
  delete(id: string): boolean
  /** The ids of all that match, in no order. */
  matching(filter: FilterNode): string[]
  /** The best `limit` of those that match, best first, ties by id bytewise, all as of the moment of the call. */
  search(query: Float32Array, limit: number, filter?: FilterNode): Promise<Neighbour<T>[]>
  has(id: string): boolean
  /** Ends what it has running, once the searches under way are over. It still answers. */
  close(): void
}

/** `auto`: 8-bit codes first, then 32-bit floats for what may be among the best. `exact`: 32-bit floats for all. The answers are the same. */
export type ScanMode = 'auto' | 'exact'

/** A scan that begins small, and must ask for room. */
export interface GrowingScan<T> extends VectorScan<T> {
  /** To be called before it comes to hold so many: `QUOTA_EXCEEDED` where the memory for them would exceed the ceiling. */
  reserve(rows: number): void
}
