/** What only SQLite has: query plans, exact metadata conditions, files. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { assert, asyncProperty, constant, constantFrom, dictionary, double, oneof, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { create } from '../src/conversation/backends/sqlite.ts'
import { ConversationStore } from '../src/conversation/store.ts'
import type { Script, SqlEngine } from '../src/engines/sql.ts'
import type { SqliteEngine } from '../src/engines/sqlite.ts'
import { CONTEXT, openIndexed, openMemory, until } from './conversation-support.ts'
import { scratch } from './support.ts'

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
    version: (schema) => engine.version(schema),
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

async function everyStatement(): Promise<{ engine: SqliteEngine; statements: ReadonlySet<string> }> {
  const statements = new Set<string>()
  const tuning = { tailRows: 3, candidates: 5, batchRows: 4 }
  const { store, engine, behind } = await openIndexed(tuning, (engine) => recording(engine, (sql) => statements.add(sql)))
  await store.createSession({ id: 's', userId: 'u', agentId: 'a', metadata: { k: 1 } })
  await store.addMessages(
    's',
    Array.from({ length: 40 }, (_, i) => ({ id: `m${i}`, role: 'user', content: `word${i} common` })),
  )
  await store.addMessage('s', { role: 'user' }, { expectedSeq: 40 })
  await store.searchMessages({ text: 'common' })
  await until(async () => (await behind()) === 0)
  await store.addMessage('s', { role: 'user', content: 'word17 again' })
  await searchAll(store)
  await listAll(store)
  for (const query of [{}, { limit: 2 }, { after: 1, limit: 2 }, { before: 3 }]) await store.getMessages('s', query)
  await store.updateMessage('s', 'm1', { content: 'x', metadata: {} })
  await store.updateSession('s', { name: 'n', state: {} }, { ifVersion: 1 })
  await store.deleteMessages('s', ['m1', 'm2', 'm3'])
  await store.truncate('s', 30)
  await store.forkSession('s', { newId: 'f' })
  await store.pruneSessions({ olderThan: new Date(Date.now() + 1) })
  await store.deleteSession('f')
  return { engine, statements }
}

async function searchAll(store: ConversationStore): Promise<void> {
  for (const scope of [{}, { userId: 'u' }, { sessionId: 's' }, { userId: 'u', sessionId: 's' }]) {
    for (const text of ['word17', 'common', 'w']) await store.searchMessages({ text, ...scope })
  }
}

async function listAll(store: ConversationStore): Promise<void> {
  for (const userId of [undefined, 'u']) {
    for (const agentId of [undefined, 'a']) {
      for (const order of ['asc', 'desc'] as const) {
        await store.createSession({ userId, agentId })
        const page = await store.listSessions({ userId, agentId, order, limit: 1 })
        await store.listSessions({ userId, agentId, order, limit: 1, cursor: page.cursor })
      }
    }
  }
}

async function planOf(engine: SqliteEngine, sql: string): Promise<string[]> {
  return (await engine.select<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`, [])).map(({ detail }) => detail)
}

describe('query plans', () => {
  it('no statement looks at every row of a table, and none sorts', async () => {
    const { engine, statements } = await everyStatement()
    expect(statements.size).toBeGreaterThan(40)
    const bad: string[] = []
    for (const sql of statements) {
      const plan = await planOf(engine, sql)
      // Rows of an INSERT's VALUES, and FTS5 with a query, count as scans in SQLite's words.
      const wrong = plan.filter((line) => /^SCAN (?!.*VIRTUAL TABLE|CONSTANT ROW|.*VALUES)|USE TEMP B-TREE/.test(line))
      if (wrong.length > 0) bad.push(`${sql}\n  ${plan.join('\n  ')}`)
    }
    expect(bad).toEqual([])
  })

  it('a page of a listing begins at its position in the index of its conditions', async () => {
    const { engine, statements } = await everyStatement()
    const paged = [...statements].filter((sql) => sql.includes('(updated_at, id)'))
    expect(paged).toHaveLength(8)
    for (const sql of paged) {
      const index = sql.includes('user_id = ?')
        ? sql.includes('agent_id = ?')
          ? '(user|agent)'
          : 'user'
        : sql.includes('agent_id = ?')
          ? 'agent'
          : 'time'
      const [line] = await planOf(engine, sql)
      expect(line).toMatch(new RegExp(`USING INDEX holdfast_sessions_by_${index} .*\\(updated_at,id\\)[<>]\\(\\?,\\?\\)`))
    }
  })
})

describe('conflicts', () => {
  it('say what is taken, in the words of the contract', async () => {
    const { store } = await openIndexed({})
    await store.createSession({ id: 's' })
    await store.addMessage('s', { id: 'm', role: 'user' })
    await expect(store.createSession({ id: 's' })).rejects.toThrow('the session id "s" is taken')
    const appending = store.addMessages('s', [{ role: 'user' }, { id: 'm', role: 'user' }])
    await expect(appending).rejects.toThrow('a message id of this append is taken in session "s"')
    expect(await store.getSession('s')).toMatchObject({ lastSeq: 1 })
  })
})

const TEXTS = ['', '1', 'true', 'null', '[1]', '{"a":1}', '1.0']
const scalar = oneof(
  constantFrom<string | number | boolean | null>(...TEXTS, 1, 0, -0, true, false, null, 2 ** 53, 2 ** 62, 1e300, 5e-324),
  double({ noNaN: true, noDefaultInfinity: true }),
  string({ unit: 'binary', maxLength: 5 }).filter((text) => !text.includes('\0')),
)
const NAMES = ['a', 'a.b', '$', '"', '\\', "'", '', '__proto__', 'é', '\n', '\\n']
const name = oneof(
  constantFrom(...NAMES),
  string({ maxLength: 3 }).filter((text) => !text.includes('\0')),
)
const OTHERS = [[1], { a: 1 }, 'a\0b', '\ud800']
const metadata = dictionary(name, oneof(scalar, ...OTHERS.map((value) => constant(value))), { maxKeys: 4 })

function isAskable([, value]: [string, unknown]): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  return typeof value !== 'object' || value === null
}

describe('metadata conditions', () => {
  it('compare exactly, by type and value, like the model', async () => {
    const [model, { store }] = await Promise.all([openMemory(), openIndexed({})])
    const property = asyncProperty(metadata, dictionary(name, scalar, { minKeys: 1, maxKeys: 2 }), async (stored, asked) => {
      for (const each of [model, store]) {
        await each.deleteSession('s')
        await each.createSession({ id: 's', metadata: stored })
      }
      const found = async (each: ConversationStore, query: typeof asked): Promise<number> =>
        (await each.listSessions({ metadata: query })).items.length
      expect(await found(store, asked)).toBe(await found(model, asked))
      const own = Object.fromEntries(Object.entries(stored).filter(isAskable)) as typeof asked
      expect([await found(store, own), await found(model, own)]).toEqual([1, 1])
    })
    await assert(property, { numRuns: 500 })
  })

  it('never take one type for another', async () => {
    const [model, { store }] = await Promise.all([openMemory(), openIndexed({})])
    for (const each of [model, store]) {
      await each.createSession({ id: 's', metadata: { array: [1], object: { a: 1 }, yes: true, one: 1, text: '1', none: null } })
      for (const wrong of [
        { array: '[1]' },
        { object: '{"a":1}' },
        { yes: 1 },
        { yes: 'true' },
        { one: true },
        { one: '1' },
        { text: 1 },
      ]) {
        expect((await each.listSessions({ metadata: wrong })).items).toEqual([])
      }
      for (const wrong of [{ none: 'null' }, { missing: null }, { none: 0 }]) {
        expect((await each.listSessions({ metadata: wrong })).items).toEqual([])
      }
      expect((await each.listSessions({ metadata: { yes: true, one: 1, text: '1', none: null } })).items).toHaveLength(1)
    }
  })
})

describe('files', () => {
  it('backs up while writers go on, and the copy opens', async () => {
    const folder = await scratch()
    const store = new ConversationStore(await create({ path: join(folder, 'deep', 'chat.db') }, CONTEXT), { name: 'sqlite' })
    await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user', content: 'kept' })
    await mkdir(join(folder, 'backup'))
    const writing = Promise.all(Array.from({ length: 50 }, () => store.addMessage('s', { role: 'user' })))
    expect(await store.backupTo(join(folder, 'backup'))).toEqual(['conversation.db'])
    await writing
    await store.close()
    const path = join(folder, 'backup', 'conversation.db')
    const copy = new ConversationStore(await create({ path, autoCreate: false }, CONTEXT), { name: 'sqlite' })
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
    const seqs = added.flat().map(({ seq }) => seq)
    expect(seqs.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1))
    expect(added.every(([first, second]) => second!.seq === first!.seq + 1)).toBe(true)
    for (const store of stores) await store.close()
  })
})
