import { describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../src/errors.ts'
import { create } from '../src/knowledge/backends/memory.ts'
import type {
  DocumentRecord,
  Embed,
  HitRecord,
  KnowledgeBackend,
  KnowledgeCapabilities,
  KnowledgeStoreOptions,
  NewDocument,
  SearchQuery,
} from '../src/knowledge/contract.ts'
import { KnowledgeStore } from '../src/knowledge/store.ts'
import type { Limits } from '../src/store/contract.ts'

async function memory(): Promise<KnowledgeBackend> {
  return create({}, { kind: 'knowledge', name: 'memory', loadClient: () => Promise.reject(new Error('needs none')) })
}

interface Setup extends KnowledgeStoreOptions {
  readonly capabilities?: Partial<KnowledgeCapabilities>
  readonly limits?: Limits
  /** Replaces methods of the backend. */
  readonly methods?: (backend: KnowledgeBackend) => Partial<KnowledgeBackend>
}

/** A store over the memory backend, changed as the test needs it, with a collection `c` of two dimensions. */
async function setup({ capabilities, limits = {}, methods, ...options }: Setup = {}): Promise<{
  store: KnowledgeStore
  backend: KnowledgeBackend
}> {
  const inner = await memory()
  const changed: Partial<KnowledgeBackend> = methods?.(inner) ?? {}
  const backend = new Proxy(inner, {
    get(target, name) {
      if (name === 'capabilities') return { ...target.capabilities, ...capabilities }
      if (name === 'limits') return limits
      const member: unknown = Reflect.get(Object.hasOwn(changed, name) ? changed : target, name)
      return typeof member === 'function' ? (...args: unknown[]): unknown => Reflect.apply(member, target, args) : member
    },
  })
  const store = new KnowledgeStore(backend, { name: 'fake', ...options })
  await store.createCollection('c', { dimension: 2 })
  return { store, backend }
}

function doc(id: string, extra: Partial<NewDocument> = {}): NewDocument {
  return { id, content: `about ${id}`, embedding: [1, 1], ...extra }
}

function docs(...ids: string[]): NewDocument[] {
  return ids.map((id) => doc(id))
}

async function refused(calls: readonly Promise<unknown>[], like: object): Promise<void> {
  await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject(like)))
}

function unavailable(outcome: 'unknown' | 'not-applied'): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the connection was lost', { outcome })
}

async function ids(store: KnowledgeStore): Promise<string[]> {
  return (await store.list('c')).items.map(({ id }) => id)
}

/** A `write` that fails as told, call by call: before the work, or after it as when the answer is lost. */
function failing(backend: KnowledgeBackend, failures: readonly ('before' | 'after' | 'no')[]): KnowledgeBackend['write'] {
  let call = 0
  return async (...args) => {
    const failure = failures[call++] ?? 'no'
    if (failure === 'before') throw unavailable('unknown')
    await backend.write(...args)
    if (failure === 'after') throw unavailable('unknown')
  }
}

