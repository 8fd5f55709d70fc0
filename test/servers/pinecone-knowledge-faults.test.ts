/** What goes wrong between the Pinecone backend and its service: every call took effect once, or says what is known. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pinecone } from '@pinecone-database/pinecone'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { HoldfastError } from '../../src/errors.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { builtIn } from '../conformance/harness.ts'
import { FakePinecone } from '../fakes/pinecone.ts'
import { Proxy } from '../faults/proxy.ts'
import { run } from '../support.ts'

let fake: FakePinecone
let proxy: Proxy
let places = 0

beforeAll(async () => {
  fake = await FakePinecone.start()
  proxy = await Proxy.open(fake.url)
})

afterAll(async () => {
  await proxy.close()
  await fake.stop()
})

const defaults = { lagMs: 3, otherLagMs: 30, replicas: 1, tellsLsn: true, missingDiffers: false, scoreError: 1.2e-3 }
beforeEach(() => void Object.assign(fake.behaviour, defaults))
afterEach(() => {
  fake.heal()
  proxy.heal()
  fake.readyMs = 0
})

/** A store with a collection `docs` of two dimensions, on indexes of its own. */
async function open(more: object = {}, collection = true): Promise<KnowledgeStore> {
  const prefix = `f${places++}-`
  const options = { apiKey: fake.apiKey, controllerHost: proxy.url(fake.url), prefix, retries: 0, ...more }
  const store = await builtIn('knowledge').create('pinecone', options)
  onTestFinished(async () => {
    await store.close()
    fake.drop(prefix)
  })
  if (collection) await store.createCollection('docs', { dimension: 2 })
  return store
}

const doc = (id: string, content = id) => ({ id, content, embedding: [1, 1] })

async function failure(call: Promise<unknown>): Promise<HoldfastError> {
  return call.then(
    () => expect.unreachable('the call must fail'),
    (error: HoldfastError) => error,
  )
}

const WRITES = /vectors\/upsert/

describe('answers of Pinecone', () => {
  it.each([
    [429, 'RATE_LIMITED', 'not-applied'],
    [401, 'UNAUTHORIZED', 'not-applied'],
    [403, 'UNAUTHORIZED', 'not-applied'],
    [402, 'PERMISSION_DENIED', 'not-applied'],
    [413, 'VALUE_TOO_LARGE', 'not-applied'],
    [400, 'INVALID_ARGUMENT', 'not-applied'],
    [500, 'UNAVAILABLE', 'unknown'],
    [503, 'UNAVAILABLE', 'unknown'],
  ])('%i to a write is %s, outcome %s', async (status, code, outcome) => {
    const store = await open()
    fake.fail({ on: WRITES, status })
    expect(await failure(store.upsert('docs', [doc('a')]))).toMatchObject({ code, outcome, backend: 'pinecone' })
    await store.upsert('docs', [doc('a')])
    expect(await store.count('docs')).toBe(1)
  })

  it('503 to a read is UNAVAILABLE without an outcome, and never an empty answer', async () => {
    const store = await open()
    await store.upsert('docs', [doc('a')])
    for (const call of [
      () => store.search('docs', { embedding: [1, 0] }),
      () => store.count('docs'),
      () => store.listCollections(),
    ]) {
      fake.fail({ on: /query/, status: 503, times: 100 })
      const error = await failure(call())
      expect(error).toMatchObject({ code: 'UNAVAILABLE' })
      expect(error.outcome).toBeUndefined()
      fake.heal()
    }
  })

  it('429 with Retry-After is waited for and tried again, which nothing else is', async () => {
    const store = await open()
    fake.fail({ on: WRITES, status: 429, retryAfter: 1, times: 2 })
    const started = Date.now()
    const requests = await fake.requestsOf(() => store.upsert('docs', [doc('a')]))
    expect(requests.filter((request) => WRITES.test(request))).toHaveLength(3)
    expect(Date.now() - started).toBeGreaterThanOrEqual(1_990)
    fake.fail({ on: WRITES, status: 503, times: 2 })
    expect(await fake.requestsOf(() => failure(store.upsert('docs', [doc('b')])))).toHaveLength(3)
  })

  it('a wait that Retry-After asks for ends with the call', async () => {
    const store = await open()
    fake.fail({ on: WRITES, status: 429, retryAfter: 9 })
    const error = await failure(store.upsert('docs', [doc('a')], { timeoutMs: 100 }))
    expect(error.code).toBe('TIMEOUT')
  })

  it('an insert that was applied before it failed is found to be done', async () => {
    const store = await open({ retries: 2 })
    fake.fail({ on: WRITES, status: 503, applied: true })
    expect(await store.insert('docs', [doc('a'), doc('b')])).toEqual(['a', 'b'])
    expect(await store.count('docs')).toBe(2)
    expect(await failure(store.insert('docs', [doc('b', 'another')]))).toMatchObject({ code: 'CONFLICT', outcome: 'not-applied' })
  })

  it('nothing that an error shows holds the key', async () => {
    const apiKey = 'pcsk_a-key-that-nobody-may-see'
    const store = await open({ apiKey }, false)
    const error = await failure(store.ping())
    expect(error.code).toBe('UNAUTHORIZED')
    const shown = `${error.message}${error.stack}${String(error.cause)}${JSON.stringify(error)}${JSON.stringify(error.cause)}`
    expect(shown).not.toContain(apiKey)
  })
})

