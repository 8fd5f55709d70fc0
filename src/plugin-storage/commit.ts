/**
 * One change of a value together with the counter of used bytes, which is never less than what is there.
 *
 * Where a commit holds two keys, value and counter change in one: exact at every moment. Where it holds one, room is reserved before
 * the value grows and given back after it has shrunk; whoever dies in between leaves the counter too high, and `reconcile` mends it.
 */
import type { HoldfastError } from '../errors.ts'
import type { StateAdd, StateCheck, StateCommit, StateSet } from '../state/contract.ts'
import type { BackendCall } from '../store/contract.ts'
import { removeGeneration } from './chunks.ts'
import { nameOf, type Draft } from './codec.ts'
import { backOff, isCertainlyNotApplied, leftToReconcile, MAX_ATTEMPTS, nothingApplied } from './contention.ts'
import { CHUNK_PREFIX, expiryKey, MARK, META, USED, valueKey, writingKey } from './layout.ts'
import { chunkCount, type Chunked, type RecordHead, type StoredRecord } from './record.ts'
import type { Meta, Scope } from './scope.ts'
import type { Applied } from './together.ts'

export interface Change {
  readonly key: string
  readonly meta: Meta
  readonly old: StoredRecord | undefined
  /** What is to be there; undefined: nothing. */
  readonly draft: Draft | undefined
  /** Where the draft has new chunks and commits can check it: the version of the mark that they are being written. */
  readonly writing?: string | undefined
}

/** `contended`: somebody else was quicker. `full`: the quota refuses it. */
export type Verdict = 'applied' | 'contended' | 'full'

/** One attempt. `limit` is the quota in bytes. What the old value leaves behind is removed. */
export async function commitChange(scope: Scope, change: Change, limit: number, call: BackendCall): Promise<Verdict> {
  const { key, old, draft } = change
  const commit = scope.atomicity === 'single' ? commitApart : commitTogether
  const verdict = await commit(scope, change, limit, call)
  if (verdict === 'applied' && draft?.chunks !== undefined && scope.atomicity !== 'all')
    await ensureWhole(scope, key, draft.chunks, draft.size, call)
  const left = old?.chunks?.generation
  if (verdict === 'applied' && left !== undefined && left !== draft?.chunks?.generation) {
    await leftToReconcile(() => removeGeneration(scope, left, old!.size, old!.chunks!))
  }
  return verdict
}

/**
 * Where a commit is too small to be checked against `clear`, that may have taken the chunks while the value was written that refers to
 * them. One that begins from here on finds the value too.
 */
async function ensureWhole(scope: Scope, key: string, chunks: Chunked, size: number, call: BackendCall): Promise<void> {
  for (let attempt = 0; (await scope.meta(call))?.clearing === true && attempt < MAX_ATTEMPTS; attempt++)
    await backOff(attempt, call)
  const count = chunkCount(size, chunks)
  const { generation } = chunks
  const found = await scope.space.scan({ prefix: `${CHUNK_PREFIX}${generation}:`, limit: count }, call)
  if (found.length === count) return
  const record = await scope.find(key, call)
  // Replaced or deleted since, and its chunks with it: it was whole while it was there.
  if (record?.chunks?.generation !== generation) return
  const place = valueKey(key)
  await scope.space.commit({ checks: [{ key: place, version: record.version }], delete: [place] }, call)
  throw takenForAbandoned(scope, key)
}

/** How many bytes more there will be. */
export function growthOf({ old, draft }: Pick<Change, 'old' | 'draft'>): number {
  return (draft?.size ?? 0) - (old?.size ?? 0)
}

async function commitTogether(scope: Scope, change: Change, limit: number, call: BackendCall): Promise<Verdict> {
  const add = additionsOf(growthOf(change), limit)
  if (scope.atomicity === 'all')
    return verdictOf(scope, change, await scope.together.commit(commitOfAll(scope, change, add), call))
  await announceExpiry(scope, change, call)
  return verdictOf(scope, change, await scope.space.commit({ ...commitOfValue(scope, change), add }, call))
}

