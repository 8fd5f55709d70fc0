/** Values too large for one entry: pieces under a generation of their own, which nobody sees until a record names it. */
import type { BackendCall } from '../store/contract.ts'
import { readBytes } from '../state/values.ts'
import type { Draft } from './codec.ts'
import { nothingApplied } from './contention.ts'
import { chunkKey, MARK, newGeneration, writingKey } from './layout.ts'
import { chunkCount, type Chunked, type StoredRecord } from './record.ts'
import type { Scope } from './scope.ts'

/** Takes a value piece by piece, and holds one chunk of it. `flush` and `finish` may be called again after they failed. */
export class ValueWriter {
  readonly #scope: Scope
  readonly #key: string
  readonly #buffer: Uint8Array
  #buffered = 0
  #size = 0
  #chunks: Chunked | undefined
  #written = 0

  constructor(scope: Scope, key: string) {
    this.#scope = scope
    this.#key = key
    this.#buffer = new Uint8Array(scope.chunkBytes)
  }

  /** Bytes given so far. */
  get size(): number {
    return this.#size
  }

  /** `flush` is to call the method of that name; it is left to the caller when and under which deadline. */
  async write(bytes: Uint8Array, flush: () => Promise<void>): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      // A full buffer waits for the next byte: a value that just fits needs no chunks.
      if (this.#buffered === this.#buffer.length) await flush()
      const piece = bytes.subarray(at, at + this.#buffer.length - this.#buffered)
      this.#buffer.set(piece, this.#buffered)
      this.#buffered += piece.length
      this.#size += piece.length
      at += piece.length
    }
  }

  /** Stores what is held as the next chunk. */
  async flush(call: BackendCall): Promise<void> {
    const { space, codec, chunkBytes } = this.#scope
    this.#chunks ??= await this.#begin(chunkBytes, call)
    const { generation } = this.#chunks
    const bytes = this.#buffer.slice(0, this.#buffered)
    const value = codec.encodeChunk(this.#key, generation, this.#written, bytes)
    await space.apply({ set: [{ key: chunkKey(generation, this.#written), value }] }, call).catch(nothingApplied)
    this.#written++
    this.#buffered = 0
  }

  /** The value is complete; small ones need no chunks. */
  async finish(expiresAt: number | undefined, call: BackendCall): Promise<{ draft: Draft; writing: string | undefined }> {
    const size = this.#size
    if (this.#chunks === undefined) {
      return { draft: { size, expiresAt, bytes: this.#buffer.slice(0, size) }, writing: undefined }
    }
    if (this.#buffered > 0) await this.flush(call)
    return { draft: { size, expiresAt, chunks: this.#chunks }, writing: await this.#mark(this.#chunks, call) }
  }

  /** Removes what was written, since nothing refers to it. */
  async discard(): Promise<void> {
    if (this.#chunks !== undefined) await removeGeneration(this.#scope, this.#chunks.generation, this.#size, this.#chunks)
  }

  async #begin(chunkBytes: number, call: BackendCall): Promise<Chunked> {
    await this.#scope.opened()
    const generation = newGeneration()
    if (this.#scope.atomicity === 'all') {
      await this.#scope.space.apply({ set: [{ key: writingKey(generation), value: MARK }] }, call).catch(nothingApplied)
    }
    return { generation, chunkBytes }
  }

  /** Undefined where commits are too small to check it. A mark that is gone has a version that no commit will find. */
  async #mark({ generation }: Chunked, call: BackendCall): Promise<string | undefined> {
    if (this.#scope.atomicity !== 'all') return undefined
    const mark = await this.#scope.space.entry(writingKey(generation), call).catch(nothingApplied)
    return mark?.version ?? ''
  }
}

/** Read ahead at a time, where the whole value is wanted anyway. */
const CHUNKS_PER_READ = 16

/** The value in chunks, whole; undefined when some are gone, because the value was replaced or removed while it was read. */
export async function readWhole(
  scope: Scope,
  key: string,
  record: StoredRecord,
  call: BackendCall,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = []
  const count = chunkCount(record.size, record.chunks!)
  while (chunks.length < count) {
    const first = chunks.length
    const wanted = Array.from({ length: Math.min(CHUNKS_PER_READ, count - first) }, (_, i) =>
      chunkKey(record.chunks!.generation, first + i),
    )
    for (const entry of await scope.space.entries(wanted, call)) {
      if (entry === undefined) return undefined
      chunks.push(scope.codec.decodeChunk(key, record, chunks.length, readBytes(entry.value)))
    }
  }
  return joined(chunks, record.size)
}

/** Undefined where it is gone. */
export async function readChunk(
  scope: Scope,
  key: string,
  record: StoredRecord,
  index: number,
  call: BackendCall,
): Promise<Uint8Array | undefined> {
  const entry = await scope.space.entry(chunkKey(record.chunks!.generation, index), call)
  return entry && scope.codec.decodeChunk(key, record, index, readBytes(entry.value))
}

/** All chunks that a value of this size may have, and the mark of its writer. */
export async function removeGeneration(scope: Scope, generation: string, size: number, chunks: Chunked): Promise<void> {
  const keys = Array.from({ length: chunkCount(size, chunks) }, (_, index) => chunkKey(generation, index))
  if (scope.atomicity === 'all') keys.push(writingKey(generation))
  await scope.space.deleteAll(keys, {})
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