describe('connections to Pinecone', () => {
  it.each(['request', 'answer', { afterBytes: 100 }] as const)('that lose a read (%j): it is read again, once', async (loss) => {
    const store = await open()
    await store.upsert('docs', [doc('a')])
    proxy.lose(loss)
    expect(await store.search('docs', { embedding: [1, 0] })).toHaveLength(1)
  })

  it.each(['request', 'answer', { afterBytes: 200 }] as const)('that lose a write (%j) leave the outcome open', async (loss) => {
    const fetchApi: typeof fetch = (input, init) => {
      if (isArmed && typeof input === 'string' && input.endsWith('/vectors/upsert')) proxy.lose(loss)
      return fetch(input, init)
    }
    const client = new Pinecone({ apiKey: fake.apiKey, controllerHostUrl: proxy.url(fake.url), fetchApi })
    let isArmed = false
    const store = await open({ client })
    isArmed = true
    const sent = await fake.requestsOf(async () => {
      expect(await failure(store.insert('docs', [doc('a')]))).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    })
    expect(sent.filter((request) => WRITES.test(request)).length).toBeLessThanOrEqual(1)
    isArmed = false
    await sleep(10)
    const isThere = loss === 'answer'
    expect(await store.count('docs')).toBe(isThere ? 1 : 0)
    await store.upsert('docs', [doc('a')])
    expect(await store.count('docs')).toBe(1)
  })

  it('that break after a write was sent: repeated, it takes effect once', async () => {
    const store = await open({ retries: 3 })
    const ids = Array.from({ length: 40 }, (_, i) => `d${i}`)
    const breaking = setInterval(() => proxy.reset(), 15)
    const written = await Promise.allSettled(ids.map((id) => store.insert('docs', [doc(id)])))
    clearInterval(breaking)
    for (const result of written) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'UNAVAILABLE' })
    const found = await store.get('docs', ids)
    for (const [i, result] of written.entries()) {
      if (result.status === 'fulfilled') expect(found.some(({ id }) => id === ids[i])).toBe(true)
    }
    expect(await store.count('docs')).toBe(found.length)
  })

  it('that fall silent end with requestTimeoutMs, and with the call’s own deadline', async () => {
    const store = await open({ requestTimeoutMs: 300 })
    await store.upsert('docs', [doc('a')])
    proxy.halfOpen()
    expect(await failure(store.count('docs'))).toMatchObject({ code: 'UNAVAILABLE' })
    expect(await failure(store.count('docs', undefined, { timeoutMs: 50 }))).toMatchObject({ code: 'TIMEOUT' })
    proxy.heal()
    await expect.poll(() => store.count('docs').catch(() => -1), { timeout: 5_000 }).toBe(1)
  })

  it('that are slow only take longer', async () => {
    const store = await open()
    proxy.delay(30)
    await store.upsert('docs', [doc('a')])
    expect(await store.search('docs', { embedding: [1, 1] })).toHaveLength(1)
  })

  it('a write that is aborted while it is under way says that nobody knows', async () => {
    const store = await open()
    proxy.delay(60)
    const error = await failure(store.upsert('docs', [doc('a')], { timeoutMs: 400 }))
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
  })

  it('a server that is stopped and started under load loses nothing that was acknowledged', async () => {
    await using own = await FakePinecone.start()
    own.behaviour.lagMs = 2
    const options = { apiKey: own.apiKey, controllerHost: own.url, retries: 0 }
    await using store = await builtIn('knowledge').create('pinecone', options)
    await store.createCollection('docs', { dimension: 2 })
    const acknowledged: string[] = []
    const over = new AbortController()
    const writer = async (name: string): Promise<void> => {
      for (let i = 0; !over.signal.aborted; i++) {
        const id = `${name}-${i}`
        try {
          await store.insert('docs', [doc(id)])
          acknowledged.push(id)
        } catch (error) {
          expect(error).toMatchObject({ code: 'UNAVAILABLE' })
          await sleep(5)
        }
      }
    }
    const writers = ['a', 'b', 'c', 'd'].map(writer)
    for (let i = 0; i < 3; i++) {
      await sleep(150)
      await own.stop()
      expect(await failure(store.count('docs'))).toMatchObject({ code: 'UNAVAILABLE' })
      await own.listen()
    }
    await sleep(150)
    over.abort()
    await Promise.all(writers)
    expect(acknowledged.length).toBeGreaterThan(10)
    expect(await store.get('docs', acknowledged)).toHaveLength(acknowledged.length)
  })

  it('a server that is not there was sent nothing', async () => {
    await using own = await FakePinecone.start()
    await using store = await builtIn('knowledge').create('pinecone', {
      apiKey: own.apiKey,
      controllerHost: own.url,
      retries: 0,
    })
    await own.stop()
    const error = await failure(store.createCollection('docs', { dimension: 2 }))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
  })
})

