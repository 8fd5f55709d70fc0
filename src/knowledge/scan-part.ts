/** A search of some blocks of a collection's memory, in whichever thread. */
import { createKernel, type Kernel, type SharedMemory } from './kernel.ts'
import { setBits } from './scan-bits.ts'
import { MAX_HEAP, type Layout } from './scan-layout.ts'
import { CODE_MAX, quantiseQuery, rowFigures, type QueryFigures, type RowFigures } from './scan-quantise.ts'
import { cosine, euclideanScore, norm } from './score.ts'

export interface Part {
  readonly query: Float32Array
  readonly limit: number
  /** Looks at every row in full, not at its codes first. */
  readonly inFull: boolean
  /** The block that the bitmap begins with. */
  readonly firstBlock: number
  /** A bit for each row of the blocks: whether it is a candidate. It is whole blocks long. */
  readonly bitmap: Uint32Array
}

/** The best rows of a part, in no order, with all that tie with the last of them. Rows are counted from the first block of all. */
export interface Found {
  readonly rows: Uint32Array
  readonly scores: Float64Array
}

/** Searches in one slot of a memory, which nobody else may use at the time. Rows must not change while their bit is set. */
export class PartSearch {
  readonly #kernel: Kernel
  readonly #layout: Layout
  readonly #slot: number
  readonly #state: Int32Array
  readonly #heap: Float64Array
  readonly #bitmap: Uint32Array
  readonly #rows: Int32Array
  readonly #outRows: Int32Array
  readonly #out: Float64Array
  readonly #queryCodes: Int16Array
  readonly #queryFloats: Float32Array
  readonly #seen = new Growing()

  constructor(memory: SharedMemory, layout: Layout, slot: number) {
    const { buffer } = memory
    const at = slot * layout.slotBytes
    this.#kernel = createKernel(memory)
    this.#layout = layout
    this.#slot = at
    this.#state = new Int32Array(buffer, at, 1)
    this.#heap = new Float64Array(buffer, at + 8, MAX_HEAP)
    this.#bitmap = new Uint32Array(buffer, at + layout.bitmap, layout.blockRows / 32)
    this.#rows = new Int32Array(buffer, at + layout.rows, layout.blockRows)
    this.#outRows = new Int32Array(buffer, at + layout.out, layout.blockRows * 4)
    this.#out = new Float64Array(buffer, at + layout.out, layout.blockRows * 2)
    this.#queryCodes = new Int16Array(buffer, at + layout.queryCodes, layout.codeStride)
    this.#queryFloats = new Float32Array(buffer, at + layout.queryFloats, layout.dimension)
  }

  run(part: Part): Found {
    const queryNorm = norm(part.query)
    this.#queryFloats.set(part.query)
    const candidates = part.inFull || part.limit > MAX_HEAP ? this.#marked(part) : this.#promising(part, queryNorm)
    return best(this.#scored(candidates, queryNorm), part.limit)
  }

  /** Makes the codes of a row whose floats are in their place. Not while a search runs in this slot. */
  encode(row: number, loss: number): RowFigures {
    const { blockRows, codeStride, floatStride, floats, distance, dimension, rows, out } = this.#layout
    const slot = this.#slot
    const block = this.#blockAt(Math.floor(row / blockRows))
    const inBlock = row % blockRows
    const at = block + floats + inBlock * floatStride
    this.#rows[0] = 0
    this.#kernel.dots(slot + rows, 1, at, floatStride, at, dimension, slot + out)
    const norm = Math.sqrt(this.#out[0]!)
    const step = this.#kernel.largest(at, floatStride / 4) / CODE_MAX
    const squared = step === 0 ? 0 : this.#kernel.quantise(at, floatStride / 4, step, 1 / step, block + inBlock * codeStride)
    return rowFigures(distance, loss, norm, step, Math.sqrt(squared))
  }

  #marked({ bitmap, firstBlock }: Part): Uint32Array {
    const first = firstBlock * this.#layout.blockRows
    return Uint32Array.from(setBits(bitmap), (row) => first + row)
  }

  /** Those that may be among the best, by their codes: every row's upper bound that reaches the worst of the best lower bounds. */
  #promising(part: Part, queryNorm: number): Uint32Array {
    const { blockRows, distance } = this.#layout
    const figures = quantiseQuery(part.query, queryNorm, distance, this.#queryCodes)
    const words = blockRows / 32
    const seen = this.#seen
    seen.clear()
    this.#state[0] = 0
    for (let i = 0; i * words < part.bitmap.length; i++) {
      this.#bitmap.set(part.bitmap.subarray(i * words, (i + 1) * words))
      const block = part.firstBlock + i
      const count = this.#scan(block, part.limit, figures)
      for (let j = 0; j < count; j++) seen.add(block * blockRows + this.#outRows[j * 4]!, this.#out[j * 2 + 1]!)
    }
    const floor = this.#state[0] < part.limit ? -Infinity : this.#heap[0]!
    return seen.rows(floor)
  }

  #scan(block: number, limit: number, query: QueryFigures): number {
    const { codeStride, figures, blockRows, bitmap, rows, dots, queryCodes, out } = this.#layout
    const slot = this.#slot
    const count = this.#kernel.list(slot + bitmap, blockRows / 32, slot + rows)
    if (count === 0) return 0
    const at = this.#blockAt(block)
    const { factor, error, offsetError, rounding } = query
    const asked = [slot + queryCodes, factor, error, offsetError, rounding] as const
    const listed = [at, codeStride, at + figures, slot + rows, count] as const
    return this.#kernel.scan(...listed, ...asked, slot, limit, slot + dots, slot + out)
  }

  /** The scores of rows that ascend. */
  #scored(rows: Uint32Array, queryNorm: number): Found {
    const { blockRows } = this.#layout
    const scores = new Float64Array(rows.length)
    for (let from = 0, to; from < rows.length; from = to) {
      const block = Math.floor(rows[from]! / blockRows)
      const end = (block + 1) * blockRows
      for (to = from; to < rows.length && rows[to]! < end; to++) this.#rows[to - from] = rows[to]! - block * blockRows
      this.#score(block, queryNorm, scores.subarray(from, to))
    }
    return { rows, scores }
  }

