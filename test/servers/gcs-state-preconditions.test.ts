/**
 * What the backend takes for granted of Cloud Storage, asked over plain HTTP: preconditions are checked here, not assumed. It runs on every
 * server that stands for the real one; `HOLDFAST_GCS_BUCKET` with `HOLDFAST_GCS_TOKEN` name a real bucket, which the tests may write to.
 */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodeKey } from '../../src/state/gcs-names.ts'
import { compareBytes } from '../../src/store/text.ts'
import { HOSTILE_TEXTS } from '../../src/conformance/hostile.ts'
import { FakeGcs } from '../fakes/gcs.ts'
import { withService } from '../services.ts'
import { newBucket, onEachServer } from './gcs-support.ts'

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

interface Place {
  readonly url: string
  readonly bucket: string
  /** What names begin with. */
  readonly folder: string
  readonly headers?: Record<string, string>
}

type Uploading = (place: Place, name: string, body: string, query?: string) => Promise<Answer>

const REAL = process.env['HOLDFAST_GCS_BUCKET']

onEachServer('gcs over plain HTTP', (server) => {
  asked(async () => ({ url: server.direct, bucket: await newBucket(server.direct), folder: '' }))
})

describe.skipIf(REAL === undefined)('gcs over plain HTTP, on Cloud Storage itself', () => {
  const headers = { authorization: `Bearer ${process.env['HOLDFAST_GCS_TOKEN']}` }
  asked(async () => ({ url: 'https://storage.googleapis.com', bucket: REAL!, folder: `holdfast-test/${randomUUID()}/`, headers }))
})

withService('gcs', 'fake-gcs-server as it is', (service) => {
  it('deletes against a precondition, which the proxy puts right: when this fails, the correction can go', async () => {
    const place = { url: service.url, bucket: await newBucket(service.url), folder: '' }
    await media(place, 'k', '1')
    expect((await remove(place, 'k', 'ifGenerationMatch=7')).status).toBe(200)
    expect((await look(place, 'k')).status).toBe(404)
  })

  it('patches metadata against a precondition, which no backend does', async () => {
    const place = { url: service.url, bucket: await newBucket(service.url), folder: '' }
    await media(place, 'k', '1')
    expect((await patch(place, 'k', 'ifGenerationMatch=7')).status).toBe(200)
  })

  it('counts no prefixes towards a page of a listing, so the fake alone shows that pages of folders work', async () => {
    const place = { url: service.url, bucket: await newBucket(service.url), folder: '' }
    for (const name of ['a!/1', 'b!/1', 'c!/1']) await media(place, name, '1')
    const { prefixes } = JSON.parse((await list(place, { delimiter: '!', maxResults: '2' })).text) as { prefixes: string[] }
    expect(prefixes).toEqual(['a!', 'b!', 'c!'])
  })
})

function asked(makePlace: () => Promise<Place>): void {
  describe.each([
    ['media', media],
    ['multipart', multipart],
    ['resumable', resumable],
  ] as const)('an upload (%s)', (_, upload) => {
    uploads(makePlace, upload)
  })
  deletions(makePlace)
  reading(makePlace)
  listing(makePlace)
  naming(makePlace)
}

