/** Values whose time has come: they are gone for every reader at once, and count until they are swept. */
import type { BackendCall } from '../store/contract.ts'
import { commitChange } from './commit.ts'
import { nothingApplied } from './contention.ts'
import { EXPIRY_PREFIX, readExpiryKey } from './layout.ts'
import { isExpired } from './record.ts'
import type { Scope } from './scope.ts'

/** Values that one refusal sweeps at most. */
export const SWEPT_PER_REFUSAL = 100
/** Sweeping commits at a time. */
const WIDTH = 16
const SCAN_PAGE = 1_000

/** Removes expired values, the oldest first; how many bytes came free. */
export async function sweep(scope: Scope, call: BackendCall, max = SWEPT_PER_REFUSAL): Promise<number> {
  const expiries = await scope.space.scan({ prefix: EXPIRY_PREFIX, limit: max }, call).catch(nothingApplied)
  const now = Date.now()
  const due = expiries.filter((expiry) => readExpiryKey(expiry).expiresAt <= now)
  let freed = 0
  const pending = due.values()
  const worker = async (): Promise<void> => {
    for (const expiry of pending) freed += await sweepOne(scope, expiry, call)
  }
  await Promise.all(Array.from({ length: Math.min(WIDTH, due.length) }, worker)).catch(nothingApplied)
  return freed
}

/** Removes all that has expired; how many bytes came free. */
export async function sweepAll(scope: Scope, call: BackendCall): Promise<number> {
  let freed = 0
  for (;;) {
    const [first] = await scope.space.scan({ prefix: EXPIRY_PREFIX, limit: 1 }, call)
    if (first === undefined || readExpiryKey(first).expiresAt > Date.now()) return freed
    freed += await sweep(scope, call)
  }
}

/** Keys whose values have expired, among those that are not swept yet. */
export async function expiredKeys(scope: Scope, call: BackendCall): Promise<ReadonlySet<string>> {
  const suspects = new Set<string>()
  let after: string | undefined
  for (;;) {
    const page = await scope.space.scan({ prefix: EXPIRY_PREFIX, after, limit: SCAN_PAGE }, call)
    const now = Date.now()
    const due = page.map(readExpiryKey).filter(({ expiresAt }) => expiresAt <= now)
    for (const { key } of due) suspects.add(key)
    if (due.length < SCAN_PAGE) break
    after = page.at(-1)
  }
  if (suspects.size === 0) return suspects
  // A key may have been written anew since.
  return new Set(await scope.expiredAmong([...suspects], call))
}

async function sweepOne(scope: Scope, expiry: string, call: BackendCall): Promise<number> {
  const { key } = readExpiryKey(expiry)
  const old = await scope.find(key, call)
  if (old === undefined || !isExpired(old, Date.now())) {
    await scope.space.apply({ delete: [expiry] }, call)
    return 0
  }
  const verdict = await commitChange(scope, { key, meta: await scope.opened(), old, draft: undefined }, Infinity, call)
  if (verdict !== 'applied') return 0
  if (scope.atomicity !== 'all') await scope.space.apply({ delete: [expiry] }, call)
  return old.size
}
