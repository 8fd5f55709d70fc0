/** Whole values: reading them, and writing them in one piece or in chunks. */
import type { BackendCall } from '../store/contract.ts'
import { readWhole, ValueWriter } from './chunks.ts'
import { nameOf, type Draft } from './codec.ts'
import { isCertainlyNotApplied, leftToReconcile } from './contention.ts'
import { change, ensureRoom } from './ledger.ts'
import { corrupt, isExpired, type StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'

/** The value, or undefined: the old one or the new one while others write, never a mixture. */
export async function readValue(scope: Scope, key: string, call: BackendCall): Promise<Uint8Array<ArrayBuffer> | undefined> {
  let record = await scope.find(key, call)
  for (;;) {
    if (record === undefined || isExpired(record, Date.now())) return undefined
    const bytes = scope.codec.decode(key, record)
    if (record.chunks === undefined) return bytes
    const whole = await readWhole(scope, key, record, call)
    if (whole !== undefined) return whole
    record = await successorOf(scope, key, record, call)
  }
}

/** What replaced a record whose chunks are gone; that it should still be there means that somebody else removed them. */
export async function successorOf(
  scope: Scope,
  key: string,
  lost: StoredRecord,
  call: BackendCall,
): Promise<StoredRecord | undefined> {
  const record = await scope.find(key, call)
  if (record?.chunks?.generation === lost.chunks!.generation) throw corrupt(nameOf(key))
  return record
}

export interface Write {
  readonly key: string
  readonly bytes: Uint8Array
  readonly ttlMs: number | undefined
  /** Quota of the scope in bytes. */
  readonly limit: number
  /** Whether a live value may be replaced. */
  readonly replace: boolean
}

/** False where there is a value that may not be replaced. */
export function writeValue(scope: Scope, write: Write, call: BackendCall): Promise<boolean> {
  if (write.bytes.length > scope.chunkBytes) return writeLarge(scope, write, call)
  const { key, bytes, limit } = write
  return change(scope, key, limit, call, (old) => {
    if (!mayWrite(old, write)) return { result: false }
    return { result: true, write: { size: bytes.length, bytes, expiresAt: expiresAtOf(write.ttlMs) } }
  })
}

async function writeLarge(scope: Scope, write: Write, call: BackendCall): Promise<boolean> {
  const { key, bytes, ttlMs, limit } = write
  if (!mayWrite(await scope.find(key, call), write)) return false
  await ensureRoom(scope, key, bytes.length, limit, call)
  const writer = new ValueWriter(scope, key)
  try {
    await writer.write(bytes, () => writer.flush(call))
    const { draft, writing } = await writer.finish(expiresAtOf(ttlMs), call)
    return await switchTo(scope, write, draft, writing, call, writer)
  } catch (error) {
    await discardAfter(error, writer)
    throw error
  }
}

async function switchTo(
  scope: Scope,
  write: Write,
  draft: Draft,
  writing: string | undefined,
  call: BackendCall,
  writer: ValueWriter,
): Promise<boolean> {
  const decide = (old: StoredRecord | undefined) => (mayWrite(old, write) ? { result: true, write: draft } : { result: false })
  const written = await change(scope, write.key, write.limit, call, decide, writing)
  if (!written) await leftToReconcile(() => writer.discard())
  return written
}

/** Chunks that a record may refer to stay, and are left to `reconcile`. */
export async function discardAfter(error: unknown, writer: ValueWriter): Promise<void> {
  if (isCertainlyNotApplied(error)) await leftToReconcile(() => writer.discard())
}

function mayWrite(old: StoredRecord | undefined, { replace }: Write): boolean {
  return replace || old === undefined || isExpired(old, Date.now())
}

export function expiresAtOf(ttlMs: number | undefined): number | undefined {
  return ttlMs === undefined ? undefined : Date.now() + ttlMs
}
