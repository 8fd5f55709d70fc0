/**
 * The scan of large collections: WebAssembly over memory that worker threads share.
 *
 * A row is written once. A changed document gets another row, and the old one is only used again when no search is under way that began
 * while it was in use. Each search takes along a bitmap of the rows that count as of its call. So whatever is written meanwhile, the
 * threads use nothing that changes, and need no locks: other rows they may read in passing, but make nothing of them.
 */
import type { JsonObject } from '../store/contract.ts'
import type { Distance } from './contract.ts'
import type { FilterNode } from './filter.ts'
import { createMemory, hasKernel, PAGE_BYTES, type SharedMemory } from './kernel.ts'
import { Best } from './scan-best.ts'
import { countBits, setBits, sharedBits } from './scan-bits.ts'
import { MetadataColumns } from './scan-columns.ts'
import { FIGURES, layoutOf, maxRows, type Layout } from './scan-layout.ts'
import { PartSearch, type Found, type Part } from './scan-part.ts'
import { PoolMember } from './scan-pool.ts'
import { queryLoss } from './scan-quantise.ts'
import { hasRoom, isNext, whenRoom } from './scan-turns.ts'
import type { Neighbour, ScanMode, VectorScan } from './scan-types.ts'

/** Numbers in all vectors of a collection from which on it has use for threads. */
const POOL_FROM = 4_000_000
/** Numbers that a search looks at up to which it takes a fraction of a millisecond, and less than the way to another thread and back. */
const INLINE_UP_TO = 5_000_000

/** Filters whose rows are remembered until the next write. */
const MAX_SNAPSHOTS = 16

const NO_METADATA: JsonObject = {}

/** The rows that a filter holds for, of those that count. */
interface Snapshot {
  readonly bitmap: Uint32Array
  /** How many they are. */
  readonly rows: number
}

export class KernelScan<T> implements VectorScan<T> {
  readonly maxRows: number
  readonly #layout: Layout
  readonly #inFull: boolean
  readonly #loss: number
  readonly #memory: SharedMemory
  readonly #inline: PartSearch
  readonly #rows = new Map<string, number>()
  readonly #ids: string[] = []
  readonly #metadata: JsonObject[] = []
  readonly #values: (T | undefined)[] = []
  readonly #columns = new MetadataColumns(this.#metadata)
  /** Rows that hold nothing, oldest first, each with the number of the last search that may still read it. */
  #free: { readonly row: number; readonly search: number }[] = []
  #freeFrom = 0
  /** Numbers of the searches under way, ascending. */
  readonly #underWay = new Set<number>()
  /** By filter, as of the last write. */
  readonly #snapshots = new Map<string, Snapshot>()
  #searches = 0
  #blocks = 0
  #live = new Uint32Array(0)
  #floats: Float32Array = new Float32Array(0)
  #doubles: Float64Array = new Float64Array(0)
  #member: PoolMember | undefined
  #closed = false

  constructor(memory: SharedMemory, layout: Layout, mode: ScanMode) {
    this.maxRows = maxRows(layout)
    this.#layout = layout
    this.#inFull = mode === 'exact'
    this.#loss = queryLoss(layout.dimension)
    this.#memory = memory
    this.#inline = new PartSearch(memory, layout, 0)
  }

  /** Undefined where there is no memory for it. */
  static create<T>(dimension: number, distance: Distance, mode: ScanMode): KernelScan<T> | undefined {
    if (!hasKernel()) return undefined
    const layout = layoutOf(dimension, distance)
    const memory = createMemory(Math.ceil(layout.firstBlock / PAGE_BYTES))
    return memory && new KernelScan<T>(memory, layout, mode)
  }

  get size(): number {
    return this.#rows.size
  }

