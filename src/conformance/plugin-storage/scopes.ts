/** A scope is a workspace and a plugin, and nothing crosses it. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PluginStorage } from '../../plugin-storage/storage.ts'
import { collect, expectError, expectRefused, inParallel } from '../expect.ts'
import { BAD_IDS, NEAR_DUPLICATES, NON_STRINGS } from '../hostile.ts'
import { assertCounted, bytes, IN_CHUNKS, pattern, rawKeys, sameBytes, SCOPE, type StorageCase } from './support.ts'

const BAD_PLUGINS = [
  '',
  'name',
  '/',
  '/name',
  'author/',
  'a/b/c',
  '../x',
  'a/..',
  'a b/c',
  'a/é',
  'a/b:x',
  'a/b:1',
  'a/b@1',
  'a/b\n',
  'a\0/b',
]

/** Every method of a storage, with arguments that find something, or would. */
const METHODS: Readonly<Record<string, (storage: PluginStorage) => Promise<unknown>>> = {
  set: (storage) => storage.set('k', bytes('1')),
  get: (storage) => storage.get('k'),
  delete: (storage) => storage.delete('k'),
  exist: (storage) => storage.exist('k'),
  getText: (storage) => storage.getText('k'),
  setText: (storage) => storage.setText('k', '1'),
  getJson: (storage) => storage.getJson('k'),
  setJson: (storage) => storage.setJson('k', 1),
  keys: (storage) => storage.keys(),
  scanPrefix: (storage) => collect(storage.scanPrefix('')),
  setIfAbsent: (storage) => storage.setIfAbsent('k', bytes('1')),
  increment: (storage) => storage.increment('n'),
  ttl: (storage) => storage.ttl('k'),
  expire: (storage) => storage.expire('k', 600),
  persist: (storage) => storage.persist('k'),
  getMany: (storage) => storage.getMany(['k']),
  setMany: (storage) => storage.setMany({ k: bytes('1') }),
  createReadStream: (storage) => collect(storage.createReadStream('k')),
  createWriteStream: (storage) =>
    new Promise((resolve, reject) =>
      storage.createWriteStream('k').once('finish', resolve).once('error', reject).end(bytes('1')),
    ),
  usage: (storage) => storage.usage(),
}

const separate: readonly StorageCase[] = [
  {
    id: 'plugin-storage/scopes/isolated',
    sentence: 'Another plugin, another workspace: another storage. Nothing is seen, listed, deleted or counted across.',
    async run({ host: open }) {
      const host = open(IN_CHUNKS)
      const ids = ['w1', 'w2', ''].flatMap((workspaceId) =>
        ['author/name', 'author/name2', 'other/name', 'author/nam'].map((pluginId) => ({ workspaceId, pluginId })),
      )
      const storages = ids.map((id) => host.session(id).storage)
      await inParallel(storages.entries(), 6, ([i, storage]) => storage.set('k', pattern(50 + i * 10, i)))
      for (const [i, storage] of storages.entries()) {
        sameBytes(await storage.get('k'), pattern(50 + i * 10, i))
        assert.deepEqual(await storage.keys(), ['k'])
        assert.equal((await storage.usage()).usedBytes, 50 + i * 10)
      }
      await storages[0]!.delete('k')
      for (const storage of storages.slice(1)) assert.equal(await storage.exist('k'), true)
    },
  },
  {
    id: 'plugin-storage/scopes/near-duplicates',
    sentence: 'Workspaces whose ids differ in case, spaces, normalisation or a far byte have storages of their own.',
    async run({ host: open }) {
      const host = open()
      await inParallel(NEAR_DUPLICATES.entries(), 8, async ([i, [one, two]]) => {
        const [left, right] = [one, two].map((id) => host.session({ ...SCOPE, workspaceId: `${i}:${id}` }).storage)
        await left!.set('k', bytes('x'))
        assert.equal(await right!.get('k'), undefined, `${JSON.stringify(two)} sees ${JSON.stringify(one)}`)
      })
    },
  },
  {
    id: 'plugin-storage/scopes/version',
    sentence: 'A plugin keeps its data over an upgrade: the version and checksum of its full identifier do not count.',
    async run({ host: open }) {
      const host = open()
      const session = (pluginId: string) => host.session({ ...SCOPE, pluginId })
      await session('author/name:0.0.1').storage.set('k', bytes('kept'))
      for (const id of ['author/name', 'author/name:0.0.2', 'author/name:1.2.3-beta', `author/name:1.0.0@${'0a'.repeat(32)}`]) {
        assert.equal(session(id).pluginId, 'author/name')
        sameBytes(await session(id).storage.get('k'), bytes('kept'))
      }
    },
  },
  {
    id: 'plugin-storage/scopes/ids-checked',
    sentence: 'What is no plugin id, no workspace or no size is refused.',
    async run({ host: open }) {
      const host = open()
      const session = async (options: object): Promise<unknown> => host.session({ ...SCOPE, ...options })
      for (const pluginId of BAD_PLUGINS) await expectError('INVALID_ARGUMENT', () => session({ pluginId }))
      for (const [, workspaceId] of BAD_IDS)
        if (workspaceId !== '') await expectError('INVALID_ARGUMENT', () => session({ workspaceId }))
      for (const value of NON_STRINGS) {
        await expectRefused(() => session({ pluginId: value }))
        await expectRefused(() => session({ workspaceId: value }))
      }
      for (const sizeBytes of [-1, 1.5, Number.NaN, Infinity, '5']) await expectRefused(() => session({ sizeBytes }))
    },
  },
  {
    id: 'plugin-storage/scopes/permission',
    sentence: 'A plugin whose manifest does not enable storage gets PERMISSION_DENIED from every method, and writes nothing.',
    async run({ storage: open, store }) {
      const storage = open({ enabled: false })
      for (const call of Object.values(METHODS)) await expectError('PERMISSION_DENIED', () => call(storage), store)
      assert.deepEqual(await rawKeys(store), [])
      for (const call of Object.values(METHODS)) await call(open())
    },
  },
]

