/** What comes to the transaction endpoint, and what a plugin that is an HTTP service answers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { DifyPlugin, Reservation, TransactionOptions } from '../../src/dify/index.ts'
import type { JsonObject } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { hostOn, manifestOf, memoryState, MIB } from './puppet.ts'

type Answering = (line: JsonObject, response: ServerResponse, request: IncomingMessage) => unknown

/** A service that answers invocations as the test says. */
async function service(answering: Answering): Promise<string> {
  const server = createServer((request, response) => {
    void text(request).then((body) => answering(JSON.parse(body) as JsonObject, response, request))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Web {
  readonly plugins: PluginHost
  readonly place: Reservation
  readonly plugin: DifyPlugin
  /** The session that is open in the plugin. */
  readonly sessionId: string
  /** Ends it. */
  end(): void
  readonly messages: Promise<unknown[]>
}

const endOf = (sessionId: unknown): string =>
  `${JSON.stringify({ event: 'session', session_id: sessionId, data: { type: 'end', data: {} } })}\n\n`

/** A plugin with one open session. */
async function web(options: TransactionOptions = {}, name = 'web', plugins?: PluginHost): Promise<Web> {
  const storage = plugins ?? new PluginHost({ state: await memoryState() })
  const host = await hostOn(storage)
  const place = (await host.transactions(options)).reserve()
  const opened = Promise.withResolvers<readonly [string, () => void]>()
  const url = await service(({ session_id: id }, response) => {
    response.write('\n')
    opened.resolve([id as string, () => void response.end(endOf(id))])
  })
  const plugin = place.connect({ url, manifest: manifestOf(name), workspaceId: 'w1' })
  const messages = Array.fromAsync(plugin.invokeTool({ provider: 'p', tool: 't' }))
  messages.catch(() => undefined)
  const [sessionId, end] = await opened.promise
  return { plugins: storage, place, plugin, sessionId, end, messages }
}

function callLine(sessionId: unknown, request: JsonObject): string {
  const data = { type: 'invoke', data: { type: 'storage', backwards_request_id: 'r1', request } }
  return `${JSON.stringify({ event: 'session', session_id: sessionId, data })}\n\n`
}

interface Replied {
  readonly status: number
  readonly events: readonly { readonly event: string; readonly message: string; readonly data: JsonObject | null }[]
}

interface Post {
  readonly path?: string
  readonly header?: string | undefined
  readonly method?: string
}

async function post(
  daemonUrl: string,
  body: string,
  { path = '/backwards-invocation/transaction', header, method = 'POST' }: Post,
): Promise<Replied> {
  const headers = header === undefined ? {} : { 'dify-plugin-session-id': header }
  const response = await fetch(`${daemonUrl}${path}`, { method, headers, ...(method === 'POST' ? { body } : {}) })
  const lines = (await response.text()).split('\n').filter((line) => line !== '')
  return { status: response.status, events: lines.map((line) => (JSON.parse(line) as { data: Replied['events'][number] }).data) }
}

const set = (key: string, value: string): JsonObject => ({ opt: 'set', key, value: Buffer.from(value).toString('hex') })

describe('the transaction endpoint', () => {
  it('answers the plugin whose address it is, in a session that is open', async () => {
    const { place, sessionId, plugins, end, messages, plugin } = await web()
    const good = await post(place.daemonUrl, callLine(sessionId, set('k', 'v')), { header: sessionId })
    assert.equal(good.status, 200)
    expect(good.events).toMatchObject([{ event: 'response', data: { data: 'ok' } }, { event: 'end' }])
    end()
    assert.deepEqual(await messages, [])
    const over = await post(place.daemonUrl, callLine(sessionId, set('k', 'late')), { header: sessionId })
    assert.match(over.events[0]!.message, /there is no such session/)
    assert.equal(await plugins.session({ workspaceId: 'w1', pluginId: plugin.pluginId }).storage.getText('k'), 'v')
  })

  it('tells an error by an event, whatever is wrong: an empty answer would be success to the SDK', async () => {
    const { place, sessionId, plugins } = await web({ maxBodyBytes: 100_000 })
    const other = await web({}, 'other', plugins)
    const { origin } = new URL(place.daemonUrl)
    const call = callLine(sessionId, set('k', 'v'))
    const mine = { header: sessionId }
    const cases: readonly (readonly [string, string, Post, number, RegExp])[] = [
      [`${origin}/${'x'.repeat(43)}`, call, mine, 401, /^UNAUTHORIZED: this host knows no plugin at this address$/],
      [`${origin}/`, call, mine, 401, /^UNAUTHORIZED: /],
      [origin, call, mine, 404, /^NOT_FOUND: /],
      [place.daemonUrl, call, { ...mine, path: '/backwards-invocation' }, 404, /^NOT_FOUND: /],
      [place.daemonUrl, call, { ...mine, method: 'GET' }, 404, /^NOT_FOUND: /],
      [other.place.daemonUrl, call, mine, 200, /^PERMISSION_DENIED: there is no such session$/],
      [place.daemonUrl, callLine(other.sessionId, set('k', 'v')), { header: other.sessionId }, 200, /^PERMISSION_DENIED: /],
      [place.daemonUrl, callLine(other.sessionId, set('k', 'v')), mine, 200, /^PERMISSION_DENIED: there is no such session$/],
      [place.daemonUrl, call, {}, 200, /^PERMISSION_DENIED: there is no such session$/],
      [place.daemonUrl, callLine(sessionId, set('k', 'v'.repeat(100_000))), mine, 200, /VALUE_TOO_LARGE: the body is larger/],
      [place.daemonUrl, '', mine, 200, /INVALID_ARGUMENT: the body is no call$/],
      [place.daemonUrl, '{}\n\n', mine, 200, /INVALID_ARGUMENT: the body is no call$/],
      [place.daemonUrl, 'x'.repeat(50_000), mine, 200, /INVALID_ARGUMENT: the body is no call$/],
      [place.daemonUrl, endOf(sessionId), mine, 200, /INVALID_ARGUMENT: the body is no call$/],
      [place.daemonUrl, callLine(sessionId, { opt: 'drop', key: 'k' }), mine, 200, /INVALID_ARGUMENT: opt must be one of/],
    ]
    for (const [url, body, options, status, message] of cases) {
      const replied = await post(url, body, options)
      assert.equal(replied.status, status, message.source)
      assert.equal(replied.events[0]?.event, 'error', message.source)
      assert.match(replied.events[0].message, message)
      assert.equal(replied.events[1]?.event, 'end')
    }
    for await (const scope of plugins.scopes()) assert.fail(`something was stored: ${JSON.stringify(scope)}`)
  })

  it('lives through clients that stop in the middle, and through many at once', async () => {
    const { place, sessionId } = await web()
    const { hostname, port, pathname } = new URL(place.daemonUrl)
    const sockets = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const socket = connect(Number(port), hostname).on('error', () => undefined)
        await once(socket, 'connect')
        socket.write(
          `POST ${pathname}/backwards-invocation/transaction HTTP/1.1\r\nhost: x\r\ndify-plugin-session-id: ${sessionId}\r\n`,
        )
        if (i % 2 === 0) socket.write(`content-length: 1000\r\n\r\n{"event":"session",`)
        return socket
      }),
    )
    const answers = Array.from({ length: 50 }, (_, i) =>
      post(place.daemonUrl, callLine(sessionId, set(`k${i}`, 'v')), { header: sessionId }),
    )
    for (const { events } of await Promise.all(answers)) assert.equal(events[0]!.event, 'response')
    for (const socket of sockets) socket.resetAndDestroy()
    const after = await post(place.daemonUrl, callLine(sessionId, { opt: 'exist', key: 'k1' }), { header: sessionId })
    assert.deepEqual(after.events[0]!.data, { data: true, exist_num: 1 })
  })

  it('receives large bodies one after another, in bounded memory', { timeout: 60_000 }, async () => {
    const { place, sessionId } = await web()
    const body = callLine(sessionId, set('k', 'v'.repeat(8 * MIB)))
    const answers = await Promise.all(Array.from({ length: 12 }, () => post(place.daemonUrl, body, { header: sessionId })))
    // Of 1 MiB that the plugin may store.
    for (const { events } of answers) assert.match(events[0]!.message, /QUOTA_EXCEEDED/)
  })

  it('gives each address to one plugin, and forgets it with that one; a secret of one’s own survives the host', async () => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    const transactions = await host.transactions()
    const secret = 's'.repeat(32)
    const place = transactions.reserve(secret)
    const options = { url: 'http://127.0.0.1:1', manifest: manifestOf('web') }
    const plugin = place.connect(options)
    assert.throws(() => transactions.reserve(secret).connect(options), { code: 'CONFLICT' })
    await plugin.close()
    assert.equal((await post(place.daemonUrl, '', { header: 's' })).status, 401)
    await transactions.reserve(secret).connect(options).close()
    for (const bad of ['short', '../'.repeat(20)]) assert.throws(() => transactions.reserve(bad), { code: 'INVALID_OPTIONS' })
    assert.throws(() => transactions.reserve().connect({ ...options, url: 'file:///etc/passwd' }), { code: 'INVALID_OPTIONS' })
  })
})

