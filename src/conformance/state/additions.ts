/** `commit` of a backend, one key at a time: additions with their maxima, and TTLs. */
import assert from 'node:assert/strict'
import { SPACE, applied, contents, entryOf, refusedFor } from './backend.ts'
import { expiry, type StateCase } from './support.ts'

const HOUR_MS = 3_600_000
const MAX = Number.MAX_SAFE_INTEGER

const sums: readonly StateCase[] = [
  {
    id: 'state/commit/add',
    sentence: 'An addition begins at 0, keeps the TTL, and gives the new value.',
    async run({ store: { core } }) {
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'k', by: 5 }] })).sums, [5])
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'k', by: -7 }] })).sums, [-2])
      assert.equal(await contents(core.backend, 'k'), '-2')
      await applied(core.backend, { set: [{ key: 'k', value: '1', ttlMs: HOUR_MS }] })
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'k', by: 1 }] })).sums, [2])
      assert.ok(((await entryOf(core.backend, 'k')).ttlMs ?? 0) > HOUR_MS / 2, 'the TTL is lost')
    },
  },
  {
    id: 'state/commit/check-before-sum',
    sentence: 'Where a check fails and a sum would be refused as well, the check is what is told.',
    skip: ({ capabilities }) => (capabilities.commitKeys < 2 ? 'a commit may name one key only' : undefined),
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'text', value: '"x"' }] })
      await applied(core.backend, { set: [{ key: 'full', value: '10' }] })
      const checks = [{ key: 'gone', version: 'of another time' }]
      await refusedFor(core.backend, 'check', 'gone', { checks, add: [{ key: 'full', by: 1, max: 10 }] })
      await refusedFor(core.backend, 'check', 'gone', { checks, add: [{ key: 'text', by: 1 }] })
      const stale = { key: 'full', version: 'of another time' }
      await refusedFor(core.backend, 'check', 'full', { checks: [stale], add: [{ key: 'full', by: 1, max: 10 }] })
    },
  },
  {
    id: 'state/commit/add-max',
    sentence: 'A sum may reach its maximum but not exceed it.',
    async run({ store: { core } }) {
      await refusedFor(core.backend, 'max', 'k', { add: [{ key: 'k', by: 11, max: 10 }] })
      assert.equal(await contents(core.backend, 'k'), undefined)
      await applied(core.backend, { add: [{ key: 'k', by: 10, max: 10 }] })
      await refusedFor(core.backend, 'max', 'k', { add: [{ key: 'k', by: 1, max: 10 }] })
      await refusedFor(core.backend, 'max', 'k', { add: [{ key: 'k', by: -1, max: 5 }] })
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'k', by: -4, max: 10 }] })).sums, [6])
      await refusedFor(core.backend, 'max', 'zero', { add: [{ key: 'zero', by: 1, max: 0 }] })
    },
  },
  {
    id: 'state/commit/add-not-integer',
    sentence: 'What is there, and the sum, must be safe integers.',
    async run({ store: { core } }) {
      for (const value of ['"5"', '1.5', 'null', 'five', '', '9007199254740992', Uint8Array.of(0xff)]) {
        await applied(core.backend, { set: [{ key: 'k', value }] })
        await refusedFor(core.backend, 'not-integer', 'k', { add: [{ key: 'k', by: 1 }] })
      }
      await applied(core.backend, { set: [{ key: 'k', value: String(MAX) }] })
      await refusedFor(core.backend, 'not-integer', 'k', { add: [{ key: 'k', by: 1 }] })
      assert.equal(await contents(core.backend, 'k'), String(MAX))
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'k', by: -1 }] })).sums, [MAX - 1])
    },
  },
  {
    id: 'state/commit/add-max-concurrent',
    sentence: 'Under concurrency a maximum is reached, and never exceeded.',
    async run({ store: { core } }) {
      const add = [{ key: 'k', by: 3, max: 20 }]
      const results = await Promise.all(Array.from({ length: 12 }, () => core.backend.commit(SPACE, { add })))
      assert.equal(results.filter((result) => result.applied).length, 6)
      assert.equal(await contents(core.backend, 'k'), '18')
    },
  },
]

const lifetimes: readonly StateCase[] = [
  {
    id: 'state/commit/ttl',
    sentence: 'A set gives the key its TTL, keeps what is left of the present one, or leaves it none.',
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'k', value: '1', ttlMs: HOUR_MS }] })
      await applied(core.backend, { set: [{ key: 'k', value: '2', ttlMs: 'keep' }] })
      const { ttlMs } = await entryOf(core.backend, 'k')
      assert.ok(ttlMs !== undefined && ttlMs > HOUR_MS / 2 && ttlMs <= HOUR_MS, `${ttlMs} ms left`)
      await applied(core.backend, { set: [{ key: 'k', value: '3' }] })
      assert.equal((await entryOf(core.backend, 'k')).ttlMs, undefined)
      await applied(core.backend, { set: [{ key: 'k', value: '4', ttlMs: 'keep' }] })
      await applied(core.backend, { set: [{ key: 'new', value: '5', ttlMs: 'keep' }] })
      assert.equal((await entryOf(core.backend, 'k')).ttlMs, undefined)
      assert.equal((await entryOf(core.backend, 'new')).ttlMs, undefined)
    },
  },
  {
    id: 'state/commit/expired',
    sentence: 'For a commit an expired key is absent: nothing to delete, nothing to keep, 0 to add to.',
    async run({ store, store: { core } }) {
      for (const key of ['deleted', 'kept', 'added']) await applied(core.backend, { set: [{ key, value: '7', ttlMs: 50 }] })
      await expiry(store)
      assert.equal((await applied(core.backend, { delete: ['deleted'] })).deleted, 0)
      await applied(core.backend, { set: [{ key: 'kept', value: '8', ttlMs: 'keep' }] })
      assert.deepEqual((await applied(core.backend, { add: [{ key: 'added', by: 2, max: 2 }] })).sums, [2])
      assert.equal((await entryOf(core.backend, 'kept')).ttlMs, undefined)
      assert.equal((await entryOf(core.backend, 'added')).ttlMs, undefined)
    },
  },
]

export const additionCases: readonly StateCase[] = [...sums, ...lifetimes]
