/** Getting rid of what is old, of what belongs to a user, and of everything. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../../conversation/store.ts'
import {
  expectRefused,
  idsOf,
  inParallel,
  messageAt,
  range,
  said,
  sessionAt,
  START,
  stateOf,
  talk,
  type ConversationCase,
} from './support.ts'

/** Session `s<n>` of user `u` or `v`, last changed `n` milliseconds after the start, with `n` messages. */
async function restoreAged(store: ConversationStore, count: number): Promise<void> {
  for (const n of range(1, count)) {
    const session = sessionAt(`s${n}`, START + n, { userId: n % 2 === 0 ? 'u' : 'v', lastSeq: n })
    await store.restore(
      session,
      range(1, n).map((seq) => messageAt(session.id, seq)),
    )
  }
}

async function remaining(store: ConversationStore): Promise<string[]> {
  return idsOf((await store.listSessions({ limit: 1_000 })).items).toSorted()
}

const pruning: ConversationCase[] = [
  {
    id: 'conversation/prune/older-than',
    sentence: 'pruneSessions deletes the sessions last changed before a moment, with their messages, and counts both.',
    async run({ store }) {
      await restoreAged(store, 5)
      const four = await stateOf(store, 's4')
      deepStrictEqual(await store.pruneSessions({ olderThan: new Date(START + 4) }), { sessions: 3, messages: 1 + 2 + 3 })
      deepStrictEqual(await remaining(store), ['s4', 's5'])
      deepStrictEqual(await stateOf(store, 's4'), four)
      deepStrictEqual(await stateOf(store, 's1'), { session: undefined, messages: [] })
      deepStrictEqual(await store.pruneSessions({ olderThan: new Date(START + 4) }), { sessions: 0, messages: 0 })
    },
  },
  {
    id: 'conversation/prune/by-user',
    sentence: 'With userId pruneSessions deletes sessions of that user only.',
    async run({ store }) {
      await restoreAged(store, 6)
      deepStrictEqual(await store.pruneSessions({ olderThan: new Date(START + 5), userId: 'u' }), {
        sessions: 2,
        messages: 2 + 4,
      })
      deepStrictEqual(await remaining(store), ['s1', 's3', 's5', 's6'])
    },
  },
  {
    id: 'conversation/prune/used-again',
    sentence: 'A session that was used since is not old, whenever it was created.',
    async run({ store }) {
      await restoreAged(store, 3)
      await store.addMessage('s1', said('still here'))
      deepStrictEqual(await store.pruneSessions({ olderThan: new Date(START + 1_000) }), { sessions: 2, messages: 5 })
      deepStrictEqual(await remaining(store), ['s1'])
    },
  },
  {
    id: 'conversation/prune/many',
    sentence: 'pruneSessions deletes all that are old, however many, and only those.',
    async run({ store }) {
      await inParallel(range(1, 1_050), 50, (n) => store.restore(sessionAt(`s${n}`, START + (n % 3)), []))
      await store.createSession({ id: 'young' })
      deepStrictEqual(await store.pruneSessions({ olderThan: new Date(START + 2) }), { sessions: 700, messages: 0 })
      strictEqual((await remaining(store)).length, 351)
    },
  },
  {
    id: 'conversation/prune/checked',
    sentence: 'pruneSessions without a valid moment is refused; it never deletes everything by mistake.',
    async run({ store }) {
      await restoreAged(store, 2)
      for (const olderThan of [undefined, null, 'now', Date.now(), new Date(Number.NaN)]) {
        await expectRefused(() => store.pruneSessions({ olderThan: olderThan as Date }))
      }
      await expectRefused(() => store.pruneSessions({ olderThan: new Date(), userId: '' }))
      deepStrictEqual(await remaining(store), ['s1', 's2'])
    },
  },
]

const forgetting: ConversationCase[] = [
  {
    id: 'conversation/delete-user/all',
    sentence: 'deleteUser deletes every session of the user with its messages, counts both, and leaves everyone else.',
    async run({ store }) {
      await restoreAged(store, 5)
      await store.createSession({ id: 'nobody' })
      await store.createSession({ id: 'upper', userId: 'U' })
      await store.createSession({ id: 'spaced', userId: 'u ' })
      deepStrictEqual(await store.deleteUser('u'), { sessions: 2, messages: 2 + 4 })
      deepStrictEqual(await remaining(store), ['nobody', 's1', 's3', 's5', 'spaced', 'upper'])
      deepStrictEqual(await store.getMessages('s4'), [])
      deepStrictEqual(await store.deleteUser('u'), { sessions: 0, messages: 0 })
    },
  },
  {
    id: 'conversation/delete-user/many',
    sentence: 'deleteUser deletes all sessions of the user, however many.',
    async run({ store }) {
      await inParallel(range(1, 1_050), 50, (n) => store.createSession({ id: `s${n}`, userId: n % 50 === 0 ? 'v' : 'u' }))
      deepStrictEqual(await store.deleteUser('u'), { sessions: 1_029, messages: 0 })
      strictEqual((await remaining(store)).length, 21)
    },
  },
  {
    id: 'conversation/delete-user/checked',
    sentence: 'deleteUser without a user is refused and deletes nothing.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      for (const userId of [undefined, null, '', 5]) await expectRefused(() => store.deleteUser(userId as string))
      deepStrictEqual(await remaining(store), ['s'])
    },
  },
  {
    id: 'conversation/clear',
    sentence: 'clear removes every session and message of its workspace and of no other.',
    async run({ store }) {
      await inParallel(range(1, 120), 20, (n) => talk(store, `s${n}`, 2))
      const other = store.workspace('other')
      await talk(other, 's1', 3)
      const kept = await stateOf(other, 's1')
      await store.clear()
      deepStrictEqual(await store.listSessions(), { items: [] })
      deepStrictEqual(await stateOf(store, 's1'), { session: undefined, messages: [] })
      deepStrictEqual(await stateOf(other, 's1'), kept)
      await store.clear()
      ok(await store.createSession({ id: 's1' }))
    },
  },
]

export const retentionCases: ConversationCase[] = [...pruning, ...forgetting]
