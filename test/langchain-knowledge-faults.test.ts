/** LangChain.js vector stores that fail, and processes that die between the two places: what exists stays findable, and nothing is left behind. */
import assert from 'node:assert/strict'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { NewDocument } from '../src/knowledge/contract.ts'
import type { KnowledgeStore } from '../src/knowledge/store.ts'
import type { StateBackend, StateCommit } from '../src/state/contract.ts'
import { over } from './conformance/broken/state/wrappers.ts'
import { memoryGround, openLangChain, ScanStore, stateStore, type Habits, type Options } from './langchain-support.ts'

const DOCS = 'docs'
const A_WHILE_MS = 16 * 60_000

interface Bench {
  readonly state: StateBackend
  readonly vectors: ScanStore
  /** Another process: only the two places are the same. */
  open(options?: Options & { readonly state?: StateBackend }): Promise<KnowledgeStore>
}

async function bench(habits: Habits = {}): Promise<Bench> {
  const ground = await memoryGround()
  const state = await ground.state()
  const vectors = new ScanStore('cosine', habits)
  return {
    state,
    vectors,
    open: ({ state: own = state, ...options } = {}) =>
      openLangChain(stateStore(own), { store: vectors, visibility: 'immediate', ...options }),
  }
}

function doc(id: string, x = 1): NewDocument {
  return { id, content: `about ${id}`, embedding: [x, 1, 0] }
}

/** Everything that says what there is says the same. */
async function assertHolds(store: KnowledgeStore, ids: readonly string[]): Promise<void> {
  const sorted = ids.toSorted()
  expect((await store.get(DOCS, ids)).map(({ id }) => id)).toEqual(ids)
  expect((await store.list(DOCS, { limit: 1_000 })).items.map(({ id }) => id)).toEqual(sorted)
  expect(await store.count(DOCS)).toBe(ids.length)
  const hits = await store.search(DOCS, { embedding: [1, 1, 1], limit: 1_000 })
  expect(hits.map(({ id }) => id).toSorted()).toEqual(sorted)
}

/** Of the spaces whose names begin so, all keys. */
async function keysIn(state: StateBackend, prefix: string): Promise<string[]> {
  const spaces = await state.listSpaces!({ prefix, limit: 1_000 })
  return (await Promise.all(spaces.map((space) => state.scan(space, { prefix: '', limit: 1_000 })))).flat()
}

/** Vectors in the store, notes and graves in the sidecar: no more than the documents need. */
async function assertClean({ vectors, state }: Bench, documents: number): Promise<void> {
  expect(vectors.rows.length).toBe(documents)
  const keys = await keysIn(state, 'k:')
  expect(keys.filter((key) => !key.startsWith('c:'))).toEqual([])
  expect((await keysIn(state, 'kd:')).length).toBe(documents)
}

function failing(method: string, when: 'before' | 'after' = 'before'): Habits {
  return {
    [when]: (called: string) => {
      if (called === method) throw new Error('fetch failed')
    },
  }
}

/** The sidecar of a process that dies: the commit that `dies` picks never comes to anything, nor does any later one. */
function dying(state: StateBackend, dies: (space: string, commit: StateCommit) => boolean): StateBackend {
  let isDead = false
  return over(state, {
    commit: (space, commit, call) => {
      isDead ||= dies(space, commit)
      return isDead ? Promise.reject(new Error('the process is gone')) : state.commit(space, commit, call)
    },
  })
}

const writesDocuments = (space: string): boolean => space.startsWith('kd:')

function later(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + A_WHILE_MS })
}

afterEach(() => void vi.useRealTimers())

