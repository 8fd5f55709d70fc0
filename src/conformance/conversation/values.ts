/** JSON goes in and comes back exactly, and what is not JSON is refused. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import type { NewMessage } from '../../conversation/contract.ts'
import type { ConversationStore } from '../../conversation/store.ts'
import type { JsonObjectInput } from '../../store/contract.ts'
import { BAD_JSON, JSON_VALUES, NON_STRINGS } from '../hostile.ts'
import {
  expectNotApplied,
  expectRefused,
  expectTypeError,
  said,
  sameJson,
  stateOf,
  talk,
  type ConversationCase,
} from './support.ts'

/** The parts that today's frameworks keep, and some that nobody knows yet. */
const PARTS: readonly unknown[] = [
  { type: 'text', text: 'Hello', state: 'done', providerMetadata: { openai: { itemId: 'x' } } },
  { type: 'reasoning', text: '', providerMetadata: { anthropic: { signature: 'Zm9v+/==' } } },
  { type: 'file', mediaType: 'image/png', filename: 'a.png', url: 'data:image/png;base64,iVBORw0KGgo=' },
  { type: 'source-url', sourceId: '1', url: 'https://example.com/?a=1&b=%20', title: null },
  { type: 'source-document', sourceId: '2', mediaType: 'application/pdf', title: 'T', filename: 'f.pdf' },
  { type: 'data-weather', id: 'w', data: { city: 'Zürich', temperature: -0.5, hourly: [] }, transient: false },
  { type: 'step-start' },
  ...[
    'input-streaming',
    'input-available',
    'approval-requested',
    'approval-responded',
    'output-available',
    'output-error',
    'output-denied',
  ].map((state) => ({ type: 'tool-search', toolCallId: 'c1', state, input: { q: '' }, output: null, providerExecuted: true })),
  { type: 'dynamic-tool', toolName: 'f', toolCallId: 'c2', state: 'output-available', input: {}, output: [1, { deep: [] }] },
  { type: 'never-seen-before', '': {}, nested: { type: 'text', text: 1 } },
  { no: 'type' },
  'a bare string',
  42,
  true,
  null,
  [],
  {},
]

async function addTo(store: ConversationStore, message: NewMessage): Promise<void> {
  const added = await store.addMessage('s', message)
  const [read] = await store.getMessages('s', { limit: 1 })
  deepStrictEqual(read, added)
  sameJson(read, added)
}

