/**
 * `async_sqlite` against `sqlite`: the same backend with its connection in a worker thread or in the program's own. What a call
 * costs more, and how much less the event loop waits for it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CONVERSATION_STORES, type ConversationStore } from '../src/index.ts'
import { compare, loopDelay, table, type Contender } from './measure.ts'

const NAMES = ['sqlite', 'async_sqlite'] as const
const SESSIONS = 1_000
const ROUNDS = 5
const message = { role: 'user', content: 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1024) }

type Work = (store: ConversationStore) => Promise<unknown>

/** With their number of rounds. */
const CALLS: readonly (readonly [what: string, rounds: number, work: Work])[] = [
  ['append a 1 KB message', 500, (store) => store.addMessage('s1', message)],
  ['1,000 concurrent appends', 15, (store) => Promise.all(ids().map((id) => store.addMessage(id, message)))],
  ['newest 50 of a session', 500, (store) => store.getMessages('s1', { limit: 50 })],
  ['get a session', 1_000, (store) => store.getSession('s1')],
]

const BURSTS: readonly (readonly [what: string, work: Work])[] = [
  ['5,000 appends, 100 at once', (store) => repeat(50, () => Promise.all(ids(100).map((id) => store.addMessage(id, message))))],
  ['5,000 appends, 1,000 at once', (store) => repeat(5, () => Promise.all(ids().map((id) => store.addMessage(id, message))))],
  ['500 appends, one by one', (store) => repeat(500, () => store.addMessage('s1', message))],
]

export async function asyncSqlite(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const stores = await Promise.all(NAMES.map((name) => open(name, folder)))
  try {
    const calls = await callLines(stores)
    const bursts = await burstLines(stores)
    return [
      table(['worker thread, µs a call (median)', ...NAMES, 'ratio'], calls),
      table(['event-loop delay, p99 ms (max ms)', ...NAMES], bursts),
    ].join('\n\n')
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    rmSync(folder, { recursive: true, force: true })
  }
}

async function open(name: (typeof NAMES)[number], folder: string): Promise<ConversationStore> {
  const store = await CONVERSATION_STORES.create(name, { path: join(folder, `${name}.db`) })
  await Promise.all(ids().map((id) => store.createSession({ id })))
  return store
}

async function callLines(stores: readonly ConversationStore[]): Promise<string[][]> {
  const lines: string[][] = []
  for (const [what, rounds, work] of CALLS) {
    const contenders = stores.map((store): Contender => ({ name: store.backend, run: () => work(store) }))
    const [inline, threaded] = (await compare(contenders, rounds)).map(({ medianUs }) => medianUs)
    lines.push([what, inline!.toFixed(0), threaded!.toFixed(0), (threaded! / inline!).toFixed(2)])
  }
  return lines
}

/** The median of a few rounds, taken in turns. */
async function burstLines(stores: readonly ConversationStore[]): Promise<string[][]> {
  const lines: string[][] = []
  for (const [what, work] of BURSTS) {
    const delays = stores.map((): { p99Ms: number; maxMs: number }[] => [])
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, store] of stores.entries()) delays[i]!.push(await loopDelay(() => work(store)))
    }
    lines.push([what, ...delays.map((each) => `${median(each.map((d) => d.p99Ms))} (${median(each.map((d) => d.maxMs))})`)])
  }
  return lines
}

function median(values: readonly number[]): string {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(1)
}

function ids(count = SESSIONS): string[] {
  return Array.from({ length: count }, (_, i) => `s${i}`)
}

async function repeat(times: number, work: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < times; i++) await work()
}
