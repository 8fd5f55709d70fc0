import { describe, expect, it, onTestFinished } from 'vitest'
import {
  openPersistence,
  STATE_STORES,
  type Context,
  type ContextQuery,
  type NewMessage,
  type Persistence,
  type PersistenceOptions,
} from '../src/index.ts'
import { scratch } from './support.ts'

async function open(options: PersistenceOptions = {}): Promise<Persistence> {
  const memory = { conversation: 'memory', knowledge: 'memory', state: 'memory' }
  const db = await openPersistence({ config: false, ...memory, ...options })
  onTestFinished(() => db.close())
  return db
}

const user = (content: string): NewMessage => ({ role: 'user', content })
const assistant = (content: string): NewMessage => ({ role: 'assistant', content })
const calls = (...ids: string[]): NewMessage => ({
  role: 'assistant',
  content: `calls ${ids.join(' ')}`,
  toolCalls: ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })),
})
const result = (id: string): NewMessage => ({ role: 'tool', content: `result ${id}`, toolCallId: id })

/** The contents of the messages of a context over a session with these messages. */
async function history(messages: readonly NewMessage[], query?: ContextQuery): Promise<unknown[]> {
  const db = await open()
  await db.conversation.createSession({ id: 's' })
  await db.conversation.addMessages('s', messages)
  return (await db.buildContext('s', query)).messages.map(({ content }) => content)
}

describe('the history', () => {
  const many = Array.from({ length: 30 }, (_, i) => user(`${i + 1}`))

  it('is the newest messages, oldest first: 20 unless historyLimit says otherwise', async () => {
    const last = (n: number): string[] => many.slice(-n).map(({ content }) => content!)
    expect(await history(many)).toEqual(last(20))
    expect(await history(many, { historyLimit: 3 })).toEqual(last(3))
    expect(await history(many, { historyLimit: 1_000 })).toEqual(last(30))
    expect(await history(many, { historyLimit: 0 })).toEqual([])
  })

  it('comes with its session; where there is none, with undefined and no messages', async () => {
    const db = await open()
    await db.conversation.createSession({ id: 's', name: 'named', state: { step: 1 } })
    expect(await db.buildContext('s')).toEqual({ session: await db.conversation.getSession('s'), messages: [], documents: [] })
    expect(await db.buildContext('gone')).toEqual({ session: undefined, messages: [], documents: [] })
    expect((await db.workspace('w').buildContext('s')).session).toBeUndefined()
  })

  const turn = [user('question'), calls('a', 'b', 'c'), result('a'), result('b'), result('c'), assistant('answer'), user('next')]
  const shown = turn.map(({ content }) => content)

  it('never begins with results of a call that was cut off, however many', async () => {
    const kept = [7, 6, 2, 2, 2, 2, 1]
    for (const [i, count] of kept.entries()) {
      expect(await history(turn, { historyLimit: 7 - i }), `limit ${7 - i}`).toEqual(shown.slice(7 - count))
    }
  })

  it('is empty where the limit is smaller than the group of a call and its results', async () => {
    const group = [user('question'), calls('a', 'b', 'c'), result('a'), result('b'), result('c')]
    for (const historyLimit of [1, 2, 3]) expect(await history(group, { historyLimit })).toEqual([])
    expect(await history(group, { historyLimit: 4 })).toEqual(['calls a b c', 'result a', 'result b', 'result c'])
    expect(await history([result('a'), result('b')])).toEqual([])
  })

  it('has no late results either, that come after what a user said while the tool ran', async () => {
    const messages = [
      calls('a'),
      calls('b'),
      result('a'),
      user('hello?'),
      result('b'),
      assistant('answer'),
      calls('c'),
      result('c'),
    ]
    expect(await history(messages, { historyLimit: 6 })).toEqual(['hello?', 'answer', 'calls c', 'result c'])
    expect(await history(messages, { historyLimit: 8 })).toHaveLength(8)
  })

  it('knows results by their role and by the call that they answer', async () => {
    const odd = { role: 'observation', content: 'result', toolCallId: 'a' }
    expect(await history([odd, user('next')])).toEqual(['next'])
    expect(await history([{ role: 'tool', content: 'no id' }, user('next')])).toEqual(['next'])
    expect(await history([{ role: 'function', content: 'older form' }, user('next')])).toEqual(['next'])
  })

  it('keeps results that follow a call in any form', async () => {
    const inParts = { role: 'model', parts: [{ type: 'tool-call', toolCallId: 'a' }], content: 'parts' }
    expect(await history([inParts, result('a')])).toEqual(['parts', 'result a'])
    expect(await history([assistant('Action: look'), { role: 'tool', content: 'seen' }])).toEqual(['Action: look', 'seen'])
  })

  it('ends as it is stored, also with a call that has no result yet', async () => {
    expect(await history([user('question'), calls('a')])).toEqual(['question', 'calls a'])
    expect(await history([user('question'), calls('a', 'b'), result('a')])).toEqual(['question', 'calls a b', 'result a'])
    expect(await history([calls('a')], { historyLimit: 1 })).toEqual(['calls a'])
  })

  it('is as quick to read at the end of a long session on SQLite', async () => {
    const db = await open({ conversation: ':memory:' })
    await db.conversation.createSession({ id: 's' })
    await db.conversation.addMessages(
      's',
      Array.from({ length: 2_000 }, (_, i) => user(`${i}`)),
    )
    const { messages } = await db.buildContext('s', { historyLimit: 2 })
    expect(messages.map(({ seq, content }) => [seq, content])).toEqual([
      [1999, '1998'],
      [2000, '1999'],
    ])
  })
})

