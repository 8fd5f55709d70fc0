/** Search on SQLite finds what a plain look through all messages finds, whatever the index knows already. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  array,
  assert,
  asyncProperty,
  constant,
  constantFrom,
  integer,
  nat,
  oneof,
  option,
  record,
  type Arbitrary,
} from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FtsTuning } from '../src/conversation/fts.ts'
import type { ConversationStore } from '../src/conversation/store.ts'
import { indexed, openIndexed, openMemory, until } from './conversation-support.ts'

const PIECES = [
  'foo',
  'Foo',
  'bar',
  'BAR',
  'ba',
  'z',
  'É',
  'é',
  '日本語',
  '"',
  '%',
  '_',
  '\u{1f600}',
  'ǅ',
  '\0',
  '\ud800',
  ' ',
  '\n',
]
const piece = constantFrom(...PIECES)
const content = array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
const session = constantFrom('a', 'b', 'c')
const body = record({ content: option(content), parts: option(array(content, { maxLength: 2 }), { nil: undefined }) })
const search = record({
  text: array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join('')),
  sessionId: option(session, { nil: undefined }),
  userId: option(constantFrom('u', 'v'), { nil: undefined }),
  limit: integer({ min: 1, max: 12 }),
})
const operation = oneof(
  {
    weight: 5,
    arbitrary: record({ op: constant('append' as const), session, bodies: array(body, { minLength: 1, maxLength: 6 }) }),
  },
  { weight: 2, arbitrary: record({ op: constant('update' as const), session, pick: nat(30), body }) },
  { weight: 1, arbitrary: record({ op: constant('delete' as const), session, picks: array(nat(30), { maxLength: 4 }) }) },
  { weight: 1, arbitrary: record({ op: constant('truncate' as const), session, seq: nat(20) }) },
  { weight: 1, arbitrary: record({ op: constant('drop' as const), session }) },
  { weight: 4, arbitrary: record({ op: constant('search' as const), search }) },
)
type Operation = typeof operation extends Arbitrary<infer T> ? T : never
type Body = typeof body extends Arbitrary<infer T> ? T : never

/** Operations on one store: those of the same list do the same to every store. */
class Player {
  readonly #store: ConversationStore
  #next = 0

  constructor(store: ConversationStore) {
    this.#store = store
  }

  async begin(): Promise<void> {
    // What lives in another workspace must never be found.
    const other = this.#store.workspace('other')
    await other.createSession({ id: 'a', userId: 'u' })
    await other.addMessage('a', { role: 'user', content: 'foo bar ba z É日本語' })
    for (const id of 'abc') await this.#create(id)
  }

  async play(step: Operation): Promise<unknown> {
    const id = (pick: number): string => `m${pick % Math.max(1, this.#next)}`
    switch (step.op) {
      case 'append':
        return this.#store.addMessages(
          step.session,
          step.bodies.map((body) => this.#message(body)),
        )
      case 'update':
        return this.#store.updateMessage(step.session, id(step.pick), fields(step.body)).catch(ignoreMissing)
      case 'delete':
        return this.#store.deleteMessages(step.session, step.picks.map(id))
      case 'truncate':
        return this.#store.truncate(step.session, step.seq)
      case 'drop':
        await this.#store.deleteSession(step.session)
        return this.#create(step.session)
    }
    return step.search.text.trim() === '' ? undefined : this.#store.searchMessages(step.search)
  }

  async #create(id: string): Promise<void> {
    await this.#store.createSession({ id, userId: id === 'a' ? 'u' : 'v' })
  }

  /** `createdAt` neither rises with seq nor is tied between sessions, so that the order of hits is one. */
  #message(body: Body) {
    const n = this.#next++
    return { id: `m${n}`, role: 'user', ...fields(body), createdAt: new Date(((n * 7) % 40) * 10_000 + n) }
  }
}

function fields({ content, parts }: Body) {
  const others = [{ type: 'reasoning', text: 'foobar' }, 'foobar', null]
  return { content, ...(parts && { parts: [...parts.map((text) => ({ type: 'text', text })), ...others] }) }
}

function ignoreMissing(error: { code?: string }): void {
  if (error.code !== 'NOT_FOUND') throw error as Error
}

async function matchesModel(tuning: FtsTuning, indexAlways: boolean): Promise<void> {
  const property = asyncProperty(array(operation, { minLength: 5, maxLength: 40 }), async (steps) => {
    const opened = await openIndexed(tuning)
    const model = new Player(await openMemory())
    const tried = new Player(opened.store)
    await Promise.all([model.begin(), tried.begin()])
    for (const step of steps) {
      const [expected, found] = await Promise.all([model.play(step), tried.play(step)])
      if (step.op === 'search') expect(found).toEqual(expected)
      if (indexAlways) await indexed(opened)
    }
    await opened.store.close()
  })
  await assert(property, { numRuns: 60 })
}

