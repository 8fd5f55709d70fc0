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

/** The value as it is when reading begins. Fails with `NOT_FOUND` where there is none, with `CONFLICT` when it is replaced on the way. */
export function readStream(scope: Scope, key: string, run: Run): Readable {
  return Readable.from(pieces(scope, key, run), { objectMode: false, highWaterMark: scope.chunkBytes })
}

async function* pieces(scope: Scope, key: string, run: Run): AsyncGenerator<Uint8Array, void> {
  const { record, bytes } = await run('read', (call) => begin(scope, key, call))
  if (bytes.length > 0) yield bytes
  const count = record.chunks === undefined ? 0 : chunkCount(record.size, record.chunks)
  for (let index = 0; index < count; index++) yield await run('read', (call) => piece(scope, key, record, index, call))
}

/** The bytes are those of a value that is in no chunks. */
async function begin(scope: Scope, key: string, call: BackendCall): Promise<{ record: StoredRecord; bytes: Uint8Array }> {
  const record = await scope.find(key, call)
  if (record === undefined || isExpired(record, Date.now())) throw scope.error('NOT_FOUND', `${nameOf(key)} does not exist`)
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
