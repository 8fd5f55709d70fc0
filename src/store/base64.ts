/** Bytes as base64 text, on Node and in browsers. */

const PIECE = 0x8000

export function toBase64({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  let binary = ''
  // A call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += PIECE) binary += String.fromCharCode(...bytes.subarray(at, at + PIECE))
  return btoa(binary)
}

export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  if (typeof Buffer !== 'undefined') return new Uint8Array(Buffer.from(base64, 'base64'))
  return Uint8Array.from(atob(base64), (unit) => unit.charCodeAt(0))
}
