/** Ten thousand lines of a fuzzer: every call is answered, the host stays up, and nobody sees what is another's. */
import assert from 'node:assert/strict'
import { expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { dataOf, hostOn, manifestOf, memoryState, open, stage, type Answer, type Session, type Stage } from './puppet.ts'

const LINES = 10_000
const SEED = Number(process.env['HOLDFAST_FUZZ_SEED'] ?? 20_261_120)

/** Mulberry32: the same numbers for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let n = Math.imul(state ^ (state >>> 15), 1 | state)
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n
    return Math.floor((((n ^ (n >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const random = numbers(SEED)
const pick = <T>(items: readonly T[]): T => items[random(items.length)]!

const KEYS = [
  'k',
  'k/k',
  './k',
  '..',
  '/',
  '',
  ' ',
  'é',
  '𝒳',
  '\0',
  '\ud800',
  'x'.repeat(256),
  'x'.repeat(257),
  'w2',
  'acme/b',
  '__proto__',
]
const OPTS = ['set', 'get', 'del', 'exist']
const OTHER_OPTS: readonly JsonValue[] = ['', 'SET', 'list', '__proto__', 'constructor', 1, null, {}, []]
const VALUES: readonly JsonValue[] = [null, 1, {}, [], 'zz', 'abc', 'AB', '0'.repeat(2_000_000)]

interface Actor extends Stage {
  readonly session: Session
  /** Only what this plugin stores in this workspace begins with it. */
  readonly mark: string
}

/** Two plugins in two workspaces each, on one store. */
async function actors(): Promise<{ plugins: PluginHost; all: Actor[]; over: string[] }> {
  const plugins = new PluginHost({ state: await memoryState() })
  const all: Actor[] = []
  const over: string[] = []
  for (const name of ['a', 'b']) {
    const set = await stage({ name, plugins, storage: { enabled: true, size: 65_536 } })
    for (const workspace of ['w1', 'w2']) {
      all.push({ ...set, session: await open(set, workspace), mark: `mark of ${name} in ${workspace}` })
      const gone = await open(set, workspace)
      await gone.end()
      over.push(gone.sessionId)
    }
  }
  return { plugins, all, over }
}

interface Expected {
  readonly answer: Promise<Answer>
  readonly actor: Actor
  /** Whether the session was the plugin's own and open. */
  readonly isOwn: boolean
  readonly request: JsonObject
}

function lineOf(sessionId: unknown, requestId: unknown, request: unknown, type: unknown = 'storage'): string {
  return JSON.stringify({
    event: 'session',
    session_id: sessionId,
    data: { type: 'invoke', data: { type, backwards_request_id: requestId, request } },
  })
}

function requestOf({ mark }: Actor): JsonObject {
  const isGood = random(4) > 0
  const value = isGood ? Buffer.from(`${mark} ${'.'.repeat(random(3_000))}`).toString('hex') : pick(VALUES)
  return { opt: isGood ? pick(OPTS) : pick(OTHER_OPTS), key: pick(KEYS), value }
}

/** Bytes changed, lost, doubled, moved. */
function mutated(line: string): Buffer {
  let bytes: Buffer = Buffer.from(line)
  for (let i = random(4); i >= 0; i--) {
    const at = random(bytes.length)
    const end = at + random(20)
    const change: (() => Buffer)[] = [
      () => Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at + 1)]),
      () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]),
      () => Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]),
      () => bytes.subarray(0, at),
      () => Buffer.concat([bytes.subarray(at), bytes.subarray(0, at)]),
      () =>
        Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(pick(['\n', '\0', '"', '}', '{', '\\', '\u2028', ',null'])),
          bytes.subarray(at),
        ]),
    ]
    bytes = pick(change)()
    if (bytes.length === 0) break
  }
  return bytes
}

const NONSENSE = [
  'null',
  '[]',
  '{}',
  '{"event":null}',
  '"event"',
  '{"event":"session"}',
  '{"event":"request"}',
  '{'.repeat(5_000),
  '['.repeat(50_000),
  '\u0000',
  '\ufeff{}',
  '1e999',
  '{"event":"heartbeat","session_id":{},"data":0}',
  '{"event":"log","data":[[[]]]}',
]

