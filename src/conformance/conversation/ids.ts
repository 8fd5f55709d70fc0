/** Ids are any text: nothing is folded, trimmed, normalised, cut or interpreted. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../../conversation/store.ts'
import { BAD_IDS, HOSTILE_TEXTS, NEAR_DUPLICATES, NON_STRINGS } from '../hostile.ts'
import {
  allPages,
  appendAll,
  expectNotApplied,
  expectTypeError,
  idsOf,
  inParallel,
  said,
  seqsOf,
  stateOf,
  talk,
  type ConversationCase,
} from './support.ts'

/** The hostile texts, and which of them each is. */
const NUMBERED = [...HOSTILE_TEXTS.entries()]

const hostile: ConversationCase[] = [
  {
    id: 'conversation/ids/sessions',
    sentence: 'Any text of 1–512 bytes is a session id; each names its own session, with its own messages.',
    async run({ store }) {
      await inParallel(NUMBERED, 8, async ([n, id]) => {
        await store.createSession({ id, metadata: { n } })
        await store.addMessage(id, said(`in ${n}`))
      })
      for (const [n, id] of NUMBERED) {
        const { session, messages } = await stateOf(store, id)
        strictEqual(session?.id, id)
        deepStrictEqual(
          [session?.metadata, messages.map(({ sessionId, content }) => [sessionId, content])],
          [{ n }, [[id, `in ${n}`]]],
        )
      }
      const listed = await allPages(100, (cursor) => store.listSessions({ cursor }))
      deepStrictEqual(new Set(idsOf(listed)), new Set(HOSTILE_TEXTS))
      strictEqual(listed.length, HOSTILE_TEXTS.length)
    },
  },
  {
    id: 'conversation/ids/sessions-deleted',
    sentence: 'Updating and deleting under a hostile id touches that session alone.',
    async run({ store }) {
      await inParallel(HOSTILE_TEXTS, 8, (id) => store.createSession({ id }))
      const [gone, kept] = [HOSTILE_TEXTS.filter((_, i) => i % 2 === 0), HOSTILE_TEXTS.filter((_, i) => i % 2 === 1)]
      for (const id of kept) await store.updateSession(id, { name: id })
      for (const id of gone) strictEqual(await store.deleteSession(id), true, JSON.stringify(id))
      const left = await allPages(100, (cursor) => store.listSessions({ cursor }))
      deepStrictEqual(new Map(left.map(({ id, name }) => [id, name])), new Map(kept.map((id) => [id, id])))
    },
  },
  {
    id: 'conversation/ids/messages',
    sentence: 'Any text of 1–512 bytes is a message id.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      await appendAll(
        store,
        's',
        HOSTILE_TEXTS.map((id) => said('text', id)),
      )
      deepStrictEqual(idsOf(await store.getMessages('s')), HOSTILE_TEXTS)
      for (const [n, id] of NUMBERED) await store.updateMessage('s', id, { content: `${n}` })
      deepStrictEqual(
        (await store.getMessages('s')).map(({ content }) => content),
        NUMBERED.map(([n]) => `${n}`),
      )
      const gone = HOSTILE_TEXTS.filter((_, i) => i % 2 === 0)
      strictEqual(await store.deleteMessages('s', gone), gone.length)
      deepStrictEqual(
        idsOf(await store.getMessages('s')),
        HOSTILE_TEXTS.filter((_, i) => i % 2 === 1),
      )
    },
  },
  {
    id: 'conversation/ids/owners',
    sentence: 'Any text of 1–512 bytes is a user or agent id, and finds only its own sessions.',
    async run({ store }) {
      await inParallel(NUMBERED, 8, ([n, owner]) => store.createSession({ id: `s${n}`, userId: owner, agentId: owner }))
      for (const [n, owner] of NUMBERED) {
        const { items } = await store.listSessions({ userId: owner })
        deepStrictEqual(
          items.map(({ id, userId, agentId }) => [id, userId, agentId]),
          [[`s${n}`, owner, owner]],
        )
        deepStrictEqual(idsOf((await store.listSessions({ agentId: owner })).items), [`s${n}`])
      }
      for (const [one] of NEAR_DUPLICATES.slice(0, 12)) await store.deleteUser(one)
      const left = new Set(NEAR_DUPLICATES.slice(0, 12).map(([one]) => one))
      strictEqual((await allPages(100, (cursor) => store.listSessions({ cursor }))).length, HOSTILE_TEXTS.length - left.size)
    },
  },
  {
    id: 'conversation/ids/distinct',
    sentence: 'Ids that differ only in case, spaces, normalisation or a far byte are different.',
    async run({ store }) {
      for (const [one, two] of NEAR_DUPLICATES) {
        if ((await store.getSession(one)) === undefined) await talk(store, one, 1)
        if ((await store.getSession(two)) === undefined) await store.createSession({ id: two })
        deepStrictEqual(await store.getMessages(two, { after: 1 }), [], JSON.stringify([one, two]))
      }
      const ids = new Set(NEAR_DUPLICATES.flat())
      strictEqual((await allPages(100, (cursor) => store.listSessions({ cursor }))).length, ids.size)
    },
  },
  {
    id: 'conversation/ids/distinct-messages',
    sentence: 'Message ids that differ only so are different as well: neither a CONFLICT nor deleted together.',
    async run({ store }) {
      for (const [n, [one, two]] of NEAR_DUPLICATES.entries()) {
        await store.createSession({ id: `s${n}` })
        await store.addMessages(`s${n}`, [said('one', one), said('two', two)])
        strictEqual(await store.deleteMessages(`s${n}`, [one]), 1, JSON.stringify([one, two]))
        deepStrictEqual(seqsOf(await store.getMessages(`s${n}`)), [2])
      }
    },
  },
]