describe('search finds what a plain look finds', () => {
  it('from the index', () => matchesModel({ tailRows: 0, batchRows: 3 }, true))
  it('where nothing is indexed', () => matchesModel({ tailRows: 1_000_000 }, false))
  it('where some rows are behind the index', () => matchesModel({ tailRows: 4, batchRows: 1 }, false))
  it('where the terms are too common for the index', () => matchesModel({ tailRows: 0, candidates: 1 }, true))

  it('in rows behind the index', async () => {
    const opened = await openIndexed({ tailRows: 1 })
    await opened.store.createSession({ id: 's' })
    await opened.store.addMessages('s', [
      { role: 'user', content: 'needle' },
      { role: 'user', content: 'other' },
    ])
    await indexed(opened)
    await opened.store.addMessage('s', { role: 'user', content: 'second needle' })
    expect(await opened.behind()).toBe(1)
    expect((await opened.store.searchMessages({ text: 'needle' })).map(({ seq }) => seq)).toEqual([3, 1])
  })

  it('among more messages than it reads at once, newest first', async () => {
    const { store } = await openIndexed({ tailRows: 0 })
    await store.createSession({ id: 's', userId: 'u' })
    const messages = Array.from({ length: 700 }, (_, i) => ({
      role: 'user',
      content: i % 10 === 0 ? 'rare xy' : 'plain',
      createdAt: new Date(1_000_000 - Math.floor(i / 300)),
    }))
    const added = await store.addMessages('s', messages)
    const newestFirst = added.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || b.seq - a.seq)
    const expected = newestFirst.filter(({ content }) => content === 'rare xy').slice(0, 65)
    for (const scope of [{}, { userId: 'u' }, { sessionId: 's' }]) {
      expect(await store.searchMessages({ text: 'xy', limit: 65, ...scope })).toEqual(expected)
    }
  })
})

describe('the index', () => {
  it('never holds an append up, and is begun by a search that finds much behind it', async () => {
    const opened = await openIndexed({ tailRows: 50 })
    const { store, behind } = opened
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      Array.from({ length: 50 }, () => ({ role: 'user', content: 'some text' })),
    )
    await store.searchMessages({ text: 'text' })
    await sleep(20)
    expect(await behind()).toBe(50)
    await store.addMessage('s', { role: 'user', content: 'some text' })
    expect(await behind()).toBe(51)
    await indexed(opened)
    expect(await store.searchMessages({ text: 'some text', limit: 100 })).toHaveLength(51)
  })

  it('goes on at the next search after a failure', async () => {
    let failing = true
    const { store, behind } = await openIndexed({ tailRows: 0, batchRows: 2 }, (engine) => ({
      dialect: engine.dialect,
      migrate: (...args) => engine.migrate(...args),
      version: (schema) => engine.version(schema),
      select: (...args) => engine.select(...args),
      read: (...args) => engine.read(...args),
      // Only the index writes with a signal here.
      write: (script, call) =>
        failing && call?.signal !== undefined ? Promise.reject(new Error('disk full')) : engine.write(script, call),
      ping: (...args) => engine.ping(...args),
      close: () => engine.close(),
    }))
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      Array.from({ length: 9 }, () => ({ role: 'user', content: 'needle' })),
    )
    expect(await store.searchMessages({ text: 'needle' })).toHaveLength(9)
    await sleep(5)
    expect(await behind()).toBe(9)
    failing = false
    expect(await store.searchMessages({ text: 'needle' })).toHaveLength(9)
    await until(async () => (await behind()) === 0)
  })
})

describe('a built index', () => {
  it('is left unfinished at close', async () => {
    const { store, behind } = await openIndexed({ tailRows: 0, batchRows: 1 })
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      Array.from({ length: 5000 }, () => ({ role: 'user', content: 'x'.repeat(500) })),
    )
    await store.searchMessages({ text: 'needle' })
    await until(async () => (await behind()) < 5000)
    const began = performance.now()
    await store.close()
    expect(performance.now() - began).toBeLessThan(500)
  })

  it('holds no deleted or replaced text', async () => {
    const opened = await openIndexed({ tailRows: 0 })
    const { store, engine } = opened
    await store.createSession({ id: 's' })
    const [kept] = await store.addMessages('s', [
      { role: 'user', content: 'needle one' },
      { role: 'user', content: 'needle two' },
    ])
    await indexed(opened)
    await store.updateMessage('s', kept!.id, { content: 'nothing' })
    await store.truncate('s', 1)
    const sql = `SELECT rowid FROM holdfast_message_texts WHERE holdfast_message_texts MATCH ?`
    expect(await engine.select(sql, ['"nee"'])).toEqual([])
    expect(await engine.select(sql, ['"not"'])).toHaveLength(1)
  })
})