const administration: readonly StorageCase[] = [
  {
    id: 'plugin-storage/admin/scopes',
    sentence: '`scopes` lists every scope that holds something, with its usage, all or those of one workspace.',
    async run({ host: open }) {
      const host = open()
      const ids = ['w', 'w2', '', ' /:%'].flatMap((workspaceId) =>
        ['a/one', 'b/two'].map((pluginId) => ({ workspaceId, pluginId })),
      )
      assert.deepEqual(await collect(host.scopes()), [])
      for (const [i, id] of ids.entries()) await host.session(id).storage.set('k', pattern(i, i))
      for (const id of ids) await host.session({ ...id, pluginId: 'only/read' }).storage.get('k')
      const listed = async (options?: { workspaceId: string }): Promise<unknown[]> =>
        (await collect(host.scopes(options)))
          .map(({ workspaceId, pluginId, usedBytes }) => `${workspaceId}|${pluginId}|${usedBytes}`)
          .toSorted()
      const expected = ids.map(({ workspaceId, pluginId }, i) => `${workspaceId}|${pluginId}|${i}`).toSorted()
      assert.deepEqual(await listed(), expected)
      assert.deepEqual(
        await listed({ workspaceId: 'w' }),
        expected.filter((line) => line.startsWith('w|')),
      )
      assert.deepEqual(await listed({ workspaceId: 'none' }), [])
    },
  },
  {
    id: 'plugin-storage/admin/many-scopes',
    sentence: '`scopes` goes over any number of scopes.',
    async run({ host: open }) {
      const host = open()
      const ids = Array.from({ length: 230 }, (_, i) => ({ workspaceId: `w${i % 7}`, pluginId: `a/p${i}` }))
      await inParallel(ids, 16, (id) => host.session(id).storage.set('k', bytes('x')))
      const found = await collect(host.scopes())
      assert.equal(new Set(found.map(({ pluginId }) => pluginId)).size, 230)
      assert.equal(found.length, 230)
    },
  },
  {
    id: 'plugin-storage/admin/usage',
    sentence: '`usage` of a scope is the bytes of its values, and 0 where there is nothing.',
    async run({ host: open, storage: openStorage }) {
      const host = open()
      assert.deepEqual(await host.usage(SCOPE), { usedBytes: 0, encrypted: false, createdAt: undefined })
      await openStorage().set('k', bytes('12345'))
      const { usedBytes, createdAt } = await host.usage(SCOPE)
      assert.equal(usedBytes, 5)
      assert.ok(Math.abs(createdAt!.getTime() - Date.now()) < 60_000)
      assert.equal((await host.usage({ ...SCOPE, pluginId: 'author/name:1.2.3' })).usedBytes, 5)
    },
  },
  {
    id: 'plugin-storage/admin/clear',
    sentence:
      '`clear` removes all that a plugin has left, counter and pieces included, leaves others alone, and says how many values.',
    async run({ host: open, store }) {
      const host = open(IN_CHUNKS)
      const { storage } = host.session(SCOPE)
      const other = host.session({ ...SCOPE, pluginId: 'author/other' }).storage
      await other.set('k', bytes('other'))
      assert.equal(await host.clear(SCOPE), 0)
      await storage.setMany({ a: pattern(10, 1), b: pattern(1_000, 2), c: pattern(0, 3) })
      await storage.set('lease', bytes('x'), { ttl: 600 })
      assert.equal(await host.clear({ ...SCOPE, pluginId: 'author/name:9.9.9' }), 4)
      assert.deepEqual(await rawKeys(store), [], 'something is left')
      assert.deepEqual(await storage.keys(), [])
      assert.equal((await storage.usage()).usedBytes, 0)
      assert.deepEqual(
        (await collect(host.scopes())).map(({ pluginId }) => pluginId),
        ['author/other'],
      )
      assert.equal(await host.clear(SCOPE), 0)
      sameBytes(await other.get('k'), bytes('other'))
    },
  },
  {
    id: 'plugin-storage/admin/clear-and-go-on',
    sentence: 'After `clear` a plugin begins anew, by a session from before too: listed, with its whole quota.',
    reopens: true,
    async run({ host: open, another }) {
      const host = open({ quotaBytes: 10 })
      const elsewhere = open({ quotaBytes: 10, state: await another() })
      const [here, there] = [host, elsewhere].map((each) => each.session(SCOPE).storage)
      for (const storage of [there!, here!]) {
        await storage.set('k', bytes('0123456789'))
        await host.clear(SCOPE)
        assert.equal(await storage.get('k'), undefined)
        await storage.set('new', bytes('0123456789'))
        assert.equal((await collect(host.scopes())).length, 1)
        await assertCounted(here!)
        await host.clear(SCOPE)
      }
    },
  },
  {
    id: 'plugin-storage/admin/clear-among-writers',
    sentence: 'A scope that is cleared while plugins write holds afterwards what was written afterwards, listed and counted.',
    async run({ host: open }) {
      const hosts = [open(IN_CHUNKS), open(IN_CHUNKS)]
      const until = performance.now() + 300
      const writer = async (i: number): Promise<void> => {
        const { storage } = hosts[i % 2]!.session(SCOPE)
        for (let n = 0; performance.now() < until; n++) {
          // A value in pieces may be refused, as `clear` took them.
          await storage
            .set(`k${i}`, pattern((n * 37) % 200, n))
            .catch((error: { code?: string }) => assert.equal(error.code, 'CONFLICT'))
        }
      }
      const clearer = async (): Promise<void> => {
        while (performance.now() < until) {
          await hosts[0]!.clear(SCOPE)
          await sleep(20)
        }
      }
      await Promise.all([writer(0), writer(1), writer(2), clearer()])
      const { storage } = hosts[1]!.session(SCOPE)
      await storage.set('last', bytes('x'))
      assert.equal((await collect(hosts[0]!.scopes())).length, 1)
      for (const key of await storage.keys()) await storage.get(key)
      await hosts[0]!.reconcile(SCOPE, { olderThanMs: 0, quietMs: 20 })
      await assertCounted(storage)
    },
  },
  {
    id: 'plugin-storage/admin/clear-workspace',
    sentence: '`clearWorkspace` clears every scope of one workspace and says how much that was.',
    async run({ host: open }) {
      const host = open()
      for (const workspaceId of ['w1', 'w2']) {
        for (const pluginId of ['a/a', 'a/b', 'a/c']) {
          await host.session({ workspaceId, pluginId }).storage.setMany({ x: bytes('1'), y: bytes('2') })
        }
      }
      assert.deepEqual(await host.clearWorkspace('w1'), { scopes: 3, values: 6 })
      assert.deepEqual(await host.clearWorkspace('w1'), { scopes: 0, values: 0 })
      assert.equal((await collect(host.scopes())).length, 3)
    },
  },
]

export const scopeCases: readonly StorageCase[] = [...separate, ...administration]
