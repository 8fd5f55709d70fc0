/** The documents that all contenders in vectors get: made once, in a file, of which each process reads a batch at a time. */
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { data } from '../vectors.ts'
import { plainScan } from './vectors-plain.ts'

export const LIMIT = 10
export const BATCH = 1_000
/** The value of the metadata field `tenth` that filtered searches ask for; a document has the last digit of its number. */
export const TENTH = 3

export interface Row {
  readonly id: string
  readonly content: string
  /** A unit vector. */
  readonly embedding: Float32Array
  readonly tenth: number
}

/** Goes from process to process as JSON. */
export interface DataSet {
  readonly file: string
  readonly count: number
  readonly dimension: number
  readonly queries: readonly (readonly number[])[]
}

/** The numbers of the right documents of each query, best first. */
export interface Truth {
  readonly all: readonly (readonly number[])[]
  readonly tenth: readonly (readonly number[])[]
}

/** `clusters` 0: every direction is as likely. */
export function makeData(folder: string, count: number, dimension: number, clusters: number): { set: DataSet; truth: Truth } {
  const { matrix, queries } = data(count, dimension, clusters)
  const file = join(folder, `${count}x${dimension}-${clusters}.f32`)
  writeFileSync(file, matrix)
  const truth = {
    all: queries.map((query) => plainScan(matrix, query, LIMIT)),
    tenth: queries.map((query) => plainScan(matrix, query, LIMIT, (i) => i % 10 === TENTH)),
  }
  return { set: { file, count, dimension, queries: queries.map((query) => Array.from(query)) }, truth }
}

/** The documents from number `from` on, `BATCH` of them or what is left. */
export function readBatch({ file, count, dimension }: DataSet, from: number): Row[] {
  const length = Math.min(BATCH, count - from)
  const numbers = new Float32Array(length * dimension)
  const descriptor = openSync(file, 'r')
  readSync(descriptor, numbers, { position: from * dimension * 4 })
  closeSync(descriptor)
  return Array.from({ length }, (_, j) => ({
    id: `d${from + j}`,
    content: `text ${from + j}`,
    embedding: numbers.subarray(j * dimension, (j + 1) * dimension),
    tenth: (from + j) % 10,
  }))
}
