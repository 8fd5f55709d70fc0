/** Reading, changing and deleting messages. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import type { Message, MessageQuery } from '../../conversation/contract.ts'
import {
  appendAll,
  collect,
  expectError,
  expectNotApplied,
  expectRefused,
  expectTypeError,
  idsOf,
  range,
  said,
  sameJson,
  seqsOf,
  stateOf,
  talk,
  turns,
  type ConversationCase,
} from './support.ts'

/** What the contract says a query gives, over all messages of the session. */
export function expectedMessages(all: readonly Message[], query: MessageQuery): Message[] {
  const { after = 0, before = Infinity, limit = Infinity, order = 'asc' } = query
  const within = all.filter((message) => message.seq > after && message.seq < before)
  const picked = query.after === undefined ? within.slice(Math.max(0, within.length - limit)) : within.slice(0, limit)
  return order === 'desc' ? picked.toReversed() : picked
}

function everyQuery(bounds: readonly (number | undefined)[], limits: readonly (number | undefined)[]): MessageQuery[] {
  return bounds.flatMap((after) =>
    bounds.flatMap((before) =>
      limits.flatMap((limit) => [undefined, 'asc' as const, 'desc' as const].map((order) => ({ after, before, limit, order }))),
    ),
  )
}

const reading: ConversationCase[] = [
  {
    id: 'conversation/messages/all',
    sentence: 'Without limits getMessages gives every message, oldest first.',
    async run({ store }) {
      const added = await talk(store, 's', 120)
      deepStrictEqual(await store.getMessages('s'), added)
    },
  },
  {
    id: 'conversation/messages/newest',
    sentence: 'With limit and no after getMessages gives the newest messages, oldest of them first.',
    async run({ store }) {
      await talk(store, 's', 10)
      deepStrictEqual(seqsOf(await store.getMessages('s', { limit: 3 })), [8, 9, 10])
      deepStrictEqual(seqsOf(await store.getMessages('s', { limit: 1 })), [10])
      deepStrictEqual(seqsOf(await store.getMessages('s', { limit: 50 })), range(1, 10))
      deepStrictEqual(seqsOf(await store.getMessages('s', { limit: 3, before: 6 })), [3, 4, 5])
      deepStrictEqual(seqsOf(await store.getMessages('s', { limit: 3, order: 'desc' })), [10, 9, 8])
    },
  },
  {
    id: 'conversation/messages/after',
    sentence: 'With after and limit getMessages gives the first messages behind it, so that a reader can follow a session.',
    async run({ store }) {
      await talk(store, 's', 10)
      deepStrictEqual(seqsOf(await store.getMessages('s', { after: 4, limit: 3 })), [5, 6, 7])
      deepStrictEqual(seqsOf(await store.getMessages('s', { after: 0, limit: 2 })), [1, 2])
      deepStrictEqual(seqsOf(await store.getMessages('s', { after: 4, limit: 3, order: 'desc' })), [7, 6, 5])
      deepStrictEqual(await store.getMessages('s', { after: 10, limit: 3 }), [])
    },
  },
  {
    id: 'conversation/messages/queries',
    sentence:
      'Every combination of after, before, limit and order gives what the contract says, also where messages were deleted.',
    async run({ store }) {
      await talk(store, 's', 9)
      await store.deleteMessages('s', ['m3', 'm4', 'm9'])
      const all = await store.getMessages('s')
      for (const query of everyQuery([undefined, 0, 1, 3, 5, 9, 20], [undefined, 1, 2, 4, 100])) {
        deepStrictEqual(await store.getMessages('s', query), expectedMessages(all, query), JSON.stringify(query))
      }
    },
  },
  {
    id: 'conversation/messages/missing-session',
    sentence: 'A session that does not exist has no messages; that is no error.',
    async run({ store }) {
      deepStrictEqual(await store.getMessages('missing'), [])
      deepStrictEqual(await store.getMessages('missing', { limit: 3 }), [])
      deepStrictEqual(await collect(store.iterateMessages('missing')), [])
    },
  },
  {
    id: 'conversation/messages/get-one',
    sentence: 'getMessage gives one message of the session, or undefined.',
    async run({ store }) {
      const [, second] = await talk(store, 's', 3)
      await talk(store, 'other', 4)
      deepStrictEqual(await store.getMessage('s', 'm2'), second)
      strictEqual(await store.getMessage('s', 'm4'), undefined)
      strictEqual(await store.getMessage('missing', 'm1'), undefined)
    },
  },
  {
    id: 'conversation/messages/query-checked',
    sentence: 'A limit, bound or order that makes no sense is refused.',
    async run({ store }) {
      await talk(store, 's', 2)
      for (const limit of [0, -1, 1.5, Number.NaN]) await expectError('INVALID_ARGUMENT', () => store.getMessages('s', { limit }))
      for (const bound of [0.5, Number.NaN]) {
        await expectError('INVALID_ARGUMENT', () => store.getMessages('s', { before: bound }))
        await expectError('INVALID_ARGUMENT', () => store.getMessages('s', { after: bound }))
      }
      await expectTypeError(() => store.getMessages('s', { limit: '1' as unknown as number }))
      await expectRefused(() => store.getMessages('s', { order: 'up' as 'asc' }))
    },
  },
  {
    id: 'conversation/messages/iterate',
    sentence: 'iterateMessages gives every message of a session of any length, in order, and may be left early.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      await appendAll(store, 's', turns(1_200))
      deepStrictEqual(seqsOf(await collect(store.iterateMessages('s'))), range(1, 1_200))
      for await (const message of store.iterateMessages('s')) if (message.seq === 2) break
      await store.deleteMessages('s', ['m1', 'm700'])
      deepStrictEqual(await collect(store.iterateMessages('s')), await store.getMessages('s'))
    },
  },
]

