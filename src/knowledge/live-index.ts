/** The vectors of a collection in this process's memory, kept up to date with a database that other processes write to as well. */
import { setImmediate as turn } from 'node:timers/promises'
import type { SqlEngine } from '../engines/sql.ts'
import { channel } from '../store/platform.ts'
import { fromBlob, IS_BIG_ENDIAN } from './blob.ts'
import { collectionMissing } from './faults.ts'
import { parseMetadata } from './records.ts'
import { createScan, type GrowingScan, type ScanOptions } from './scan.ts'
import type { ChangeRow, Changes, CollectionRow, KnowledgeSql, Position } from './sql.ts'

/** Rows taken over in one go, and their bytes of floats; between two of them the event loop gets its turn. */
const CHUNK = 500
const CHUNK_BYTES = 1 << 20

/** What is published on the channel `holdfast:knowledge:load` as a collection is read into memory, a message a chunk. */
export interface LoadProgress {
  readonly workspace: string
  readonly collection: string
  /** Documents in memory, and in the collection. */
  readonly loaded: number
  readonly total: number
}

const progress = channel('holdfast:knowledge:load')

export interface Loaded extends Position {
  readonly collection: CollectionRow
  /** Never behind the position; ahead of it once others have loaded more. */
  readonly scan: GrowingScan<undefined>
}

export class LiveIndex {
  readonly #engine: SqlEngine
  readonly #sql: KnowledgeSql
  readonly #workspace: string
  readonly #name: string
  readonly #options: ScanOptions
  #isClosed = false
  #loaded: Loaded | undefined
  #running: Promise<Loaded> | undefined
  #next: Promise<Loaded> | undefined

  constructor(engine: SqlEngine, sql: KnowledgeSql, workspace: string, name: string, options: ScanOptions = {}) {
    this.#engine = engine
    this.#sql = sql
    this.#workspace = workspace
    this.#name = name
    this.#options = options
  }

  /**
   * The index with every change in it that was committed when this was called. Callers share one load. One that is under way may have
   * read before the caller's own last write, so whoever comes later waits for it and shares the next, which is short.
   */
  fresh(): Promise<Loaded> {
    if (this.#running === undefined) {
      this.#running = this.#refresh().finally(() => (this.#running = undefined))
      return this.#running
    }
    this.#next ??= this.#afterRunning(this.#running)
    return this.#next
  }

  async #afterRunning(running: Promise<unknown>): Promise<Loaded> {
    // Its failure is for its own callers.
    await running.catch(() => undefined)
    this.#next = undefined
    return this.fresh()
  }

  /** Frees the memory once nobody searches in it any more. */
  close(): void {
    this.#isClosed = true
    this.#forget()
  }

  async #refresh(): Promise<Loaded> {
    let loaded = this.#loaded
    try {
      for (;;) {
        const chunk = await this.#read(loaded)
        loaded = this.#take(chunk, loaded)
        if (loaded.seen === chunk.collection.change) return this.#keep(loaded)
        await turn()
      }
    } catch (error) {
      if (loaded?.scan !== this.#loaded?.scan) loaded?.scan.close()
      throw error
    }
  }

  async #read(position: Loaded | undefined): Promise<Changes & { readonly limit: number }> {
    const limit = position === undefined ? CHUNK : chunkOf(position.collection.dimension)
    const changes = await this.#engine.read(() => this.#sql.changesSince(this.#workspace, this.#name, position, limit))
    if (changes !== undefined) return { ...changes, limit }
    this.#forget()
    throw collectionMissing(this.#name)
  }

  /** A restart loads beside the old state, which searches that began before may still use. */
  #take({ collection, isRestart, rows, limit }: Changes & { readonly limit: number }, position: Loaded | undefined): Loaded {
    if (isRestart) position?.scan.close()
    const scan = isRestart || position === undefined ? this.#create(collection) : position.scan
    const seen = rows.length < limit ? collection.change : rows.at(-1)!.change
    const loaded = { n: collection.n, floor: collection.floor, seen, collection, scan }
    try {
      scan.reserve(collection.documents)
      for (const row of rows) take(scan, row)
    } catch (error) {
      if (scan !== position?.scan) scan.close()
      throw error
    }
    if (progress.hasSubscribers && rows.length > 0) progress.publish(this.#progressOf(loaded))
    return loaded
  }

  #create({ dimension, distance }: CollectionRow): GrowingScan<undefined> {
    return createScan<undefined>(dimension, distance, this.#options)
  }

  #progressOf({ collection, scan }: Loaded): LoadProgress {
    return { workspace: this.#workspace, collection: this.#name, loaded: scan.size, total: collection.documents }
  }

  /** Closed while it loaded, it answers those that wait for it, and keeps nothing. */
  #keep(loaded: Loaded): Loaded {
    if (this.#isClosed) loaded.scan.close()
    else this.#loaded = loaded
    return loaded
  }

  #forget(): void {
    this.#loaded?.scan.close()
    this.#loaded = undefined
  }
}

function chunkOf(dimension: number): number {
  return Math.max(16, Math.min(CHUNK, Math.floor(CHUNK_BYTES / (4 * dimension))))
}

function take(scan: GrowingScan<undefined>, { id, metadata, embedding }: ChangeRow): void {
  if (embedding === null || metadata === null) scan.delete(id)
  else scan.upsert(id, floatsOf(embedding), parseMetadata({ id, metadata }), undefined)
}

/** For a moment: the scan copies what it keeps. Bytes that are floats in their place already need no copy of their own. */
function floatsOf(blob: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = blob
  const isFloats = !IS_BIG_ENDIAN && byteOffset % 4 === 0 && length % 4 === 0
  return isFloats ? new Float32Array(buffer, byteOffset, length / 4) : fromBlob(blob)
}
