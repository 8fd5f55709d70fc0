/** Values as streams: one chunk in memory at a time, however large the value. */
import { Readable, Writable } from 'node:stream'
import type { BackendCall } from '../store/contract.ts'
import { checkBytes } from './arguments.ts'
import { readChunk, ValueWriter } from './chunks.ts'
import { nameOf } from './codec.ts'
import { leftToReconcile } from './contention.ts'
import { change, ensureRoom } from './ledger.ts'
import { chunkCount, isExpired, type StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'
import { discardAfter, expiresAtOf, successorOf } from './values.ts'

/** Runs one step as a call of the store. */
export type Run = <T>(mode: 'read' | 'idempotent', work: (call: BackendCall) => Promise<T>) => Promise<T>

/** Part of a value: from the byte `start`, default the first, to the byte `end` inclusive, default the last. */
export interface ByteRange {
  readonly start?: number | undefined
  readonly end?: number | undefined
}

/** A value as it was when it was opened. */
export interface OpenValue {
  /** In bytes. */
  readonly size: number
  /** The whole value where it is at hand: it is in one piece. */
  readonly bytes: Uint8Array | undefined
  /** Its bytes, or part of them. The stream fails with `CONFLICT` when the value is replaced before its end. */
  createReadStream(range?: ByteRange): Readable
}

/** The value as it is when reading begins. Fails with `NOT_FOUND` where there is none, with `CONFLICT` when it is replaced on the way. */
export function readStream(scope: Scope, key: string, run: Run): Readable {
  return toReadable(scope, async function* () {
    const found = await run('read', (call) => begin(scope, key, call))
    if (found === undefined) throw scope.error('NOT_FOUND', `${nameOf(key)} does not exist`)
    yield* pieces(scope, key, found, {}, run)
  })
}

/** The value with its size, to be read whole or in part; undefined where there is none. */
export async function openValue(scope: Scope, key: string, run: Run): Promise<OpenValue | undefined> {
  const found = await run('read', (call) => begin(scope, key, call))
  if (found === undefined) return undefined
  const createReadStream = (range: ByteRange = {}): Readable => toReadable(scope, () => pieces(scope, key, found, range, run))
  const { size, chunks } = found.record
  return { size, bytes: chunks === undefined ? found.bytes : undefined, createReadStream }
}

function toReadable(scope: Scope, generate: () => AsyncGenerator<Uint8Array, void>): Readable {
  return Readable.from(generate(), { objectMode: false, highWaterMark: scope.chunkBytes })
}

/** The bytes are those of a value that is in no chunks. */
interface Found {
  readonly record: StoredRecord
  readonly bytes: Uint8Array
}

async function* pieces(
  scope: Scope,
  key: string,
  { record, bytes }: Found,
  { start = 0, end = record.size - 1 }: ByteRange,
  run: Run,
): AsyncGenerator<Uint8Array, void> {
  if (start > end) return
  if (record.chunks === undefined) {
    yield bytes.subarray(start, end + 1)
    return
  }
  const { chunkBytes } = record.chunks
  const count = chunkCount(record.size, record.chunks)
  for (let index = Math.floor(start / chunkBytes); index < count && index * chunkBytes <= end; index++) {
    const chunk = await run('read', (call) => piece(scope, key, record, index, call))
    const first = index * chunkBytes
    yield chunk.subarray(Math.max(0, start - first), end + 1 - first)
  }
}

async function begin(scope: Scope, key: string, call: BackendCall): Promise<Found | undefined> {
  const record = await scope.find(key, call)
  if (record === undefined || isExpired(record, Date.now())) return undefined
  return { record, bytes: scope.codec.decode(key, record) }
}

async function piece(scope: Scope, key: string, record: StoredRecord, index: number, call: BackendCall): Promise<Uint8Array> {
  const chunk = await readChunk(scope, key, record, index, call)
  if (chunk !== undefined) return chunk
  await successorOf(scope, key, record, call)
  throw scope.error('CONFLICT', `${nameOf(key)} was replaced or deleted while it was read; read it again`)
}

/** The value is there, whole, when the stream has finished; a stream that is destroyed before leaves the old value. */
export function writeStream(scope: Scope, key: string, limit: number, ttlMs: number | undefined, run: Run): Writable {
  const writer = new ValueWriter(scope, key)
  let busy: Promise<void> = Promise.resolve()
  let progress: 'writing' | 'switching' | 'done' = 'writing'
  const flush = (): Promise<void> =>
    run('idempotent', async (call) => {
      await ensureRoom(scope, key, writer.size, limit, call)
      await writer.flush(call)
    })
  const finish = async (): Promise<void> => {
    progress = 'switching'
    const { draft, writing } = await run('idempotent', (call) => writer.finish(expiresAtOf(ttlMs), call))
    await run('idempotent', (call) => change(scope, key, limit, call, () => ({ result: undefined, write: draft }), writing))
    progress = 'done'
  }
  const discard = async (error: Error | null): Promise<void> => {
    // Destroying a stream does not wait for the write under way, which may still store a chunk.
    await busy
    if (progress === 'writing') await leftToReconcile(() => writer.discard())
    else if (progress === 'switching') await discardAfter(error, writer)
  }
  return new Writable({
    decodeStrings: false,
    highWaterMark: scope.chunkBytes,
    write(chunk, _encoding, done) {
      busy = settle(async () => writer.write(checkBytes(chunk), flush), done)
    },
    final(done) {
      busy = settle(finish, done)
    },
    destroy(error, done) {
      void settle(
        () => discard(error),
        (failure) => done(failure ?? error),
      )
    },
  })
}

/** Resolves in any case: how it went is the stream's to tell. */
async function settle(work: () => Promise<unknown>, done: (error?: Error | null) => void): Promise<void> {
  let failure: Error | null = null
  try {
    await work()
  } catch (error) {
    failure = error as Error
  }
  done(failure)
}
