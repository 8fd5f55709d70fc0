/** Bytes come back exactly, and share their keys with JSON values. */
import assert from 'node:assert/strict'
import { expectError, expectTypeError } from '../expect.ts'
import { sameBytes, utf8, type StateCase } from './support.ts'

export const byteCases: readonly StateCase[] = [
  {
    id: 'state/bytes/all-values',
    sentence: 'Bytes come back exactly, all 256 values of them.',
    async run({ store }) {
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
      await store.setBytes('k', bytes)
      sameBytes(await store.getBytes('k'), bytes)
      sameBytes(await store.getBytes('k'), bytes)
    },
  },
  {
    id: 'state/bytes/empty',
    sentence: 'No bytes at all are a value too.',
    async run({ store }) {
      await store.setBytes('k', new Uint8Array())
      sameBytes(await store.getBytes('k'), new Uint8Array())
      assert.equal(await store.exists('k'), true)
      assert.equal(await store.ttl('k'), null)
      assert.equal(await store.setIfAbsent('k', 1), false)
    },
  },
  {
    id: 'state/bytes/looks-like-text',
    sentence: 'Bytes that look like base64, hex, JSON or text with a byte order mark are kept as they are.',
    async run({ store }) {
      for (const text of ['aGk=', 'deadbeef', '\\x00', '\ufeff{}', '"x"', ' 1 ', 'null', 'é', 'a\0b']) {
        await store.setBytes('k', utf8(text))
        sameBytes(await store.getBytes('k'), utf8(text))
      }
    },
  },
  {
    id: 'state/bytes/large',
    sentence: 'Bytes of 1 MB, or of the declared limit where that is less, come back exactly.',
    async run({ store }) {
      const length = Math.min(1_000_000, store.limits.valueBytes ?? Infinity)
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff)
      await store.setBytes('k', bytes)
      sameBytes(await store.getBytes('k'), bytes)
    },
  },
  {
    id: 'state/bytes/views',
    sentence: 'Of a view on a larger buffer only the view is stored, Buffer or Uint8Array.',
    async run({ store }) {
      const whole = Uint8Array.from([1, 2, 3, 4, 5, 6])
      await store.setBytes('array', whole.subarray(1, 3))
      await store.setBytes('buffer', Buffer.from(whole.buffer, 3, 2))
      sameBytes(await store.getBytes('array'), Uint8Array.from([2, 3]))
      sameBytes(await store.getBytes('buffer'), Uint8Array.from([4, 5]))
    },
  },
  {
    id: 'state/bytes/no-live-references',
    sentence: 'Stored bytes are a copy: neither the array given nor the one got changes them.',
    async run({ store }) {
      const bytes = Uint8Array.from([1, 2])
      await store.setBytes('k', bytes)
      bytes[0] = 9
      const found = await store.getBytes('k')
      sameBytes(found, Uint8Array.from([1, 2]))
      found![1] = 9
      sameBytes(await store.getBytes('k'), Uint8Array.from([1, 2]))
    },
  },
  {
    id: 'state/bytes/plain-json',
    sentence: 'What `set` stores is the plain JSON text, so that other programs can read it.',
    async run({ store }) {
      await store.setMany({ text: '123', number: 123, object: { a: [true, null], b: 'é' } })
      sameBytes(await store.getBytes('text'), utf8('"123"'))
      sameBytes(await store.getBytes('number'), utf8('123'))
      sameBytes(await store.getBytes('object'), utf8('{"a":[true,null],"b":"é"}'))
    },
  },
  {
    id: 'state/bytes/parsed',
    sentence: '`get` reads JSON text that was stored as bytes, and leaves its spacing alone.',
    async run({ store }) {
      await store.setBytes('k', utf8(' {"a" : [1, "é"]} '))
      assert.deepEqual(await store.get('k'), { a: [1, 'é'] })
      assert.deepEqual(await store.getMany(['k']), [{ a: [1, 'é'] }])
      sameBytes(await store.getBytes('k'), utf8(' {"a" : [1, "é"]} '))
    },
  },
  {
    id: 'state/bytes/corrupt',
    sentence: '`get` of what is not JSON is `CORRUPT`, without quoting it; `getBytes` still reads it.',
    async run({ store }) {
      // The last is a JSON string but for its bytes, which are no UTF-8.
      const invalid = [utf8('secret-word'), utf8(''), utf8('{"a":'), utf8("{'a':1}"), Uint8Array.of(0x22, 0xff, 0x22)]
      for (const bytes of invalid) {
        await store.setBytes('k', bytes)
        const error = await expectError('CORRUPT', () => store.get('k'))
        assert.ok(!error.message.includes('secret-word'), 'the message quotes what is stored')
        await expectError('CORRUPT', () => store.getMany(['none', 'k']))
        sameBytes(await store.getBytes('k'), bytes)
      }
    },
  },
  {
    id: 'state/bytes/replaces',
    sentence: 'JSON and bytes share one key: the later write replaces the earlier, whichever it was.',
    async run({ store }) {
      await store.set('k', { a: 1 })
      await store.setBytes('k', Uint8Array.of(0xff))
      sameBytes(await store.getBytes('k'), Uint8Array.of(0xff))
      await store.set('k', 'json')
      assert.equal(await store.get('k'), 'json')
      assert.deepEqual(await store.keys(), ['k'])
    },
  },
  {
    id: 'state/bytes/wrong-type',
    sentence: 'Anything but bytes is a TypeError.',
    async run({ store }) {
      for (const value of ['text', [1, 2], 5, null, undefined, { length: 1, 0: 1 }]) {
        await expectTypeError(() => store.setBytes('k', value as never))
      }
      assert.deepEqual(await store.keys(), [])
    },
  },
]
