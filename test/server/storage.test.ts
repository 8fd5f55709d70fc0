/** Plugin storage over HTTP: raw bytes, streams, ranges. */
import assert from 'node:assert/strict'
import { describe, it, onTestFinished } from 'vitest'
import { startServer, type TestServer } from './support.ts'

async function served(): Promise<TestServer> {
  const server = await startServer()
  onTestFinished(() => server.close())
  return server
}

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