describe('writes that queries show later', () => {
  it('resolve when another store finds them', async () => {
    fake.behaviour.lagMs = 150
    const store = await open({ prefix: 'shown-' })
    const other = await open({ prefix: 'shown-' }, false)
    const started = Date.now()
    await store.insert('docs', [doc('a')])
    expect(Date.now() - started).toBeGreaterThanOrEqual(149)
    expect(await other.search('docs', { embedding: [1, 1] })).toHaveLength(1)
    await store.delete('docs', { ids: ['a'] })
    expect(await other.count('docs')).toBe(0)
    expect(await failure(other.createCollection('docs', { dimension: 3 }))).toMatchObject({ code: 'CONFLICT' })
  })

  it('resolve at once where nothing waits, and say so', async () => {
    const store = await open({ waitForWrites: false })
    fake.behaviour.lagMs = 400
    expect(store.capabilities.visibility).toBe('eventual')
    await sleep(10)
    const requests = await fake.requestsOf(() => store.upsert('docs', [doc('a')]))
    expect(requests).toEqual(['POST /query', 'POST /query', 'POST /vectors/upsert'])
    expect(await store.count('docs')).toBe(0)
    await expect.poll(() => store.count('docs'), { timeout: 5_000 }).toBe(1)
  })

  it('are read back also from a replica that is behind', async () => {
    Object.assign(fake.behaviour, { replicas: 3, lagMs: 40 })
    const store = await open()
    for (let i = 0; i < 5; i++) {
      await store.upsert('docs', [doc('a', `version ${i}`)])
      expect((await store.get('docs', ['a']))[0]?.content).toBe(`version ${i}`)
      expect((await store.search('docs', { embedding: [1, 1] }))[0]?.content).toBe(`version ${i}`)
    }
    expect(await store.delete('docs', { ids: ['a'] })).toBe(1)
    expect(await store.count('docs')).toBe(0)
  })

  it('are waited for by their effect where no numbers tell', async () => {
    Object.assign(fake.behaviour, { tellsLsn: false, lagMs: 60 })
    const store = await open()
    await store.insert('docs', [doc('a'), doc('b')])
    expect(await store.count('docs')).toBe(2)
    await store.upsert('docs', [doc('a', 'again')])
    expect((await store.get('docs', ['a']))[0]?.content).toBe('again')
    expect(await store.delete('docs', { filter: {} })).toBe(2)
    expect(await store.count('docs')).toBe(0)
    expect(await store.deleteCollection('docs')).toBe(true)
    expect(await store.collectionExists('docs')).toBe(false)
  })

  it('that do not show in time were accepted, which the error says', async () => {
    const store = await open({ waitMs: 100 })
    fake.behaviour.lagMs = 1_000
    const error = await failure(store.insert('docs', [doc('a')]))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
  })
})

