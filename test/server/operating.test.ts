/** The server as operators see it: health, metrics, the log, its end, and the command. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { wireOutage } from '../../src/conformance/run.ts'
import { openPersistence } from '../../src/index.ts'
import { batched, jsonLog } from '../../src/server/log.ts'
import { serve } from '../../src/server/serve.ts'
import { Tokens } from '../../src/server/tokens.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { StateStore } from '../../src/state/store.ts'
import { localContext } from '../conformance/harness.ts'
import { RawConnection } from './raw.ts'
import { command, runInShell } from './command.ts'
import { call, eventually, newToken, served, startServer, bearer } from './support.ts'
import { holdfast, MAIN } from '../cli-support.ts'
import { ROOT, scratch } from '../support.ts'

const VALUE = '/v1/storage/value?workspace=w&plugin=acme/notes&key=k'

describe('/readyz', () => {
  it('says which store does not answer, and /healthz that the server does', async () => {
    const engine = wireOutage(await createMemory({}, localContext('state', 'memory')))
    const state = new StateStore(engine.backend, { name: 'memory', retries: 0 })
    const server = await served({ conversation: 'memory', knowledge: 'memory', state })
    const ready = (): ReturnType<typeof call> => call(`${server.url}/readyz`, 'GET')
    const ok = { status: 'ok', conversation: 'ok', knowledge: 'ok', state: 'ok' }
    assert.deepEqual((await ready()).body, ok)
    engine.cut()
    await eventually(async () => (await ready()).status === 503, 'not ready')
    assert.deepEqual((await ready()).body, { ...ok, status: 'unavailable', state: 'unavailable' })
    assert.equal((await call(`${server.url}/healthz`, 'GET')).status, 200)
    assert.equal((await call(`${server.url}/v1/state/keys`, 'GET')).status, 503)
    engine.heal()
    await eventually(async () => (await ready()).status === 200, 'ready again')
  })

  it('asks the engines no more often than now and then, however many ask it', async () => {
    const server = await served()
    const pings = vi.spyOn(server.db.state, 'ping')
    await Promise.all(Array.from({ length: 50 }, () => call(`${server.url}/readyz`, 'GET')))
    assert.equal(pings.mock.calls.length, 1)
  })
})

describe('/metrics', () => {
  it('counts requests, refusals and calls of the stores, under names that do not grow', async () => {
    const server = await served()
    await fetch(`${server.url}${VALUE}`, { method: 'PUT', body: 'x' })
    for (let i = 0; i < 3; i++) await fetch(`${server.url}/nowhere/${i}`)
    await fetch(`${server.url}/v1/state/value?key=none`)
    const text = async (): Promise<string> => (await fetch(`${server.url}/metrics`)).text()
    await eventually(async () => (await text()).includes('requests_refused_total{code="NOT_FOUND"} 4'), 'refusals')
    const metrics = await text()
    assert.match(
      metrics,
      /holdfast_http_request_duration_seconds_count\{method="PUT",route="\/v1\/storage\/value",status="204"\} 1/,
    )
    assert.match(metrics, /holdfast_http_request_duration_seconds_count\{method="GET",route="unknown",status="404"\} 3/)
    assert.match(
      metrics,
      /holdfast_store_call_duration_seconds_count\{kind="state",backend="memory",method="storage.set",result="ok"\} 1/,
    )
    assert.match(metrics, /holdfast_http_requests_under_way 1\n/)
    assert.match(metrics, /holdfast_process_resident_bytes \d{7,}/)
    assert(!metrics.includes('nowhere') && !metrics.includes('acme'))
  })
})

describe('the log', () => {
  it('is a line of JSON a request, whatever is in it', async () => {
    const written: string[] = []
    const log = jsonLog(batched((text) => written.push(text)))
    log({ event: 'request', level: 'info', requestId: 'a\nb' })
    log({ event: 'audit', level: 'warn' })
    await sleep(5)
    assert.equal(written.length, 1)
    const lines = written[0]!.trimEnd().split('\n')
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { event: string }).event),
      ['request', 'audit'],
    )
  })

  it('names every refused request as such, and no key, value or query', async () => {
    const server = await served()
    await fetch(`${server.url}${VALUE.replace('key=k', 'key=hidden-key')}`, { method: 'PUT', body: 'hidden-value' })
    await fetch(`${server.url}/hidden-path?hidden=query`)
    await fetch(`${server.url}/v1/state/value?workspace=hidden-workspace&key=hidden-key`)
    await call(`${server.url}/v1/conversations/sessions`, 'POST', { nonsense: 1 })
    await call(`${server.url}/v1/conversations/sessions`, 'DELETE')
    await fetch(`${server.url}/healthz`, { headers: { host: 'evil' } })
    await eventually(() => server.lines.length === 6, 'the log')
    const audit = server.lines.filter(({ event }) => event === 'audit')
    assert.deepEqual(
      audit.map(({ status, code }) => `${status} ${code}`),
      ['404 NOT_FOUND', '404 NOT_FOUND', '400 INVALID_ARGUMENT', '405 UNSUPPORTED'],
    )
    assert(audit.every(({ address, requestId }) => address === '127.0.0.1' && requestId !== undefined))
    assert(!JSON.stringify(server.lines).includes('hidden'))
  })
})

describe('the end', () => {
  /** A value under way that its reader does not read yet. */
  async function slowRead(url: string): Promise<RawConnection> {
    await fetch(`${url}${VALUE}`, { method: 'PUT', body: randomBytes(20 * 2 ** 20) })
    const connection = await RawConnection.open(url)
    connection.send(`GET ${VALUE} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    await once(connection.socket, 'data')
    connection.socket.pause()
    return connection
  }

  it('waits for what is under way, and refuses what is new', async () => {
    const { url, server, close } = await startServer(undefined, { drainMs: 10_000 })
    onTestFinished(close)
    const reading = await slowRead(url)
    const idle = await RawConnection.open(url)
    const kept = await RawConnection.open(url)
    // Its request is under way when the end begins, and another follows it down the same connection.
    kept.send(`PUT ${VALUE}2 HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\na`)
    await sleep(50)
    const ended = server.close()
    await idle.ended()
    await assert.rejects(RawConnection.open(url))
    kept.send(`bGET ${VALUE} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    assert.equal((await kept.answer())?.status, 204)
    const refused = await kept.answer()
    assert(refused === undefined || refused.status === 503, String(refused?.status))
    await kept.ended()
    reading.socket.resume()
    assert.equal((await reading.answer())?.body.length, 20 * 2 ** 20)
    const began = performance.now()
    await ended
    assert(performance.now() - began < 2_000, 'it ends as soon as there is nothing to wait for')
  })

  it('waits no longer than it may', async () => {
    const { url, server, close } = await startServer(undefined, { drainMs: 200 })
    onTestFinished(close)
    const reading = await slowRead(url)
    const began = performance.now()
    await Promise.all([server.close(), server.close()])
    const took = performance.now() - began
    assert(took >= 190 && took < 3_000, `${took} ms`)
    reading.socket.resume()
    await reading.ended()
  })
})

