/** Many keys: listed, cleared and expired without much memory, and without keeping the server from others for long. */
import { afterEach, expect, it, vi } from 'vitest'
import type { StateStore } from '../../src/state/store.ts'
import { run } from '../support.ts'
import { withService } from '../services.ts'
import { create, keysUnder, newPrefix, open, removeAll, urlsOf, withRaw, type RedisBackend } from './redis-support.ts'

const KEYS = 200_000
const BATCH = 5_000
/** Node itself takes some 20 MB of it. */
const SMALL_HEAP = '--max-old-space-size=48'

const PLACES = [
  ['redis', 'redis'],
  ['valkey', 'valkey-cluster'],
] as const satisfies readonly (readonly [RedisBackend, string])[]

for (const [backend, name] of PLACES) {
  withService(name, `${backend} on ${name}: ${KEYS} keys`, (service) => {
    it('are scanned, and one workspace is cleared among them, with a small heap', async () => {
      const prefix = newPrefix()
      const options = { url: service.url, cluster: urlsOf(service).length > 1, prefix }
      const store = await create(backend, options)
      await fill(store, KEYS)
      await fill(store.workspace('doomed'), 10_000)
      await fill(store.workspace('other'), 1_000)
      const child = run('test/fixtures/redis-large.ts', [backend, JSON.stringify(options), 'doomed'], {
        env: { NODE_OPTIONS: SMALL_HEAP },
      })
      const said = (await child.lines.next()).value
      expect(await child.ended).toMatchObject({ code: 0 })
      expect(JSON.parse(said)).toEqual({ scanned: KEYS, isOrdered: true, cleared: 10_000 })
      expect(await count(store)).toBe(KEYS)
      expect(await count(store.workspace('other'))).toBe(1_000)
      expect((await store.listWorkspaces()).items).toEqual(['', 'other'])
      await store.close()
      expect((await keysUnder(service, prefix)).filter((key) => key.includes('doomed'))).toEqual([])
      await removeAll(service, prefix)
    })
  })
}

for (const backend of ['redis', 'valkey'] as const) {
  withService(backend, `${backend}: expired keys`, (service) => {
    it('are gone for every method at once, and cost a listing little and only once', async () => {
      await using place = await open(backend, service)
      const { store, proxies, prefix } = place
      await store.setMany({ a: 1, m5: 2, z: 3 })
      await fill(store, 10_000, 'm', 0.5)
      await vi.waitFor(async () => expect(await store.exists('m09999')).toBe(false), { timeout: 5_000, interval: 50 })
      // The first also loads a script.
      await store.scan({ limit: 1 })
      let keys: string[] = []
      expect(await proxies.count(async () => (keys = await store.keys()))).toBeLessThanOrEqual(4)
      expect(keys).toEqual(['a', 'm5', 'z'])
      expect((await store.scan({ prefix: 'm', limit: 2 })).items).toEqual(['m5'])
      expect(await store.deleteMany(['m00001', 'a'])).toBe(1)
      for (let i = 0; i < 10; i++) await store.scan()
      expect(await proxies.count(() => store.keys())).toBe(1)
      await withRaw(service.url, async (client) => {
        expect(await client.zRange(`${prefix}{.}:i`, 0, -1)).toEqual(['m5', 'z'])
        expect(await client.zCard(`${prefix}{.}:e`)).toBe(1)
      })
    })

    it('never pile up under names that are never listed', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      for (let round = 0; round < 5; round++) {
        await fill(store, 200, `r${round}-`, 0.05)
        await vi.waitFor(async () => expect(await store.exists(`r${round}-00199`)).toBe(false))
      }
      for (let i = 0; i < 20; i++) await store.set('k', i)
      await withRaw(service.url, async (client) => expect(await client.zCard(`${prefix}{.}:i`)).toBe(1))
    })

    it('leave nothing behind when a space is listed after its last key', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      await store.set('k', 1, { ttl: 0.05 })
      await vi.waitFor(async () => expect(await store.exists('k')).toBe(false))
      expect((await store.listWorkspaces()).items).toEqual([])
      expect(await store.keys()).toEqual([])
      expect(await keysUnder(service, `${prefix}{.}`)).toEqual([])
    })
  })

  withService(backend, `${backend}: the list of workspaces`, (service) => {
    afterEach(() => void vi.restoreAllMocks())

    it('has every workspace that holds a key, while others are emptied and filled again', async () => {
      await using place = await open(backend, service)
      const [writer, lister] = [await place.direct(), await place.direct()]
      const end = performance.now() + 1_500
      const write = async (name: string): Promise<void> => {
        const view = writer.workspace(name)
        while (performance.now() < end) {
          await view.set('k', 1)
          const { items } = await writer.listWorkspaces()
          expect(items).toContain(name)
          await view.delete('k')
        }
        await view.set('k', 2)
      }
      const names = ['a', 'b', 'c', 'd']
      const list = async (): Promise<void> => {
        while (performance.now() < end) await lister.listWorkspaces()
      }
      await Promise.all([...names.map(write), list(), list()])
      expect((await lister.listWorkspaces()).items).toEqual(names)
    })

    it('forgets a workspace that was empty for an hour, and learns of it anew', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      const view = store.workspace('w')
      const [names, times, hour] = [`${prefix}{#}:names`, `${prefix}{#}:times`, 3_600_000]
      await view.set('k', 1)
      await withRaw(service.url, async (client) => {
        const announced = (await client.zScore(times, 'w:w'))!
        expect(Math.abs(announced - Date.now())).toBeLessThan(60_000)
        await client.zAdd(times, { score: announced - 2 * hour, value: 'w:w' })
        await store.listWorkspaces()
        expect(await client.zScore(names, 'w:w')).toBe(0)
        await view.delete('k')
        await store.listWorkspaces()
        expect(await client.zScore(names, 'w:w')).toBeNull()
        // So much time has passed for the writer too.
        const now = performance.now.bind(performance)
        vi.spyOn(performance, 'now').mockImplementation(() => now() + 2 * hour)
        await view.set('k', 1)
        expect(await client.zScore(times, 'w:w')).toBeGreaterThanOrEqual(announced)
      })
      expect((await store.listWorkspaces()).items).toEqual(['w'])
    })

    it('goes over any number of workspaces', async () => {
      await using place = await open(backend, service)
      const { store } = place
      const names = Array.from({ length: 2_500 }, (_, i) => `w${String(i).padStart(5, '0')}`)
      await Promise.all(names.map((name) => store.workspace(name).set('k', 1)))
      await Promise.all(names.filter((_, i) => i % 2 === 0).map((name) => store.workspace(name).clear()))
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.listWorkspaces({ limit: 700, cursor })
        found.push(...page.items)
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found).toEqual(names.filter((_, i) => i % 2 === 1))
    })
  })
}

/** Keys in several batches at a time. */
async function fill(store: StateStore, count: number, prefix = 'k', ttl?: number): Promise<void> {
  const width = Math.max(5, String(count).length)
  for (let from = 0; from < count; from += BATCH) {
    const keys = Array.from(
      { length: Math.min(BATCH, count - from) },
      (_, i) => `${prefix}${String(from + i).padStart(width, '0')}`,
    )
    await store.setMany(new Map(keys.map((key) => [key, 1])), { ttl })
  }
}

async function count(store: StateStore): Promise<number> {
  let found = 0
  for await (const _ of store.scanPrefix('')) found++
  return found
}
