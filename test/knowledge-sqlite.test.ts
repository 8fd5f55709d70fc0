import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Script, SqlEngine } from '../src/engines/sql.ts'
import { openSqlite } from '../src/engines/sqlite.ts'
import { create, type SqliteKnowledgeOptions } from '../src/knowledge/backends/sqlite.ts'
import type { CollectionRecord, KnowledgeBackend, NewDocument } from '../src/knowledge/contract.ts'
import { LiveIndex } from '../src/knowledge/live-index.ts'
import { score } from '../src/knowledge/score.ts'
import { KnowledgeSql, knowledgeSchema, MIN_TOMBSTONES } from '../src/knowledge/sql.ts'
import { KnowledgeStore } from '../src/knowledge/store.ts'
import { compareBytes } from '../src/store/text.ts'
import { run, scratch } from './support.ts'

async function openBackend(options: SqliteKnowledgeOptions): Promise<KnowledgeBackend> {
  return create(options, { kind: 'knowledge', name: 'sqlite', loadClient: () => Promise.reject(new Error('needs none')) })
}

async function open(options: SqliteKnowledgeOptions): Promise<KnowledgeStore> {
  const store = new KnowledgeStore(await openBackend(options), { name: 'sqlite' })
  onTestFinished(() => store.close())
  return store
}

/** Two stores on one file, over connections of their own, as two processes would have. */
async function two(): Promise<{ a: KnowledgeStore; b: KnowledgeStore; path: string }> {
  const path = join(await scratch(), 'k.db')
  const a = await open({ path, durability: 'relaxed' })
  const b = await open({ path, durability: 'full' })
  await a.createCollection('c', { dimension: 2 })
  return { a, b, path }
}

function doc(id: string, extra: Partial<NewDocument> = {}): NewDocument {
  return { id, content: `about ${id}`, embedding: [1, 1], ...extra }
}

function many(from: number, to: number): NewDocument[] {
  return Array.from({ length: to - from }, (_, i) =>
    doc(`d${from + i}`, { embedding: [from + i + 1, 1], metadata: { i: from + i } }),
  )
}

async function ids(store: KnowledgeStore): Promise<string[]> {
  const hits = await store.search('c', { embedding: [1, 1], limit: 10_000 })
  return hits.map(({ id }) => id).toSorted()
}

/** The same numbers in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let last = seed
  return (below) => (last = (last * 48_271) % 2_147_483_647) % below
}

/** Counts straight from the file. */
function stored(path: string): { documents: number; tombstones: number; counted: unknown } {
  const db = new DatabaseSync(path)
  try {
    const count = (table: string): number => db.prepare(`SELECT count(*) AS n FROM holdfast_${table}`).get()!.n as number
    const counted = db.prepare('SELECT documents, tombstones FROM holdfast_collections').get()
    return { documents: count('documents'), tombstones: count('tombstones'), counted: { ...counted } }
  } finally {
    db.close()
  }
}

