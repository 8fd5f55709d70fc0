/** Keys and values over REST. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'vitest'
import { call, queryOf, served, type TestServer } from './support.ts'

const at = ({ url }: TestServer, key: string, workspace = 'w1'): string => `${url}/v1/state/value?${queryOf({ workspace, key })}`
const list = ({ url }: TestServer, query: Record<string, string>): ReturnType<typeof call> =>
  call(`${url}/v1/state/keys?${queryOf({ workspace: 'w1', ...query })}`, 'GET')

async function put(url: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<number> {
  return (await fetch(url, { method: 'PUT', body, headers })).status
}

const JSON_TYPE = { 'content-type': 'application/json' }

describe('values', () => {
  it('are the bytes that were sent', async () => {
    const server = await served()
    const bytes = new Uint8Array([0, 255, 10, 13, 128])
    assert.equal(await put(at(server, 'k'), bytes), 204)
    const got = await fetch(at(server, 'k'))
    assert.equal(got.headers.get('content-type'), 'application/octet-stream')
    assert.deepEqual(new Uint8Array(await got.arrayBuffer()), bytes)
    assert.deepEqual(await server.db.workspace('w1').state.getBytes('k'), bytes)
    assert.equal(await put(at(server, 'empty'), ''), 204)
    assert.equal(await (await fetch(at(server, 'empty'))).text(), '')
    const head = await fetch(at(server, 'k'), { method: 'HEAD' })
    assert.deepEqual(
      [head.status, head.headers.get('content-length'), head.headers.get('etag')],
      [200, '5', got.headers.get('etag')],
    )
  })

  it.each([
    '"text"',
    'null',
    '-0',
    '12345678901234567890.000',
    '{"__proto__":{"a":1},"a\\n\\\\":"\\u0000\\ud800"}',
    ' { "b" : [ 1 ] } ',
    '[]',
  ])('as JSON keep their text: %s', async (text) => {
    const server = await served()
    assert.equal(await put(at(server, 'k'), text, JSON_TYPE), 204)
    assert.equal(await (await fetch(at(server, 'k'))).text(), text)
    await server.db.workspace('w1').state.get('k')
  })

  it.each(['', '{', 'NaN', '01', '\ufeff1', `${'['.repeat(200)}${']'.repeat(200)}`, '1e999'])(
    'that claim to be JSON and are none are refused: %j',
    async (text) => {
      const server = await served()
      assert.equal(await put(at(server, 'k'), text, JSON_TYPE), 400)
      assert.equal((await fetch(at(server, 'k'))).status, 404)
    },
  )

  it('that are no UTF-8 are no JSON', async () => {
    const server = await served()
    assert.equal(await put(at(server, 'k'), new Uint8Array([34, 0xc0, 0xaf, 34]), JSON_TYPE), 400)
  })

  it('under any key are one value, as stores see it', async () => {
    const server = await served()
    for (const key of [
      'a/b',
      './a',
      '..',
      '%2e',
      'ключ 🔑',
      'a b',
      'a+b',
      '?&=#',
      '__proto__',
      'A',
      '\u{10ffff}',
      'e\u0301',
      'é',
    ]) {
      assert.equal(await put(at(server, key), `of ${key}`), 204)
      assert.deepEqual(await server.db.workspace('w1').state.getBytes(key), new TextEncoder().encode(`of ${key}`))
    }
    for (const key of ['', 'x'.repeat(513), '\0']) assert.equal(await put(at(server, key), 'x'), 400)
  })

  it('are written under conditions', async () => {
    const server = await served()
    assert.equal(await put(at(server, 'k'), 'one', { 'if-none-match': '*' }), 204)
    assert.equal(await put(at(server, 'k'), 'two', { 'if-none-match': '*' }), 412)
    const tag = (await fetch(at(server, 'k'))).headers.get('etag')!
    assert.equal(await put(at(server, 'k'), 'two', { 'if-match': tag }), 204)
    assert.equal(await put(at(server, 'k'), 'three', { 'if-match': tag }), 412)
    const remove = (headers: Record<string, string>): ReturnType<typeof call> =>
      call(at(server, 'k'), 'DELETE', undefined, headers)
    assert.equal((await remove({ 'if-match': tag })).status, 412)
    const now = (await fetch(at(server, 'k'))).headers.get('etag')!
    assert.deepEqual((await remove({ 'if-match': now })).body, { deleted: true })
    assert.equal(await put(at(server, 'k'), 'x', { 'if-match': now }), 412)
  })

  it('are not written under a condition that is not understood', async () => {
    const server = await served()
    for (const headers of [
      { 'if-none-match': '"1"' },
      { 'if-match': '*' },
      { 'if-match': 'W/"1"' },
      { 'if-match': '"1"', 'if-none-match': '*' },
      { 'if-unmodified-since': 'Fri, 20 Nov 2026 00:00:00 GMT' },
    ]) {
      assert.equal(await put(at(server, 'k'), 'x', headers), 400, JSON.stringify(headers))
    }
    assert.equal((await call(at(server, 'k'), 'DELETE', undefined, { 'if-none-match': '*' })).status, 400)
    assert.equal((await fetch(at(server, 'k'))).status, 404)
  })

  it('end after their time', async () => {
    const server = await served()
    assert.equal(await put(at(server, 'k'), 'x', { 'holdfast-ttl': '0.1' }), 204)
    const left = Number((await fetch(at(server, 'k'))).headers.get('holdfast-ttl'))
    assert(left > 0 && left <= 0.1)
    await sleep(120)
    assert.equal((await fetch(at(server, 'k'))).status, 404)
    for (const wrong of ['0', '-1', 'soon', '1e3', '', '99999999999'])
      assert.equal(await put(at(server, 'k'), 'x', { 'holdfast-ttl': wrong }), 400, wrong)
  })
})

describe('keys', () => {
  it('are listed page by page', async () => {
    const server = await served()
    for (const key of ['a:1', 'a:2', 'a:3', 'b']) await put(at(server, key), '1')
    const first = await list(server, { prefix: 'a:', limit: '2' })
    const { items, cursor } = first.body as { items: string[]; cursor: string }
    assert.deepEqual(items, ['a:1', 'a:2'])
    assert.deepEqual((await list(server, { prefix: 'a:', limit: '2', cursor })).body, { items: ['a:3'] })
    assert.equal((await list(server, { prefix: 'b', cursor })).status, 400)
    for (const limit of ['0', '1001', '1.5', '-1', 'x', '']) assert.equal((await list(server, { limit })).status, 400, limit)
  })

  it('that hold a number are added to', async () => {
    const server = await served()
    const add = (body: object): ReturnType<typeof call> =>
      call(`${server.url}/v1/state/increment?workspace=w1&key=n`, 'POST', body)
    assert.deepEqual((await add({})).body, { value: 1 })
    assert.deepEqual((await add({ by: -3 })).body, { value: -2 })
    await put(at(server, 'n'), '"text"', JSON_TYPE)
    assert.equal((await add({})).status, 409)
    assert.equal((await add({ by: 1.5 })).status, 400)
  })
})
