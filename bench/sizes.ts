/**
 * The embedded stores at 1,000, 10,000, 100,000 and 1,000,000 messages and keys, against hand-written code on files of the same size: what is
 * done to them must not grow with them, or not more than by hand. Half of the messages are in one long session, the others in sessions of
 * ten, of users of twenty sessions. Texts are short, so that the largest files stay below a gigabyte. All sizes take turns, and so their
 * growth stands as well.
 *
 * `npm run bench -- --sizes` takes some minutes; `--sizes 1000 10000` only these sizes.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CONVERSATION_STORES, STATE_STORES, type ConversationStore, type StateStore } from '../src/index.ts'
import { conversationByHand, stateByHand, type HandConversation, type HandState } from './by-hand.ts'
import { atOnce, compare, table, type Contender, type Timing } from './measure.ts'

const SIZES = [1_000, 10_000, 100_000, 1_000_000]
const TEXT = 'All work and no play makes a dull log line. '.repeat(4)
const MESSAGE = { role: 'user', content: TEXT }
const MESSAGES_A_SESSION = 10
const SESSIONS_A_USER = 20
const MANY = 1_000
const BATCH = 500

interface Sides {
  readonly size: number
  readonly sessions: number
  readonly handConversation: HandConversation
  readonly conversation: ConversationStore
  readonly handState: HandState
  readonly state: StateStore
}

interface Question {
  readonly what: string
  readonly rounds: number
  byHand(sides: Sides, round: number): unknown
  ours(sides: Sides, round: number): unknown
}

const QUESTIONS: readonly Question[] = [
  {
    what: 'append to the longest session',
    rounds: 300,
    byHand: ({ handConversation: c }) => c.transaction(() => void c.append('long', MESSAGE)),
    ours: ({ conversation }) => conversation.addMessage('long', MESSAGE),
  },
  {
    what: 'append to a short session',
    rounds: 300,
    byHand: ({ handConversation: c, ...sides }, n) => c.transaction(() => void c.append(sessionOf(sides, n), MESSAGE)),
    ours: ({ conversation, ...sides }, n) => conversation.addMessage(sessionOf(sides, n), MESSAGE),
  },
  {
    what: '1,000 concurrent appends',
    rounds: 20,
    byHand: ({ handConversation: c, ...sides }, n) =>
      atOnce(MANY, (i) => c.appendGrouped(sessionOf(sides, n * MANY + i), MESSAGE)),
    ours: ({ conversation, ...sides }, n) =>
      atOnce(MANY, (i) => conversation.addMessage(sessionOf(sides, n * MANY + i), MESSAGE)),
  },
  {
    what: 'newest 50 of the longest session',
    rounds: 400,
    byHand: ({ handConversation }) => handConversation.newest('long', 50),
    ours: ({ conversation }) => conversation.getMessages('long', { limit: 50 }),
  },
  {
    what: 'list 20 sessions of a user',
    rounds: 400,
    byHand: ({ handConversation, ...sides }, n) => handConversation.list(userOf(sides, n), 20),
    ours: ({ conversation, ...sides }, n) => conversation.listSessions({ userId: userOf(sides, n), limit: 20 }),
  },
  {
    what: 'set a key',
    rounds: 400,
    byHand: ({ handState, size }, n) => handState.set(keyOf(size, n), value(n + 0.5)),
    ours: ({ state, size }, n) => state.set(keyOf(size, n), value(n + 0.5)),
  },
  {
    what: '1,000 concurrent sets',
    rounds: 20,
    byHand: ({ handState, size }, n) => atOnce(MANY, (i) => handState.setGrouped(keyOf(size, n * MANY + i), value(n + i / 7))),
    ours: ({ state, size }, n) => atOnce(MANY, (i) => state.set(keyOf(size, n * MANY + i), value(n + i / 7))),
  },
  {
    what: 'get a key',
    rounds: 2_000,
    byHand: ({ handState, size }, n) => handState.get(keyOf(size, n)),
    ours: ({ state, size }, n) => state.get(keyOf(size, n)),
  },
  {
    what: 'scan a page of 100 keys',
    rounds: 400,
    byHand: ({ handState, size }, n) => handState.scan(keyOf(size, n), 100),
    ours: ({ state, size }, n) => state.scan({ prefix: keyOf(size, n).slice(0, -3), limit: 100 }),
  },
]

export async function sizes(names: readonly string[] = []): Promise<string> {
  const wanted = names.length === 0 ? SIZES : names.map(Number)
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sizes-'))
  const sides: Sides[] = []
  try {
    for (const size of wanted) sides.push(await fill(folder, size))
    const lines: string[][] = []
    for (const question of QUESTIONS) lines.push(...(await answers(question, sides)))
    return table(['sizes, µs (median)', 'size', 'hand-written', 'holdfast', 'ratio', 'grown by hand', 'grown'], lines)
  } finally {
    for (const { handConversation, conversation, handState, state } of sides) {
      handConversation.close()
      handState.close()
      await Promise.all([conversation.close(), state.close()])
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A line a size; what it grew is relative to the smallest. */
async function answers({ what, rounds, byHand, ours }: Question, sides: readonly Sides[]): Promise<string[][]> {
  const contenders = sides.flatMap((one): Contender[] => [
    { name: 'by hand', run: (n) => byHand(one, n) },
    { name: 'holdfast', run: (n) => ours(one, n) },
  ])
  const timings = await compare(contenders, rounds)
  return sides.map(({ size }, i) => {
    const [hand, holdfast] = [timings[2 * i]!, timings[2 * i + 1]!]
    const grown = [ratio(hand, timings[0]!), ratio(holdfast, timings[1]!)]
    return [
      i === 0 ? what : '',
      size.toLocaleString('en'),
      us(hand.medianUs),
      us(holdfast.medianUs),
      ratio(holdfast, hand),
      ...grown,
    ]
  })
}