function uploads(makePlace: () => Promise<Place>, upload: Uploading): void {
  it('with ifGenerationMatch=0 holds only where nothing is', async () => {
    const place = await makePlace()
    expect((await upload(place, 'k', '1', 'ifGenerationMatch=0')).status).toBe(200)
    expect((await upload(place, 'k', '2', 'ifGenerationMatch=0')).status).toBe(412)
    expect((await read(place, 'k')).text).toBe('1')
    await remove(place, 'k')
    expect((await upload(place, 'k', '3', 'ifGenerationMatch=0')).status).toBe(200)
  })

  it('with ifGenerationMatch=N holds only over that generation', async () => {
    const place = await makePlace()
    const first = generationOf(await upload(place, 'k', '1'))
    const second = generationOf(await upload(place, 'k', '2', `ifGenerationMatch=${first}`))
    expect((await upload(place, 'k', '3', `ifGenerationMatch=${first}`)).status).toBe(412)
    expect((await read(place, 'k')).text).toBe('2')
    await remove(place, 'k')
    expect((await upload(place, 'k', '4', `ifGenerationMatch=${second}`)).status).toBe(412)
    expect((await look(place, 'k')).status).toBe(404)
  })

  it('makes a new, greater generation each time, also of the same content and after a deletion', async () => {
    const place = await makePlace()
    const generations: bigint[] = []
    for (let i = 0; i < 10; i++) {
      generations.push(BigInt(generationOf(await upload(place, 'k', 'same'))))
      if (i % 3 === 0) await remove(place, 'k')
    }
    expect(generations).toEqual(generations.toSorted((a, b) => (a < b ? -1 : 1)))
    expect(new Set(generations).size).toBe(10)
  })

  it('lets exactly one of many writers win that expect the same generation', async () => {
    const place = await makePlace()
    for (const expected of ['0', undefined]) {
      const generation = expected ?? generationOf(await look(place, 'k'))
      const bodies = Array.from({ length: 12 }, (_, i) => `${generation} ${i}`)
      const answers = await Promise.all(bodies.map((body) => upload(place, 'k', body, `ifGenerationMatch=${generation}`)))
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(11)
      expect((await read(place, 'k')).text).toBe(bodies[answers.findIndex(({ status }) => status === 200)])
    }
  })
}

function deletions(makePlace: () => Promise<Place>): void {
  it('a deletion with ifGenerationMatch holds only of that generation', async () => {
    const place = await makePlace()
    const first = generationOf(await media(place, 'k', '1'))
    const second = generationOf(await media(place, 'k', '2'))
    expect((await remove(place, 'k', `ifGenerationMatch=${first}`)).status).toBe(412)
    expect((await read(place, 'k')).text).toBe('2')
    expect((await remove(place, 'k', `ifGenerationMatch=${second}`)).status).toBeLessThan(300)
    expect([404, 412]).toContain((await remove(place, 'k', `ifGenerationMatch=${second}`)).status)
    expect((await remove(place, 'k')).status).toBe(404)
  })

  it('of a deletion and writes that expect the same generation exactly one holds', async () => {
    const place = await makePlace()
    for (let round = 0; round < 5; round++) {
      const name = `k${round}`
      const generation = generationOf(await media(place, name, 'start'))
      const contenders = [remove, remove, ...[1, 2, 3].map((i) => (p: Place, n: string, q: string) => multipart(p, n, `${i}`, q))]
      const answers = await Promise.all(contenders.map((contend) => contend(place, name, `ifGenerationMatch=${generation}`)))
      expect(answers.filter(({ status }) => status < 300)).toHaveLength(1)
      expect((await look(place, name)).status).toBe(answers.slice(0, 2).some(({ status }) => status < 300) ? 404 : 200)
    }
  })
}

function reading(makePlace: () => Promise<Place>): void {
  it('one answer holds bytes, generation and custom metadata, by the XML API', async () => {
    const place = await makePlace()
    const resource = { metadata: { 'holdfast-expires': '123' }, customTime: '2030-01-01T00:00:00.000Z', cacheControl: 'no-store' }
    const written = await multipart(place, 'a/b c', '{"x":1}', '', resource)
    const { headers, text } = await read(place, 'a/b c')
    expect(text).toBe('{"x":1}')
    const told = ['x-goog-generation', 'x-goog-meta-holdfast-expires', 'content-type'].map((name) => headers.get(name))
    expect(told).toEqual([generationOf(written), '123', 'text/plain'])
    expect(JSON.parse((await look(place, 'a/b c')).text)).toMatchObject({ metadata: resource.metadata, cacheControl: 'no-store' })
    await multipart(place, 'a/b c', '2')
    expect((await read(place, 'a/b c')).headers.get('x-goog-meta-holdfast-expires')).toBeNull()
  })

  it('what is not there is 404, and the latest write is read at once', async () => {
    const place = await makePlace()
    expect((await read(place, 'none')).status).toBe(404)
    for (let i = 0; i < 20; i++) {
      await media(place, 'k', `${i}`)
      expect((await read(place, 'k')).text).toBe(`${i}`)
    }
  })
}

