/** State on Redis and Valkey against their own clients by hand, on JSON of 1 KB. What is done by hand keeps no list of its keys. */
import { randomBytes } from 'node:crypto'
import { Redis } from 'iovalkey'
import { createClient } from 'redis'
import type { Service } from '../../scripts/services/home.ts'
import { STATE_STORES } from '../../src/index.ts'
import type { StateStore } from '../../src/state/store.ts'
import type { Comparison, Prepared, ServerBench } from './frame.ts'

const VALUE = { text: 'x'.repeat(1_000) }
const BATCH = 100
const ROUNDS = 2_000

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

interface ByHand {
  set(key: string, text: string): Promise<unknown>
  setFor(key: string, text: string, seconds: number): Promise<unknown>
  get(key: string): Promise<string | null>
  increment(key: string): Promise<unknown>
  setIfAbsent(key: string, text: string): Promise<unknown>
  getMany(keys: string[]): Promise<readonly (string | null)[]>
  setMany(texts: Readonly<Record<string, string>>): Promise<unknown>
  ping(): Promise<unknown>
  end(): void
}

async function byNodeRedis(url: string): Promise<ByHand> {
  const client = await createClient({ url, RESP: 2 }).connect()
  return {
    set: (key, text) => client.set(key, text),
    setFor: (key, text, seconds) => client.set(key, text, { expiration: { type: 'EX', value: seconds } }),
    get: (key) => client.get(key),
    increment: (key) => client.incr(key),
    setIfAbsent: (key, text) => client.set(key, text, { condition: 'NX' }),
    getMany: (keys) => client.mGet(keys),
    setMany: (texts) => client.mSet(texts),
    ping: () => client.ping(),
    end: () => client.destroy(),
  }
}

async function byIoRedis(url: string): Promise<ByHand> {
  const client = new Redis(url)
  return {
    set: (key, text) => client.set(key, text),
    setFor: (key, text, seconds) => client.set(key, text, 'EX', seconds),
    get: (key) => client.get(key),
    increment: (key) => client.incr(key),
    setIfAbsent: (key, text) => client.set(key, text, 'NX'),
    getMany: (keys) => client.mget(keys),
    setMany: (texts) => client.mset(texts),
    ping: () => client.ping(),
    end: () => client.disconnect(),
  }
}

async function prepare(
  backend: 'redis' | 'valkey',
  { url }: Service,
  connect: (url: string) => Promise<ByHand>,
): Promise<Prepared> {
  const prefix = `bench-${randomBytes(4).toString('hex')}:`
  const raw = await connect(url)
  const store = await STATE_STORES.create(backend, { url, prefix })
  const close = async (): Promise<void> => {
    await store.clear()
    await store.close()
    await removeAll(url, prefix)
    raw.end()
  }
  return { comparisons: comparisons(raw, `${prefix}raw:`, store), close }
}

/** What was written by hand, and the list of workspaces. */
async function removeAll(url: string, prefix: string): Promise<void> {
  const client = await createClient({ url, RESP: 2 }).connect()
  for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 10_000 })) {
    if (keys.length > 0) await client.unlink(keys)
  }
  client.destroy()
}

function comparisons(raw: ByHand, at: string, store: StateStore): Comparison[] {
  const pair = (
    what: string,
    hand: (round: number) => unknown,
    ours: (round: number) => unknown,
    rounds = ROUNDS,
  ): Comparison => ({
    what,
    rounds,
    contenders: [
      { name: 'by hand', run: hand },
      { name: 'holdfast', run: ours },
    ],
  })
  const key = (round: number): string => `k${round % 1_000}`
  const batch = Array.from({ length: BATCH }, (_, i) => `b${i}`)
  const text = (): string => JSON.stringify(VALUE)
  return [
    pair('ping', raw.ping, () => store.ping()),
    pair(
      'set',
      (i) => raw.set(at + key(i), text()),
      (i) => store.set(key(i), VALUE),
    ),
    pair(
      'set with TTL',
      (i) => raw.setFor(`${at}t${i % 100}`, text(), 60),
      (i) => store.set(`t${i % 100}`, VALUE, { ttl: 60 }),
    ),
    pair(
      'get',
      async (i) => JSON.parse((await raw.get(at + key(i)))!) as unknown,
      (i) => store.get(key(i)),
    ),
    pair(
      'increment',
      () => raw.increment(`${at}n`),
      () => store.increment('n'),
    ),
    pair(
      'setIfAbsent, taken',
      () => raw.setIfAbsent(`${at}k1`, text()),
      () => store.setIfAbsent('k1', VALUE),
    ),
    pair(
      `setMany of ${BATCH}`,
      () => raw.setMany(Object.fromEntries(batch.map((name) => [at + name, text()]))),
      () => store.setMany(new Map(batch.map((name) => [name, VALUE]))),
      200,
    ),
    pair(
      `getMany of ${BATCH}`,
      async () => (await raw.getMany(batch.map((name) => at + name))).map((found) => JSON.parse(found!) as unknown),
      () => store.getMany(batch),
      200,
    ),
  ]
}
