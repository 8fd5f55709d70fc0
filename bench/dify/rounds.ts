/** The same plugin in TypeScript as `test/dify/tools/rounds.py`. */
import { definePlugin, type SessionStorage } from '../../src/plugin/index.ts'

export const rounds = definePlugin({
  manifest: { author: 'acme', name: 'rounds', version: '0.0.1' },
  tools: { rounds: ({ storage }, { rounds: count, key }) => measure(storage, Number(count), key as string) },
})

/** Seconds for so many values of 1 KB, one after another. */
export async function measure(
  storage: Pick<SessionStorage, 'set' | 'get'>,
  count: number,
  key: string,
): Promise<{ set: number; get: number }> {
  const began = performance.now()
  for (let i = 0; i < count; i++) await storage.set(key, value(i))
  const middle = performance.now()
  for (let i = 0; i < count; i++) await storage.get(key)
  return { set: (middle - began) / 1_000, get: (performance.now() - middle) / 1_000 }
}

/** Each differs: SQLite does not even write a row that stays the same. */
function value(n: number): Uint8Array {
  const bytes = new Uint8Array(1_024).fill(n % 256)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}
