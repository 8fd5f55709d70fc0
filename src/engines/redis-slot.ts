/** Which of a cluster's 16,384 slots a key is in. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */

export const SLOTS = 16_384

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

export function slotOf(key: string): number {
  let crc = 0
  for (const byte of Buffer.from(hashed(key))) crc = (TABLE[((crc >> 8) ^ byte) & 0xff]! ^ (crc << 8)) & 0xffff
  return crc % SLOTS
}

/** What is between the first braces, where there is something, otherwise all of it. */
function hashed(key: string): string {
  const from = key.indexOf('{')
  const to = key.indexOf('}', from + 1)
  return from === -1 || to <= from + 1 ? key : key.slice(from + 1, to)
}
