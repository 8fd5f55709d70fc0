/** Conversations: the questions, the data, and what an adapter of a contender must do to take part. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { Adapter, Question } from './frame.ts'

export interface ConversationAdapter extends Adapter {
  createSession(id: string): Promise<void>
  /** Appends one message of this text, and acknowledges it by its own rules. */
  append(sessionId: string, text: string): Promise<unknown>
  /** The texts of the newest `count`, oldest of them first. */
  newest(sessionId: string, count: number): Promise<string[]>
  /** The ids of `count` sessions, newest first. */
  list(count: number): Promise<string[]>
  /** Fills the store as fast as it can; durability does not matter here. Sessions come in this order. */
  seed(sessions: readonly SeededSession[]): Promise<void>
}

export interface SeededSession {
  readonly id: string
  readonly texts: readonly string[]
}

const TEXT = 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1016)
const SESSIONS = 20_000
const USUAL = 20
const LONG = 10_000
export const AT_ONCE = 1000

/** 1 KB; each differs. */
export function text(n: number): string {
  return `${String(n).padStart(8, '0')}${TEXT}`
}

export function sessionId(n: number): string {
  return `s${n}`
}

/** What was written is read back, or the contender does not take part. */
export async function checkConversation(api: ConversationAdapter): Promise<void> {
  await api.createSession('check')
  for (let n = 0; n < 60; n++) await api.append('check', text(n))
  assert.deepEqual(
    await api.newest('check', 50),
    Array.from({ length: 50 }, (_, i) => text(i + 10)),
    'the newest 50',
  )
  await delay(5)
  await api.createSession('check-last')
  assert.equal((await api.list(2))[0], 'check-last', 'the newest session')
}

export async function seedConversation(api: ConversationAdapter): Promise<void> {
  await api.seed([
    { id: 'long', texts: Array.from({ length: LONG }, (_, n) => text(n)) },
    ...Array.from({ length: USUAL }, (_, i) => ({ id: `usual${i}`, texts: Array.from({ length: 50 }, (_, n) => text(n)) })),
    ...Array.from({ length: SESSIONS - USUAL - 3 }, (_, i) => ({ id: sessionId(i), texts: [] })),
  ])
  assert.equal((await api.newest('long', 50)).at(-1), text(LONG - 1), 'the newest of the long session')
}

/** Reading comes first: what LangGraph lists are checkpoints, and appends make more of them. */
export const CONVERSATION_QUESTIONS: readonly Question<ConversationAdapter>[] = [
  {
    id: 'conversation-list',
    what: `list 20 of ${SESSIONS.toLocaleString('en')} sessions`,
    unit: 'ms',
    rounds: 11,
    run: async (api) => assert.equal((await api.list(20)).length, 20),
  },
  {
    id: 'conversation-newest',
    what: `newest 50 of ${LONG.toLocaleString('en')} messages`,
    unit: 'ms',
    rounds: 11,
    run: async (api) => assert.equal((await api.newest('long', 50)).length, 50),
  },
  {
    id: 'conversation-append',
    what: 'append 1 KB to a session of 50',
    unit: 'µs',
    rounds: 11,
    run: (api, n) => api.append(`usual${n % USUAL}`, text(n)),
  },
  {
    id: 'conversation-append-long',
    what: `append 1 KB to a session of ${LONG.toLocaleString('en')}`,
    unit: 'ms',
    rounds: 7,
    run: (api, n) => api.append('long', text(LONG + n)),
  },
  {
    id: 'conversation-concurrent',
    what: `${AT_ONCE.toLocaleString('en')} concurrent appends, as many sessions`,
    unit: 'ops/s',
    rounds: 7,
    atOnce: AT_ONCE,
    run: (api, n) => api.append(sessionId(n % AT_ONCE), text(n)),
  },
]