describe('insert after an outage', () => {
  it.each(['before', 'after'] as const)('succeeds once and once only when the connection is lost %s the work', async (when) => {
    const { store } = await setup({ methods: (backend) => ({ write: failing(backend, [when]) }) })
    expect(await store.insert('c', [doc('a'), doc('b', { metadata: { x: [1] } })])).toEqual(['a', 'b'])
    expect(await ids(store)).toEqual(['a', 'b'])
  })

  it('keeps the minted ids over its attempts', async () => {
    const { store } = await setup({ methods: (backend) => ({ write: failing(backend, ['before', 'after']) }) })
    const minted = await store.insert('c', [{ content: 'x', embedding: [1, 0] }])
    expect(await ids(store)).toEqual(minted)
  })

  it.each<[string, Partial<NewDocument>]>([
    ['content', { content: 'another' }],
    ['metadata', { metadata: { y: 1 } }],
    ['embedding', { embedding: [1, 2] }],
    ['time', { createdAt: new Date(7) }],
  ])('is a CONFLICT when what it meets has another %s', async (_, other) => {
    const { store, backend } = await setup({ methods: (backend) => ({ write: failing(backend, ['no', 'before']) }) })
    const createdAt = new Date(5)
    await store.insert('c', [doc('a', { createdAt, ...other })])
    await expect(store.insert('c', [doc('a', { createdAt })])).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await backend.count?.('', { name: 'c', dimension: 2, distance: 'cosine', fields: {} }, undefined)).toBe(1)
  })

  it('is a CONFLICT at once without an outage, however equal the document', async () => {
    const { store } = await setup()
    const document = doc('a', { createdAt: new Date(5) })
    await store.insert('c', [document])
    await expect(store.insert('c', [document])).rejects.toMatchObject({ code: 'CONFLICT', outcome: 'not-applied' })
  })

  it('is not sent again where nothing can be read back', async () => {
    const write = vi.fn<KnowledgeBackend['write']>(() => Promise.reject(unavailable('unknown')))
    const { store } = await setup({ capabilities: { get: false }, methods: () => ({ write }) })
    await expect(store.insert('c', [doc('a')])).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(write).toHaveBeenCalledTimes(1)
  })

  it('adds what is missing where a part of it was left', async () => {
    const { store } = await setup({
      capabilities: { insert: 'checked' },
      methods: (backend) => {
        const write = failing(backend, ['after'])
        let first = true
        return {
          write: async (workspace, collection, documents, mode) => {
            const part = first ? documents.slice(0, 1) : documents
            first = false
            await write(workspace, collection, part, mode)
          },
        }
      },
    })
    await store.insert('c', [doc('a'), doc('b'), doc('d')])
    expect(await ids(store)).toEqual(['a', 'b', 'd'])
  })
})

describe('batches', () => {
  it('splits upserts, gets and deletes, and goes on after an outage where it was', async () => {
    const sizes: number[] = []
    const { store } = await setup({
      limits: { batch: 2 },
      methods: (backend) => {
        const write = failing(backend, ['no', 'after'])
        const get: KnowledgeBackend['get'] = (w, c, ids, ...rest) => (sizes.push(-ids.length), backend.get!(w, c, ids, ...rest))
        return { get, write: (w, c, documents, mode) => (sizes.push(documents.length), write(w, c, documents, mode)) }
      },
    })
    const names = ['a', 'b', 'd', 'e', 'f']
    expect(await store.upsert('c', docs(...names))).toEqual(names)
    expect(sizes).toEqual([2, 2, 2, 1])
    const found = await store.get('c', ['f', 'a', 'nope', 'a', 'd'])
    expect(found.map(({ id }) => id)).toEqual(['f', 'a', 'a', 'd'])
    expect(sizes.slice(4)).toEqual([-2, -2])
    expect(await store.delete('c', { ids: ['a', 'a', 'b', 'x', 'd'] })).toBe(3)
  })

  it('refuses an atomic insert beyond the limit', async () => {
    const { store } = await setup({ limits: { batch: 2 } })
    await expect(store.insert('c', docs('a', 'b', 'd'))).rejects.toMatchObject({
      code: 'VALUE_TOO_LARGE',
      message: expect.stringContaining('limits.batch'),
    })
    expect(await ids(store)).toEqual([])
  })
})

