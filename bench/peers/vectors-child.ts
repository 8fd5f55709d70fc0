/** The process of one contender: does what the bench asks for by messages, times it, and answers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { loopDelay, summary } from '../measure.ts'
import { CONTENDERS } from './vectors-contenders.ts'
import { readBatch, type DataSet } from './vectors-data.ts'
import type { VectorStore } from './vectors-frame.ts'
import type { Burst, Searched } from './vectors-process.ts'

/** What can be asked; the methods of `VectorProcess` say what each yields. */
export type Request =
  | { readonly ask: 'open'; readonly contender: string; readonly folder: string; readonly set: DataSet }
  | { readonly ask: 'insert'; readonly from: number }
  | { readonly ask: 'ready' | 'rss' | 'close' }
  | { readonly ask: 'search'; readonly query: number; readonly filtered: boolean; readonly times: number }
  | { readonly ask: 'burst'; readonly atOnce: number }

const LONG_ENOUGH_MS = 200
const TICK_MS = 3

let store: VectorStore
let set: DataSet
let queries: Float32Array[]

async function answer(request: Request): Promise<unknown> {
  switch (request.ask) {
    case 'open':
      return open(request)
    case 'insert':
      return insert(request.from)
    case 'search':
      return search(request.query, request.filtered, request.times)
    case 'burst':
      return burst(request.atOnce)
    default:
      return PLAIN[request.ask]()
  }
}

const PLAIN: Readonly<Record<'ready' | 'rss' | 'close', () => Promise<unknown>>> = {
  ready: () =>
    timed(async () => {
      await store.ready?.()
      await store.search(queries[0]!, false)
    }),
  rss: async () => residentMb(),
  close: async () => store.close(),
}

async function open(request: Extract<Request, { ask: 'open' }>): Promise<void> {
  const contender = CONTENDERS.find(({ name }) => name === request.contender)!
  set = request.set
  queries = set.queries.map((query) => Float32Array.from(query))
  store = await contender.open(request.folder, set.dimension)
}

async function insert(from: number): Promise<number> {
  const work = store.insertion(readBatch(set, from))
  return timed(async () => work())
}

async function search(at: number, filtered: boolean, times: number): Promise<Searched> {
  let ids: readonly string[] = []
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    took.push(
      await timed(async () => {
        ids = await store.search(queries[at % queries.length]!, filtered)
      }),
    )
  }
  return { ms: took.at(-1)!, ids }
}

/**
 * Bursts for a fifth of a second, one at least. The monitor sees a delay only at its next tick, so that it is given one before and after
 * each burst, which is no part of the burst's own time.
 */
async function burst(atOnce: number): Promise<Burst> {
  const all = (): Promise<unknown> =>
    Promise.all(Array.from({ length: atOnce }, (_, i) => store.search(queries[i % queries.length]!, false)))
  const took: number[] = []
  const until = performance.now() + LONG_ENOUGH_MS
  const { p99Ms } = await loopDelay(async () => {
    do {
      await sleep(TICK_MS)
      took.push(await timed(all))
      await sleep(TICK_MS)
    } while (performance.now() < until)
  })
  return { ms: summary(took).medianUs, p99Ms }
}

/** What is garbage is not the contender's need. */
function residentMb(): number {
  globalThis.gc?.()
  return process.memoryUsage().rss / 1e6
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

process.on('message', (request: Request) => {
  answer(request).then(
    (value) => process.send?.({ value }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
  )
})
