/** Searching messages, where the backend can, and its refusal where it cannot. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import type { Message, MessageSearch } from '../../conversation/contract.ts'
import type { ConversationStore } from '../../conversation/store.ts'
import {
  expectError,
  expectRefused,
  expectTypeError,
  idsOf,
  messageAt,
  range,
  said,
  sessionAt,
  START,
  type ConversationCase,
} from './support.ts'

/** Restores session `id` with messages of these texts, `createdAt` in their order; ids are the numbers from 1. */
async function spoken(store: ConversationStore, texts: readonly string[], id = 's', userId = 'u'): Promise<void> {
  const messages = texts.map((content, i) => messageAt(id, i + 1, { id: `${i + 1}`, content }))
  await store.restore(sessionAt(id, START, { userId, lastSeq: texts.length }), messages)
}

/** The ids found, in ascending order. */
async function found(store: ConversationStore, query: string | MessageSearch): Promise<string[]> {
  const messages = await store.searchMessages(typeof query === 'string' ? { text: query, limit: 1_000 } : query)
  return idsOf(messages).toSorted((a, b) => Number(a) - Number(b))
}

/** A case for a backend that can search. */
function searching(what: string, sentence: string, run: (store: ConversationStore) => Promise<void>): ConversationCase {
  return {
    id: `conversation/search/${what}`,
    sentence,
    skip: (store) => (store.capabilities.search ? undefined : 'capabilities.search is false'),
    run: ({ store }) => run(store),
  }
}

const TERMS = ['The quick brown fox', 'a QUICK answer', 'brown bread', 'Quick and brown', 'nothing of it', 'quickbrown']