describe('a write in parts', () => {
  it('splits a checked insert, and looks all ids up before it writes the first part', async () => {
    const { store } = await setup({ limits: { batch: 2 }, capabilities: { insert: 'checked' } })
    await store.insert('c', docs('a', 'b', 'd'))
    await expect(store.insert('c', docs('e', 'f', 'a'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(await ids(store)).toEqual(['a', 'b', 'd'])
  })

  it('does not call a half-done write "not applied"', async () => {
    const { store } = await setup({
      limits: { batch: 1 },
      retries: 0,
      methods: (backend) => ({
        write: async (workspace, collection, documents, mode) => {
          if (documents[0]!.id === 'b') throw unavailable('not-applied')
          await backend.write(workspace, collection, documents, mode)
        },
      }),
    })
    await expect(store.upsert('c', [doc('b'), doc('a')])).rejects.toMatchObject({ outcome: 'not-applied' })
    await expect(store.upsert('c', [doc('a'), doc('b')])).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
  })
})

const BAD_EMBEDDINGS: [what: string, made: unknown][] = [
  ['too few', []],
  [
    'too many',
    [
      [1, 1],
      [1, 1],
    ],
  ],
  ['another dimension', [[1]]],
  ['no array', 'x'],
  ['texts', [['1', '2']]],
  ['NaN', [[Number.NaN, 1]]],
  ['no direction', [[0, 0]]],
]

describe('embed', () => {
  const byLength: Embed = (texts) => texts.map((text) => [text.length, 1])

  it('makes the embeddings that are missing, in one call, and those of queries', async () => {
    const embed = vi.fn<Embed>(byLength)
    const { store } = await setup({ embed })
    const lone = '\ud800 lone'
    await store.insert('c', [{ id: 'a', content: lone }, doc('b', { embedding: [0, 1] }), { id: 'd', content: '' }])
    expect(embed.mock.calls).toEqual([[[lone, '']]])
    const found = await store.get('c', ['a', 'b', 'd'])
    expect(found.map(({ embedding }) => embedding)).toEqual(
      [
        [6, 1],
        [0, 1],
        [0, 1],
      ].map((floats) => Float32Array.from(floats)),
    )
    expect((await store.search('c', { text: 'longer', limit: 1 }))[0]).toMatchObject({ id: 'a', score: 1 })
  })

  it('is shared with the views, and asked only once over the attempts of a write', async () => {
    const embed = vi.fn<Embed>(byLength)
    const { store } = await setup({ embed, methods: (backend) => ({ write: failing(backend, ['before', 'before']) }) })
    const view = store.workspace('w')
    await view.createCollection('c', { dimension: 2 })
    await view.insert('c', [{ content: 'x' }])
    expect(embed).toHaveBeenCalledTimes(1)
  })

  it('is missed with a remedy', async () => {
    const { store } = await setup()
    await refused([store.insert('c', [{ content: 'x' }]), store.search('c', { text: 'x' })], {
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('`embed`'),
    })
  })

  it.each(BAD_EMBEDDINGS)('is not believed: %s', async (_, made) => {
    const { store } = await setup({ embed: () => made as number[][] })
    await refused([store.upsert('c', [{ content: 'x' }]), store.search('c', { text: 'x' })], { code: 'INVALID_ARGUMENT' })
    expect(await ids(store)).toEqual([])
  })

  it('may fail without harm, and without telling secrets', async () => {
    const cause = new Error('401 from https://user:pw@host/embed?api_key=sk-123')
    const { store } = await setup({ retries: 0, embed: () => Promise.reject(cause) })
    const error: unknown = await store.insert('c', [{ content: 'x' }]).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied', cause })
    expect((error as Error).message).not.toMatch(/pw|sk-123/)
  })
})

describe('search', () => {
  it('scores what the backend leaves unscored, and puts it in order', async () => {
    const unscored = (backend: KnowledgeBackend): Partial<KnowledgeBackend> => ({
      search: async (workspace, collection, query) => {
        const found = await backend.search(workspace, collection, { ...query, withEmbeddings: true })
        return found.map(({ score: _score, ...record }): HitRecord => record).toReversed()
      },
    })
    const { store } = await setup({ methods: unscored })
    await store.insert('c', [doc('b', { embedding: [2, 2] }), doc('a', { embedding: [1, 1] }), doc('z', { embedding: [0, 3] })])
    const hits = await store.search('c', { embedding: [1, 1] })
    expect(hits.map(({ id }) => id)).toEqual(['a', 'b', 'z'])
    expect(hits[2]!.score).toBeCloseTo(Math.SQRT1_2, 6)
    expect(hits[0]).not.toHaveProperty('embedding')
  })

  it('says so when a backend gives neither score nor embedding', async () => {
    const record: DocumentRecord = { id: 'a', content: '', escaped: false, metadata: '{}', contentHash: '', createdAt: 0 }
    const { store } = await setup({ methods: () => ({ search: async () => [record] }) })
    await expect(store.search('c', { embedding: [1, 1] })).rejects.toMatchObject({ code: 'INVALID_BACKEND' })
  })

  it('takes exactly one of embedding and text, and a sensible minScore', async () => {
    const { store } = await setup({ embed: () => [[1, 1]] })
    const bad: unknown[] = [{}, { embedding: [1, 1], text: 'x' }, { embedding: [1, 1], minScore: Number.NaN }]
    for (const query of bad)
      await expect(store.search('c', query as SearchQuery)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    for (const query of [undefined, { text: 7 }, { embedding: [1, 1], minScore: '1' }]) {
      await expect(store.search('c', query as unknown as SearchQuery)).rejects.toBeInstanceOf(TypeError)
    }
  })

  it('is not confused by what the caller does to the query meanwhile', async () => {
    const { store } = await setup()
    await store.insert('c', [doc('a', { metadata: { x: 1 } }), doc('b', { metadata: { x: 2 } })])
    const query = { embedding: [1, 1], filter: { x: 1 } }
    const searching = store.search('c', query)
    const deleting = store.delete('c', { filter: query.filter })
    query.filter.x = 2
    query.embedding.fill(Number.NaN)
    expect((await searching).map(({ id }) => id)).toEqual(['a'])
    expect(await deleting).toBe(1)
    expect(await ids(store)).toEqual(['b'])
  })
})

describe('refusals', () => {
  it('refuses two documents with one id in one batch', async () => {
    const { store } = await setup()
    await refused([store.insert('c', [doc('a'), doc('a')]), store.upsert('c', [doc('a'), doc('a')])], {
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('"a"'),
    })
  })

  it('refuses queries of another dimension and, under cosine, without direction', async () => {
    const { store } = await setup()
    for (const embedding of [[1], [0, 0], [1e-60, 0], [1e39, 0]]) {
      await expect(store.search('c', { embedding })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })

  it('checks declared fields down their paths, and the elements of arrays', async () => {
    const { store } = await setup()
    await store.createCollection('d', { dimension: 2, fields: { 'a.b': 'number', tags: 'string', ['__proto__']: 'string' } })
    const good = [{ a: { b: 1 } }, { a: [{ b: 1 }, {}] }, { tags: ['x', null] }, { a: null, tags: null }]
    await store.insert(
      'd',
      good.map((metadata, i) => doc(`${i}`, { metadata })),
    )
    for (const metadata of [
      { a: { b: 'x' } },
      { a: [{ b: 1 }, { b: true }] },
      { tags: ['x', 1] },
      JSON.parse('{"__proto__":1}') as object,
    ]) {
      await expect(store.insert('d', [doc('x', { metadata: { ...metadata } })])).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      })
    }
    expect(Object.keys((await store.describeCollection('d'))!.fields)).toEqual(['a.b', 'tags', '__proto__'])
  })

  it('needs fields declared where the backend does', async () => {
    const { store } = await setup({
      capabilities: { filter: { exists: true, null: true, arrays: true, nested: true, declared: true } },
    })
    const calls = [store.count('c', { x: 1 }), store.list('c', { filter: { x: 1 } }), store.delete('c', { filter: { x: 1 } })]
    await refused(calls, { code: 'UNSUPPORTED', message: expect.stringContaining('"x"') })
  })

  it('refuses a cursor of another collection', async () => {
    const { store } = await setup()
    await store.createCollection('d', { dimension: 2 })
    await store.insert('c', [doc('a'), doc('b')])
    const { cursor } = await store.list('c', { limit: 1 })
    await expect(store.list('d', { cursor })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('the store itself', () => {
  it('deletes all by an empty filter, and only then', async () => {
    const { store } = await setup()
    await store.insert('c', [doc('a'), doc('b')])
    expect(await store.delete('c', { ids: [] })).toBe(0)
    expect(await store.delete('c', { filter: {} })).toBe(2)
  })

  it('clears its workspace and counts what went', async () => {
    const { store } = await setup()
    const other = store.workspace('other')
    await other.createCollection('c', { dimension: 2 })
    await store.insert('c', [doc('a'), doc('b')])
    await store.createCollection('d', { dimension: 2 })
    expect(await store.clear()).toEqual({ collections: 2, documents: 2 })
    expect(await store.listCollections()).toEqual([])
    expect(await other.collectionExists('c')).toBe(true)
  })

  it('refuses a backup where the backend has none', async () => {
    const { store } = await setup()
    await expect(store.backupTo('/nowhere')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })
})
