/** `commit` of a backend: everything or nothing. Counters with limits, locks and plugin storage rest on it. */
import assert from 'node:assert/strict'
import type { StateBackend, StateCommit, StateCommitResult } from '../../state/contract.ts'
import type { StateStore } from '../../state/store.ts'
import { SPACE, contents, entryOf, expiry, versionOf, type StateCase } from './support.ts'

const HOUR_MS = 3_600_000
const MAX = Number.MAX_SAFE_INTEGER

/** Which commits a case makes decides whom it concerns. */
function needs(commitKeys: number): Pick<StateCase, 'skip'> {
  return {
    skip: ({ capabilities }: StateStore) =>
      capabilities.commitKeys < commitKeys ? `a commit names ${capabilities.commitKeys} key here, not ${commitKeys}` : undefined,
  }
}

async function applied(backend: StateBackend, commit: StateCommit): Promise<Extract<StateCommitResult, { applied: true }>> {
  const result = await backend.commit(SPACE, commit)
  if (!result.applied) assert.fail(`the commit was refused: ${result.reason} of ${result.key}`)
  return result
}

async function refusedFor(backend: StateBackend, reason: string, key: string, commit: StateCommit): Promise<void> {
  assert.deepEqual(await backend.commit(SPACE, commit), { applied: false, reason, key })
}

