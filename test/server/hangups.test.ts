/** Callers who leave, stay, or say something odd at the wrong moment: nothing of theirs is kept, and nobody else notices. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it, onTestFinished } from 'vitest'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { StateStore } from '../../src/state/store.ts'
import type { Limits } from '../../src/server/limits.ts'
import { TOKEN_SPACE } from '../../src/server/tokens.ts'
import { localContext } from '../conformance/harness.ts'
import { RawConnection } from './raw.ts'
import { call, eventually, newToken, served, startServer, type TestServer } from './support.ts'

const VALUE = '/v1/storage/value?workspace=w&plugin=acme/notes&key=k'
const host = 'host: 127.0.0.1\r\n'
const list = `GET /v1/state/keys HTTP/1.1\r\n${host}\r\n`
const listStatus = async ({ url }: TestServer): Promise<number> => (await fetch(`${url}/v1/state/keys`)).status

interface Waiting {
  readonly server: TestServer
  /** Of those that wait. */
  readonly calls: () => number
  readonly letGo: () => void
}

/** A server whose store waits, where it is called as named and not for tokens, until it is let go. */
async function waiting(method: 'scan' | 'get' = 'scan', limits: Partial<Limits> = {}, space?: string): Promise<Waiting> {
  const backend = await createMemory({}, localContext('state', 'memory'))
  const gate = Promise.withResolvers<void>()
  let calls = 0
  const own = backend[method].bind(backend) as (...args: readonly unknown[]) => Promise<unknown>
  const slow = async (...args: readonly unknown[]): Promise<unknown> => {
    if (space === undefined ? args[0] !== TOKEN_SPACE : args[0] === space) {
      calls++
      await gate.promise
    }
    return own(...args)
  }
  const state = new StateStore(Object.assign(backend, { [method]: slow }), { name: 'memory' })
  const server = await served({ conversation: 'memory', knowledge: 'memory', state }, { limits })
  return { server, calls: () => calls, letGo: gate.resolve }
}

/** A connection that stays open on this side, whatever the other does. */
async function halfOpen(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

describe('a connection that is gone', () => {
  it('takes along the requests that still wait in it: none of them runs, and none holds a slot', async () => {
    const server = await served(undefined, { limits: { maxConcurrent: 2 } })
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: randomBytes(20 * 2 ** 20) })
    const connection = await RawConnection.open(server.url)
    const put = `PUT /v1/state/value?key=late HTTP/1.1\r\n${host}content-length: 1\r\n\r\nx`
    connection.send(`GET ${VALUE} HTTP/1.1\r\n${host}\r\n${put.repeat(3)}${list.repeat(3)}`)
    await once(connection.socket, 'data')
    connection.socket.pause()
    connection.close()
    await eventually(() => server.lines.length >= 8, 'all are accounted for')
    assert.equal(await listStatus(server), 200)
    assert.equal((await fetch(`${server.url}/v1/state/value?key=late`)).status, 404)
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.match(metrics, /holdfast_http_requests_under_way 1\n/)
  })

  it('by which too many requests came runs none of those that waited, and that is noted', async () => {
    const { server, calls, letGo } = await waiting()
    const connection = await RawConnection.open(server.url)
    connection.send(list.repeat(200))
    await connection.ended()
    letGo()
    await eventually(() => server.lines.some(({ code }) => code === 'RATE_LIMITED'), 'an audit line')
    await sleep(50)
    assert(calls() <= 2, `${calls()} calls`)
  })
})

