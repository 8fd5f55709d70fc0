/** Opening a store on Cloud Storage, what its objects look like to others, and what it says when it cannot. */
import { Storage } from '@google-cloud/storage'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { isHoldfastError, HoldfastError } from '../../src/errors.ts'
import { create } from '../../src/state/backends/gcs.ts'
import { builtIn, localContext } from '../conformance/harness.ts'
import { FakeGcs } from '../fakes/gcs.ts'
import { exec } from '../support.ts'
import { newBucket, onEachServer, openStore } from './gcs-support.ts'

const registry = builtIn('state')
const TOKEN = 'ya29.secret-token'
const KEY = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWtleQ==\n-----END PRIVATE KEY-----\n'

async function failureOf(opening: Promise<unknown>): Promise<HoldfastError> {
  const error = await opening.then(
    () => expect.unreachable('it opened'),
    (reason: unknown) => reason,
  )
  if (isHoldfastError(error)) return error
  throw error
}

/** A client as an application makes it. */
function clientOf(url: string, headers: () => Promise<Headers>): Storage {
  return new Storage({ apiEndpoint: url, useAuthWithCustomEndpoint: true, authClient: { getRequestHeaders: headers } as never })
}

onEachServer('gcs, opened', (server) => {
  it('takes bucket and prefix by URL', async () => {
    const bucket = await newBucket(server.url)
    const at = { apiEndpoint: server.url }
    const files = async (): Promise<string[]> => {
      const [found] = await new Storage({ ...at, projectId: 'test' }).bucket(bucket).getFiles()
      return found.map(({ name }) => name)
    }
    await using plain = await registry.create('gcs', { url: `gs://${bucket}`, ...at })
    await plain.set('a', 1)
    await using deeper = await registry.create('gcs', { url: `gcs://${bucket}/some/place`, ...at })
    await deeper.workspace('acme').set('a/b', 1)
    await using bare = await registry.create('gcs', { bucket, prefix: '', ...at })
    await bare.set('c d', 1)
    expect(await files()).toEqual(['holdfast/state/s-!/a', 's-!/c d', 'some/place/s-w:acme!/a/b'])
    expect([await plain.keys(), await deeper.keys(), await bare.keys()]).toEqual([['a'], [], ['c d']])
    expect(await deeper.listWorkspaces()).toEqual({ items: ['acme'] })
  })

  it('keeps plain JSON and bytes, which other programs can read, and what a lifecycle rule needs', async () => {
    await using at = await openStore(server.url, { prefix: 'p/' })
    await at.store.set('object', { a: 'é' }, { ttl: 90 })
    await at.store.setBytes('bytes', Uint8Array.of(0, 255))
    const bucket = new Storage({ apiEndpoint: server.url, projectId: 'test' }).bucket(at.bucket)
    const [text, bytes] = [await bucket.file('p/s-!/object').download(), await bucket.file('p/s-!/bytes').download()]
    expect([text[0].toString(), [...bytes[0]]]).toEqual(['{"a":"é"}', [0, 255]])
    const [metadata] = await bucket.file('p/s-!/object').getMetadata()
    expect(metadata).toMatchObject({ contentType: 'application/json', cacheControl: 'no-store' })
    const expires = Number(metadata.metadata!['holdfast-expires'])
    expect(Math.abs(expires - Date.now() - 90_000)).toBeLessThan(30_000)
    expect(new Date(metadata.customTime!).getTime()).toBe(expires)
    expect((await bucket.file('p/s-!/bytes').getMetadata())[0]).toMatchObject({ contentType: 'application/octet-stream' })
  })

  it('reads what others put there, and leaves alone what is none of its own', async () => {
    await using at = await openStore(server.url, { prefix: 'p/' })
    const bucket = new Storage({ apiEndpoint: server.url, projectId: 'test' }).bucket(at.bucket)
    for (const name of ['p/s-!/foreign', 'p/s-!/\tz', `p/s-!/${'x'.repeat(600)}`, 'p/s-!', 'p/other', 'q', 'p/h-x!/y']) {
      await bucket.file(name).save('{"x":1}', { resumable: false, validation: false })
    }
    expect(await at.store.get('foreign')).toEqual({ x: 1 })
    expect(await at.store.keys()).toEqual(['foreign'])
    expect(await at.store.listWorkspaces()).toEqual({ items: [''] })
    expect(await at.store.compareAndSet('foreign', { x: 1 }, 2)).toBe(true)
    expect(await at.store.clear()).toBe(1)
    expect((await bucket.getFiles())[0]).toHaveLength(6)
  })

  it('says which bucket is missing, when opened and later', async () => {
    const opening = registry.create('gcs', { bucket: 'no-such-bucket', apiEndpoint: server.url })
    expect(await failureOf(opening)).toMatchObject({ code: 'NOT_FOUND', backend: 'gcs' })
    await expect(opening).rejects.toThrow(/no-such-bucket.*gcloud storage buckets create/)
  })

  it('tells a key that is called like an error from the error', async () => {
    await using at = await openStore(server.url)
    for (const key of ['NoSuchBucket', 'The specified bucket does not exist', '<Code>NoSuchBucket</Code>', 'rateLimitExceeded']) {
      expect([await at.store.get(key), await at.store.delete(key), await at.store.setIfAbsent(key, 1)]).toEqual([
        undefined,
        false,
        true,
      ])
    }
  })

  it('takes a client and leaves it usable', async () => {
    const client = new Storage({ apiEndpoint: server.url, projectId: 'test' })
    const bucket = await newBucket(server.url)
    const store = await registry.create('gcs', { client, bucket })
    await store.set('k', 1)
    await store.close()
    await expect(store.get('k')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    expect((await client.bucket(bucket).file('holdfast/state/s-!/k').download())[0].toString()).toBe('1')
  })

  it('lets the process end once it is closed', async () => {
    const bucket = await newBucket(server.url)
    const script = fileURLToPath(new URL('../fixtures/gcs-once.ts', import.meta.url))
    const { stdout } = await exec(process.execPath, [script, JSON.stringify({ bucket, apiEndpoint: server.url })])
    const [said, exit] = stdout.trim().split('\n')
    const [value, closed] = said!.split(' ').map(Number)
    expect(value).toBe(21)
    expect(Number(exit) - closed!).toBeLessThan(1_000)
  })
})

describe('gcs that cannot be opened', () => {
  it('lists everything that is wrong with its options', async () => {
    const options = { bucket: 'A', prefix: 'a\nb', apiEndpoint: 'nowhere', requestTimeoutMs: 0, credentials: 'x', buckets: 1 }
    const { code, message } = await failureOf(registry.create('gcs', options as never))
    expect(code).toBe('INVALID_OPTIONS')
    for (const problem of [
      /bucket must be 3 to 222/,
      /prefix must be well-formed/,
      /apiEndpoint must be/,
      /requestTimeoutMs must/,
      /credentials must/,
      /"buckets": did you mean "bucket"/,
    ]) {
      expect(message).toMatch(problem)
    }
  })

  it.each([
    [{}, /give the bucket/],
    [{ url: 'gs://bucket', bucket: 'bucket' }, /not both/],
    [{ url: 'gs://bucket/a', prefix: 'b/' }, /not both/],
    [{ url: 'gs://bucket/a?x=1' }, /parameters/],
    [{ url: 'gs://user:hunter2@bucket' }, /bucket in `url` must be/],
    [{ url: 's3://user:hunter2@bucket' }, /is not "gs:/],
    [{ url: `gs://bucket/${'x'.repeat(129)}` }, /longer than 128 bytes/],
    [{ bucket: 'bucket', prefix: '.well-known/acme-challenge/x' }, /must not begin/],
    [{ bucket: 'bucket', client: { apiEndpoint: 1 } }, /client must be a Storage/],
    [{ bucket: 'bucket', client: null }, /client must be a Storage/],
  ])('refuses %j', async (options, problem) => {
    const error = await failureOf(registry.create('gcs', options))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', kind: 'state', backend: 'gcs' })
    expect(error.message).toMatch(problem)
    expect(inspect(error)).not.toContain('hunter2')
  })

  it('names the client library that is missing', async () => {
    const missing = new HoldfastError('MISSING_CLIENT', 'npm install @google-cloud/storage@^8')
    const context = { ...localContext('state', 'gcs'), loadClient: () => Promise.reject(missing) }
    await expect(create({ bucket: 'bucket' }, context)).rejects.toBe(missing)
  })

  it('says UNAVAILABLE where nobody listens', async () => {
    const fake = await FakeGcs.open()
    const bucket = await newBucket(fake.url)
    await fake.stop()
    const error = await failureOf(registry.create('gcs', { bucket, apiEndpoint: fake.url }))
    expect(error).toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('gcs with credentials', () => {
  it('sends the client’s token with every request', async () => {
    await using fake = await FakeGcs.open({ token: TOKEN })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` }
    await fetch(`${fake.url}/storage/v1/b?project=p`, { method: 'POST', body: '{"name":"bucket"}', headers })
    let given = TOKEN
    const client = clientOf(fake.url, async () => new Headers({ authorization: `Bearer ${given}` }))
    await using store = await registry.create('gcs', { client, bucket: 'bucket' })
    expect([await store.increment('n'), await store.get('n'), await store.keys(), await store.delete('n')]).toEqual([
      1,
      1,
      ['n'],
      true,
    ])
    given = 'ya29.wrong-secret'
    for (const call of [
      () => store.get('n'),
      () => store.set('n', 1),
      () => store.increment('n'),
      () => store.keys(),
      () => store.ping(),
    ]) {
      const error = await failureOf(call())
      expect(error.code).toBe('UNAUTHORIZED')
      expect(inspect(error, { depth: 9 })).not.toContain(given)
    }
    given = TOKEN
    expect(await store.increment('n')).toBe(1)
  })

  it('shows nothing of credentials that give no token', async () => {
    await using fake = await FakeGcs.open()
    const secret = Object.assign(new Error(`invalid_grant for ${TOKEN}`), {
      config: { headers: { authorization: TOKEN } },
      status: 400,
    })
    const openings = [
      registry.create('gcs', { client: clientOf(fake.url, () => Promise.reject(secret)), bucket: 'bucket' }),
      registry.create('gcs', { bucket: 'bucket', keyFilename: '/nowhere/key.json' }),
      registry.create('gcs', {
        bucket: 'bucket',
        credentials: { client_email: 'a@b.iam.gserviceaccount.com', private_key: KEY },
      }),
    ]
    const errors = await Promise.all(openings.map(failureOf))
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'UNAUTHORIZED', outcome: 'not-applied' })
      expect(error.message).toMatch(/credentials are missing or not accepted/)
      for (const part of [TOKEN, KEY, 'c2VjcmV0LWtleQ']) expect(inspect(error, { depth: 9 })).not.toContain(part)
    }
  })

  it('tells an outage of the token service from a refusal', async () => {
    await using fake = await FakeGcs.open()
    for (const cause of [{ code: 'ENOTFOUND' }, { code: 'ECONNRESET' }, { status: 503 }]) {
      const client = clientOf(fake.url, () => Promise.reject(Object.assign(new Error('no'), cause)))
      const error = await failureOf(registry.create('gcs', { client, bucket: 'bucket' }))
      expect(error).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    }
  })
})