/** Birds and beasts in two dimensions, colours in three. */
async function library(options: PersistenceOptions = {}): Promise<Persistence> {
  const db = await open(options)
  const { knowledge } = db
  await knowledge.createCollection('birds', { dimension: 2 })
  await knowledge.createCollection('beasts', { dimension: 2 })
  await knowledge.createCollection('colours', { dimension: 3 })
  await knowledge.insert('birds', [
    { id: 'gull', content: 'gull', embedding: [1, 0], metadata: { sea: true } },
    { id: 'owl', content: 'owl', embedding: [0.6, 0.8], metadata: { sea: false } },
    { id: 'wren', content: 'wren', embedding: [0, 1], metadata: { sea: false } },
  ])
  await knowledge.insert('beasts', [
    { id: 'seal', content: 'seal', embedding: [0.8, 0.6], metadata: { sea: true } },
    { id: 'mole', content: 'mole', embedding: [-1, 0], metadata: { sea: false } },
  ])
  await knowledge.insert('colours', [{ id: 'red', content: 'red', embedding: [1, 0, 0], metadata: { sea: false } }])
  return db
}

const names = ({ documents }: Context): string[] => documents.map(({ collection, id }) => `${collection}/${id}`)

for (const backend of ['memory', ':memory:']) {
  describe(`the documents of ${backend === 'memory' ? 'memory' : 'SQLite'}`, () => {
    it('are the best of all collections of the dimension, best first, each with its collection', async () => {
      const db = await library({ knowledge: backend })
      const context = await db.buildContext('s', { embedding: [1, 0] })
      expect(names(context)).toEqual(['birds/gull', 'beasts/seal', 'birds/owl', 'birds/wren', 'beasts/mole'])
      expect(context.documents[1]).toMatchObject({ content: 'seal', metadata: { sea: true } })
      expect(context.documents.map(({ score }) => Number(score.toFixed(3)))).toEqual([1, 0.8, 0.6, 0, -1])
      expect(names(await db.buildContext('s', { embedding: new Float32Array([1, 0, 0]) }))).toEqual(['colours/red'])
      expect(names(await db.buildContext('s', { embedding: [1, 0, 0, 0] }))).toEqual([])
    })

    it('are limited over all collections together', async () => {
      const db = await library({ knowledge: backend })
      const embedding = [1, 0]
      expect(names(await db.buildContext('s', { embedding, knowledgeLimit: 2 }))).toEqual(['birds/gull', 'beasts/seal'])
      expect(names(await db.buildContext('s', { embedding, knowledgeLimit: 100 }))).toHaveLength(5)
      expect(names(await db.buildContext('s', { embedding, knowledgeLimit: 0 }))).toEqual([])
    })

    it('satisfy filter and minScore, and come from the named collections', async () => {
      const db = await library({ knowledge: backend })
      const embedding = [1, 0]
      expect(names(await db.buildContext('s', { embedding, filter: { sea: false }, knowledgeLimit: 2 }))).toEqual([
        'birds/owl',
        'birds/wren',
      ])
      expect(names(await db.buildContext('s', { embedding, minScore: 0.7 }))).toEqual(['birds/gull', 'beasts/seal'])
      const collections = ['beasts', 'beasts']
      expect(names(await db.buildContext('s', { embedding, collections }))).toEqual(['beasts/seal', 'beasts/mole'])
      expect(names(await db.buildContext('s', { embedding, collections: [] }))).toEqual([])
    })
  })
}

