/**
 * The embedded stores against hand-written code on the same engine: same file system, same durability (WAL, synchronous=FULL), same
 * data. What the ratio exceeds 1 by is what the contract costs: validation, exact JSON, workspaces, sequence numbers, promises. What is
 * called 1,000 times at once is so by hand too, with a promise a call and group commit; one loop in one transaction, which no caller of
 * 1,000 promises can have, is shown beside it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } from '../src/index.ts'
import { conversationByHand, stateByHand } from './by-hand.ts'
import { atOnce, compare, table, type Contender } from './measure.ts'

const CONTENT = 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1024)
const MESSAGE = { role: 'user', content: CONTENT }
const SESSIONS = 2_000
const KEYS = 10_000
const MANY = 1_000
const DOCUMENTS = 20_000
const DIMENSION = 384

interface Comparison {
  readonly what: string
  readonly rounds: number
  /** Hand-written first; third, where there is one, the loop in one transaction. */
  readonly contenders: readonly Contender[]
}

export async function embedded(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    const lines: string[][] = []
    for (const prepare of [conversation, state, knowledge]) {
      const { comparisons, close } = await prepare(folder)
      for (const comparison of comparisons) lines.push(await line(comparison))
      await close()
    }
    const machine = `${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.version}, SQLite ${process.versions.sqlite ?? '?'}`
    return `${table(['embedded, µs (median)', 'hand-written', 'holdfast', 'ratio', 'spread', 'one loop'], lines)}\n${machine}`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function line({ what, rounds, contenders }: Comparison): Promise<string[]> {
  const [hand, ours, loop] = await compare(contenders, rounds)
  const ratio = (ours!.medianUs / hand!.medianUs).toFixed(2)
  return [
    what,
    us(hand!.medianUs),
    us(ours!.medianUs),
    ratio,
    `±${us(ours!.spreadUs / 2)}`,
    loop === undefined ? '' : us(loop.medianUs),
  ]
}

interface Prepared {
  readonly comparisons: readonly Comparison[]
  close(): Promise<void>
}

async function conversation(folder: string): Promise<Prepared> {
  const store = await CONVERSATION_STORES.create('sqlite', { path: join(folder, 'conversation.db') })
  const byHand = (name: string) => conversationByHand(join(folder, `${name}-conversation.db`))
  const [raw, looping] = [byHand('hand'), byHand('loop')]
  for (const each of [raw, looping]) each.transaction(() => repeat(SESSIONS, (i) => void each.create(`s${i}`, `u${i % 100}`)))
  await atOnce(SESSIONS, (i) => store.createSession({ id: `s${i}`, userId: `u${i % 100}` }))
  const batch = Array.from({ length: 100 }, () => MESSAGE)
  return {
    comparisons: [
      pair(
        'append a 1 KB message',
        500,
        () => raw.transaction(() => void raw.append('s1', MESSAGE)),
        () => store.addMessage('s1', MESSAGE),
      ),
      pair(
        '100 messages at once',
        100,
        () => raw.transaction(() => repeat(100, () => void raw.append('s2', MESSAGE))),
        () => store.addMessages('s2', batch),
      ),
      pair(
        '1,000 concurrent appends',
        30,
        () => atOnce(MANY, (i) => raw.appendGrouped(`s${i}`, MESSAGE)),
        () => atOnce(MANY, (i) => store.addMessage(`s${i}`, MESSAGE)),
        () => looping.transaction(() => repeat(MANY, (i) => void looping.append(`s${i}`, MESSAGE))),
      ),
      pair(
        'newest 50 of a session',
        500,
        () => raw.newest('s2', 50),
        () => store.getMessages('s2', { limit: 50 }),
      ),
      pair(
        'list 20 sessions of a user',
        500,
        () => raw.list('u7', 20),
        () => store.listSessions({ userId: 'u7', limit: 20 }),
      ),
    ],
    close: async () => {
      raw.close()
      looping.close()
      await store.close()
    },
  }
}

async function state(folder: string): Promise<Prepared> {
  const store = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
  const [raw, looping] = [stateByHand(join(folder, 'hand-state.db')), stateByHand(join(folder, 'loop-state.db'))]
  // Each value differs: SQLite does not even write a row that stays the same.
  const value = (n: number): { text: string; n: number } => ({ text: CONTENT.slice(0, 1000), n })
  const keys = Array.from({ length: KEYS }, (_, i) => `key-${String(i).padStart(6, '0')}`)
  for (const each of [raw, looping]) each.transaction(() => keys.forEach((key, i) => each.set(key, value(i))))
  await store.setMany(keys.map((key, i) => [key, value(i)] as const))
  const pick = (round: number): string => keys[(round * 7919) % KEYS]!
  return {
    comparisons: [
      pair(
        'set 1 KB of JSON',
        500,
        (n) => raw.set(pick(n), value(n + 0.5)),
        (n) => store.set(pick(n), value(n + 0.5)),
      ),
      pair(
        '1,000 concurrent sets',
        30,
        (n) => atOnce(MANY, (i) => raw.setGrouped(pick(n + i), value(n + i / 7))),
        (n) => atOnce(MANY, (i) => store.set(pick(n + i), value(n + i / 7))),
        (n) => looping.transaction(() => repeat(MANY, (i) => void looping.set(pick(n + i), value(n + i / 7)))),
      ),
      pair(
        'get 1 KB of JSON',
        2000,
        (n) => raw.get(pick(n)),
        (n) => store.get(pick(n)),
      ),
      pair(
        'scan a page of 100 keys',
        500,
        (n) => raw.scan(pick(n), 100),
        (n) => store.scan({ prefix: pick(n).slice(0, 8), limit: 100 }),
      ),
    ],
    close: async () => {
      raw.close()
      looping.close()
      await store.close()
    },
  }
}

async function knowledge(folder: string): Promise<Prepared> {
  const store = await KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db') })
  await store.createCollection('docs', { dimension: DIMENSION })
  const vectors = Array.from({ length: DOCUMENTS }, randomUnitVector)
  for (let i = 0; i < DOCUMENTS; i += 1000) {
    await store.insert(
      'docs',
      vectors
        .slice(i, i + 1000)
        .map((embedding, j) => ({ id: `d${i + j}`, content: 'text', embedding, metadata: { tenth: (i + j) % 10 } })),
    )
  }
  const matrix = new Float32Array(DOCUMENTS * DIMENSION)
  vectors.forEach((vector, i) => matrix.set(vector, i * DIMENSION))
  return {
    comparisons: [
      pair(
        'search the top 10 of 20,000 × 384',
        40,
        (n) => plainScan(matrix, vectors[n % DOCUMENTS]!, () => true),
        (n) => store.search('docs', { embedding: vectors[n % DOCUMENTS]!, limit: 10 }),
      ),
      pair(
        'the same, filtered to a tenth',
        40,
        (n) => plainScan(matrix, vectors[n % DOCUMENTS]!, (i) => i % 10 === 3),
        (n) => store.search('docs', { embedding: vectors[n % DOCUMENTS]!, limit: 10, filter: { tenth: 3 } }),
      ),
    ],
    close: () => store.close(),
  }
}

/** What a careful user writes: dot products of unit vectors in one typed array, then a partial sort. */
function plainScan(matrix: Float32Array, query: Float32Array, keep: (i: number) => boolean): { i: number; score: number }[] {
  const best: { i: number; score: number }[] = []
  for (let i = 0; i < DOCUMENTS; i++) {
    if (!keep(i)) continue
    let score = 0
    for (let d = 0, at = i * DIMENSION; d < DIMENSION; d++, at++) score += matrix[at]! * query[d]!
    if (best.length < 10 || score > best[9]!.score) {
      best.push({ i, score })
      best.sort((a, b) => b.score - a.score)
      if (best.length > 10) best.pop()
    }
  }
  return best
}

function randomUnitVector(): Float32Array {
  const vector = Float32Array.from({ length: DIMENSION }, () => Math.random() - 0.5)
  const norm = Math.hypot(...vector)
  return vector.map((x) => x / norm)
}

function pair(what: string, rounds: number, hand: Contender['run'], ours: Contender['run'], loop?: Contender['run']): Comparison {
  const contenders = [
    { name: 'hand-written', run: hand },
    { name: 'holdfast', run: ours },
  ]
  return { what, rounds, contenders: loop === undefined ? contenders : [...contenders, { name: 'one loop', run: loop }] }
}

function repeat(times: number, work: (i: number) => void): void {
  for (let i = 0; i < times; i++) work(i)
}

function us(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(1)
}