async function fill(folder: string, size: number): Promise<Sides> {
  const at = (name: string): string => join(folder, `${name}-${size}.db`)
  const sides: Sides = {
    size,
    sessions: size / 2 / MESSAGES_A_SESSION,
    handConversation: conversationByHand(at('hand-conversation')),
    conversation: await CONVERSATION_STORES.create('sqlite', { path: at('conversation') }),
    handState: stateByHand(at('hand-state')),
    state: await STATE_STORES.create('sqlite', { path: at('state') }),
  }
  await fillSessions(sides)
  await fillMessages(sides)
  await fillKeys(sides)
  return sides
}

async function fillSessions(sides: Sides): Promise<void> {
  const { sessions, handConversation: hand, conversation } = sides
  const ids = ['long', ...Array.from({ length: sessions }, (_, i) => `s${i}`)]
  for (const some of batches(ids)) {
    hand.transaction(() => some.forEach((id) => void hand.create(id, ownerOf(id))))
    await Promise.all(some.map((id) => conversation.createSession({ id, userId: ownerOf(id) })))
  }
}

/** In the order in which they would come: a turn in each session, then the next. */
async function fillMessages(sides: Sides): Promise<void> {
  const { size, sessions, handConversation: hand, conversation } = sides
  const targets = Array.from({ length: size }, (_, i) => (i % 2 === 0 ? 'long' : `s${Math.floor(i / 2) % sessions}`))
  for (const some of batches(targets)) {
    hand.transaction(() => some.forEach((id) => void hand.append(id, MESSAGE)))
    await Promise.all(some.map((id) => conversation.addMessage(id, MESSAGE)))
  }
}

async function fillKeys({ size, handState, state }: Sides): Promise<void> {
  const keys = Array.from({ length: size }, (_, i) => nameOf(i))
  for (const some of batches(keys)) {
    handState.transaction(() => some.forEach((key) => void handState.set(key, value(0))))
    await state.setMany(some.map((key) => [key, value(0)] as const))
  }
}

function* batches<T>(items: readonly T[]): Generator<readonly T[], void> {
  for (let at = 0; at < items.length; at += BATCH) yield items.slice(at, at + BATCH)
}

function ownerOf(session: string): string {
  return session === 'long' ? 'u' : `u${Math.floor(Number(session.slice(1)) / SESSIONS_A_USER)}`
}

/** Scattered over all there are. */
function scattered(round: number, count: number): number {
  return (round * 7_919) % count
}

function sessionOf({ sessions }: Pick<Sides, 'sessions'>, round: number): string {
  return `s${scattered(round, sessions)}`
}

function userOf(sides: Pick<Sides, 'sessions'>, round: number): string {
  return ownerOf(sessionOf(sides, round))
}

function keyOf(size: number, round: number): string {
  return nameOf(scattered(round, size))
}

function nameOf(i: number): string {
  return `key-${String(i).padStart(7, '0')}`
}

/** Each value differs: SQLite does not even write a row that stays the same. */
function value(n: number): { text: string; n: number } {
  return { text: TEXT, n }
}

function ratio(a: Timing, b: Timing): string {
  return (a.medianUs / b.medianUs).toFixed(2)
}

function us(micros: number): string {
  return micros >= 1000 ? Math.round(micros).toLocaleString('en') : micros.toFixed(1)
}

if (import.meta.main) console.log(await sizes(process.argv.slice(2)))
