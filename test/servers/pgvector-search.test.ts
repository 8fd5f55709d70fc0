/** Searches by an index: exactly as many hits as there should be, nearly always the best ones, and scores that are right. */
import { beforeAll, afterAll, describe, expect, it } from 'vitest'
import type { Distance, Filter, Hit, NewDocument } from '../../src/knowledge/contract.ts'
import { score } from '../../src/knowledge/score.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { withService } from '../services.ts'
import { open, SCHEMA, tableOf, withClient, type Opened } from './postgres-places.ts'

const DOCUMENTS = Number(process.env['HOLDFAST_DOCUMENTS'] ?? 4_000)
const DIMENSION = 64
const CLUSTERS = 50
const QUERIES = 8

/** The same numbers in every run. */
let last = 42
function random(): number {
  return (last = (last * 48_271) % 2_147_483_647) / 2_147_483_647
}
function normal(): number {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())
}

const centres = Array.from({ length: CLUSTERS }, () => Float32Array.from({ length: DIMENSION }, normal))
const vector = (): Float32Array => centres[Math.floor(random() * CLUSTERS)]!.map((x) => x + 0.5 * normal())

const documents: NewDocument[] = Array.from({ length: DOCUMENTS }, (_, i) => ({
  id: `d${i}`,
  content: `about ${i}`,
  embedding: vector(),
  metadata: { half: i % 2, few: i % 20, rare: i % 1_000, n: i },
}))
const queries = Array.from({ length: QUERIES }, vector)

const FILTERS: readonly (readonly [string, Filter | undefined, (i: number) => boolean])[] = [
  ['all', undefined, () => true],
  ['50 %', { half: 1 }, (i) => i % 2 === 1],
  ['5 %', { few: 7 }, (i) => i % 20 === 7],
  ['5 % by range', { n: { $lt: DOCUMENTS / 20 } }, (i) => i < DOCUMENTS / 20],
  ['0.1 %', { rare: 3 }, (i) => i % 1_000 === 3],
  ['none', { rare: 'nothing' }, () => false],
]

function exact(query: Float32Array, matching: (i: number) => boolean, limit: number, distance: Distance): string[] {
  return documents
    .flatMap(({ id, embedding }, i) =>
      matching(i) ? [{ id: id!, score: score(distance, query, embedding as Float32Array) }] : [],
    )
    .toSorted((a, b) => b.score - a.score)
    .slice(0, limit)
    .map(({ id }) => id)
}

const KINDS = [
  ['hnsw', {}, 'cosine'],
  ['hnsw of halfvec', { type: 'halfvec' }, 'euclidean'],
  ['ivfflat', { index: 'ivfflat' }, 'cosine'],
  ['no index', { index: 'none' }, 'dot'],
] as const satisfies readonly (readonly [string, object, Distance])[]

