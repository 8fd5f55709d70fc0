/** Bytes come back as they went in. */
import assert from 'node:assert/strict'
import { expectError, expectTypeError } from '../expect.ts'
import { bytes, pattern, sameBytes, type StorageCase } from './support.ts'

const NOT_BYTES: readonly unknown[] = [
  'text',
  5,
  null,
  undefined,
  true,
  {},
  [1, 2],
  new ArrayBuffer(2),
  new DataView(new ArrayBuffer(2)),
  new Uint16Array(2),
  new Date(0),
]

export const valueCases: readonly StorageCase[] = [
  {
    id: 'plugin-storage/values/round-trip',
    sentence: 'Bytes come back exactly, whatever they are: none, each of the 256, text, what looks like JSON or a number.',
    async run({ storage: open }) {
      const storage = open()
      const values = ['', '\0', '0', '123', 'null', '"a"', '{}', 'true', 'é😀'].map(bytes)
      values.push(pattern(256, 1), Uint8Array.of(0xff, 0xfe), new Uint8Array(1024), pattern(5_000, 2))
      for (const [i, value] of values.entries()) await storage.set(`k${i}`, value)
      for (const [i, value] of values.entries()) sameBytes(await storage.get(`k${i}`), value, `value ${i}`)
      for (const [i, value] of (await storage.getMany(values.map((_, i) => `k${i}`))).entries()) sameBytes(value, values[i]!)
    },
  },
  {
    id: 'plugin-storage/values/missing',
    sentence:
      'What is not there is `undefined` or false, never an error: also for `delete`, on an empty scope and on one with data.',
    async run({ storage: open }) {
      const storage = open()
      for (let round = 0; round < 2; round++) {
        assert.equal(await storage.get('none'), undefined)
        assert.equal(await storage.getText('none'), undefined)
        assert.equal(await storage.getJson('none'), undefined)
        assert.equal(await storage.exist('none'), false)
        assert.equal(await storage.delete('none'), false)
        assert.equal(await storage.ttl('none'), undefined)
        assert.equal(await storage.expire('none', 5), false)
        assert.equal(await storage.persist('none'), false)
        assert.deepEqual(await storage.getMany(['none']), [undefined])
        await storage.set('other', bytes('x'))
      }
    },
  },
  {
    id: 'plugin-storage/values/replaced',
    sentence: '`set` replaces, `exist` tells, `delete` removes once.',
    async run({ storage: open }) {
      const storage = open()
      await storage.set('k', bytes('one'))
      await storage.set('k', bytes('two'))
      sameBytes(await storage.get('k'), bytes('two'))
      assert.equal(await storage.exist('k'), true)
      assert.equal(await storage.delete('k'), true)
      assert.equal(await storage.delete('k'), false)
      assert.equal(await storage.exist('k'), false)
      assert.equal(await storage.get('k'), undefined)
    },
  },
  {
    id: 'plugin-storage/values/bytes-only',
    sentence: 'Anything but bytes is a TypeError that says how to convert it, and changes nothing.',
    async run({ storage: open }) {
      const storage = open()
      await storage.set('k', bytes('old'))
      for (const value of NOT_BYTES) {
        const error: unknown = await storage.set('k', value as Uint8Array).catch((reason: unknown) => reason)
        assert.ok(error instanceof TypeError, `${String(value)} is taken for bytes`)
        assert.match(error.message, /setText|setJson|Uint8Array\(/)
        await expectTypeError(() => storage.setIfAbsent('new', value as Uint8Array))
        await expectTypeError(() => storage.setMany({ new: value as Uint8Array }))
      }
      await expectTypeError(() => storage.setText('k', bytes('x') as unknown as string))
      sameBytes(await storage.get('k'), bytes('old'))
      assert.deepEqual(await storage.keys(), ['k'])
    },
  },
  {
    id: 'plugin-storage/values/copies',
    sentence: 'What is stored is a copy of just the bytes given; what comes back is the caller’s own plain `Uint8Array`.',
    async run({ storage: open }) {
      const storage = open()
      const given = Buffer.from('-value-').subarray(1, 6)
      const pending = storage.set('k', given)
      given.fill(0)
      await pending
      const got = (await storage.get('k'))!
      sameBytes(got, bytes('value'))
      assert.equal(got.constructor, Uint8Array)
      assert.equal(got.buffer.byteLength, 5, 'the array shows more memory than the value')
      got.fill(0)
      sameBytes(await storage.get('k'), bytes('value'))
    },
  },
  {
    id: 'plugin-storage/values/text',
    sentence: '`setText` and `getText` are UTF-8; text that UTF-8 cannot hold is refused, bytes that are none are `CORRUPT`.',
    async run({ storage: open }) {
      const storage = open()
      for (const text of ['', 'John', '\uFEFFé😀\0', 'a\r\nb']) {
        await storage.setText('k', text)
        assert.equal(await storage.getText('k'), text)
        sameBytes(await storage.get('k'), bytes(text))
      }
      await expectError('INVALID_ARGUMENT', () => storage.setText('k', '\uD800'))
      await storage.set('k', Uint8Array.of(0xff))
      await expectError('CORRUPT', () => storage.getText('k'))
    },
  },
  {
    id: 'plugin-storage/values/json',
    sentence: '`setJson` and `getJson` round-trip JSON exactly, refuse what JSON cannot hold, and call other bytes `CORRUPT`.',
    async run({ storage: open }) {
      const storage = open()
      for (const value of [null, 'a\0\uD800', [1, -0, { b: 1, a: {} }], 0.1, true]) {
        await storage.setJson('k', value)
        assert.deepEqual(await storage.getJson('k'), value)
      }
      for (const value of [undefined, Number.NaN, 1n, new Date(0)]) {
        await expectError('INVALID_ARGUMENT', () => storage.setJson('k', value))
      }
      await storage.setText('k', 'secret but no JSON')
      const error = await expectError('CORRUPT', () => storage.getJson('k'))
      assert.doesNotMatch(error.message, /secret/)
    },
  },
  {
    id: 'plugin-storage/values/many',
    sentence:
      '`setMany` takes objects, Maps and pairs, of which the last counts; `getMany` answers in the order asked, repeats included.',
    async run({ storage: open }) {
      const storage = open()
      await storage.setMany({ a: bytes('1') })
      await storage.setMany(new Map([['b', bytes('2')]]))
      await storage.setMany([
        ['c', bytes('x')],
        ['c', bytes('3')],
      ])
      const values = await storage.getMany(['c', 'none', 'a', 'b', 'a'])
      assert.deepEqual(
        values.map((value) => value && Buffer.from(value).toString()),
        ['3', undefined, '1', '2', '1'],
      )
      assert.equal((await storage.usage()).usedBytes, 3)
      await storage.setMany(Array.from({ length: 300 }, (_, i) => [`many ${i}`, bytes(String(i))] as const))
      assert.equal((await storage.keys({ prefix: 'many ' })).length, 300)
      await storage.setMany({})
      assert.deepEqual(await storage.getMany([]), [])
    },
  },
  {
    id: 'plugin-storage/values/lasting',
    sentence: 'Values, TTLs and the counter are there after the store was closed and opened again.',
    reopens: true,
    async run({ storage: open, reopen }) {
      const storage = open()
      await storage.set('k', bytes('kept'))
      await storage.set('lease', bytes('x'), { ttl: 600 })
      await storage.set('gone', bytes('gone'))
      await storage.delete('gone')
      const later = open({ state: await reopen() })
      sameBytes(await later.get('k'), bytes('kept'))
      assert.ok((await later.ttl('lease'))! > 500)
      assert.deepEqual(await later.keys(), ['k', 'lease'])
      assert.equal((await later.usage()).usedBytes, 5)
    },
  },
]
