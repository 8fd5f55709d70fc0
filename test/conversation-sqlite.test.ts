/** What only SQLite has: query plans, the full-text index behind the appends, exact metadata conditions, files. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { create } from '../src/conversation/backends/sqlite.ts'
import { create as createMemory } from '../src/conversation/backends/memory.ts'
import { FtsIndex, type FtsTuning } from '../src/conversation/fts.ts'
import { conversationSchema, conversationTables } from '../src/conversation/schema.ts'
import { createSqlConversation } from '../src/conversation/sql.ts'
import { ConversationStore } from '../src/conversation/store.ts'
import { openSqlite, type SqliteEngine } from '../src/engines/sqlite.ts'
import type { Script, SqlEngine } from '../src/engines/sql.ts'
import type { FactoryContext } from '../src/store/factory.ts'
import { scratch } from './support.ts'

const CONTEXT: FactoryContext = {
  kind: 'conversation',
  name: 'sqlite',
  loadClient: () => Promise.reject(new Error('no client is needed')),
}
const PREFIX = 'holdfast_'

interface Opened {
  readonly store: ConversationStore
  readonly engine: SqliteEngine
  /** Rows that the full-text index has not reached. */
  behind(): Promise<number>
}

async function open(tuning: FtsTuning = {}, wrap: (engine: SqlEngine) => SqlEngine = (engine) => engine): Promise<Opened> {
  const engine = await openSqlite(':memory:')
  await engine.migrate(conversationSchema(engine.dialect, PREFIX), { autoCreate: true })
  const wrapped = wrap(engine)
  const index = new FtsIndex(wrapped, conversationTables(engine.dialect, PREFIX), tuning)
  const store = new ConversationStore(createSqlConversation(wrapped, { prefix: PREFIX, limits: {}, index }), { name: 'sqlite' })
  onTestFinished(() => store.close())
  const behind = async (): Promise<number> => {
    const sql = `SELECT count(*) AS n FROM holdfast_messages WHERE n > (SELECT upto FROM holdfast_messages_indexed)`
    return (await engine.select<{ n: number }>(sql, []))[0]!.n
  }
  return { store, engine, behind }
}

async function memory(): Promise<ConversationStore> {
  return new ConversationStore(await createMemory({}, CONTEXT), { name: 'memory' })
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(1)
}

describe('query plans', () => {
  /** Passes every statement on to `note`. */
  function recording(engine: SqlEngine, note: (sql: string) => void): SqlEngine {
    function* noting<T>(script: () => Script<T>): Script<T> {
      const running = script()
      let step = running.next()
      while (step.done !== true) {
        note(step.value.sql)
        step = running.next(yield step.value)
      }
      return step.value
    }
    return {
      dialect: engine.dialect,
      migrate: (...args) => engine.migrate(...args),
      select: (sql, values, call) => {
        note(sql)
        return engine.select(sql, values, call)
      },
      read: (script, call) => engine.read(() => noting(script), call),
      write: (script, call) => engine.write(() => noting(script), call),
      ping: (call) => engine.ping(call),
      close: () => engine.close(),
    }
  }

  async function everyStatement(): Promise<{ engine: SqliteEngine; statements: Set<string> }> {
    const statements = new Set<string>()
    const { store, engine, behind } = await open({ tailRows: 3, candidates: 5, batchRows: 4 }, (it) =>
      recording(it, (sql) => statements.add(sql)),
    )
    await store.createSession({ id: 's', userId: 'u', agentId: 'a', metadata: { k: 1 } })
    await store.addMessages(
      's',
      Array.from({ length: 40 }, (_, i) => ({ id: `m${i}`, role: 'user', content: `word${i} common` })),
    )
    await store.addMessage('s', { role: 'user' }, { expectedSeq: 40 })
    await store.searchMessages({ text: 'common' })
    await until(async () => (await behind()) === 0)
    for (const scope of [{}, { userId: 'u' }, { sessionId: 's' }, { userId: 'u', sessionId: 's' }]) {
      for (const text of ['word17', 'common', 'w']) await store.searchMessages({ text, ...scope })
    }
    await store.addMessage('s', { role: 'user', content: 'word17 again' })
    await store.searchMessages({ text: 'word17' })
    for (const query of [{}, { limit: 2 }, { after: 1, limit: 2 }, { before: 3 }]) await store.getMessages('s', query)
    await store.updateMessage('s', 'm1', { content: 'x', metadata: {} })
    await store.updateSession('s', { name: 'n', state: {} }, { ifVersion: 1 })
    for (const userId of [undefined, 'u']) {
      for (const agentId of [undefined, 'a']) {
        for (const order of ['asc', 'desc'] as const) {
          await store.createSession({ userId, agentId })
          const page = await store.listSessions({ userId, agentId, order, limit: 1 })
          await store.listSessions({ userId, agentId, order, limit: 1, cursor: page.cursor })
        }
      }
    }
    await store.deleteMessages('s', ['m1', 'm2', 'm3'])
    await store.truncate('s', 30)
    await store.forkSession('s', { newId: 'f' })
    await store.pruneSessions({ olderThan: new Date(Date.now() + 1) })
    await store.deleteSession('f')
    return { engine, statements }
  }

  it('no statement looks at every row of a table, and none sorts', async () => {
    const { engine, statements } = await everyStatement()
    expect(statements.size).toBeGreaterThan(40)
    const bad: string[] = []
    for (const sql of statements) {
      const plan = (await engine.select<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, [])).map(({ detail }) => detail)
      const wrong = plan.filter((line) => /^SCAN (?!.*VIRTUAL TABLE|CONSTANT ROW|.*VALUES)|USE TEMP B-TREE/.test(line))
      if (wrong.length > 0) bad.push(`${sql}\n  ${plan.join('\n  ')}`)
    }
    expect(bad).toEqual([])
  })

  it('a page of a listing begins at its position in the index', async () => {
    const { engine, statements } = await everyStatement()
    const paged = [...statements].filter((sql) => sql.includes('(updated_at, id)'))
    expect(paged).toHaveLength(8)
    for (const sql of paged) {
      const [line] = await engine.select<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, [])
      expect(line?.detail).toMatch(/USING INDEX .*\(updated_at,id\)[<>]\(\?,\?\)/)
    }
  })
})

