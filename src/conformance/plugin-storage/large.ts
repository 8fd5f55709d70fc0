/** Values in pieces, whole or as streams. */
import assert from 'node:assert/strict'
import { Readable, type Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import { scopeSpace, valueKey } from '../../plugin-storage/layout.ts'
import { collect, expectError, expectTypeError } from '../expect.ts'
import {
  assertCounted,
  bytes,
  CHUNK,
  IN_CHUNKS,
  meanwhile,
  pattern,
  rawKeys,
  sameBytes,
  SCOPE,
  type StorageCase,
} from './support.ts'

/** Filled with one byte, so that a mixture of two is seen. */
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

const whole: readonly StorageCase[] = [
  {
    id: 'plugin-storage/large/sizes',
    sentence:
      'Values of any size come back, just below, at and above the size of a piece too; replaced, they leave no piece behind.',
    async run({ storage: open, store }) {
      const storage = open(IN_CHUNKS)
      for (const size of [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 40 * CHUNK + 7, 1, 3 * CHUNK, 0]) {
        await storage.set('k', pattern(size, size))
        sameBytes(await storage.get('k'), pattern(size, size), `${size} bytes`)
        sameBytes((await storage.getMany(['k']))[0], pattern(size, size))
        assert.equal((await storage.usage()).usedBytes, size)
        assert.equal((await rawKeys(store, SCOPE, 'c:')).length, size <= CHUNK ? 0 : Math.ceil(size / CHUNK))
      }
      assert.deepEqual(await rawKeys(store, SCOPE, 'g:'), [])
      await storage.set('k', pattern(500, 1))
      await storage.delete('k')
      assert.deepEqual(await rawKeys(store, SCOPE, 'c:'), [])
    },
  },
  {
    id: 'plugin-storage/large/default',
    sentence: 'A value of 3 MB comes back by default settings, whatever the backend’s limit is.',
    async run({ storage: open }) {
      const storage = open()
      const value = pattern(3_000_000, 1)
      await storage.set('k', value)
      sameBytes(await storage.get('k'), value)
      sameBytes(await open(IN_CHUNKS).get('k'), value, 'read by a host with other settings')
    },
  },
  {
    id: 'plugin-storage/large/never-torn',
    sentence: 'While a value in pieces is replaced again and again, a reader sees one of the values, whole, and never none.',
    reopens: true,
    async run({ storage: open, another }) {
      const writers = [open(IN_CHUNKS), open({ ...IN_CHUNKS, state: await another() })]
      const reader = open(IN_CHUNKS)
      await reader.set('k', filled(500, 0))
      const write = async (storage: (typeof writers)[0], seed: number): Promise<void> => {
        for (let i = 0; i < 15; i++) await storage.set('k', filled(100 + ((i * 37 + seed) % 9) * 60, (i * 2 + seed) % 256))
      }
      const read = async (): Promise<void> => {
        const value = (await reader.get('k'))!
        assert.ok(value !== undefined, 'the value was gone for a moment')
        assert.ok(
          value.every((byte) => byte === value[0]),
          'a mixture of two values',
        )
        assert.ok(value.length === 500 || (value.length - 100) % 60 === 0, 'a value of another length')
      }
      await meanwhile(Promise.all(writers.map(write)), read)
      await assertCounted(reader)
    },
  },
  {
    id: 'plugin-storage/large/reconcile',
    sentence:
      '`reconcile` removes what a writer that died has left, keeps what is in use, and refuses the writer should it come back.',
    async run({ host: open, storage: openStorage, store }) {
      const host = open(IN_CHUNKS)
      const storage = openStorage(IN_CHUNKS)
      await storage.set('kept', pattern(500, 1))
      const abandoned = storage.createWriteStream('k')
      await written(abandoned, pattern(300, 2))
      assert.equal((await host.reconcile(SCOPE, { quietMs: 1 })).chunksRemoved, 0, 'what was begun just now is no garbage')
      const { chunksRemoved, usedBytes, correctedBytes } = await host.reconcile(SCOPE, { olderThanMs: 0, quietMs: 1 })
      assert.ok(chunksRemoved > 0)
      assert.deepEqual([usedBytes, correctedBytes], [500, 0])
      sameBytes(await storage.get('kept'), pattern(500, 1))
      assert.equal((await rawKeys(store, SCOPE, 'c:')).length, Math.ceil(500 / CHUNK))
      if (store.capabilities.commitKeys >= 6) {
        abandoned.end()
        await expectError('CONFLICT', () => finished(abandoned))
        assert.equal(await storage.get('k'), undefined)
      } else abandoned.destroy()
    },
  },
  {
    id: 'plugin-storage/large/counter-mended',
    sentence: '`reconcile` sets a counter that was changed from outside to what the values are.',
    async run({ host: open, storage: openStorage, store }) {
      const host = open()
      const storage = openStorage({ quotaBytes: 100 })
      await storage.set('k', pattern(60, 1))
      const { backend } = store.core
      const space = scopeSpace(store.workspaceId, SCOPE)
      for (const wrong of ['1000', '0', '-5', '"x"']) {
        await backend.commit(space, { set: [{ key: 'used', value: wrong }] })
        const { usedBytes } = await host.reconcile(SCOPE, { quietMs: 1 })
        assert.equal(usedBytes, 60)
        await assertCounted(storage)
      }
      await storage.set('more', pattern(40, 1))
    },
  },
  {
    id: 'plugin-storage/large/damaged',
    sentence: 'A value whose pieces were taken from outside is `CORRUPT`, not cut short and not absent.',
    async run({ storage: open, store }) {
      const storage = open(IN_CHUNKS)
      await storage.set('k', pattern(500, 1))
      const { backend } = store.core
      const space = scopeSpace(store.workspaceId, SCOPE)
      const [, chunk] = await rawKeys(store, SCOPE, 'c:')
      await backend.commit(space, { set: [{ key: chunk!, value: bytes('short') }] })
      await expectError('CORRUPT', () => storage.get('k'))
      await backend.commit(space, { delete: [chunk!] })
      await expectError('CORRUPT', () => storage.get('k'))
      await expectError('CORRUPT', () => collect(storage.createReadStream('k')))
      await backend.commit(space, { set: [{ key: valueKey('k'), value: bytes('no record') }] })
      await expectError('CORRUPT', () => storage.get('k'))
    },
  },
]

const streams: readonly StorageCase[] = [
  {
    id: 'plugin-storage/streams/round-trip',
    sentence: 'What is written by a stream is the value, whatever the size of its writes, and reads back by stream or whole.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      for (const [size, step] of [
        [0, 1],
        [10, 3],
        [CHUNK, CHUNK],
        [CHUNK + 1, 1],
        [1_000, 7],
        [5_000, 1_700],
      ] as const) {
        const value = pattern(size, step)
        const pieces = Array.from({ length: Math.ceil(size / step) }, (_, i) => value.subarray(i * step, (i + 1) * step))
        await pipeline(Readable.from(pieces, { objectMode: true }), storage.createWriteStream('k'))
        sameBytes(await storage.get('k'), value, `${size} bytes`)
        sameBytes(new Uint8Array(await buffer(storage.createReadStream('k'))), value, `${size} bytes streamed`)
        assert.equal((await storage.usage()).usedBytes, size)
      }
      await pipeline(Readable.from([bytes('x')]), storage.createWriteStream('lease', { ttl: 600 }))
      assert.ok((await storage.ttl('lease'))! > 500)
    },
  },
  {
    id: 'plugin-storage/streams/all-at-once',
    sentence: 'Until a stream has finished the old value is there; destroyed, it leaves the old value and nothing else.',
    async run({ storage: open, store }) {
      const storage = open(IN_CHUNKS)
      await storage.set('k', bytes('old'))
      const before = await rawKeys(store)
      const stream = storage.createWriteStream('k')
      await written(stream, pattern(300, 1))
      sameBytes(await storage.get('k'), bytes('old'))
      assert.equal((await storage.usage()).usedBytes, 3)
      stream.destroy()
      await new Promise((resolve) => stream.once('close', resolve))
      assert.deepEqual(await rawKeys(store), before)
      sameBytes(await storage.get('k'), bytes('old'))
    },
  },
  {
    id: 'plugin-storage/streams/refused',
    sentence:
      'A stream beyond the quota, or of anything but bytes, fails and leaves the old value; one of a missing key is NOT_FOUND.',
    async run({ storage: open, store }) {
      const storage = open({ ...IN_CHUNKS, quotaBytes: 500 })
      await storage.set('k', bytes('old'))
      const endless = Readable.from(
        (function* () {
          for (let i = 0; i < 1_000; i++) yield pattern(50, i)
        })(),
      )
      await expectError('QUOTA_EXCEEDED', () => pipeline(endless, storage.createWriteStream('k')))
      await expectTypeError(() => pipeline(Readable.from(['text']), storage.createWriteStream('k')))
      await expectError('NOT_FOUND', () => collect(storage.createReadStream('none')))
      sameBytes(await storage.get('k'), bytes('old'))
      assert.deepEqual(await rawKeys(store, SCOPE, 'c:'), [])
      assert.equal((await storage.usage()).usedBytes, 3)
    },
  },
  {
    id: 'plugin-storage/streams/replaced',
    sentence: 'A stream whose value is replaced while it is read fails with CONFLICT; it never goes on with another value.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      for (const replace of [() => storage.set('k', filled(6_400, 2)), () => storage.delete('k')]) {
        await storage.set('k', filled(6_400, 1))
        const stream = storage.createReadStream('k')
        let read = 0
        await expectError('CONFLICT', async () => {
          for await (const piece of stream as AsyncIterable<Buffer>) {
            assert.ok(
              piece.every((byte) => byte === 1),
              'bytes of the new value',
            )
            if (read === 0) await replace()
            read += piece.length
          }
        })
        assert.ok(read < 6_400)
      }
    },
  },
]

export const largeCases: readonly StorageCase[] = [...whole, ...streams]

function written(stream: Writable, value: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => stream.write(value, (error) => (error ? reject(error) : resolve())))
}
