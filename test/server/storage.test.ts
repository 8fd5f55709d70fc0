/** Plugin storage over HTTP: raw bytes, streams, ranges. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { call, served, type TestServer } from './support.ts'

const at = (server: TestServer, key: string, more = ''): string =>
  `${server.url}/v1/storage/value?workspace=w1&plugin=acme/notes&key=${encodeURIComponent(key)}${more}`

const put = (url: string, body: RequestInit['body'], headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: 'PUT', body, headers, duplex: 'half' } as RequestInit)

describe('values', () => {
  it.each(['user_name', 'a/b', './a', '..', '%2e%2e', 'ключ 🔑', "'; drop table", 'a?b#c&d=e+f'])(
    'under the key %j',
    async (key) => {
      const server = await served()
      assert.equal((await fetch(at(server, key))).status, 404)
      assert.equal((await put(at(server, key), Buffer.from([0, 255, 1]))).status, 204)
      const got = await fetch(at(server, key))
      assert.deepEqual(new Uint8Array(await got.arrayBuffer()), new Uint8Array([0, 255, 1]))
      assert.equal(got.headers.get('content-type'), 'application/octet-stream')
      const listed = await (await fetch(`${server.url}/v1/storage/keys?workspace=w1&plugin=acme/notes`)).json()
      assert.deepEqual(listed, { items: [key] })
      assert.deepEqual(await (await fetch(at(server, key), { method: 'DELETE' })).json(), { deleted: true })
      assert.equal((await fetch(at(server, key), { method: 'HEAD' })).status, 404)
    },
  )

  it('of many megabytes go through as streams, and are read in part', async () => {
    const server = await served()
    const megabyte = Buffer.from(Array.from({ length: 2 ** 20 }, (_, i) => (i * 7) % 251))
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 20; i++) controller.enqueue(megabyte)
        controller.close()
      },
    })
    assert.equal((await put(at(server, 'big'), body)).status, 204)
    const head = await fetch(at(server, 'big'), { method: 'HEAD' })
    assert.equal(head.headers.get('content-length'), String(20 * 2 ** 20))
    const whole = Buffer.from(await (await fetch(at(server, 'big'))).arrayBuffer())
    assert.equal(Buffer.compare(whole, Buffer.concat(Array(20).fill(megabyte))), 0)
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 1],
      ['bytes=262143-262145', 262_143, 262_146],
      ['bytes=-5', whole.length - 5, whole.length],
      [`bytes=${whole.length - 3}-`, whole.length - 3, whole.length],
    ] as const) {
      const part = await fetch(at(server, 'big'), { headers: { range } })
      assert.equal(part.status, 206, range)
      assert.equal(part.headers.get('content-range'), `bytes ${start}-${end - 1}/${whole.length}`)
      assert.deepEqual(Buffer.from(await part.arrayBuffer()), whole.subarray(start, end), range)
    }
    assert.equal((await fetch(at(server, 'big'), { headers: { range: `bytes=${whole.length}-` } })).status, 416)
  })

  it('end after their time, and are only added where there is none', async () => {
    const server = await served()
    assert.equal((await put(at(server, 'once'), 'a', { 'if-none-match': '*' })).status, 204)
    assert.equal((await put(at(server, 'once'), 'b', { 'if-none-match': '*' })).status, 412)
    assert.equal(await (await fetch(at(server, 'once'))).text(), 'a')
    assert.equal((await put(at(server, 'mortal'), 'a', { 'holdfast-ttl': '0.05' })).status, 204)
    await new Promise((resolve) => setTimeout(resolve, 80))
    assert.equal((await fetch(at(server, 'mortal'))).status, 404)
    assert.equal((await put(at(server, 'mortal'), 'a', { 'holdfast-ttl': 'soon' })).status, 400)
  })
})

describe('parts of a value', () => {
  it.each<[range: string, status: number, content: string | undefined, more?: Record<string, string>]>([
    ['bytes=0-2', 206, '012'],
    ['bytes=7-', 206, '789'],
    ['bytes=-3', 206, '789'],
    ['bytes=-99', 206, '0123456789'],
    ['bytes=5-99', 206, '56789'],
    ['bytes=10-', 416, undefined],
    ['bytes=-0', 416, undefined],
    ['bytes=5-2', 200, '0123456789'],
    ['bytes=0-1,3-4', 200, '0123456789'],
    ['bytes=', 200, '0123456789'],
    ['lines=1-2', 200, '0123456789'],
    ['bytes=0-2', 200, '0123456789', { 'if-range': '"x"' }],
  ])('%s: %i %s', async (range, status, content, more = {}) => {
    const server = await served()
    await put(at(server, 'k'), '0123456789')
    const response = await fetch(at(server, 'k'), { headers: { range, ...more } })
    assert.equal(response.status, status)
    if (content === undefined) assert.equal(response.headers.get('content-range'), 'bytes */10')
    else assert.equal(await response.text(), content)
  })

  it('are of GET: HEAD tells of the whole', async () => {
    const server = await served()
    await put(at(server, 'k'), '0123456789')
    for (const range of ['bytes=0-2', 'bytes=99-']) {
      const { status, headers } = await fetch(at(server, 'k'), { method: 'HEAD', headers: { range } })
      assert.deepEqual([status, headers.get('content-length'), headers.get('content-range')], [200, '10', null], range)
    }
  })

  it('of an empty value there is none', async () => {
    const server = await served()
    await put(at(server, 'k'), '')
    assert.equal((await fetch(at(server, 'k'))).headers.get('content-length'), '0')
    assert.equal((await fetch(at(server, 'k'), { headers: { range: 'bytes=0-' } })).status, 416)
  })
})