describe('where it listens', () => {
  it('is this machine only, until there is a token', async () => {
    await using db = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
    await expect(serve({ persistence: db, host: '0.0.0.0', port: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    const { info } = await new Tokens(db.state).create({ name: 'x', workspaces: '*', plugins: '*', write: true })
    await using server = await serve({ persistence: db, host: '0.0.0.0', port: 0, log: () => undefined })
    assert.equal(server.needsToken, true)
    await new Tokens(db.state).revoke(info.id)
    const status = async (): Promise<number> =>
      (await fetch(`${server.url.replace('0.0.0.0', '127.0.0.1')}/v1/state/keys`)).status
    assert.equal(await status(), 401)
  })

  it('is told where the port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void taken.close())
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    await expect(startServer(undefined, { port })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(`${port}`),
    })
  })
})

describe('holdfast serve', { timeout: 60_000 }, () => {
  it('says where it is, what to try and where the data is, and ends in order on SIGTERM', async () => {
    const cwd = await scratch()
    const server = await command(['serve', '--port', '0'], cwd)
    assert.match(server.said(), /^holdfast listens on http:\/\/127\.0\.0\.1:\d+\n {2}started {5}in \d+ ms\n/)
    assert(server.said().includes(`data        ${cwd}/.holdfast\n`), server.said())
    assert.match(server.said(), /only this machine/)
    const tries = server.said().match(/^ {2}curl .+$/gm)!
    assert.equal(tries.length, 3)
    assert.equal(await runInShell(tries[0]), '')
    assert.equal(await runInShell(tries[1]!), '"hello"')
    assert.match(await runInShell(tries[2]!), /^{"openapi":"3\.1\.0"/)
    server.child.kill('SIGTERM')
    assert.deepEqual(await server.ended, { code: 0, signal: null })
    assert.match(server.said(), /finishing what is under way …\n$/)
    const lines = server
      .complained()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { route: string })
    assert.deepEqual(
      lines.map(({ route }) => route),
      ['/v1/state/value', '/v1/state/value', '/openapi.json'],
    )
  })

  it('is what npm start starts, and the demo has a name of its own', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    const [program, file, ...args] = scripts['start']!.split(' ')
    assert.deepEqual([program, join(ROOT, file!), args], ['node', MAIN, ['serve']])
    assert.equal(scripts['demo'], scripts['start']!.replace(/serve$/, 'demo'))
  })

  it('with tokens says so, and lets a request under way finish', async () => {
    const cwd = await scratch()
    await using db = await openPersistence({ config: false, dir: `${cwd}/data` })
    const { token } = await new Tokens(db.state).create({ name: 'x', workspaces: '*', plugins: '*', write: true })
    const server = await command(['serve', '--port', '0', '--dir', 'data', '--quiet'], cwd)
    assert.match(server.said(), /by token: Authorization: Bearer/)
    assert(server.said().includes('$HOLDFAST_TOKEN') && !server.said().includes(token))
    const connection = await RawConnection.open(server.url)
    const head = `PUT ${VALUE} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\ncontent-length: 5\r\n\r\n`
    connection.send(`${head}he`)
    await sleep(100)
    server.child.kill('SIGTERM')
    await eventually(() => server.said().includes('finishing'), 'the signal is taken')
    connection.send('llo')
    assert.equal((await connection.answer())?.status, 204)
    assert.deepEqual(await server.ended, { code: 0, signal: null })
    assert.equal(server.complained(), '')
  })

  it('ends at once when it is told a second time, in another way', async () => {
    const server = await command(['serve', '--port', '0', '--quiet', '--drain', '600'], await scratch())
    const connection = await RawConnection.open(server.url)
    connection.send(`PUT ${VALUE} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\n\r\nhe`)
    await sleep(100)
    server.child.kill('SIGINT')
    await eventually(() => server.said().includes('finishing'), 'the signal is taken')
    server.child.kill('SIGTERM')
    assert.deepEqual(await server.ended, { code: null, signal: 'SIGTERM' })
    await connection.ended()
  })

  it('fails with a code where the port is taken, or others would come in without a token', async () => {
    const cwd = await scratch()
    const first = await command(['serve', '--port', '0', '--quiet'], cwd)
    const port = new URL(first.url).port
    const second = await holdfast(['serve', '--port', port], { cwd })
    assert.equal(second.code, 1)
    assert.match(second.stderr, /^error UNAVAILABLE: cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/)
    const open = await holdfast(['serve', '--host', '0.0.0.0', '--port', '0'], { cwd })
    assert.equal(open.code, 1)
    assert.match(open.stderr, /^error INVALID_OPTIONS: without a token/)
  })

  it('that must have a token takes none without', async () => {
    const server = await command(['serve', '--port', '0', '--require-token', '--quiet'], await scratch())
    assert.equal((await fetch(`${server.url}/v1/state/keys`)).status, 401)
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200)
  })
})

describe('a token for all workspaces', () => {
  it('is needed for the metrics where tokens are', async () => {
    const server = await served()
    const [all, one] = [await newToken(server), await newToken(server, { workspaces: ['w'] })]
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${server.url}/metrics`, { headers })).status
    assert.equal(await status(bearer(all)), 200)
    assert.equal(await status(bearer(one)), 403)
  })
})
