/** One plugin's storage in an SQLite file, written by several processes, of which some are killed. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { STATE_STORES } from '../src/index.ts'
import { PluginHost, type PluginStorage } from '../src/plugin-storage/index.ts'
import { collect, run, scratch, type Child } from './support.ts'

const QUOTA = 150_000
const SCOPE = { workspaceId: 'w', pluginId: 'author/name' }
/** `HOLDFAST_KILLS=100` for the long run. */
const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 12)

interface Told {
  writes: number
  refused: number
  deletes: number
}

async function start(path: string): Promise<Child> {
  const child = run('test/fixtures/plugin-writer.ts', [path, String(QUOTA)])
  const { value } = await child.lines.next()
  if (value !== 'ready') throw new Error((await child.ended).stderr)
  return child
}

async function stop(child: Child): Promise<Told> {
  child.process.stdin!.end()
  const [line] = await collect(child.lines)
  expect(await child.ended).toEqual({ code: 0, signal: null, stderr: '' })
  return JSON.parse(line!) as Told
}

/** Looks at the counter and at values until `work` is done; how often. */
async function watch(storage: PluginStorage, work: Promise<unknown>): Promise<number> {
  const state = { over: false }
  const ended = work.finally(() => (state.over = true))
  let looks = 0
  while (!state.over) {
    expect((await storage.usage()).usedBytes).toBeLessThanOrEqual(QUOTA)
    const value = await storage.get(`k${looks % 40}`)
    if (value !== undefined && !value.every((byte) => byte === value[0])) expect.fail('a torn value')
    looks++
    await sleep(1)
  }
  await ended
  return looks
}

async function sizeOfAll(storage: PluginStorage): Promise<number> {
  const values = await storage.getMany(await storage.keys())
  return values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
}

describe('four processes with 64 writers each on one quota', () => {
  it('are never over it, tear no value, and leave an exact count', { timeout: 120_000 }, async () => {
    const path = join(await scratch(), 'state.db')
    const children = await Promise.all(Array.from({ length: 4 }, () => start(path)))
    await using state = await STATE_STORES.create('sqlite', { path })
    const host = new PluginHost({ state, quotaBytes: QUOTA })
    const { storage } = host.session(SCOPE)
    const looks = await watch(storage, sleep(4_000))
    const told = await Promise.all(children.map(stop))
    const sum = (what: keyof Told): number => told.reduce((total, each) => total + each[what], 0)
    console.log(`4 × 64 writers: ${sum('writes')} writes, ${sum('deletes')} deletes, ${sum('refused')} refused, ${looks} looks`)
    expect(sum('writes')).toBeGreaterThan(100)
    expect(sum('refused')).toBeGreaterThan(0)
    expect((await storage.usage()).usedBytes).toBe(await sizeOfAll(storage))
    expect(await host.reconcile(SCOPE, { olderThanMs: 0 })).toMatchObject({ correctedBytes: 0, chunksRemoved: 0 })
  })
})

describe(`one of four processes killed ${KILLS} times`, () => {
  it('never goes over the quota, tears no value, and leaves a right count', { timeout: 60_000 + KILLS * 4_000 }, async () => {
    const path = join(await scratch(), 'state.db')
    const steady = await Promise.all(Array.from({ length: 3 }, () => start(path)))
    await using state = await STATE_STORES.create('sqlite', { path })
    const host = new PluginHost({ state, quotaBytes: QUOTA })
    const { storage } = host.session(SCOPE)
    const killing = async (): Promise<void> => {
      for (let kill = 0; kill < KILLS; kill++) {
        const victim = await start(path)
        await sleep(20 + Math.random() * 200)
        victim.process.kill('SIGKILL')
        expect((await victim.ended).signal).toBe('SIGKILL')
      }
    }
    const looks = await watch(storage, killing())
    await Promise.all(steady.map(stop))
    expect((await storage.usage()).usedBytes).toBe(await sizeOfAll(storage))
    const mended = await host.reconcile(SCOPE, { olderThanMs: 0 })
    console.log(`${KILLS} kills, ${looks} looks, ${mended.chunksRemoved} pieces of dead writers removed`)
    expect(mended.correctedBytes).toBe(0)
    expect((await host.reconcile(SCOPE, { olderThanMs: 0 })).chunksRemoved).toBe(0)
    expect((await storage.usage()).usedBytes).toBe(await sizeOfAll(storage))
  })
})
