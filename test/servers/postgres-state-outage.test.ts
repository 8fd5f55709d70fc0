/** State on Postgres behind a network that fails, and a server that stops: each call took effect once or says what is known, and it recovers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn } from '../conformance/harness.ts'
import { privateService, withService } from '../services.ts'
import { newPrefix, open, optionsAt } from './postgres-places.ts'

interface Tally {
  applied: number
  unknown: number
  readonly codes: Set<string>
}

/** Adds 1 to a counter of its own and one of all, in one commit, until told to stop, and notes what was said of each. */
async function addUntil(store: StateStore, writer: number, stopped: () => boolean, tally: Tally): Promise<void> {
  const { backend } = store.core
  const add = [
    { key: 'all', by: 1 },
    { key: `own-${writer}`, by: 1 },
  ]
  while (!stopped()) {
    try {
      await (writer % 2 === 0 ? backend.commit('', { add }) : store.increment('n'))
      tally.applied++
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      tally.codes.add(error.code)
      if (error.outcome === 'unknown') tally.unknown++
      else await sleep(5)
    }
  }
}

const WRITERS = 6

/** Several writers, while `work` does something to the network or the server. */
async function underLoad(store: StateStore, work: (tally: Tally) => Promise<void>): Promise<Tally> {
  const tally: Tally = { applied: 0, unknown: 0, codes: new Set() }
  let isOver = false
  const writers = Array.from({ length: WRITERS }, (_, i) => addUntil(store, i, () => isOver, tally))
  try {
    await work(tally)
  } finally {
    isOver = true
    await Promise.all(writers)
  }
  return tally
}

/** Everything that was said to be done is done once, and nothing that was said not to be; both counters of a commit agree. */
async function expectOnce(store: StateStore, { applied, unknown }: Tally): Promise<void> {
  const names = ['n', 'all', ...Array.from({ length: WRITERS }, (_, i) => `own-${i}`)]
  const [single = 0, all = 0, ...own] = await store.getMany<number>(names)
  expect(own.reduce<number>((sum, each) => sum + (each ?? 0), 0)).toBe(all)
  expect(single + all).toBeGreaterThanOrEqual(applied)
  expect(single + all).toBeLessThanOrEqual(applied + unknown)
}

withService('postgres', 'Postgres, cut off', (service) => {
  it('counts once while connections are reset', async () => {
    await using at = await open('state', 'postgres', service)
    const tally = await underLoad(at.store, async (soFar) => {
      for (let i = 1; i <= 20; i++) {
        while (soFar.applied < 3 * i) await sleep(2)
        at.proxy.reset()
      }
    })
    expect([...tally.codes]).toEqual(['UNAVAILABLE'])
    await expectOnce(at.store, tally)
  })

  it.each(['request', 'answer', { afterBytes: 40 }] as const)(
    'says that nobody knows what became of a write when it loses: %o',
    async (loss) => {
      await using at = await open('state', 'postgres', service)
      const { store, proxy } = at
      await store.set('n', 0)
      proxy.lose(loss)
      await expect(store.increment('n')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      expect(await store.get('n')).toBe(loss === 'answer' ? 1 : 0)
      expect(await store.delete('n')).toBe(true)
    },
  )

  it.each(['request', 'answer', { afterBytes: 40 }] as const)(
    'does a read again, and a commit that had not come to its end, when it loses: %o',
    async (loss) => {
      await using at = await open('state', 'postgres', service)
      const { store, proxy } = at
      await store.set('k', 'v')
      proxy.lose(loss)
      expect(await store.get('k')).toBe('v')
      const commit = {
        add: [
          { key: 'a', by: 1 },
          { key: 'b', by: 1 },
        ],
      }
      for (let i = 1; i <= 3; i++) {
        proxy.lose(loss)
        expect(await store.core.backend.commit('s', commit)).toEqual({ applied: true, deleted: 0, sums: [i, i] })
      }
    },
  )

  it('ends a slow call in time, and what it says of the write is true', async () => {
    await using at = await open('state', 'postgres', service)
    await at.store.set('k', 'old')
    at.proxy.delay(300)
    await expect(at.store.get('k', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(at.store.set('k', 'new', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    at.proxy.heal()
    await at.store.set('k', 'newest')
    expect(await at.store.get('k')).toBe('newest')
  })

  it('gives up on connections that fell silent, and goes on with new ones', async () => {
    await using at = await open('state', 'postgres', service, { timeoutMs: 400 })
    await at.store.set('k', 1)
    at.proxy.halfOpen()
    await expect(at.store.get('k')).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(at.store.set('k', 2)).rejects.toMatchObject({ code: 'TIMEOUT' })
    at.proxy.heal()
    expect(await at.store.get('k', { timeoutMs: 5_000 })).toBe(1)
  })

  it('is cut off and back again under load', async () => {
    await using at = await open('state', 'postgres', service)
    const tally = await underLoad(at.store, async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(100)
        at.proxy.cut()
        await sleep(50)
        at.proxy.heal()
      }
      await sleep(100)
    })
    expect([...tally.codes]).toEqual(['UNAVAILABLE'])
    await expectOnce(at.store, tally)
  })
})

it('Postgres stopped, killed and started again under load keeps what it said it has', { timeout: 120_000 }, async (context) => {
  const instance = await privateService('postgres', context)
  const store = await builtIn('state').create('postgres', { ...optionsAt(instance.url, newPrefix()), retries: 0 })
  try {
    const tally = await underLoad(store, async (soFar) => {
      for (const end of [() => instance.stop(), () => instance.kill()]) {
        const before = soFar.applied
        while (soFar.applied < before + 20) await sleep(5)
        await end()
        const stopped = soFar.applied
        await instance.start()
        while (soFar.applied < stopped + 20) await sleep(5)
      }
    })
    expect([...tally.codes]).toEqual(['UNAVAILABLE'])
    await expectOnce(store, tally)
  } finally {
    await store.close()
  }
})
