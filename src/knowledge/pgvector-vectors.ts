/** Embeddings on the wire: the bytes of pgvector's own binary format, which are exact, small and quick to make. */
import type { Distance } from './contract.ts'
import { norm } from './score.ts'

/** Numbers in the format's head of 4 bytes: the dimension, and 0. */
const VECTOR_HEAD = 4
/** Of an array: dimensions, flags, the type of its elements, their number, the first index. */
const ARRAY_HEAD = 20

/** One vector. https://github.com/pgvector/pgvector/blob/master/src/vector.c, `vector_recv` */
export function encodeVector(floats: Float32Array): Buffer {
  const bytes = Buffer.allocUnsafe(VECTOR_HEAD + floats.length * 4)
  writeVector(bytes, 0, floats)
  return bytes
}

/** An array of vectors of one dimension; `oid` is the number of their type. */
export function encodeVectors(vectors: readonly Float32Array[], oid: number): Buffer {
  const size = VECTOR_HEAD + (vectors[0]?.length ?? 0) * 4
  const bytes = Buffer.allocUnsafe(ARRAY_HEAD + vectors.length * (4 + size))
  for (const [i, value] of [1, 0, oid, vectors.length, 1].entries()) bytes.writeUInt32BE(value, i * 4)
  let at = ARRAY_HEAD
  for (const vector of vectors) {
    bytes.writeUInt32BE(size, at)
    writeVector(bytes, at + 4, vector)
    at += 4 + size
  }
  return bytes
}

function writeVector(bytes: Buffer, at: number, floats: Float32Array): void {
  bytes.writeUInt16BE(floats.length, at)
  bytes.writeUInt16BE(0, at + 2)
  for (let i = 0; i < floats.length; i++) bytes.writeFloatBE(floats[i]!, at + VECTOR_HEAD + i * 4)
}

export function decodeVector(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const floats = new Float32Array((bytes.length - VECTOR_HEAD) / 4)
  for (let i = 0; i < floats.length; i++) floats[i] = view.getFloat32(VECTOR_HEAD + i * 4)
  return floats
}

// The server sums in 32-bit floats: squares beyond these lengths leave their range, or vanish.
const LEAST_NORM = 1e-15
const GREATEST_NORM = 1e15

/** Under cosine only the direction counts. So a vector whose length the server cannot square is compared as one of length 1. */
export function comparable(vector: Float32Array, distance: Distance): Float32Array {
  if (distance !== 'cosine') return vector
  const length = norm(vector)
  return length > LEAST_NORM && length < GREATEST_NORM ? vector : vector.map((value) => value / length)
}

/** Products of lengths beyond which the server's sum may be wrong by more than the contract allows: then the store scores. */
export const GREATEST_PRODUCT = 100

/** The contract's score from the server's distance. */
export function scoreOf(distance: Distance, between: number): number {
  if (distance === 'euclidean') return 1 / (1 + between)
  return distance === 'dot' ? -between : Math.max(-1, Math.min(1, 1 - between))
}
