/**
 * Where things are in the memory of a collection. First a slot of working space for each thread that searches, then blocks of rows. A
 * block holds of each row the 8-bit codes, the 32-bit floats, and four figures, which are 64-bit floats: the factor that turns a dot
 * product of codes into a value, a bound of the error that this makes, the value's offset, and the vector's length. They stand together, so
 * that a row among few costs one line of the processor's cache for them.
 *
 * Values are ordered as scores are: cosine similarity, dot product, or 2·q·v − |v|², which is |q|² less the squared distance.
 */
import type { Distance } from './contract.ts'

/** Threads that may search one memory: this one and those of the pool. */
export const MAX_SLOTS = 5
/** Lower bounds that a slot's heap holds; a search for more looks at every row in full. */
export const MAX_HEAP = 8192
const MAX_BLOCK_ROWS = 4096
const BLOCK_CODES = 1 << 20
/** Bytes of a row's figures. */
export const FIGURES = 32
/** What the kernel may write behind a list of rows. */
const LIST_SPARE = 64

export interface Layout {
  readonly dimension: number
  readonly distance: Distance
  /** Bytes of a row's codes, a multiple of 16; what is beyond the dimension is 0. */
  readonly codeStride: number
  readonly floatStride: number
  readonly blockRows: number
  readonly blockBytes: number
  readonly firstBlock: number
  /** Within a block; the codes come first. */
  readonly floats: number
  readonly figures: number
  readonly slotBytes: number
  /** Within a slot; the heap comes first. */
  readonly bitmap: number
  readonly rows: number
  readonly dots: number
  readonly out: number
  readonly queryCodes: number
  readonly queryFloats: number
}

export function layoutOf(dimension: number, distance: Distance): Layout {
  const codeStride = roundUp(dimension, 16)
  const floatStride = roundUp(dimension * 4, 16)
  const blockRows = Math.max(32, Math.min(MAX_BLOCK_ROWS, Math.floor(BLOCK_CODES / codeStride / 32) * 32))
  const [floats, figures, blockBytes] = places([blockRows * codeStride, blockRows * floatStride, blockRows * FIGURES]) as Three
  const [bitmap, rows, dots, out, queryCodes, queryFloats, slotBytes] = places([
    8 + MAX_HEAP * 8,
    blockRows / 8,
    blockRows * 4 + LIST_SPARE,
    blockRows * 4,
    blockRows * 16,
    codeStride * 2,
    floatStride,
  ]) as Seven
  const inBlock = { codeStride, floatStride, blockRows, blockBytes, floats, figures }
  const inSlot = { slotBytes, bitmap, rows, dots, out, queryCodes, queryFloats }
  return { dimension, distance, ...inBlock, ...inSlot, firstBlock: MAX_SLOTS * slotBytes }
}

/** Rows that 32-bit addresses reach, with a tenth to spare for those that wait to be used again. */
export function maxRows({ firstBlock, blockBytes, blockRows }: Layout): number {
  return Math.floor((0.9 * (2 ** 32 - firstBlock)) / blockBytes) * blockRows
}

type Three = [number, number, number]
type Seven = [number, number, number, number, number, number, number]

/** Where each part ends, at multiples of a processor's cache line. */
function places(sizes: readonly number[]): number[] {
  let at = 0
  return sizes.map((size) => (at = roundUp(at + size, 64)))
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}