const FULL = {
  id: 'full',
  role: 'assistant',
  content: 'before',
  parts: [{ type: 'text', text: 'part' }],
  toolCalls: [{ id: 'c1', name: 'f' }],
  toolCallId: 'c0',
  metadata: { z: 1, a: {} },
}

const changing: ConversationCase[] = [
  {
    id: 'conversation/messages/update-keeps-others',
    sentence: 'updateMessage changes the fields it names; every other field, id, seq and createdAt stay.',
    async run({ store }) {
      await talk(store, 's', 2)
      const original = await store.addMessage('s', FULL)
      const patches = { role: 'user', content: 'after', parts: [], toolCalls: [{}], toolCallId: 'c2', metadata: { b: null } }
      const expected: Message = { ...original }
      for (const [field, value] of Object.entries(patches)) {
        Object.assign(expected, { [field]: value })
        sameFields(await store.updateMessage('s', 'full', { [field]: value }), expected)
        sameFields((await store.getMessages('s'))[2]!, expected)
      }
      deepStrictEqual(
        (await store.getMessages('s')).slice(0, 2).map(({ content }) => content),
        ['text 1', 'text 2'],
      )
    },
  },
  {
    id: 'conversation/messages/update-null',
    sentence: 'In a message patch null removes an optional field and is a value of content; undefined leaves a field as it is.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const original = await store.addMessage('s', FULL)
      const patch = { content: null, parts: null, toolCalls: undefined, metadata: null, role: undefined }
      const { parts: _, metadata: __, ...kept } = original
      const updated = await store.updateMessage('s', 'full', patch)
      deepStrictEqual(updated, { ...kept, content: null })
      deepStrictEqual(await store.getMessages('s'), [updated])
      const { toolCalls: ___, toolCallId: ____, ...bare } = updated
      deepStrictEqual(await store.updateMessage('s', 'full', { toolCalls: null, toolCallId: null }), bare)
    },
  },
  {
    id: 'conversation/messages/update-unknown',
    sentence: 'Updating a message or in a session that does not exist is NOT_FOUND.',
    async run({ store }) {
      await talk(store, 's', 1)
      await talk(store, 'other', 2)
      const before = await stateOf(store, 's')
      await expectNotApplied('NOT_FOUND', () => store.updateMessage('s', 'm2', { content: 'x' }), store)
      await expectNotApplied('NOT_FOUND', () => store.updateMessage('missing', 'm1', { content: 'x' }), store)
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
  {
    id: 'conversation/messages/update-concurrent-fields',
    sentence: 'Concurrent updates of different fields of one message all survive.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const original = await store.addMessage('s', FULL)
      const patch = {
        content: 'after',
        role: 'user',
        parts: [{ type: 'new' }],
        toolCalls: [],
        toolCallId: 'c9',
        metadata: { n: 1 },
      }
      await Promise.all(Object.entries(patch).map(([field, value]) => store.updateMessage('s', 'full', { [field]: value })))
      deepStrictEqual(await store.getMessages('s'), [{ ...original, ...patch }])
    },
  },
]

