/** Writers that meet at one key or counter: those that come too late look again, a little later. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError, outcomeOf } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'

/** Writers that contend this long are told so rather than left hanging. */
export const MAX_ATTEMPTS = 1_000
const MAX_BACKOFF_MS = 200

/** Full jitter: writers that collided must not come back together. */
export async function backOff(attempt: number, call: BackendCall): Promise<void> {
  await sleep(Math.random() * Math.min(MAX_BACKOFF_MS, 2 ** attempt))
  call.signal?.throwIfAborted()
}

/** For what comes before a write: when it fails, nothing is written, and the call may be tried again. */
export function nothingApplied(error: unknown): never {
  throw withOutcome(error, 'not-applied')
}

/** False where a write may have happened all the same. */
export function isCertainlyNotApplied(error: unknown): boolean {
  return isHoldfastError(error) && (error.outcome ?? outcomeOf(error.code)) === 'not-applied'
}

/** For work after a write that has happened: what it leaves undone is harmless, and `reconcile` does it. */
export async function leftToReconcile(work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch {
    // The caller's write is done; an error would say that it is not.
  }
}
