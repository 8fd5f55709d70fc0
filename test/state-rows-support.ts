/** Two workspaces of many keys, for tests of what that takes. */
import type { StateStore } from '../src/state/store.ts'

const BATCH = 5_000

/** Their order is that of the numbers. Long enough that all of them together would be seen in a small heap. */
export function keyOf(n: number): string {
  return `key-${String(n).padStart(36, '0')}`
}

/** So many keys in `kept`, and as many in `cleared`; each holds its number. */
export async function fill(store: StateStore, count: number): Promise<void> {
  for (const view of [store.workspace('kept'), store.workspace('cleared')]) {
    for (let at = 0; at < count; at += BATCH) {
      const length = Math.min(BATCH, count - at)
      await view.setMany(Array.from({ length }, (_, i) => [keyOf(at + i), at + i] as const))
    }
  }
}
