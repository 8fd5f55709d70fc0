/** Values that end by themselves. */
import assert from 'node:assert/strict'
import type { PluginStorage } from '../../plugin-storage/storage.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectError, expectTypeError } from '../expect.ts'
import { assertCounted, bytes, IN_CHUNKS, pattern, rawKeys, sameBytes, untilGone, type StorageCase } from './support.ts'

const SHORT = 0.05

export const lifetimeCases: readonly StorageCase[] = [
  {
    id: 'plugin-storage/ttl/gone',
    sentence: 'When its time has come, a key is gone for every method at once.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      await storage.set('stays', bytes('x'))
      await storage.set('k', bytes('x'), { ttl: SHORT })
      await storage.set('large', pattern(300, 1), { ttl: SHORT })
      assert.ok((await storage.ttl('k')) !== null)
      await untilGone(storage, 'large')
      await untilGone(storage, 'k')
      for (const key of ['k', 'large']) {
        assert.equal(await storage.get(key), undefined)
        assert.equal(await storage.ttl(key), undefined)
        assert.equal(await storage.expire(key, 60), false)
        assert.equal(await storage.persist(key), false)
        assert.deepEqual(await storage.getMany([key]), [undefined])
        await expectError('NOT_FOUND', () => storage.createReadStream(key).toArray())
      }
      assert.deepEqual(await storage.keys(), ['stays'])
      assert.equal(await storage.delete('k'), false)
      assert.equal(await storage.setIfAbsent('large', bytes('new')), true)
      assert.equal(await storage.increment('k'), 1)
      assert.equal(await storage.ttl('k'), null)
      await assertCounted(storage)
    },
  },
  {
    id: 'plugin-storage/ttl/kept-and-cleared',
    sentence: '`set` clears a TTL, `increment` keeps it; `expire` sets one, `persist` removes it, and the value stays.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      await storage.setText('n', '1', { ttl: 600 })
      await storage.increment('n')
      assert.ok((await storage.ttl('n'))! > 500)
      await storage.setText('n', '1')
      assert.equal(await storage.ttl('n'), null)
      for (const value of [bytes('small'), pattern(300, 1)]) {
        await storage.set('k', value)
        assert.equal(await storage.expire('k', 600), true)
        assert.ok((await storage.ttl('k'))! > 500)
        sameBytes(await storage.get('k'), value)
        assert.equal(await storage.persist('k'), true)
        assert.equal(await storage.persist('k'), false)
        assert.equal(await storage.ttl('k'), null)
        sameBytes(await storage.get('k'), value)
      }
      await assertCounted(storage)
    },
  },
  {
    id: 'plugin-storage/ttl/overtaken',
    sentence: 'A key that is written anew outlives the end of its old TTL, and is listed.',
    async run({ storage: open }) {
      const storage = open({ quotaBytes: 10 })
      await storage.set('k', bytes('old'), { ttl: SHORT })
      await storage.set('longer', bytes('old'), { ttl: SHORT })
      await storage.set('k', bytes('new'))
      await storage.expire('longer', 600)
      await sleep(SHORT * 1_000 + 30)
      await expectError('QUOTA_EXCEEDED', () => storage.set('x', pattern(10, 1)))
      assert.deepEqual(await storage.keys(), ['k', 'longer'])
      sameBytes(await storage.get('k'), bytes('new'))
      assert.equal((await storage.usage()).usedBytes, 6)
    },
  },
  {
    id: 'plugin-storage/ttl/counts-until-swept',
    sentence: 'Expired values count until they are swept, and a write that the quota would refuse sweeps.',
    async run({ storage: open, store }) {
      const storage = open({ ...IN_CHUNKS, quotaBytes: 1_000 })
      await storage.set('a', pattern(400, 1), { ttl: SHORT })
      await storage.set('b', pattern(400, 2), { ttl: SHORT })
      await untilGone(storage, 'b')
      assert.equal((await storage.usage()).usedBytes, 800)
      await storage.set('c', pattern(900, 3))
      assert.deepEqual(await storage.usage(), { usedBytes: 900, quotaBytes: 1_000 })
      await assertCounted(storage)
      await storage.delete('c')
      assert.deepEqual(
        (await rawKeys(store)).filter((key) => key.includes(':')),
        [],
        'something is left of swept values',
      )
    },
  },
  {
    id: 'plugin-storage/ttl/sweeps-a-hundred',
    sentence: 'A refusal sweeps at most 100 values.',
    async run({ storage: open }) {
      const entries = Array.from({ length: 150 }, (_, i) => [`k${i}`, bytes('x')] as const)
      /** In a scope of its own, which no earlier attempt has left anything in. */
      const writtenWithin = async (ttl: number): Promise<PluginStorage | undefined> => {
        const storage = open({ quotaBytes: 150, pluginId: `acme/ttl-${ttl * 1_000}` })
        const since = performance.now()
        await storage.setMany(entries, { ttl })
        return performance.now() - since < ttl * 1_000 ? storage : undefined
      }
      // On a slow engine the first would end before the last is written, and be swept by it.
      let ttl = 0.5
      let storage: PluginStorage | undefined
      while ((storage = await writtenWithin(ttl)) === undefined) ttl *= 4
      while ((await storage.keys()).length > 0) await sleep(20)
      await expectError('QUOTA_EXCEEDED', () => storage.set('large', pattern(149, 1)))
      assert.equal((await storage.usage()).usedBytes, 50)
      await storage.set('large', pattern(149, 1))
      assert.equal((await storage.usage()).usedBytes, 149)
    },
  },
  {
    id: 'plugin-storage/ttl/never-piles-up',
    sentence: 'Values that end do not pile up where no quota ever refuses.',
    async run({ storage: open, store }) {
      const storage = open()
      for (let i = 0; i < 6; i++) {
        const entries = Array.from({ length: 100 }, (_, n) => [`mark ${i} ${n}`, bytes('x')] as const)
        await storage.setMany(entries, { ttl: 0.01 })
        await sleep(20)
      }
      assert.ok((await rawKeys(store)).length < 2 * 450, 'what has expired is kept')
      assert.ok((await storage.usage()).usedBytes < 450)
    },
  },
  {
    id: 'plugin-storage/ttl/invalid',
    sentence: 'A TTL is a finite number of seconds greater than 0.',
    async run({ storage: open }) {
      const storage = open()
      await storage.set('k', bytes('old'))
      for (const ttl of [0, -1, Number.NaN, Infinity]) {
        await expectError('INVALID_ARGUMENT', () => storage.set('k', bytes('new'), { ttl }))
        await expectError('INVALID_ARGUMENT', () => storage.setMany({ k: bytes('new') }, { ttl }))
        await expectError('INVALID_ARGUMENT', () => storage.expire('k', ttl))
      }
      await expectTypeError(() => storage.set('k', bytes('new'), { ttl: '5' as unknown as number }))
      sameBytes(await storage.get('k'), bytes('old'))
      assert.equal(await storage.ttl('k'), null)
    },
  },
]
