/** Keys of a map in bytewise order, for scans. It costs nothing until the first scan, and a page costs no sorting while keys only go. */
import { compareBytes } from '../store/text.ts'
import type { StateScan } from './contract.ts'

/** Fewer stale keys than this are not worth an array. */
const SLACK = 1_000

export class KeyIndex {
  readonly #keys: ReadonlyMap<string, unknown>
  /** Undefined before the first scan. Holds keys that are gone, until they outnumber the rest. */
  #sorted: string[] | undefined
  /** Keys that came since, in no order; of them none is gone. */
  readonly #added = new Set<string>()
  #gone = 0

  constructor(keys: ReadonlyMap<string, unknown>) {
    this.#keys = keys
  }

  /** Called after a key came into the map. */
  added(key: string): void {
    if (this.#sorted !== undefined) this.#added.add(key)
  }

  /** Called after a key left the map. */
  removed(key: string): void {
    if (this.#sorted === undefined || this.#added.delete(key)) return
    if (++this.#gone > this.#keys.size + SLACK) this.#forget()
  }

  /** The keys that a scan gives, of those that are live. */
  page({ prefix, after, limit }: StateScan, isLive: (key: string) => boolean): string[] {
    const keys: string[] = []
    const inclusive = after === undefined || compareBytes(after, prefix) < 0
    for (const key of this.after(inclusive ? prefix : after, inclusive)) {
      if (keys.length >= limit || !key.startsWith(prefix)) break
      if (isLive(key)) keys.push(key)
    }
    return keys
  }

  /** The keys from `from` on, or behind it. */
  *after(from: string, inclusive: boolean): Generator<string, void> {
    const sorted = this.#merged()
    for (let i = lowerBound(sorted, from); i < sorted.length; i++) {
      const key = sorted[i]!
      if ((inclusive || key !== from) && this.#keys.has(key)) yield key
    }
  }

  #merged(): readonly string[] {
    if (this.#sorted === undefined) this.#sorted = [...this.#keys.keys()].toSorted(compareBytes)
    else if (this.#added.size > 0) this.#sorted = merge(this.#sorted, [...this.#added].toSorted(compareBytes))
    this.#added.clear()
    return this.#sorted
  }

  #forget(): void {
    this.#sorted = undefined
    this.#added.clear()
    this.#gone = 0
  }
}

/** Two sorted lists as one. A key that went and came back is in both, and once in the result. */
function merge(a: readonly string[], b: readonly string[]): string[] {
  const merged: string[] = []
  let j = 0
  for (const key of a) {
    while (j < b.length && compareBytes(b[j]!, key) < 0) merged.push(b[j++]!)
    if (b[j] !== key) merged.push(key)
  }
  return merged.concat(b.slice(j))
}

/** Where the first key not below `from` is. */
function lowerBound(sorted: readonly string[], from: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(sorted[middle]!, from) < 0) low = middle + 1
    else high = middle
  }
  return low
}
