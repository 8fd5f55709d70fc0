/** Changes of values, tried until they are applied or refused. */
import type { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { nameOf, type Draft } from './codec.ts'
import { commitChange, growthOf } from './commit.ts'
import { backOff, leftToReconcile, MAX_ATTEMPTS, nothingApplied } from './contention.ts'
import { sweep } from './expiry.ts'
import type { StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'

export interface Decision<T> {
  readonly result: T
  /** What to write, `delete`, or, left out, nothing. */
  readonly write?: Draft | 'delete' | undefined
}

/**
 * Reads the record, decides, and writes if nobody else did in the meantime; otherwise it begins again. `decide` gets expired records
 * too: they count until they are gone. `QUOTA_EXCEEDED` leaves everything as it was.
 */
export async function change<T>(
  scope: Scope,
  key: string,
  limit: number,
  call: BackendCall,
  decide: (old: StoredRecord | undefined) => Decision<T>,
  writing?: string,
): Promise<T> {
  let swept = false
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const old = await scope.findToChange(key, call).catch(nothingApplied)
    const { result, write } = decide(old)
    if (write === undefined) return result
    const draft = write === 'delete' ? undefined : write
    // An attempt before this one was applied, and nobody heard of it.
    if (writing !== undefined && draft?.chunks?.generation === old?.chunks?.generation) return result
    const meta = await scope.opened()
    const verdict = await commitChange(scope, { key, meta, old, draft, writing }, limit, call)
    if (verdict === 'applied') {
      if (draft?.expiresAt !== undefined && scope.isSweepDue()) await leftToReconcile(() => sweep(scope, {}))
      return result
    }
    if (verdict === 'contended') {
      await backOff(attempt, call)
    } else {
      await makeRoom(scope, swept, limit, growthOf({ old, draft }), call)
      swept = true
    }
  }
  throw scope.error('CONFLICT', `${nameOf(key)} was changed by others at each of ${MAX_ATTEMPTS} attempts`)
}

/** Refuses early what `change` would refuse once all of it is written. */
export function ensureRoom(scope: Scope, key: string, size: number, limit: number, call: BackendCall): Promise<void> {
  return ensureRoomFor(scope, new Map([[key, size]]), limit, call)
}

/** The same for several values, of the sizes given, together. */
export async function ensureRoomFor(
  scope: Scope,
  sizes: ReadonlyMap<string, number>,
  limit: number,
  call: BackendCall,
): Promise<void> {
  const size = sizes.values().reduce((sum, each) => sum + each, 0)
  for (let swept = false; ; swept = true) {
    const { used, records } = await scope.look([...sizes.keys()], call).catch(nothingApplied)
    const grows = size - records.reduce((sum, record) => sum + (record?.size ?? 0), 0)
    if (grows <= 0 || used + grows <= limit) return
    await makeRoom(scope, swept, limit, grows, call)
  }
}

/** A refusal sweeps once; when that frees nothing, or was not enough, it stands. */
async function makeRoom(scope: Scope, swept: boolean, limit: number, asked: number, call: BackendCall): Promise<void> {
  if (!swept && (await sweep(scope, call)) > 0) return
  throw quotaExceeded(scope, await scope.used(call).catch(nothingApplied), limit, asked)
}

export function quotaExceeded(scope: Scope, used: number, limit: number, asked: number): HoldfastError {
  return scope.error(
    'QUOTA_EXCEEDED',
    `${used} of ${limit} bytes are used, and this write asks for ${asked} more; nothing was written`,
  )
}