describe('search', () => {
  const piece = fc.constantFrom(
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
  )
  const content = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  const body = fc.record({
    content: fc.option(content),
    parts: fc.option(fc.array(content, { maxLength: 2 }), { nil: undefined }),
  })
  const session = fc.constantFrom('a', 'b', 'c')
  const operation = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant('append' as const),
        session,
        bodies: fc.array(body, { minLength: 1, maxLength: 6 }),
        at: fc.nat(5),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('update' as const), session, pick: fc.nat(30), body }) },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constant('delete' as const), session, picks: fc.array(fc.nat(30), { maxLength: 4 }) }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), session, seq: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('drop' as const), session }) },
    {
      weight: 4,
      arbitrary: fc.record({
        op: fc.constant('search' as const),
        text: fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join('')),
        sessionId: fc.option(session, { nil: undefined }),
        userId: fc.option(fc.constantFrom('u', 'v'), { nil: undefined }),
        limit: fc.integer({ min: 1, max: 12 }),
      }),
    },
  )
  type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

  const toMessage = (id: string, { content, parts }: { content: string | null; parts?: string[] | undefined }) => ({
    id,
    content,
    ...(parts && {
      parts: [...parts.map((text) => ({ type: 'text', text })), { type: 'reasoning', text: 'foobar' }, 'foobar', null],
    }),
  })

  /** Does the same to both stores; a search must find the same in both. Each message's place in the order is unique. */
  async function apply(step: Operation, stores: readonly ConversationStore[], ids: { next: number }): Promise<void> {
    const idOf = (pick: number): string => `m${pick % Math.max(1, ids.next)}`
    switch (step.op) {
      case 'append': {
        const messages = step.bodies.map((body) => {
          const id = ids.next++
          // Neither rising with seq nor tied between sessions.
          return { role: 'user', ...toMessage(`m${id}`, body), createdAt: new Date(((id * 7) % 40) * 10_000 + id) }
        })
        for (const store of stores) await store.addMessages(step.session, messages)
        return
      }
      case 'update':
        for (const store of stores)
          await store.updateMessage(step.session, idOf(step.pick), toMessage('', step.body)).catch(ignoreMissing)
        return
      case 'delete':
        for (const store of stores) await store.deleteMessages(step.session, step.picks.map(idOf))
        return
      case 'truncate':
        for (const store of stores) await store.truncate(step.session, step.seq)
        return
      case 'drop':
        for (const store of stores) {
          await store.deleteSession(step.session)
          await store.createSession({ id: step.session, userId: step.session === 'a' ? 'u' : 'v' })
        }
        return
      case 'search': {
        if (step.text.trim() === '') return
        const { op: _, ...search } = step
        const [model, found] = await Promise.all(stores.map((store) => store.searchMessages(search)))
        expect(found).toEqual(model)
      }
    }
  }

  const ignoreMissing = (error: { code?: string }): void => {
    if (error.code !== 'NOT_FOUND') throw error as Error
  }

  async function matchesModel(tuning: FtsTuning, indexAlways: boolean): Promise<void> {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40 }), async (steps) => {
        const { store, behind } = await open(tuning)
        const stores = [await memory(), store]
        // What lives in another workspace must never be found.
        for (const each of stores) await each.workspace('other').createSession({ id: 'a', userId: 'u' })
        for (const each of stores)
          await each.workspace('other').addMessage('a', { role: 'user', content: 'foo bar ba z É日本語' })
        for (const id of 'abc') for (const each of stores) await each.createSession({ id, userId: id === 'a' ? 'u' : 'v' })
        const ids = { next: 0 }
        for (const step of steps) {
          await apply(step, stores, ids)
          if (!indexAlways) continue
          await store.searchMessages({ text: 'foo' })
          await until(async () => (await behind()) === 0)
        }
        await store.close()
      }),
      { numRuns: 40 },
    )
  }

  it('finds what a plain look through all messages finds, from the index', () =>
    matchesModel({ tailRows: 0, batchRows: 3 }, true))
  it('… where nothing is indexed', () => matchesModel({ tailRows: 1_000_000 }, false))
  it('… while the index is being built', () => matchesModel({ tailRows: 2, batchRows: 1 }, false))
  it('… where the terms are too common for the index', () => matchesModel({ tailRows: 0, candidates: 1 }, true))

  it('looks through more messages than it reads at once, newest first', async () => {
    const { store } = await open({ tailRows: 0 })
    await store.createSession({ id: 's', userId: 'u' })
    const messages = Array.from({ length: 700 }, (_, i) => ({
      role: 'user',
      content: i % 10 === 0 ? 'rare xy' : 'plain',
      createdAt: new Date(1_000_000 - i),
    }))
    await store.addMessages('s', messages)
    for (const scope of [{}, { userId: 'u' }, { sessionId: 's' }]) {
      const found = await store.searchMessages({ text: 'xy', limit: 65, ...scope })
      expect(found.map(({ seq }) => seq)).toEqual(Array.from({ length: 65 }, (_, i) => i * 10 + 1))
    }
  })

  it('appends never wait for the index, and a search starts it only when much is behind', async () => {
    const { store, behind } = await open({ tailRows: 50 })
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
    await store.searchMessages({ text: 'text' })
    await until(async () => (await behind()) === 0)
    expect(await store.searchMessages({ text: 'some text', limit: 100 })).toHaveLength(51)
  })

  it('an interrupted build goes on at the next search', async () => {
    let failing = true
    const { store, behind } = await open({ tailRows: 0, batchRows: 2 }, (engine) => ({
      ...engine,
      dialect: engine.dialect,
      select: (...args) => engine.select(...args),
      read: (...args) => engine.read(...args),
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

  it('close ends a build at once', async () => {
    const { store, behind } = await open({ tailRows: 0, batchRows: 1 })
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      Array.from({ length: 5000 }, () => ({ role: 'user', content: 'x'.repeat(500) })),
    )
    await store.searchMessages({ text: 'needle' })
    await until(async () => (await behind()) < 5000)
    const began = performance.now()
    await store.close()
    expect(performance.now() - began).toBeLessThan(1000)
  })

  it('deleted text leaves the index', async () => {
    const { store, engine, behind } = await open({ tailRows: 0 })
    await store.createSession({ id: 's' })
    const [kept] = await store.addMessages('s', [
      { role: 'user', content: 'needle one' },
      { role: 'user', content: 'needle two' },
    ])
    await store.searchMessages({ text: 'needle' })
    await until(async () => (await behind()) === 0)
    await store.updateMessage('s', kept!.id, { content: 'nothing' })
    await store.truncate('s', 1)
    const sql = `SELECT rowid FROM holdfast_message_texts WHERE holdfast_message_texts MATCH ?`
    expect(await engine.select(sql, ['"nee"'])).toEqual([])
    expect(await engine.select(sql, ['"not"'])).toHaveLength(1)
  })
})

describe('metadata conditions', () => {
  const scalar = fc.oneof(
    fc.constantFrom<string | number | boolean | null>(
      '',
      '1',
      'true',
      'null',
      1,
      0,
      -0,
      true,
      false,
      null,
      2 ** 53,
      2 ** 62,
      1e300,
      5e-324,
    ),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary', maxLength: 5 }).filter((text) => !text.includes('\0')),
  )
  const name = fc.oneof(
    fc.constantFrom('a', 'a.b', '$', '"', '\\', "'", '', '__proto__', 'é', '\n'),
    fc.string({ maxLength: 3 }).filter((text) => !text.includes('\0')),
  )
  const metadata = fc.dictionary(
    name,
    fc.oneof(scalar, fc.constant([1]), fc.constant({ a: 1 }), fc.constant('a\0b'), fc.constant('\ud800')),
    { maxKeys: 4 },
  )

  it('compare exactly, by type and value, like the model', async () => {
    const { store } = await open()
    const model = await memory()
    await fc.assert(
      fc.asyncProperty(metadata, fc.dictionary(name, scalar, { minKeys: 1, maxKeys: 2 }), async (stored, asked) => {
        const first = Object.entries(stored).find(([, value]) => typeof value !== 'object' && isPlain(value)) ?? []
        const queries = [asked, ...(first.length > 0 ? [Object.fromEntries([first])] : [])] as (typeof asked)[]
        for (const each of [model, store]) {
          await each.clear()
          await each.createSession({ id: 's', metadata: stored })
        }
        for (const query of queries) {
          const [expected, found] = await Promise.all(
            [model, store].map(async (each) => (await each.listSessions({ metadata: query })).items.length),
          )
          expect(found).toBe(expected)
        }
        if (queries.length > 1) expect((await store.listSessions({ metadata: queries[1] })).items).toHaveLength(1)
      }),
      { numRuns: 300 },
    )
  })

  const isPlain = (value: unknown): boolean => typeof value !== 'string' || (value.isWellFormed() && !value.includes('\0'))
})

describe('files', () => {
  it('backs up while writers go on, and the copy opens', async () => {
    const folder = await scratch()
    const path = join(folder, 'deep', 'chat.db')
    const store = new ConversationStore(await create({ path }, CONTEXT), { name: 'sqlite' })
    await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user', content: 'kept' })
    await mkdir(join(folder, 'backup'))
    const writing = Promise.all(Array.from({ length: 50 }, () => store.addMessage('s', { role: 'user' })))
    expect(await store.backupTo(join(folder, 'backup'))).toEqual(['conversation.db'])
    await writing
    await store.close()
    const copy = new ConversationStore(await create({ path: join(folder, 'backup', 'conversation.db') }, CONTEXT), {
      name: 'sqlite',
    })
    expect((await copy.getMessages('s', { after: 0, limit: 1 }))[0]?.content).toBe('kept')
    expect(await copy.searchMessages({ text: 'kept' })).toHaveLength(1)
    await copy.close()
  })

  it('makes no tables where autoCreate is off, and leaves the file closed', async () => {
    const path = join(await scratch(), 'chat.db')
    const opening = Promise.resolve(create({ path, autoCreate: false }, CONTEXT))
    await expect(opening).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await (await create({ path }, CONTEXT)).close()
    expect(existsSync(path)).toBe(true)
    await (await create({ path, autoCreate: false }, CONTEXT)).close()
  })

  it('two prefixes share a file without meeting', async () => {
    const path = join(await scratch(), 'chat.db')
    const [one, two] = await Promise.all(
      ['one_', 'two_'].map(async (prefix) => new ConversationStore(await create({ path, prefix }, CONTEXT), { name: 'sqlite' })),
    )
    await one!.createSession({ id: 's' })
    expect(await two!.getSession('s')).toBeUndefined()
    await Promise.all([one!.close(), two!.close()])
  })

  it('keeps concurrent appends of two connections consecutive', async () => {
    const path = join(await scratch(), 'chat.db')
    // Different durability means different connections within one process.
    const backends = [await create({ path }, CONTEXT), await create({ path, durability: 'relaxed' }, CONTEXT)]
    const stores = backends.map((backend) => new ConversationStore(backend, { name: 'sqlite' }))
    await stores[0]!.createSession({ id: 's' })
    const added = await Promise.all(
      Array.from({ length: 200 }, (_, i) => stores[i % 2]!.addMessages('s', [{ role: 'user' }, { role: 'assistant' }])),
    )
    expect(
      added
        .flat()
        .map(({ seq }) => seq)
        .toSorted((a, b) => a - b),
    ).toEqual(Array.from({ length: 400 }, (_, i) => i + 1))
    expect(added.every(([first, second]) => second!.seq === first!.seq + 1)).toBe(true)
    for (const store of stores) await store.close()
  })
})
