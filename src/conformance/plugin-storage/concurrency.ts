/** Many at one key. */
import assert from 'node:assert/strict'
import { expectError, expectNotApplied } from '../expect.ts'
import { assertCounted, bytes, pattern, sameBytes, type StorageCase } from './support.ts'

export const concurrencyCases: readonly StorageCase[] = [
  {
    id: 'plugin-storage/concurrency/one-winner',
    sentence: 'Of many concurrent `setIfAbsent` exactly one wins, and its value stays.',
    reopens: true,
    async run({ storage: open, another }) {
      const storages = [open(), open(), open({ state: await another() })]
      const won = await Promise.all(
        Array.from({ length: 24 }, (_, i) => storages[i % 3]!.setIfAbsent('lock', bytes(`owner ${i}`))),
      )
      assert.equal(won.filter(Boolean).length, 1)
      assert.equal(await storages[0]!.getText('lock'), `owner ${won.indexOf(true)}`)
      await assertCounted(storages[0]!)
    },
  },
  {
    id: 'plugin-storage/concurrency/increments',
    sentence: 'No increment is lost, and each gives a sum of its own.',
    reopens: true,
    async run({ storage: open, another }) {
      const storages = [open(), open({ state: await another() })]
      const sums = await Promise.all(Array.from({ length: 40 }, (_, i) => storages[i % 2]!.increment('n')))
      assert.deepEqual(
        sums.toSorted((a, b) => a - b),
        Array.from({ length: 40 }, (_, i) => i + 1),
      )
      assert.equal(await storages[0]!.getText('n'), '40')
      assert.equal(await storages[0]!.increment('n', -50), -10)
      await assertCounted(storages[0]!)
    },
  },
  {
    id: 'plugin-storage/concurrency/increment-refused',
    sentence: 'What is no integer, or would be none that is safe, is not incremented: CONFLICT.',
    async run({ storage: open }) {
      const storage = open({ chunkBytes: 64 })
      for (const text of ['', 'x', '1.5', '1e3', ' 1', '9007199254740992', '-', '{}', 'x'.repeat(200)]) {
        await storage.setText('k', text)
        await expectNotApplied('CONFLICT', () => storage.increment('k'))
        assert.equal(await storage.getText('k'), text)
      }
      await storage.setText('k', String(Number.MAX_SAFE_INTEGER))
      await expectNotApplied('CONFLICT', () => storage.increment('k'))
      await expectError('INVALID_ARGUMENT', () => storage.increment('k', 0.5))
    },
  },
  {
    id: 'plugin-storage/concurrency/no-stale-reads',
    sentence: 'After a write or a delete nobody reads the old value, whoever read it before or at the same time.',
    reopens: true,
    async run({ storage: open, another }) {
      const [one, two] = [open(), open({ state: await another() })]
      for (let i = 0; i < 10; i++) {
        await one.set('k', pattern(10, i))
        await Promise.all([two.get('k'), two.get('k'), one.set('k', pattern(20, i)), two.get('k')])
        sameBytes(await two.get('k'), pattern(20, i))
        await Promise.all([two.get('k'), one.delete('k'), two.get('k')])
        assert.equal(await two.get('k'), undefined)
        assert.equal(await two.exist('k'), false)
      }
    },
  },
]