export const valueCases: ConversationCase[] = [
  {
    id: 'conversation/values/session-json',
    sentence: 'Any JSON in state and metadata comes back exactly: {} stays {}, keys keep their order, -0 and U+0000 survive.',
    async run({ store }) {
      for (const [id, value] of Object.entries(JSON_VALUES)) {
        const [state, metadata] = [{ value }, { first: 1, value }]
        const created = await store.createSession({ id, state, metadata })
        for (const session of [created, await store.getSession(id)]) {
          sameJson(session?.state, state, `state: ${id}`)
          sameJson(session?.metadata, metadata, `metadata: ${id}`)
        }
        sameJson((await store.updateSession(id, { state: metadata })).state, metadata, `patched state: ${id}`)
        sameJson((await store.getSession(id))?.state, metadata, `patched state: ${id}`)
      }
    },
  },
  {
    id: 'conversation/values/object-itself',
    sentence: 'A state or metadata object is kept as it is, also where it is empty or has hostile keys.',
    async run({ store }) {
      const objects = Object.entries(JSON_VALUES).filter(
        ([, value]) => typeof value === 'object' && value !== null && !Array.isArray(value),
      )
      for (const [id, value] of objects) {
        await store.createSession({ id, state: value as JsonObjectInput, metadata: value as JsonObjectInput })
        const session = await store.getSession(id)
        sameJson(session?.state, value, id)
        sameJson(session?.metadata, value, id)
      }
      strictEqual(({} as { polluted?: unknown }).polluted, undefined, 'a prototype was polluted')
    },
  },
  {
    id: 'conversation/values/message-json',
    sentence: 'Any JSON in parts, tool calls and metadata of a message comes back exactly.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      for (const [name, value] of Object.entries(JSON_VALUES)) {
        const message = { role: 'user', parts: [value, { value }], toolCalls: [{ value }], metadata: { z: 0, value } }
        const added = await store.addMessage('s', message)
        const [read] = await store.getMessages('s', { limit: 1 })
        for (const { parts, toolCalls, metadata } of [added, read!]) {
          sameJson(
            { parts, toolCalls, metadata },
            { parts: message.parts, toolCalls: message.toolCalls, metadata: message.metadata },
            name,
          )
        }
      }
    },
  },
  {
    id: 'conversation/values/parts',
    sentence: 'Message parts of every kind, known or not, are kept untouched and in order.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const { parts } = await store.addMessage('s', { role: 'assistant', parts: PARTS, toolCalls: PARTS })
      sameJson(parts, PARTS)
      const [read] = await store.getMessages('s')
      sameJson(read?.parts, PARTS)
      sameJson(read?.toolCalls, PARTS)
      strictEqual(read?.content, null)
    },
  },
  {
    id: 'conversation/values/empty-is-not-missing',
    sentence: 'Empty parts, tool calls and metadata stay empty, empty text stays text, and what was left out stays out.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      await addTo(store, { role: 'user', content: '', parts: [], toolCalls: [], metadata: {} })
      const [empty] = await store.getMessages('s')
      deepStrictEqual([empty?.content, empty?.parts, empty?.toolCalls, empty?.metadata], ['', [], [], {}])
      await addTo(store, {
        role: 'user',
        content: null,
        parts: undefined,
        toolCalls: undefined,
        toolCallId: undefined,
        metadata: undefined,
      })
      const [bare] = await store.getMessages('s', { limit: 1 })
      deepStrictEqual(Object.keys(bare!).toSorted(), ['content', 'createdAt', 'id', 'role', 'seq', 'sessionId'])
    },
  },
  {
    id: 'conversation/values/undefined-left-out',
    sentence: 'A property that is undefined counts as left out.',
    async run({ store }) {
      const session = await store.createSession({
        state: { a: undefined, b: { c: undefined } },
        metadata: { a: [{ b: undefined }] },
      })
      deepStrictEqual([session.state, session.metadata], [{ b: {} }, { a: [{}] }])
      deepStrictEqual(await store.getSession(session.id), session)
    },
  },
  {
    id: 'conversation/values/json-refused',
    sentence: 'What JSON cannot hold is INVALID_ARGUMENT naming the path, and nothing is written.',
    async run({ store }) {
      await talk(store, 's', 1)
      const before = await stateOf(store, 's')
      for (const value of Object.values(BAD_JSON)) {
        const inside = { deep: { value } }
        const writes = [
          () => store.createSession({ id: 'new', state: inside }),
          () => store.createSession({ id: 'new', metadata: inside }),
          () => store.updateSession('s', { state: inside }),
          () => store.upsertSession({ id: 's', metadata: inside }),
          () => store.addMessages('s', [said('fine'), { role: 'user', metadata: inside }]),
          () => store.addMessage('s', { role: 'user', parts: [{ deep: [inside.deep] }] }),
          () => store.addMessage('s', { role: 'user', toolCalls: [inside] }),
          () => store.updateMessage('s', 'm1', { metadata: inside }),
        ]
        for (const write of writes) {
          const { message } = await expectNotApplied('INVALID_ARGUMENT', write)
          ok(message.includes('deep'), `the message does not name the path: ${message}`)
        }
      }
      deepStrictEqual(await stateOf(store, 's'), before)
      strictEqual(await store.getSession('new'), undefined)
    },
  },
  {
    id: 'conversation/values/types-refused',
    sentence: 'A field of the wrong type is a TypeError, and nothing is written.',
    async run({ store }) {
      await talk(store, 's', 1)
      const before = await stateOf(store, 's')
      for (const wrong of ['text', 5, [], null] as unknown as JsonObjectInput[]) {
        await expectTypeError(() => store.createSession({ id: 'new', state: wrong }))
        await expectTypeError(() => store.updateSession('s', { metadata: wrong }))
        if (wrong !== null) await expectTypeError(() => store.updateMessage('s', 'm1', { metadata: wrong }))
      }
      for (const wrong of NON_STRINGS as string[]) {
        await expectTypeError(() => store.addMessage('s', { role: wrong, content: 'x' }))
        if (wrong !== null) await expectTypeError(() => store.addMessage('s', { role: 'user', content: wrong }))
      }
      for (const parts of ['text', {}, 5] as unknown as unknown[][])
        await expectTypeError(() => store.addMessage('s', { role: 'user', parts }))
      for (const createdAt of ['2026-01-01', 5, null] as unknown as Date[]) {
        await expectTypeError(() => store.addMessage('s', { role: 'user', createdAt }))
      }
      await expectRefused(() => store.addMessage('s', { role: 'user', createdAt: new Date(Number.NaN) }))
      await expectTypeError(() => store.addMessage('s', 'hello' as unknown as NewMessage))
      await expectTypeError(() => store.addMessages('s', said('hello') as unknown as NewMessage[]))
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
]
