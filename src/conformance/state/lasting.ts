/** What outlives a handle, and what others see of it. */
import assert from 'node:assert/strict'
import { expectError } from '../expect.ts'
import { HOSTILE_TEXTS } from '../hostile.ts'
import { LONG_TTL, SHORT_TTL, expiry, sameBytes, sameTtl, type StateCase } from './support.ts'

export const lastingCases: readonly StateCase[] = [
  {
    id: 'state/reopen/keeps',
    sentence: 'What was written is there after reopening: values, bytes, hashes, counters, hostile keys, deletions.',
    reopens: true,
    async run({ store, reopen }) {
      const keys = HOSTILE_TEXTS.slice(0, 40)
      await store.setMany(new Map(keys.map((key, i) => [key, String(i)])))
      await store.setBytes('bytes', Uint8Array.of(0, 0xff))
      await store.hset('hash', '__proto__', null)
      await store.increment('number', 3)
      await store.set('gone', 1)
      await store.delete('gone')
      const opened = await reopen()
      assert.deepEqual(
        await opened.getMany(keys),
        keys.map((_, i) => String(i)),
      )
      sameBytes(await opened.getBytes('bytes'), Uint8Array.of(0, 0xff))
      assert.equal(await opened.hget('hash', '__proto__'), null)
      assert.equal(await opened.increment('number'), 4)
      assert.equal((await opened.keys()).length, keys.length + 3)
    },
  },
  {
    id: 'state/reopen/ttl',
    sentence: 'A TTL goes on while nobody has the data open.',
    reopens: true,
    async run({ store, reopen }) {
      const since = performance.now()
      await store.set('long', 1, { ttl: LONG_TTL })
      await store.set('short', 1, { ttl: SHORT_TTL })
      const opened = await reopen()
      await expiry(opened)
      assert.deepEqual(await opened.keys(), ['long'])
      assert.equal(await opened.get('short'), undefined)
      sameTtl(await opened.ttl('long'), LONG_TTL, since)
    },
  },
  {
    id: 'state/reopen/after-refusals',
    sentence: 'A refused write harms nothing that was there, also after reopening.',
    reopens: true,
    async run({ store, reopen }) {
      await store.setMany({ a: 1, b: 'two' })
      await expectError('INVALID_ARGUMENT', () => store.set('a', { deep: [1n] }))
      await expectError('INVALID_ARGUMENT', () => store.setMany({ b: 3, c: Number.NaN }))
      const opened = await reopen()
      assert.deepEqual(await opened.keys(), ['a', 'b'])
      assert.deepEqual(await opened.getMany(['a', 'b']), [1, 'two'])
    },
  },
  {
    id: 'state/handles/at-once',
    sentence: 'What one handle has written another sees at once.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      assert.equal(await other.get('k'), undefined)
      await store.set('k', 'v')
      assert.equal(await other.get('k'), 'v')
      assert.deepEqual(await other.keys(), ['k'])
      await other.delete('k')
      assert.equal(await store.exists('k'), false)
    },
  },
]