const terms: ConversationCase[] = [
  searching('every-term', 'Every term of the text must occur, in any order, anywhere in the message.', async (store) => {
    await spoken(store, TERMS)
    deepStrictEqual(await found(store, 'quick'), ['1', '2', '4', '6'])
    deepStrictEqual(await found(store, 'brown quick'), ['1', '4', '6'])
    deepStrictEqual(await found(store, 'quick bread'), [])
    deepStrictEqual(await found(store, ' \t brown\n  fox '), ['1'])
    deepStrictEqual(await found(store, 'quick quick'), ['1', '2', '4', '6'])
  }),
  searching('substring', 'A term is found inside words too, at their beginning, middle and end.', async (store) => {
    await spoken(store, ['persistence', 'insist', 'exist', 'sister', 'other'])
    deepStrictEqual(await found(store, 'sist'), ['1', '2', '4'])
    deepStrictEqual(await found(store, 'ersist'), ['1'])
    deepStrictEqual(await found(store, 'ist'), ['1', '2', '3', '4'])
  }),
  searching('short-terms', 'Terms of one and two characters are found like longer ones.', async (store) => {
    await spoken(store, ['go to it', 'Go', 'ox', 'x', 'I am', 'box of tea', '漢字', '字'])
    deepStrictEqual(await found(store, 'go'), ['1', '2'])
    deepStrictEqual(await found(store, 'x'), ['3', '4', '6'])
    deepStrictEqual(await found(store, 'o x'), ['3', '6'])
    deepStrictEqual(await found(store, 'of t'), ['6'])
    deepStrictEqual(await found(store, '字'), ['7', '8'])
    deepStrictEqual(await found(store, 'box o'), ['6'])
  }),
  searching('case', 'Search ignores case, in every script that has one, and nothing else: accents count.', async (store) => {
    await spoken(store, ['ÉCOLE', 'école', 'ecole', 'Привет МИР', 'ΑΘΗΝΑ', 'Ünal', 'UNAL'])
    deepStrictEqual(await found(store, 'École'), ['1', '2'])
    deepStrictEqual(await found(store, 'ecole'), ['3'])
    deepStrictEqual(await found(store, 'пРИВЕТ мир'), ['4'])
    deepStrictEqual(await found(store, 'αθηνα'), ['5'])
    deepStrictEqual(await found(store, 'ÜN'), ['6'])
  }),
  searching('scripts', 'Text without spaces between words, emoji and right-to-left text are found.', async (store) => {
    await spoken(store, ['東京都に住んでいます', '京都', 'ok 👍🏽 done', 'שלום עולם', 'مرحبا بالعالم', '👍'])
    deepStrictEqual(await found(store, '京都'), ['1', '2'])
    deepStrictEqual(await found(store, '住んでい'), ['1'])
    deepStrictEqual(await found(store, '👍'), ['3', '6'])
    deepStrictEqual(await found(store, 'עולם'), ['4'])
    deepStrictEqual(await found(store, 'بالعالم مرحبا'), ['5'])
  }),
  searching('literal', 'Wildcards, operators, quotes and column names in a term are plain text.', async (store) => {
    const literal = [
      '100%',
      'a_b',
      '"quoted"',
      "it's",
      'sta*',
      'x AND y',
      'NOT z',
      'col:val',
      '(par',
      'par)',
      '-minus',
      '^caret',
      'b\\s',
      '[set]',
      'NEAR(p',
      '{c}',
      '+plus',
      'w?',
      '--',
      ';',
      '$1',
      "''",
      '""',
      'a.b',
      '/re/',
      '<b>',
    ]
    await spoken(store, [
      ...literal,
      '100 a-b quoted its star x y z column value par minus caret bs set near c plus wa w ab re b',
    ])
    for (const [i, text] of literal.entries()) {
      const own = `${i + 1}`
      deepStrictEqual((await found(store, text)).includes(own), true, `${text} does not find itself`)
      deepStrictEqual((await found(store, text)).includes(`${literal.length + 1}`), false, `${text} finds what does not hold it`)
    }
    deepStrictEqual(await found(store, '%'), ['1'])
    deepStrictEqual(await found(store, '*'), ['5'])
    deepStrictEqual(await found(store, 'x OR z'), [])
  }),
  searching('text-parts', 'The content and the text parts are searched, together; other parts are not.', async (store) => {
    await store.createSession({ id: 's' })
    const parts = [{ type: 'text', text: 'alpha' }, { type: 'step-start' }, { type: 'text', text: 'beta' }]
    await store.addMessage('s', { id: '1', role: 'assistant', content: 'gamma', parts })
    await store.addMessage('s', { id: '2', role: 'assistant', parts: [{ type: 'text', text: 'alpha' }] })
    await store.addMessage('s', {
      id: '3',
      role: 'user',
      content: null,
      parts: [{ type: 'file', url: 'alpha', filename: 'beta' }, 'alpha', null],
    })
    await store.addMessage('s', {
      id: '4',
      role: 'user',
      content: 'none',
      metadata: { note: 'alpha' },
      toolCalls: [{ name: 'alpha' }],
    })
    deepStrictEqual(await found(store, 'alpha'), ['1', '2'])
    deepStrictEqual(await found(store, 'alpha gamma beta'), ['1'])
  }),
  searching('long', 'A term is found anywhere in a long message.', async (store) => {
    const filler = 'lorem ipsum dolor '.repeat(4_000)
    await spoken(store, [`${filler}needle`, `needle ${filler}`, `${filler} NEEDLE ${filler}`, filler])
    deepStrictEqual(await found(store, 'needle'), ['1', '2', '3'])
  }),
  searching('escaped', 'Messages that hold U+0000 or lone surrogates are searched like others.', async (store) => {
    await spoken(store, ['before\0after', 'broken\uD83D text', 'plain'])
    deepStrictEqual(await found(store, 'after'), ['1'])
    deepStrictEqual(await found(store, 'TEXT broken'), ['2'])
  }),
]

const changes: ConversationCase[] = [
  searching('updated', 'An updated message is found by its new text, not by its old one.', async (store) => {
    await spoken(store, ['old text', 'other text'])
    await store.updateMessage('s', '1', { content: 'new text' })
    deepStrictEqual(await found(store, 'old'), [])
    deepStrictEqual(await found(store, 'new'), ['1'])
    await store.updateMessage('s', '1', { content: null, parts: [{ type: 'text', text: 'part' }] })
    deepStrictEqual([await found(store, 'new'), await found(store, 'part')], [[], ['1']])
    await store.updateMessage('s', '1', { parts: null })
    deepStrictEqual(await found(store, 'part'), [])
  }),
  searching('deleted', 'Deleted and truncated messages, and those of deleted sessions, are not found.', async (store) => {
    await spoken(store, ['needle 1', 'needle 2', 'needle 3'])
    await spoken(store, ['needle'], 'gone')
    await store.deleteSession('gone')
    await store.deleteMessages('s', ['1'])
    await store.truncate('s', 2)
    deepStrictEqual(await found(store, 'needle'), ['2'])
    await store.deleteMessages('s')
    deepStrictEqual(await found(store, 'needle'), [])
    await spoken(store, ['hay'], 'gone')
    deepStrictEqual(await found(store, 'needle'), [])
  }),
  searching('forked', 'The messages of a fork are found as well.', async (store) => {
    await spoken(store, ['needle', 'needle'])
    const { id } = await store.forkSession('s', { atSeq: 1 })
    deepStrictEqual(await found(store, { text: 'needle', sessionId: id }), ['1'])
    strictEqual((await store.searchMessages({ text: 'needle' })).length, 3)
  }),
]

