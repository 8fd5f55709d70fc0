/** Listing the names in a sorted set, page by page. */
import type { RedisArg, RedisEngine } from '../engines/redis.ts'
import type { BackendCall } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { StateScan } from './contract.ts'
import { SCAN_SCRIPT } from './redis-scripts.ts'

/** Names of a sorted set, in bytewise order; those that `ends` says are over do not count. */
export async function scanNames(
  engine: RedisEngine,
  keys: readonly [index: string, ends: string],
  { prefix, after, limit }: StateScan,
  call: BackendCall | undefined,
): Promise<string[]> {
  // No UTF-8 has the byte 0xff.
  const to = prefix === '' ? '+' : Buffer.concat([Buffer.from(`(${prefix}`), Buffer.of(0xff)])
  let from: RedisArg = after !== undefined && compareBytes(after, prefix) >= 0 ? `(${after}` : prefix === '' ? '-' : `[${prefix}`
  const found: string[] = []
  for (;;) {
    const reply = await engine.read(SCAN_SCRIPT, keys, [from, to, String(limit - found.length)], call)
    const [last, names] = reply as readonly [Buffer, readonly Buffer[]]
    for (const name of names) found.push(name.toString())
    if (last.length === 0) return found
    from = Buffer.concat([Buffer.from('('), last])
  }
}
