/** The `langchain` backend from outside: its options, its errors, what it costs, and what stays in which place. */
import { describe, expect, it } from 'vitest'
import { generateKey } from '../src/encryption/key-ring.ts'
import type { LangChainCollection } from '../src/knowledge/backends/langchain.ts'
import type { NewDocument } from '../src/knowledge/contract.ts'
import { encryptState } from '../src/state/encrypted.ts'
import { StateStore } from '../src/state/store.ts'
import type { StateBackend } from '../src/state/contract.ts'
import { over } from './conformance/broken/state/wrappers.ts'
import { builtIn } from './conformance/harness.ts'
import { fakeStore, memoryGround, openLangChain, ScanStore, sqliteGround, stateStore, type Habits } from './langchain-support.ts'

const DOCS = 'docs'

function doc(id: string, extra: Partial<NewDocument> = {}): NewDocument {
  return { id, content: `about ${id}`, embedding: [1, 2, 3], ...extra }
}

async function memoryState(): Promise<StateBackend> {
  return (await memoryGround()).state()
}

describe('options', () => {
  const create = async (options: object): Promise<unknown> => builtIn('knowledge').create('langchain', options as never)

  it('are checked, all problems in one error', async () => {
    const documents = stateStore(await memoryState())
    const store = new ScanStore('cosine')
    await expect(create({})).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(/store is required: .*; documents is required: /),
    })
    const wrong: [object, RegExp][] = [
      [{ store: {}, documents }, /store is no LangChain vector store: it has no addVectors, similaritySearchVectorWithScore/],
      [{ store: 7, documents }, /store is no LangChain vector store/],
      [{ store, documents: {} }, /documents must be a state store, not Object/],
      [{ store, documents: documents.workspace('w') }, /documents must be the whole store/],
      [{ store, documents, prefix: 'a:b' }, /prefix must be up to 64 letters/],
      [{ store, documents, visibility: 'soon' }, /visibility must be one of immediate, waited, eventual/],
      [{ store, documents, maxCandidates: 0 }, /maxCandidates must be at least 1/],
      [{ store, documents, url: 'langchain:' }, /unknown option "url"/],
    ]
    for (const [options, message] of wrong) {
      await expect(create(options)).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringMatching(message) })
    }
    const small = stateStore(over(await memoryState(), { limits: { valueBytes: 1_000 } }))
    await expect(create({ store, documents: small })).rejects.toMatchObject({
      message: expect.stringMatching(/65536 are needed/),
    })
  })

  it('say what the store can do', async () => {
    const state = await memoryState()
    const store = new ScanStore('cosine')
    const plain = await openLangChain(stateStore(state), { store })
    expect(plain.capabilities).toMatchObject({ insert: 'atomic', visibility: 'eventual', get: true, deleteByFilter: true })
    const small = over(state, {
      capabilities: { ...state.capabilities, commitKeys: 100 },
      limits: { valueBytes: 400_000, batch: 100 },
    })
    const modest = await openLangChain(stateStore(small), { store, visibility: 'waited' })
    expect(modest.capabilities).toMatchObject({ insert: 'checked', visibility: 'waited' })
    expect(modest.limits).toEqual({ contentBytes: 198_976, jsonBytes: 99_488, dimension: 24_872, batch: 50 })
    expect(await builtIn('knowledge').capabilities('langchain')).toBeUndefined()
    const aliased = await builtIn('knowledge').create('langchain_adapter', { store, documents: stateStore(state) })
    expect(aliased.backend).toBe('langchain')
  })

  it('store may be a function: one store for each collection, made anew where making it failed', async () => {
    const asked: LangChainCollection[] = []
    let fails = true
    const store = await openLangChain(stateStore(await memoryState()), {
      store: async (collection) => {
        asked.push(collection)
        if (fails) throw new Error('connect ECONNREFUSED redis://user:secret@host')
        return new ScanStore(collection.distance)
      },
    })
    const work = store.workspace('w')
    await work.createCollection(DOCS, { dimension: 3, distance: 'dot' })
    const failed = work.insert(DOCS, [doc('a')])
    await expect(failed).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    await expect(failed).rejects.not.toThrow(/secret/)
    fails = false
    await work.insert(DOCS, [doc('a')])
    await work.search(DOCS, { embedding: [1, 0, 0] })
    expect(asked.length).toBe(2)
    expect(asked[1]).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      workspace: 'w',
      name: DOCS,
      dimension: 3,
      distance: 'dot',
    })
    await work.deleteCollection(DOCS)
    await work.createCollection(DOCS, { dimension: 3 })
    await work.insert(DOCS, [doc('a')])
    expect(asked.at(-1)?.id).not.toBe(asked[1]?.id)
  })

  it('store may give what is no store: that is said', async () => {
    const store = await openLangChain(stateStore(await memoryState()), { store: () => ({}) as never })
    await store.createCollection(DOCS, { dimension: 3 })
    await expect(store.insert(DOCS, [doc('a')])).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(/option `store` gave is no LangChain vector store/),
    })
  })

  it('one store may serve several collections, workspaces and knowledge stores', async () => {
    const vectors = new ScanStore('cosine')
    const documents = stateStore(await memoryState())
    const [one, two] = [
      await openLangChain(documents, { store: vectors }),
      await openLangChain(documents, { store: vectors, prefix: 'two' }),
    ]
    const places = [one, one.workspace('w'), two]
    for (const [i, place] of places.entries()) {
      for (const name of ['x', 'y']) {
        await place.createCollection(name, { dimension: 3 })
        await place.insert(name, [doc(`${name}${i}`), doc('same', { content: `${name}${i}` })])
      }
    }
    for (const [i, place] of places.entries()) {
      for (const name of ['x', 'y']) {
        const hits = await place.search(name, { embedding: [1, 2, 3], limit: 10 })
        expect(Object.fromEntries(hits.map(({ id, content }) => [id, content]))).toEqual({
          same: `${name}${i}`,
          [`${name}${i}`]: `about ${name}${i}`,
        })
      }
    }
    expect((await one.listWorkspaces()).items).toEqual(['', 'w'])
    expect((await one.listWorkspaces({ limit: 1 })).items).toEqual([''])
    expect((await two.listWorkspaces()).items).toEqual([''])
    expect(await one.clear()).toEqual({ collections: 2, documents: 4 })
    expect((await one.listWorkspaces()).items).toEqual(['w'])
    expect(vectors.rows.length).toBe(8)
  })

  it('toDocument says what LangChain’s own retrievers find; without it the vector store learns nothing', async () => {
    const vectors = fakeStore('cosine')
    const documents = stateStore(await memoryState())
    const store = await openLangChain(documents, {
      store: vectors,
      toDocument: ({ id, content, metadata }) => ({ pageContent: content, metadata: { ...metadata, source: id } }),
    })
    await store.createCollection(DOCS, { dimension: 4 })
    await store.insert(DOCS, [doc('a', { embedding: [1, 0, 0, 0], content: 'On tides', metadata: { year: 1998 } })])
    const [found] = await vectors.asRetriever(1).invoke('anything')
    expect(found).toMatchObject({ pageContent: 'On tides', metadata: { year: 1998, source: 'a' } })

    const silent = await openLangChain(documents, { store: vectors, prefix: 'silent' })
    await silent.createCollection(DOCS, { dimension: 4 })
    await silent.insert(DOCS, [doc('secret-id', { embedding: [1, 0, 0, 0], content: 'secret', metadata: { secret: 1 } })])
    expect(JSON.stringify(vectors.memoryVectors.at(-1))).not.toContain('secret')

    const bad = await openLangChain(documents, { store: vectors, prefix: 'bad', toDocument: () => ({}) as never })
    await bad.createCollection(DOCS, { dimension: 4 })
    await expect(bad.insert(DOCS, [doc('a', { embedding: [1, 0, 0, 0] })])).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    expect(await bad.count(DOCS)).toBe(0)
  })

  it('drop removes the index of a deleted collection in one', async () => {
    const dropped: LangChainCollection[] = []
    const vectors = new ScanStore('cosine')
    const store = await openLangChain(stateStore(await memoryState()), {
      store: vectors,
      drop: (collection) => void dropped.push(collection),
    })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a'), doc('b')])
    await store.deleteCollection(DOCS)
    expect(dropped).toMatchObject([{ name: DOCS, workspace: '', dimension: 3 }])
    expect(vectors.calls).toEqual(['addVectors'])
    await store.createCollection(DOCS, { dimension: 3 })
    expect(dropped.length).toBe(1)
  })

  it('documents may be encrypted: what was written is then in neither place', async () => {
    const backend = await memoryState()
    const state = encryptState(backend, { current: 'k', keys: { k: generateKey() } })
    const documents = new StateStore(state, { name: 'sidecar' })
    const vectors = new ScanStore('cosine')
    const store = await openLangChain(documents, { store: vectors })
    await store.createCollection('hidden-name', { dimension: 3 })
    await store.insert('hidden-name', [doc('a', { content: 'hidden-content', metadata: { hidden: 'metadata' } })])
    expect((await store.get('hidden-name', ['a']))[0]).toMatchObject({
      content: 'hidden-content',
      metadata: { hidden: 'metadata' },
    })
    const spaces = await backend.listSpaces!({ prefix: '', limit: 100 })
    for (const space of spaces) {
      const keys = await backend.scan(space, { prefix: '', limit: 100 })
      const values = (await backend.get(space, keys)).map((entry) => Buffer.from(entry!.value as Uint8Array).toString('latin1'))
      expect([space, ...keys, ...values].join()).not.toMatch(/hidden/)
    }
    expect(JSON.stringify(vectors.rows)).not.toMatch(/hidden/)
  })
})

