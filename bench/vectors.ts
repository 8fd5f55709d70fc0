/**
 * Embedded vector search against plain typed-array JavaScript on the same vectors in the same process. `node bench/vectors.ts [documents]`
 * for this part alone.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { KNOWLEDGE_STORES, type KnowledgeStore } from '../src/index.ts'
import { compare, loopDelay, summary, table, type Contender } from './measure.ts'

const DOCUMENTS = 100_000
const LIMIT = 10
const QUERIES = 50
const CLUSTERS = 1000
const BATCH = 1000
const SMALL = 1000
const TENTH = { tenth: 3 }

export interface Data {
  readonly name: string
  readonly dimension: number
  readonly count: number
  /** Unit vectors, one after the other. */
  readonly matrix: Float32Array
  readonly queries: readonly Float32Array[]
}

export async function vectors(count = DOCUMENTS): Promise<string> {
  const machine = `${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.version}`
  const texts = [`${machine}; ${count.toLocaleString('en')} documents, top ${LIMIT}, cosine`]
  for (const clusters of [CLUSTERS, 0]) texts.push(await onSqlite(data(count, 384, clusters)))
  texts.push(await inMemory(data(count, 1536, CLUSTERS)))
  return texts.join('\n\n')
}

async function onSqlite(given: Data): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const open = (scan: 'auto' | 'exact'): Promise<KnowledgeStore> =>
    KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db'), scan })
  try {
    let store = await open('auto')
    const insertMs = await fill(store, given)
    await store.close()
    const reopenedMs = await timed(async () => {
      store = await open('auto')
      await search(store, given.queries[0]!)
    })
    const searches = await searchLines(store, given)
    const lines = [
      ...searches,
      ...(await filterLines(store, given)),
      await smallLine(store, given),
      ...(await concurrency(store, given)),
      ['durable insert, documents a second', Math.round(given.count / (insertMs / 1000)).toLocaleString('en'), '≥ 30,000'],
      ['reopened and answering, s', (reopenedMs / 1000).toFixed(2), '< 1'],
    ]
    await store.close()
    const exact = await open('exact')
    await search(exact, given.queries[0]!)
    const [plain, ours] = await comparison(exact, given)
    lines.push(["scan: 'exact', times plain JavaScript", (plain / ours).toFixed(1), ''])
    await exact.close()
    return table([`sqlite, ${given.name}`, '', 'target'], lines)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function inMemory(given: Data): Promise<string> {
  await using store = await KNOWLEDGE_STORES.create('memory')
  await fill(store, given)
  await search(store, given.queries[0]!)
  return table([`memory, ${given.name}`, '', 'target'], await searchLines(store, given))
}

async function fill(store: KnowledgeStore, { count, dimension, matrix }: Data, collection = 'docs'): Promise<number> {
  await store.createCollection(collection, { dimension })
  const batches = Array.from({ length: Math.ceil(count / BATCH) }, (_, batch) =>
    Array.from({ length: Math.min(BATCH, count - batch * BATCH) }, (_, j) => {
      const i = batch * BATCH + j
      const embedding = matrix.subarray(i * dimension, (i + 1) * dimension)
      return { id: `d${i}`, content: `text ${i}`, embedding, metadata: { tenth: i % 10, hundredth: i % 100 } }
    }),
  )
  return timed(async () => {
    for (const batch of batches) await store.insert(collection, batch)
  })
}

async function searchLines(store: KnowledgeStore, given: Data): Promise<string[][]> {
  const [plain, ours, spread] = await comparison(store, given)
  return [
    ['plain JavaScript, ms', ms(plain), ''],
    ['holdfast, ms', `${ms(ours)} ±${ms(spread / 2)}`, ''],
    ['times plain JavaScript', (plain / ours).toFixed(1), '≥ 8'],
    [`recall@${LIMIT}`, (await recall(store, given)).toFixed(4), '≥ 0.999'],
  ]
}

/** A run of one kind finds in the processor's caches what it looked at before; where the kinds take turns, the larger has displaced it. */
async function filterLines(store: KnowledgeStore, given: Data): Promise<string[][]> {
  const contender = (filter?: Record<string, unknown>): Contender => {
    return { name: '', run: (n) => search(store, query(given, n), filter) }
  }
  const alone = async (filter?: Record<string, unknown>): Promise<number> =>
    (await compare([contender(filter)], QUERIES))[0]!.medianUs
  const [all, tenth] = [await alone(), await alone(TENTH)]
  const [allInTurn, tenthInTurn] = await compare([contender(), contender(TENTH)], QUERIES)
  return [
    ['filtered to a tenth, ms', ms(tenth), ''],
    ['times the speed of all, each in a run of its own', (all / tenth).toFixed(1), '≥ 3'],
    ['times the speed of all, taking turns', (allInTurn!.medianUs / tenthInTurn!.medianUs).toFixed(1), ''],
    ['filtered to a hundredth, ms', ms(await alone({ hundredth: 3 })), ''],
    ['filtered to nine tenths, ms', ms(await alone({ tenth: { $ne: 3 } })), ''],
  ]
}

/** What a search costs whatever the size: nearly all of it is not the scan. */
async function smallLine(store: KnowledgeStore, given: Data): Promise<string[]> {
  const small = { ...given, count: SMALL }
  await fill(store, small, 'small')
  const run = (n: number): Promise<string[]> => search(store, query(given, n), {}, 'small')
  const [found] = await compare([{ name: 'small', run }], 40 * QUERIES)
  return [`of ${SMALL.toLocaleString('en')} documents, ms`, ms(found!.medianUs), '']
}

async function comparison(store: KnowledgeStore, given: Data): Promise<readonly [number, number, number]> {
  const [plain, ours] = await compare(
    [
      { name: 'plain', run: (n) => plainScan(given, query(given, n)) },
      { name: 'holdfast', run: (n) => search(store, query(given, n)) },
    ],
    QUERIES,
  )
  return [plain!.medianUs, ours!.medianUs, ours!.spreadUs]
}

async function recall(store: KnowledgeStore, given: Data): Promise<number> {
  let found = 0
  for (const wanted of given.queries) {
    const hits = new Set(await search(store, wanted))
    found += plainScan(given, wanted).filter((id) => hits.has(id)).length
  }
  return found / (LIMIT * given.queries.length)
}

/** Ten rounds of 50 searches at once. */
async function concurrency(store: KnowledgeStore, given: Data): Promise<string[][]> {
  const rounds: number[] = []
  const { p99Ms, maxMs } = await loopDelay(async () => {
    for (let round = 0; round < 10; round++) {
      rounds.push(await timed(() => Promise.all(given.queries.slice(0, 50).map((wanted) => search(store, wanted)))))
    }
  })
  return [
    ['50 at once: event-loop delay p99 (max), ms', `${p99Ms.toFixed(1)} (${maxMs.toFixed(1)})`, '< 5'],
    ['50 at once: searches a second', Math.round(50_000 / summary(rounds).medianUs).toString(), ''],
  ]
}

async function search(
  store: KnowledgeStore,
  embedding: Float32Array,
  filter: Record<string, unknown> = {},
  collection = 'docs',
): Promise<string[]> {
  return (await store.search(collection, { embedding, limit: LIMIT, filter })).map(({ id }) => id)
}

/** What a careful user writes: dot products of unit vectors in one typed array, and the best few kept sorted. */
function plainScan({ matrix, count, dimension }: Data, wanted: Float32Array): string[] {
  const best: { id: string; score: number }[] = []
  for (let i = 0; i < count; i++) {
    let score = 0
    for (let d = 0, at = i * dimension; d < dimension; d++, at++) score += matrix[at]! * wanted[d]!
    if (best.length < LIMIT || score > best[LIMIT - 1]!.score) {
      best.push({ id: `d${i}`, score })
      best.sort((a, b) => b.score - a.score)
      if (best.length > LIMIT) best.pop()
    }
  }
  return best.map(({ id }) => id)
}

/** Clustered: Gaussian clouds about random centres, as texts about one subject are; without clusters every direction is as likely. */
export function data(count: number, dimension: number, clusters: number): Data {
  const next = generator(dimension + clusters)
  const centres = Array.from({ length: clusters }, () => gaussian(dimension, next))
  const draw = (): Float32Array => {
    const noise = gaussian(dimension, next)
    const centre = centres[Math.floor(next() * clusters)]
    const vector = centre === undefined ? noise : noise.map((x, i) => centre[i]! + 0.5 * x)
    const length = Math.hypot(...vector)
    return vector.map((x) => x / length)
  }
  const matrix = new Float32Array(count * dimension)
  for (let i = 0; i < count; i++) matrix.set(draw(), i * dimension)
  const kind = clusters === 0 ? 'isotropic' : `${clusters} clusters`
  return { name: `${dimension} numbers, ${kind}`, dimension, count, matrix, queries: Array.from({ length: QUERIES }, draw) }
}

/** Sums of uniform numbers, near enough and quick. */
function gaussian(length: number, next: () => number): Float32Array {
  return Float32Array.from({ length }, () => next() + next() + next() - 1.5)
}

function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function query({ queries }: Data, n: number): Float32Array {
  return queries[n % queries.length]!
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

function ms(us: number): string {
  return (us / 1000).toFixed(2)
}

if (import.meta.main) console.log(await vectors(Number(process.argv[2] ?? DOCUMENTS)))
