/** DynamoDB behind a network that fails, and a server that stops: each call took effect once or says what is known, and it recovers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn } from '../conformance/harness.ts'
import { privateService, withService } from '../services.ts'
import { newTable, open, optionsAt } from './dynamodb-support.ts'

interface Tally {
  applied: number
  unknown: number
  readonly codes: Set<string>
}

/** Adds 1 to `n` until told to stop, and notes what was said of each. */
async function incrementUntil(store: StateStore, stopped: () => boolean, tally: Tally): Promise<void> {
  while (!stopped()) {
    try {
      await store.increment('n')
      tally.applied++
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      tally.codes.add(error.code)
      if (error.outcome === 'unknown') tally.unknown++
      else await sleep(5)
    }
  }
}

/** Several writers, while `work` does something to the network or the server. */
async function underLoad(store: StateStore, work: (tally: Tally) => Promise<void>): Promise<Tally> {
  const tally: Tally = { applied: 0, unknown: 0, codes: new Set() }
  let isOver = false
  const writers = Array.from({ length: 8 }, () => incrementUntil(store, () => isOver, tally))
  try {
    await work(tally)
  } finally {
    isOver = true
    await Promise.all(writers)
  }
  return tally
}

function expectOnce(total: number | undefined, { applied, unknown }: Tally): void {
  expect(total).toBeGreaterThanOrEqual(applied)
  expect(total).toBeLessThanOrEqual(applied + unknown)
}

withService('dynamodb', 'DynamoDB, cut off', (service) => {
  it('counts each increment once while connections are reset', async () => {
    await using at = await open(service)
    await at.store.increment('n', 0)
    const tally = await underLoad(at.store, async (soFar) => {
      for (let i = 1; i <= 20; i++) {
        while (soFar.applied < 2 * i) await sleep(2)
        at.proxy.reset()
      }
    })
    expectOnce(await at.store.get<number>('n'), tally)
  })

  it.each(['request', 'answer', { afterBytes: 100 }] as const)(
    'knows, or says that it does not, when it loses: %o',
    async (loss) => {
      await using at = await open(service)
      await at.store.increment('n')
      const backend = at.store.core.backend
      const commit = { set: [{ key: 'a', value: '1' }], add: [{ key: 'm', by: 1 }] }
      for (let i = 1; i <= 3; i++) {
        const before = await at.store.get<number>('n')
        at.proxy.lose(loss)
        const sum = await at.store.increment('n').catch((error: unknown) => expect(error).toMatchObject({ outcome: 'unknown' }))
        if (typeof sum === 'number') expect(sum).toBe(before! + 1)
        expect(await at.store.get<number>('n')).toBe(before! + (loss === 'answer' ? 1 : 0))
        // The first reads what is added to, and the loss may hit that.
        if (i > 1) at.proxy.lose(loss)
        expect(await backend.commit('s', commit)).toEqual({ applied: true, deleted: 0, sums: [i] })
      }
    },
  )

  it('ends a slow call in time, and what it says of the write is true', async () => {
    await using at = await open(service)
    await at.store.set('k', 'old')
    at.proxy.delay(300)
    await expect(at.store.get('k', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(at.store.set('k', 'new', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    const controller = new AbortController()
    const aborted = at.store.set('other', 1, { signal: controller.signal })
    await sleep(50)
    controller.abort()
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED', outcome: 'unknown' })
    at.proxy.heal()
    await at.store.set('k', 'newest')
    expect(await at.store.get('k')).toBe('newest')
  })

  it('gives up on connections that fell silent, and goes on with new ones', async () => {
    await using at = await open(service, { requestTimeoutMs: 400 })
    await at.store.set('k', 1)
    at.proxy.halfOpen()
    await expect(at.store.get('k')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(at.store.set('k', 2)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    at.proxy.heal()
    expect(await at.store.get('k')).toBe(1)
  })

  it('is cut off and back again under load', async () => {
    await using at = await open(service)
    await at.store.increment('n', 0)
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
    expectOnce(await at.store.get<number>('n'), tally)
    const connections = at.proxy.connections
    expect(connections).toBeLessThanOrEqual(50)
  })

  it('says that nothing was sent where nobody listens', async () => {
    await using at = await open(service)
    await at.store.set('k', 1)
    await at.proxy.close()
    // Whoever finds a connection closed while it sends knows less.
    await expect(at.store.get('k')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(at.store.set('k', 2)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    await expect(at.store.increment('n')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    const both = {
      set: [
        { key: 'a', value: '1' },
        { key: 'b', value: '1' },
      ],
    }
    await expect(at.store.core.backend.commit('', both)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    const nobody = builtIn('state').create('dynamodb', optionsAt(at.proxy.url(service.url), at.table))
    await expect(nobody).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

it('DynamoDB stopped, killed and started again under load keeps what it said it has', { timeout: 120_000 }, async (context) => {
  const instance = await privateService('dynamodb', context)
  const store = await builtIn('state').create('dynamodb', { ...optionsAt(instance.url, newTable()), retries: 0 })
  try {
    await store.increment('n', 0)
    const tally = await underLoad(store, async (soFar) => {
      while (soFar.applied < 20) await sleep(5)
      await instance.stop()
      const before = soFar.applied
      await instance.start()
      while (soFar.applied < before + 20) await sleep(5)
    })
    expect([...tally.codes]).toEqual(['UNAVAILABLE'])
    expectOnce(await store.get<number>('n'), tally)
    const counted = await store.get<number>('n')
    await instance.kill()
    await expect(store.get('n')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await instance.start()
    expect(await store.get('n')).toBe(counted)
  } finally {
    await store.close()
  }
})
