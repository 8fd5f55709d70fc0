/** Mending a scope after writers that died: their chunks go, and the counter is what the values are. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackendCall } from '../store/contract.ts'
import { readBytes } from '../state/values.ts'
import { nameOf } from './codec.ts'
import { commitChange } from './commit.ts'
import { sweepAll } from './expiry.ts'
import { CHUNK_PREFIX, generationOfChunk, generationTime, USED, VALUES, WRITING_PREFIX, writingKey } from './layout.ts'
import { decodeRecord, isExpired, type StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'

export interface ReconcileOptions {
  /** Only what was begun so many milliseconds ago is taken for abandoned. Default 3,600,000: an hour. */
  readonly olderThanMs?: number | undefined
  /**
   * On a backend whose commits hold one key: milliseconds for which nothing may change, so that no writer is between reserving and
   * writing. Default 5,000.
   */
  readonly quietMs?: number | undefined
}

export interface Reconciliation {
  /** Bytes of all values. */
  readonly usedBytes: number
  /** By how much the counter was too high; negative: too low. */
  readonly correctedBytes: number
  /** Pieces of values that nobody can reach, removed. */
  readonly chunksRemoved: number
}

const ATTEMPTS = 5
/** Few, for values up to a chunk's size come with their records. */
const RECORDS_PER_READ = 32

interface Survey {
  readonly version: string | null
  /** NaN where the counter is no number. */
  readonly used: number
  readonly sum: number
  readonly generations: ReadonlySet<string>
}

export async function reconcileScope(scope: Scope, options: ReconcileOptions, call: BackendCall): Promise<Reconciliation> {
  const { olderThanMs = 3_600_000, quietMs = 5_000 } = options
  if ((await scope.meta(call)) === undefined) return { usedBytes: 0, correctedBytes: 0, chunksRemoved: 0 }
  await scope.opened()
  await sweepAll(scope, call)
  let chunksRemoved = 0
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const suspects = await abandoned(scope, olderThanMs, call)
    const before = await survey(scope, call)
    for (const generation of suspects.keys()) if (before.generations.has(generation)) suspects.delete(generation)
    // Without its mark, a value that is still being written can no longer be finished.
    await scope.space.deleteAll([...suspects.keys()].map(writingKey), call)
    if (scope.atomicity === 'single') await sleep(quietMs)
    const after = await survey(scope, call)
    for (const [generation, chunks] of suspects) {
      if (!after.generations.has(generation)) chunksRemoved += await scope.space.deleteAll(chunks, call)
    }
    if (await settle(scope, before, after, call)) {
      const correctedBytes = Number.isNaN(after.used) ? 0 : after.used - after.sum
      return { usedBytes: after.sum, correctedBytes, chunksRemoved }
    }
  }
  throw scope.error('CONFLICT', 'the counter cannot be set while so many write; reconcile when it is quieter')
}

/** Sets the counter where it is wrong and nothing changed between two looks. */
async function settle(scope: Scope, before: Survey, after: Survey, call: BackendCall): Promise<boolean> {
  if (after.used === after.sum) return true
  if (before.version !== after.version || before.sum !== after.sum) return false
  const checks = [{ key: USED, version: after.version }]
  return (await scope.space.commit({ checks, set: [{ key: USED, value: String(after.sum) }] }, call)).applied
}

async function survey(scope: Scope, call: BackendCall): Promise<Survey> {
  const counter = await scope.space.entry(USED, call)
  const generations = new Set<string>()
  let sum = 0
  for await (const { key, record } of records(scope, call)) {
    if (isExpired(record, Date.now()) && (await remove(scope, key, record, call))) continue
    sum += record.size
    if (record.chunks !== undefined) generations.add(record.chunks.generation)
  }
  const used = counter === undefined ? 0 : Number(Buffer.from(readBytes(counter.value)).toString())
  return { version: counter?.version ?? null, used: Number.isSafeInteger(used) ? used : Number.NaN, sum, generations }
}

async function remove(scope: Scope, key: string, old: StoredRecord, call: BackendCall): Promise<boolean> {
  return (await commitChange(scope, { key, meta: await scope.opened(), old, draft: undefined }, Infinity, call)) === 'applied'
}

/** All records, as they are stored. */
export async function* records(
  scope: Scope,
  call: BackendCall,
): AsyncGenerator<{ readonly key: string; readonly record: StoredRecord }, void> {
  for await (const page of scope.space.pages(VALUES, call)) {
    for (let at = 0; at < page.length; at += RECORDS_PER_READ) {
      const places = page.slice(at, at + RECORDS_PER_READ)
      const entries = await scope.space.entries(places, call)
      for (const [i, place] of places.entries()) {
        const key = place.slice(VALUES.length)
        const entry = entries[i]
        if (entry !== undefined) yield { key, record: decodeRecord(readBytes(entry.value), entry.version, nameOf(key)) }
      }
    }
  }
}

/** Generations begun long enough ago, with the keys of their chunks. */
async function abandoned(scope: Scope, olderThanMs: number, call: BackendCall): Promise<Map<string, string[]>> {
  const begunBefore = Date.now() - olderThanMs
  const found = new Map<string, string[]>()
  for await (const page of scope.space.pages(WRITING_PREFIX, call)) {
    for (const mark of page) found.set(mark.slice(WRITING_PREFIX.length), [])
  }
  for await (const page of scope.space.pages(CHUNK_PREFIX, call)) {
    for (const key of page) {
      const generation = generationOfChunk(key)
      const chunks = found.get(generation) ?? []
      found.set(generation, chunks)
      chunks.push(key)
    }
  }
  return new Map(found.entries().filter(([generation]) => generationTime(generation) <= begunBefore))
}
