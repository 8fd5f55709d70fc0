import { join } from 'node:path'
import { STATE_STORES } from '../../../src/index.ts'
import { kilobyte, times, type Group } from '../hot-paths.ts'

const KEYS = 500

export async function open(folder: string): Promise<Group> {
  const store = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
  const key = (i: number): string => `key-${String((i * 7_919) % KEYS).padStart(4, '0')}`
  await store.setMany(new Map(times(KEYS, (i) => [key(i), { text: kilobyte(i) }])))
  let counted: number | undefined
  return {
    paths: [
      { name: 'get', run: (i) => store.get(key(i)) },
      { name: 'set', run: (i) => store.set(key(i), { text: kilobyte(i) }) },
      { name: 'set with a TTL', run: (i) => store.set(key(i), { text: kilobyte(i) }, { ttl: 3_600 }) },
      { name: 'increment', run: () => store.increment('counter') },
      { name: 'compare and set', run: (i) => store.compareAndSet('counted', counted, (counted = i)) },
      { name: '100 sets at once', calls: 10, run: (i) => Promise.all(times(100, (n) => store.set(key(n), kilobyte(i + n)))) },
      { name: 'get 100', calls: 10, run: () => store.getMany(times(100, key)) },
      { name: 'scan 100 keys', calls: 10, run: () => store.scan({ prefix: 'key-', limit: 100 }) },
    ],
    [Symbol.asyncDispose]: () => store.close(),
  }
}
