/** Appending: the sequence, atomicity, expectations and concurrent writers. */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict'
import type { ConversationStore } from '../../conversation/store.ts'
import {
  expectError,
  expectNotApplied,
  expectTypeError,
  idsOf,
  range,
  said,
  seqsOf,
  stateOf,
  talk,
  turns,
  type ConversationCase,
} from './support.ts'

const sequence: ConversationCase[] = [
  {
    id: 'conversation/append/consecutive',
    sentence: 'The store numbers messages 1, 2, 3 … in each session, over single and batch appends.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      await talk(store, 'other', 5)
      const first = await store.addMessage('s', said('one'))
      const batch = await store.addMessages('s', [said('two'), said('three')])
      const last = await store.addMessage('s', said('four'))
      deepStrictEqual(seqsOf([first, ...batch, last]), [1, 2, 3, 4])
      deepStrictEqual(await store.getMessages('s'), [first, ...batch, last])
    },
  },
  {
    id: 'conversation/append/defaults',
    sentence: 'A message without id gets a new UUID; without content it has null; createdAt is now; nothing else is added.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const before = Date.now()
      const message = await store.addMessage('s', { role: 'assistant' })
      match(message.id, /^[0-9a-f-]{36}$/)
      const { id, createdAt } = message
      deepStrictEqual(message, { id, sessionId: 's', seq: 1, role: 'assistant', content: null, createdAt })
      ok(Math.abs(createdAt.getTime() - before) < 60_000, 'createdAt is not now')
    },
  },
  {
    id: 'conversation/append/moves-last-seq',
    sentence: 'An append moves lastSeq and updatedAt of its session, not version, and no other field.',
    async run({ store }) {
      const before = await store.createSession({
        id: 's',
        userId: 'u',
        agentId: 'a',
        name: 'n',
        state: { a: 1 },
        metadata: { b: 2 },
      })
      await store.addMessages('s', turns(3))
      const after = (await store.getSession('s'))!
      deepStrictEqual(after, { ...before, lastSeq: 3, updatedAt: after.updatedAt })
    },
  },
  {
    id: 'conversation/append/order-not-time',
    sentence: 'Order comes from seq alone: equal and even falling createdAt change nothing, and createdAt is kept.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const at = (ms: number, id: string) => ({ ...said(id, id), createdAt: new Date(ms) })
      await store.addMessages('s', [at(5_000, 'z'), at(5_000, 'a'), at(5_000, 'm'), at(1_000, 'b'), at(-1, 'c')])
      const messages = await store.getMessages('s')
      deepStrictEqual(idsOf(messages), ['z', 'a', 'm', 'b', 'c'])
      deepStrictEqual(
        messages.map((message) => message.createdAt.getTime()),
        [5_000, 5_000, 5_000, 1_000, -1],
      )
    },
  },
  {
    id: 'conversation/append/not-reused',
    sentence:
      'A seq is never reused: lastSeq stays when messages are deleted or truncated, and the next append goes on behind it.',
    async run({ store }) {
      await talk(store, 's', 5)
      await store.deleteMessages('s', ['m5', 'm4'])
      strictEqual((await store.getSession('s'))?.lastSeq, 5)
      strictEqual((await store.addMessage('s', said('six'))).seq, 6)
      await store.truncate('s', 2)
      strictEqual((await store.addMessage('s', said('seven'))).seq, 7)
      await store.deleteMessages('s')
      strictEqual((await store.getSession('s'))?.lastSeq, 7)
      strictEqual((await store.addMessage('s', said('eight'))).seq, 8)
    },
  },
  {
    id: 'conversation/append/large-batch',
    sentence: 'A batch of hundreds is one append, in order.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const count = Math.min(500, store.limits.batch ?? 500)
      const added = await store.addMessages('s', turns(count))
      deepStrictEqual(seqsOf(added), range(1, count))
      deepStrictEqual(await store.getMessages('s'), added)
    },
  },
]

/** Each of these must leave session `s`, which holds `m1 … m3`, exactly as it is. */
function refused(
  code: 'CONFLICT' | 'NOT_FOUND',
  append: (store: ConversationStore) => Promise<unknown>,
): ConversationCase['run'] {
  return async ({ store }) => {
    await talk(store, 's', 3)
    const before = await stateOf(store, 's')
    await expectNotApplied(code, () => append(store), store)
    deepStrictEqual(await stateOf(store, 's'), before)
  }
}

