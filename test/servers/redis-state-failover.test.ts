/** What a store does while a replica takes over, a node of a cluster is gone, and slots move: under load, and without help. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import type { StateStore } from '../../src/state/store.ts'
import { privateService, type Instance } from '../services.ts'
import { create, urlsOf, withRaw, type RedisBackend, type StoreOptions } from './redis-support.ts'

const BACKENDS: readonly RedisBackend[] = ['redis', 'valkey']

describe.each(BACKENDS)('%s: failing over', (backend) => {
  it('loses nothing that it said a replica has, and finds the new primary by the sentinel', async (context) => {
    const pair = await privateService(`${backend}-failover`, context)
    const options = { ...sentinelOptions(pair), waitReplicas: 1, waitTimeoutMs: 500 }
    await using load = await Load.on(backend, options)
    await load.until(200)
    await pair.kill('primary')
    await load.untilFailing()
    // Now it is the replica of the other.
    await pair.start('primary')
    await load.until(load.done + 200, 30_000)
    await load.check()
  })

  it('finds the new primary among the nodes that it was told of', async (context) => {
    const pair = await privateService(`${backend}-failover`, context)
    await using load = await Load.on(backend, { nodes: [pair.url, pair['replica'] as string] })
    await load.until(200)
    await pair.kill('primary')
    await load.until(load.done + 200, 30_000)
    await load.check({ mayLose: true })
  })

  it('moves to the new primary without an error where the old one lives on as a replica', async (context) => {
    const pair = await privateService(`${backend}-failover`, context)
    await pair.kill('sentinel')
    const [first, second] = [pair.url, pair['replica'] as string]
    // The replica first: it must not be taken for the primary.
    const store = await create(backend, { nodes: [second, first], retries: 0, waitReplicas: 1, waitTimeoutMs: 5_000 })
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      const n = await store.increment('n')
      const { hostname, port } = new URL(to)
      await withRaw(to, (client) => client.sendCommand(['REPLICAOF', 'NO', 'ONE']))
      await withRaw(from, (client) => client.sendCommand(['REPLICAOF', hostname, port]))
      expect(await store.get('n')).toBe(n)
    }
    await store.close()
  })

  it('says that nobody knows where no replica has the write in time', async (context) => {
    const server = await privateService(backend, context)
    const store = await create(backend, { url: server.url, waitReplicas: 1, waitTimeoutMs: 50, retries: 0 })
    await expect(store.increment('n')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    const plain = await create(backend, { url: server.url, retries: 0 })
    await plain.set('n', 1)
    await store.close()
    const late = await create(backend, { url: server.url, waitReplicas: 1, waitTimeoutMs: 50, retries: 0 })
    await expect(late.delete('n')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    // What was refused needs no replica.
    expect(await late.delete('none')).toBe(false)
    await Promise.all([late.close(), plain.close()])
  })
})

describe.each(BACKENDS)('%s: a cluster that changes', (backend) => {
  it('follows slots that move under load, and loses nothing', async (context) => {
    const cluster = await privateService(`${backend}-cluster`, context)
    await using load = await Load.on(backend, { url: cluster.url, cluster: true })
    await load.until(300)
    for (let round = 0; round < 4; round++) await moveSlot(cluster, `holdfast:{.}:i`)
    await load.until(load.done + 300, 30_000)
    await load.check()
    expect(load.errors).toEqual([])
  })

  it('goes on when a node that was gone is back', async (context) => {
    const cluster = await privateService(`${backend}-cluster`, context)
    const url = urlsOf(cluster)[0]!
    const owner = await withRaw(url, async (client) => {
      const slot = await client.clusterKeySlot('holdfast:{.}:i')
      const shards = await client.clusterSlots()
      return shards.find(({ from, to }) => from <= slot && slot <= to)!.master.port
    })
    await using load = await Load.on(backend, { nodes: urlsOf(cluster), cluster: true })
    await load.until(200)
    const part = `node-${urlsOf(cluster).findIndex((node) => Number(new URL(node).port) === owner) + 1}`
    await cluster.kill(part)
    await load.untilFailing()
    await cluster.start(part)
    await load.until(load.done + 200, 30_000)
    await load.check()
  })
})

function sentinelOptions(pair: Instance): StoreOptions {
  const { password } = new URL(pair.url)
  return {
    sentinels: [pair['sentinel'] as string],
    sentinelName: pair['sentinelGroup'] as string,
    password,
    connectTimeoutMs: 1_000,
  }
}

const WRITERS = 8

/** Writers that each set keys of their own, one after the other, and add to a counter that all share. */
class Load {
  readonly #store: StateStore
  readonly #acknowledged: string[] = []
  #unknownAdds = 0
  #adds = 0
  #isOver = false
  readonly errors: unknown[] = []
  #writers: Promise<unknown> = Promise.resolve()

