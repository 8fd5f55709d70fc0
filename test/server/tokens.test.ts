/** Tokens: what they allow, how long, and that nobody sees them. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { STATE_STORES } from '../../src/index.ts'
import { LOCAL, refusal, EVERYTHING, type Access } from '../../src/server/access.ts'
import { CACHE_MS, Tokens, TOKEN_SPACE, type Grant } from '../../src/server/tokens.ts'
import { holdfast } from '../cli-support.ts'
import { scratch } from '../support.ts'
import { bearer, call, eventually, newToken, served, type TestServer } from './support.ts'

const grant: Grant = { name: 'test', workspaces: '*', plugins: '*', write: true }
const unauthorized = { code: 'UNAUTHORIZED' }

async function tokens(): Promise<Tokens> {
  return new Tokens(await STATE_STORES.create('memory', {}))
}

describe('a token', () => {
  it('is taken, and every other text is not', async () => {
    const known = await tokens()
    const { token, info } = await known.create(grant)
    assert.match(token, /^hf_[0-9a-f]{16}_[\w-]{43}$/)
    assert.deepEqual(await known.access(token), { tokenId: info.id, workspaces: '*', plugins: '*', write: true })
    const other = (await known.create(grant)).token
    const secret = token.slice(20)
    const wrong = [
      '',
      'hf_',
      token.slice(0, -1),
      `${token}x`,
      `${token} `,
      token.toUpperCase(),
      `hf_${'0'.repeat(16)}_${secret}`,
      `${other.slice(0, 20)}${secret}`,
      token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')),
    ]
    for (const text of wrong) await expect(known.access(text), text).rejects.toMatchObject(unauthorized)
  })

  it('is kept as a digest', async () => {
    const state = await STATE_STORES.create('memory', {})
    const { token, info } = await new Tokens(state).create(grant)
    const [entry] = await state.core.backend.get(TOKEN_SPACE, [info.id])
    const stored = String(entry!.value)
    assert(stored.includes(info.id) && !stored.includes(token.slice(20)))
    assert(!JSON.stringify(await new Tokens(state).list()).includes('digest'))
  })

  it('that is revoked is refused here at once and elsewhere within seconds', async () => {
    const state = await STATE_STORES.create('memory', {})
    const [here, elsewhere] = [new Tokens(state), new Tokens(state)]
    const { token, info } = await here.create(grant)
    await here.access(token)
    await elsewhere.access(token)
    assert.equal(await here.revoke(info.id), true)
    assert.equal(await here.revoke(info.id), false)
    assert.equal(await here.revoke('../x'), false)
    await expect(here.access(token)).rejects.toMatchObject(unauthorized)
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + CACHE_MS)
    try {
      await expect(elsewhere.access(token)).rejects.toMatchObject(unauthorized)
    } finally {
      vi.restoreAllMocks()
    }
  })

  it('ends when it is said to end, also where it is remembered', async () => {
    const known = await tokens()
    const { token } = await known.create({ ...grant, expiresAt: Date.now() + 100 })
    await known.access(token)
    await sleep(120)
    await expect(known.access(token)).rejects.toMatchObject(unauthorized)
  })

  it('that is asked for by many at a time is read once, and unknown ones push out none', async () => {
    const state = await STATE_STORES.create('memory', {})
    const { token } = await new Tokens(state).create(grant)
    const known = new Tokens(state)
    const reads = vi.spyOn(state.core.backend, 'get')
    await Promise.all(Array.from({ length: 50 }, () => known.access(token)))
    assert.equal(reads.mock.calls.length, 1)
    const unknown = Array.from({ length: 50 }, (_, i) => `hf_${String(i).padStart(16, '0')}_${'x'.repeat(43)}`)
    await Promise.allSettled(unknown.map((each) => known.access(each)))
    const before = reads.mock.calls.length
    await known.access(token)
    assert.equal(reads.mock.calls.length, before)
  })

  it('that cannot be looked up once is taken the next time', async () => {
    const state = await STATE_STORES.create('memory', { retries: 0 })
    const { token } = await new Tokens(state).create(grant)
    const known = new Tokens(state)
    vi.spyOn(state.core.backend, 'get').mockRejectedValueOnce(new Error('no answer'))
    await expect(known.access(token)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await known.access(token)
  })
})

describe('what is allowed', () => {
  const some: Access = { tokenId: 't', workspaces: ['w1', ''], plugins: '*', write: true }
  it.each<[Access, Parameters<typeof refusal>[1], boolean]>([
    [LOCAL, { workspace: EVERYTHING, write: true }, true],
    [some, { workspace: 'w1', write: true }, true],
    [some, { workspace: '', write: true }, true],
    [some, { workspace: 'w2', write: false }, false],
    [some, { workspace: 'W1', write: false }, false],
    [some, { workspace: '*', write: false }, false],
    [some, { workspace: EVERYTHING, write: false }, false],
    [some, { workspace: undefined, write: false }, true],
    [{ ...some, workspaces: ['*'] }, { workspace: '*', write: false }, true],
    [{ ...some, workspaces: ['*'] }, { workspace: 'w1', write: false }, false],
    [{ ...some, workspaces: ['*'] }, { workspace: EVERYTHING, write: false }, false],
    [{ ...some, write: false }, { workspace: 'w1', write: true }, false],
    [{ ...some, write: false }, { workspace: 'w1', write: false }, true],
    [{ ...some, plugins: ['a/b'] }, { workspace: 'w1', write: false }, false],
    [{ ...some, plugins: ['a/b'] }, { workspace: 'w1', plugin: 'a/b', write: true }, true],
    [{ ...some, plugins: ['a/b'] }, { workspace: 'w1', plugin: 'a/c', write: false }, false],
    [{ ...some, plugins: ['a/b'] }, { workspace: 'w2', plugin: 'a/b', write: false }, false],
    [{ ...some, plugins: [] }, { workspace: 'w1', write: false }, false],
  ])('%j for %j: %s', (access, need, allowed) => {
    assert.equal(refusal(access, need) === undefined, allowed)
  })
})

describe('a server', () => {
  const keys = ({ url }: TestServer, headers = {}): ReturnType<typeof call> =>
    call(`${url}/v1/state/keys`, 'GET', undefined, headers)

  it('takes everybody on this machine until there is a token, and nobody without one then', async () => {
    const server = await served()
    assert.equal((await keys(server)).status, 200)
    const { token, info } = await server.tokens.create(grant)
    // Another instance made it; this one sees it when it looks again.
    await eventually(async () => (await keys(server)).status === 401, 'it asks for a token', CACHE_MS + 2_000)
    const refused = await keys(server)
    assert.equal(refused.headers.get('www-authenticate'), 'Bearer')
    assert.equal((await keys(server, bearer(token))).status, 200)
    // Once it has asked, it asks for ever.
    await server.tokens.revoke(info.id)
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 2 * CACHE_MS)
    try {
      assert.equal((await keys(server)).status, 401)
      assert.equal((await keys(server, bearer(token))).status, 401)
    } finally {
      vi.restoreAllMocks()
    }
  })

  it('without a token lets in programs on this machine only', async () => {
    const server = await served()
    const { port } = new URL(server.url)
    const ask = async (headers: Record<string, string>): Promise<number> => (await keys(server, headers)).status
    for (const origin of [
      'https://evil.example',
      'null',
      `http://evil.example:${port}`,
      'http://127.0.0.1.evil.example',
      'http://localhost@evil.example',
    ]) {
      assert.equal(await ask({ origin }), 403, origin)
    }
    assert.equal(await ask({ origin: `http://localhost:${port}` }), 200)
    for (const name of ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via'])
      assert.equal(await ask({ [name]: 'x' }), 403, name)
  })

  it('can ask for tokens from the start', async () => {
    const server = await served(undefined, { requireToken: true })
    assert.equal(server.server.needsToken, true)
    assert.equal((await keys(server)).status, 401)
    assert.equal((await keys(server, bearer(await newToken(server)))).status, 200)
  })

  it('asks for the token in one header, of one form', async () => {
    const server = await served()
    const token = await newToken(server)
    const ask = async (authorization: string): Promise<number> => (await keys(server, { authorization })).status
    assert.equal(await ask(`Bearer ${token}`), 200)
    assert.equal(await ask(`bearer  ${token}`), 200)
    for (const wrong of [
      '',
      token,
      `Basic ${token}`,
      `Bearer`,
      `Bearer ${token} x`,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer${token}`,
    ]) {
      assert.equal(await ask(wrong), 401, wrong)
    }
    for (const query of [`?token=${token}`, `?access_token=${token}`, `?authorization=Bearer%20${token}`]) {
      assert.notEqual((await call(`${server.url}/v1/state/keys${query}`, 'GET')).status, 200)
    }
  })

  it('tells a token to no log, no metric and no error', async () => {
    const server = await served()
    const token = await newToken(server)
    const secret = token.slice(20)
    for (const headers of [
      bearer(token),
      bearer(`${token}x`),
      bearer(`hf_${'0'.repeat(16)}_${secret}`),
      { ...bearer(token), 'x-request-id': token },
    ]) {
      const { body } = await keys(server, headers)
      assert(!JSON.stringify(body).includes(secret))
    }
    await call(`${server.url}/v1/${token}?${token}=1`, 'GET', undefined, bearer(token))
    const metrics = await (await fetch(`${server.url}/metrics`, { headers: bearer(token) })).text()
    assert(metrics.includes('holdfast_http_request_duration_seconds') && !metrics.includes(secret))
    await eventually(() => server.lines.length >= 6, 'the log')
    // A caller that takes its own secret for a request id has told it itself.
    const log = JSON.stringify(server.lines.map((line) => ({ ...line, requestId: '' })))
    assert(log.includes(token.slice(3, 19)) && !log.includes(secret))
  })
})

describe('holdfast token', { timeout: 60_000 }, () => {
  const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

  it('creates, lists and revokes tokens, which a server on the same data takes', async () => {
    const cwd = await scratch()
    const run = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await holdfast(['token', ...args], { cwd })
      assert.equal(code, 0, stderr)
      return stdout
    }
    const { token, id } = json(await run('create', 'ci', '--workspace', 'w1', '--expires-in', '30d', '--json')) as {
      token: string
      id: string
    }
    const reader = json(await run('create', 'reader', '--all-workspaces', '--read-only', '--json'))['token'] as string
    const plugin = json(await run('create', 'plugin', '--workspace', 'w1', '--plugin', 'acme/notes', 'acme/mail', '--json'))[
      'token'
    ] as string
    const shown = await run('create', 'shown')
    assert.match(shown, /^hf_\S+\n\nThis is the only time it is shown. It allows: read and write, workspace ""\.\n$/)
    const listed = await run('list')
    assert.equal(listed.trim().split('\n').length, 4)
    assert(!listed.includes(token.slice(20)))
    assert.match(listed, /ci {2}read and write, workspace "w1", until 20/)
    assert.match(listed, /plugin {2}read and write, workspace "w1", only the storage of acme\/notes, acme\/mail/)

    const server = await served({ dir: `${cwd}/.holdfast` })
    const get = async (path: string, by: string): Promise<number> =>
      (await fetch(`${server.url}${path}`, { headers: bearer(by) })).status
    const put = async (path: string, by: string): Promise<number> =>
      (await fetch(`${server.url}${path}`, { method: 'PUT', body: '1', headers: bearer(by) })).status
    const state = (workspace: string): string => `/v1/state/value?workspace=${workspace}&key=k`
    const storage = (workspace: string, of: string): string => `/v1/storage/value?workspace=${workspace}&plugin=${of}&key=k`
    assert.equal(await put(state('w1'), token), 204)
    assert.equal(await put(state('w2'), token), 403)
    assert.equal(await put(state(''), token), 403)
    assert.equal(await get(state('w1'), reader), 200)
    assert.equal(await put(state('w1'), reader), 403)
    assert.equal(await get(state('w1'), plugin), 403)
    assert.equal(await put(storage('w1', 'acme/notes'), plugin), 204)
    assert.equal(await put(storage('w1', 'acme/notes:1.2.3'), plugin), 204)
    assert.equal(await put(storage('w1', 'acme/other'), plugin), 403)
    assert.equal(await put(storage('w2', 'acme/notes'), plugin), 403)
    assert.equal(await get('/metrics', reader), 200)
    assert.equal(await get('/metrics', token), 403)
    assert.match(await run('revoke', id), /^revoked/)
    await eventually(async () => (await get(state('w1'), token)) === 401, 'it is refused', CACHE_MS + 2_000)
    const missing = await holdfast(['token', 'revoke', id], { cwd })
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /^error NOT_FOUND/)
    assert.equal((await holdfast(['token', 'create', 'x', '--plugin', '../x'], { cwd })).code, 1)
  })
})