describe('an outage of the vector store', () => {
  it('before a vector is added: nothing was written, and the call can be repeated', async () => {
    const on = await bench()
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    on.vectors.habits = failing('addVectors')
    for (const write of ['insert', 'upsert'] as const) {
      await expect(store[write](DOCS, [doc('a')])).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        outcome: 'not-applied',
        kind: 'knowledge',
        backend: 'langchain',
      })
    }
    on.vectors.habits = {}
    await assertHolds(store, [])
    await store.insert(DOCS, [doc('a')])
    await assertHolds(store, ['a'])
  })

  it('after a vector was added: no document is there, and its vector goes once the write is surely over', async () => {
    const on = await bench()
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    on.vectors.habits = failing('addVectors', 'after')
    await expect(store.upsert(DOCS, [doc('a'), doc('b')])).rejects.toMatchObject({ outcome: 'not-applied' })
    on.vectors.habits = {}
    await assertHolds(store, [])
    expect(on.vectors.rows.length).toBe(2)
    await store.upsert(DOCS, [doc('a')])
    await assertHolds(store, ['a'])
    expect(on.vectors.rows.length).toBe(3)
    later()
    await store.upsert(DOCS, [doc('c')])
    await assertHolds(store, ['a', 'c'])
    await assertClean(on, 2)
  })

  it('while replaced vectors are removed: the documents are the new ones, and the next write removes the rest', async () => {
    const on = await bench()
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a', 5)])
    on.vectors.habits = failing('delete')
    await expect(store.upsert(DOCS, [doc('a', -5)])).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect((await store.get(DOCS, ['a']))[0]?.embedding).toEqual(new Float32Array([-5, 1, 0]))
    on.vectors.habits = {}
    await store.upsert(DOCS, [doc('b')])
    await assertHolds(store, ['a', 'b'])
    await assertClean(on, 2)
  })

  it('while vectors of deleted documents are removed: they are deleted, and calling again removes the rest', async () => {
    const on = await bench()
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a'), doc('b'), doc('c')])
    on.vectors.habits = failing('delete')
    await expect(store.delete(DOCS, { ids: ['a', 'b'] })).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    await assertHolds(store, ['c'])
    on.vectors.habits = {}
    expect(await store.delete(DOCS, { ids: ['a', 'b'] })).toBe(0)
    await assertClean(on, 1)
  })

  it('in a search: the search fails rather than find nothing; an empty collection needs no vector store', async () => {
    const on = await bench(failing('search'))
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    expect(await store.search(DOCS, { embedding: [1, 0, 0] })).toEqual([])
    await store.insert(DOCS, [doc('a')])
    await expect(store.search(DOCS, { embedding: [1, 0, 0] })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await store.ping()
  })

  it('is over by itself: a later attempt of the same call succeeds', async () => {
    let failures = 0
    const on = await bench({
      before: () => {
        if (++failures <= 2) throw new Error('fetch failed')
      },
    })
    const store = await on.open({ retries: 3 })
    await store.createCollection(DOCS, { dimension: 3 })
    expect(await store.insert(DOCS, [doc('a')])).toEqual(['a'])
    await assertHolds(store, ['a'])
  })
})