async function commitApart(scope: Scope, change: Change, limit: number, call: BackendCall): Promise<Verdict> {
  const grows = growthOf(change)
  await announceExpiry(scope, change, call)
  if (grows > 0) {
    const reserved = verdictOf(
      scope,
      change,
      await scope.space.commit({ add: additionsOf(grows, limit) }, call).catch(nothingApplied),
    )
    if (reserved !== 'applied') return reserved
  }
  const verdict = await scope.space
    .commit(commitOfValue(scope, change), call)
    .then((result) => verdictOf(scope, change, result))
    .catch(async (error: unknown) => {
      // Where nobody knows whether the value was written, its room stays taken.
      if (grows > 0 && isCertainlyNotApplied(error)) await giveBack(scope, grows)
      throw error
    })
  if (verdict === 'applied' && grows < 0) await giveBack(scope, -grows)
  if (verdict !== 'applied' && grows > 0) await giveBack(scope, grows)
  return verdict
}

/** It is tried once: twice might give back twice. */
function giveBack(scope: Scope, bytes: number): Promise<void> {
  return leftToReconcile(() => scope.space.commit({ add: additionsOf(-bytes, Infinity) }, {}))
}

function commitOfValue(scope: Scope, { key, old, draft }: Change): StateCommit {
  const place = valueKey(key)
  const checks = [{ key: place, version: old?.version ?? null }]
  if (draft === undefined) return { checks, delete: [place] }
  return { checks, set: [{ key: place, value: scope.codec.encode(key, draft) }] }
}

function commitOfAll(scope: Scope, change: Change, add: readonly StateAdd[]): StateCommit {
  const { key, meta, old, draft, writing } = change
  const value = commitOfValue(scope, change)
  const checks: StateCheck[] = [...value.checks!, { key: META, version: meta.version }]
  const set: StateSet[] = [...(value.set ?? [])]
  const unwanted: string[] = [...(value.delete ?? [])]
  const expiry = expiryOf(key, draft)
  const oldExpiry = expiryOf(key, old)
  if (expiry !== undefined) set.push({ key: expiry, value: MARK })
  if (oldExpiry !== undefined && oldExpiry !== expiry) unwanted.push(oldExpiry)
  if (writing !== undefined) {
    const mark = writingKey(draft!.chunks!.generation)
    checks.push({ key: mark, version: writing })
    unwanted.push(mark)
  }
  return { checks, set, delete: unwanted, add }
}

/** Where commits are too small for it, the expiry is known before the value is there; one without a value is swept away. */
async function announceExpiry(scope: Scope, { key, draft }: Change, call: BackendCall): Promise<void> {
  const expiry = expiryOf(key, draft)
  if (expiry !== undefined) await scope.space.apply({ set: [{ key: expiry, value: MARK }] }, call).catch(nothingApplied)
}

function expiryOf(key: string, of: Pick<RecordHead, 'expiresAt'> | undefined): string | undefined {
  return of?.expiresAt === undefined ? undefined : expiryKey(of.expiresAt, key)
}

/** A quota refuses growth only: whoever is over it already, because it was lowered, may still make values smaller. */
function additionsOf(by: number, limit: number): StateAdd[] {
  if (by === 0) return []
  return [by < 0 || limit === Infinity ? { key: USED, by } : { key: USED, by, max: limit }]
}

function verdictOf(scope: Scope, { key, draft }: Change, result: Applied): Verdict {
  if (result.applied) return 'applied'
  if (result.reason === 'max') return 'full'
  if (result.reason === 'not-integer') throw brokenCounter(scope)
  if (result.key === META) scope.forget()
  if (draft?.chunks !== undefined && result.key === writingKey(draft.chunks.generation)) throw takenForAbandoned(scope, key)
  return 'contended'
}

function brokenCounter(scope: Scope): HoldfastError {
  return scope.error('CORRUPT', 'the counter of used bytes is no number: run PluginHost.reconcile')
}

export function takenForAbandoned(scope: Scope, key: string): HoldfastError {
  return scope.error('CONFLICT', `what was written of ${nameOf(key)} was removed by clear or reconcile meanwhile; write it again`)
}
