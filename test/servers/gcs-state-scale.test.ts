/** How much Cloud Storage is asked for: round trips, many objects, large values. */
import { Storage } from '@google-cloud/storage'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { folderOf } from '../../src/state/gcs-names.ts'
import { FakeGcs } from '../fakes/gcs.ts'
import { exec } from '../support.ts'
import { newBucket, onEachServer, openStore, type Server } from './gcs-support.ts'

/** Objects of each of two workspaces. They are deleted one after the other, as the store does where a commit holds one key. */
const ROWS = Number(process.env['HOLDFAST_ROWS'] ?? 3_000)
const HEAP_MB = 64
const KEYS = Array.from({ length: 100 }, (_, i) => `k${100 + i}`)

/** The requests of some work, e.g. `GET xml`, `POST upload`, `DELETE object`. */
async function asked({ http }: Server, work: () => Promise<unknown>): Promise<string[]> {
  const before = http.seen.length
  await work()
  return http.seen.slice(before).map(({ method, path }) => {
    if (path.startsWith('/upload/')) return `${method} upload`
    if (!path.startsWith('/storage/')) return `${method} xml`
    return `${method} ${/\/o\?/.test(path) ? 'list' : 'object'}`
  })
}

onEachServer('gcs, how much is asked of it', (server) => {
  it('needs one request where the engine allows it', async () => {
    await using at = await openStore(server.url)
    const { store } = at
    const of = (work: () => Promise<unknown>): Promise<string[]> => asked(server, work)
    // The first write looks for a mark that values are encrypted.
    await store.set('first', 1)
    const [read, write, list, look, remove] = ['GET xml', 'POST upload', 'GET list', 'GET object', 'DELETE object']
    expect(await of(() => store.get('k'))).toEqual([read])
    expect(await of(() => store.set('k', { a: 1 }))).toEqual([write])
    expect(await of(() => store.set('k', 1, { ttl: 60 }))).toEqual([write])
    expect(await of(() => store.get('k'))).toEqual([read])
    expect(await of(() => store.ttl('k'))).toEqual([read])
    expect(await of(() => store.exists('k'))).toEqual([read])
    expect(await of(() => store.setIfAbsent('new', 1))).toEqual([write])
    expect(await of(() => store.setIfAbsent('new', 1))).toEqual([write, look])
    expect(await of(() => store.compareAndSet('k', 1, 2))).toEqual([read, write])
    expect(await of(() => store.expire('k', 60))).toEqual([read, write])
    expect(await of(() => store.hset('hash', 'a', 1))).toEqual([read, write])
    expect(await of(() => store.increment('n'))).toEqual([read, write])
    expect(await of(() => store.increment('n'))).toEqual([write])
    expect(await of(() => Promise.all(KEYS.map(() => store.increment('n'))))).toEqual([write, write])
    // What was written or listed here is known, with its generation.
    expect(await of(() => store.delete('k'))).toEqual([remove])
    expect(await of(() => store.delete('k'))).toEqual([look])
    expect(await of(() => store.setMany(KEYS.map((key) => [key, 1] as const)))).toEqual(KEYS.map(() => write))
    expect(await of(() => store.getMany(KEYS))).toEqual(KEYS.map(() => read))
    expect(await of(() => store.scan({ prefix: 'k', limit: 100 }))).toEqual([list])
    expect(await of(() => store.scan({ prefix: 'none' }))).toEqual([list])
    expect(await of(() => store.keys('k*'))).toEqual([list])
    expect(await of(() => store.clear())).toEqual([list, ...Array.from({ length: 104 }, () => remove)])
    expect(await of(() => store.ping())).toEqual([list])
    await using other = await openStore(server.url, { bucket: at.bucket })
    await store.set('k', 1)
    expect(await of(() => other.store.delete('k'))).toEqual([look, remove])
  })

  it('takes a few requests for a plugin’s value, whose size and quota are counted apart', async () => {
    await using at = await openStore(server.url)
    const session = new PluginHost({ state: at.store, quotaBytes: 1_000 }).session({ workspaceId: 'w', pluginId: 'a/b' })
    await session.storage.set('k', Buffer.from('1'))
    const counts = {
      same: (await asked(server, () => session.storage.set('k', Buffer.from('2')))).length,
      larger: (await asked(server, () => session.storage.set('k', Buffer.from('22')))).length,
      get: (await asked(server, () => session.storage.get('k'))).length,
      delete: (await asked(server, () => session.storage.delete('k'))).length,
    }
    expect(counts).toEqual({ same: 3, larger: 4, get: 1, delete: 4 })
  })

  it('has as many as the raw client, or fewer', async () => {
    await using at = await openStore(server.url)
    await at.store.set('first', 1)
    const file = new Storage({ apiEndpoint: server.url, projectId: 'test' }).bucket(at.bucket).file('raw')
    const plain = { resumable: false, validation: false }
    const counts = {
      set: [await asked(server, () => at.store.set('k', 1)), await asked(server, () => file.save('1', plain))],
      get: [
        await asked(server, () => at.store.get('k')),
        await asked(server, () => Promise.all([file.download(), file.getMetadata()])),
      ],
      delete: [await asked(server, () => at.store.delete('k')), await asked(server, () => file.delete())],
    }
    const lengths = Object.fromEntries(Object.entries(counts).map(([name, [own, raw]]) => [name, [own!.length, raw!.length]]))
    expect(lengths).toEqual({ set: [1, 1], get: [1, 2], delete: [1, 1] })
  })

  it('gives full pages where many have expired, and removes what it passes', async () => {
    await using at = await openStore(server.url)
    await at.store.setMany(Object.fromEntries(KEYS.map((key) => [key, 1])), { ttl: 0.05 })
    await at.store.setMany({ a: 1, x: 1, y: 1, z: 1 })
    while (await at.store.exists(KEYS.at(-1)!)) await new Promise((resolve) => setTimeout(resolve, 20))
    expect((await at.store.scan({ limit: 2 })).items).toEqual(['a', 'x'])
    expect((await at.store.scan({ limit: 1_000 })).items).toEqual(['a', 'x', 'y', 'z'])
    expect(await at.store.clear()).toBe(4)
    const file = new Storage({ apiEndpoint: server.url, projectId: 'test' }).bucket(at.bucket)
    expect((await file.getFiles())[0]).toEqual([])
  })

  it('keeps a value of 20 MB', async () => {
    await using at = await openStore(server.url)
    const bytes = new Uint8Array(20_000_000).map((_, i) => i * 31)
    await at.store.setBytes('large', bytes)
    expect(Buffer.compare((await at.store.getBytes('large'))!, bytes)).toBe(0)
    const tooLarge = new Uint8Array(at.store.limits.valueBytes! + 1)
    await expect(at.store.setBytes('large', tooLarge)).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' })
  })
})

describe('gcs with many objects', () => {
  it(`lists ${ROWS} keys and clears ${ROWS} among them in a heap of ${HEAP_MB} MB`, { timeout: 1_800_000 }, async () => {
    await using fake = await FakeGcs.open()
    const bucket = await newBucket(fake.url)
    const names = ['kept', 'cleared'].flatMap((workspace) =>
      Array.from({ length: ROWS }, (_, i) => `holdfast/state/${folderOf(`w:${workspace}`)}key-${String(i).padStart(8, '0')}`),
    )
    fake.fill(bucket, names)
    const script = fileURLToPath(new URL('../fixtures/state-rows.ts', import.meta.url))
    const args = [`--max-old-space-size=${HEAP_MB}`, script, 'gcs', JSON.stringify({ bucket, apiEndpoint: fake.url })]
    const { stdout } = await exec(process.execPath, args)
    const all = { keys: ROWS, inOrder: true }
    expect(JSON.parse(stdout)).toMatchObject({ listed: all, removed: ROWS, left: { keys: 0 }, others: all })
    if (process.env['HOLDFAST_ROWS'] !== undefined) console.log(stdout)
  })
})
