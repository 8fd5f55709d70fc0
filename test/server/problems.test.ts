/** Errors: what callers are told, what the log is told, and what nobody is told. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { ERROR_CODES, HoldfastError, type ErrorCode } from '../../src/errors.ts'
import { StateStore } from '../../src/state/store.ts'
import { HttpProblem, toProblem } from '../../src/server/problem.ts'
import { localContext } from '../conformance/harness.ts'
import { call, eventually, served, type TestServer } from './support.ts'

const SECRETS = [
  'hunter2-password',
  '/var/lib/holdfast/state.db',
  'SELECT value FROM holdfast_state',
  'db.internal.example',
  'plugin-value-5f3a',
]
const WORDS = `postgres://app:${SECRETS[0]}@${SECRETS[3]}/x: ${SECRETS[1]}: ${SECRETS[2]} WHERE value = '${SECRETS[4]}'`

/** A server whose state fails as it is told to. */
async function failing(): Promise<{ server: TestServer; fail: (error: unknown) => void }> {
  let failure: unknown
  const backend = await createMemory({}, localContext('state', 'memory'))
  const wired = new Proxy(backend, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function' || name === 'close') return member
      return (...given: unknown[]): unknown =>
        failure === undefined ? Reflect.apply(member, target, given) : Promise.reject(failure)
    },
  })
  const state = new StateStore(wired, { name: 'memory', retries: 0 })
  const server = await served({ conversation: 'memory', knowledge: 'memory', state })
  return { server, fail: (error) => (failure = error) }
}

function holdsSecret(text: string): string | undefined {
  return SECRETS.find((secret) => text.includes(secret))
}

const engineError = (code: ErrorCode): HoldfastError =>
  new HoldfastError(code, `${SECRETS[1]}: it failed (${WORDS})`, { outcome: 'not-applied', cause: new Error(WORDS) })

describe('an engine’s own words', () => {
  it.each(Object.keys(ERROR_CODES) as ErrorCode[])('stay on the server: %s', async (code) => {
    const { server, fail } = await failing()
    assert.equal((await call(`${server.url}/v1/state/keys`, 'GET')).status, 200)
    fail(engineError(code))
    for (const path of [
      '/v1/state/keys',
      '/v1/state/value?key=k',
      '/v1/storage/value?plugin=a/b&key=k',
      '/v1/storage/usage?plugin=a/b',
    ]) {
      const response = await fetch(`${server.url}${path}`)
      const text = await response.text()
      assert.equal(holdsSecret(text + JSON.stringify([...response.headers])), undefined, text)
      assert(response.status >= 400 && typeof (JSON.parse(text) as { code: string }).code === 'string', path)
    }
  })

  it('stay on the server whatever is thrown', async () => {
    const { server, fail } = await failing()
    for (const error of [
      new Error(WORDS),
      new TypeError(WORDS),
      WORDS,
      { message: WORDS },
      null,
      7,
      new AggregateError([new Error(WORDS)], WORDS),
    ]) {
      fail(error)
      const { status, body } = await call(`${server.url}/v1/state/keys`, 'GET')
      assert.deepEqual([status, (body as { code: string }).code], [503, 'UNAVAILABLE'])
      assert.equal(holdsSecret(JSON.stringify(body)), undefined)
    }
  })

  it('are in the log, without passwords, under the request’s id', async () => {
    const { server, fail } = await failing()
    fail(engineError('UNAVAILABLE'))
    const { body } = await call(`${server.url}/v1/state/keys`, 'GET', undefined, { 'x-request-id': 'mine-1' })
    assert.equal((body as { requestId: string }).requestId, 'mine-1')
    await eventually(() => server.lines.some(({ event }) => event === 'request'), 'the log')
    const line = server.lines.find(({ event }) => event === 'server')
    assert.equal(line?.requestId, 'mine-1')
    assert(line.message?.includes(SECRETS[2]!) && !line.message.includes(SECRETS[0]!), line.message)
  })

  it('about its own credentials do not look like the caller’s', async () => {
    const { server, fail } = await failing()
    for (const code of [
      'UNAUTHORIZED',
      'PERMISSION_DENIED',
      'INVALID_OPTIONS',
      'MISSING_CLIENT',
      'NOT_FOUND',
      'STORE_CLOSED',
    ] as const) {
      fail(new HoldfastError(code, `the engine says ${code}`))
      assert.equal((await call(`${server.url}/v1/state/keys`, 'GET')).status, 503, code)
    }
  })
})

describe('the stores’ own words', () => {
  const within = (code: ErrorCode, message: string): HoldfastError =>
    new HoldfastError(code, message, { kind: 'state', backend: 'memory', outcome: 'not-applied' })

  it('go through, with code, outcome and kind', () => {
    const problem = toProblem(within('CONFLICT', 'key "a/b" was changed by others'), 'r')
    assert.deepEqual(problem, {
      type: 'urn:holdfast:error:CONFLICT',
      title: 'Conflict',
      status: 409,
      code: 'CONFLICT',
      detail: 'key "a/b" was changed by others',
      requestId: 'r',
      outcome: 'not-applied',
      kind: 'state',
      backend: 'memory',
    })
    assert.equal(toProblem(within('NOT_FOUND', 'there is no session "s"'), 'r').status, 404)
    assert.equal(toProblem(within('NOT_FOUND', 'the bucket "b" does not exist'), 'r').code, 'UNAVAILABLE')
  })

  it('lose what looks like a file or a password', () => {
    const { detail } = toProblem(within('UNSUPPORTED', 'see /etc/holdfast/keys.json (/home/me/x): url=postgres://u:p@h/d'), 'r')
    assert.equal(detail, 'see … (…): url=postgres://***@h/d')
  })

  it('have a status of their own for each code', () => {
    const statuses = Object.keys(ERROR_CODES).map((code) => toProblem(new HttpProblem(code as ErrorCode, 'x'), 'r'))
    for (const { status, title } of statuses) assert(status >= 400 && title !== 'Error', String(status))
  })
})

describe('the request id', () => {
  it('is the caller’s where it is harmless, and else a new one', async () => {
    const server = await served()
    const ask = async (id: string): Promise<string | null> =>
      (await fetch(`${server.url}/healthz`, { headers: { 'x-request-id': id } })).headers.get('x-request-id')
    assert.equal(await ask('a.B:c-1_2'), 'a.B:c-1_2')
    for (const id of ['a b', '{"x":1}', 'x'.repeat(129), 'é', '<script>']) assert.match((await ask(id))!, /^[0-9a-f-]{36}$/)
  })
})