describe('the wire-level fake', () => {
  it('patches metadata only under a precondition that holds, which makes no new generation', async () => {
    await using fake = await FakeGcs.open()
    const place = { url: fake.url, bucket: await newBucket(fake.url), folder: '' }
    const generation = generationOf(await media(place, 'k', '1'))
    expect((await patch(place, 'k', 'ifGenerationMatch=7')).status).toBe(412)
    expect((await patch(place, 'k', `ifGenerationMatch=${generation}`)).status).toBe(200)
    expect(JSON.parse((await look(place, 'k')).text)).toMatchObject({ generation, metageneration: '2', metadata: { a: 'b' } })
  })

  it('refuses names that the real one refuses', async () => {
    await using fake = await FakeGcs.open()
    const place = { url: fake.url, bucket: await newBucket(fake.url), folder: '' }
    for (const name of ['.', '..', 'a\nb', 'a\rb', '.well-known/acme-challenge/x', 'x'.repeat(1_025)]) {
      expect((await multipart(place, name, '1')).status, name).toBe(400)
    }
  })
})

function listing(makePlace: () => Promise<Place>): void {
  const names = ['!', '0', 'A', 'a', 'a/b', 'a/c', 'a0', 'é', '\uffff', '\u{10000}', '😀']

  it('is in bytewise order, by pages, between bounds', async () => {
    const place = await makePlace()
    for (const name of names.toReversed()) await media(place, name, '1')
    const sorted = names.toSorted(compareBytes)
    expect(await listed(place, {})).toEqual(sorted)
    for (const maxResults of ['1', '3', '1000']) expect(await listed(place, { maxResults })).toEqual(sorted)
    expect(await listed(place, { startOffset: 'a/b' })).toEqual(sorted.slice(sorted.indexOf('a/b')))
    expect(await listed(place, { startOffset: 'a/b', endOffset: 'a0', maxResults: '1' })).toEqual(['a/b', 'a/c'])
    expect(await listed(place, { prefix: 'a', startOffset: 'a/c', maxResults: '1' })).toEqual(['a/c', 'a0'])
    expect(await listed(place, { prefix: '\uffff' })).toEqual(['\uffff'])
    expect(await listed(place, { prefix: 'none' })).toEqual([])
  })

  it('shows writes and deletions at once, with their metadata', async () => {
    const place = await makePlace()
    const generation = generationOf(await multipart(place, 'k', '1', '', { metadata: { 'holdfast-expires': '5' } }))
    const fields = 'items(name,generation,metadata),nextPageToken'
    const { items } = JSON.parse((await list(place, { fields })).text) as { items: { generation: string; metadata: object }[] }
    expect(items).toMatchObject([{ generation, metadata: { 'holdfast-expires': '5' } }])
    await remove(place, 'k')
    expect(await listed(place, {})).toEqual([])
  })

  it('tells folders by a delimiter, which sorts below what goes on as a name does', async () => {
    const place = await makePlace()
    const folders = ['s-!', 's-w:a!', 's-w:a"0b!', 's-w:a/b!', 's-w:ab!']
    for (const folder of folders) for (const name of ['1', '2']) await media(place, `${folder}/${name}`, '1')
    const found = async (query: Record<string, string>): Promise<string[]> => {
      const { prefixes = [] } = JSON.parse((await list(place, { delimiter: '!', ...query })).text) as { prefixes?: string[] }
      return prefixes.map((prefix) => prefix.slice(place.folder.length))
    }
    expect(await found({ prefix: 's-' })).toEqual(folders)
    expect(await found({ prefix: 's-', startOffset: 's-w:a"' })).toEqual(folders.slice(2))
  })
}

function naming(makePlace: () => Promise<Place>): void {
  it('takes any key as a name, once line breaks are escaped, and keeps it as it is', async () => {
    const place = await makePlace()
    const names = HOSTILE_TEXTS.map((text) => `f/${encodeKey(text)}`)
    for (const name of names) expect((await multipart(place, name, name)).status, JSON.stringify(name)).toBe(200)
    for (const name of names) expect((await read(place, name)).text).toBe(name)
    expect(await listed(place, {})).toEqual(names.toSorted(compareBytes))
    for (const name of names) expect((await remove(place, name)).status).toBeLessThan(300)
    expect(await listed(place, {})).toEqual([])
  })

  it('takes a name of 1,024 bytes', async () => {
    const place = await makePlace()
    const name = 'é'.repeat((1_024 - place.folder.length) / 2)
    expect((await media(place, name, '1')).status).toBe(200)
    expect((await read(place, name)).text).toBe('1')
  })
}