const refusing: ConversationCase[] = [
  {
    id: 'conversation/append/unknown-session',
    sentence: 'Appending to a session that does not exist is NOT_FOUND and creates nothing.',
    async run({ store }) {
      await expectNotApplied('NOT_FOUND', () => store.addMessage('missing', said('hello')), store)
      await expectNotApplied('NOT_FOUND', () => store.addMessages('missing', turns(2), { expectedSeq: 0 }), store)
      deepStrictEqual(await stateOf(store, 'missing'), { session: undefined, messages: [] })
    },
  },
  {
    id: 'conversation/append/id-taken',
    sentence: 'A message id that is taken in the session is a CONFLICT, whatever the content.',
    run: refused('CONFLICT', (store) => store.addMessage('s', said('other', 'm2'))),
  },
  {
    id: 'conversation/append/atomic',
    sentence: 'An append is atomic: a batch of which one id is taken changes nothing at all.',
    run: refused('CONFLICT', (store) =>
      store.addMessages('s', [said('new', 'n1'), said('new', 'n2'), said('taken', 'm3'), said('new', 'n3')]),
    ),
  },
  {
    id: 'conversation/append/twice-in-batch',
    sentence: 'An id that comes twice in one batch is a CONFLICT, and nothing is appended.',
    run: refused('CONFLICT', (store) => store.addMessages('s', [said('new', 'n1'), said('other', 'n2'), said('again', 'n1')])),
  },
  {
    id: 'conversation/append/id-per-session',
    sentence: 'A message id is unique in its session only: two sessions may use the same.',
    async run({ store }) {
      await talk(store, 'one', 2)
      await talk(store, 'two', 2)
      await store.updateMessage('one', 'm1', { content: 'changed' })
      strictEqual((await store.getMessages('two'))[0]?.content, 'text 1')
      await store.deleteMessages('one', ['m1'])
      deepStrictEqual(idsOf(await store.getMessages('two')), ['m1', 'm2'])
    },
  },
  {
    id: 'conversation/append/empty-batch',
    sentence: 'An empty batch appends nothing.',
    async run({ store }) {
      await talk(store, 's', 2)
      deepStrictEqual(await store.addMessages('s', []), [])
      strictEqual((await store.getSession('s'))?.lastSeq, 2)
      strictEqual((await store.getMessages('s')).length, 2)
    },
  },
]

const expecting: ConversationCase[] = [
  {
    id: 'conversation/append/expected-seq',
    sentence: 'With expectedSeq an append succeeds where lastSeq is just that.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      deepStrictEqual(seqsOf(await store.addMessages('s', turns(2), { expectedSeq: 0 })), [1, 2])
      deepStrictEqual(seqsOf(await store.addMessages('s', turns(1, 3), { expectedSeq: 2 })), [3])
      await store.truncate('s', 1)
      deepStrictEqual(seqsOf(await store.addMessages('s', turns(1, 4), { expectedSeq: 3 })), [4])
    },
  },
  ...[0, 2, 4].map(
    (expectedSeq): ConversationCase => ({
      id: `conversation/append/expected-seq-${expectedSeq}-of-3`,
      sentence: `expectedSeq ${expectedSeq} where lastSeq is 3 is a CONFLICT and appends nothing.`,
      run: refused('CONFLICT', (store) => store.addMessages('s', turns(2, 4), { expectedSeq })),
    }),
  ),
  {
    id: 'conversation/append/expected-seq-race',
    sentence: 'Of many appends with the same expectedSeq exactly one succeeds: two runs on one session cannot interleave.',
    async run({ store }) {
      await talk(store, 's', 2)
      const attempts = range(1, 8).map((n) => store.addMessages('s', [said(`a${n}`), said(`b${n}`)], { expectedSeq: 2 }))
      const settled = await Promise.allSettled(attempts)
      const won = settled.filter((result) => result.status === 'fulfilled')
      strictEqual(won.length, 1)
      deepStrictEqual((await store.getMessages('s')).slice(2), won[0]!.value)
    },
  },
  {
    id: 'conversation/append/expected-seq-checked',
    sentence: 'An expectedSeq that is no integer from 0 is refused.',
    async run({ store }) {
      await talk(store, 's', 1)
      for (const expectedSeq of [-1, 0.5, Number.NaN, Infinity]) {
        await expectError('INVALID_ARGUMENT', () => store.addMessages('s', turns(1, 2), { expectedSeq }))
      }
      await expectTypeError(() => store.addMessages('s', turns(1, 2), { expectedSeq: '1' as unknown as number }))
      strictEqual((await store.getMessages('s')).length, 1)
    },
  },
]

export const appendCases: ConversationCase[] = [...sequence, ...refusing, ...expecting]