describe('a plugin that is a service', () => {
  async function invoking(answering: Answering): Promise<{ plugin: DifyPlugin; result: Promise<unknown[]> }> {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    const plugin = (await host.transactions()).reserve().connect({ url: await service(answering), manifest: manifestOf('web') })
    return { plugin, result: Array.fromAsync(plugin.invokeTool({ provider: 'p', tool: 't', timeoutMs: 500 })) }
  }

  const bad: Readonly<Record<string, readonly [Answering, string, RegExp]>> = {
    'answers 500': [(_, response) => response.writeHead(500).end('trace'), 'UNAVAILABLE', /answered with status 500$/],
    redirects: [
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
      'UNAVAILABLE',
      /status 302$/,
    ],
    'ends before the session': [(_, response) => response.end(), 'UNAVAILABLE', /ended its answer before the session/],
    'breaks off': [(_, response) => response.write('{"event"', () => response.destroy()), 'UNAVAILABLE', /does not answer/],
    'says nothing': [() => undefined, 'TIMEOUT', /said nothing for 500 ms/],
  }
  it.each(Object.entries(bad))('that %s', async (_, [answering, code, message]) => {
    const { result, plugin } = await invoking(answering)
    await expect(result).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
    assert.equal(plugin.sessions, 0)
  })

  it('is hung up on when nobody waits any more', async () => {
    const gone = Promise.withResolvers<void>()
    const { result } = await invoking((_, response) => {
      response.once('close', gone.resolve)
      response.write('\n')
    })
    await expect(result).rejects.toMatchObject({ code: 'TIMEOUT' })
    await gone.promise
  })

  it('is hung up on when it does not end its answer behind the end of the session', async () => {
    const gone = Promise.withResolvers<void>()
    const { result } = await invoking(({ session_id: id }, response) => {
      response.once('close', gone.resolve)
      response.write(endOf(id))
    })
    assert.deepEqual(await result, [])
    await gone.promise
  })

  it('cannot make calls in its answer, or speak for other sessions', async () => {
    const { result } = await invoking(({ session_id: id }, response) => {
      response.write(callLine(id, set('k', 'v')))
      response.write(`${JSON.stringify({ event: 'session', session_id: 'other', data: { type: 'error', data: {} } })}\n\n`)
      response.write(`${JSON.stringify({ event: 'session', session_id: id, data: { type: 'stream', data: 1 } })}\n\n`)
      response.end(endOf(id))
    })
    assert.deepEqual(await result, [{ type: 'unknown', message: { said: 1 }, meta: null }])
  })

  it('that is not there', async () => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    const plugin = (await host.transactions()).reserve().connect({ url: 'http://127.0.0.1:1', manifest: manifestOf('web') })
    await expect(Array.fromAsync(plugin.invokeTool({ provider: 'p', tool: 't' }))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('gets the headers of a request as they are, and none that begins another', async () => {
    const sent: string[] = []
    const { plugin } = await invoking(({ session_id: id, data }, response) => {
      const { raw_http_request: raw = '' } = data as { raw_http_request?: string }
      sent.push(Buffer.from(raw, 'hex').toString())
      const answer = {
        status: 201,
        headers: { 'X-A': 'b', bad: 'a\r\nset-cookie: x' },
        result: Buffer.from('body').toString('hex'),
      }
      response.end(
        `${JSON.stringify({ event: 'session', session_id: id, data: { type: 'stream', data: answer } })}\n\n${endOf(id)}`,
      )
    })
    const headers = { Host: 'example', 'Transfer-Encoding': 'chunked', 'Content-Length': '0', 'x-a': 'é' }
    const answer = await plugin.invokeEndpoint({ method: 'POST', path: '/a?b=c', headers, body: 'hello' })
    assert.equal(sent.at(-1), 'POST /a?b=c HTTP/1.1\r\nhost: example\r\ncontent-length: 5\r\nx-a: é\r\n\r\nhello')
    expect(answer).toMatchObject({ status: 201, headers: { 'x-a': 'b' } })
    assert.deepEqual(Object.keys(answer.headers), ['x-a'])
    for (const wrong of [
      { path: '/a b' },
      { path: 'a' },
      { headers: { 'a:b': 'c' } },
      { headers: { a: 'b\r\nc: d' } },
      { method: 'A B' },
    ]) {
      await expect(plugin.invokeEndpoint({ method: 'GET', path: '/', ...wrong })).rejects.toThrow(TypeError)
    }
  })
})

it('a body that never ends is read to no end, but not kept', { timeout: 60_000 }, async () => {
  const { place, sessionId } = await web({ maxBodyBytes: MIB })
  const sending = request(`${place.daemonUrl}/backwards-invocation/transaction`, {
    method: 'POST',
    headers: { 'dify-plugin-session-id': sessionId },
  })
  sending.on('error', () => undefined)
  const before = process.memoryUsage().rss
  const piece = Buffer.alloc(MIB, 'x')
  for (let i = 0; i < 200; i++) if (!sending.write(piece)) await once(sending, 'drain')
  expect((process.memoryUsage().rss - before) / MIB).toBeLessThan(150)
  sending.destroy()
})
