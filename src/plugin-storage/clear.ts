/** Removing a scope, as an uninstalled plugin wants it: nothing of it is left, and nothing comes back. */
import { isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { backOff, MAX_ATTEMPTS } from './contention.ts'
import { expiredKeys } from './expiry.ts'
import { META, VALUES } from './layout.ts'
import { writeMeta, type Scope } from './scope.ts'

const KEYS_PER_COMMIT = 500

/** How many values there were. Writers wait meanwhile; one that comes after finds an empty scope. */
export async function clearScope(scope: Scope, call: BackendCall): Promise<number> {
  if ((await scope.space.scan({ prefix: '', limit: 1 }, call)).length === 0) {
    await scope.unlist(call)
    return 0
  }
  const version = await startClearing(scope, call)
  const expired = await expiredKeys(scope, call).catch(noneIfCorrupt)
  let removed = 0
  for await (const page of scope.space.pages('', call)) {
    const keys = page.filter((key) => key !== META)
    if (!(await removeKeys(scope, keys, version, call))) break
    removed += keys.filter((key) => key.startsWith(VALUES) && !expired.has(key.slice(VALUES.length))).length
  }
  await scope.space.commit({ checks: [{ key: META, version }], delete: [META] }, call)
  await scope.unlist(call)
  // Whoever began anew in between is listed again, by itself or here.
  if ((await scope.meta(call)) !== undefined) await scope.list(call)
  scope.forget()
  return removed
}

/** A damaged record must not keep a scope from being erased: its value counts as one that was there. */
function noneIfCorrupt(error: unknown): ReadonlySet<string> {
  if (isHoldfastError(error, 'CORRUPT')) return new Set()
  throw error
}

/** From here on no commit of a writer holds. The version of the mark. */
async function startClearing(scope: Scope, call: BackendCall): Promise<string> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const meta = await scope.meta(call)
    if (meta?.clearing === true) return meta.version
    const fields = meta ?? { encrypted: scope.codec.sealed, createdAt: Date.now() }
    const set = [{ key: META, value: writeMeta({ ...fields, clearing: true }) }]
    await scope.space.commit({ checks: [{ key: META, version: meta?.version ?? null }], set }, call)
    await backOff(attempt, call)
  }
  throw scope.error('CONFLICT', 'the scope cannot be cleared: others change it all the time')
}

/** False where somebody else has cleared the scope already. */
async function removeKeys(scope: Scope, keys: readonly string[], version: string, call: BackendCall): Promise<boolean> {
  if (scope.atomicity !== 'all') {
    await scope.space.deleteAll(keys, call)
    return true
  }
  const size = Math.min(KEYS_PER_COMMIT, scope.keysPerCommit - 1)
  for (let at = 0; at < keys.length; at += size) {
    const commit = { checks: [{ key: META, version }], delete: keys.slice(at, at + size) }
    if (!(await scope.space.commit(commit, call)).applied) return false
  }
  return true
}
