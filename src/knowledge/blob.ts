/** Embeddings as bytes: 32-bit floats, the least significant byte first. */
import { endianness } from 'node:os'

const IS_BIG_ENDIAN = endianness() === 'BE'

/** A view of the floats' memory where the machine is little-endian, so it is to be written before they change. */
export function toBlob(floats: Float32Array): Uint8Array {
  const bytes = Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength)
  return IS_BIG_ENDIAN ? Buffer.from(bytes).swap32() : bytes
}

/** A copy. */
export function fromBlob(blob: Uint8Array): Float32Array {
  // A new buffer, because a view of floats must begin at a multiple of four.
  const bytes = new Uint8Array(blob)
  if (IS_BIG_ENDIAN) Buffer.from(bytes.buffer).swap32()
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4))
}
