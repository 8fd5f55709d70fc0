/** What a commit does, for backends that hold a space still meanwhile: in memory, or in files under a lock. */
import type { StateCheck, StateCommit, StateCommitResult, StateSet, StateValue } from './contract.ts'
import { addTo } from './values.ts'

/** The entries of one space at one moment; what is expired is absent. */
export interface CommitEntries {
  holds(check: StateCheck): boolean
  value(key: string): StateValue | undefined
  set(item: StateSet): void
  /** True where the key was there. */
  remove(key: string): boolean
  /** Looks at the next `count` entries with a TTL, and removes those that are expired. */
  sweep(count: number): void
}

/** Keys with a TTL that each key written looks at: more than it can add, so that the expired ones never pile up. */
const SWEPT_PER_WRITE = 2

export function runCommit(entries: CommitEntries, commit: StateCommit): StateCommitResult {
  const { checks = [], set = [], delete: unwanted = [], add = [] } = commit
  // Everything is checked before anything changes.
  const failed = checks.find((check) => !entries.holds(check))
  if (failed !== undefined) return { applied: false, reason: 'check', key: failed.key }
  const sums: number[] = []
  for (const addition of add) {
    const sum = addTo(entries.value(addition.key), addition)
    if (typeof sum !== 'number') return { applied: false, reason: sum, key: addition.key }
    sums.push(sum)
  }
  for (const item of set) entries.set(item)
  for (const [i, { key }] of add.entries()) entries.set({ key, value: String(sums[i]), ttlMs: 'keep' })
  const deleted = unwanted.filter((key) => entries.remove(key)).length
  entries.sweep((set.length + add.length + unwanted.length) * SWEPT_PER_WRITE)
  return { applied: true, deleted, sums }
}
