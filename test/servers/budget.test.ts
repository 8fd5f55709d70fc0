/** How often hot paths go to their server and back, against what was recorded. */
import { describe, it, onTestFinished } from 'vitest'
import type { ConversationStore, KnowledgeStore, StateStore } from '../../src/index.ts'
import type { Counts, Group } from '../budget/compare.ts'
import { kilobyte, times } from '../budget/hot-paths.ts'
import { expectWithinBudget } from '../budget/within.ts'
import { builtIn } from '../conformance/harness.ts'
import { Proxy } from '../faults/proxy.ts'
import { withService, type Service } from '../services.ts'
import * as dynamodb from './dynamodb-support.ts'
import * as gcs from './gcs-support.ts'
import * as postgres from './postgres-places.ts'
import * as redis from './redis-support.ts'

/** By path; each is called once before it is counted, so that connections and statements are there. */
type Paths = Readonly<Record<string, (i: number) => Promise<unknown>>>

async function countRoundTrips(proxy: Pick<Proxy, 'count'>, paths: Paths): Promise<Group> {
  const counts: Record<string, Counts> = {}
  let turn = 0
  for (const [path, run] of Object.entries(paths)) {
    await run(turn++)
    counts[path] = { roundTrips: await proxy.count(() => run(turn++)) }
  }
  return counts
}

async function ofState(store: StateStore): Promise<Paths> {
  const key = (i: number): string => `key-${String(i % 100).padStart(4, '0')}`
  await store.setMany(new Map(times(100, (i) => [key(i), { text: kilobyte(i) }])))
  let counted: number | undefined
  return {
    get: () => store.get(key(1)),
    set: (i) => store.set(key(1), { text: kilobyte(i) }),
    'set with a TTL': (i) => store.set(key(2), { text: kilobyte(i) }, { ttl: 3_600 }),
    increment: () => store.increment('counter'),
    'compare and set': (i) => store.compareAndSet('counted', counted, (counted = i)),
    'get 100': () => store.getMany(times(100, key)),
    'scan 100 keys': () => store.scan({ prefix: 'key-', limit: 100 }),
  }
}

async function ofConversation(store: ConversationStore): Promise<Paths> {
  await store.createSession({ id: 's', userId: 'u' })
  const message = (id: string): { id: string; role: string; content: string } => ({ id, role: 'user', content: kilobyte(1) })
  return {
    'get a session': () => store.getSession('s'),
    append: (i) => store.addMessage('s', message(`m${i}`)),
    'append 100': (i) =>
      store.addMessages(
        's',
        times(100, (n) => message(`m${i}-${n}`)),
      ),
    'newest 50': () => store.getMessages('s', { limit: 50 }),
    'list 20 sessions of a user': () => store.listSessions({ userId: 'u', limit: 20 }),
  }
}

async function ofKnowledge(store: KnowledgeStore): Promise<Paths> {
  await store.createCollection('c', { dimension: 3 })
  const document = (id: string): { id: string; content: string; embedding: number[] } => ({
    id,
    content: id,
    embedding: [1, 0, id.length],
  })
  return {
    insert: (i) => store.insert('c', [document(`d${i}`)]),
    'insert 100': (i) =>
      store.insert(
        'c',
        times(100, (n) => document(`d${i}-${n}`)),
      ),
    'get 10': () => store.get('c', ['d0', 'd1']),
    'search 10': () => store.search('c', { embedding: [1, 0, 2], limit: 10 }),
  }
}

function onRedis(backend: redis.RedisBackend): void {
  withService(backend, `${backend}, within the budget`, (service) => {
    it('state: round trips', async ({ task }) => {
      const [proxies, prefix] = [await redis.Proxies.open(service), redis.newPrefix()]
      onTestFinished(async () => {
        await proxies[Symbol.asyncDispose]()
        await redis.removeAll(service, prefix)
      })
      await using store = await redis.create(backend, { ...proxies.options, prefix })
      expectWithinBudget(task, `${backend}, state`, await countRoundTrips(proxies, await ofState(store)))
    })
  })
}

onRedis('redis')
onRedis('valkey')

withService('postgres', 'Postgres, within the budget', (service: Service) => {
  it('state: round trips', async ({ task }) => {
    await using at = await postgres.open('state', 'postgres', service)
    expectWithinBudget(task, 'postgres, state', await countRoundTrips(at.proxy, await ofState(at.store)))
  })

  it('conversation: round trips', async ({ task }) => {
    await using at = await postgres.open('conversation', 'postgres', service)
    expectWithinBudget(task, 'postgres, conversation', await countRoundTrips(at.proxy, await ofConversation(at.store)))
  })

  it('knowledge: round trips', async ({ task }) => {
    await using at = await postgres.open('knowledge', 'pgvector', service)
    expectWithinBudget(task, 'pgvector, knowledge', await countRoundTrips(at.proxy, await ofKnowledge(at.store)))
  })
})

withService('dynamodb', 'DynamoDB, within the budget', (service) => {
  it('state: round trips', async ({ task }) => {
    await using at = await dynamodb.open(service)
    expectWithinBudget(task, 'dynamodb, state', await countRoundTrips(at.proxy, await ofState(at.store)))
  })
})

describe('Cloud Storage, within the budget', () => {
  gcs.onFake('on the wire-level fake', {}, (server) => {
    it('state: round trips', async ({ task }) => {
      const [proxy, bucket] = [await Proxy.open(server.direct), await gcs.newBucket(server.direct)]
      onTestFinished(() => proxy.close())
      await using store = await builtIn('state').create('gcs', { bucket, apiEndpoint: proxy.url(server.direct) })
      expectWithinBudget(task, 'gcs, state', await countRoundTrips(proxy, await ofState(store)))
    })
  })
})
