/** Forking a session and restoring one from an export. */
import { deepStrictEqual, notStrictEqual, strictEqual } from 'node:assert/strict'
import type { Message, Session } from '../../conversation/contract.ts'
import {
  expectError,
  expectNotApplied,
  expectRefused,
  FUTURE,
  idsOf,
  messageAt,
  range,
  said,
  seqsOf,
  sessionAt,
  START,
  stateOf,
  talk,
  type ConversationCase,
} from './support.ts'

/** The messages as they must be in a fork: the same but for the session. */
function movedTo(sessionId: string, messages: readonly Message[]): Message[] {
  return messages.map((message) => ({ ...message, sessionId }))
}

const forking: ConversationCase[] = [
  {
    id: 'conversation/fork/copies',
    sentence: 'A fork is a new session with the same fields and messages, their ids, seq and times included.',
    async run({ store }) {
      const source = await store.createSession({
        id: 's',
        userId: 'u',
        agentId: 'a',
        name: 'n',
        state: { a: {} },
        metadata: { b: [] },
      })
      const parts = [{ type: 'reasoning', text: 'hm' }]
      await store.addMessages('s', [said('one', 'm1'), { role: 'assistant', parts, createdAt: new Date(START) }, said('three')])
      await store.deleteMessages('s', ['m1'])
      const messages = await store.getMessages('s')
      const fork = await store.forkSession('s')
      notStrictEqual(fork.id, 's')
      deepStrictEqual([fork.userId, fork.agentId, fork.name], [source.userId, source.agentId, source.name])
      deepStrictEqual([fork.state, fork.metadata, fork.lastSeq], [source.state, source.metadata, 3])
      deepStrictEqual(await stateOf(store, fork.id), { session: fork, messages: movedTo(fork.id, messages) })
    },
  },
  {
    id: 'conversation/fork/at-seq',
    sentence: 'With atSeq a fork holds the messages up to that seq, and goes on behind it.',
    async run({ store }) {
      await talk(store, 's', 5)
      const fork = await store.forkSession('s', { atSeq: 3, newId: 'f' })
      deepStrictEqual([fork.id, fork.lastSeq], ['f', 3])
      deepStrictEqual(seqsOf(await store.getMessages('f')), [1, 2, 3])
      strictEqual((await store.addMessage('f', said('another way'))).seq, 4)
      deepStrictEqual(await store.getMessages((await store.forkSession('s', { atSeq: 0 })).id), [])
    },
  },
  {
    id: 'conversation/fork/independent',
    sentence: 'A fork and its source do not touch each other afterwards.',
    async run({ store }) {
      await talk(store, 's', 3)
      const source = await stateOf(store, 's')
      const { id } = await store.forkSession('s')
      deepStrictEqual(await stateOf(store, 's'), source)
      await store.addMessage(id, said('only here'))
      await store.updateMessage(id, 'm1', { content: 'changed' })
      await store.updateSession(id, { state: { forked: true } })
      deepStrictEqual(await stateOf(store, 's'), source)
      const fork = await stateOf(store, id)
      await store.deleteSession('s')
      deepStrictEqual(await stateOf(store, id), fork)
    },
  },
  {
    id: 'conversation/fork/long',
    sentence: 'A fork of a long session is whole.',
    async run({ store }) {
      await talk(store, 's', 700)
      const { id } = await store.forkSession('s')
      deepStrictEqual(seqsOf(await store.getMessages(id)), range(1, 700))
    },
  },
  {
    id: 'conversation/fork/refused',
    sentence: 'Forking a session that does not exist is NOT_FOUND; to an id that is taken, a CONFLICT that changes nothing.',
    async run({ store }) {
      await talk(store, 's', 2)
      await talk(store, 'taken', 1)
      const before = await stateOf(store, 'taken')
      await expectNotApplied('NOT_FOUND', () => store.forkSession('missing', { newId: 'f' }), store)
      await expectNotApplied('CONFLICT', () => store.forkSession('s', { newId: 'taken' }), store)
      await expectNotApplied('CONFLICT', () => store.forkSession('s', { newId: 's' }), store)
      deepStrictEqual(await stateOf(store, 'taken'), before)
      for (const atSeq of [-1, 0.5, Number.NaN]) await expectError('INVALID_ARGUMENT', () => store.forkSession('s', { atSeq }))
      deepStrictEqual(idsOf((await store.listSessions()).items).toSorted(), ['s', 'taken'])
    },
  },
]