/** Every way to hand over an id. */
function uses(store: ConversationStore, id: string): (() => Promise<unknown>)[] {
  return [
    () => store.createSession({ id }),
    () => store.createSession({ userId: id }),
    () => store.createSession({ agentId: id }),
    () => store.getSession(id),
    () => store.updateSession(id, { name: 'n' }),
    () => store.updateSession('s', { userId: id }),
    () => store.upsertSession({ id }),
    () => store.deleteSession(id),
    () => store.listSessions({ userId: id }),
    () => store.listSessions({ agentId: id }),
    () => store.addMessage(id, said('x')),
    () => store.addMessage('s', said('x', id)),
    () => store.addMessages('s', [said('fine'), said('x', id)]),
    () => store.getMessages(id),
    () => store.getMessage(id, 'm1'),
    () => store.getMessage('s', id),
    () => store.iterateMessages(id)[Symbol.asyncIterator]().next(),
    () => store.updateMessage(id, 'm1', { content: 'x' }),
    () => store.updateMessage('s', id, { content: 'x' }),
    () => store.deleteMessages(id),
    () => store.deleteMessages('s', ['m1', id]),
    () => store.truncate(id, 0),
    () => store.forkSession(id),
    () => store.forkSession('s', { newId: id }),
    () => store.deleteUser(id),
    ...(store.capabilities.search ? [() => store.searchMessages({ text: 'x', userId: id })] : []),
  ]
}

const refused: ConversationCase[] = [
  {
    id: 'conversation/ids/bad',
    sentence:
      'An id that is empty, longer than 512 bytes, ill-formed or holds U+0000 is INVALID_ARGUMENT everywhere, and nothing is written.',
    async run({ store }) {
      await talk(store, 's', 1)
      const before = await stateOf(store, 's')
      for (const [, id] of BAD_IDS) for (const use of uses(store, id)) await expectNotApplied('INVALID_ARGUMENT', use)
      deepStrictEqual(await stateOf(store, 's'), before)
      strictEqual((await store.listSessions()).items.length, 1)
    },
  },
  {
    id: 'conversation/ids/no-string',
    sentence: 'An id that is no string is a TypeError everywhere, and nothing is written.',
    async run({ store }) {
      await talk(store, 's', 1)
      const before = await stateOf(store, 's')
      // In a patch null is a value: it removes the user.
      const wrong = NON_STRINGS.filter((value) => value !== null) as string[]
      for (const id of wrong) for (const use of uses(store, id)) await expectTypeError(use)
      await expectTypeError(() => store.getSession(undefined as unknown as string))
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
]

export const idCases: ConversationCase[] = [...hostile, ...refused]
