/** What goes wrong on the way to Cloud Storage: each write takes effect once, or fails saying what is known of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn } from '../conformance/harness.ts'
import type { Mishap, Seen } from '../fakes/gcs-proxy.ts'
import { FakeGcs } from '../fakes/gcs.ts'
import { Proxy } from '../faults/proxy.ts'
import { privateService } from '../services.ts'
import { GcsProxy } from '../fakes/gcs-proxy.ts'
import { newBucket, onEachServer, onFake, openStore, type Server } from './gcs-support.ts'

const isWrite = ({ method }: Seen): boolean => method !== 'GET'
const isUpload = ({ method }: Seen): boolean => method === 'POST'

/** The first `count` requests of a kind meet with a mishap. */
function first(count: number, of: (seen: Seen) => boolean, mishap: Mishap): (seen: Seen) => Mishap | undefined {
  let left = count
  return (seen) => (of(seen) && left-- > 0 ? mishap : undefined)
}

/** Every call that writes, with what it does to the key when it takes effect once. */
const CONDITIONAL: Readonly<Record<string, (store: StateStore) => Promise<unknown>>> = {
  increment: async (store) => expect(await store.increment('n', 5)).toBe(6),
  setIfAbsent: async (store) => expect(await store.setIfAbsent('absent', 1)).toBe(true),
  compareAndSet: async (store) => expect(await store.compareAndSet('n', 1, 2)).toBe(true),
  hset: (store) => store.hset('hash', 'field', 1),
  expire: async (store) => expect(await store.expire('n', 60)).toBe(true),
}

/** Side by side. */
async function failsEach(failure: object, calls: readonly (() => Promise<unknown>)[]): Promise<void> {
  await Promise.all(calls.map((call) => expect(call()).rejects.toMatchObject(failure)))
}

onEachServer('gcs with mishaps', (server) => {
  throttling(server)
  lostAnswers(server)
  unclear(server)
})

function throttling(server: Server): void {
  it('waits when there are too many requests, and goes on', async () => {
    await using at = await openStore(server.url)
    server.http.intercept = first(3, () => true, { status: 429, when: 'before' })
    await at.store.set('n', 1)
    for (const work of Object.values(CONDITIONAL)) {
      await at.store.set('n', 1)
      server.http.intercept = first(2, () => true, { status: 429, when: 'before' })
      await work(at.store)
    }
    server.http.intercept = first(2, () => true, { status: 429, when: 'before' })
    expect(await at.store.delete('n')).toBe(true)
    server.http.intercept = undefined
    expect(await at.store.keys()).toEqual(['absent', 'hash'])
  })

  it('says RATE_LIMITED, and that nothing happened, when that does not end', { timeout: 120_000 }, async () => {
    await using at = await openStore(server.url)
    await at.store.set('n', 1)
    server.http.intercept = () => ({ status: 429, when: 'before' })
    const limited = { code: 'RATE_LIMITED', outcome: 'not-applied' }
    const writes = [
      () => at.store.set('n', 2),
      () => at.store.increment('n'),
      () => at.store.delete('n'),
      () => at.store.setIfAbsent('x', 1),
    ]
    await Promise.all([failsEach(limited, writes), failsEach({ code: 'RATE_LIMITED' }, [() => at.store.get('n')])])
    server.http.intercept = undefined
    expect(await at.store.getMany(['n', 'x'])).toEqual([1, undefined])
  })
}

