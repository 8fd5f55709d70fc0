/** The backend tier believes nobody: what no store would send is refused before an engine sees it. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { openPersistence } from '../../src/index.ts'
import { generateKey } from '../../src/plugin-storage/index.ts'
import { StateStore } from '../../src/state/store.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { localContext } from '../conformance/harness.ts'
import { GOOD_BODIES } from './good-requests.ts'
import { call, served, type TestServer } from './support.ts'

async function statusOf({ url }: TestServer, method: string, body: object): Promise<number> {
  return (await call(`${url}/v1/backends/${method}`, 'POST', body)).status
}

const embedding = Buffer.from(new Float32Array([1, 0]).buffer).toString('base64')
interface Good {
  readonly session: object
  readonly documents: readonly object[]
  readonly collection: object
}
const good = (method: string): Good => GOOD_BODIES[`POST /v1/backends/${method}`] as Good
const session = (change: object): object => ({ session: { ...good('conversation/createSession').session, ...change } })
const [document = {}] = good('knowledge/write').documents
const documents = (change: object): object => ({ documents: [{ ...document, ...change }] })

async function withData(): Promise<TestServer> {
  const server = await served()
  await server.db.conversation.createSession({ id: 's1' })
  await server.db.knowledge.createCollection('c', { dimension: 2, distance: 'cosine' })
  return server
}

describe('a filter', () => {
  const wrong: readonly [what: string, filter: unknown][] = [
    ['no operator', {}],
    ['an unknown operator', { op: 'like', path: ['a'], value: 'x' }],
    ['an empty junction inside', { op: 'not', node: { op: 'and', nodes: [] } }],
    ['an empty or', { op: 'or', nodes: [] }],
    ['an empty path', { op: 'eq', path: [], value: 1 }],
    ['an empty part', { op: 'eq', path: [''], value: 1 }],
    ['a dotted part', { op: 'eq', path: ['a.b'], value: 1 }],
    ['an operator for a field', { op: 'eq', path: ['$where'], value: 1 }],
    ['U+0000 in a field', { op: 'eq', path: ['a\0'], value: 1 }],
    ['U+0000 in a value', { op: 'eq', path: ['a'], value: '\0' }],
    ['half a character', { op: 'in', path: ['a'], values: ['\ud800'] }],
    ['an object', { op: 'eq', path: ['a'], value: { $gt: '' } }],
    ['an array', { op: 'eq', path: ['a'], value: [1] }],
    ['order of what has none', { op: 'gt', path: ['a'], value: true }],
    ['a member too many', { op: 'eq', path: ['a'], value: 1, raw: '1=1' }],
    [
      'too deep',
      Array.from({ length: 70 }).reduce<object>((node) => ({ op: 'not', node }), { op: 'exists', path: ['a'], exists: true }),
    ],
    ['too wide', { op: 'or', nodes: Array.from({ length: 1_001 }, () => ({ op: 'eq', path: ['a'], value: 1 })) }],
  ]
  it.each(wrong)('with %s is refused', async (_, filter) => {
    const server = await withData()
    const { collection } = good('knowledge/count')
    assert.equal(await statusOf(server, 'knowledge/count', { collection, filter }), 400)
    assert.equal(await statusOf(server, 'knowledge/delete', { collection, selection: { filter } }), 400)
  })

  it('of everything, and one that uses all there is, are taken', async () => {
    const server = await withData()
    const { collection } = good('knowledge/count')
    const value = { op: 'in', path: ['a', 'b'], values: ['x', 1, -0, true, null] }
    for (const filter of [
      { op: 'and', nodes: [] },
      { op: 'not', node: { op: 'or', nodes: [value, { op: 'exists', path: ['a'], exists: false }] } },
    ]) {
      assert.equal(await statusOf(server, 'knowledge/count', { collection, filter }), 200)
    }
  })
})

describe('a record', () => {
  const refused: readonly [method: string, change: object][] = [
    ['conversation/createSession', session({ state: '[]' })],
    ['conversation/createSession', session({ metadata: '{' })],
    ['conversation/createSession', session({ metadata: `{"a":${'['.repeat(200)}${']'.repeat(200)}}` })],
    ['conversation/createSession', session({ version: 0 })],
    ['conversation/createSession', session({ createdAt: 1e17 })],
    ['conversation/createSession', session({ id: 'x'.repeat(513) })],
    ['conversation/restore', { session: { ...good('conversation/restore').session, lastSeq: 0 } }],
    ['conversation/search', { search: { terms: ['Upper'], limit: 5 } }],
    ['conversation/search', { search: { terms: ['two words'], limit: 5 } }],
    ['conversation/search', { search: { terms: ['\0'], limit: 5 } }],
    ['conversation/listSessions', { query: { order: 'asc', limit: 5, metadata: { a: ['x'] } } }],
    ['conversation/listSessions', { query: { order: 'asc', limit: 5, metadata: { a: '\0' } } }],
    ['conversation/listSessions', { query: { order: 'asc', limit: 0 } }],
    ['conversation/listSessions', { query: { order: 'asc', limit: 10_001 } }],
    ['knowledge/write', documents({ embedding: '' })],
    ['knowledge/write', documents({ embedding: 'AAAAAAAA8H8=' })],
    ['knowledge/write', documents({ embedding: `${embedding}AAAA` })],
    ['knowledge/write', { documents: [document, document] }],
    ['knowledge/write', documents({ contentHash: 'zz' })],
    ['knowledge/write', documents({ escaped: true })],
    ['state/commit', { space: '', commit: { set: [{ key: '', value: 'x' }] } }],
    ['state/commit', { space: '', commit: { set: [{ key: 'k', value: { bytes: 'no base64' } }] } }],
    ['state/commit', { space: '', commit: { set: [{ key: 'k', value: 'x', ttlMs: 0 }] } }],
    ['state/commit', { space: '', commit: { set: [{ key: 'k', value: 'x' }], delete: ['k'] } }],
    ['state/commit', { space: '', commit: { add: [{ key: 'k', by: 0.5 }] } }],
    ['state/scan', { space: '', scan: { prefix: '', limit: 10_001 } }],
  ]
  it.each(refused)('%s %j is refused', async (method, change) => {
    assert.equal(await statusOf(await withData(), method, { ...good(method), ...change }), 400)
  })

  it('of another collection than what is stored is refused', async () => {
    const server = await withData()
    const { collection, ...rest } = good('knowledge/write')
    assert.equal(await statusOf(server, 'knowledge/write', { ...rest, collection }), 200)
    for (const change of [{ dimension: 3 }, { distance: 'dot' }, { name: 'other' }]) {
      assert.equal(await statusOf(server, 'knowledge/write', { ...rest, collection: { ...collection, ...change } }), 404)
    }
  })

  it('beyond what the backend declares is refused', async () => {
    const backend = Object.assign(await createMemory({}, localContext('state', 'memory')), {
      limits: { valueBytes: 10, batch: 2 },
    })
    const state = new StateStore(backend, { name: 'memory' })
    const server = await served({ conversation: 'memory', knowledge: 'memory', state })
    const commit = (set: object[]): Promise<number> => statusOf(server, 'state/commit', { space: '', commit: { set } })
    assert.equal(await commit([{ key: 'k', value: 'x'.repeat(10) }]), 200)
    assert.equal(await commit([{ key: 'k', value: 'ä'.repeat(6) }]), 413)
    assert.equal(await commit(['a', 'b', 'c'].map((key) => ({ key, value: 'x' }))), 413)
    assert.equal(await statusOf(server, 'state/get', { space: '', keys: ['a', 'b', 'c'] }), 413)
    const put = (body: string): Promise<Response> => fetch(`${server.url}/v1/state/value?key=k`, { method: 'PUT', body })
    assert.deepEqual([(await put('x'.repeat(10))).status, (await put('x'.repeat(11))).status], [204, 413])
  })
})

describe('a client that encrypts', () => {
  it('stores what the server cannot read, and reads it back', async () => {
    const server = await served()
    const at = { backend: 'holdfast', url: server.url } as const
    const encryption = { current: 'k', keys: { k: generateKey() } }
    await using db = await openPersistence({ config: false, conversation: at, knowledge: 'memory', state: at, encryption })
    await db.conversation.createSession({ id: 's', name: 'secret name', metadata: { a: 'secret' } })
    await db.conversation.addMessage('s', { role: 'user', content: 'secret \0', parts: [{ a: 'secret' }], toolCalls: [{}] })
    await db.state.set('k', { a: 'secret' })
    const [message] = await db.conversation.getMessages('s')
    assert.deepEqual([message?.content, message?.parts], ['secret \0', [{ a: 'secret' }]])
    assert.deepEqual(await db.state.get('k'), { a: 'secret' })
    const records = await server.db.conversation.core.backend.readMessages('', 's', { order: 'asc' })
    assert(!JSON.stringify(records).includes('secret'))
    const answer = await call(`${server.url}/v1/conversations/messages?session=s`, 'GET')
    assert.deepEqual([answer.status, (answer.body as { code: string }).code], [500, 'DECRYPTION_FAILED'])
  })
})
