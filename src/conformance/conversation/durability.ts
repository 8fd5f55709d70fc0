/** What outlives a handle, and what several handles see of each other. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../../conversation/store.ts'
import { isHoldfastError } from '../../errors.ts'
import { HOSTILE_STRINGS, JSON_VALUES } from '../hostile.ts'
import { expectError, idsOf, range, said, sameJson, stateOf, talk, type ConversationCase } from './support.ts'

async function everything(store: ConversationStore): Promise<unknown> {
  const { items } = await store.listSessions()
  return { items, messages: await Promise.all(items.map(({ id }) => store.getMessages(id))) }
}

export const durabilityCases: ConversationCase[] = [
  {
    id: 'conversation/reopen/keeps',
    sentence: 'After closing and opening again everything is there as it was.',
    reopens: true,
    async run({ store, reopen }) {
      await store.createSession({
        id: 'a',
        userId: 'u',
        agentId: 'g',
        name: 'n',
        state: JSON_VALUES,
        metadata: { none: {}, z: 1, a: -0 },
      })
      await store.addMessages(
        'a',
        HOSTILE_STRINGS.map((content) => ({ ...said(content), parts: [content], metadata: { content } })),
      )
      await talk(store, 'b', 20)
      await store.updateMessage('b', 'm3', { content: 'changed' })
      await store.deleteMessages('b', ['m20', 'm5'])
      await store.updateSession('b', { name: 'renamed' })
      await talk(store, 'gone', 2)
      await store.deleteSession('gone')
      const before = await everything(store)
      const again = await reopen()
      const after = await everything(again)
      deepStrictEqual(after, before)
      sameJson(after, before)
      strictEqual((await again.addMessage('b', said('next'))).seq, 21)
      if (again.capabilities.search) deepStrictEqual(idsOf(await again.searchMessages({ text: 'CHANGED' })), ['m3'])
    },
  },
  {
    id: 'conversation/reopen/handles-see',
    sentence: 'What one handle has written, another sees at once: appends, changes, deletions.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      await talk(store, 's', 3)
      deepStrictEqual(await stateOf(other, 's'), await stateOf(store, 's'))
      await other.addMessage('s', said('from the other'))
      await other.updateSession('s', { name: 'n' })
      await other.updateMessage('s', 'm1', { content: 'changed' })
      await other.deleteMessages('s', ['m2'])
      deepStrictEqual(await stateOf(store, 's'), await stateOf(other, 's'))
      strictEqual(await store.deleteSession('s'), true)
      strictEqual(await other.getSession('s'), undefined)
    },
  },
  {
    id: 'conversation/reopen/handles-close',
    sentence: 'Closing one handle leaves the others working.',
    reopens: true,
    async run({ store, another }) {
      const other = await another()
      await talk(store, 's', 1)
      await other.close()
      await expectError('STORE_CLOSED', () => other.getSession('s'))
      strictEqual((await store.addMessage('s', said('two'))).seq, 2)
      strictEqual((await (await another()).getMessages('s')).length, 2)
    },
  },
  {
    id: 'conversation/reopen/no-lost-update',
    sentence: 'Handles that count up with ifVersion and try again on CONFLICT lose no step.',
    reopens: true,
    async run({ store, another }) {
      await store.createSession({ id: 's', state: { count: 0 } })
      await Promise.all([store, await another()].flatMap((handle) => range(1, 2).map(() => countUp(handle, 5))))
      deepStrictEqual((await store.getSession('s'))?.state, { count: 20 })
    },
  },
]

/** Adds 1 so many times, each step on the newest version; a handle that keeps seeing an old one gives up. */
async function countUp(store: ConversationStore, times: number): Promise<void> {
  for (let step = 0; step < times; step++) {
    let attempts = 0
    while (!(await addOne(store))) ok(++attempts < 500, 'every attempt is a CONFLICT')
  }
}

async function addOne(store: ConversationStore): Promise<boolean> {
  const { version, state } = (await store.getSession('s'))!
  try {
    await store.updateSession('s', { state: { count: (state['count'] as number) + 1 } }, { ifVersion: version })
    return true
  } catch (error) {
    if (isHoldfastError(error, 'CONFLICT')) return false
    throw error
  }
}