describe('collections in Pinecone', () => {
  it('are looked up together, and anew for each call', async () => {
    const store = await open()
    const many = await fake.requestsOf(() => Promise.all(Array.from({ length: 200 }, () => store.collectionExists('docs'))))
    expect(many.length).toBeLessThan(10)
  })

  it('whose creator died half-way can be created with other settings', async () => {
    const store = await open({ waitMs: 300 })
    fake.fail({ on: WRITES, status: 500 })
    expect(await failure(store.createCollection('half', { dimension: 2 }))).toMatchObject({ outcome: 'unknown' })
    expect(await store.collectionExists('half')).toBe(false)
    await store.createCollection('half', { dimension: 3 })
    expect((await store.describeCollection('half'))?.dimension).toBe(3)
  })

  it('wait for an index that is being created', async () => {
    fake.readyMs = 400
    const store = await open()
    await store.insert('docs', [doc('a')])
    expect(await store.count('docs')).toBe(1)
  })

  it('find their index again after it was deleted and another made', async () => {
    const store = await open({ prefix: 'again-' })
    fake.drop('again-')
    expect(await store.collectionExists('docs').catch(() => false)).toBe(false)
    await store.createCollection('docs', { dimension: 2 })
    await store.insert('docs', [doc('a')])
    expect(await store.count('docs')).toBe(1)
  })

  it('are UNSUPPORTED where the one index given keeps other vectors', async () => {
    const client = new Pinecone({ apiKey: fake.apiKey, controllerHostUrl: fake.url })
    const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } } as const
    await client.createIndex({ name: 'given', dimension: 3, metric: 'dotproduct', spec })
    const store = await open({ url: 'pinecone://given' }, false)
    await store.createCollection('fits', { dimension: 3, distance: 'dot' })
    await store.createCollection('fits too', { dimension: 2, distance: 'dot' })
    await store.insert('fits', [{ id: 'a', content: 'a', embedding: [1, 2, 3] }])
    await store.insert('fits too', [{ id: 'zero', content: 'z', embedding: [0, 0] }])
    expect((await store.search('fits', { embedding: [1, 0, 0] }))[0]).toMatchObject({ id: 'a', score: 1 })
    expect((await store.get('fits too', ['zero']))[0]?.embedding).toEqual(new Float32Array(2))
    const zero = [{ id: 'z', content: '', embedding: [0, 0, 0] }]
    expect(await failure(store.insert('fits', zero))).toMatchObject({ code: 'UNSUPPORTED', outcome: 'not-applied' })
    for (const settings of [{ dimension: 3 }, { dimension: 4, distance: 'dot' as const }]) {
      expect(await failure(store.createCollection('other', settings))).toMatchObject({
        code: 'UNSUPPORTED',
        outcome: 'not-applied',
      })
    }
    expect((await store.listCollections()).map(({ name }) => name)).toEqual(['fits', 'fits too'])
    fake.drop('given')
  })

  it('are not created, and nothing is found, without leave to create an index', async () => {
    const store = await open({ autoCreate: false }, false)
    expect(await store.listCollections()).toEqual([])
    await store.ping()
    expect(await failure(store.createCollection('docs', { dimension: 2 }))).toMatchObject({
      code: 'NOT_FOUND',
      outcome: 'not-applied',
    })
    const given = await open({ index: 'nowhere' }, false)
    expect(await failure(given.listCollections())).toMatchObject({ code: 'NOT_FOUND' })
  })

  it('leave no documents behind when they are deleted', async () => {
    const store = await open({ prefix: 'gone-' })
    await store.insert('docs', [doc('a')])
    await store.deleteCollection('docs')
    const { index } = fake.indexes.get('gone-2-cosine')!
    expect(index.namespaces).toEqual([])
  })
})

it('a process ends after close', { timeout: 30_000 }, async () => {
  const child = run('test/fixtures/pinecone-open.ts', [], {
    env: { PINECONE_API_KEY: fake.apiKey, PINECONE_CONTROLLER_HOST: fake.url },
  })
  onTestFinished(() => void child.process.kill())
  const [code] = (await once(child.process, 'exit')) as [number]
  expect(code, (await child.ended).stderr).toBe(0)
  fake.drop('ended-')
})