describe('a process that dies', () => {
  it('between vector and document: the document is not there, and its vector is removed later', async () => {
    const on = await bench()
    const store = await on.open({ state: dying(on.state, writesDocuments) })
    await store.createCollection(DOCS, { dimension: 3 })
    await expect(store.insert(DOCS, [doc('a'), doc('b')])).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(on.vectors.rows.length).toBe(2)
    const next = await on.open()
    await assertHolds(next, [])
    await next.insert(DOCS, [doc('a')])
    await assertHolds(next, ['a'])
    expect(on.vectors.rows.length).toBe(3)
    later()
    const third = await on.open()
    await third.insert(DOCS, [doc('c')])
    await assertHolds(third, ['a', 'c'])
    await assertClean(on, 2)
  })

  it('between document and replaced vector: the next process removes what nothing refers to', async () => {
    const on = await bench()
    const before = await on.open()
    await before.createCollection(DOCS, { dimension: 3 })
    await before.insert(DOCS, [doc('a', 5)])
    let written = false
    const state = dying(on.state, (space) => written || ((written = writesDocuments(space)), false))
    on.vectors.habits = failing('delete')
    await expect((await on.open({ state })).upsert(DOCS, [doc('a', -5)])).rejects.toMatchObject({ outcome: 'unknown' })
    on.vectors.habits = {}
    expect(on.vectors.rows.length).toBe(2)
    const next = await on.open()
    await next.insert(DOCS, [doc('b')])
    await assertHolds(next, ['a', 'b'])
    expect((await next.get(DOCS, ['a']))[0]?.embedding).toEqual(new Float32Array([-5, 1, 0]))
    expect(on.vectors.rows.length).toBe(2)
    later()
    await (await on.open()).delete(DOCS, { ids: ['nobody'] })
    await assertClean(on, 2)
  })

  it('while a collection is deleted: it is gone, nothing of it comes back, and what is left goes with the next change', async () => {
    const on = await bench()
    const before = await on.open()
    await before.createCollection(DOCS, { dimension: 3 })
    await before.insert(
      DOCS,
      Array.from({ length: 600 }, (_, i) => doc(`d${i}`)),
    )
    let deletions = 0
    on.vectors.habits = {
      before: (method) => {
        if (method === 'delete' && ++deletions === 2) throw new Error('fetch failed')
      },
    }
    await expect(before.deleteCollection(DOCS)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    on.vectors.habits = {}
    expect(on.vectors.rows.length).toBe(350)
    const next = await on.open()
    expect(await next.collectionExists(DOCS)).toBe(false)
    expect(await next.listCollections()).toEqual([])
    expect((await next.listWorkspaces()).items).toEqual([])
    await next.createCollection(DOCS, { dimension: 3 })
    await assertHolds(next, [])
    await assertClean(on, 0)
  })

  it('leaves no grave that keeps others from working', async () => {
    const on = await bench()
    const store = await on.open()
    await store.createCollection('old', { dimension: 3 })
    await store.insert('old', [doc('a')])
    on.vectors.habits = failing('delete')
    await expect(store.deleteCollection('old')).rejects.toMatchObject({ outcome: 'unknown' })
    await store.createCollection(DOCS, { dimension: 3 })
    expect(await store.deleteCollection(DOCS)).toBe(true)
    await expect(store.deleteCollection('old')).rejects.toMatchObject({ outcome: 'unknown' })
    on.vectors.habits = {}
    expect(await store.deleteCollection('old')).toBe(false)
    await assertClean(on, 0)
  })

  it('a vector store that minds what is not there hinders nothing', async () => {
    const on = await bench({ strictDelete: true, before: (method) => fail(method) })
    let fail: (method: string) => void = () => undefined
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a'), doc('b')])
    fail = (method) => {
      if (method === 'addVectors') throw new Error('fetch failed')
    }
    await expect(store.upsert(DOCS, [doc('a'), doc('b')])).rejects.toMatchObject({ outcome: 'not-applied' })
    fail = () => undefined
    later()
    await store.upsert(DOCS, [doc('a'), doc('c')])
    await assertHolds(store, ['a', 'b', 'c'])
    await assertClean(on, 3)
  })

  it('a write that began before its collection was deleted comes to nothing, and leaves nothing', async () => {
    for (const commitKeys of [1, Infinity]) {
      const on = await bench()
      const state = over(on.state, { capabilities: { ...on.state.capabilities, commitKeys } })
      const [store, other] = [await on.open({ state }), await on.open({ state })]
      await store.createCollection(DOCS, { dimension: 3 })
      on.vectors.habits = { before: async (method) => void (method === 'addVectors' && (await other.deleteCollection(DOCS))) }
      await store.insert(DOCS, [doc('a')])
      on.vectors.habits = {}
      expect(await store.collectionExists(DOCS)).toBe(false)
      // The write was under way while the collection was buried, so whoever comes next looks once more.
      await other.createCollection(DOCS, { dimension: 3 })
      await assertHolds(store, [])
      await assertClean(on, 0)
    }
  })

  it('a write that was taken for dead does not come back to life', async () => {
    const on = await bench({ before: (method) => void (method === 'addVectors' && later()) })
    const store = await on.open()
    await store.createCollection(DOCS, { dimension: 3 })
    await expect(store.insert(DOCS, [doc('a')])).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    on.vectors.habits = {}
    await assertHolds(store, [])
    await store.insert(DOCS, [doc('b')])
    await assertClean(on, 1)
  })
})

describe('a sidecar with commits of one key', () => {
  /** Its commits take one key, and each may be met by `before`. */
  function narrow(state: StateBackend, before: (space: string, commit: StateCommit) => Promise<void> | void): StateBackend {
    return over(state, {
      capabilities: { ...state.capabilities, commitKeys: 1 },
      commit: async (space, commit, call) => {
        await before(space, commit)
        return state.commit(space, commit, call)
      },
    })
  }

  it('a write of which a part is done when the sidecar fails is unknown, and repeated makes up for it', async () => {
    const on = await bench()
    let commits = 0
    const state = narrow(on.state, (space) => {
      if (writesDocuments(space) && ++commits === 3) throw new Error('cut')
    })
    const store = await on.open({ state })
    await store.createCollection(DOCS, { dimension: 3 })
    const documents = ['a', 'b', 'c', 'd'].map((id) => doc(id))
    await expect(store.upsert(DOCS, documents)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    await assertHolds(store, ['a', 'b'])
    await store.upsert(DOCS, documents)
    await assertHolds(store, ['a', 'b', 'c', 'd'])
    later()
    await (await on.open()).delete(DOCS, { ids: ['nobody'] })
    await assertClean(on, 4)
  })

  it('a write whose collection goes just before its note is refused', async () => {
    const on = await bench()
    const other = await on.open()
    const state = narrow(on.state, async (_, { set = [] }) => {
      if (set.some(({ key }) => key.startsWith('n:'))) await other.deleteCollection(DOCS)
    })
    const store = await on.open({ state })
    await store.createCollection(DOCS, { dimension: 3 })
    await expect(store.insert(DOCS, [doc('a')])).rejects.toMatchObject({ code: 'NOT_FOUND', outcome: 'not-applied' })
    expect(on.vectors.rows).toEqual([])
    expect(await keysIn(on.state, 'k')).toEqual([])
  })

  it('a collection whose deletion died at its grave is alive', async () => {
    const on = await bench()
    let isDying = false
    const state = narrow(on.state, (_, commit) => {
      if (isDying && commit.delete?.some((key) => key.startsWith('c:'))) throw new Error('the process is gone')
    })
    const store = await on.open({ state })
    await store.createCollection(DOCS, { dimension: 3 })
    await store.insert(DOCS, [doc('a')])
    isDying = true
    await expect(store.deleteCollection(DOCS)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    isDying = false
    await store.createCollection(DOCS, { dimension: 3 })
    await assertHolds(store, ['a'])
    expect(await store.deleteCollection(DOCS)).toBe(true)
    expect(on.vectors.rows).toEqual([])
  })
})

it('a vector store with ids of its own loses nothing and keeps nothing', async () => {
  const on = await bench({ ownIds: true })
  const store = await on.open()
  await store.createCollection(DOCS, { dimension: 3 })
  await store.insert(DOCS, [doc('a'), doc('b'), doc('c')])
  await store.upsert(DOCS, [doc('a', 7)])
  await store.delete(DOCS, { ids: ['b'] })
  await assertHolds(store, ['a', 'c'])
  await assertClean(on, 2)
  await store.deleteCollection(DOCS)
  expect(on.vectors.rows).toEqual([])
})

describe('at random', () => {
  /** Deterministic, so that a failure can be seen again. */
  function dice(seed: number): () => number {
    let state = seed
    return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
  }

  it.each([1, 2, 3, 4])('a failing vector store loses nothing and invents nothing (%i)', async (seed) => {
    const roll = dice(seed)
    let isBad = false
    const fail = (): void => {
      if (isBad && roll() < 0.2) throw new Error('fetch failed')
    }
    const habits: Habits = { before: fail, after: fail, ...(seed % 2 === 0 && { duplicates: true }) }
    const on = await bench(habits)
    const stores = [await on.open(), await on.open()]
    await stores[0]!.createCollection(DOCS, { dimension: 3 })
    /** What may be there: more than one value where an outcome is not known. */
    const model = new Map<string, Set<number | undefined>>()
    const ids = ['a', 'b', 'c', 'd', 'e', 'f']
    isBad = true
    for (let step = 0; step < 400; step++) {
      const store = stores[step % 2]!
      const id = ids[Math.floor(roll() * ids.length)]!
      const x = roll() < 0.3 ? undefined : Math.round(roll() * 100) - 50
      const known = model.get(id) ?? new Set([undefined])
      try {
        if (x === undefined) await store.delete(DOCS, { ids: [id] })
        else await store.upsert(DOCS, [doc(id, x)])
        model.set(id, new Set([x]))
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'UNAVAILABLE')
        if ((error as { outcome?: unknown }).outcome !== 'not-applied') model.set(id, known.add(x))
      }
      const [found] = await store.get(DOCS, [id])
      const value = found?.embedding?.[0]
      assert(model.get(id)?.has(value) ?? value === undefined, `step ${step}: ${id} is ${value}`)
      model.set(id, new Set([value]))
    }
    isBad = false
    const there = ids.filter((id) => model.get(id)?.values().next().value !== undefined)
    for (const store of stores) await assertHolds(store, there)
    later()
    await (await on.open()).upsert(DOCS, [doc('last')])
    await assertHolds(stores[0]!, [...there, 'last'])
    const kept = new Set(on.vectors.rows.map(({ id }) => id))
    expect(kept.size).toBe(there.length + 1)
  })

  it('writers at once on the same documents leave each with one vector, its own', async () => {
    const on = await bench()
    const stores = await Promise.all(Array.from({ length: 8 }, () => on.open()))
    await stores[0]!.createCollection(DOCS, { dimension: 3 })
    const work = stores.flatMap((store, i) =>
      Array.from({ length: 10 }, (_, j) =>
        j === 7 ? store.delete(DOCS, { ids: ['a', 'b'] }) : store.upsert(DOCS, [doc('a', i), doc('b', j)]),
      ),
    )
    await Promise.all(work)
    await stores[0]!.upsert(DOCS, [doc('a', 3), doc('b', 4)])
    await assertHolds(stores[0]!, ['a', 'b'])
    expect(new Set(on.vectors.rows.map(({ vector }) => vector[0]))).toEqual(new Set([3, 4]))
    later()
    await (await on.open()).delete(DOCS, { ids: ['nobody'] })
    await assertClean(on, 2)
  })

  it('of inserts of one id at once, one wins, and the others leave nothing', async () => {
    const on = await bench()
    const stores = await Promise.all(Array.from({ length: 8 }, () => on.open()))
    await stores[0]!.createCollection(DOCS, { dimension: 3 })
    const results = await Promise.allSettled(stores.map((store) => store.insert(DOCS, [doc('a'), doc(`own`)])))
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(1)
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'CONFLICT' })
    await assertHolds(stores[0]!, ['a', 'own'])
    await assertClean(on, 2)
  })
})
