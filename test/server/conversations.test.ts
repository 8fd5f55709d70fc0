/** Conversations over REST. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { call, queryOf, served, type TestServer } from './support.ts'

const at = ({ url }: TestServer, path: string, query: Record<string, string> = {}): string =>
  `${url}/v1/conversations/${path}?${queryOf({ workspace: 'w1', ...query })}`

interface Item {
  readonly id: string
  readonly seq: number
  readonly version: number
  readonly createdAt: string
}

const itemsOf = (body: unknown): Item[] => (body as { items: Item[] }).items

async function withSession(): Promise<TestServer> {
  const server = await served()
  assert.equal((await call(at(server, 'sessions'), 'POST', { id: 's', userId: 'ann', name: 'One' })).status, 201)
  return server
}

describe('sessions', () => {
  it('are created, read, changed under a condition, listed and deleted', async () => {
    const server = await served()
    const created = await call(at(server, 'sessions'), 'POST', { id: 's', userId: 'ann', metadata: { a: 1 } })
    assert.equal(created.status, 201)
    assert.equal(created.headers.get('etag'), '"1"')
    assert.equal((await call(at(server, 'sessions'), 'POST', { id: 's' })).status, 409)
    const read = await call(at(server, 'session', { session: 's' }), 'GET')
    assert.deepEqual(read.body, created.body)
    assert.equal(read.headers.get('etag'), '"1"')
    const change = (headers = {}): ReturnType<typeof call> =>
      call(at(server, 'session', { session: 's' }), 'PATCH', { name: 'Two', userId: null }, headers)
    assert.equal((await change({ 'if-match': '"1"' })).headers.get('etag'), '"2"')
    const stale = await change({ 'if-match': '"1"' })
    assert.deepEqual([stale.status, (stale.body as { code: string }).code], [412, 'CONFLICT'])
    assert.equal((await change({ 'if-match': '"no-version"' })).status, 412)
    for (const wrong of ['*', 'W/"1"', '1', '"1", "2"', '"'])
      assert.equal((await change({ 'if-match': wrong })).status, 400, wrong)
    const { body } = await change()
    assert.deepEqual([(body as Item).version, (body as { userId?: string }).userId], [3, undefined])
    assert.deepEqual((await call(at(server, 'session', { session: 's' }), 'DELETE')).body, { deleted: true })
    assert.deepEqual((await call(at(server, 'session', { session: 's' }), 'DELETE')).body, { deleted: false })
  })

  it('that are missing are NOT_FOUND', async () => {
    const server = await served()
    for (const [method, path, body] of [
      ['GET', 'session', undefined],
      ['PATCH', 'session', { name: 'x' }],
      ['POST', 'messages', { messages: [{ role: 'user', content: 'x' }] }],
    ] as const) {
      const { status, body: problem } = await call(at(server, path, { session: 'none' }), method, body)
      assert.deepEqual([status, (problem as { code: string }).code], [404, 'NOT_FOUND'], `${method} ${path}`)
    }
  })

  it('are listed page by page, by their fields', async () => {
    const server = await served()
    for (let i = 0; i < 5; i++) {
      await call(at(server, 'sessions'), 'POST', { id: `s${i}`, userId: i % 2 ? 'ann' : 'bob', metadata: { n: i } })
    }
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await call(at(server, 'sessions', { limit: '2', ...(cursor === undefined ? {} : { cursor }) }), 'GET')
      seen.push(...itemsOf(page.body).map(({ id }) => id))
      ;({ cursor } = page.body as { cursor?: string })
    } while (cursor !== undefined)
    assert.deepEqual(seen.toSorted(), ['s0', 's1', 's2', 's3', 's4'])
    const ofAnn = await call(at(server, 'sessions', { userId: 'ann', order: 'asc' }), 'GET')
    assert.deepEqual(
      itemsOf(ofAnn.body).map(({ id }) => id),
      ['s1', 's3'],
    )
    const byField = await call(at(server, 'sessions/list'), 'POST', { metadata: { n: 3 } })
    assert.deepEqual(
      itemsOf(byField.body).map(({ id }) => id),
      ['s3'],
    )
    assert.equal((await call(at(server, 'sessions', { cursor: 'bm9uc2Vuc2U' }), 'GET')).status, 400)
  })
})

describe('messages', () => {
  it('are appended, read in parts, changed and deleted', async () => {
    const server = await withSession()
    const messages = Array.from({ length: 5 }, (_, i) => ({ id: `m${i}`, role: 'user', content: `word${i} of five` }))
    const added = await call(at(server, 'messages', { session: 's', expectedSeq: '0' }), 'POST', { messages })
    assert.equal(added.status, 201)
    assert.deepEqual(
      itemsOf(added.body).map(({ seq }) => seq),
      [1, 2, 3, 4, 5],
    )
    assert.equal((await call(at(server, 'messages', { session: 's', expectedSeq: '0' }), 'POST', { messages })).status, 409)
    const seqs = async (query: Record<string, string>): Promise<number[]> =>
      itemsOf((await call(at(server, 'messages', { session: 's', ...query }), 'GET')).body).map(({ seq }) => seq)
    assert.deepEqual(await seqs({ limit: '2' }), [4, 5])
    assert.deepEqual(await seqs({ after: '1', before: '4' }), [2, 3])
    assert.deepEqual(await seqs({ order: 'desc' }), [5, 4, 3, 2, 1])
    const found = await call(at(server, 'search', { text: 'WORD3' }), 'GET')
    assert.deepEqual(
      itemsOf(found.body).map(({ id }) => id),
      ['m3'],
    )
    const changed = await call(at(server, 'message', { session: 's', message: 'm0' }), 'PATCH', { content: 'other' })
    assert.equal((changed.body as { content: string }).content, 'other')
    assert.equal((await call(at(server, 'message', { session: 's', message: 'none' }), 'PATCH', { content: 'x' })).status, 404)
    const remove = async (body: object): Promise<unknown> =>
      (await call(at(server, 'messages/delete', { session: 's' }), 'POST', body)).body
    assert.deepEqual(await remove({ ids: ['m0', 'none'] }), { deleted: 1 })
    assert.deepEqual(await remove({ ids: [] }), { deleted: 0 })
    assert.deepEqual(await remove({ afterSeq: 4 }), { deleted: 1 })
    assert.deepEqual(await remove({ all: true }), { deleted: 3 })
    assert.equal((await call(at(server, 'messages/delete', { session: 's' }), 'POST', {})).status, 400)
  })

  it('hold any JSON, and it comes back as it was', async () => {
    const server = await withSession()
    const hostile = String.raw`{"__proto__":{"x":1},"constructor":null,"":{},"a\n\"\\b":"\u0000","𝄞":"\ud800","toString":[],"z":-0,"n":1e-7,"list":[[],{}]}`
    const message = `{"id":"m","role":"user","content":"\\u0000 \\ud800 \\"'; DROP","metadata":${hostile},"parts":[${hostile}],"toolCalls":[]}`
    assert.equal((await call(at(server, 'messages', { session: 's' }), 'POST', `{"messages":[${message}]}`)).status, 201)
    const response = await fetch(at(server, 'messages', { session: 's' }))
    const text = await response.text()
    assert(text.includes(`"metadata":${hostile.replace(String.raw`\u0000`, String.raw`\u0000`)}`), text)
    assert(text.includes(`"parts":[${hostile}]`), text)
    const [item] = itemsOf(JSON.parse(text)) as unknown as { content: string; toolCalls: unknown }[]
    assert.deepEqual([item!.content, item!.toolCalls], ['\u0000 \ud800 "\'; DROP', []])
    const state = `{"state":${hostile},"metadata":${hostile}}`
    assert.equal((await call(at(server, 'session', { session: 's' }), 'PATCH', state)).status, 200)
    const session = await (await fetch(at(server, 'session', { session: 's' }))).text()
    assert(session.includes(`"state":${hostile}`) && session.includes(`"metadata":${hostile}`), session)
  })

  it('are refused with all that is wrong, and without their content', async () => {
    const server = await withSession()
    const messages = [{ role: 7, content: 'secret-content', extra: 1, metadata: [] }]
    const { status, body } = await call(at(server, 'messages', { session: 's' }), 'POST', { messages })
    const { code, detail } = body as { code: string; detail: string }
    assert.deepEqual([status, code], [400, 'INVALID_ARGUMENT'])
    for (const part of ['role', 'extra', 'metadata']) assert(detail.includes(part), detail)
    assert(!detail.includes('secret-content'))
  })
})