const scopes: ConversationCase[] = [
  searching('scope', 'userId and sessionId narrow the search to sessions of that user, to that session.', async (store) => {
    await spoken(store, ['needle'], 's', 'u')
    await spoken(store, ['hay', 'needle'], 't', 'u')
    await spoken(store, ['hay', 'hay', 'needle'], 'v', 'U')
    deepStrictEqual(await found(store, 'needle'), ['1', '2', '3'])
    deepStrictEqual(await found(store, { text: 'needle', userId: 'u' }), ['1', '2'])
    deepStrictEqual(await found(store, { text: 'needle', sessionId: 't' }), ['2'])
    deepStrictEqual(await found(store, { text: 'needle', sessionId: 't', userId: 'U' }), [])
    deepStrictEqual(await found(store, { text: 'needle', sessionId: 'missing' }), [])
    await store.updateSession('t', { userId: 'w' })
    deepStrictEqual(await found(store, { text: 'needle', userId: 'u' }), ['1'])
    deepStrictEqual(await found(store, { text: 'needle', userId: 'w' }), ['2'])
  }),
  searching('order', 'The newest messages come first, and limit takes the newest.', async (store) => {
    await spoken(
      store,
      range(1, 30).map((n) => `needle ${n}`),
    )
    const newest = range(1, 30).toReversed().map(String)
    deepStrictEqual(idsOf(await store.searchMessages({ text: 'needle' })), newest.slice(0, 20))
    deepStrictEqual(idsOf(await store.searchMessages({ text: 'needle', limit: 3 })), newest.slice(0, 3))
    deepStrictEqual(idsOf(await store.searchMessages({ text: 'needle', limit: 1_000 })), newest)
  }),
  searching('tied', 'Messages of one session with the same createdAt come newest seq first.', async (store) => {
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      range(1, 5).map((n) => ({ ...said('needle', `${n}`), createdAt: new Date(START) })),
    )
    deepStrictEqual(idsOf(await store.searchMessages({ text: 'needle', limit: 3 })), ['5', '4', '3'])
  }),
  searching('whole-messages', 'A search gives messages just as getMessages does.', async (store) => {
    await store.createSession({ id: 's' })
    const message: Message = await store.addMessage('s', {
      ...said('a\0needle'),
      parts: [{}],
      toolCallId: 'c',
      metadata: { z: 1, a: {} },
    })
    deepStrictEqual(await store.searchMessages({ text: 'needle' }), [message])
  }),
  searching('filter-before-limit', 'The scope applies before the limit.', async (store) => {
    await spoken(store, ['needle'], 's', 'u')
    for (const n of range(1, 30)) await spoken(store, ['hay', 'needle'], `t${n}`, 'v')
    deepStrictEqual(await found(store, { text: 'needle', userId: 'u', limit: 1 }), ['1'])
  }),
  searching('checked', 'A search without a term, with a bad limit or scope is refused.', async (store) => {
    await spoken(store, ['needle'])
    for (const text of ['', ' ', '\t\n']) await expectError('INVALID_ARGUMENT', () => store.searchMessages({ text }))
    for (const limit of [0, -1, 1_001, 1.5, Number.NaN]) {
      await expectError('INVALID_ARGUMENT', () => store.searchMessages({ text: 'needle', limit }))
    }
    for (const text of [undefined, null, 5, {}]) await expectTypeError(() => store.searchMessages({ text: text as string }))
    for (const id of ['', 5, null]) {
      await expectRefused(() => store.searchMessages({ text: 'needle', userId: id as string }))
      await expectRefused(() => store.searchMessages({ text: 'needle', sessionId: id as string }))
    }
  }),
]

const refusing: ConversationCase = {
  id: 'conversation/search/unsupported',
  sentence: 'A backend that cannot search says UNSUPPORTED; it does not answer "nothing found".',
  skip: (store) => (store.capabilities.search ? 'capabilities.search is true' : undefined),
  async run({ store }) {
    await expectError('UNSUPPORTED', () => store.searchMessages({ text: 'needle' }), store)
  },
}

export const searchCases: ConversationCase[] = [...terms, ...changes, ...scopes, refusing]