const single: readonly StateCase[] = [
  {
    id: 'state/commit/empty',
    sentence: 'A commit that names nothing is applied and changes nothing.',
    async run({ store: { core } }) {
      assert.deepEqual(await applied(core.backend, {}), { applied: true, deleted: 0, sums: [] })
    },
  },
  {
    id: 'state/commit/set-and-delete',
    sentence: 'A commit sets, and deletes: `deleted` counts what was there.',
    async run({ store: { core } }) {
      assert.deepEqual(await applied(core.backend, { set: [{ key: 'k', value: '"v"' }] }), {
        applied: true,
        deleted: 0,
        sums: [],
      })
      assert.equal(await contents(core.backend, 'k'), '"v"')
      assert.deepEqual(await applied(core.backend, { delete: ['k'] }), { applied: true, deleted: 1, sums: [] })
      assert.equal((await applied(core.backend, { delete: ['k'] })).deleted, 0)
      assert.equal(await contents(core.backend, 'k'), undefined)
    },
  },
  {
    id: 'state/commit/check',
    sentence: 'A check holds for the stored version only; when it fails nothing is written.',
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'k', value: '1' }] })
      const version = await versionOf(core.backend, 'k')
      await applied(core.backend, { checks: [{ key: 'k', version }], set: [{ key: 'k', value: '2' }] })
      await refusedFor(core.backend, 'check', 'k', { checks: [{ key: 'k', version }], set: [{ key: 'k', value: '3' }] })
      await refusedFor(core.backend, 'check', 'k', { checks: [{ key: 'k', version }], delete: ['k'] })
      await refusedFor(core.backend, 'check', 'k', { checks: [{ key: 'k', version: 'no such version' }], delete: ['k'] })
      await refusedFor(core.backend, 'check', 'none', { checks: [{ key: 'none', version }], set: [{ key: 'none', value: '3' }] })
      assert.equal(await contents(core.backend, 'k'), '2')
      assert.equal(await contents(core.backend, 'none'), undefined)
    },
  },
  {
    id: 'state/commit/check-absent',
    sentence: 'A check for `null` holds where there is no key, or none any more.',
    async run({ store, store: { core } }) {
      const absent = [{ key: 'k', version: null }]
      await applied(core.backend, { checks: absent, set: [{ key: 'k', value: '1' }] })
      await refusedFor(core.backend, 'check', 'k', { checks: absent, set: [{ key: 'k', value: '2' }] })
      await applied(core.backend, { set: [{ key: 'k', value: '1', ttlMs: 50 }] })
      await expiry(store)
      await applied(core.backend, { checks: absent, set: [{ key: 'k', value: '3' }] })
      assert.equal(await contents(core.backend, 'k'), '3')
    },
  },
  {
    id: 'state/commit/check-only',
    sentence: 'A commit of checks alone says whether they hold.',
    async run({ store: { core } }) {
      await applied(core.backend, { checks: [{ key: 'k', version: null }] })
      await applied(core.backend, { set: [{ key: 'k', value: '1' }] })
      await refusedFor(core.backend, 'check', 'k', { checks: [{ key: 'k', version: null }] })
    },
  },
  {
    id: 'state/commit/versions',
    sentence: 'The version differs after every change of the value, and never returns with another value.',
    async run({ store: { core } }) {
      const versions: string[] = []
      const commits: StateCommit[] = [
        { set: [{ key: 'k', value: '1' }] },
        { set: [{ key: 'k', value: '2' }] },
        { add: [{ key: 'k', by: 1 }] },
        { delete: ['k'] },
        { set: [{ key: 'k', value: '"again"' }] },
        { delete: ['k'] },
        { add: [{ key: 'k', by: 7 }] },
        { set: [{ key: 'k', value: Uint8Array.of(0xff) }] },
      ]
      for (const commit of commits) {
        await applied(core.backend, commit)
        if (commit.delete === undefined) versions.push(await versionOf(core.backend, 'k'))
      }
      assert.equal(new Set(versions).size, versions.length, `versions ${versions.join(', ')}`)
    },
  },
  {
    id: 'state/commit/versions-after-expiry',
    sentence: 'A version never returns for a key that expired and was written again.',
    async run({ store, store: { core } }) {
      await applied(core.backend, { set: [{ key: 'k', value: '1', ttlMs: 50 }] })
      const version = await versionOf(core.backend, 'k').catch(() => undefined)
      await expiry(store)
      await applied(core.backend, { set: [{ key: 'k', value: '2' }] })
      assert.notEqual(await versionOf(core.backend, 'k'), version)
    },
  },
  {
    id: 'state/commit/one-winner',
    sentence: 'Of concurrent commits that check the same version exactly one is applied.',
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'k', value: '"start"' }] })
      const checks = [{ key: 'k', version: await versionOf(core.backend, 'k') }]
      const commits = Array.from({ length: 10 }, (_, i) =>
        core.backend.commit(SPACE, { checks, set: [{ key: 'k', value: `${i}` }] }),
      )
      const winners = (await Promise.all(commits)).map((result) => result.applied)
      assert.equal(winners.filter(Boolean).length, 1)
      assert.equal(await contents(core.backend, 'k'), String(winners.indexOf(true)))
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