const WHOLE: Session = sessionAt('s', FUTURE, {
  userId: 'u',
  agentId: 'a',
  name: 'n',
  state: { z: {}, a: [] },
  metadata: { z: null },
  lastSeq: 12,
  version: 7,
})

const PARTS: Message[] = [
  messageAt('s', 2, { id: 'first', createdAt: new Date(0), metadata: {} }),
  messageAt('s', 3, { id: 'second', role: 'assistant', content: null, parts: [{ type: 'data-x', value: {} }], toolCalls: [] }),
  messageAt('s', 9, { id: 'third', role: 'tool', toolCallId: 'c', content: 'a\0b', createdAt: new Date(-5) }),
]

const restoring: ConversationCase[] = [
  {
    id: 'conversation/restore/exact',
    sentence: 'restore keeps everything of a session and its messages: ids, seq with its gaps, version, lastSeq and times.',
    async run({ store }) {
      await store.restore(WHOLE, PARTS)
      deepStrictEqual(await stateOf(store, 's'), { session: WHOLE, messages: PARTS })
    },
  },
  {
    id: 'conversation/restore/goes-on',
    sentence: 'A restored session goes on behind its lastSeq, even where the newest message is older.',
    async run({ store }) {
      await store.restore(WHOLE, PARTS)
      strictEqual((await store.addMessage('s', said('next'))).seq, 13)
      strictEqual((await store.updateSession('s', { name: 'm' }, { ifVersion: 7 })).version, 8)
      await expectError('CONFLICT', () => store.addMessage('s', said('taken', 'first')), store)
    },
  },
  {
    id: 'conversation/restore/round-trip',
    sentence: 'What is exported from one workspace and restored in another is the same there.',
    async run({ store }) {
      await talk(store, 's', 5)
      await store.deleteMessages('s', ['m2', 'm5'])
      await store.updateSession('s', { state: { a: 1 } })
      const exported = await stateOf(store, 's')
      const other = store.workspace('import')
      await other.restore(exported.session!, exported.messages)
      deepStrictEqual(await stateOf(other, 's'), exported)
      deepStrictEqual(await stateOf(store, 's'), exported)
    },
  },
  {
    id: 'conversation/restore/conflict',
    sentence: 'Restoring a session whose id is taken is a CONFLICT and changes nothing.',
    async run({ store }) {
      await talk(store, 's', 2)
      const before = await stateOf(store, 's')
      await expectNotApplied('CONFLICT', () => store.restore(WHOLE, PARTS), store)
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
  {
    id: 'conversation/restore/long',
    sentence: 'restore takes a long session, whole.',
    async run({ store }) {
      const messages = range(1, 1_500).map((n) => messageAt('s', n))
      await store.restore(sessionAt('s', START, { lastSeq: 1_500 }), messages)
      deepStrictEqual(await store.getMessages('s'), messages)
    },
  },
  {
    id: 'conversation/restore/checked',
    sentence:
      'What could not have been exported is refused, and nothing is written: tied or falling seq, seq beyond lastSeq, an id twice.',
    async run({ store }) {
      const session = sessionAt('s', START, { lastSeq: 3 })
      const bad = [
        [messageAt('s', 1), messageAt('s', 1, { id: 'other' })],
        [messageAt('s', 4)],
        [messageAt('s', 0)],
        [messageAt('s', 1.5)],
        [messageAt('s', 1), messageAt('s', 2, { id: 'm1' })],
        [messageAt('s', 1, { createdAt: new Date(Number.NaN) })],
      ]
      for (const messages of bad) await expectRefused(() => store.restore(session, messages))
      const sessions = [{ lastSeq: -1 }, { version: 0 }, { version: 1.5 }, { updatedAt: new Date(Number.NaN) }, { id: '' }]
      for (const wrong of sessions) await expectRefused(() => store.restore({ ...session, ...wrong }, []))
      deepStrictEqual(await store.listSessions(), { items: [] })
    },
  },
]

export const historyCases: ConversationCase[] = [...forking, ...restoring]
