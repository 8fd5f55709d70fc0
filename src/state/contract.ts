/** The state contract: what callers of a store see, and what a backend implements. */
import type { BackendBase, BackendCall } from '../store/contract.ts'

// ── What callers see ────────────────────────────────────────────────────────────────────────────────────────────────

export interface SetOptions {
  /** Seconds until the key is gone, greater than 0; fractions count. Default: it stays. A `set` without it clears an earlier one. */
  readonly ttl?: number | undefined
}

export interface ScanOptions {
  /** Only keys that begin with this text. Default `''`: all. */
  readonly prefix?: string | undefined
  /** Keys a page, 1–1,000, default 100. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

export interface StateCapabilities {
  /** How bytes are stored: as they are, or as base64 text where the engine cannot hold bytes. */
  readonly bytes: 'native' | 'base64'
  /** How many keys one `commit` may name: 1 on object stores, otherwise at least 2. `Infinity` where there is no limit. */
  readonly commitKeys: number
}

// ── What a backend implements ───────────────────────────────────────────────────────────────────────────────────────

/** JSON text, or bytes. An engine that stores both alike may return either for either; the store reads what it needs. */
export type StateValue = string | Uint8Array

export interface StateEntry {
  readonly value: StateValue
  /** Opaque; never the same for two values of one key, also after it was deleted or expired in between. May be a digest. */
  readonly version: string
  /** Milliseconds left, greater than 0; undefined where the key has no TTL. */
  readonly ttlMs?: number | undefined
}

export interface StateCheck {
  readonly key: string
  /** The version that must be stored now; null: the key must be absent. */
  readonly version: string | null
}

export interface StateSet {
  readonly key: string
  readonly value: StateValue
  /** Milliseconds until the key is gone; `keep`: what is left of the present TTL; left out: none. */
  readonly ttlMs?: number | 'keep' | undefined
}

export interface StateAdd {
  readonly key: string
  /** A safe integer. An absent key counts as 0; the TTL of a present one stays. */
  readonly by: number
  /** The sum may not be greater, also where `by` is negative. */
  readonly max?: number | undefined
}

/**
 * All checks and maxima hold: everything is applied, atomically. Otherwise nothing is. No key is set, deleted or added to twice. More keys
 * than `capabilities.commitKeys`: `UNSUPPORTED`.
 */
export interface StateCommit {
  readonly checks?: readonly StateCheck[]
  readonly set?: readonly StateSet[]
  readonly delete?: readonly string[]
  readonly add?: readonly StateAdd[]
}

export type StateCommitResult =
  /** `deleted`: how many of the keys to delete were there. `sums`: the new values, in the order of `add`. */
  | { readonly applied: true; readonly deleted: number; readonly sums: readonly number[] }
  /**
   * `check`: a version differs. `max`: the sum would be too great. `not-integer`: what is there, or the sum, is no safe integer. A check
   * that fails is what is told: who lost to another writer is not to take it for a full quota.
   */
  | { readonly applied: false; readonly reason: 'check' | 'max' | 'not-integer'; readonly key: string }

export interface StateScan {
  readonly prefix: string
  /** Continue behind this key. */
  readonly after?: string | undefined
  readonly limit: number
}

/**
 * Entries live at `(space, key)`. A space is the unit of atomicity and of listing; its name is any text of up to 514 bytes of UTF-8, `''`
 * included, and a key one of 1–512. Both are case- and space-sensitive and compared bytewise. An expired entry is absent for every method
 * at once; whose clock says so, the engine's or that of the process, is left to the backend, and so processes must agree on the time.
 */
export interface StateBackend extends BackendBase {
  readonly capabilities: StateCapabilities
  /** One answer a key, in their order. */
  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]>
  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult>
  /** `limit` keys in bytewise order, fewer only where no more follow. A key that is there all the while is seen once over the pages. */
  scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]>
  /**
   * The spaces whose names begin with the prefix and that hold an entry, once each, paged like `scan`. A backend that would have to read
   * everything for it leaves it out.
   */
  listSpaces?(scan: StateScan, call?: BackendCall): Promise<string[]>
}
