/** `get`, `scan` and the spaces of a backend: what the store, and plugin storage, take for granted. */
import assert from 'node:assert/strict'
import type { StateBackend } from '../../state/contract.ts'
import { inParallel } from '../expect.ts'
import { NEAR_DUPLICATES } from '../hostile.ts'
import { SPACE, textOf } from './backend.ts'
import { sorted, type StateCase } from './support.ts'

export const entryCases: readonly StateCase[] = [
  {
    id: 'state/backend/capabilities',
    sentence: 'A backend declares how it stores bytes, and that a commit may name one key, or two or more.',
    async run({ store: { capabilities } }) {
      assert.ok(['native', 'base64'].includes(capabilities.bytes), `bytes: ${capabilities.bytes}`)
      const { commitKeys } = capabilities
      assert.ok(commitKeys === Infinity || (Number.isInteger(commitKeys) && commitKeys >= 1), `commitKeys: ${commitKeys}`)
    },
  },
  {
    id: 'state/backend/get',
    sentence: '`get` answers each key in its place, with its value and a version.',
    async run({ store: { core } }) {
      await write(core.backend, SPACE, 'a', '{"x":1}')
      await core.backend.commit(SPACE, { set: [{ key: 'b', value: Uint8Array.of(0x41, 0xff, 0), ttlMs: 60_000 }] })
      const [b, none, a, again] = await core.backend.get(SPACE, ['b', 'none', 'a', 'a'])
      assert.ok(b && a && again && none === undefined, 'the answers are in other places')
      assert.equal(textOf(a.value), '{"x":1}')
      assert.deepEqual([...(b.value as Uint8Array)], [0x41, 0xff, 0])
      assert.deepEqual([typeof a.version, a.ttlMs, again.version], ['string', undefined, a.version])
      assert.ok(b.ttlMs !== undefined && b.ttlMs > 0 && b.ttlMs <= 60_000, `${b.ttlMs} ms left`)
      assert.deepEqual(await core.backend.get(SPACE, []), [])
    },
  },
  {
    id: 'state/backend/spaces',
    sentence: 'Spaces are compared bytewise, and nothing crosses them: no key, no listing, no commit.',
    async run({ store: { core } }) {
      await inParallel(NEAR_DUPLICATES.entries(), 8, async ([i, [a, b]]) => {
        const [one, other] = [`${SPACE}${i}:${a}`, `${SPACE}${i}:${b}`]
        await write(core.backend, one, 'k', '1')
        assert.deepEqual(await core.backend.get(other, ['k']), [undefined], `${other} sees ${one}`)
        assert.deepEqual(await core.backend.scan(other, { prefix: '', limit: 10 }), [], `${other} lists ${one}`)
        await core.backend.commit(other, { delete: ['k'] })
        await core.backend.commit(other, { add: [{ key: 'n', by: 1 }] })
        assert.deepEqual(await core.backend.scan(one, { prefix: '', limit: 10 }), ['k'], `${other} changed ${one}`)
      })
    },
  },
  {
    id: 'state/backend/longest-names',
    sentence: 'A space of 514 bytes holds a key of 512, and none that differ in their last byte are taken for one another.',
    async run({ store: { core } }) {
      const [space, key] = ['€'.repeat(171) + 'a', 'é'.repeat(255) + 'xy']
      const places = [
        [space, key],
        [space.slice(0, -1) + 'b', key],
        [space, key.slice(0, -1) + 'z'],
      ] as const
      for (const [i, [at, name]] of places.entries()) await write(core.backend, at, name, `${i}`)
      for (const [i, [at, name]] of places.entries()) {
        const [entry] = await core.backend.get(at, [name])
        assert.equal(entry && textOf(entry.value), `${i}`)
      }
      assert.deepEqual(await core.backend.scan(space, { prefix: '', limit: 10 }), sorted([key, key.slice(0, -1) + 'z']))
      assert.deepEqual(await core.backend.scan(space, { prefix: key, limit: 10 }), [key])
    },
  },
  {
    id: 'state/backend/no-joined-names',
    sentence: 'A space and a key are never joined into one name that another pair has too.',
    async run({ store: { core } }) {
      const pairs = [':', '/', '\\', '|', '#', ' ', '"', '}'].flatMap((mark): [string, string][] => [
        [`${SPACE}a`, `b${mark}c`],
        [`${SPACE}a${mark}b`, 'c'],
        [`${SPACE}a${mark}`, `b${mark}c`],
        [`${SPACE}a`, `${mark}b${mark}c`],
      ])
      await inParallel(pairs.entries(), 8, ([i, [space, key]]) => write(core.backend, space, key, `${i}`))
      await inParallel(pairs.entries(), 8, async ([i, [space, key]]) => {
        const [entry] = await core.backend.get(space, [key])
        assert.equal(entry && textOf(entry.value), `${i}`, `${JSON.stringify(key)} in ${JSON.stringify(space)}`)
      })
    },
  },
  {
    id: 'state/backend/scan',
    sentence: '`scan` gives up to `limit` keys behind `after`, which need not be there, and fewer only at the end.',
    async run({ store: { core } }) {
      const keys = sorted(['a', 'b', 'b1', 'b2', 'c', '\uffff', '\u{10000}'])
      for (const key of keys) await write(core.backend, SPACE, key, '1')
      const scan = (prefix: string, after: string | undefined, limit: number): Promise<string[]> =>
        core.backend.scan(SPACE, { prefix, after, limit })
      assert.deepEqual(await scan('', undefined, 10), keys)
      assert.deepEqual(await scan('', undefined, 7), keys)
      assert.deepEqual(await scan('', 'a', 2), ['b', 'b1'])
      assert.deepEqual(await scan('', 'aa', 2), ['b', 'b1'])
      assert.deepEqual(await scan('b', 'b', 5), ['b1', 'b2'])
      assert.deepEqual(await scan('b', 'b2', 5), [])
      assert.deepEqual(await scan('b', 'a', 5), ['b', 'b1', 'b2'])
      assert.deepEqual(await scan('b', 'c', 5), [])
      assert.deepEqual(await scan('', '\uffff', 5), ['\u{10000}'])
      assert.deepEqual(await scan('', '\u{10000}', 5), [])
    },
  },
]

async function write(backend: StateBackend, space: string, key: string, value: string): Promise<void> {
  await backend.commit(space, { set: [{ key, value }] })
}
