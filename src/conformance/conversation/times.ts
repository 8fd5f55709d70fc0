/** When `updatedAt` moves, when it stays, and that it never goes backwards. */
import { deepStrictEqual, ok } from 'node:assert/strict'
import { FUTURE, said, sessionAt, stateOf, talk, tick, type ConversationCase } from './support.ts'

export const timeCases: ConversationCase[] = [
  {
    id: 'conversation/session/updated-at-moves',
    sentence: 'updatedAt moves with every change and every append; createdAt never does.',
    async run({ store }) {
      const { createdAt, updatedAt } = await store.createSession({ id: 's' })
      const changes = {
        addMessages: () => store.addMessages('s', [said('one', 'm1'), said('two', 'm2'), said('three', 'm3')]),
        updateSession: () => store.updateSession('s', { name: 'n' }),
        updateMessage: () => store.updateMessage('s', 'm1', { content: 'uno' }),
        deleteMessages: () => store.deleteMessages('s', ['m1']),
        truncate: () => store.truncate('s', 2),
        upsertSession: () => store.upsertSession({ id: 's', name: 'm' }),
      }
      let last = updatedAt.getTime()
      for (const [name, change] of Object.entries(changes)) {
        await tick()
        await change()
        const session = (await store.getSession('s'))!
        ok(session.updatedAt.getTime() > last, `updatedAt did not move with ${name}`)
        deepStrictEqual(session.createdAt, createdAt)
        last = session.updatedAt.getTime()
      }
    },
  },
  {
    id: 'conversation/session/updated-at-stays',
    sentence: 'Reading, and deleting nothing, moves neither updatedAt nor version.',
    async run({ store }) {
      await talk(store, 's', 2)
      const before = await stateOf(store, 's')
      await tick()
      await store.listSessions()
      await store.deleteMessages('s', ['missing'])
      await store.deleteMessages('s', [])
      await store.truncate('s', 2)
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
  {
    id: 'conversation/session/updated-at-never-backwards',
    sentence: 'updatedAt never goes backwards, also where a clock does.',
    async run({ store }) {
      await store.restore(sessionAt('s', FUTURE), [])
      const changes = {
        addMessages: () => store.addMessages('s', [said('one', 'm1'), said('two', 'm2')]),
        updateSession: () => store.updateSession('s', { name: 'n' }),
        updateMessage: () => store.updateMessage('s', 'm1', { content: 'uno' }),
        deleteMessages: () => store.deleteMessages('s', ['m1']),
      }
      for (const [name, change] of Object.entries(changes)) {
        await change()
        const moved = (await store.getSession('s'))!.updatedAt.getTime()
        ok(moved >= FUTURE, `updatedAt went back with ${name}`)
      }
    },
  },
]
