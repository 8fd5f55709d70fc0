/** Text of any kind and size comes back, and nothing stored is shared with the caller. */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { HOSTILE_STRINGS, HOSTILE_TEXTS } from '../hostile.ts'
import { appendAll, expectNotApplied, said, stateOf, talk, type ConversationCase } from './support.ts'

/** Beyond this a limit costs more memory than trying it is worth. */
const MAX_TRIED_BYTES = 32 * 2 ** 20

const text: ConversationCase[] = [
  {
    id: 'conversation/values/content',
    sentence: 'Any string is content: SQL, markup, control characters, U+0000, lone surrogates, the empty string.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const texts = [...HOSTILE_TEXTS, ...HOSTILE_STRINGS]
      await appendAll(
        store,
        's',
        texts.map((content) => said(content)),
      )
      deepStrictEqual(
        (await store.getMessages('s')).map(({ content }) => content),
        texts,
      )
    },
  },
  {
    id: 'conversation/values/content-updated',
    sentence: 'updateMessage takes any string too, plain after hostile and hostile after plain.',
    async run({ store }) {
      await talk(store, 's', 1)
      for (const content of ['a\0b', 'plain', '\uD800', '"a\\u0000b"', null, '', '\0', 'plain']) {
        strictEqual((await store.updateMessage('s', 'm1', { content })).content, content)
        strictEqual((await store.getMessages('s'))[0]?.content, content)
      }
    },
  },
  {
    id: 'conversation/values/names',
    sentence: 'Session names, roles of up to 64 bytes and tool call ids are plain text, kept as they are.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      for (const name of HOSTILE_TEXTS.slice(0, 40)) strictEqual((await store.updateSession('s', { name })).name, name)
      const messages = HOSTILE_TEXTS.map((word) => ({ role: Buffer.byteLength(word) > 64 ? 'user' : word, toolCallId: word }))
      await appendAll(store, 's', messages)
      deepStrictEqual(
        (await store.getMessages('s')).map(({ role, toolCallId }) => ({ role, toolCallId })),
        messages,
      )
    },
  },
  {
    id: 'conversation/values/large-content',
    sentence:
      'Content of a megabyte comes back whole, or is refused with VALUE_TOO_LARGE where the store declares a lower limit.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const content = 'holdfast \u6F22\u{1F600}'.repeat(62_500)
      const bytes = Buffer.byteLength(content)
      if (bytes > (store.limits.contentBytes ?? Infinity)) {
        await expectNotApplied('VALUE_TOO_LARGE', () => store.addMessage('s', said(content)))
        deepStrictEqual(await store.getMessages('s'), [])
        return
      }
      await store.addMessages('s', [said('before'), said(content), said('after')])
      const [, large] = await store.getMessages('s')
      ok(large?.content === content, `${bytes} bytes went in, ${Buffer.byteLength(large?.content ?? '')} other bytes came back`)
    },
  },
  {
    id: 'conversation/values/large-json',
    sentence: 'A part of a megabyte (an attachment as base64) comes back whole, or is refused with VALUE_TOO_LARGE.',
    async run({ store }) {
      await store.createSession({ id: 's' })
      const parts = [{ type: 'file', url: `data:image/png;base64,${'QUJD'.repeat(262_144)}` }]
      if (Buffer.byteLength(JSON.stringify(parts)) > (store.limits.jsonBytes ?? Infinity)) {
        await expectNotApplied('VALUE_TOO_LARGE', () => store.addMessage('s', { role: 'user', parts }))
        return
      }
      await store.addMessage('s', { role: 'user', parts })
      deepStrictEqual((await store.getMessages('s'))[0]?.parts, parts)
    },
  },
  {
    id: 'conversation/values/content-limit',
    sentence: 'Content beyond a declared limit is VALUE_TOO_LARGE, nothing of the batch is written, and the session still works.',
    skip: ({ limits }) =>
      limits.contentBytes === undefined || limits.contentBytes > MAX_TRIED_BYTES
        ? 'no limit of content that could be tried'
        : undefined,
    async run({ store }) {
      await talk(store, 's', 1)
      const tooLong = 'x'.repeat(store.limits.contentBytes! + 1)
      await expectNotApplied('VALUE_TOO_LARGE', () => store.addMessages('s', [said('fine'), said(tooLong)]))
      await expectNotApplied('VALUE_TOO_LARGE', () => store.updateMessage('s', 'm1', { content: tooLong }))
      strictEqual((await store.addMessage('s', said(tooLong.slice(1)))).seq, 2)
    },
  },
]

const references: ConversationCase[] = [
  {
    id: 'conversation/values/no-live-references',
    sentence: 'The store keeps and gives copies: changing an object that was passed or returned changes nothing stored.',
    async run({ store }) {
      const given = { state: { list: [1] }, metadata: { a: { b: 1 } } }
      const message = {
        id: 'm',
        role: 'user',
        parts: [{ type: 'text', text: 'one' }],
        metadata: { a: 1 },
        createdAt: new Date(5),
      }
      const created = await store.createSession({ id: 's', ...given })
      const added = await store.addMessage('s', message)
      const before = await stateOf(store, 's')
      const copy = structuredClone(before)
      const read = await stateOf(store, 's')
      const listed = (await store.listSessions()).items
      for (const session of [given, created, read.session!, before.session!, ...listed])
        Object.assign(session.state, { changed: true })
      for (const { createdAt, metadata } of [created, ...listed, read.session!]) {
        createdAt.setTime(0)
        metadata['changed'] = true
      }
      for (const each of [message, added, ...read.messages]) {
        each.createdAt.setTime(0)
        Object.assign(each.parts![0] as object, { text: 'changed' })
        Object.assign(each.metadata!, { changed: true })
      }
      deepStrictEqual(await stateOf(store, 's'), copy)
    },
  },
  {
    id: 'conversation/values/taken-at-call',
    sentence: 'A call works with its arguments as they were when it was made.',
    async run({ store }) {
      const state = { step: 1 }
      const messages = [said('one', 'm1'), said('two', 'm2')]
      const creating = store.createSession({ id: 's', state })
      state.step = 2
      await creating
      const ids = ['m1']
      const adding = store.addMessages('s', messages)
      messages.length = 0
      await adding
      const deleting = store.deleteMessages('s', ids)
      ids[0] = 'm2'
      await deleting
      const read = await stateOf(store, 's')
      deepStrictEqual([read.session?.state, read.messages.map(({ id }) => id)], [{ step: 1 }, ['m2']])
    },
  },
]

export const textCases: ConversationCase[] = [...text, ...references]
