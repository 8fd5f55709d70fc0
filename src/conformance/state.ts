/** What a state store must do: DESIGN.md's sentences and the contract's promises, each as a case. */
import type { StateStore } from '../state/store.ts'
import type { ConformanceCase } from './case.ts'
import { commonCases, type Call, type CommonSubject } from './common.ts'
import { collect } from './expect.ts'
import { additionCases } from './state/additions.ts'
import { byteCases } from './state/bytes.ts'
import { commitCases } from './state/commits.ts'
import { countingCases } from './state/counting.ts'
import { entryCases } from './state/entries.ts'
import { hashCases } from './state/hashes.ts'
import { keyCases } from './state/keys.ts'
import { lastingCases } from './state/lasting.ts'
import { listingCases } from './state/listing.ts'
import { manyCases } from './state/many.ts'
import { ttlCases } from './state/ttl.ts'
import { valueCases } from './state/values.ts'

const reads: Readonly<Record<string, Call<StateStore>>> = {
  get: (store, options) => store.get('text', options),
  getBytes: (store, options) => store.getBytes('bytes', options),
  exists: (store, options) => store.exists('text', options),
  keys: (store, options) => store.keys('*', options),
  scan: (store, options) => store.scan({ limit: 2, ...options }),
  scanPrefix: (store, options) => collect(store.scanPrefix('', options)),
  // The time left is never the same twice.
  ttl: async (store, options) => typeof (await store.ttl('lease', options)),
  getMany: (store, options) => store.getMany(['text', 'none'], options),
  hget: (store, options) => store.hget('hash', 'a', options),
  hgetall: (store, options) => store.hgetall('hash', options),
}

const writes: Readonly<Record<string, Call<StateStore>>> = {
  set: (store, options) => store.set('text', 'changed', { ...options }),
  setBytes: (store, options) => store.setBytes('bytes', Uint8Array.of(1), { ...options }),
  delete: (store, options) => store.delete('text', options),
  expire: (store, options) => store.expire('number', 600, options),
  persist: (store, options) => store.persist('lease', options),
  setMany: (store, options) => store.setMany({ new: 1, number: 2 }, { ...options }),
  deleteMany: (store, options) => store.deleteMany(['bytes', 'none'], options),
  setIfAbsent: (store, options) => store.setIfAbsent('absent', 1, options),
  compareAndSet: (store, options) => store.compareAndSet('number', 2, 3, options),
  increment: (store, options) => store.increment('number', 1, options),
  hset: (store, options) => store.hset('hash', 'b', 2, options),
  hsetMany: (store, options) => store.hset('hash', { c: 3 }, options),
  hdel: (store, options) => store.hdel('hash', ['a'], options),
  clear: (store, options) => store.clear(options),
}

const subject: CommonSubject<StateStore> = {
  kind: 'state',
  async seed(store) {
    await store.setMany({ text: '123', number: 1 })
    await store.setBytes('bytes', Uint8Array.of(0, 0xff))
    await store.hset('hash', 'a', 1)
    await store.set('lease', true, { ttl: 600 })
  },
  async snapshot(store) {
    const keys = await store.keys()
    return Promise.all(keys.map(async (key) => [key, [...(await store.getBytes(key))!], typeof (await store.ttl(key))]))
  },
  reads: () => reads,
  writes: () => writes,
}

export const stateCases: ConformanceCase<StateStore>[] = [
  ...commonCases(subject),
  ...valueCases,
  ...byteCases,
  ...keyCases,
  ...listingCases,
  ...ttlCases,
  ...manyCases,
  ...countingCases,
  ...hashCases,
  ...lastingCases,
  ...entryCases,
  ...commitCases,
  ...additionCases,
]