withService('postgres', 'pgvector', (service) => {
  describe.each(KINDS)('%s', (_, options, distance) => {
    let at: Opened<KnowledgeStore>
    beforeAll(async () => {
      at = await open('knowledge', 'pgvector', service, options)
      await at.store.createCollection('c', { dimension: DIMENSION, distance })
      for (let i = 0; i < DOCUMENTS; i += 2_000) await at.store.insert('c', documents.slice(i, i + 2_000))
    }, 600_000)
    afterAll(() => at[Symbol.asyncDispose]())

    it.each([false, true])(
      'gives as many as match and the best of them, where the server knows its table: %s',
      { timeout: 300_000 },
      async (known) => {
        if (known) await withClient(service, (client) => client.query(`ANALYZE ${tableOf(at.prefix, 'vec_1')}`))
        const recalls: Record<string, number> = {}
        for (const [name, filter, matching] of FILTERS) {
          const count = documents.filter((__, i) => matching(i)).length
          for (const limit of [10, 100]) {
            let found = 0
            let wanted = 0
            const since = performance.now()
            for (const embedding of queries) {
              const hits = await at.store.search('c', { embedding, limit, filter })
              expect(hits.length, `${name}, limit ${limit}`).toBe(Math.min(limit, count))
              checkScores(hits, embedding, distance)
              const best = new Set(exact(embedding, matching, limit, distance))
              found += hits.filter(({ id }) => best.has(id)).length
              wanted += best.size
            }
            if (wanted > 0) recalls[`${name}, ${limit}`] = found / wanted
            if (process.env['HOLDFAST_DOCUMENTS'] !== undefined)
              console.log(
                at.prefix,
                JSON.stringify(options),
                known,
                name,
                limit,
                (found / wanted).toFixed(4),
                ((performance.now() - since) / QUERIES).toFixed(1),
                'ms',
              )
          }
        }
        for (const [name, recall] of Object.entries(recalls)) expect(recall, name).toBeGreaterThanOrEqual(0.95)
      },
    )

    it('gives 10,000 where so many are asked for, or all', async () => {
      const hits = await at.store.search('c', { embedding: queries[0]!, limit: 10_000 })
      expect(new Set(hits.map(({ id }) => id)).size).toBe(Math.min(10_000, DOCUMENTS))
    })
  })

  it('asks the index for vectors, and the one for metadata where few match', { timeout: 300_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: DIMENSION })
    for (let i = 0; i < DOCUMENTS; i += 2_000) await at.store.insert('c', documents.slice(i, i + 2_000))
    const plans = await withClient(service, async (client) => {
      await client.query(`ANALYZE ${tableOf(at.prefix, 'vec_1')}`)
      const near = async (condition: string): Promise<string> => {
        const sql = `EXPLAIN SELECT id FROM ${tableOf(at.prefix, 'vec_1')} t WHERE ${condition} ORDER BY t.embedding <=> $1 LIMIT 5`
        const { rows } = await client.query<Record<string, string>>(sql, [`[${queries[0]!.join(',')}]`])
        return rows.flatMap((row) => Object.values(row)).join('\n')
      }
      return [await near('TRUE'), await near(`t.filterable @@ 'exists($."rare"[*] ? (@ == 3))'`)]
    })
    expect(plans[0]).toMatch(/Index Scan using \w+vec_1_embedding/)
    expect(plans[1]).toMatch(/Bitmap Index Scan on \w+vec_1_filterable/)
  })

  it('gives as many as match also where a scan of the index gives up', { timeout: 120_000 }, async () => {
    // Little memory, which ends the scan early, and no other way to find anything.
    const settings = ['enable_seqscan=off', 'enable_bitmapscan=off', 'enable_indexonlyscan=off', 'work_mem=64kB']
      .map((each) => `-c ${each}`)
      .join(' ')
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: DIMENSION })
    for (let i = 0; i < DOCUMENTS; i += 2_000) await at.store.insert('c', documents.slice(i, i + 2_000))
    const { near } = await withClient(service, async (client) => {
      for (const each of settings.split('-c ').slice(1))
        await client.query(`SET ${each.replace('=', ' = ').replace('64kB', "'64kB'")}`)
      await client.query(`SET hnsw.iterative_scan = relaxed_order`)
      const sql = `SELECT count(*) AS near FROM (SELECT id FROM ${tableOf(at.prefix, 'vec_1')} WHERE filterable @@ $1 ORDER BY embedding <=> $2 LIMIT 1000) found`
      const { rows } = await client.query<{ near: string }>(sql, ['exists($."few"[*] ? (@ == 7))', `[${queries[0]!.join(',')}]`])
      return rows[0]!
    })
    const url = `${service.url}?options=${encodeURIComponent(settings)}`
    const forced = await at.another({ url })
    for (const [name, filter, matching] of FILTERS) {
      const count = documents.filter((_, i) => matching(i)).length
      const hits = await forced.search('c', { embedding: queries[0]!, limit: 1_000, filter })
      expect(hits.length, name).toBe(Math.min(1_000, count))
    }
    expect(Number(near)).toBeLessThan(DOCUMENTS / 20)
  })

  it('takes as many round trips as the work has to have', async () => {
    for (const [options, search] of [
      [{}, 2],
      [{ index: 'none' }, 2],
      [{ index: 'ivfflat', lists: 2 }, 5],
    ] as const) {
      await using at = await open('knowledge', 'pgvector', service, options)
      const { store, proxy } = at
      const taken = {
        create: await proxy.count(() => store.createCollection('c', { dimension: 2 })),
        again: await proxy.count(() => store.createCollection('c', { dimension: 2 })),
        first: await proxy.count(() => store.insert('c', [doc('a'), doc('b'), doc('c')])),
        insert: await proxy.count(() =>
          store.insert(
            'c',
            Array.from({ length: 900 }, (_, i) => doc(`d${i}`)),
          ),
        ),
        upsert: await proxy.count(() => store.upsert('c', [doc('a')])),
        conflict: await proxy.count(() => store.insert('c', [doc('a')]).catch(() => undefined)),
        search: await proxy.count(() => store.search('c', { embedding: [1, 1], filter: { x: 1 } })),
        get: await proxy.count(() => store.get('c', ['a', 'b'])),
        list: await proxy.count(() => store.list('c')),
        count: await proxy.count(() => store.count('c', { x: 1 })),
        delete: await proxy.count(() => store.delete('c', { ids: ['a', 'nobody'] })),
        deleteMatching: await proxy.count(() => store.delete('c', { filter: { x: 1 } })),
        collections: await proxy.count(() => store.listCollections()),
        drop: await proxy.count(() => store.deleteCollection('c')),
      }
      const index = options === undefined || !('index' in options) ? 1 : 0
      // Beginning, the row, the table, its index of metadata, one of vectors, the end; each call finds the collection first.
      const common = {
        again: 1,
        insert: 2,
        upsert: 2,
        conflict: 3,
        get: 2,
        list: 2,
        count: 2,
        delete: 2,
        deleteMatching: 2,
        collections: 1,
        drop: 4,
      }
      const first = 'lists' in options ? 2 + 7 : 2
      expect(taken).toEqual({ ...common, create: 6 + index, first, search })
    }
  })

  it('keeps directions that 32-bit sums cannot tell, and what 16 bits cannot hold', async () => {
    for (const options of [{}, { type: 'halfvec' }, { index: 'none' }]) {
      await using at = await open('knowledge', 'pgvector', service, options)
      const vectors = {
        tiny: [3e-30, 4e-30],
        huge: [3e30, 4e30],
        most: [3e38, 3e38],
        least: [1e-45, 0],
        plain: [3, 4],
        large: [70_000, 0],
      }
      const query = [3e-25, 4e-25]
      await at.store.createCollection('c', { dimension: 2 })
      await at.store.insert(
        'c',
        Object.entries(vectors).map(([id, embedding]) => ({ ...doc(id), embedding })),
      )
      const hits = await at.store.search('c', { embedding: query, limit: 10, withEmbeddings: true })
      expect(hits.length).toBe(6)
      for (const { id, embedding } of hits) expect(embedding).toEqual(new Float32Array(vectors[id as keyof typeof vectors]))
      checkScores(hits, new Float32Array(query), 'cosine')
      for (const each of await at.store.get('c', ['tiny', 'huge']))
        expect(each.embedding).toEqual(new Float32Array(vectors[each.id as 'tiny']))
    }
  })

  it('scores dot products of any size as the contract says', async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 3, distance: 'dot' })
    const vectors = { a: [1e4, 1, -1e4], b: [1e19, 2e19, 1], c: [0.1, 0.2, 0.3], d: [-1e20, 1e20, 0] }
    await at.store.insert(
      'c',
      Object.entries(vectors).map(([id, embedding]) => ({ ...doc(id), embedding })),
    )
    for (const query of [
      [1e4, 3, 1e4],
      [1e19, 1e19, 1e19],
      [1, 1, 1],
    ]) {
      for (const withEmbeddings of [false, true]) {
        const hits = await at.store.search('c', { embedding: query, limit: 10, withEmbeddings })
        expect(hits.length).toBe(4)
        checkScores(hits, new Float32Array(query), 'dot', vectors)
        expect(hits.some(({ embedding }) => embedding !== undefined)).toBe(withEmbeddings)
      }
    }
  })

  it('indexes what it can, and answers without an index beyond that', { timeout: 120_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await using half = { store: await at.another({ type: 'halfvec' }), [Symbol.asyncDispose]: () => Promise.resolve() }
    const kinds = await Promise.all(
      (
        [
          [2_000, at.store],
          [2_001, at.store],
          [4_000, at.store],
          [4_001, at.store],
          [16_000, at.store],
          [8, half.store],
        ] as const
      ).map(async ([dimension, store]) => {
        const name = `of ${dimension}`
        await store.createCollection(name, { dimension })
        const embedding = (i: number): Float32Array => Float32Array.from({ length: dimension }, (_, j) => Math.sin(i * 7 + j))
        await store.insert(
          name,
          [0, 1, 2].map((i) => ({ id: `${i}`, content: '', embedding: embedding(i) })),
        )
        const [first] = await store.search(name, { embedding: embedding(1), limit: 1, withEmbeddings: true })
        expect(first).toMatchObject({ id: '1', embedding: embedding(1) })
        return name
      }),
    )
    const { rows } = await withClient(service, (client) =>
      client.query<{ name: string; kind: string; half: number }>(
        `SELECT name, kind, half FROM ${tableOf(at.prefix, 'collections')} ORDER BY dimension`,
      ),
    )
    expect(kinds.length).toBe(6)
    expect(rows.map(({ name, kind, half: is }) => [name, kind, is])).toEqual([
      ['of 8', 'hnsw', 1],
      ['of 2000', 'hnsw', 0],
      ['of 2001', 'hnsw', 1],
      ['of 4000', 'hnsw', 1],
      ['of 4001', 'none', 0],
      ['of 16000', 'none', 0],
    ])
    await half.store.createCollection('dot', { dimension: 2, distance: 'dot' })
    await expect(half.store.insert('dot', [{ ...doc('x'), embedding: [70_000, 1] }])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    await half.store.insert('dot', [{ ...doc('y'), embedding: [60_000, 1] }])
    expect((await half.store.search('dot', { embedding: [70_000, 1] })).map(({ id }) => id)).toEqual(['y'])
  })

  it(
    'makes the lists of IVFFlat once there are documents, and anew when there are ten times as many',
    { timeout: 120_000 },
    async () => {
      await using at = await open('knowledge', 'pgvector', service, { index: 'ivfflat' })
      await at.store.createCollection('c', { dimension: 3 })
      const listed = async (): Promise<[number, string | undefined]> => {
        const { rows } = await withClient(service, (client) =>
          client.query<{ listed: string; definition: string | null }>(
            `SELECT listed, (SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND indexname = $2) AS definition FROM ${tableOf(at.prefix, 'collections')}`,
            [SCHEMA, `${at.prefix}vec_1_embedding`],
          ),
        )
        return [Number(rows[0]!.listed), /lists='(\d+)'/.exec(rows[0]!.definition ?? '')?.[1]]
      }
      const add = (from: number, to: number): Promise<unknown> =>
        at.store.insert(
          'c',
          Array.from({ length: to - from }, (_, i) => ({
            ...doc(`d${from + i}`),
            embedding: [Math.sin(from + i), Math.cos(3 * i), 0.5],
          })),
        )
      await add(0, 900)
      expect(await listed()).toEqual([0, undefined])
      await add(900, 1_900)
      expect(await listed()).toEqual([1_900, '10'])
      await add(1_900, 10_000)
      expect(await listed()).toEqual([1_900, '10'])
      await add(10_000, 20_000)
      expect(await listed()).toEqual([20_000, '100'])
      expect((await at.store.search('c', { embedding: [1, 1, 1], limit: 10_000 })).length).toBe(10_000)
    },
  )
})

function doc(id: string): NewDocument {
  return { id, content: id, embedding: [1, 0.5], metadata: { x: 1 } }
}

function checkScores(
  hits: readonly Hit[],
  query: Float32Array,
  distance: Distance,
  vectors?: Readonly<Record<string, readonly number[]>>,
): void {
  for (const { id, score: given, embedding = new Float32Array(vectors?.[id] ?? []) } of hits) {
    const own = embedding.length > 0 ? embedding : (documents[Number(id.slice(1))]?.embedding as Float32Array)
    const expected = score(distance, query, own)
    expect(Math.abs(given - expected), `score of ${id}: ${given}, not ${expected}`).toBeLessThanOrEqual(
      1e-4 * Math.max(1, Math.abs(expected)),
    )
  }
}
