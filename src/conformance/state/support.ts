/** What the state cases share. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StateStore } from '../../state/store.ts'
import type { JsonValue } from '../../store/contract.ts'
import { compareBytes } from '../../store/text.ts'
import type { ConformanceCase } from '../case.ts'
import { allPages } from '../expect.ts'

export type StateCase = ConformanceCase<StateStore>

/** Long enough for any case to end before it. */
export const LONG_TTL = 600
/** Short, so that cases which wait for an expiry are quick. */
export const SHORT_TTL = 0.1
/** How long after its time a key may linger, for engines whose clock is coarse. It must then be gone for every method alike. */
const EXPIRY_ALLOWANCE_MS = 5_000
/** What the clocks of engine and caller, and their rounding, may differ by, in seconds. */
const CLOCK_ALLOWANCE_S = 0.1

/** Asserts that both hold the same bytes; a Buffer is a Uint8Array too. */
export function sameBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(actual instanceof Uint8Array, `bytes expected, not ${String(actual)}`)
  assert.equal(actual.length, expected.length, 'number of bytes')
  assert.ok(Buffer.compare(actual, expected) === 0, 'the bytes differ')
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function sorted(keys: readonly string[]): string[] {
  return keys.toSorted(compareBytes)
}

/** Sets all keys to the same value. */
export async function fill(store: StateStore, keys: readonly string[], value: JsonValue = 1): Promise<void> {
  await store.setMany(new Map(keys.map((key) => [key, value])))
}

/** Every key of a listing, page by page. */
export function scanAll(store: StateStore, prefix: string, limit: number, between?: () => Promise<unknown>): Promise<string[]> {
  return allPages(limit, async (cursor) => {
    if (cursor !== undefined) await between?.()
    return store.scan({ prefix, limit, cursor })
  })
}

/** Waits until the keys set before with `SHORT_TTL` are gone, by a witness set after them. */
export async function expiry(store: StateStore): Promise<void> {
  const witness = 'expiry witness'
  await store.set(witness, true, { ttl: SHORT_TTL })
  const deadline = performance.now() + SHORT_TTL * 1_000 + EXPIRY_ALLOWANCE_MS
  while (await store.exists(witness)) {
    assert.ok(performance.now() < deadline, `a key with a TTL of ${SHORT_TTL} s is still there ${EXPIRY_ALLOWANCE_MS} ms later`)
    await sleep(20)
  }
}

/** Asserts that a TTL set `since` (by `performance.now()`) has what is left of `seconds`. */
export function sameTtl(actual: number | null | undefined, seconds: number, since: number): void {
  if (typeof actual !== 'number') assert.fail(`a TTL of about ${seconds} s expected, not ${String(actual)}`)
  const elapsed = (performance.now() - since) / 1_000
  assert.ok(actual <= seconds + CLOCK_ALLOWANCE_S, `a TTL of ${seconds} s has become ${actual} s`)
  assert.ok(actual >= seconds - elapsed - CLOCK_ALLOWANCE_S, `a TTL of ${seconds} s is ${actual} s after ${elapsed} s`)
}
