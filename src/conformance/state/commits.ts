/** `commit` of a backend: everything or nothing. Locks, counters with limits and plugin storage rest on it. */
import assert from 'node:assert/strict'
import type { StateAdd, StateBackend, StateCommit, StateSet } from '../../state/contract.ts'
import type { StateStore } from '../../state/store.ts'
import { SPACE, applied, contents, refusedFor, versionOf } from './backend.ts'
import { expiry, type StateCase } from './support.ts'

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

const several: readonly StateCase[] = [
  {
    id: 'state/commit/several',
    sentence:
      'A commit may check one key and write another; `deleted` counts keys that were there, `sums` keep the order of `add`.',
    ...needs(2),
    async run({ store: { core } }) {
      await applied(core.backend, { set: [{ key: 'a', value: '1' }] })
      const checks = [{ key: 'a', version: await versionOf(core.backend, 'a') }]
      await applied(core.backend, { checks, set: [{ key: 'b', value: '2' }] })
      assert.equal((await applied(core.backend, { delete: ['a', 'none'] })).deleted, 1)
      assert.deepEqual((await applied(core.backend, { add: adding({ y: 2, x: 1 }) })).sums, [2, 1])
      assert.deepEqual(await contentsOf(core.backend, ['a', 'b', 'x', 'y']), [undefined, '2', '1', '2'])
    },
  },
  {
    id: 'state/commit/all',
    sentence: 'One commit checks, sets, deletes and adds: all of it, or nothing.',
    ...needs(6),
    async run({ store: { core } }) {
      await applied(core.backend, { set: setting({ b: 'old', y: '2' }) })
      const commit = { checks: [{ key: 'c', version: null }], set: setting({ c: '3', d: '4' }), delete: ['b', 'none'] }
      const beyond = [...adding({ y: 2 }), { key: 'x', by: 1, max: 0 }]
      await refusedFor(core.backend, 'max', 'x', { ...commit, add: beyond })
      assert.deepEqual(await contentsOf(core.backend, ['b', 'c', 'd', 'x', 'y']), ['old', undefined, undefined, undefined, '2'])
      const result = await applied(core.backend, { ...commit, add: adding({ y: 2, x: 1 }) })
      assert.deepEqual(result, { applied: true, deleted: 1, sums: [4, 1] })
      assert.deepEqual(await contentsOf(core.backend, ['b', 'c', 'd', 'x', 'y']), [undefined, '3', '4', '1', '4'])
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
        const set = setting({ a: `${i}`, b: `${i}` })
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

export const commitCases: readonly StateCase[] = [...single, ...several]

/** Concerns only backends whose commits may name so many keys. */
function needs(commitKeys: number): Pick<StateCase, 'skip'> {
  return {
    skip: ({ capabilities }: StateStore) =>
      capabilities.commitKeys < commitKeys ? `a commit may not name ${commitKeys} keys here` : undefined,
  }
}

function setting(values: Readonly<Record<string, string>>): StateSet[] {
  return Object.entries(values).map(([key, value]) => ({ key, value }))
}

function adding(amounts: Readonly<Record<string, number>>): StateAdd[] {
  return Object.entries(amounts).map(([key, by]) => ({ key, by }))
}

function contentsOf(backend: StateBackend, keys: readonly string[]): Promise<(string | undefined)[]> {
  return Promise.all(keys.map((key) => contents(backend, key)))
}