describe('the documents', () => {
  it('are found by a text with embed, in every collection or the named ones', async () => {
    const asked: string[] = []
    const embed = (texts: readonly string[]): number[][] => {
      asked.push(...texts)
      return texts.map((text) => (text === 'sea' ? [1, 0] : [0, 1]))
    }
    const db = await library({ embed })
    await db.knowledge.deleteCollection('colours')
    expect(names(await db.buildContext('s', { text: 'sea', knowledgeLimit: 1 }))).toEqual(['birds/gull'])
    expect(names(await db.buildContext('s', { text: 'land', knowledgeLimit: 1 }))).toEqual(['birds/wren'])
    expect(new Set(asked)).toEqual(new Set(['sea', 'land']))
    const inWorkspace = db.workspace('w')
    await inWorkspace.knowledge.createCollection('own', { dimension: 2 })
    await inWorkspace.knowledge.insert('own', [{ id: 'd', content: 'sea' }])
    expect(names(await inWorkspace.buildContext('s', { text: 'sea' }))).toEqual(['own/d'])
  })

  it('are none without text and embedding', async () => {
    const db = await library()
    expect(names(await db.buildContext('s', { knowledgeLimit: 5, collections: ['birds'] }))).toEqual([])
  })

  it('need embed for a text, and a collection that is there where one is named', async () => {
    const db = await library()
    await expect(db.buildContext('s', { text: 'sea' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const wrong = [
      [{ collections: ['nosuch'] }, 'NOT_FOUND'],
      [{ collections: ['colours'] }, 'INVALID_ARGUMENT'],
      [{ filter: { sea: { $nosuch: 1 } } }, 'INVALID_ARGUMENT'],
    ] as const
    for (const [query, code] of wrong) {
      await expect(db.buildContext('s', { embedding: [1, 0], ...query })).rejects.toMatchObject({ code })
    }
  })

  it('are those of the other collections where one is deleted meanwhile', async () => {
    const db = await library()
    const { knowledge } = db
    const list = knowledge.listCollections.bind(knowledge)
    knowledge.listCollections = async (options) => {
      const found = await list(options)
      await knowledge.deleteCollection('beasts')
      return found
    }
    expect(names(await db.buildContext('s', { embedding: [1, 0] }))).toEqual(['birds/gull', 'birds/owl', 'birds/wren'])
  })
})

describe('what cannot be asked', () => {
  const invalid: readonly [unknown, string][] = [
    [{ text: 'a', embedding: [1, 0] }, 'text or embedding'],
    [{ historyLimit: -1 }, 'historyLimit'],
    [{ historyLimit: 1.5 }, 'historyLimit'],
    [{ knowledgeLimit: -1 }, 'knowledgeLimit'],
    [{ knowledgeLimit: 10_001 }, 'knowledgeLimit'],
    [{ embedding: [] }, 'embedding'],
    [{ embedding: [Number.NaN, 0] }, 'embedding'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
  ]
  const mistyped: readonly unknown[] = [
    { historyLimit: '5' },
    { knowledgeLimit: null },
    { embedding: 'sea' },
    { embedding: ['1', '0'] },
    { text: 5 },
    { embedding: [1], collections: 'birds' },
    null,
  ]

  it('is INVALID_ARGUMENT that names it, or a TypeError, also where there is nothing to search', async () => {
    const db = await open()
    for (const [query, named] of invalid) {
      await expect(db.buildContext('s', query as ContextQuery)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(named) as string,
      })
    }
    for (const query of mistyped) await expect(db.buildContext('s', query as ContextQuery)).rejects.toThrow(TypeError)
    for (const id of ['', 'a\0']) await expect(db.buildContext(id)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(db.buildContext(undefined as never)).rejects.toThrow(TypeError)
  })
})

describe('signal and timeout', () => {
  it('reach every call', async () => {
    const db = await library()
    const aborted = AbortSignal.abort()
    for (const query of [{}, { embedding: [1, 0] }]) {
      await expect(db.buildContext('s', { ...query, signal: aborted })).rejects.toMatchObject({ code: 'ABORTED' })
    }
    const seen: unknown[] = []
    const controller = new AbortController()
    const note = (options: { signal?: AbortSignal | undefined; timeoutMs?: number | undefined } | undefined): void => {
      seen.push([options?.signal, options?.timeoutMs])
    }
    const spied = [
      [db.conversation, 'getSession'],
      [db.conversation, 'getMessages'],
      [db.knowledge, 'listCollections'],
      [db.knowledge, 'search'],
    ] as const
    for (const [store, method] of spied) {
      const original = Reflect.get(store, method) as (...args: unknown[]) => unknown
      Reflect.set(store, method, (...args: unknown[]) => {
        note(args.at(-1) as object)
        return original.apply(store, args)
      })
    }
    await db.buildContext('s', { embedding: [1, 0], signal: controller.signal, timeoutMs: 5_000 })
    expect(seen).toEqual(Array.from({ length: 5 }, () => [controller.signal, 5_000]))
  })

  it('stop an embed that does not answer', async () => {
    const db = await library({ embed: () => new Promise(() => undefined) })
    await expect(db.buildContext('s', { text: 'sea', timeoutMs: 20 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    const controller = new AbortController()
    const waiting = db.buildContext('s', { text: 'sea', signal: controller.signal })
    controller.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
  })
})

describe('over stores of one folder', () => {
  it('finds what another persistence wrote', async () => {
    const dir = await scratch()
    const state = await STATE_STORES.create('memory')
    const stores = { dir, conversation: 'sqlite', knowledge: 'sqlite', state }
    const [writer, reader] = [await open(stores), await open(stores)]
    await writer.conversation.createSession({ id: 's' })
    await writer.conversation.addMessage('s', user('hello'))
    await writer.knowledge.createCollection('k', { dimension: 1 })
    await writer.knowledge.insert('k', [{ id: 'd', content: 'd', embedding: [1] }])
    const { session, messages, documents } = await reader.buildContext('s', { embedding: [1] })
    expect([session?.lastSeq, messages.length, documents.length]).toEqual([1, 1, 1])
  })
})
