/** The quota: never exceeded, exact at rest, and what it refuses changes nothing. */
import assert from 'node:assert/strict'
import type { PluginStorage } from '../../plugin-storage/storage.ts'
import { isHoldfastError } from '../../errors.ts'
import { expectError, expectNotApplied } from '../expect.ts'
import {
  assertCounted,
  bytes,
  IN_CHUNKS,
  meanwhile,
  pattern,
  rawKeys,
  sameBytes,
  SCOPE,
  sizeOfAll,
  through,
  type StorageCase,
} from './support.ts'

/** True where the quota let it pass. */
async function passes(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (isHoldfastError(error, 'QUOTA_EXCEEDED')) return false
    throw error
  }
}

const refusing: readonly StorageCase[] = [
  {
    id: 'plugin-storage/quota/exact',
    sentence: 'The sum of the values’ bytes may reach the quota, and not exceed it by one; keys do not count.',
    async run({ storage: open }) {
      const storage = open({ quotaBytes: 100 })
      await storage.set('a long key that does not count', pattern(60, 1))
      await storage.set('b', pattern(40, 2))
      assert.deepEqual(await storage.usage(), { usedBytes: 100, quotaBytes: 100 })
      await storage.set('empty', bytes(''))
      await expectNotApplied('QUOTA_EXCEEDED', () => storage.set('c', bytes('x')))
      await storage.set('b', pattern(39, 2))
      await storage.set('c', bytes('x'))
      assert.equal((await storage.usage()).usedBytes, 100)
    },
  },
  {
    id: 'plugin-storage/quota/refused-keeps',
    sentence:
      'A refused `set` leaves the old value, however often it is repeated, and names what is used, the limit and what was asked.',
    async run({ storage: open, store }) {
      const storage = open({ quotaBytes: 100 })
      await storage.set('k', bytes('old'))
      await storage.set('other', pattern(50, 1))
      for (let i = 0; i < 3; i++) {
        const error = await expectNotApplied('QUOTA_EXCEEDED', () => storage.set('k', pattern(80, 2)), store)
        assert.match(error.message, /53 .*100 .*77/)
        sameBytes(await storage.get('k'), bytes('old'))
        assert.equal((await storage.usage()).usedBytes, 53)
      }
      await storage.set('k', pattern(50, 2))
    },
  },
  {
    id: 'plugin-storage/quota/least',
    sentence: 'The cap is what the manifest declares or the host’s, whichever is less.',
    async run({ host: open }) {
      const host = open({ quotaBytes: 100 })
      const storage = (sizeBytes?: number): PluginStorage =>
        host.session({ workspaceId: 'w', pluginId: `a/s${sizeBytes}`, sizeBytes }).storage
      assert.equal((await storage().usage()).quotaBytes, 100)
      assert.equal((await storage(1_000).usage()).quotaBytes, 100)
      assert.equal((await storage(10).usage()).quotaBytes, 10)
      await expectError('QUOTA_EXCEEDED', () => storage(10).set('k', pattern(11, 1)))
      await expectError('QUOTA_EXCEEDED', () => storage(0).set('k', pattern(1, 1)))
      await storage(10).set('k', pattern(10, 1))
    },
  },
  {
    id: 'plugin-storage/quota/everywhere',
    sentence: 'Every way of writing is under the quota, and refused whole.',
    async run({ storage: open }) {
      const storage = open({ quotaBytes: 10 })
      await storage.setText('n', '99999999')
      await storage.set('k', bytes('o'))
      const writes = [
        () => storage.set('k', bytes('xxx')),
        () => storage.setText('k', 'éé'),
        () => storage.setJson('k', [1]),
        () => storage.setIfAbsent('new', bytes('xx')),
        () => storage.setMany({ x: bytes('x'), y: bytes('y') }),
        () => storage.increment('n', 999_999_999_999),
        () =>
          new Promise((resolve, reject) =>
            storage.createWriteStream('k').once('finish', resolve).once('error', reject).end(bytes('xxx')),
          ),
      ]
      for (const write of writes) await expectError('QUOTA_EXCEEDED', write)
      assert.deepEqual(await storage.keys(), ['k', 'n'])
      assert.equal(await storage.getText('k'), 'o')
      assert.equal(await storage.getText('n'), '99999999')
      assert.equal((await storage.usage()).usedBytes, 9)
    },
  },
  {
    id: 'plugin-storage/quota/lowered',
    sentence: 'Where the quota was lowered below what is there, values may be read, deleted and made smaller, not larger.',
    async run({ storage: open }) {
      await open({ quotaBytes: 100 }).setMany({ a: pattern(50, 1), b: pattern(50, 2) })
      const storage = open({ quotaBytes: 20 })
      await storage.set('a', pattern(50, 3))
      await storage.set('a', pattern(30, 3))
      await expectError('QUOTA_EXCEEDED', () => storage.set('a', pattern(31, 3)))
      await expectError('QUOTA_EXCEEDED', () => storage.set('new', bytes('x')))
      assert.equal(await storage.delete('b'), true)
      assert.equal((await storage.usage()).usedBytes, 30)
    },
  },
  {
    id: 'plugin-storage/quota/nothing-left',
    sentence: 'What the quota refuses leaves nothing behind, no piece of a large value either.',
    async run({ storage: open, store }) {
      const storage = open({ ...IN_CHUNKS, quotaBytes: 300 })
      await storage.set('k', pattern(250, 1))
      const before = await rawKeys(store)
      await expectError('QUOTA_EXCEEDED', () => storage.set('k', pattern(301, 2)))
      await expectError('QUOTA_EXCEEDED', () => storage.set('new', pattern(200, 2)))
      assert.deepEqual(await rawKeys(store), before)
      sameBytes(await storage.get('k'), pattern(250, 1))
    },
  },
]