describe('a plugin’s storage', () => {
  const scope = 'workspace=w1&plugin=acme/notes'

  it('lists its keys page by page', async () => {
    const server = await served()
    for (const key of ['a:1', 'a:2', 'a:3', 'b']) await put(at(server, key), 'x')
    const list = (query: string): ReturnType<typeof call> => call(`${server.url}/v1/storage/keys?${scope}&${query}`, 'GET')
    const { items, cursor } = (await list('prefix=a:&limit=2')).body as { items: string[]; cursor: string }
    assert.deepEqual(items, ['a:1', 'a:2'])
    assert.deepEqual((await list(`prefix=a:&limit=2&cursor=${cursor}`)).body, { items: ['a:3'] })
    for (const wrong of [`cursor=${cursor}`, `prefix=b&cursor=${cursor}`, 'cursor=x', 'limit=0'])
      assert.equal((await list(wrong)).status, 400)
  })

  it('counts, is measured, listed and cleared', async () => {
    const server = await served()
    await put(at(server, 'k'), '12345')
    const add = (key: string, by: number): ReturnType<typeof call> =>
      call(`${server.url}/v1/storage/increment?${scope}&key=${key}`, 'POST', { by })
    assert.deepEqual((await add('n', 7)).body, { value: 7 })
    await put(at(server, 'text'), 'x')
    assert.equal((await add('text', 1)).status, 409)
    const usage = async (): Promise<unknown> => (await call(`${server.url}/v1/storage/usage?${scope}`, 'GET')).body
    assert.deepEqual(await usage(), { usedBytes: 7, quotaBytes: 100 * 2 ** 20 })
    const { items } = (await call(`${server.url}/v1/storage/scopes?workspace=w1`, 'GET')).body as {
      items: { pluginId: string; usedBytes: number }[]
    }
    assert.deepEqual(
      items.map(({ pluginId, usedBytes }) => [pluginId, usedBytes]),
      [['acme/notes', 7]],
    )
    assert.deepEqual((await call(`${server.url}/v1/storage/scopes`, 'GET')).body, { items: [] })
    assert.deepEqual((await call(`${server.url}/v1/storage?${scope}`, 'DELETE')).body, { values: 3 })
    assert.equal((await fetch(at(server, 'k'))).status, 404)
  })

  it('has a quota, and what exceeds it changes nothing', async () => {
    const server = await served(undefined, { plugins: { quotaBytes: 1_000 } })
    assert.equal((await put(at(server, 'k'), 'x'.repeat(900))).status, 204)
    for (const size of [1_001, 600_000]) {
      const refused = await put(at(server, 'k'), 'y'.repeat(size))
      assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [413, 'QUOTA_EXCEEDED'])
    }
    assert.equal(await (await fetch(at(server, 'k'))).text(), 'x'.repeat(900))
  })

  it('is under no id but that of a plugin', async () => {
    const server = await served()
    for (const plugin of ['', 'acme', 'a/b/c', '../b', 'acme/', 'a b/c', 'acme/notes:1', `${'x'.repeat(65)}/y`]) {
      const query = new URLSearchParams({ plugin, key: 'k' }).toString()
      assert.equal((await fetch(`${server.url}/v1/storage/value?${query}`)).status, 400, plugin)
    }
  })
})