function lostAnswers(server: Server): void {
  const mishaps: readonly Mishap[] = (['before', 'after'] as const).flatMap((when) => [
    { status: 503, when },
    { status: 'reset', when },
  ])
  it.each(mishaps)('takes effect once where the answer to a write is $status, given $when it', async (mishap) => {
    await using at = await openStore(server.url)
    for (const [name, work] of Object.entries(CONDITIONAL)) {
      await at.store.set('n', 1)
      server.http.intercept = first(1, isUpload, mishap)
      await work(at.store)
      server.http.intercept = undefined
      if (name === 'increment') expect(await at.store.get('n')).toBe(6)
    }
    expect(await at.store.getMany(['absent', 'hash'])).toEqual([1, { field: 1 }])
  })

  it('knows its own write again after several lost answers, and counts on', async () => {
    await using at = await openStore(server.url)
    for (let i = 1; i <= 10; i++) {
      server.http.intercept = first(i % 4, isUpload, { status: i % 2 === 0 ? 503 : 'reset', when: 'after' })
      expect(await at.store.increment('n')).toBe(i)
    }
    server.http.intercept = undefined
    expect(await at.store.get('n')).toBe(10)
  })

  it('tells a lost answer from another’s write, and then says that nobody knows', async () => {
    await using at = await openStore(server.url)
    const other = await builtIn('state').create('gcs', { bucket: at.bucket, apiEndpoint: server.raw })
    await at.store.set('n', 1)
    let meddled: Promise<unknown> | undefined
    let isDone = false
    server.http.intercept = (seen) => {
      if (!isUpload(seen) || isDone) return undefined
      if (meddled !== undefined) return { status: 503, when: 'before' }
      meddled = sleep(20).then(() => other.set('n', 100))
      void meddled.then(() => (isDone = true))
      return { status: 503, when: 'after' }
    }
    await expect(at.store.increment('n')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    await meddled
    server.http.intercept = undefined
    expect(await at.store.increment('n')).toBe(101)
    await other.close()
  })

  it('sends an unconditional write again only as the store says', async () => {
    await using at = await openStore(server.url)
    server.http.intercept = first(1, isUpload, { status: 503, when: 'after' })
    await expect(at.store.set('k', 1)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(await at.store.get('k')).toBe(1)
    await using patient = await openStore(server.url, { retries: 2 })
    server.http.intercept = first(1, isUpload, { status: 503, when: 'after' })
    await patient.store.set('k', 2)
    expect(await patient.store.get('k')).toBe(2)
  })

  it('does not send a deletion again, and says that nobody knows', async () => {
    await using at = await openStore(server.url, { retries: 2 })
    await at.store.set('k', 1)
    server.http.intercept = first(1, ({ method }) => method === 'DELETE', { status: 'reset', when: 'after' })
    await expect(at.store.delete('k')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(await at.store.delete('k')).toBe(false)
  })
}

function unclear(server: Server): void {
  it.each([
    [401, 'UNAUTHORIZED'],
    [403, 'PERMISSION_DENIED'],
    [413, 'VALUE_TOO_LARGE'],
    [400, 'UNSUPPORTED'],
  ])('takes %i for %s, of a write that did not happen', async (status, code) => {
    await using at = await openStore(server.url)
    server.http.intercept = first(1, isWrite, { status, when: 'before' })
    await expect(at.store.set('k', 1)).rejects.toMatchObject({ code, outcome: 'not-applied' })
    server.http.intercept = first(1, isWrite, { status, when: 'before' })
    await expect(at.store.increment('n')).rejects.toMatchObject({ code, outcome: 'not-applied' })
    expect(await at.store.keys()).toEqual([])
  })

  it('never takes an outage for an empty answer', async () => {
    await using at = await openStore(server.url)
    await at.store.set('k', 1)
    for (const status of [503, 'reset'] as const) {
      server.http.intercept = () => ({ status, when: 'before' })
      await failsEach({ code: 'UNAVAILABLE' }, [
        () => at.store.get('k'),
        () => at.store.keys(),
        () => at.store.scan({}),
        () => at.store.listWorkspaces(),
        () => at.store.ping(),
      ])
      server.http.intercept = undefined
      expect(await at.store.get('k')).toBe(1)
    }
  })
}

describe('gcs on a bad line', () => {
  const line = async (options: object = {}): Promise<AsyncDisposable & { fake: FakeGcs; proxy: Proxy; store: StateStore }> => {
    const fake = await FakeGcs.open()
    const proxy = await Proxy.open(fake.url)
    const { store } = await openStore(proxy.url(fake.url), options)
    const end = async (): Promise<void> => {
      await store.close()
      await proxy.close()
      await fake.stop()
    }
    return { fake, proxy, store, [Symbol.asyncDispose]: end }
  }

  it('survives requests and answers lost in the middle', async () => {
    await using at = await line({ retries: 2 })
    for (const [i, loss] of (['request', 'answer', { afterBytes: 30 }, 'answer', { afterBytes: 500 }] as const).entries()) {
      at.proxy.lose(loss)
      expect(await at.store.increment('n')).toBe(i + 1)
    }
    at.proxy.lose('answer')
    expect(await at.store.get('n')).toBe(5)
  })

  it('ends in time where the line is slow, and says that nobody knows', async () => {
    await using at = await line()
    await at.store.set('n', 1)
    at.proxy.delay(300)
    await expect(at.store.get('n', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: undefined })
    await expect(at.store.set('n', 2, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    const signal = AbortSignal.timeout(50)
    await expect(at.store.setIfAbsent('x', 2, { signal })).rejects.toMatchObject({ code: 'ABORTED', outcome: 'unknown' })
    at.proxy.heal()
    await sleep(400)
    await at.store.set('n', 3)
    expect(await at.store.get('n')).toBe(3)
  })

  it('gives up a line that has fallen silent', async () => {
    await using at = await line({ requestTimeoutMs: 200 })
    await at.store.set('n', 1)
    at.proxy.halfOpen()
    await expect(at.store.get('n')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(at.store.set('n', 2)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    at.proxy.heal()
    // The connections from before are reset now, of which the client has yet to hear.
    await sleep(50)
    expect(await at.store.get('n')).toBe(1)
  })

  it('says that nothing happened where nobody listens, and recovers by itself', async () => {
    await using fake = await FakeGcs.open()
    const { store } = await openStore(fake.url)
    await store.set('n', 1)
    await fake.stop()
    await expect(store.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await failsEach({ code: 'UNAVAILABLE', outcome: 'not-applied' }, [
      () => store.set('n', 2),
      () => store.increment('n'),
      () => store.delete('n'),
      () => store.setIfAbsent('x', 1),
    ])
    await fake.start()
    expect(await store.increment('n')).toBe(2)
    await store.close()
  })
})

/** Writers that count up while the server goes and comes: what was told happened, and at most what nobody knows of besides. */
async function countThrough(url: string, bucket: string, upset: () => Promise<void>): Promise<void> {
  const stores = await Promise.all(
    [1, 2, 3, 4].map(() => builtIn('state').create('gcs', { bucket, apiEndpoint: url, retries: 0 })),
  )
  const end = new AbortController()
  let [told, unknown] = [0, 0]
  const writer = async (store: StateStore): Promise<void> => {
    while (!end.signal.aborted) {
      try {
        await store.increment('n')
        told++
      } catch (error) {
        const { code, outcome } = error as { code: string; outcome: string }
        expect(code).toBe('UNAVAILABLE')
        if (outcome === 'unknown') unknown++
        await sleep(10)
      }
    }
  }
  const writers = stores.map(writer)
  await upset()
  end.abort()
  await Promise.all(writers)
  const counted = (await stores[0]!.get<number>('n'))!
  expect(counted).toBeGreaterThanOrEqual(told)
  expect(counted).toBeLessThanOrEqual(told + unknown)
  expect(told).toBeGreaterThan(0)
  await Promise.all(stores.map((store) => store.close()))
}

describe('gcs whose server is restarted under load', () => {
  it('counts each increment once, on the wire-level fake', { timeout: 60_000 }, async () => {
    await using fake = await FakeGcs.open()
    await countThrough(fake.url, await newBucket(fake.url), async () => {
      for (let i = 0; i < 4; i++) {
        await sleep(150)
        await fake.stop()
        await sleep(50)
        await fake.start()
      }
      await sleep(200)
    })
  })

  it('counts each increment once, on fake-gcs-server over its files', { timeout: 120_000 }, async (context) => {
    const server = await privateService('gcs', context)
    await using http = await GcsProxy.open(server.url, { corrects: true })
    const bucket = await newBucket(http.url)
    await countThrough(http.url, bucket, async () => {
      await sleep(300)
      await server.stop()
      await server.start()
      await sleep(300)
      await server.kill()
      await server.start()
      await sleep(300)
    })
  })
})

onFake('gcs that takes a write of an object each 50 ms', { writeIntervalMs: 50 }, (server) => {
  it('adds up what comes together, and loses nothing', { timeout: 60_000 }, async () => {
    await using at = await openStore(server.url)
    const sums = await Promise.all(Array.from({ length: 200 }, () => at.store.increment('n')))
    expect(new Set(sums).size).toBe(200)
    expect(await at.store.get('n')).toBe(200)
    const writes = server.http.seen.filter(isUpload).length
    expect(writes).toBeLessThan(20)
  })

  it('lets writers in several processes come to their turn', { timeout: 120_000 }, async () => {
    const bucket = await newBucket(server.url)
    const options = { bucket, apiEndpoint: server.url }
    const stores = await Promise.all(Array.from({ length: 4 }, () => builtIn('state').create('gcs', options)))
    const sums = await Promise.all(stores.flatMap((store) => Array.from({ length: 5 }, () => store.increment('n'))))
    expect(sums.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    await Promise.all(stores.map((store) => store.close()))
  })
})

onEachServer('gcs with eight writers', (server) => {
  it('loses no increment, and lets one of those win that compare and set', { timeout: 120_000 }, async () => {
    const bucket = await newBucket(server.direct)
    const options = { bucket, apiEndpoint: server.direct }
    const stores = await Promise.all(Array.from({ length: 8 }, () => builtIn('state').create('gcs', options)))
    await Promise.all(
      stores.map(async (store) => {
        for (let i = 0; i < 25; i++) await store.increment('n')
      }),
    )
    expect(await stores[0]!.get('n')).toBe(200)
    for (let round = 0; round < 10; round++) {
      const won = await Promise.all(
        stores.map((store, i) =>
          store.compareAndSet('cas', round === 0 ? undefined : `${round - 1}`, `${round}`).then((is) => (is ? i : -1)),
        ),
      )
      expect(won.filter((i) => i >= 0)).toHaveLength(1)
    }
    await Promise.all(stores.map((store) => store.close()))
  })
})