  /** Whether there are other threads to search in. */
  get threaded(): boolean {
    return (this.#member?.threads ?? 0) > 0
  }

  has(id: string): boolean {
    return this.#rows.has(id)
  }

  upsert(id: string, vector: Float32Array, metadata: JsonObject, value: T): void {
    const old = this.#rows.get(id)
    const row = this.#freeRow()
    this.#write(row, vector)
    this.#ids[row] = id
    this.#metadata[row] = metadata
    this.#values[row] = value
    this.#columns.update(row)
    this.#rows.set(id, row)
    this.#live[row >>> 5]! |= 1 << (row & 31)
    this.#snapshots.clear()
    if (old !== undefined) this.#retire(old)
    this.#startThreads()
  }

  delete(id: string): boolean {
    const row = this.#rows.get(id)
    if (row === undefined) return false
    this.#rows.delete(id)
    this.#retire(row)
    return true
  }

  matching(filter: FilterNode): string[] {
    return setBits(this.#marked(filter).bitmap).map((row) => this.#ids[row]!)
  }

  async search(query: Float32Array, limit: number, filter?: FilterNode): Promise<Neighbour<T>[]> {
    // Up to the first wait, nothing can change.
    const search = ++this.#searches
    const { bitmap, rows } = this.#marked(filter)
    const part: Part = { query, limit, inFull: this.#inFull, firstBlock: 0, bitmap }
    const numbers = rows * this.#layout.dimension
    const isForHere = numbers <= INLINE_UP_TO || !this.threaded
    if (isForHere && hasRoom(numbers)) return this.#best(limit, [this.#inline.run(part)])
    this.#underWay.add(search)
    try {
      const isSoonHere = isForHere && (isNext(numbers) || !this.threaded)
      return this.#best(limit, isSoonHere ? await this.#searchHere(part, numbers) : await this.#searchInThreads(part))
    } finally {
      this.#underWay.delete(search)
      this.#leaveIfClosed()
    }
  }

  /** Gives up its part in the threads, once the searches under way have ended. It still answers, in this thread. */
  close(): void {
    this.#closed = true
    this.#leaveIfClosed()
  }

  async #searchHere(part: Part, numbers: number): Promise<Found[]> {
    await whenRoom(numbers)
    return [this.#inline.run(part)]
  }

  /** What threads cannot do for whatever reason is done here. */
  async #searchInThreads(part: Part): Promise<Found[]> {
    try {
      return await this.#member!.search(this.#parts(part, this.#member!.threads))
    } catch {
      return [this.#inline.run(part)]
    }
  }

  #best(limit: number, parts: readonly Found[]): Neighbour<T>[] {
    const best = new Best(limit, this.#ids)
    for (const { rows, scores } of parts) {
      for (let i = 0; i < rows.length; i++) best.offer(rows[i]!, scores[i]!)
    }
    return best.sorted().map(({ row, score }) => ({ id: this.#ids[row]!, score, value: this.#values[row] as T }))
  }

  /** One for each thread. */
  #parts(whole: Part, threads: number): Part[] {
    const words = this.#layout.blockRows / 32
    const each = Math.ceil(this.#blocks / threads)
    const parts: Part[] = []
    for (let firstBlock = 0; firstBlock < this.#blocks; firstBlock += each) {
      parts.push({ ...whole, firstBlock, bitmap: whole.bitmap.subarray(firstBlock * words, (firstBlock + each) * words) })
    }
    return parts
  }

  /** Never written to: threads read it, and searches that find nothing changed since share it. */
  #marked(filter: FilterNode | undefined): Snapshot {
    const key = filter === undefined ? '' : JSON.stringify(filter)
    const known = this.#snapshots.get(key)
    if (known !== undefined) return known
    const bitmap = sharedBits(filter === undefined ? this.#live : this.#columns.matching(filter, this.#live.length))
    for (let i = 0; i < bitmap.length; i++) bitmap[i]! &= this.#live[i]!
    const marked = { bitmap, rows: filter === undefined ? this.size : countBits(bitmap) }
    if (this.#snapshots.size >= MAX_SNAPSHOTS) this.#snapshots.delete(this.#snapshots.keys().next().value!)
    this.#snapshots.set(key, marked)
    return marked
  }

  #retire(row: number): void {
    this.#live[row >>> 5]! &= ~(1 << (row & 31))
    this.#snapshots.clear()
    this.#free.push({ row, search: this.#searches })
    if (this.#underWay.size > 0) return
    this.#values[row] = undefined
    this.#metadata[row] = NO_METADATA
  }

  #freeRow(): number {
    const next = this.#free[this.#freeFrom]
    const oldest = this.#underWay.values().next().value
    if (next === undefined || (oldest !== undefined && oldest <= next.search)) return this.#newRow()
    if (++this.#freeFrom * 2 > this.#free.length) {
      this.#free = this.#free.slice(this.#freeFrom)
      this.#freeFrom = 0
    }
    return next.row
  }

  #newRow(): number {
    const row = this.#ids.length
    if (row === this.#blocks * this.#layout.blockRows) this.#addBlock()
    return row
  }

  #addBlock(): void {
    const { firstBlock, blockBytes, blockRows } = this.#layout
    const missing = firstBlock + (this.#blocks + 1) * blockBytes - this.#memory.buffer.byteLength
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES))
    // Growing leaves what there was in its place, and the views of it as short as they were.
    this.#floats = new Float32Array(this.#memory.buffer)
    this.#doubles = new Float64Array(this.#memory.buffer)
    this.#blocks++
    const live = new Uint32Array((this.#blocks * blockRows) / 32)
    live.set(this.#live)
    this.#live = live
  }

  #write(row: number, vector: Float32Array): void {
    const { firstBlock, blockBytes, blockRows, floatStride, floats, figures } = this.#layout
    const block = firstBlock + Math.floor(row / blockRows) * blockBytes
    const inBlock = row % blockRows
    this.#floats.set(vector, (block + floats + inBlock * floatStride) / 4)
    const { factor, error, offset, norm } = this.#inline.encode(row, this.#loss)
    const at = (block + figures + inBlock * FIGURES) / 8
    this.#doubles[at] = factor
    this.#doubles[at + 1] = error
    this.#doubles[at + 2] = offset
    this.#doubles[at + 3] = norm
  }

  #startThreads(): void {
    if (this.#member !== undefined || this.#closed || this.size * this.#layout.dimension < POOL_FROM) return
    this.#member = new PoolMember(this.#memory, this.#layout)
  }

  #leaveIfClosed(): void {
    if (!this.#closed || this.#underWay.size > 0) return
    this.#member?.release()
    this.#member = undefined
  }
}