it(`${LINES} lines, seed ${SEED}`, { timeout: 120_000 }, async () => {
  const { plugins, all, over } = await actors()
  const expected: Expected[] = []
  const told = { refused: 0, answered: 0 }

  const call = (actor: Actor, n: number): void => {
    const others = all.filter(({ plugin }) => plugin !== actor.plugin)
    const isOwn = random(3) > 0
    const sessionId = isOwn ? actor.session.sessionId : pick([...others.map(({ session }) => session.sessionId), ...over, 'none'])
    const request = requestOf(actor)
    const id = `call${n}`
    expected.push({ answer: actor.puppet.answerTo(id), actor, isOwn, request })
    actor.puppet.socket.write(`${lineOf(sessionId, id, request)}\n\n`)
  }
  const say = (actor: Actor): void => {
    const ids = [
      ...over,
      ...all.map(({ session }) => session.sessionId).filter((id) => id !== actor.session.sessionId),
      'none',
      '',
    ]
    const foreign = pick(
      ids.filter((id) => !all.some(({ session, plugin }) => session.sessionId === id && plugin === actor.plugin)),
    )
    actor.puppet.inSession(foreign, pick(['stream', 'error', 'end', 'none', 'invoke']), pick([null, {}, 1, { message: 'x' }]))
  }
  const mutate = (actor: Actor, n: number): void => {
    const line = lineOf(actor.session.sessionId, `mutated${n}`, requestOf(actor), pick(['storage', 'storage', 'llm', '', 1]))
    actor.puppet.socket.write(Buffer.concat([mutated(line), Buffer.from('\n')]))
  }
  const nonsense = ({ puppet }: Actor): void => void puppet.socket.write(`${pick(NONSENSE)}\n`)

  for (let n = 0; n < LINES; n++) {
    const actor = pick(all)
    pick([call, call, mutate, mutate, say, nonsense])(actor, n)
    // As fast as the host takes it, so that some of it comes together.
    if (n % 100 === 0) await all[0]!.puppet.call(all[0]!.session.sessionId, { opt: 'exist', key: 'k' })
  }

  for (const { answer, actor, isOwn, request } of expected) {
    const { event, message, data } = await answer
    told[event === 'error' ? 'refused' : 'answered']++
    if (!isOwn) assert.equal(message, 'PERMISSION_DENIED: there is no such session')
    else if (event === 'error') assert.match(message, /: (INVALID_ARGUMENT|QUOTA_EXCEEDED|RATE_LIMITED): /)
    else if (request['opt'] === 'get' && data!['data'] !== '')
      assertOwn(actor, Buffer.from(data!['data'] as string, 'hex').toString())
  }
  expect(told.refused).toBeGreaterThan(1_000)
  expect(told.answered).toBeGreaterThan(1_000)
  console.log(`${LINES} lines: ${expected.length} calls, ${told.answered} answered, ${told.refused} refused with a code`)

  for (const actor of all) {
    const { puppet, session, mark } = actor
    assert.ok(!puppet.socket.closed)
    assert.ok(
      puppet.heard.every(
        (line) => !all.some((other) => other.plugin !== actor.plugin && line.includes(Buffer.from(other.mark).toString('hex'))),
      ),
    )
    dataOf(await session.store('set', 'last', mark))
    await session.end()
  }
  for await (const { workspaceId, pluginId } of plugins.scopes()) {
    const { storage } = plugins.session({ workspaceId, pluginId })
    const owner = all.find(({ mark }) => mark === `mark of ${pluginId.slice('acme/'.length)} in ${workspaceId}`)!
    for (const key of await storage.keys()) assertOwn(owner, Buffer.from((await storage.get(key))!).toString())
  }

  function assertOwn(owner: Actor, value: string): void {
    for (const other of all)
      if (other.mark !== owner.mark) assert.ok(!value.includes(other.mark), `${owner.mark} sees ${other.mark}`)
  }
})

const REQUESTS = 2_000

it(`${REQUESTS} requests to the transaction endpoint, seed ${SEED}`, { timeout: 60_000 }, async () => {
  const plugins = new PluginHost({ state: await memoryState() })
  const host = await hostOn(plugins)
  const transactions = await host.transactions({ maxBodyBytes: 65_536 })
  const places = ['a', 'b'].map((name) => {
    const place = transactions.reserve()
    place.connect({ url: 'http://127.0.0.1:1', manifest: manifestOf(name) })
    return place.daemonUrl
  })
  const { origin } = new URL(places[0]!)
  const bases = [
    ...places,
    ...places,
    ...places,
    origin,
    `${origin}/..`,
    `${origin}/%00`,
    `${origin}/${'x'.repeat(5_000)}`,
    places[0]!.slice(0, -1),
  ]
  const paths = [
    '/backwards-invocation/transaction',
    '/backwards-invocation/transaction/',
    '//',
    '',
    '?a',
    '/backwards-invocation/../x',
  ]
  const statuses = new Map<number, number>()
  const ask = async (n: number): Promise<void> => {
    const line = lineOf(pick(['s', '', 'none']), `r${n}`, { opt: pick(OPTS), key: pick(KEYS), value: pick(['00', 'zz']) })
    const body = pick<string | Buffer>([line, `${line}\n\n`, mutated(`${line}\n\n`), pick(NONSENSE), 'x'.repeat(100_000)])
    const headers: Record<string, string> =
      random(2) > 0 ? { 'dify-plugin-session-id': pick(['s', '', 'none', 'x'.repeat(1_000)]) } : {}
    const method = pick(['POST', 'POST', 'POST', 'PUT', 'DELETE'])
    const response = await fetch(pick(bases) + pick(paths), { method, headers, body: new Uint8Array(Buffer.from(body)) })
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    const lines = (await response.text()).trimEnd().split('\n')
    const { data } = JSON.parse(lines[0]!) as { data: Answer }
    assert.equal(data.event, 'error')
    assert.match(data.message, /^(NOT_FOUND|UNAUTHORIZED|PERMISSION_DENIED): |: (INVALID_ARGUMENT|VALUE_TOO_LARGE): /)
    assert.equal(lines.length, 2)
  }
  for (let n = 0; n < REQUESTS; n += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => ask(n + i)))
  assert.deepEqual(
    [...statuses.keys()].toSorted((a, b) => a - b),
    [200, 401, 404],
  )
  assert.deepEqual(await Array.fromAsync(plugins.scopes()), [])
  console.log(`${REQUESTS} requests: ${JSON.stringify(Object.fromEntries(statuses))}`)
})
