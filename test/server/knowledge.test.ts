/** Knowledge over REST. */
import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { call, queryOf, served, type TestServer } from './support.ts'

const at = ({ url }: TestServer, path: string, query: Record<string, string> = {}): string =>
  `${url}/v1/knowledge/${path}?${queryOf({ workspace: 'w1', ...query })}`
const docs = { collection: 'docs' }

interface Item {
  readonly id: string
  readonly score: number
}

const idsOf = (body: unknown): string[] => (body as { items: Item[] }).items.map(({ id }) => id)

async function withDocuments(): Promise<TestServer> {
  const server = await served()
  assert.equal((await call(at(server, 'collections'), 'POST', { name: 'docs', dimension: 2 })).status, 201)
  const documents = [
    { id: 'a', content: 'first', embedding: [1, 0], metadata: { year: 2020 } },
    { id: 'b', content: 'second', embedding: [0, 1], metadata: { year: 2021 } },
    { id: 'c', content: 'third', embedding: [1, 1] },
  ]
  const added = await call(at(server, 'documents', docs), 'POST', { documents })
  assert.deepEqual([added.status, added.body], [201, { ids: ['a', 'b', 'c'] }])
  return server
}

describe('collections', () => {
  it('are created, described, listed and deleted', async () => {
    const server = await served()
    const settings = { name: 'docs', dimension: 3, distance: 'dot', fields: { year: 'number' } }
    assert.deepEqual((await call(at(server, 'collections'), 'POST', settings)).body, settings)
    assert.equal((await call(at(server, 'collections'), 'POST', settings)).status, 201)
    assert.equal((await call(at(server, 'collections'), 'POST', { ...settings, dimension: 4 })).status, 409)
    assert.deepEqual((await call(at(server, 'collection', docs), 'GET')).body, settings)
    assert.deepEqual((await call(at(server, 'collections'), 'GET')).body, { items: [settings] })
    assert.deepEqual((await call(at(server, 'collection', docs), 'DELETE')).body, { deleted: true })
    assert.equal((await call(at(server, 'collection', docs), 'GET')).status, 404)
  })

  it('that are missing are NOT_FOUND', async () => {
    const server = await served()
    for (const [method, path, body] of [
      ['POST', 'documents', { documents: [{ id: 'a', content: '', embedding: [1] }] }],
      ['POST', 'documents/get', { ids: ['a'] }],
      ['POST', 'documents/list', {}],
      ['POST', 'documents/count', {}],
      ['POST', 'documents/delete', { ids: ['a'] }],
      ['POST', 'search', { embedding: [1] }],
    ] as const) {
      assert.equal((await call(at(server, path, docs), method, body)).status, 404, `${method} ${path}`)
    }
  })
})

describe('documents', () => {
  it('are added, replaced, read, counted and deleted', async () => {
    const server = await withDocuments()
    const again = { documents: [{ id: 'a', content: 'anew', embedding: [1, 0] }] }
    assert.equal((await call(at(server, 'documents', docs), 'POST', again)).status, 409)
    assert.deepEqual((await call(at(server, 'documents', docs), 'PUT', again)).body, { ids: ['a'] })
    const read = await call(at(server, 'documents/get', docs), 'POST', { ids: ['a', 'none'], withEmbeddings: true })
    const [found] = (read.body as { items: { content: string; embedding: number[] }[] }).items
    assert.deepEqual([found!.content, found!.embedding], ['anew', [1, 0]])
    const count = async (body: object): Promise<unknown> => (await call(at(server, 'documents/count', docs), 'POST', body)).body
    assert.deepEqual(await count({}), { count: 3 })
    assert.deepEqual(await count({ filter: { year: 2021 } }), { count: 1 })
    const remove = async (body: object): Promise<unknown> => (await call(at(server, 'documents/delete', docs), 'POST', body)).body
    assert.deepEqual(await remove({ filter: { year: { $gte: 2021 } } }), { deleted: 1 })
    assert.deepEqual(await remove({ ids: ['a', 'none'] }), { deleted: 1 })
    assert.equal((await call(at(server, 'documents/delete', docs), 'POST', {})).status, 400)
  })

  it('are listed page by page', async () => {
    const server = await withDocuments()
    const list = (body: object): ReturnType<typeof call> => call(at(server, 'documents/list', docs), 'POST', body)
    const first = await list({ limit: 2 })
    assert.deepEqual(idsOf(first.body), ['a', 'b'])
    const { cursor } = first.body as { cursor: string }
    const second = await list({ limit: 2, cursor })
    assert.deepEqual([idsOf(second.body), (second.body as { cursor?: string }).cursor], [['c'], undefined])
    assert.equal((await list({ cursor: 'e30' })).status, 400)
    assert.deepEqual(idsOf((await list({ filter: { year: { $exists: true } } })).body), ['a', 'b'])
  })

  it('are found by their embedding', async () => {
    const server = await withDocuments()
    const search = (body: object): ReturnType<typeof call> => call(at(server, 'search', docs), 'POST', body)
    const { body } = await search({ embedding: [1, 0.1], limit: 2 })
    assert.deepEqual(idsOf(body), ['a', 'c'])
    assert((body as { items: Item[] }).items[0]!.score > 0.99)
    assert.deepEqual(idsOf((await search({ embedding: [1, 0], filter: { year: { $ne: 2020 } }, minScore: 0.5 })).body), ['c'])
    for (const wrong of [{}, { embedding: [1], limit: 1 }, { embedding: [0, 0] }, { embedding: [1, 0], text: 'x' }]) {
      assert.equal((await search(wrong)).status, 400, JSON.stringify(wrong))
    }
    // Nobody here makes embeddings of text.
    assert.equal((await search({ text: 'x' })).status, 400)
  })

  it('hold any metadata, and filters that are none are refused', async () => {
    const server = await withDocuments()
    const metadata = String.raw`{"__proto__":1,"":-0,"a\\b":"\u0000\ud800"}`
    const text = `{"documents":[{"id":"h","content":"\\u0000\\ud800","embedding":[1,2],"metadata":${metadata}}]}`
    assert.equal((await call(at(server, 'documents', docs), 'PUT', text)).status, 200)
    const response = await fetch(at(server, 'documents/get', docs), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"ids":["h"]}',
    })
    assert((await response.text()).includes(`"metadata":${metadata}`))
    for (const filter of [
      { $and: 1 },
      { $nope: 1 },
      { a: { $in: 5 } },
      { a: { $gt: null } },
      { $not: 7 },
      { a: [] },
      { '': 1 },
    ]) {
      const { status, body } = await call(at(server, 'documents/list', docs), 'POST', { filter })
      assert([400, 501].includes(status), `${JSON.stringify(filter)}: ${JSON.stringify(body)}`)
    }
    const deep = (levels: number): object => (levels === 0 ? { a: 1 } : { $not: deep(levels - 1) })
    assert.equal((await call(at(server, 'documents/list', docs), 'POST', { filter: deep(500) })).status, 400)
  })
})