async function send({ url, headers }: Place, method: string, path: string, body?: string, more?: object): Promise<Answer> {
  const response = await fetch(url + path, { method, body: body ?? null, headers: { ...headers, ...more } })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

function nameIn({ folder }: Place, name: string): string {
  return encodeURIComponent(folder + name)
}

function media(place: Place, name: string, body: string, query = ''): Promise<Answer> {
  const path = `/upload/storage/v1/b/${place.bucket}/o?uploadType=media&name=${nameIn(place, name)}&${query}`
  return send(place, 'POST', path, body, { 'content-type': 'text/plain' })
}

function multipart(place: Place, name: string, body: string, query = '', resource: object = {}): Promise<Answer> {
  const boundary = `b-${randomUUID()}`
  const parts = [JSON.stringify({ ...resource, name: place.folder + name }), body].map((part, i) => {
    return `--${boundary}\r\ncontent-type: ${i === 0 ? 'application/json' : 'text/plain'}\r\n\r\n${part}\r\n`
  })
  const headers = { 'content-type': `multipart/related; boundary=${boundary}` }
  const path = `/upload/storage/v1/b/${place.bucket}/o?uploadType=multipart&${query}`
  return send(place, 'POST', path, `${parts.join('')}--${boundary}--`, headers)
}

async function resumable(place: Place, name: string, body: string, query = ''): Promise<Answer> {
  const path = `/upload/storage/v1/b/${place.bucket}/o?uploadType=resumable&name=${nameIn(place, name)}&${query}`
  const started = await send(place, 'POST', path)
  if (started.status !== 200) return started
  const { pathname, search } = new URL(started.headers.get('location')!)
  return send(place, 'PUT', pathname + search, body, { 'content-type': 'text/plain' })
}

function remove(place: Place, name: string, query = ''): Promise<Answer> {
  return send(place, 'DELETE', `/storage/v1/b/${place.bucket}/o/${nameIn(place, name)}?${query}`)
}

function patch(place: Place, name: string, query: string): Promise<Answer> {
  const path = `/storage/v1/b/${place.bucket}/o/${nameIn(place, name)}?${query}`
  return send(place, 'PATCH', path, '{"metadata":{"a":"b"}}', { 'content-type': 'application/json' })
}

function look(place: Place, name: string): Promise<Answer> {
  return send(place, 'GET', `/storage/v1/b/${place.bucket}/o/${nameIn(place, name)}`)
}

/** The XML API. */
function read(place: Place, name: string): Promise<Answer> {
  return send(place, 'GET', `/${place.bucket}/${nameIn(place, name)}`)
}

function list(place: Place, query: Record<string, string>): Promise<Answer> {
  const bounds = ['prefix', 'startOffset', 'endOffset'].flatMap((name) =>
    query[name] === undefined ? [] : [[name, place.folder + query[name]]],
  )
  const parameters = new URLSearchParams({ ...query, prefix: place.folder, ...(Object.fromEntries(bounds) as object) })
  return send(place, 'GET', `/storage/v1/b/${place.bucket}/o?${parameters.toString()}`)
}

/** All names, page by page. */
async function listed(place: Place, query: Record<string, string>): Promise<string[]> {
  const names: string[] = []
  let pageToken: string | undefined
  do {
    const answer = await list(place, { ...query, ...(pageToken === undefined ? {} : { pageToken }) })
    const page = JSON.parse(answer.text) as { items?: { name: string }[]; nextPageToken?: string }
    names.push(...(page.items ?? []).map(({ name }) => name.slice(place.folder.length)))
    pageToken = page.nextPageToken
  } while (pageToken !== undefined && pageToken !== '')
  return names
}

function generationOf({ text }: Answer): string {
  return (JSON.parse(text) as { generation: string }).generation
}