const several: readonly StateCase[] = [
  {
    id: 'state/commit/all',
    sentence: 'One commit checks, sets, deletes and adds; `sums` are in the order of the additions.',
    ...needs(2),
    async run({ store: { core } }) {
      const size = Math.min(core.backend.capabilities.commitKeys, 6)
      await applied(core.backend, { set: [{ key: 'a', value: '1' }] })
      const checks = [{ key: 'a', version: await versionOf(core.backend, 'a') }]
      await applied(core.backend, { checks, set: [{ key: 'b', value: '2' }] })
      assert.deepEqual(await applied(core.backend, { delete: ['a', 'none'] }), { applied: true, deleted: 1, sums: [] })
      const add = [
        { key: 'y', by: 2 },
        { key: 'x', by: 1, max: 1 },
      ]
      assert.deepEqual((await applied(core.backend, { add })).sums, [2, 1])
      if (size < 6) return
      const set = [
        { key: 'c', value: '3' },
        { key: 'd', value: '4' },
      ]
      const whole = { checks: [{ key: 'c', version: null }], set, delete: ['b', 'none'], add }
      await refusedFor(core.backend, 'max', 'x', whole)
      assert.deepEqual(await contentsOf(core.backend, ['b', 'c', 'd', 'x', 'y']), ['2', undefined, undefined, '1', '2'])
      const allowed = { ...whole, add: [add[0]!, { key: 'x', by: 1 }] }
      assert.deepEqual(await applied(core.backend, allowed), { applied: true, deleted: 1, sums: [4, 2] })
      assert.deepEqual(await contentsOf(core.backend, ['b', 'c', 'd', 'x', 'y']), [undefined, '3', '4', '2', '4'])
    },
  },
  {
    id: 'state/commit/nothing-when-checked',
    sentence: 'When one check fails nothing is applied: no set, no deletion, no addition.',
    ...needs(2),
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'a', value: '1' }] })
      const checks = [{ key: 'a', version: null }]
      await refusedFor(core.backend, 'check', 'a', { checks, set: [{ key: 'b', value: '2' }] })
      await refusedFor(core.backend, 'check', 'a', { checks, add: [{ key: 'b', by: 2 }] })
      await refusedFor(core.backend, 'check', 'a', { checks, delete: ['a'], set: [{ key: 'b', value: '2' }] })
      const version = await versionOf(core.backend, 'a')
      const second = [
        { key: 'a', version },
        { key: 'b', version: 'no such version' },
      ]
      await refusedFor(core.backend, 'check', 'b', { checks: second, set: [{ key: 'a', value: '3' }] })
      assert.deepEqual(await contentsOf(core.backend, ['a', 'b']), ['1', undefined])
    },
  },
  {
    id: 'state/commit/nothing-when-summed',
    sentence: 'When one sum is refused nothing is applied.',
    ...needs(2),
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'text', value: '"x"' }] })
      const set = [{ key: 'b', value: '2' }]
      await refusedFor(core.backend, 'max', 'a', { set, add: [{ key: 'a', by: 2, max: 1 }] })
      await refusedFor(core.backend, 'not-integer', 'text', { set, add: [{ key: 'text', by: 2 }] })
      const add = [
        { key: 'b', by: 1 },
        { key: 'a', by: 2, max: 1 },
      ]
      await refusedFor(core.backend, 'max', 'a', { add })
      assert.deepEqual(await contentsOf(core.backend, ['a', 'b', 'text']), [undefined, undefined, '"x"'])
    },
  },
  {
    id: 'state/commit/whole',
    sentence: 'Concurrent commits of the same keys, in whatever order they name them, leave those of one of them.',
    ...needs(2),
    async run({ store: { core } }) {
      const commits = Array.from({ length: 10 }, (_, i) => {
        const set = [
          { key: 'a', value: `${i}` },
          { key: 'b', value: `${i}` },
        ]
        return applied(core.backend, { set: i % 2 === 0 ? set : set.toReversed() })
      })
      await Promise.all(commits)
      const [a, b] = await contentsOf(core.backend, ['a', 'b'])
      assert.equal(a, b)
    },
  },
  {
    id: 'state/commit/too-many-keys',
    sentence: 'A commit of more keys than `commitKeys` allows is refused as `UNSUPPORTED` and not applied in part.',
    skip: ({ capabilities }) => (capabilities.commitKeys <= 1_000 ? undefined : 'a commit may name any number of keys here'),
    async run({ store: { core } }) {
      const keys = Array.from({ length: core.backend.capabilities.commitKeys + 1 }, (_, i) => `k${i}`)
      const commit = core.backend.commit(SPACE, { set: keys.map((key) => ({ key, value: '1' })) })
      await assert.rejects(commit, { code: 'UNSUPPORTED' })
      assert.deepEqual(await core.backend.scan(SPACE, { prefix: '', limit: 1 }), [])
    },
  },
]

export const commitCases: readonly StateCase[] = [...single, ...lifetimes, ...sums, ...several]

function contentsOf(backend: StateBackend, keys: readonly string[]): Promise<(string | undefined)[]> {
  return Promise.all(keys.map((key) => contents(backend, key)))
}