const counting: readonly StorageCase[] = [
  {
    id: 'plugin-storage/quota/counts',
    sentence: 'The counter follows every overwrite, shrinking, deletion and repetition.',
    async run({ storage: open }) {
      const storage = open(IN_CHUNKS)
      const steps: readonly [() => Promise<unknown>, number][] = [
        [() => storage.set('a', pattern(10, 1)), 10],
        [() => storage.set('a', pattern(30, 1)), 30],
        [() => storage.set('a', pattern(500, 1)), 500],
        [() => storage.set('a', pattern(130, 1)), 130],
        [() => storage.set('a', pattern(5, 1)), 5],
        [() => storage.set('a', pattern(5, 2)), 5],
        [() => storage.delete('none'), 5],
        [() => storage.setIfAbsent('a', pattern(50, 2)), 5],
        [() => storage.setIfAbsent('b', pattern(50, 2)), 55],
        [() => storage.increment('n', 99), 57],
        [() => storage.increment('n', 1), 58],
        [() => storage.increment('n', -100), 56],
        [() => storage.expire('b', 600), 56],
        [() => storage.persist('b'), 56],
        [() => storage.setMany({ a: pattern(1, 1), b: pattern(2, 1), c: pattern(3, 1) }), 7],
        [() => storage.delete('a'), 6],
        [() => storage.delete('a'), 6],
        [() => storage.set('d', bytes('')), 6],
        [() => storage.delete('d'), 6],
      ]
      for (const [i, [step, expected]] of steps.entries()) {
        await step()
        assert.equal((await storage.usage()).usedBytes, expected, `after step ${i}`)
      }
      await assertCounted(storage)
    },
  },
  {
    id: 'plugin-storage/quota/first-writes',
    sentence: 'Concurrent first writes into a new scope make one counter that knows them all.',
    reopens: true,
    async run({ storage: open, another }) {
      const storages = [open(), open(), open({ state: await another() })]
      await Promise.all(Array.from({ length: 30 }, (_, i) => storages[i % 3]!.set(`k${i}`, pattern(i, i))))
      assert.equal((await storages[0]!.usage()).usedBytes, (29 * 30) / 2)
      await assertCounted(storages[0]!)
    },
  },
  {
    id: 'plugin-storage/quota/concurrent-deletes',
    sentence: 'Concurrent deletes of one key: one of them deletes, and its bytes are given back once.',
    reopens: true,
    async run({ storage: open, another }) {
      const storages = [open(), open({ state: await another() })]
      await storages[0]!.set('stays', pattern(7, 1))
      for (let round = 0; round < 5; round++) {
        await storages[0]!.set('k', pattern(100, round))
        const deleted = await Promise.all(Array.from({ length: 12 }, (_, i) => storages[i % 2]!.delete('k')))
        assert.equal(deleted.filter(Boolean).length, 1)
        assert.equal((await storages[0]!.usage()).usedBytes, 7)
      }
    },
  },
  {
    id: 'plugin-storage/quota/concurrent-writers',
    sentence: 'Of many writers at once just as many succeed as the quota has room for.',
    reopens: true,
    async run({ storage: open, another }) {
      const quota = { quotaBytes: 100 }
      const storages = [open(quota), open(quota), open({ ...quota, state: await another() })]
      const results = await Promise.all(
        Array.from({ length: 40 }, (_, i) => passes(storages[i % 3]!.set(`k${i}`, pattern(10, i)))),
      )
      assert.equal(results.filter(Boolean).length, 10)
      assert.equal((await storages[0]!.usage()).usedBytes, 100)
      assert.equal((await storages[0]!.keys()).length, 10)
      await assertCounted(storages[0]!)
    },
  },
  {
    id: 'plugin-storage/quota/never-over',
    sentence:
      'While many write, grow, shrink and delete the same few keys, the values never exceed the quota, and at rest the count is right.',
    reopens: true,
    async run({ storage: open, another }) {
      const options = { ...IN_CHUNKS, quotaBytes: 600 }
      const storages = [open(options), open({ ...options, state: await another() })]
      const writer = async (seed: number): Promise<void> => {
        const storage = storages[seed % 2]!
        for (let i = 0; i < 12; i++) {
          const key = `k${(seed * 7 + i * 3) % 5}`
          if ((seed + i) % 4 === 0) await storage.delete(key)
          else await passes(storage.set(key, pattern((seed * 53 + i * 97) % 320, seed)))
        }
      }
      const watch = async (): Promise<void> => {
        assert.ok((await storages[0]!.usage()).usedBytes <= 600, 'the counter exceeds the quota')
      }
      await meanwhile(Promise.all(Array.from({ length: 8 }, (_, seed) => writer(seed))), watch)
      assert.ok((await sizeOfAll(storages[0]!)) <= 600)
      await assertCounted(storages[0]!)
    },
  },
]

