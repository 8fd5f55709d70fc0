/** State on Redis and Valkey against their own clients by hand. What is done by hand keeps no list of its keys. */
import { randomBytes } from 'node:crypto'
import { Redis } from 'iovalkey'
import { createClient } from 'redis'
import type { Service } from '../../scripts/services/home.ts'
import { STATE_STORES } from '../../src/index.ts'
import type { Prepared, ServerBench } from './frame.ts'
import { stateComparisons, type StateByHand } from './state-operations.ts'

const ROUNDS = { single: 2_000, batch: 200 }

export const redisState: ServerBench = {
  title: 'redis: state',
  service: 'redis',
  sides: ['redis', 'holdfast'],
  prepare: (service) => prepare('redis', service, byNodeRedis),
}

export const valkeyState: ServerBench = {
  title: 'valkey: state',
  service: 'valkey',
  sides: ['iovalkey', 'holdfast'],
  prepare: (service) => prepare('valkey', service, byIoRedis),
}

interface ByHand extends StateByHand {
  end(): void
}

async function byNodeRedis(url: string, at: string): Promise<ByHand> {
  const client = await createClient({ url, RESP: 2 }).connect()
  return {
    ping: () => client.ping(),
    get: async (key) => parsed(await client.get(at + key)),
    set: (key, value) => client.set(at + key, JSON.stringify(value)),
    setFor: (key, value, seconds) => client.set(at + key, JSON.stringify(value), { expiration: { type: 'EX', value: seconds } }),
    increment: (key) => client.incr(at + key),
    setIfAbsent: (key, value) => client.set(at + key, JSON.stringify(value), { condition: 'NX' }),
    setMany: (entries) => client.mSet(textsOf(entries, at)),
    getMany: async (keys) => (await client.mGet(keys.map((key) => at + key))).map(parsed),
    end: () => client.destroy(),
  }
}

async function byIoRedis(url: string, at: string): Promise<ByHand> {
  const client = new Redis(url)
  return {
    ping: () => client.ping(),
    get: async (key) => parsed(await client.get(at + key)),
    set: (key, value) => client.set(at + key, JSON.stringify(value)),
    setFor: (key, value, seconds) => client.set(at + key, JSON.stringify(value), 'EX', seconds),
    increment: (key) => client.incr(at + key),
    setIfAbsent: (key, value) => client.set(at + key, JSON.stringify(value), 'NX'),
    setMany: (entries) => client.mset(textsOf(entries, at)),
    getMany: async (keys) => (await client.mget(keys.map((key) => at + key))).map(parsed),
    end: () => client.disconnect(),
  }
}

function parsed(text: string | null): unknown {
  return text === null ? undefined : JSON.parse(text)
}

function textsOf(entries: ReadonlyMap<string, unknown>, at: string): Record<string, string> {
  return Object.fromEntries(Array.from(entries, ([key, value]) => [at + key, JSON.stringify(value)]))
}

async function prepare(
  backend: 'redis' | 'valkey',
  { url }: Service,
  connect: (url: string, at: string) => Promise<ByHand>,
): Promise<Prepared> {
  const prefix = `bench-${randomBytes(4).toString('hex')}:`
  const raw = await connect(url, `${prefix}raw:`)
  const store = await STATE_STORES.create(backend, { url, prefix })
  const close = async (): Promise<void> => {
    await store.clear()
    await store.close()
    await removeAll(url, prefix)
    raw.end()
  }
  return { comparisons: await stateComparisons(raw, store, ROUNDS), close }
}

/** What was written by hand, and the list of workspaces. */
async function removeAll(url: string, prefix: string): Promise<void> {
  const client = await createClient({ url, RESP: 2 }).connect()
  for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 10_000 })) {
    if (keys.length > 0) await client.unlink(keys)
  }
  client.destroy()
}
