/** What a backend declares that it cannot take, refused as its stores refuse it. */
import { HoldfastError, type Limits as BackendLimits } from '../index.ts'
import { byteLength } from '../store/platform.ts'

/** Texts and bytes by the limit that they are under; null is nothing. */
export type Sizes = {
  readonly [L in 'contentBytes' | 'jsonBytes' | 'valueBytes']?: readonly (string | Uint8Array | null | undefined)[]
} & {
  /** Items of one write or read. */
  readonly batch?: number
  readonly dimension?: number
}

export function withinLimits(limits: BackendLimits = {}, { batch, dimension, ...sizes }: Sizes): void {
  if ((batch ?? 0) > (limits.batch ?? Infinity)) throw tooLarge(`${batch} items`, 'batch', limits.batch)
  if ((dimension ?? 0) > (limits.dimension ?? Infinity)) throw tooLarge('the dimension', 'dimension', limits.dimension)
  for (const name of ['contentBytes', 'jsonBytes', 'valueBytes'] as const) {
    const limit = limits[name]
    if (limit === undefined) continue
    const largest = Math.max(...(sizes[name] ?? []).map(bytesOf))
    if (largest > limit) throw tooLarge(`something of ${largest} bytes`, name, limit)
  }
}

function bytesOf(value: string | Uint8Array | null | undefined): number {
  return typeof value === 'string' ? byteLength(value) : (value?.length ?? 0)
}

function tooLarge(what: string, name: keyof BackendLimits, limit: number | undefined): HoldfastError {
  return new HoldfastError('VALUE_TOO_LARGE', `${what} exceeds limits.${name}, which is ${limit}`, { outcome: 'not-applied' })
}