describe('two connections to one file', () => {
  it('see each other’s writes in the next search', async () => {
    const { a, b } = await two()
    expect(await ids(b)).toEqual([])
    await a.insert('c', [doc('x'), doc('y')])
    expect(await ids(b)).toEqual(['x', 'y'])
    await b.upsert('c', [doc('x', { embedding: [1, -1], metadata: { v: 2 } })])
    expect((await a.search('c', { embedding: [1, -1], limit: 1 }))[0]).toMatchObject({ id: 'x', metadata: { v: 2 } })
    expect(await a.count('c', { v: 2 })).toBe(1)
    await b.delete('c', { ids: ['x'] })
    expect(await ids(a)).toEqual(['y'])
    await a.insert('c', [doc('x')])
    expect(await ids(b)).toEqual(['x', 'y'])
    expect(await b.delete('c', { filter: {} })).toBe(2)
    expect(await ids(a)).toEqual([])
  })

  it('notice a collection that the other deleted', async () => {
    const { a, b } = await two()
    await a.insert('c', many(0, 20))
    expect(await ids(b)).toHaveLength(20)
    await a.deleteCollection('c')
    await expect(b.search('c', { embedding: [1, 1] })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('notice a collection that the other created anew', async () => {
    const { a, b } = await two()
    await a.insert('c', many(0, 20))
    expect(await ids(b)).toHaveLength(20)
    await a.deleteCollection('c')
    await a.createCollection('c', { dimension: 2, distance: 'dot' })
    // As many changes as there were before, so that their number alone would not tell.
    await a.insert('c', many(20, 40))
    expect(await b.count('c', { i: { $lt: 20 } })).toBe(0)
    const [best] = await b.search('c', { embedding: [1, 1], limit: 1 })
    expect(best).toMatchObject({ id: 'd39', score: 41 })
  })
})

describe('two connections under load', () => {
  it('agree after any mixture of writes', async () => {
    const { a, b } = await two()
    const model = new Map<string, number>()
    const random = randomNumbers(1)
    for (let step = 0; step < 60; step++) {
      const [store, size] = [random(2) === 0 ? a : b, random(300)]
      const chosen = Array.from({ length: size }, () => `d${random(2_500)}`)
      if (random(3) > 0) {
        const documents = [...new Set(chosen)].map((id) => doc(id, { embedding: [step + 1, 1], metadata: { step } }))
        await store.upsert('c', documents)
        for (const { id } of documents) model.set(id!, step)
      } else if (random(4) === 0) {
        const deleted = await store.delete('c', { filter: { step: { $lt: step - 3 } } })
        const old = [...model].filter(([, written]) => written < step - 3)
        for (const [id] of old) model.delete(id)
        expect(deleted).toBe(old.length)
      } else {
        const gone = new Set(chosen.filter((id) => model.delete(id)))
        expect(await store.delete('c', { ids: chosen })).toBe(gone.size)
      }
      if (random(3) > 0) continue
      const reader = random(2) === 0 ? a : b
      const hits = await reader.search('c', { embedding: [1, 1], limit: 10_000 })
      expect(new Map(hits.map(({ id, metadata }) => [id, metadata.step]))).toEqual(model)
      expect(await reader.count('c')).toBe(model.size)
    }
  })
})

describe('tombstones', () => {
  it('go when their documents come back', async () => {
    const { a, path } = await two()
    await a.insert('c', many(0, 10))
    await a.delete('c', { ids: ['d1', 'd2', 'd3'] })
    expect(stored(path)).toEqual({ documents: 7, tombstones: 3, counted: { documents: 7, tombstones: 3 } })
    await a.insert('c', many(1, 2))
    await a.upsert('c', many(2, 3))
    expect(stored(path)).toEqual({ documents: 9, tombstones: 1, counted: { documents: 9, tombstones: 1 } })
  })

  it('do not pile up, and readers that missed some load anew', async () => {
    const { a, b, path } = await two()
    const total = 2 * MIN_TOMBSTONES
    await a.insert('c', many(0, total))
    expect(await ids(b)).toHaveLength(total)
    const all = many(0, total - 5).map(({ id }) => id!)
    await a.delete('c', { ids: all.slice(0, MIN_TOMBSTONES) })
    expect(stored(path).tombstones).toBe(MIN_TOMBSTONES)
    await a.delete('c', { ids: all.slice(MIN_TOMBSTONES) })
    const { tombstones, counted } = stored(path)
    expect(tombstones).toBe(MIN_TOMBSTONES / 2)
    expect(counted).toEqual({ documents: 5, tombstones })
    // Under cosine the deleted ones were the nearest: one that lingers in memory would take a place.
    const left = await b.search('c', { embedding: [1, 1], limit: 5 })
    expect(left.map(({ id }) => id)).toEqual(many(total - 5, total).map(({ id }) => id))
    expect(await b.count('c', { i: { $gte: 0 } })).toBe(5)
    expect(await ids(a)).toEqual(await ids(b))
    const late = await open({ path, durability: 'relaxed' })
    expect(await ids(late)).toEqual(await ids(b))
  })

  it('go with their collection', async () => {
    const { a, path } = await two()
    await a.insert('c', many(0, 3))
    await a.delete('c', { ids: ['d1'] })
    await a.deleteCollection('c')
    expect(stored(path)).toMatchObject({ documents: 0, tombstones: 0 })
  })
})

describe('freshness', () => {
  it('a search sees what was written before it began, also while a long load is under way', async () => {
    const { a, b } = await two()
    await a.insert('c', many(0, 3_000))
    const early = b.search('c', { embedding: [1, 1], limit: 10_000 })
    await a.insert('c', [doc('a')])
    const late = await Promise.all(Array.from({ length: 5 }, () => b.search('c', { embedding: [1, 1], limit: 1 })))
    for (const hits of late) expect(hits[0]?.id).toBe('a')
    expect((await early).length).toBeGreaterThanOrEqual(3_000)
  })

  it('a load that had read before the call is not enough', async () => {
    const engine = await openSqlite(':memory:')
    onTestFinished(() => engine.close())
    const sql = new KnowledgeSql(engine.dialect, '')
    await engine.migrate(knowledgeSchema(engine.dialect, ''), { autoCreate: true })
    const collection: CollectionRecord = { name: 'c', dimension: 1, distance: 'dot', fields: {} }
    await engine.write(() => sql.create('', collection))
    const slow: SqlEngine = Object.assign(Object.create(engine) as SqlEngine, {
      async read<T>(script: () => Script<T>): Promise<T> {
        const result = await engine.read(script)
        await sleep(20)
        return result
      },
    })
    const index = new LiveIndex(slow, sql, '', 'c')
    const early = index.fresh()
    const record = { id: 'a', content: '', escaped: false, metadata: '{}', contentHash: '', createdAt: 0 }
    await engine.write(() => sql.write('', collection, [{ ...record, embedding: Float32Array.of(1) }], 'insert'))
    const late = [index.fresh(), index.fresh()]
    expect((await early).seen).toBe(0)
    expect((await Promise.all(late)).map(({ seen }) => seen)).toEqual([1, 1])
  })
})

describe('a search while others write', () => {
  it('the answer is that of one moment, whatever is written in between', async () => {
    const { a, b, path } = await two()
    const model = new Map<string, { embedding: number[]; odd: boolean }>()
    const random = randomNumbers(7)
    const disturb = async (): Promise<void> => {
      const chosen = new Set(Array.from({ length: random(30) }, () => `d${random(60)}`))
      const written = [...chosen].map((id) => doc(id, { embedding: [random(100) + 1, 1], metadata: { odd: random(2) === 1 } }))
      const gone = Array.from({ length: random(10) }, () => `d${random(60)}`)
      await a.upsert('c', written)
      await a.delete('c', { ids: gone })
      for (const { id, embedding, metadata } of written) {
        model.set(id!, { embedding: [...embedding!], odd: metadata!.odd === true })
      }
      for (const id of gone) model.delete(id)
    }
    // The connection that `b` uses, so that each of its reads comes after some writes of `a`.
    const engine = await openSqlite(path, { durability: 'full' })
    onTestFinished(() => engine.close())
    const read = engine.read.bind(engine)
    engine.read = async (script, call) => (await disturb(), read(script, call))
    const query = [1, 1]
    for (let i = 0; i < 150; i++) {
      const [limit, isFiltered] = [1 + random(20), random(2) === 0]
      const hits = await b.search('c', { embedding: query, limit, ...(isFiltered && { filter: { odd: true } }) })
      const expected = [...model]
        .filter(([, { odd }]) => odd || !isFiltered)
        .map(([id, { embedding }]) => ({ id, score: score('cosine', Float32Array.from(query), Float32Array.from(embedding)) }))
        .toSorted((x, y) => y.score - x.score || compareBytes(x.id, y.id))
      expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(expected.slice(0, limit))
    }
  })

  it('hits are true, and as many as there are, while another process replaces all documents', async () => {
    const path = join(await scratch(), 'k.db')
    const store = await open({ path, durability: 'relaxed' })
    await store.createCollection('c', { dimension: 32 })
    const { process: writer, lines } = run('test/fixtures/knowledge-writer.ts', [path, '1000'])
    onTestFinished(() => void writer.kill('SIGKILL'))
    await lines.next()
    const query = Float32Array.from({ length: 32 }, (_, i) => Math.cos(i))
    const changes = new Set<string>()
    for (let i = 0; i < 60; i++) {
      const hits = await store.search('c', {
        embedding: query,
        limit: 300,
        withEmbeddings: true,
        ...(i % 2 && { filter: { odd: true } }),
      })
      changes.add(JSON.stringify(hits.slice(0, 9).map(({ id }) => id)))
      expect(hits).toHaveLength(300)
      for (const hit of hits) expect(hit.score).toBeCloseTo(score('cosine', query, hit.embedding!), 9)
      if (i % 2) for (const { metadata } of hits) expect(metadata.odd).toBe(true)
    }
    expect(changes.size).toBeGreaterThan(5)
  })
})

describe('the backend', () => {
  it('refuses documents and queries that were meant for a former collection of the name', async () => {
    const backend = await openBackend({ path: ':memory:' })
    onTestFinished(() => backend.close())
    const former: CollectionRecord = { name: 'c', dimension: 3, distance: 'cosine', fields: {} }
    await backend.createCollection('', { ...former, dimension: 2 })
    const embedding = Float32Array.from([1, 2, 3])
    const document = { id: 'a', content: '', escaped: false, metadata: '{}', contentHash: '', createdAt: 0, embedding }
    const calls = [
      backend.write('', former, [document], 'upsert'),
      backend.search('', former, { embedding, limit: 1, withEmbeddings: false }),
    ]
    await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject({ code: 'CONFLICT', outcome: 'not-applied' })))
    expect(await backend.count!('', { ...former, dimension: 2 }, undefined)).toBe(0)
  })

  it('pages through a sparse filter over many documents', async () => {
    const { a } = await two()
    await a.insert('c', many(0, 2_000))
    const filter = { i: { $in: [3, 999, 1_000, 1_999] } }
    const first = await a.list('c', { filter, limit: 3 })
    const rest = await a.list('c', { filter, limit: 3, cursor: first.cursor })
    expect([...first.items, ...rest.items].map(({ id }) => id)).toEqual(['d1000', 'd1999', 'd3', 'd999'])
    expect(rest.cursor).toBeUndefined()
  })

  it('keeps tables of another prefix apart, also in memory', async () => {
    const path = join(await scratch(), 'k.db')
    const [one, other] = [await open({ path }), await open({ path, prefix: 'other_' })]
    for (const store of [one, other]) await store.createCollection('c', { dimension: 2 })
    await one.insert('c', [doc('x')])
    await other.insert('c', [doc('y')])
    expect([await ids(one), await ids(other)]).toEqual([['x'], ['y']])
  })

  it('makes no tables where it may not', async () => {
    const path = join(await scratch(), 'k.db')
    await expect(open({ path, autoCreate: false })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await (await open({ path })).close()
    await expect(open({ path, autoCreate: false })).resolves.toBeDefined()
  })

  it('backs up a consistent copy that opens again', async () => {
    const { a, path } = await two()
    await a.insert('c', many(0, 50))
    const folder = join(path, '..', 'backup')
    await mkdir(folder)
    expect(await a.backupTo(folder)).toEqual(['knowledge.db'])
    await a.delete('c', { filter: {} })
    expect(await ids(await open({ path: join(folder, 'knowledge.db') }))).toHaveLength(50)
  })

  it('gives the event loop its turns while it loads', async () => {
    const { a, b } = await two()
    await a.insert('c', many(0, 5_000))
    let turns = 0
    const counting = setInterval(() => turns++, 0)
    await b.search('c', { embedding: [1, 1] })
    clearInterval(counting)
    expect(turns).toBeGreaterThan(3)
  })
})
