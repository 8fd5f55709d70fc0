/** What one caller may ask of the server: sizes, times, numbers, and HTTP as it should be. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'vitest'
import type { Limits } from '../../src/server/limits.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { StateStore } from '../../src/state/store.ts'
import { localContext } from '../conformance/harness.ts'
import { codeOf, RawConnection, rawRequest, type RawAnswer } from './raw.ts'
import { bearer, call, eventually, newToken, served, type TestServer } from './support.ts'

const limited = (limits: Partial<Limits>): Promise<TestServer> => served(undefined, { limits })
const VALUE = '/v1/storage/value?workspace=w&plugin=acme/notes&key=k'
const host = 'host: 127.0.0.1\r\n'
const audits = ({ lines }: TestServer): (string | undefined)[] =>
  lines.filter(({ event }) => event === 'audit').map(({ code }) => code)

describe('bodies', () => {
  it('of JSON have a limit, by what they declare and by what they are', async () => {
    const server = await limited({ maxBodyBytes: 1_000 })
    const url = `${server.url}/v1/conversations/sessions`
    const large = JSON.stringify({ id: 's', name: 'x'.repeat(1_000) })
    assert.equal((await call(url, 'POST', large)).status, 413)
    const chunked = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 10; i++) controller.enqueue(new TextEncoder().encode(large))
        controller.close()
      },
    })
    const init = { method: 'POST', body: chunked, headers: { 'content-type': 'application/json' }, duplex: 'half' }
    assert.equal((await fetch(url, init as RequestInit)).status, 413)
    assert.equal((await call(url, 'POST', { id: 's' })).status, 201)
    assert.equal((await fetch(`${server.url}/v1/state/value?key=k`, { method: 'PUT', body: 'x'.repeat(1_001) })).status, 413)
  })

  it('that are values have a limit of their own, and leave nothing behind', async () => {
    const server = await limited({ maxValueBytes: 300_000 })
    const put = (body: RequestInit['body']): Promise<Response> =>
      fetch(`${server.url}${VALUE}`, { method: 'PUT', body, duplex: 'half' } as RequestInit)
    assert.equal((await put(randomBytes(300_001))).status, 413)
    const pieces = ReadableStream.from(Array.from({ length: 10 }, () => randomBytes(50_000)))
    assert.equal((await put(pieces)).status, 413)
    assert.equal((await fetch(`${server.url}${VALUE}`)).status, 404)
    assert.equal((await put(randomBytes(300_000))).status, 204)
    const { body } = await call(`${server.url}/v1/storage/usage?workspace=w&plugin=acme/notes`, 'GET')
    assert.equal((body as { usedBytes: number }).usedBytes, 300_000)
  })

  it('are refused before they are sent, where the caller asks first', async () => {
    const server = await limited({ maxValueBytes: 10 })
    const put = (length: number): string =>
      `PUT ${VALUE} HTTP/1.1\r\n${host}content-length: ${length}\r\nexpect: 100-continue\r\n\r\n`
    const refused = await rawRequest(server.url, put(11))
    assert.deepEqual([refused?.status, codeOf(refused)], [413, 'VALUE_TOO_LARGE'])
    const connection = await RawConnection.open(server.url)
    assert.equal((await connection.send(put(5)).answer())?.status, 100)
    assert.equal((await connection.send('hello').answer())?.status, 204)
    connection.close()
    await newToken(server)
    const token = await newToken(server)
    const unknown = await rawRequest(server.url, put(5).replace('\r\n\r\n', `\r\nauthorization: Bearer ${token}x\r\n\r\n`))
    assert.equal(unknown?.status, 401)
  })

  it('that stop on their way are given up', async () => {
    const server = await limited({ bodyPauseMs: 100 })
    for (const path of ['/v1/state/value?key=k', VALUE]) {
      const connection = await RawConnection.open(server.url)
      connection.send(`PUT ${path} HTTP/1.1\r\n${host}content-length: 400000\r\n\r\nstart`)
      const answer = await connection.answer()
      assert.deepEqual([answer?.status, codeOf(answer)], [408, 'TIMEOUT'], path)
      await connection.ended()
    }
    assert.equal((await fetch(`${server.url}${VALUE}`)).status, 404)
  })

  it('are refused where none is taken, encoded, or of another type', async () => {
    const server = await served()
    const requests: [string, number][] = [
      [`GET /v1/state/keys HTTP/1.1\r\n${host}content-length: 2\r\n\r\n{}`, 400],
      [`GET /v1/state/keys HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, 400],
      [`PUT /v1/state/value?key=k HTTP/1.1\r\n${host}content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx`, 415],
      [`PUT ${VALUE} HTTP/1.1\r\n${host}content-encoding: br\r\ncontent-length: 1\r\n\r\nx`, 415],
      [`POST /v1/conversations/sessions HTTP/1.1\r\n${host}content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}`, 415],
      [`POST /v1/conversations/sessions HTTP/1.1\r\n${host}content-length: 2\r\n\r\n{}`, 415],
      [`POST /v1/conversations/sessions HTTP/1.1\r\n${host}content-type: application/json\r\ncontent-length: 0\r\n\r\n`, 400],
    ]
    for (const [request, status] of requests) assert.equal((await rawRequest(server.url, request))?.status, status, request)
  })
})

describe('requests of one token', () => {
  it('have a number, and answers that are still under way count', async () => {
    const server = await served(undefined, { limits: { maxConcurrent: 2 }, drainMs: 0 })
    const [mine, other] = [await newToken(server), await newToken(server)]
    const value = randomBytes(20 * 2 ** 20)
    assert.equal((await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: value, headers: bearer(mine) })).status, 204)
    // They ask for much, and do not read it.
    const slow = await Promise.all([1, 2].map(() => RawConnection.open(server.url)))
    for (const connection of slow) {
      connection.send(`GET ${VALUE} HTTP/1.1\r\n${host}authorization: Bearer ${mine}\r\n\r\n`)
      await once(connection.socket, 'data')
      connection.socket.pause()
    }
    const list = (token: string): ReturnType<typeof call> => call(`${server.url}/v1/state/keys`, 'GET', undefined, bearer(token))
    const refused = await list(mine)
    assert.deepEqual([refused.status, (refused.body as { code: string }).code], [429, 'RATE_LIMITED'])
    assert.equal(refused.headers.get('retry-after'), '1')
    assert.equal((await list(other)).status, 200)
    assert(audits(server).includes('RATE_LIMITED'))
    for (const connection of slow) connection.close()
    await eventually(async () => (await list(mine)).status === 200, 'the slots are given back')
  })

  it('end with the caller who hung up, and so does what they had begun', async () => {
    const server = await limited({ maxConcurrent: 1 })
    const connection = await RawConnection.open(server.url)
    connection.send(`PUT ${VALUE} HTTP/1.1\r\n${host}content-length: 400000\r\n\r\n${'x'.repeat(100_000)}`)
    const list = async (): Promise<number> => (await fetch(`${server.url}/v1/state/keys`)).status
    await eventually(async () => (await list()) === 429, 'the upload is under way')
    connection.close()
    await eventually(async () => (await list()) === 200, 'the slot is given back')
    await eventually(() => server.lines.some(({ code }) => code === 'ABORTED'), 'it is noted')
    assert(!server.lines.some(({ event }) => event === 'server'), 'a caller who hangs up is no failure of the server')
    assert.equal((await fetch(`${server.url}${VALUE}`)).status, 404)
  })
})

describe('the wire', () => {
  const MALFORMED: readonly [what: string, request: string | Buffer, status: number][] = [
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['random bytes', Buffer.concat([Buffer.from([0, 1, 2, 255]), Buffer.from('\r\n\r\n')]), 400],
    ['an unknown method', `BREW / HTTP/1.1\r\n${host}\r\n`, 400],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['a host that is none', 'GET /healthz HTTP/1.1\r\nhost: a b\r\n\r\n', 400],
    ['a space in a header name', `GET /healthz HTTP/1.1\r\n${host}x y: 1\r\n\r\n`, 400],
    ['a header without a colon', `GET /healthz HTTP/1.1\r\n${host}nothing\r\n\r\n`, 400],
    ['a folded header', `GET /healthz HTTP/1.1\r\n${host}a: 1\r\n b\r\n\r\n`, 400],
    ['two lengths', `PUT ${VALUE} HTTP/1.1\r\n${host}content-length: 1\r\ncontent-length: 2\r\n\r\nxx`, 400],
    ['a length that is none', `PUT ${VALUE} HTTP/1.1\r\n${host}content-length: -1\r\n\r\nx`, 400],
    [
      'a length and chunks',
      `PUT ${VALUE} HTTP/1.1\r\n${host}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['chunks in an unknown coding', `PUT ${VALUE} HTTP/1.1\r\n${host}transfer-encoding: gzip\r\n\r\nx`, 400],
    ['headers without an end of line', `GET /healthz HTTP/1.1\n${host}\n\n`, 400],
    ['headers that are too long', `GET /healthz HTTP/1.1\r\n${host}x: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
    ['a request line that is too long', `GET /healthz?${'y'.repeat(40_000)} HTTP/1.1\r\n${host}\r\n`, 431],
    ['an expectation that nobody meets', `GET /healthz HTTP/1.1\r\n${host}expect: the-best\r\n\r\n`, 417],
    ['a tunnel', 'CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n', 405],
    ['a backslash in the path', `GET /v1\\state HTTP/1.1\r\n${host}\r\n`, 400],
    ['a query that is no UTF-8', `GET /v1/state/value?key=%c0%af HTTP/1.1\r\n${host}\r\n`, 400],
    ['a query that is not encoded', `GET /v1/state/value?key=\xe9 HTTP/1.1\r\n${host}\r\n`, 400],
    ['a query with a parameter twice', `GET /v1/state/value?key=a&key=b HTTP/1.1\r\n${host}\r\n`, 400],
    ['a target with a fragment', `GET /v1/state/keys#?prefix=a HTTP/1.1\r\n${host}\r\n`, 400],
    ['a method that the path has not', `DELETE /healthz HTTP/1.1\r\n${host}\r\n`, 405],
    ['a path that there is not', `GET /v2 HTTP/1.1\r\n${host}\r\n`, 404],
  ]

  it.each(MALFORMED)('%s is refused, with a code and a line in the log', async (_, request, status) => {
    const server = await served()
    const answer = await rawRequest(server.url, request)
    assert.equal(answer?.status, status, answer?.body.toString())
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(typeof codeOf(answer), 'string')
    await eventually(() => audits(server).length === 1, 'an audit line')
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200)
  })

  it('a bad chunk in a body that is under way ends the request, and stores nothing', async () => {
    const server = await served()
    const answer = await rawRequest(
      server.url,
      `PUT ${VALUE} HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n`,
    )
    assert.equal(answer?.status, 400)
    assert.equal((await fetch(`${server.url}${VALUE}`)).status, 404)
  })

  it('headers that come too slowly are given up', async () => {
    const server = await limited({ headerTimeoutMs: 200 })
    const connection = await RawConnection.open(server.url)
    const drip = setInterval(() => connection.socket.writable && connection.send('x: y\r\n'), 20)
    connection.send(`GET /healthz HTTP/1.1\r\n${host}`)
    let answer: RawAnswer | undefined
    try {
      answer = await connection.answer()
    } finally {
      clearInterval(drip)
    }
    assert.equal(answer?.status, 408)
    await connection.ended()
  })

  it('requests on one connection are answered in turn, and rubbish behind them ends it', async () => {
    const server = await served()
    const connection = await RawConnection.open(server.url)
    const put = `PUT ${VALUE} HTTP/1.1\r\n${host}content-length: 3\r\n\r\nabc`
    connection.send(`${put}GET ${VALUE} HTTP/1.1\r\n${host}\r\n`)
    assert.equal((await connection.answer())?.status, 204)
    assert.equal((await connection.answer())?.body.toString(), 'abc')
    connection.send('rubbish\r\n\r\n')
    assert.equal((await connection.answer())?.status, 400)
    await connection.ended()
  })

  it('a connection by which too many requests come without waiting is cut', async () => {
    const backend = await createMemory({}, localContext('state', 'memory'))
    const slow = Object.assign(backend, { scan: () => sleep(300, []) })
    const state = new StateStore(slow, { name: 'memory' })
    const server = await served({ conversation: 'memory', knowledge: 'memory', state })
    const list = `GET /v1/state/keys HTTP/1.1\r\n${host}\r\n`
    const [few, many] = [await RawConnection.open(server.url), await RawConnection.open(server.url)]
    few.send(list.repeat(3))
    many.send(list.repeat(200))
    await many.ended(2_000)
    assert.equal(await many.answer(), undefined)
    for (let i = 0; i < 3; i++) assert.equal((await few.answer())?.status, 200)
    few.close()
  })

  it('rubbish behind a request whose answer is under way does not come into the answer', async () => {
    const server = await served()
    const value = randomBytes(4 * 2 ** 20)
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: value })
    const connection = await RawConnection.open(server.url)
    connection.send(`GET ${VALUE} HTTP/1.1\r\n${host}\r\n`)
    await once(connection.socket, 'data')
    connection.send('rubbish\r\n\r\n')
    const answer = await connection.answer().catch(() => undefined)
    // Either it came whole before the rubbish was looked at, or it was cut.
    const body = answer?.body ?? connection.rest.subarray(connection.rest.indexOf('\r\n\r\n') + 4)
    assert(value.subarray(0, body.length).equals(body))
    await connection.ended()
  })

  it('a body that nobody reads is not taken for the next request', async () => {
    const server = await served()
    const smuggled = `DELETE ${VALUE} HTTP/1.1\r\n${host}\r\n`
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: 'kept' })
    for (const method of ['GET', 'POST', 'PUT']) {
      const connection = await RawConnection.open(server.url)
      connection.send(`${method} /nowhere HTTP/1.1\r\n${host}content-length: ${smuggled.length}\r\n\r\n${smuggled}`)
      assert.equal((await connection.answer())?.status, 404)
      await sleep(20)
      assert.equal(connection.rest.length, 0)
      connection.close()
    }
    assert.equal(await (await fetch(`${server.url}${VALUE}`)).text(), 'kept')
  })

  it('a value that breaks off on its way is not taken for whole', async () => {
    const server = await served()
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: randomBytes(20 * 2 ** 20) })
    const response = await fetch(`${server.url}${VALUE}`)
    // Replaced while it is read: the rest of the old value is gone.
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: 'new' })
    await assert.rejects(response.arrayBuffer())
    await eventually(() => server.lines.some(({ code, status }) => code === 'CONFLICT' && status === 200), 'it is noted')
    assert.equal(await (await fetch(`${server.url}${VALUE}`)).text(), 'new')
  })

  it('HEAD is GET without its body', async () => {
    const server = await served()
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: randomBytes(1_000_000) })
    const connection = await RawConnection.open(server.url)
    const head = connection.send(`HEAD ${VALUE} HTTP/1.1\r\n${host}\r\nGET /healthz HTTP/1.1\r\n${host}\r\n`)
    await sleep(100)
    const [first, second] = head.rest.toString('latin1').split(/(?=HTTP\/1\.1)/)
    assert.match(first!, /^HTTP\/1\.1 200 .*content-length: 1000000/is)
    assert.match(second!, /^HTTP\/1\.1 200 .*\{"status":"ok"\}$/is)
    connection.close()
    assert.equal((await fetch(`${server.url}/v1/state/value?key=none`, { method: 'HEAD' })).status, 404)
  })
})

describe('time', () => {
  it('is limited by the caller and by the server', async () => {
    const server = await served()
    const ask = (ms: string): ReturnType<typeof call> =>
      call(`${server.url}/v1/state/keys`, 'GET', undefined, { 'holdfast-timeout-ms': ms })
    assert.equal((await ask('1000')).status, 200)
    for (const wrong of ['0', '-1', 'soon', '1.5', '9999999999', '']) assert.equal((await ask(wrong)).status, 400, wrong)
  })
})
