/** How much memory the vectors of a store may take. */
import { HoldfastError } from '../errors.ts'

export const DEFAULT_VECTOR_MEMORY_MB = 1024
const MB = 1 << 20

/** Shared by the collections of a store. */
export class ScanBudget {
  readonly #limit: number
  #used = 0

  constructor(megabytes: number = DEFAULT_VECTOR_MEMORY_MB) {
    this.#limit = megabytes * MB
  }

  take(bytes: number): void {
    if (this.#used + bytes > this.#limit) {
      throw tooMuch(
        `${inMb(this.#used + bytes)} MB of vectors exceed maxVectorMemoryMb, which is ${inMb(this.#limit)}; raise it, or`,
      )
    }
    this.#used += bytes
  }

  give(bytes: number): void {
    this.#used -= bytes
  }
}

/** What one vector takes: floats, codes and some figures. */
export function rowBytes(dimension: number): number {
  return dimension * 5 + 64
}

/** `reason` ends where the remedy begins. */
export function tooMuch(reason: string): HoldfastError {
  const message = `${reason} use a backend for larger data: lancedb, pgvector, qdrant, or another with an index of its own`
  return new HoldfastError('QUOTA_EXCEEDED', message, { outcome: 'not-applied' })
}

function inMb(bytes: number): number {
  return Math.ceil(bytes / MB)
}