const failing: readonly StorageCase[] = [
  {
    id: 'plugin-storage/failures/outage',
    sentence: 'An outage is UNAVAILABLE for reads, never "absent", and no write that it fails is counted once it is over.',
    outage: true,
    async run({ storage: open, store, cut, heal }) {
      const storage = open({ quotaBytes: 100 })
      await storage.set('k', pattern(60, 1))
      await cut()
      const reads = [
        () => storage.get('k'),
        () => storage.exist('k'),
        () => storage.keys(),
        () => storage.getMany(['k']),
        () => storage.ttl('k'),
        () => storage.usage(),
      ]
      for (const read of reads) await expectError('UNAVAILABLE', read, store)
      const writes = [
        () => storage.set('k', pattern(80, 2)),
        () => storage.set('new', pattern(10, 2)),
        () => storage.delete('k'),
        () => storage.increment('n'),
        () => storage.setIfAbsent('new', bytes('x')),
      ]
      for (const write of writes) await expectError('UNAVAILABLE', write, store)
      await heal()
      sameBytes(await storage.get('k'), pattern(60, 1))
      assert.deepEqual(await storage.keys(), ['k'])
      assert.equal((await storage.usage()).usedBytes, 60)
    },
  },
  {
    id: 'plugin-storage/failures/after-the-write',
    sentence: 'What fails after the write is done does not make the write fail.',
    async run({ storage: open, store }) {
      const { backend } = store.core
      let written = false
      const state = through(store, {
        commit: async (space, commit, call) => {
          if (written) throw new Error('no answer')
          const result = await backend.commit(space, commit, call)
          written = (commit.set ?? []).some(({ key }) => key === 'v:k')
          return result
        },
      })
      const storage = open({ ...IN_CHUNKS, state })
      await open(IN_CHUNKS).set('k', pattern(500, 1))
      await storage.set('k', bytes('new'))
      assert.ok(written)
      sameBytes(await storage.get('k'), bytes('new'))
    },
  },
  {
    id: 'plugin-storage/failures/retried',
    sentence: 'A `set` whose answer was lost is tried again, and counted once.',
    async run({ storage: open, store }) {
      const { backend } = store.core
      let lost = 0
      const state = through(store, {
        commit: async (space, commit, call) => {
          const result = await backend.commit(space, commit, call)
          if (lost > 0 || !(commit.set ?? []).some(({ key }) => key === 'v:k')) return result
          lost++
          throw new Error('no answer')
        },
      })
      const retrying = through(state, {})
      for (const size of [30, 500]) {
        lost = 0
        const storage = open({ ...IN_CHUNKS, state: retrying })
        const outcome = await storage.set('k', pattern(size, size)).catch((error: unknown) => error)
        assert.ok(isHoldfastError(outcome, 'UNAVAILABLE'), 'the loss was not told')
        assert.equal(outcome.outcome, 'unknown')
        await storage.set('k', pattern(size, size))
        sameBytes(await storage.get('k'), pattern(size, size))
        await assertCounted(open(IN_CHUNKS))
      }
    },
  },
]

const dying: readonly StorageCase[] = [
  {
    id: 'plugin-storage/quota/abandoned',
    sentence:
      'A writer that dies in the middle leaves the old value and a counter that is right, or, where a commit holds one key, too high until `reconcile`.',
    async run({ host, storage: open, store }) {
      const { backend } = store.core
      const state = through(store, {
        commit: async (space, commit, call) => {
          if ((commit.set ?? []).some(({ key }) => key === 'v:k')) throw new Error('killed')
          return backend.commit(space, commit, call)
        },
      })
      await open().set('k', bytes('old'))
      await expectError('UNAVAILABLE', () => open({ state }).set('k', pattern(100, 1)))
      sameBytes(await open().get('k'), bytes('old'))
      const isSingle = store.capabilities.commitKeys === 1
      assert.equal((await open().usage()).usedBytes, isSingle ? 100 : 3)
      const mended = await host().reconcile(SCOPE, { quietMs: 1 })
      assert.deepEqual(mended, { usedBytes: 3, correctedBytes: isSingle ? 97 : 0, chunksRemoved: 0 })
      await assertCounted(open())
    },
  },
]

export const quotaCases: readonly StorageCase[] = [...refusing, ...counting, ...failing, ...dying]
