/** The Pinecone backend as users open it: options, clients, round trips beside the client's own, and what is large. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Pinecone } from '@pinecone-database/pinecone'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { create } from '../../src/knowledge/backends/pinecone.ts'
import { builtIn } from '../conformance/harness.ts'
import { FakePinecone } from '../fakes/pinecone.ts'
import { exec, ROOT, scratch } from '../support.ts'

let fake: FakePinecone
let places = 0

beforeAll(async () => void (fake = await FakePinecone.start()))
afterAll(() => fake.stop())
afterEach(() => void vi.unstubAllEnvs())

async function open(more: object = {}): Promise<KnowledgeStore> {
  const prefix = `c${places++}-`
  const store = await builtIn('knowledge').create('pinecone', { apiKey: fake.apiKey, controllerHost: fake.url, prefix, ...more })
  onTestFinished(async () => {
    await store.close()
    fake.drop(prefix)
  })
  return store
}

const doc = (id: string, more: object = {}) => ({ id, content: id, embedding: [1, 1], ...more })

describe('options of pinecone', () => {
  it('are all listed where they are wrong, and none of them shown', async () => {
    const wrong = { url: 'pinecone://Not_a_name', prefix: 'UPPER', index: '-', waitMs: 0, apiKey: 5, regoin: 'x' }
    const error = await builtIn('knowledge')
      .create('pinecone', wrong as never)
      .then(
        () => expect.unreachable(),
        (error: Error) => error,
      )
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS' })
    for (const name of ['url', 'prefix', 'index', 'waitMs', 'apiKey', 'regoin']) expect(error.message).toContain(name)
    expect(error.message).toContain('region')
  })

  it.each(['pinecone:', 'pinecone://', 'pinecone://an-index', 'http://localhost:5080', 'https://api.example.com/'])(
    'take %s',
    async (url) => {
      await (await builtIn('knowledge').create('pinecone', { url, apiKey: 'k' })).close()
    },
  )

  it.each(['pinecone:an-index', 'pinecone://a/b', 'http://user:pw@host', 'postgres://x', ''])('do not take %s', async (url) => {
    await expect(builtIn('knowledge').create('pinecone', { url, apiKey: 'k' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('need a key, or a client', async () => {
    vi.stubEnv('PINECONE_API_KEY', undefined)
    await expect(builtIn('knowledge').create('pinecone', {})).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    const client = {} as never
    await expect(builtIn('knowledge').create('pinecone', { client })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('are completed by the service’s own variables', async () => {
    vi.stubEnv('PINECONE_API_KEY', fake.apiKey)
    vi.stubEnv('PINECONE_CONTROLLER_HOST', fake.url)
    await using store = await builtIn('knowledge').create('pinecone', { prefix: 'env-' })
    await store.createCollection('docs', { dimension: 2 })
    expect(fake.indexes.has('env-2-cosine')).toBe(true)
    fake.drop('env-')
  })

  it('need no client library where a client is given, which is left as it was', async () => {
    let requests = 0
    const fetchApi: typeof fetch = (input, init) => {
      requests++
      return fetch(input, init)
    }
    const client = new Pinecone({ apiKey: fake.apiKey, controllerHostUrl: fake.url, fetchApi, maxRetries: 7 })
    const loadClient = (): Promise<never> => Promise.reject(new Error('not needed'))
    const backend = await create({ client: client as never, prefix: 'own-' }, { kind: 'knowledge', name: 'pinecone', loadClient })
    await backend.createCollection('', { name: 'docs', dimension: 2, distance: 'cosine', fields: {} })
    expect(requests).toBeGreaterThan(3)
    await backend.close()
    expect((await client.listIndexes()).indexes?.map(({ name }) => name)).toContain('own-2-cosine')
    expect(client.getConfig().maxRetries).toBe(7)
    fake.drop('own-')
  })

  it('without the client library: the command that installs it', async () => {
    const missing = Object.assign(new Error('pinecone needs npm install @pinecone-database/pinecone@^9'), {
      code: 'MISSING_CLIENT',
    })
    const context = { kind: 'knowledge', name: 'pinecone', loadClient: () => Promise.reject(missing) } as const
    await expect(create({ apiKey: 'k' }, context)).rejects.toBe(missing)
  })
})

describe('round trips', () => {
  it('are as few as the engine allows', async () => {
    const store = await open()
    fake.behaviour.lagMs = 0
    await store.createCollection('docs', { dimension: 2 })
    await store.upsert('docs', [doc('seed')])
    const made: Record<string, string[]> = {}
    const of = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      made[name] = (await fake.requestsOf(work)).map((line) => line.replace('POST ', ''))
    }
    await of('search', () => store.search('docs', { embedding: [1, 0] }))
    await of('get', () => store.get('docs', ['seed']))
    await of('count', () => store.count('docs'))
    await of('upsert', () => store.upsert('docs', [doc('a')]))
    await of('insert', () => store.insert('docs', [doc('b')]))
    await of('delete', () => store.delete('docs', { ids: ['a'] }))
    await of('describe', () => store.describeCollection('docs'))
    expect(made).toEqual({
      // The store looks the collection up; then it is searched and looked up again at the same time.
      search: ['/query', '/query', '/query'],
      get: ['/query', '/query', '/query'],
      count: ['/query', '/query', '/query'],
      // … looked up before the write, written, and seen.
      upsert: ['/query', '/query', '/vectors/upsert', '/query'],
      insert: ['/query', '/query', '/query', '/vectors/upsert', '/query'],
      delete: ['/query', '/query', '/query', '/vectors/delete', '/query'],
      describe: ['/query'],
    })
  })

  it('the client’s own: one each', async () => {
    const client = new Pinecone({ apiKey: fake.apiKey, controllerHostUrl: fake.url })
    const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } } as const
    const { host } = (await client.createIndex({ name: 'raw', dimension: 2, metric: 'cosine', spec })) as { host: string }
    const index = client.index({ name: 'raw', host })
    expect(await fake.requestsOf(() => index.upsert({ records: [{ id: 'a', values: [1, 1] }] }))).toHaveLength(1)
    expect(await fake.requestsOf(() => index.query({ vector: [1, 0], topK: 1 }))).toHaveLength(1)
    fake.drop('raw')
  })
})

describe('what is large', () => {
  it('documents of the greatest size are sent and read in parts that fit', { timeout: 60_000 }, async () => {
    const store = await open()
    await store.createCollection('docs', { dimension: 512 })
    const embedding = Array.from({ length: 512 }, (_, i) => Math.sin(i) / 3)
    const content = 'x'.repeat(store.limits.contentBytes!)
    const metadata = { text: 'y'.repeat(5_000) }
    const documents = Array.from({ length: 120 }, (_, i) => ({ id: `d${i}`, content, embedding, metadata }))
    const written = await fake.requestsOf(() => store.upsert('docs', documents))
    expect(written.filter((line) => line.includes('upsert')).length).toBeGreaterThanOrEqual(3)
    const hits = await store.search('docs', { embedding, limit: 120, withEmbeddings: true })
    expect(hits).toHaveLength(120)
    expect(hits[0]).toMatchObject({ content, metadata, embedding: Float32Array.from(embedding) })
    expect(hits[0]!.score).toBeCloseTo(1, 6)
    expect(
      await store.get(
        'docs',
        documents.map(({ id }) => id),
      ),
    ).toHaveLength(120)
  })

  it('a document that is too large in all is refused before anything is sent', async () => {
    const store = await open()
    await store.createCollection('docs', { dimension: 2 })
    const big = doc('big', { content: 'x'.repeat(30_000), metadata: { text: 'y'.repeat(20_000) } })
    const sent = await fake.requestsOf(async () => {
      await expect(store.upsert('docs', [doc('small'), big])).rejects.toMatchObject({
        code: 'VALUE_TOO_LARGE',
        outcome: 'not-applied',
      })
    })
    expect(sent).toEqual(['POST /query', 'POST /query'])
    expect(await store.count('docs')).toBe(0)
  })

  it('more documents than a query gives are counted, found and deleted', { timeout: 120_000 }, async () => {
    const store = await open()
    await store.createCollection('docs', { dimension: 1, distance: 'dot' })
    const total = 21_000
    for (let from = 0; from < total; from += 3_000) {
      const part = Array.from({ length: 3_000 }, (_, i) => ({
        id: `d${from + i}`,
        content: '',
        embedding: [from + i],
        metadata: { third: i % 3 },
      }))
      await store.upsert('docs', part)
    }
    expect(await store.count('docs')).toBe(total)
    expect(await store.count('docs', { third: { $ne: 1 } })).toBe(14_000)
    const hits = await store.search('docs', { embedding: [1], limit: 10_000 })
    expect(hits.map(({ id }) => id)).toEqual(Array.from({ length: 10_000 }, (_, i) => `d${total - 1 - i}`))
    expect(await store.delete('docs', { filter: { third: { $in: [1, 2] } } })).toBe(14_000)
    expect(await store.count('docs')).toBe(7_000)
    expect(await store.clear()).toEqual({ collections: 1, documents: 7_000 })
  })

  it('tiny vectors, which Pinecone takes for zero, keep their direction and every bit', async () => {
    const store = await open()
    await store.createCollection('docs', { dimension: 2 })
    const tiny = Float32Array.from([1e-40, -3e-45])
    await store.upsert('docs', [{ id: 'tiny', content: '', embedding: tiny }])
    const [hit] = await store.search('docs', { embedding: Float32Array.from([2e-41, 0]), withEmbeddings: true })
    expect(hit?.embedding).toEqual(tiny)
    expect(hit?.score).toBeCloseTo(1, 3)
  })
})

it('the program in the guide runs', async () => {
  const guide = await readFile(join(ROOT, 'docs/pinecone.md'), 'utf8')
  const program = /^```ts title=papers.ts\n(.*?)^```$/ms.exec(guide)![1]!
  const file = join(await scratch(), 'papers.ts')
  await writeFile(file, program.replace(`'holdfast'`, JSON.stringify(join(ROOT, 'src/index.ts'))))
  const env = { PINECONE_API_KEY: fake.apiKey, PINECONE_CONTROLLER_HOST: fake.url }
  expect((await exec(process.execPath, [file], { env })).stdout).toBe("[ [ 'b', '0.80' ] ]\n")
  fake.drop('holdfast-')
})
