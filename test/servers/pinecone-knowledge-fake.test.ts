/** The fake of Pinecone refuses what the service refuses, and answers as it does: a fake that is too kind proves nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pinecone, type Index } from '@pinecone-database/pinecone'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakePinecone } from '../fakes/pinecone.ts'

let fake: FakePinecone
let client: Pinecone

beforeEach(async () => {
  fake = await FakePinecone.start()
  Object.assign(fake.behaviour, { lagMs: 0, otherLagMs: 0, scoreError: 0 })
  client = new Pinecone({ apiKey: fake.apiKey, controllerHostUrl: fake.url, maxRetries: 0 })
})

afterEach(() => fake.stop())

async function index(metric: 'cosine' | 'euclidean' | 'dotproduct' = 'cosine', name = 'trial'): Promise<Index> {
  const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } } as const
  const { host } = await client.createIndex({ name, dimension: 2, metric, spec })
  return client.index({ name, host })
}

interface Sent {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

/** A request as no client would send it. */
async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Sent> {
  const response = await fetch(`${fake.url}/i/trial${path}`, {
    method,
    headers: {
      'api-key': fake.apiKey,
      'x-pinecone-api-version': '2026-07',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

const vector = (id: string, more: object = {}) => ({ id, values: [1, 1], ...more })
const upsert = (...vectors: unknown[]): Promise<Sent> => send('POST', '/vectors/upsert', { vectors })
const query = (more: object): Promise<Sent> => send('POST', '/query', { vector: [1, 0], topK: 10, ...more })

describe('the fake refuses', () => {
  it('a wrong key in plain text, and a missing version', async () => {
    await index()
    expect(await send('POST', '/query', {}, { 'api-key': 'wrong' })).toMatchObject({ status: 401, text: 'Unauthorized' })
    expect(await send('POST', '/query', {}, { 'x-pinecone-api-version': '2020-01' })).toMatchObject({ status: 400 })
  })

  it.each<[string, unknown]>([
    ['an unknown field', vector('a', { colour: 'red' })],
    ['an id beyond ASCII', vector('é')],
    ['an id of 513 characters', vector('x'.repeat(513))],
    ['an empty id', vector('')],
    ['U+0000 in an id', vector('a\0')],
    ['a wrong dimension', { id: 'a', values: [1] }],
    ['a vector of zeros', { id: 'a', values: [0, 1e-9] }],
    ['a number beyond 32-bit floats', { id: 'a', values: [1e39, 0] }],
    ['null metadata', vector('a', { metadata: { x: null } })],
    ['an object in metadata', vector('a', { metadata: { x: {} } })],
    ['a list of numbers in metadata', vector('a', { metadata: { x: [1] } })],
    ['a field that begins with $', vector('a', { metadata: { $x: 1 } })],
    ['metadata beyond 40 KB', vector('a', { metadata: { x: 'x'.repeat(40_960) } })],
  ])('to write %s', async (_, wrong) => {
    await index()
    const { status, text } = await upsert(wrong)
    expect(status).toBe(400)
    expect(JSON.parse(text)).toMatchObject({ code: 3, details: [] })
    expect(JSON.parse((await query({})).text)).toMatchObject({ matches: [] })
  })

  it('more than 1,000 records or 2 MB at once', async () => {
    await index()
    expect((await upsert(...Array.from({ length: 1_001 }, (_, i) => vector(`${i}`)))).status).toBe(400)
    const big = { metadata: { x: 'x'.repeat(40_000) } }
    expect((await upsert(...Array.from({ length: 53 }, (_, i) => vector(`${i}`, big)))).text).toContain('exceeds the maximum')
    expect((await upsert(...Array.from({ length: 50 }, (_, i) => vector(`${i}`, big)))).status).toBe(200)
  })

  it.each<[string, unknown]>([
    ['$gt of a string', { x: { $gt: 'a' } }],
    ['$lt of a boolean', { x: { $lt: true } }],
    ['$eq of null', { x: { $eq: null } }],
    ['$eq of a list', { x: { $eq: ['a'] } }],
    ['a list as a value', { x: ['a'] }],
    ['$in of a boolean', { x: { $in: [true] } }],
    ['an empty $in', { x: { $in: [] } }],
    ['$in of 10,001 values', { x: { $in: Array.from({ length: 10_001 }, String) } }],
    ['$exists of a number', { x: { $exists: 1 } }],
    ['$not', { $not: { x: 1 } }],
    ['$regex', { x: { $regex: 'a' } }],
    ['an empty $and', { $and: [] }],
    ['an empty condition', { x: {} }],
    ['an empty filter', {}],
  ])('to filter by %s', async (_, filter) => {
    await index()
    expect((await query({ filter })).status).toBe(400)
  })

  it('queries out of range, and answers beyond 4 MB', async () => {
    await index()
    for (const wrong of [{ topK: 0 }, { topK: 10_001 }, { vector: [1] }, { id: 'a' }, { top_k: 1 }])
      expect((await query(wrong)).status).toBe(400)
    const big = { metadata: { x: 'x'.repeat(40_000) } }
    for (let from = 0; from < 120; from += 40) await upsert(...Array.from({ length: 40 }, (_, i) => vector(`${from + i}`, big)))
    expect((await query({ topK: 120, includeMetadata: true })).status).toBe(400)
    expect((await query({ topK: 90, includeMetadata: true })).status).toBe(200)
  })

  it('deletions and fetches of what cannot be, and of too much', async () => {
    const trial = await index()
    await trial.upsert({ records: [{ id: 'a', values: [1, 1] }] })
    const many = Array.from({ length: 1_001 }, String)
    for (const wrong of [{}, { ids: [] }, { ids: many }, { ids: ['a'], deleteAll: true }, { filter: {} }]) {
      expect((await send('POST', '/vectors/delete', wrong)).status).toBe(400)
    }
    expect((await send('POST', '/vectors/delete', { ids: ['a'], namespace: 'nowhere' })).status).toBe(404)
    expect((await send('GET', '/vectors/list?limit=101')).status).toBe(400)
    expect((await send('POST', '/describe_index_stats', { filter: { x: 1 } })).status).toBe(400)
  })

  it('indexes that cannot be, or are there', async () => {
    await index()
    await expect(index()).rejects.toMatchObject({ name: 'PineconeConflictError' })
    await expect(index('cosine', 'Not_a_name')).rejects.toMatchObject({ name: 'PineconeBadRequestError' })
    await expect(client.describeIndex('nowhere')).rejects.toMatchObject({ name: 'PineconeNotFoundError' })
  })
})

describe('the fake answers', () => {
  it('with the scores of its metrics, the most similar first', async () => {
    const records = [
      { id: 'far', values: [3, 4] },
      { id: 'near', values: [1, 0.5] },
    ]
    const found = async (metric: 'cosine' | 'euclidean' | 'dotproduct'): Promise<[string, number][]> => {
      const trial = await index(metric, metric)
      await trial.upsert({ records })
      return (await trial.query({ vector: [1, 0], topK: 5 })).matches.map(({ id, score }) => [id, Math.round(score! * 1e4) / 1e4])
    }
    expect(await found('cosine')).toEqual([
      ['near', 0.8944],
      ['far', 0.6],
    ])
    expect(await found('dotproduct')).toEqual([
      ['far', 3],
      ['near', 1],
    ])
    expect(await found('euclidean')).toEqual([
      ['near', 0.25],
      ['far', 20],
    ])
  })

  it('with what filters mean on missing fields and lists', async () => {
    const trial = await index()
    const metadata = { a: { x: 'p' }, b: { x: ['p', 'q'] }, c: { x: 1 }, d: { y: true } }
    await trial.upsert({ records: Object.entries(metadata).map(([id, one]) => ({ id, values: [1, 1], metadata: one })) })
    const found = async (filter: object): Promise<string> =>
      (await trial.query({ vector: [1, 0], topK: 9, filter })).matches
        .map(({ id }) => id)
        .toSorted()
        .join('')
    expect(await found({ x: 'p' })).toBe('ab')
    expect(await found({ x: { $in: ['q', 1] } })).toBe('bc')
    expect(await found({ x: { $ne: 'p' } })).toBe('c')
    expect(await found({ x: { $nin: ['q'] } })).toBe('ac')
    expect(await found({ x: { $exists: false } })).toBe('d')
    expect(await found({ x: { $gt: 0 } })).toBe('c')
    expect(await found({ $or: [{ y: true }, { x: { $gte: 1, $lte: 1 } }] })).toBe('cd')
    fake.behaviour.missingDiffers = true
    expect(await found({ x: { $ne: 'p' } })).toBe('cd')
  })

  it('late, and with the numbers that tell how late', async () => {
    await index()
    await upsert(vector('a'))
    fake.behaviour.lagMs = 100
    const written = await upsert(vector('b'))
    expect(written.headers.get('x-pinecone-request-lsn')).toBe('2')
    const early = await query({})
    expect([early.headers.get('x-pinecone-max-indexed-lsn'), JSON.parse(early.text).matches.length]).not.toEqual(['2', 2])
    await sleep(110)
    const later = await query({})
    expect([later.headers.get('x-pinecone-max-indexed-lsn'), JSON.parse(later.text).matches.length]).toEqual(['2', 2])
    expect((await query({ namespace: 'nowhere' })).headers.get('x-pinecone-max-indexed-lsn')).toBeNull()
  })

  it('lists in bytewise order, by prefix, page by page', async () => {
    const trial = await index()
    await trial.upsert({ records: ['b2', 'a1', 'B', 'a10', 'a2'].map((id) => ({ id, values: [1, 1] })) })
    const first = await trial.listPaginated({ prefix: 'a', limit: 2 })
    expect(first.vectors?.map(({ id }) => id)).toEqual(['a1', 'a10'])
    const rest = await trial.listPaginated({ prefix: 'a', limit: 2, paginationToken: first.pagination!.next })
    expect([rest.vectors?.map(({ id }) => id), rest.pagination]).toEqual([['a2'], undefined])
  })

  it('fetches, by id and by metadata; updates, and counts what it would; and knows its namespaces', async () => {
    const trial = (await index()).namespace('n')
    await trial.upsert({ records: [{ id: 'a', values: [1, 0.1], metadata: { x: 1 } }] })
    await trial.update({ id: 'a', metadata: { y: 'z' } })
    const { records } = await trial.fetch({ ids: ['a', 'nope'] })
    expect(records).toEqual({ a: { id: 'a', values: [1, Math.fround(0.1)], metadata: { x: 1, y: 'z' } } })
    expect(Object.keys((await trial.fetchByMetadata({ filter: { y: 'z' } })).records)).toEqual(['a'])
    const counted = await send('POST', '/vectors/update', {
      filter: { x: { $gt: 0 } },
      setMetadata: {},
      dryRun: true,
      namespace: 'n',
    })
    expect(JSON.parse(counted.text)).toEqual({ matchedRecords: 1 })
    expect((await trial.describeIndexStats()).namespaces).toEqual({ n: { recordCount: 1 } })
    await trial.createNamespace({ name: 'made', schema: { fields: { x: { filterable: true } } } })
    await expect(trial.createNamespace({ name: 'made' })).rejects.toMatchObject({ name: 'PineconeConflictError' })
    expect((await trial.listNamespaces()).namespaces?.map(({ name }) => name)).toEqual(['made', 'n'])
    expect((await trial.describeNamespace('made')).schema).toEqual({ fields: { x: { filterable: true } } })
    await trial.deleteNamespace('n')
    await expect(trial.deleteNamespace('n')).rejects.toMatchObject({ name: 'PineconeNotFoundError' })
  })
})
