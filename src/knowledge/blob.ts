/** Embeddings as bytes: 32-bit floats, the least significant byte first. */

/** Whether this machine keeps the least significant byte last. */
export const IS_BIG_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0

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