  private constructor(store: StateStore) {
    this.#store = store
  }

  static async on(backend: RedisBackend, options: StoreOptions): Promise<Load> {
    const load = new Load(await create(backend, { retries: 0, ...options }))
    load.#writers = Promise.all(Array.from({ length: WRITERS }, (_, i) => load.#write(i)))
    return load
  }

  get done(): number {
    return this.#acknowledged.length
  }

  async until(done: number, timeout = 10_000): Promise<void> {
    await expect.poll(() => this.done, { timeout }).toBeGreaterThanOrEqual(done)
  }

  async untilFailing(): Promise<void> {
    await expect.poll(() => this.errors.length, { timeout: 20_000 }).toBeGreaterThan(0)
    await sleep(1_500)
  }

  /** Each call took effect once, or failed with the right code and outcome. */
  async check({ mayLose = false } = {}): Promise<void> {
    this.#isOver = true
    await this.#writers
    for (const error of this.errors) {
      if (!isHoldfastError(error, 'UNAVAILABLE') || error.outcome === undefined) throw error
    }
    const sum = (await this.#store.get<number>('n')) ?? 0
    expect(sum).toBeLessThanOrEqual(this.#adds + this.#unknownAdds)
    if (mayLose) return
    expect(sum).toBeGreaterThanOrEqual(this.#adds)
    const keys = new Set(await this.#store.keys())
    expect(this.#acknowledged.filter((key) => !keys.has(key))).toEqual([])
    const values = await this.#store.getMany(this.#acknowledged)
    expect(values.every((value, i) => value === this.#acknowledged[i])).toBe(true)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.#writers.catch(() => undefined)
    await this.#store.close()
  }

  async #write(writer: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const key = `w${writer}-${i}`
      try {
        await this.#store.set(key, key)
        this.#acknowledged.push(key)
        await this.#store.increment('n')
        this.#adds++
      } catch (error) {
        this.errors.push(error)
        if (!isHoldfastError(error) || error.outcome !== 'not-applied') this.#unknownAdds++
        await sleep(10)
      }
      await sleep(1)
    }
  }
}

/** Moves the slot of a key to the node after its own, as `redis-cli --cluster reshard` does: key by key, while it is in use. */
async function moveSlot(cluster: Instance, key: string): Promise<void> {
  const urls = urlsOf(cluster)
  const { password } = new URL(cluster.url)
  const [slot, port] = await withRaw(urls[0]!, async (client) => {
    const slot = await client.clusterKeySlot(key)
    const shards = await client.clusterSlots()
    return [slot, shards.find(({ from, to }) => from <= slot && slot <= to)!.master.port]
  })
  const from = urls.findIndex((url) => Number(new URL(url).port) === port)
  const [source, target] = [urls[from]!, urls[(from + 1) % urls.length]!]
  const idOf = (url: string): Promise<string> => withRaw(url, (client) => client.clusterMyId())
  const [sourceId, targetId] = [await idOf(source), await idOf(target)]
  await withRaw(target, (client) => client.clusterSetSlot(slot, 'IMPORTING', sourceId))
  await withRaw(source, async (client) => {
    await client.clusterSetSlot(slot, 'MIGRATING', targetId)
    for (;;) {
      const keys = await client.clusterGetKeysInSlot(slot, 50)
      if (keys.length === 0) break
      const { hostname, port: targetPort } = new URL(target)
      await client.sendCommand(['MIGRATE', hostname, targetPort, '', '0', '5000', 'AUTH', password, 'KEYS', ...keys])
      await sleep(5)
    }
  })
  for (const url of [target, source]) await withRaw(url, (client) => client.clusterSetSlot(slot, 'NODE', targetId))
}