  #score(block: number, queryNorm: number, scores: Float64Array): void {
    const { distance, dimension, floats, floatStride, rows, out, queryFloats } = this.#layout
    const slot = this.#slot
    const products = distance === 'euclidean' ? this.#kernel.squares : this.#kernel.dots
    const at = this.#blockAt(block)
    products(slot + rows, scores.length, at + floats, floatStride, slot + queryFloats, dimension, slot + out)
    if (distance === 'dot') return scores.set(this.#out.subarray(0, scores.length))
    if (distance === 'euclidean') {
      for (let i = 0; i < scores.length; i++) scores[i] = euclideanScore(this.#out[i]!)
      return
    }
    this.#kernel.lengths(slot + rows, scores.length, at + this.#layout.figures, slot + out + scores.length * 8)
    for (let i = 0; i < scores.length; i++) scores[i] = cosine(this.#out[i]!, queryNorm, this.#out[scores.length + i]!)
  }

  #blockAt(block: number): number {
    return this.#layout.firstBlock + block * this.#layout.blockBytes
  }
}

/** The scores from the best `limit` on, with all that tie with the last. It works in place. */
function best({ rows, scores }: Found, limit: number): Found {
  if (rows.length <= limit) return { rows, scores }
  const worst = nthLargest(scores, limit)
  let kept = 0
  for (let i = 0; i < rows.length; i++) {
    if (!(scores[i]! >= worst)) continue
    rows[kept] = rows[i]!
    scores[kept++] = scores[i]!
  }
  return { rows: rows.slice(0, kept), scores: scores.slice(0, kept) }
}

/** By a heap of the largest so far, with the smallest of them on top. */
function nthLargest(values: Float64Array, n: number): number {
  const heap = values.slice(0, n).toSorted()
  for (let i = n; i < values.length; i++) {
    const value = values[i]!
    if (!(value > heap[0]!)) continue
    let at = 0
    for (let child = 1; child < n; child = 2 * at + 1) {
      if (child + 1 < n && heap[child + 1]! < heap[child]!) child++
      if (heap[child]! >= value) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = value
  }
  return heap[0]!
}

const FIRST_ROOM = 256
/** Room that is kept for the next search. */
const MAX_ROOM = 65_536

/** Rows and a number with each. */
class Growing {
  #rows = new Uint32Array(FIRST_ROOM)
  #numbers = new Float64Array(FIRST_ROOM)
  #length = 0

  add(row: number, value: number): void {
    if (this.#length === this.#rows.length) this.#grow()
    this.#rows[this.#length] = row
    this.#numbers[this.#length++] = value
  }

  /** Those whose number is not below the floor. */
  rows(floor: number): Uint32Array {
    let kept = 0
    const rows = new Uint32Array(this.#length)
    for (let i = 0; i < this.#length; i++) if (!(this.#numbers[i]! < floor)) rows[kept++] = this.#rows[i]!
    return rows.subarray(0, kept)
  }

  clear(): void {
    this.#length = 0
    if (this.#rows.length <= MAX_ROOM) return
    this.#rows = new Uint32Array(FIRST_ROOM)
    this.#numbers = new Float64Array(FIRST_ROOM)
  }

  #grow(): void {
    const rows = new Uint32Array(this.#rows.length * 4)
    rows.set(this.#rows)
    const numbers = new Float64Array(rows.length)
    numbers.set(this.#numbers)
    this.#rows = rows
    this.#numbers = numbers
  }
}
