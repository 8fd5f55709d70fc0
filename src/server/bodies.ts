/** Bodies that are values, and the headers that go with them. */
import { limited } from './limits.ts'
import { bad } from './request.ts'

/** The whole body in memory, up to so many bytes. */
export async function bytesOf(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Uint8Array> {
  return body === null ? new Uint8Array() : Buffer.concat(await Array.fromAsync(limited(body, maxBytes)))
}

/** Seconds until the value is gone; undefined where it stays. */
export function ttlOf(headers: Headers): number | undefined {
  const given = headers.get('holdfast-ttl')
  if (given === null) return undefined
  if (!/^\d{1,10}(\.\d{1,9})?$/.test(given) || Number(given) === 0) throw bad('holdfast-ttl must be a number of seconds above 0')
  return Number(given)
}
