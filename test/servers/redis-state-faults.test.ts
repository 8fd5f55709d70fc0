/** What a store on Redis or Valkey does when the connection or the server fails: each call took effect once, or says what is known. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { HoldfastError, isHoldfastError, type Outcome } from '../../src/errors.ts'
import type { Loss } from '../faults/proxy.ts'
import { privateService, withService } from '../services.ts'
import { create, open, withRaw, type RedisBackend } from './redis-support.ts'

const BACKENDS: readonly RedisBackend[] = ['redis', 'valkey']

for (const backend of BACKENDS) {
  withService(backend, `${backend}: a bad connection`, (service) => {
    const losses: readonly (readonly [title: string, loss: Loss, applied: number])[] = [
      ['the request is lost', 'request', 0],
      ['half of the request is lost', { afterBytes: 40 }, 0],
      ['the answer is lost', 'answer', 1],
    ]
    it.each(losses)('says that nobody knows when %s, sends nothing twice, and goes on', async (_, loss, applied) => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      await store.set('n', 10)
      proxies.first.lose(loss)
      expect(await failure(store.increment('n'))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      expect(await store.get('n')).toBe(10 + applied)
      expect(await store.increment('n')).toBe(11 + applied)
    })

    it('tries again what may be tried again', async () => {
      await using place = await open(backend, service, { retries: 2 })
      const { store, proxies } = place
      for (const loss of ['request', 'answer'] as const) {
        proxies.first.lose(loss)
        await store.set('k', loss)
        proxies.first.lose(loss)
        expect(await store.get('k')).toBe(loss)
      }
      proxies.first.lose('answer')
      expect(await failure(store.increment('n'))).toMatchObject({ outcome: 'unknown' })
      expect(await store.get('n')).toBe(1)
    })

    it('knows that nothing was written where there is no connection', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      await store.increment('n')
      proxies.cut()
      await failure(store.ping())
      for (let i = 0; i < 3; i++) {
        expect(await failure(store.increment('n'))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      }
      const read = await failure(store.get('n'))
      expect([read.code, read.outcome]).toEqual(['UNAVAILABLE', undefined])
      proxies.heal()
      expect(await store.increment('n')).toBe(2)
    })

    it('fails every call of a connection that breaks, and no other', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      proxies.first.delay(50)
      const calls = Array.from({ length: 50 }, () => store.increment('n'))
      await sleep(20)
      proxies.first.reset()
      proxies.heal()
      const sums = await settled(calls)
      const found = (await store.get<number>('n')) ?? 0
      expect(sums.done).toBeLessThanOrEqual(found)
      expect(found).toBeLessThanOrEqual(sums.done + sums.unknown)
      expect(sums.done + sums.unknown + sums.notApplied).toBe(50)
    })

    it('keeps to its deadline while answers come late', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      await store.set('n', 1)
      proxies.first.delay(200)
      expect(await failure(store.increment('n', 1, { timeoutMs: 50 }))).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
      expect(await failure(store.get('n', { timeoutMs: 50 }))).toMatchObject({ code: 'TIMEOUT' })
      expect(await store.get('n')).toBe(2)
    })

    it('takes a connection that fell silent for dead, and opens another', async () => {
      await using place = await open(backend, service, { socketTimeoutMs: 300, connectTimeoutMs: 300 })
      const { store, proxies } = place
      await store.increment('n')
      proxies.first.halfOpen()
      const started = performance.now()
      expect(await failure(store.increment('n'))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      expect(await failure(store.increment('n'))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      expect(performance.now() - started).toBeLessThan(3_000)
      proxies.heal()
      expect(await store.increment('n')).toBe(2)
    })

    it('does not take a quiet connection for dead', async () => {
      await using place = await open(backend, service, { socketTimeoutMs: 300 })
      const { store, proxies } = place
      await store.set('k', 1)
      await sleep(800)
      const before = proxies.first.opened
      expect(await store.get('k')).toBe(1)
      expect(proxies.first.opened).toBe(before)
    })

    it('does not begin what was aborted before', async () => {
      await using place = await open(backend, service, { connectTimeoutMs: 5_000 })
      const { store, proxies } = place
      await store.set('k', 1)
      proxies.first.halfOpen()
      proxies.first.reset()
      await sleep(20)
      const controller = new AbortController()
      const call = failure(store.increment('n', 1, { signal: controller.signal }))
      await sleep(50)
      controller.abort()
      expect(await call).toMatchObject({ code: 'ABORTED', outcome: 'not-applied' })
      proxies.heal()
      expect(await (await place.direct()).get('n')).toBeUndefined()
    })

    it('opens one connection for all who wait for it', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      await store.set('k', 1)
      proxies.first.reset()
      await sleep(100)
      const before = proxies.first.opened
      await Promise.all(Array.from({ length: 100 }, (_, i) => store.set(`k${i}`, i)))
      expect(proxies.first.opened - before).toBe(1)
    })

    it('says so where another program keeps something else under its keys', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      await store.set('k', 1)
      await withRaw(service.url, async (client) => {
        await client.sAdd(`${prefix}{.}:k:set`, 'x')
        await client.set(`${prefix}{w:w}:i`, 'x')
      })
      expect(await failure(store.get('set'))).toMatchObject({ code: 'CORRUPT' })
      expect(await failure(store.increment('set'))).toMatchObject({ code: 'CORRUPT', outcome: 'not-applied' })
      const other = store.workspace('w')
      expect(await failure(other.set('k', 1))).toMatchObject({ code: 'CORRUPT', outcome: 'not-applied' })
      expect(await other.get('k')).toBeUndefined()
      await store.set('set', 1)
      expect(await store.get('set')).toBe(1)
    })
  })

  describe(`${backend}: a server in trouble`, () => {
    it('comes back by itself when the server was killed under load', async (context) => {
      await using load = await underLoad(backend, context)
      await load.server.kill()
      await sleep(300)
      await load.server.start()
      await load.check()
    })

    it('comes back by itself when the server was restarted under load', async (context) => {
      await using load = await underLoad(backend, context)
      await load.server.stop()
      await load.server.start()
      await load.check()
    })

    it('sends scripts anew to a server that forgot them', async (context) => {
      const server = await privateService(backend, context)
      await using place = await open(backend, server)
      const { store, proxies } = place
      await store.set('k', 1)
      await withRaw(server.url, (client) => client.scriptFlush())
      expect(await proxies.count(() => store.set('k', 2))).toBe(2)
      expect(await proxies.count(() => store.set('k', 3))).toBe(1)
    })

    it('reads, lists and deletes while memory is full, and says that nothing was written', async (context) => {
      const server = await privateService(backend, context)
      const store = await create(backend, { url: server.url, retries: 0 })
      await store.setMany({ a: 1, b: 2 })
      await withRaw(server.url, (client) => client.configSet('maxmemory', '1'))
      for (const write of [() => store.set('c', 1), () => store.increment('a'), () => store.workspace('w').set('k', 1)]) {
        expect(await failure(write())).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      }
      expect([await store.get('a'), await store.keys(), await store.delete('b')]).toEqual([1, ['a', 'b'], true])
      expect((await store.listWorkspaces()).items).toEqual([''])
      expect(await store.clear()).toBe(1)
      await withRaw(server.url, (client) => client.configSet('maxmemory', '0'))
      await store.set('c', 1)
      await store.close()
    })

    it('reads while the server takes no writes', async (context) => {
      const server = await privateService(backend, context)
      const store = await create(backend, { url: server.url, retries: 0 })
      await store.set('a', 1)
      await withRaw(server.url, (client) => client.configSet('min-replicas-to-write', '1'))
      expect([await store.get('a'), await store.keys(), (await store.listWorkspaces()).items]).toEqual([1, ['a'], ['']])
      expect(await failure(store.set('a', 2))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      await store.close()
    })

    it('neither writes to a server that became a replica nor reads old values from it', async (context) => {
      const server = await privateService(backend, context)
      const store = await create(backend, { url: server.url, retries: 0 })
      await store.set('a', 1)
      await withRaw(server.url, (client) => client.sendCommand(['REPLICAOF', '127.0.0.1', '1']))
      expect(await failure(store.set('a', 2))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      expect(await failure(store.get('a'))).toMatchObject({ code: 'UNAVAILABLE' })
      await withRaw(server.url, (client) => client.sendCommand(['REPLICAOF', 'NO', 'ONE']))
      expect(await store.get('a')).toBe(1)
      await store.close()
    })
  })
}

async function failure(call: Promise<unknown>): Promise<HoldfastError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (isHoldfastError(error)) return error
  throw new Error(`expected one of our errors, not ${String(error)}`)
}

interface Tally {
  done: number
  unknown: number
  notApplied: number
}

async function settled(calls: readonly Promise<unknown>[]): Promise<Tally> {
  const tally: Tally = { done: 0, unknown: 0, notApplied: 0 }
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'fulfilled') tally.done++
    else count(tally, result.reason)
  }
  return tally
}

function count(tally: Tally, error: unknown): void {
  if (!isHoldfastError(error, 'UNAVAILABLE')) throw error
  const outcome: Outcome | undefined = error.outcome
  if (outcome === 'unknown') tally.unknown++
  else if (outcome === 'not-applied') tally.notApplied++
  else throw error
}

/** Writers that add to one counter until they are checked. */
async function underLoad(backend: RedisBackend, context: Parameters<typeof privateService>[1]) {
  const server = await privateService(backend, context)
  const store = await create(backend, { url: server.url, retries: 0 })
  const tally: Tally = { done: 0, unknown: 0, notApplied: 0 }
  const over = new AbortController()
  const writer = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await store.increment('n').then(
        () => tally.done++,
        (error: unknown) => count(tally, error),
      )
      await sleep(1)
    }
  }
  const writers = Promise.all(Array.from({ length: 8 }, writer))
  await sleep(300)
  return {
    server,
    check: async () => {
      const before = tally.done
      await expect.poll(() => tally.done, { timeout: 20_000 }).toBeGreaterThan(before + 50)
      over.abort()
      await writers
      const found = (await store.get<number>('n'))!
      expect(tally.notApplied).toBeGreaterThan(0)
      expect(found).toBeGreaterThanOrEqual(tally.done)
      expect(found).toBeLessThanOrEqual(tally.done + tally.unknown)
    },
    [Symbol.asyncDispose]: async () => {
      over.abort()
      await writers.catch(() => undefined)
      await store.close()
    },
  }
}
