/** Keys are text and nothing else: no path, no pattern, no alias. */
import assert from 'node:assert/strict'
import { compareBytes } from '../../store/text.ts'
import { expectError, expectRefused, inParallel } from '../expect.ts'
import { BAD_IDS, HOSTILE_TEXTS, NEAR_DUPLICATES, NON_STRINGS } from '../hostile.ts'
import { bytes, IN_CHUNKS, longKey, pattern, rawKeys, sameBytes, type StorageCase } from './support.ts'

const fits = (key: string): boolean => Buffer.byteLength(key) <= 256
const KEYS = HOSTILE_TEXTS.filter(fits)

export const keyCases: readonly StorageCase[] = [
  {
    id: 'plugin-storage/keys/lengths',
    sentence: 'A key is 1–256 bytes of UTF-8.',
    async run({ storage: open }) {
      const storage = open()
      for (const key of [longKey(256), longKey(256, 'é'), 'x']) {
        await storage.set(key, bytes(key))
        sameBytes(await storage.get(key), bytes(key))
        assert.equal(await storage.expire(key, 600), true)
      }
      assert.equal((await storage.keys()).length, 3)
      await expectError('INVALID_ARGUMENT', () => storage.set(longKey(257), bytes('x')))
      await expectError('INVALID_ARGUMENT', () => storage.get(`${longKey(255)}é`))
    },
  },
  {
    id: 'plugin-storage/keys/refused',
    sentence: 'A key that is empty, too long, ill-formed or no string is refused by every method.',
    async run({ storage: open }) {
      const storage = open()
      const calls = [
        (key: string) => storage.get(key),
        (key: string) => storage.set(key, bytes('x')),
        (key: string) => storage.delete(key),
        (key: string) => storage.exist(key),
        (key: string) => storage.setIfAbsent(key, bytes('x')),
        (key: string) => storage.increment(key),
        (key: string) => storage.ttl(key),
        (key: string) => storage.expire(key, 5),
        (key: string) => storage.getMany([key]),
        (key: string) => storage.setMany([[key, bytes('x')]]),
        async (key: string) => storage.createReadStream(key),
        async (key: string) => storage.createWriteStream(key),
      ]
      for (const call of calls) {
        for (const [, key] of BAD_IDS) await expectError('INVALID_ARGUMENT', () => call(key))
        for (const key of NON_STRINGS) await expectRefused(() => call(key as string))
      }
      assert.deepEqual(await storage.keys(), [])
    },
  },
  {
    id: 'plugin-storage/keys/hostile',
    sentence: 'Any text is a key, and each is its own: paths, patterns, statements, look-alikes.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      const value = (key: string): Uint8Array => pattern(20 + (KEYS.indexOf(key) % 100), KEYS.indexOf(key))
      await inParallel(KEYS, 16, (key) => storage.set(key, value(key)))
      assert.deepEqual(await storage.keys(), KEYS.toSorted(compareBytes))
      await inParallel(KEYS, 16, async (key) => sameBytes(await storage.get(key), value(key), JSON.stringify(key)))
      const [gone, kept] = [KEYS.filter((_, i) => i % 2 === 0), KEYS.filter((_, i) => i % 2 === 1)]
      await inParallel(gone, 16, async (key) => assert.equal(await storage.delete(key), true, JSON.stringify(key)))
      assert.deepEqual(await storage.keys(), kept.toSorted(compareBytes))
      await inParallel(kept, 16, async (key) => sameBytes(await storage.get(key), value(key), JSON.stringify(key)))
      assert.equal(
        (await storage.usage()).usedBytes,
        kept.reduce((sum, key) => sum + value(key).length, 0),
      )
    },
  },
  {
    id: 'plugin-storage/keys/no-paths',
    sentence:
      '`a` and `a/b` coexist; `.`, `/`, `./a`, `x/../a` and `user..x` are keys like others; deleting one removes that one.',
    async run({ storage: open }) {
      const storage = open()
      const keys = ['a', 'a/b', 'a/b/c', './a', 'x/../a', '.', '/', '..', '../a', 'a/', '//', 'user..x', 'a\\b', '~', 'A']
      for (const key of keys) await storage.setText(key, `value of ${key}`)
      for (const removed of ['.', '/', 'a', '..']) {
        assert.equal(await storage.delete(removed), true)
        keys.splice(keys.indexOf(removed), 1)
        assert.deepEqual(await storage.keys(), keys.toSorted(compareBytes), `after deleting ${removed}`)
        for (const key of keys) assert.equal(await storage.getText(key), `value of ${key}`)
      }
    },
  },
  {
    id: 'plugin-storage/keys/near-duplicates',
    sentence: 'Keys that differ in case, spaces, normalisation or a far byte are different.',
    async run({ storage: open }) {
      const storage = open()
      const pairs = NEAR_DUPLICATES.filter((pair) => pair.every(fits))
      for (const [one, two] of pairs) {
        await storage.set(one, bytes('one'))
        assert.equal(await storage.exist(two), false, `${JSON.stringify(two)} is taken for ${JSON.stringify(one)}`)
        await storage.delete(one)
      }
    },
  },
  {
    id: 'plugin-storage/keys/own-layout',
    sentence: 'No key reaches what the storage keeps for itself: counters, pieces, expiries.',
    async run({ storage: open, store }) {
      const storage = open(IN_CHUNKS)
      await storage.set('large', pattern(500, 1))
      await storage.set('lease', bytes('x'), { ttl: 600 })
      const own = await rawKeys(store)
      assert.ok(own.length > 8, 'pieces, counter and expiry were expected')
      for (const key of own) assert.equal(await storage.get(key), undefined, `${key} is seen`)
      for (const key of own) await storage.set(key, bytes('mine'))
      sameBytes(await storage.get('large'), pattern(500, 1))
      assert.equal((await storage.usage()).usedBytes, 501 + 4 * own.length)
      for (const key of own) assert.equal(await storage.delete(key), true)
      sameBytes(await storage.get('large'), pattern(500, 1))
      assert.equal((await storage.usage()).usedBytes, 501)
    },
  },
  {
    id: 'plugin-storage/keys/prefix',
    sentence: '`keys({ prefix })` lists exactly the keys that begin so, in bytewise order; a prefix is no pattern.',
    async run({ storage: open }) {
      const storage = open()
      const keys = ['a', 'a%', 'a%b', 'a*', 'a/b', 'a_c', 'abc', 'A', 'é', '😀', '\uFFFF']
      await storage.setMany(keys.map((key) => [key, bytes('x')] as const))
      for (const prefix of ['', 'a', 'a%', 'a_', 'a*', '*', 'é', 'none', 'a/']) {
        const expected = keys.filter((key) => key.startsWith(prefix)).toSorted(compareBytes)
        assert.deepEqual(await storage.keys({ prefix }), expected, prefix)
      }
      await expectError('INVALID_ARGUMENT', () => storage.keys({ prefix: longKey(257) }))
    },
  },
  {
    id: 'plugin-storage/keys/pages',
    sentence: 'Listings go over any number of keys.',
    async run({ storage: open }) {
      const storage = open()
      const keys = Array.from({ length: 1_100 }, (_, i) => `k${String(i).padStart(5, '0')}`)
      await storage.setMany(keys.map((key) => [key, bytes('')] as const))
      assert.deepEqual(await storage.keys(), keys)
      assert.deepEqual(await Array.fromAsync(storage.scanPrefix('k00')), keys.slice(0, 1_000))
    },
  },
]
