/** What the client does before there is a store, and with servers that are not as they should be. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { isHoldfastError } from '../../src/index.ts'

async function other(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it('a server that takes the connection and says nothing is not waited for without end', async () => {
  const url = await other(() => undefined)
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
    const late = new AbortController()
    setTimeout(() => late.abort(new DOMException('late', 'TimeoutError')), 50)
    return late.signal
  })
  onTestFinished(() => timeout.mockRestore())
  await expect(connect({ url })).rejects.toMatchObject({ code: 'TIMEOUT', message: 'the server does not answer' })
  assert(timeout.mock.calls.every(([ms]) => ms === 30_000))
})

it('a token goes to no other place than that of the URL', async () => {
  const asked: (string | undefined)[] = []
  const elsewhere = await other(({ headers }, response) => {
    asked.push(headers.authorization)
    response.end('{}')
  })
  const url = await other((_, response) => response.writeHead(302, { location: elsewhere }).end())
  const error: unknown = await connect({ url, token: 'hf_hidden' }).catch((reason: unknown) => reason)
  assert(isHoldfastError(error, 'UNAVAILABLE') && !error.message.includes('hidden'))
  assert.deepEqual(asked, [])
})

it.each([
  ['an empty page', 200, '', 'UNAVAILABLE'],
  ['a page of others', 200, '<html>', 'UNAVAILABLE'],
  ['JSON of others', 200, '[1]', 'UNAVAILABLE'],
  ['an object of others', 200, '{"maxBodyBytes":1}', 'UNAVAILABLE'],
  ['other contracts', 200, '{"maxBodyBytes":1,"apiVersion":99,"conversation":{},"knowledge":{},"state":{}}', 'UNSUPPORTED'],
  ['a proxy without its server', 502, 'Bad Gateway', 'UNAVAILABLE'],
  ['a proxy that is waited for', 504, '5', 'TIMEOUT'],
  ['a code that there is not', 500, '{"code":"toString","detail":7}', 'UNAVAILABLE'],
])('%s is an error with a code', async (_, status, body, code) => {
  const url = await other((_request, response) => response.writeHead(status).end(body))
  await expect(connect({ url })).rejects.toMatchObject({ name: 'HoldfastError', code })
})
