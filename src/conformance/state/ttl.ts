/** Keys with a time to live: while they are there, and once they are gone. */
import assert from 'node:assert/strict'
import type { StateStore } from '../../state/store.ts'
import { collect, expectError, expectTypeError } from '../expect.ts'
import { LONG_TTL, SHORT_TTL, expiry, fill, sameBytes, sameTtl, scanAll, type StateCase } from './support.ts'

const MONTH = 30 * 24 * 3600

export const ttlCases: readonly StateCase[] = [
  {
    id: 'state/ttl/value',
    sentence: '`ttl` is the seconds left, `null` for a key without a TTL, `undefined` for a missing one.',
    async run({ store }) {
      const since = performance.now()
      await store.set('k', 'v', { ttl: 100 })
      await store.set('plain', 'v')
      sameTtl(await store.ttl('k'), 100, since)
      assert.equal(await store.ttl('plain'), null)
      assert.equal(await store.ttl('none'), undefined)
    },
  },
  {
    id: 'state/ttl/until-then',
    sentence: 'Until its time a key with a TTL is like any other.',
    async run({ store }) {
      await store.set('k', { a: '1' }, { ttl: LONG_TTL })
      await store.setBytes('bytes', Uint8Array.of(0, 255), { ttl: LONG_TTL })
      assert.deepEqual(await store.get('k'), { a: '1' })
      sameBytes(await store.getBytes('bytes'), Uint8Array.of(0, 255))
      assert.deepEqual(await store.getMany(['k']), [{ a: '1' }])
      assert.deepEqual(await store.keys(), ['bytes', 'k'])
      assert.equal(await store.exists('k'), true)
      assert.equal(await store.setIfAbsent('k', 1), false)
      assert.equal(await store.delete('k'), true)
    },
  },
  {
    id: 'state/ttl/fraction',
    sentence: 'Fractions of a second count.',
    async run({ store }) {
      const since = performance.now()
      await store.set('k', 1, { ttl: 10.75 })
      sameTtl(await store.ttl('k'), 10.75, since)
      await store.expire('k', 20.25)
      sameTtl(await store.ttl('k'), 20.25, since)
    },
  },
  {
    id: 'state/ttl/long',
    sentence: 'A TTL may be longer than a timer can be set for.',
    async run({ store }) {
      const since = performance.now()
      await store.set('k', 1, { ttl: MONTH })
      await store.set('century', 1, { ttl: 1_200 * MONTH })
      await expiry(store)
      assert.deepEqual(await store.keys(), ['century', 'k'])
      sameTtl(await store.ttl('k'), MONTH, since)
      sameTtl(await store.ttl('century'), 1_200 * MONTH, since)
    },
  },
  {
    id: 'state/ttl/set-clears',
    sentence: '`set`, `setBytes` and `setMany` without a TTL clear an earlier one.',
    async run({ store }) {
      await store.setMany({ set: 1, bytes: 1, many: 1 }, { ttl: LONG_TTL })
      await store.set('set', 1)
      await store.setBytes('bytes', Uint8Array.of(1))
      await store.setMany({ many: 1 })
      assert.equal(await store.ttl('set'), null)
      assert.equal(await store.ttl('bytes'), null)
      assert.equal(await store.ttl('many'), null)
    },
  },
  {
    id: 'state/ttl/set-replaces',
    sentence: '`set` with a TTL replaces an earlier one; `setMany` gives each of its keys the TTL.',
    async run({ store }) {
      await store.set('a', 1, { ttl: 50 })
      const since = performance.now()
      await store.set('a', 1, { ttl: LONG_TTL })
      await store.setMany({ b: 2, c: 3 }, { ttl: LONG_TTL })
      for (const key of ['a', 'b', 'c']) sameTtl(await store.ttl(key), LONG_TTL, since)
    },
  },
  {
    id: 'state/ttl/kept',
    sentence: '`increment`, `hset` and `hdel` keep the TTL.',
    async run({ store }) {
      const since = performance.now()
      await store.set('n', 1, { ttl: LONG_TTL })
      await store.set('hash', { a: 1 }, { ttl: LONG_TTL })
      await store.increment('n')
      await store.hset('hash', 'b', 2)
      sameTtl(await store.ttl('hash'), LONG_TTL, since)
      await store.hdel('hash', 'a')
      sameTtl(await store.ttl('n'), LONG_TTL, since)
      sameTtl(await store.ttl('hash'), LONG_TTL, since)
    },
  },
  {
    id: 'state/ttl/conditional',
    sentence: '`setIfAbsent` and `compareAndSet` give the key the TTL named, or none; where they write nothing it stays.',
    async run({ store }) {
      const since = performance.now()
      await store.setIfAbsent('k', 1, { ttl: 50 })
      await store.setIfAbsent('k', 2, { ttl: LONG_TTL })
      await store.compareAndSet('k', 2, 3)
      sameTtl(await store.ttl('k'), 50, since)
      await store.compareAndSet('k', 1, 2, { ttl: LONG_TTL })
      sameTtl(await store.ttl('k'), LONG_TTL, since)
      await store.compareAndSet('k', 2, 3)
      assert.equal(await store.ttl('k'), null)
      await store.compareAndSet('new', undefined, 1, { ttl: LONG_TTL })
      sameTtl(await store.ttl('new'), LONG_TTL, since)
      await expectError('INVALID_ARGUMENT', () => store.setIfAbsent('other', 1, { ttl: 0 }))
      await expectError('INVALID_ARGUMENT', () => store.compareAndSet('k', 3, 1, { ttl: -1 }))
    },
  },
  {
    id: 'state/ttl/expire',
    sentence: '`expire` sets the TTL of a present key, replaces an earlier one, and is `false` for a missing key.',
    async run({ store }) {
      await store.set('k', 1)
      await store.set('t', 1, { ttl: 50 })
      const since = performance.now()
      assert.equal(await store.expire('k', LONG_TTL), true)
      assert.equal(await store.expire('t', LONG_TTL), true)
      assert.equal(await store.expire('none', LONG_TTL), false)
      sameTtl(await store.ttl('k'), LONG_TTL, since)
      sameTtl(await store.ttl('t'), LONG_TTL, since)
      assert.deepEqual(await store.keys(), ['k', 't'])
    },
  },
  {
    id: 'state/ttl/persist',
    sentence: '`persist` removes a TTL, and is `false` where there is none to remove.',
    async run({ store }) {
      await store.set('k', 1, { ttl: SHORT_TTL * 20 })
      await store.set('plain', 1)
      assert.equal(await store.persist('k'), true)
      assert.equal(await store.persist('plain'), false)
      assert.equal(await store.persist('none'), false)
      assert.equal(await store.ttl('k'), null)
      assert.deepEqual(await store.keys(), ['k', 'plain'])
    },
  },
  {
    id: 'state/ttl/value-kept',
    sentence: '`expire` and `persist` leave the value alone, JSON or bytes.',
    async run({ store }) {
      await store.set('json', '123')
      await store.setBytes('bytes', Uint8Array.of(0xff, 0, 0x7f))
      for (const key of ['json', 'bytes']) {
        await store.expire(key, LONG_TTL)
        await store.persist(key)
      }
      assert.equal(await store.get('json'), '123')
      sameBytes(await store.getBytes('bytes'), Uint8Array.of(0xff, 0, 0x7f))
    },
  },
  {
    id: 'state/ttl/no-lost-write',
    sentence: '`expire` never undoes a `set` that runs beside it.',
    async run({ store }) {
      await store.set('k', 'old')
      await Promise.all([store.expire('k', LONG_TTL), store.set('k', 'new'), store.expire('k', LONG_TTL)])
      assert.equal(await store.get('k'), 'new')
    },
  },
  {
    id: 'state/ttl/invalid',
    sentence: 'A TTL is a finite number greater than 0; anything else is refused and changes nothing.',
    async run({ store }) {
      await store.set('k', 'old')
      for (const ttl of [0, -1, -0.5, NaN, Infinity]) {
        await expectError('INVALID_ARGUMENT', () => store.set('k', 'new', { ttl }))
        await expectError('INVALID_ARGUMENT', () => store.setBytes('k', Uint8Array.of(1), { ttl }))
        await expectError('INVALID_ARGUMENT', () => store.setMany({ k: 'new' }, { ttl }))
        await expectError('INVALID_ARGUMENT', () => store.expire('k', ttl))
      }
      for (const ttl of ['10', new Date(), null]) {
        await expectTypeError(() => store.set('k', 'new', { ttl: ttl as never }))
        await expectTypeError(() => store.expire('k', ttl as never))
      }
      assert.equal(await store.get('k'), 'old')
      assert.equal(await store.ttl('k'), null)
    },
  },
  {
    id: 'state/expired/reads',
    sentence: 'An expired key is gone for every reading method at once.',
    async run({ store }) {
      await store.set('k', { field: 1 }, { ttl: SHORT_TTL })
      await store.set('stays', 1)
      await expiry(store)
      assert.equal(await store.get('k'), undefined)
      assert.equal(await store.getBytes('k'), undefined)
      assert.deepEqual(await store.getMany(['k', 'stays']), [undefined, 1])
      assert.equal(await store.exists('k'), false)
      assert.equal(await store.ttl('k'), undefined)
      assert.equal(await store.hget('k', 'field'), undefined)
      assert.deepEqual(await store.hgetall('k'), {})
    },
  },
  {
    id: 'state/expired/listings',
    sentence: 'An expired key is in no listing, and takes no place on a page.',
    async run({ store }) {
      await store.setMany({ a1: 1, a2: 1, a3: 1 }, { ttl: SHORT_TTL })
      await fill(store, ['a0', 'a4'])
      await expiry(store)
      assert.deepEqual(await store.keys(), ['a0', 'a4'])
      assert.deepEqual(await store.keys('a?'), ['a0', 'a4'])
      assert.deepEqual(await collect(store.scanPrefix('a')), ['a0', 'a4'])
      assert.deepEqual((await store.scan({ limit: 2 })).items, ['a0', 'a4'])
      assert.deepEqual(await scanAll(store, 'a', 1), ['a0', 'a4'])
    },
  },
  {
    id: 'state/expired/not-removed-again',
    sentence: 'An expired key cannot be deleted, cleared, expired or persisted once more.',
    async run({ store }) {
      await store.setMany({ a: 1, b: 1, c: 1, d: 1, e: 1 }, { ttl: SHORT_TTL })
      await store.set('stays', 1)
      await expiry(store)
      assert.equal(await store.delete('a'), false)
      assert.equal(await store.deleteMany(['b', 'none']), 0)
      assert.equal(await store.expire('c', LONG_TTL), false)
      assert.equal(await store.persist('d'), false)
      assert.equal(await store.hdel('e', 'field'), 0)
      assert.equal(await store.exists('c'), false)
      assert.equal(await store.clear(), 1)
    },
  },
  {
    id: 'state/expired/writes',
    sentence: 'For a write an expired key is absent: it begins anew, without the old value and the old TTL.',
    async run({ store }) {
      await expiredKeys(store, ['ifAbsent', 'absent', 'expected', 'number', 'hash', 'set'])
      assert.equal(await store.setIfAbsent('ifAbsent', 'new'), true)
      assert.equal(await store.compareAndSet('absent', undefined, 'new'), true)
      assert.equal(await store.compareAndSet('expected', 7, 'new'), false)
      assert.equal(await store.increment('number'), 1)
      await store.hset('hash', 'b', 2)
      await store.set('set', 'new')
      assert.deepEqual(await store.hgetall('hash'), { b: 2 })
      for (const key of ['ifAbsent', 'absent', 'number', 'hash', 'set']) assert.equal(await store.ttl(key), null)
      assert.deepEqual(await store.keys(), ['absent', 'hash', 'ifAbsent', 'number', 'set'])
    },
  },
]

/** Keys that held 7 until their TTL ran out. */
async function expiredKeys(store: StateStore, keys: readonly string[]): Promise<void> {
  await store.setMany(new Map(keys.map((key) => [key, 7])), { ttl: SHORT_TTL })
  await expiry(store)
}
