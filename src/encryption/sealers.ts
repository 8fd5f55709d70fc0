/** The sealers of many places: deriving a key takes longer than sealing with it. */
import { toKeyRing, type KeyRing, type KeyRingOptions } from './key-ring.ts'
import type { Sealer } from './sealer.ts'

const MAX_KEPT = 1_000

/** Those of one purpose. */
export class Sealers {
  readonly #ring: KeyRing
  readonly #purpose: string
  readonly #kept = new Map<string, Sealer>()

  constructor(keys: KeyRing | KeyRingOptions, purpose: string) {
    this.#ring = toKeyRing(keys)
    this.#purpose = purpose
  }

  of(place: string): Sealer {
    const kept = this.#kept.get(place)
    if (kept !== undefined) return kept
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    const sealer = this.#ring.sealer(this.#purpose, place)
    this.#kept.set(place, sealer)
    return sealer
  }
}