describe('a caller who leaves', () => {
  it('gives back one slot, and not that of another', async () => {
    const { server, calls, letGo } = await waiting('scan', { maxConcurrent: 2 })
    const [first, second] = [await RawConnection.open(server.url), await RawConnection.open(server.url)]
    first.send(list)
    second.send(list)
    await eventually(() => calls() === 2, 'both are under way')
    assert.equal(await listStatus(server), 429)
    first.close()
    const third = await RawConnection.open(server.url)
    await eventually(() => server.lines.some(({ code }) => code === 'ABORTED'), 'the first is accounted for')
    third.send(list)
    await eventually(() => calls() === 3, 'there is room for one')
    assert.equal(await listStatus(server), 429)
    letGo()
    for (const each of [second, third]) assert.equal((await each.answer())?.status, 200)
    second.close()
    third.close()
  })

  it('while the token is looked up is not waited for', async () => {
    const { server, calls, letGo } = await waiting('get', {}, TOKEN_SPACE)
    const token = await newToken(server)
    const connection = await RawConnection.open(server.url)
    const head = `PUT /v1/state/value?key=k HTTP/1.1\r\n${host}authorization: Bearer ${token}\r\n`
    connection.send(`${head}content-length: 100\r\n\r\nx`)
    await eventually(() => calls() === 1, 'it is looked up')
    connection.close()
    await sleep(50)
    letGo()
    await eventually(() => server.lines.some(({ code }) => code === 'ABORTED'), 'it is over')
  })
})

describe('a tunnel that is asked for', () => {
  const tunnel = 'CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n'

  it('and reset is refused, and harms nobody', async () => {
    const server = await served()
    for (let i = 0; i < 20; i++) {
      const socket = await halfOpen(server.url)
      socket.write(tunnel + 'x'.repeat(10_000))
      if (i % 2 === 0) await once(socket, 'data')
      socket.write('x'.repeat(100_000))
      socket.resetAndDestroy()
    }
    await sleep(100)
    assert.equal((await call(`${server.url}/healthz`, 'GET')).status, 200)
  })

  it('behind another request, by who does not leave then, does not keep the server from ending', async () => {
    const server = await startServer(undefined, { drainMs: 100 })
    const socket = await halfOpen(server.url)
    socket.write(`GET /healthz HTTP/1.1\r\n${host}\r\n`)
    await once(socket, 'data')
    socket.write(tunnel)
    await eventually(() => server.lines.some(({ status }) => status === 405), 'it is refused')
    await server.close()
  })
})

describe('what is no HTTP', () => {
  it('ends its connection, though the other side keeps it open', async () => {
    const server = await startServer(undefined, { drainMs: 60_000 })
    const socket = await halfOpen(server.url)
    socket.write(`GET /healthz HTTP/1.1\r\n${host}\r\n`)
    await once(socket, 'data')
    socket.resume().write('hello\r\n\r\n')
    await once(socket, 'end')
    await server.close()
    assert.equal(server.lines.filter(({ event }) => event === 'audit').length, 1)
  })

  it('behind a request that is under way is not the answer to that one', async () => {
    const { server, calls, letGo } = await waiting()
    const connection = await RawConnection.open(server.url)
    connection.send(list)
    await eventually(() => calls() === 1, 'it is under way')
    connection.send('rubbish\r\n\r\n')
    await eventually(() => server.lines.some(({ status }) => status === 400), 'the rubbish is seen')
    letGo()
    const answers = [await connection.answer(), await connection.answer()].map((answer) => answer?.status)
    assert.deepEqual(answers, [200, 400])
    await connection.ended()
  })
})

describe('an upload that was announced', () => {
  it('is finished when the server is told to end', async () => {
    const server = await startServer(undefined, { drainMs: 10_000 })
    const connection = await RawConnection.open(server.url)
    onTestFinished(() => connection.close())
    connection.send(`PUT ${VALUE} HTTP/1.1\r\n${host}content-length: 5\r\nexpect: 100-continue\r\n\r\n`)
    assert.equal((await connection.answer())?.status, 100)
    connection.send('he')
    const ended = server.server.close()
    await sleep(50)
    connection.send('llo')
    assert.equal((await connection.answer())?.status, 204)
    await ended
    await server.db.close()
  })
})

describe('a call that takes too long', () => {
  it.each([
    ['the caller says', {}, { 'holdfast-timeout-ms': '50' }],
    ['the server says, though the caller says more', { requestTimeoutMs: 50 }, { 'holdfast-timeout-ms': '60000' }],
    ['the server says', { requestTimeoutMs: 50 }, {}],
  ])('ends when %s', async (_, limits, headers) => {
    const { server, letGo } = await waiting('scan', limits)
    const { status, body } = await call(`${server.url}/v1/state/keys`, 'GET', undefined, headers)
    assert.deepEqual([status, (body as { code: string }).code], [504, 'TIMEOUT'])
    letGo()
  })
})
