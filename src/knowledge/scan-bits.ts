/** Sets of rows as bits, 32 a word. */

/** The rows whose bit is set, ascending. */
export function setBits(bitmap: Uint32Array): number[] {
  const rows: number[] = []
  for (let word = 0; word < bitmap.length; word++) {
    for (let bits = bitmap[word]!; bits !== 0; bits &= bits - 1) rows.push(word * 32 + 31 - Math.clz32(bits & -bits))
  }
  return rows
}

/** A copy that other threads see without copying it again. */
export function sharedBits(bits: Uint32Array): Uint32Array {
  const shared = new Uint32Array(new SharedArrayBuffer(bits.byteLength))
  shared.set(bits)
  return shared
}

/** Bits that are set. */
export function countBits(bitmap: Uint32Array): number {
  let total = 0
  for (let bits of bitmap) {
    bits -= (bits >>> 1) & 0x55_55_55_55
    bits = (bits & 0x33_33_33_33) + ((bits >>> 2) & 0x33_33_33_33)
    total += Math.imul((bits + (bits >>> 4)) & 0x0f_0f_0f_0f, 0x01_01_01_01) >>> 24
  }
  return total
}