/** Equal down to the order of keys inside each field; a message's own fields have no order. */
function sameFields(actual: Message, expected: Message): void {
  deepStrictEqual(actual, expected)
  for (const field of ['parts', 'toolCalls', 'metadata'] as const) sameJson(actual[field], expected[field])
}

const deleting: ConversationCase[] = [
  {
    id: 'conversation/messages/delete-ids',
    sentence: 'deleteMessages with ids deletes those of the session that exist, once each, and gives their number.',
    async run({ store }) {
      await talk(store, 's', 5)
      await talk(store, 'other', 5)
      const other = await stateOf(store, 'other')
      strictEqual(await store.deleteMessages('s', ['m2', 'm4', 'm2', 'missing']), 2)
      deepStrictEqual(idsOf(await store.getMessages('s')), ['m1', 'm3', 'm5'])
      strictEqual(await store.deleteMessages('s', ['m2']), 0)
      deepStrictEqual(await stateOf(store, 'other'), other)
    },
  },
  {
    id: 'conversation/messages/delete-empty-list',
    sentence: 'deleteMessages with an empty list deletes nothing.',
    async run({ store }) {
      await talk(store, 's', 3)
      const before = await stateOf(store, 's')
      strictEqual(await store.deleteMessages('s', []), 0)
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
  {
    id: 'conversation/messages/delete-all',
    sentence: 'deleteMessages without ids deletes all messages of that session and keeps the session.',
    async run({ store }) {
      await talk(store, 's', 3)
      await talk(store, 'other', 2)
      strictEqual(await store.deleteMessages('s'), 3)
      const { session, messages } = await stateOf(store, 's')
      deepStrictEqual([session?.lastSeq, messages], [3, []])
      strictEqual((await store.getMessages('other')).length, 2)
      strictEqual(await store.deleteMessages('s'), 0)
    },
  },
  {
    id: 'conversation/messages/delete-many-ids',
    sentence: 'deleteMessages takes a list of any length.',
    async run({ store }) {
      await talk(store, 's', 400)
      const ids = range(1, 3_000).map((n) => `m${n}`)
      strictEqual(await store.deleteMessages('s', ids.slice(1)), 399)
      deepStrictEqual(idsOf(await store.getMessages('s')), ['m1'])
    },
  },
  {
    id: 'conversation/messages/delete-missing-session',
    sentence: 'Deleting messages of a session that does not exist deletes 0, and creates nothing.',
    async run({ store }) {
      strictEqual(await store.deleteMessages('missing'), 0)
      strictEqual(await store.deleteMessages('missing', ['m1']), 0)
      strictEqual(await store.truncate('missing', 0), 0)
      strictEqual(await store.getSession('missing'), undefined)
    },
  },
  {
    id: 'conversation/messages/truncate',
    sentence: 'truncate deletes the messages behind a seq and gives their number.',
    async run({ store }) {
      await talk(store, 's', 6)
      await talk(store, 'other', 6)
      strictEqual(await store.truncate('s', 6), 0)
      strictEqual(await store.truncate('s', 4), 2)
      deepStrictEqual(seqsOf(await store.getMessages('s')), [1, 2, 3, 4])
      strictEqual((await store.addMessage('s', said('seven', 'm5'))).seq, 7)
      strictEqual(await store.truncate('s', 4), 1)
      strictEqual(await store.truncate('s', 0), 4)
      deepStrictEqual(await store.getMessages('s'), [])
      strictEqual((await store.getMessages('other')).length, 6)
    },
  },
  {
    id: 'conversation/messages/truncate-checked',
    sentence: 'truncate without a seq, or with one that is no integer from 0, is refused and deletes nothing.',
    async run({ store }) {
      await talk(store, 's', 3)
      for (const seq of [-1, 0.5, Number.NaN, undefined, null, '0']) await expectRefused(() => store.truncate('s', seq as number))
      strictEqual((await store.getMessages('s')).length, 3)
    },
  },
]

export const messageCases: ConversationCase[] = [...reading, ...changing, ...deleting]