describe('what is the caller’s stays open', () => {
  it('closing the knowledge store closes neither place; a closed sidecar is said', async () => {
    const documents = stateStore(await memoryState())
    const vectors = new ScanStore('cosine')
    const store = await openLangChain(documents, { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.close()
    await documents.ping()
    const again = await openLangChain(documents, { store: vectors })
    expect(await again.collectionExists(DOCS)).toBe(true)
    await documents.close()
    await expect(again.listCollections()).rejects.toMatchObject({
      code: 'STORE_CLOSED',
      message: expect.stringMatching(/documents/),
      backend: 'langchain',
    })
  })
})

describe('errors of the vector store', () => {
  const throwing = (error: unknown): Habits => ({
    before: () => {
      throw error
    },
  })
  const cases: [string, object, string][] = [
    ['a wrong key', Object.assign(new Error('bad key'), { status: 401 }), 'UNAUTHORIZED'],
    ['a forbidden index', Object.assign(new Error('no'), { response: { status: 403 } }), 'UNAUTHORIZED'],
    ['throttling', Object.assign(new Error('slow down'), { statusCode: 429 }), 'RATE_LIMITED'],
    ['what it cannot do', new Error('Not implemented.'), 'UNSUPPORTED'],
    ['anything else', Object.assign(new Error('oops'), { code: 'ECONNRESET' }), 'UNAVAILABLE'],
  ]
  it.each(cases)('%s', async (_, thrown, code) => {
    const vectors = new ScanStore('cosine')
    const store = await openLangChain(stateStore(await memoryState()), { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a')])
    vectors.habits = throwing(thrown)
    await expect(store.insert(DOCS, [doc('b')])).rejects.toMatchObject({ code, outcome: 'not-applied', cause: thrown })
    await expect(store.search(DOCS, { embedding: [1, 0, 0] })).rejects.toMatchObject({ code })
    expect(await store.count(DOCS)).toBe(1)
  })

  it('hold no secret of its URLs', async () => {
    const store = await openLangChain(stateStore(await memoryState()), {
      store: new ScanStore('cosine', throwing(new Error('connect https://user:hunter2@host/?api_key=hunter2'))),
    })
    await store.createCollection(DOCS, { dimension: 3 })
    await expect(store.insert(DOCS, [doc('b')])).rejects.toMatchObject({ message: expect.not.stringMatching(/hunter2/) })
  })

  it('a search that gives no list is none', async () => {
    const vectors = { addVectors: async () => undefined, similaritySearchVectorWithScore: async () => undefined as never }
    const store = await openLangChain(stateStore(await memoryState()), { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a')])
    await expect(store.search(DOCS, { embedding: [1, 0, 0] })).rejects.toMatchObject({ code: 'INVALID_BACKEND' })
  })

  it('what a store holds of others is passed over', async () => {
    const vectors = new ScanStore('cosine')
    const foreign = [{}, { holdfast: 7 }, { holdfast: 'd00' }, { holdfast: `d${'0'.repeat(32)}6161` }]
    await vectors.addVectors(
      foreign.map(() => [1, 2, 3]),
      foreign.map((metadata) => ({ pageContent: 'not ours', metadata })),
      { ids: ['1', '2', '3', '4'] },
    )
    const store = await openLangChain(stateStore(await memoryState()), { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a', { embedding: [-1, 2, 3] })])
    expect((await store.search(DOCS, { embedding: [1, 2, 3], limit: 1 })).map(({ id }) => id)).toEqual(['a'])
  })
})

describe('what it costs', () => {
  /** Calls of the sidecar and of the vector store, in their order. */
  async function counted(): Promise<{ store: Awaited<ReturnType<typeof openLangChain>>; calls: string[]; vectors: ScanStore }> {
    const calls: string[] = []
    const backend = await memoryState()
    const state = over(backend, {
      get: (...args) => (calls.push('get'), backend.get(...args)),
      commit: (...args) => (calls.push('commit'), backend.commit(...args)),
      scan: (...args) => (calls.push('scan'), backend.scan(...args)),
    })
    const vectors = new ScanStore('cosine', { before: (method) => void calls.push(method) })
    const store = await openLangChain(stateStore(state), { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(
      DOCS,
      Array.from({ length: 2_000 }, (_, i) =>
        doc(`d${i}`, { embedding: [1, i, 1], metadata: { even: i % 2 === 0, rare: i % 900 === 0 } }),
      ),
    )
    calls.length = 0
    vectors.calls.length = 0
    return { store, calls, vectors }
  }

  it('calls of each operation', async () => {
    const { store, calls, vectors } = await counted()
    const cost = async (work: Promise<unknown>): Promise<string> => {
      await work
      return calls.splice(0).join(' ')
    }
    expect(await cost(store.search(DOCS, { embedding: [1, 0, 0] }))).toBe('get search get')
    expect(await cost(store.search(DOCS, { embedding: [1, 0, 0], filter: { even: true } }))).toBe('get search get')
    expect(await cost(store.get(DOCS, ['d1', 'd2']))).toBe('get get')
    expect(await cost(store.insert(DOCS, [doc('new'), doc('new2')]))).toBe('get get commit addVectors commit commit')
    expect(await cost(store.upsert(DOCS, [doc('new'), doc('new3')]))).toBe('get get commit addVectors commit delete commit')
    expect(await cost(store.delete(DOCS, { ids: ['new', 'new2', 'new3'] }))).toBe('get get commit commit delete commit')
    expect(await cost(store.list(DOCS, { limit: 100 }))).toBe('get scan get')
    expect(vectors.calls).toContain('search 5')
  })

  it('a filter that few pass asks for more and more neighbours, and then looks at every document', async () => {
    const { store, vectors } = await counted()
    const hits = await store.search(DOCS, { embedding: [1, 0, 0], limit: 2, filter: { rare: true } })
    expect(hits.map(({ id }) => id)).toEqual(['d0', 'd900'])
    expect(vectors.calls).toEqual(['search 8', 'search 32', 'search 128', 'search 512', 'search 1000'])
    vectors.calls.length = 0
    const all = await store.search(DOCS, { embedding: [1, 0, 0], limit: 5, filter: { rare: true } })
    expect(all.map(({ id }) => id)).toEqual(['d0', 'd900', 'd1800'])
    expect(vectors.calls.at(-1)).toBe('search 1000')
  })

  it('an approximate index may miss neighbours, never hits', async () => {
    const { store, vectors } = await counted()
    vectors.habits = { misses: 3 }
    const ids = (await store.search(DOCS, { embedding: [1, 0, 0], limit: 10 })).map(({ id }) => id)
    expect(ids).toEqual([1, 2, 4, 5, 7, 8, 10, 11, 13, 14].map((i) => `d${i}`))
    expect((await store.search(DOCS, { embedding: [1, 0, 0], limit: 1_500 })).length).toBe(1_500)
    vectors.habits = { metric: 'dot', atMost: 40 }
    expect((await store.search(DOCS, { embedding: [1, 0, 0], limit: 100 })).map(({ id }) => id).slice(0, 3)).toEqual([
      'd0',
      'd1',
      'd2',
    ])
  })
})

describe('data', () => {
  it('that is damaged is said, and can be replaced and deleted', async () => {
    const ground = await sqliteGround()
    const vectors = new ScanStore('cosine')
    const state = await ground.state()
    const store = await openLangChain(stateStore(state), { store: vectors })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a'), doc('b'), doc('c')])
    const [space] = await state.listSpaces!({ prefix: 'kd:', limit: 1 })
    for (const [key, value] of Object.entries({
      a: new Uint8Array([1, 2]),
      b: new Uint8Array([2, 0, 0, 0, 123, 125]),
      c: 'text',
    }))
      await state.commit(space!, { set: [{ key, value }] })
    for (const id of ['a', 'b', 'c']) {
      await expect(store.get(DOCS, [id])).rejects.toMatchObject({
        code: 'CORRUPT',
        message: expect.stringMatching(JSON.stringify(id)),
      })
    }
    await store.upsert(DOCS, [doc('a')])
    expect((await store.get(DOCS, ['a']))[0]?.content).toBe('about a')
    expect(await store.delete(DOCS, { ids: ['b'] })).toBe(1)
    expect(await store.deleteCollection(DOCS)).toBe(true)
    expect(await state.listSpaces!({ prefix: '', limit: 10 })).toEqual([])
    await state.close()
    await ground.remove()
  })
})
