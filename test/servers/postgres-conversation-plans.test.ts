/** What conversations cost on Postgres: every statement finds its rows by an index, and how many round trips an operation takes. */
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ConversationStore } from '../../src/conversation/store.ts'
import type { PostgresConnection, PostgresQuery } from '../../src/engines/postgres-client.ts'
import { builtIn } from '../conformance/harness.ts'
import { Proxy } from '../faults/proxy.ts'
import { withService } from '../services.ts'
import { newPrefix, open, optionsAt, removeTables, tableOf, withClient, type Server } from './postgres-places.ts'

/** Messages in the tables: half of them in one session, the rest spread. */
const ROWS = Number(process.env['HOLDFAST_ROWS'] ?? 100_000)
const SESSIONS = ROWS / 100
const WORKSPACE = 'w'
const LARGE = 'large'
const USER = { role: 'user', content: 'x' } as const

/** Every call of the contract, each kind of arguments that leads to another statement. */
const OPERATIONS: Readonly<Record<string, (store: ConversationStore) => Promise<unknown>>> = {
  createSession: (store) => store.createSession({ id: 'made', userId: 'u1', agentId: 'a1' }),
  getSession: (store) => store.getSession(LARGE),
  'getSession, unknown': (store) => store.getSession('nobody'),
  updateSession: (store) => store.updateSession('s1', { name: 'n' }),
  'updateSession, ifVersion': (store) => store.updateSession('s1', { metadata: { a: 1 } }, { ifVersion: 2 }),
  'updateSession, stale': (store) => store.updateSession('s1', { name: 'n' }, { ifVersion: 1 }),
  'updateSession, unknown': (store) => store.updateSession('nobody', { name: 'n' }),
  listSessions: (store) => store.listSessions(),
  'listSessions, cursor': async (store) => {
    const { cursor } = await store.listSessions({ limit: 5 })
    return store.listSessions({ limit: 5, cursor })
  },
  'listSessions, oldest first': (store) => store.listSessions({ order: 'asc' }),
  'listSessions of a user': (store) => store.listSessions({ userId: 'u1' }),
  'listSessions of an agent': (store) => store.listSessions({ agentId: 'a1' }),
  'listSessions of a user and an agent': (store) => store.listSessions({ userId: 'u1', agentId: 'a1' }),
  'listSessions by metadata': (store) => store.listSessions({ metadata: { topic: 't1', draft: null } }),
  addMessage: (store) => store.addMessage(LARGE, USER),
  'addMessage, expectedSeq': async (store) =>
    store.addMessage('s2', USER, { expectedSeq: (await store.getSession('s2'))!.lastSeq }),
  'addMessage, stale': (store) => store.addMessage('s2', USER, { expectedSeq: 0 }),
  'addMessage, unknown': (store) => store.addMessage('nobody', USER),
  'addMessage, taken': (store) => store.addMessage('s2', { ...USER, id: 's2-1' }),
  'addMessages, 100': (store) =>
    store.addMessages(
      LARGE,
      Array.from({ length: 100 }, () => USER),
    ),
  'addMessages, expectedSeq': async (store) =>
    store.addMessages('s2', [USER, USER], { expectedSeq: (await store.getSession('s2'))!.lastSeq }),
  'addMessages, 20 MB': (store) =>
    store.addMessages('s3', [USER, ...Array.from({ length: 2 }, () => ({ ...USER, content: 'x'.repeat(10_000_000) })), USER]),
  'getMessages, the last 50': (store) => store.getMessages(LARGE, { limit: 50 }),
  'getMessages, the next 50': (store) => store.getMessages(LARGE, { limit: 50, after: 1000 }),
  'getMessages, 50 before': (store) => store.getMessages(LARGE, { limit: 50, before: 1000 }),
  'getMessages, all': (store) => store.getMessages('s4'),
  getMessage: (store) => store.getMessage(LARGE, `${LARGE}-7`),
  updateMessage: (store) => store.updateMessage(LARGE, `${LARGE}-7`, { content: 'Ü' }),
  'updateMessage, unknown': (store) => store.updateMessage(LARGE, 'nobody', { content: 'y' }),
  'deleteMessages, 3 ids': (store) =>
    store.deleteMessages(
      LARGE,
      ['8', '9', '10'].map((i) => `${LARGE}-${i}`),
    ),
  'deleteMessages, all': (store) => store.deleteMessages('s5'),
  truncate: (store) => store.truncate('s6', 2),
  forkSession: (store) => store.forkSession('s7', { newId: 'fork' }),
  restore: async (store) => store.restore({ ...(await store.getSession('s8'))!, id: 'restored' }, await store.getMessages('s8')),
  'restore, empty': async (store) => store.restore({ ...(await store.getSession('s8'))!, id: 'empty' }, []),
  upsertSession: (store) => store.upsertSession({ id: 's9', metadata: { a: 1 } }),
  'upsertSession, new': (store) => store.upsertSession({ id: 'upserted' }),
  deleteSession: (store) => store.deleteSession('s10'),
  'deleteSession, unknown': (store) => store.deleteSession('nobody'),
  pruneSessions: (store) => store.pruneSessions({ olderThan: new Date(1) }),
  searchMessages: (store) => store.searchMessages({ text: 'common 50%' }),
  'searchMessages of a session': (store) => store.searchMessages({ text: 'common', sessionId: 's11' }),
  'searchMessages of a user': (store) => store.searchMessages({ text: 'common', userId: 'u11' }),
  ping: (store) => store.ping(),
}

async function fill(server: Server, prefix: string): Promise<void> {
  const [sessions, messages] = [tableOf(prefix, 'sessions'), tableOf(prefix, 'messages')]
  const large = ROWS / 2
  const each = (ROWS - large) / SESSIONS
  await withClient(server, async (client) => {
    await client.query(
      `INSERT INTO ${sessions} (workspace, id, user_id, agent_id, state, metadata, last_seq, version, created_at, updated_at)
        SELECT $1, 's' || i, 'u' || i % 50, CASE WHEN i % 10 = 0 THEN 'a' || i % 100 END, '{}', '{"topic":"t' || i % 20 || '","draft":null}', $2, 1, i, i
        FROM generate_series(1, $3::int) AS i`,
      [WORKSPACE, each, SESSIONS],
    )
    await client.query(
      `INSERT INTO ${sessions} (workspace, id, state, metadata, last_seq, version, created_at, updated_at) VALUES ($1, $2, '{}', '{}', $3, 1, 0, 0)`,
      [WORKSPACE, LARGE, large],
    )
    const insert = `INSERT INTO ${messages} (workspace, session_id, seq, id, role, content, escaped, created_at)`
    const content = `'A common text of some length, number ' || n`
    await client.query(
      `${insert} SELECT $1, $2, n, $2 || '-' || n, 'user', ${content}, 0, n * 2 FROM generate_series(1, $3::int) AS n`,
      [WORKSPACE, LARGE, large],
    )
    await client.query(
      `${insert} SELECT $1, 's' || i, n, 's' || i || '-' || n, 'user', ${content}, 0, i * $3::int + n
        FROM generate_series(1, $2::int) AS i, generate_series(1, $3::int) AS n`,
      [WORKSPACE, SESSIONS, each],
    )
    for (const table of [sessions, messages]) await client.query(`VACUUM ANALYZE ${table}`)
  })
}

/** The client, noting its statements. */
function noting(client: Client, statements: Map<string, PostgresQuery>): PostgresConnection {
  return new globalThis.Proxy<PostgresConnection>(client, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target)
      if (property !== 'query') return typeof member === 'function' ? (member.bind(target) as unknown) : member
      return (query: PostgresQuery) => {
        statements.set(query.text, query)
        return target.query(query)
      }
    },
  })
}

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Cond'?: string
  readonly Plans?: readonly Plan[]
}

/** Ways to the rows of a table, and their conditions. */
function* accesses(plan: Plan): Generator<Plan> {
  if (plan['Node Type'].includes('Scan') && (plan['Relation Name'] !== undefined || plan['Index Cond'] !== undefined)) yield plan
  for (const part of plan.Plans ?? []) yield* accesses(part)
}

function expectIndexes(sql: string, plan: Plan): void {
  for (const access of accesses(plan)) {
    expect(access['Node Type'], JSON.stringify(plan, undefined, 1)).toMatch(
      /^(?:Index|Index Only|Bitmap Heap|Bitmap Index) Scan$/,
    )
    if (access['Node Type'] !== 'Bitmap Heap Scan') expect(access['Index Cond'], sql).toContain('workspace')
  }
}

withService('postgres', 'Postgres', (service) => {
  describe(`with ${ROWS} messages`, () => {
    const prefix = newPrefix()
    const statements = new Map<string, PostgresQuery>()
    let client: Client
    let store: ConversationStore

    beforeAll(async () => {
      const registry = builtIn('conversation')
      await (await registry.create('postgres', optionsAt(service.url, prefix))).close()
      await fill(service, prefix)
      client = new Client({ connectionString: service.url })
      await client.connect()
      const { schema } = optionsAt(service.url, prefix)
      store = await registry.create('postgres', {
        client: noting(client, statements),
        schema,
        prefix,
        workspace: WORKSPACE,
      })
    }, 600_000)

    afterAll(async () => {
      await store.close()
      await client.end()
      await removeTables(service, prefix)
    })

    it.each(Object.keys(OPERATIONS))('%s finds its rows by an index', { timeout: 60_000 }, async (name) => {
      statements.clear()
      await OPERATIONS[name]!(store).catch((error: Error & { code?: string }) =>
        expect(error.code, error.message).toMatch(/^(NOT_FOUND|CONFLICT)$/),
      )
      expect(statements.size).toBeGreaterThan(0)
      for (const { text, values } of statements.values()) {
        if (/^(?:BEGIN|COMMIT|ROLLBACK)|pg_catalog/.test(text)) continue
        expectIndexes(text, await planOf(`EXPLAIN (FORMAT JSON) ${text}`, values))
        // What a statement that is kept prepared may come to, for whatever values.
        expectIndexes(text, await planOf(`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`))
      }
    })

    async function planOf(sql: string, values: readonly unknown[] = []): Promise<Plan> {
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(sql, [...values])
      return rows[0]!['QUERY PLAN'][0].Plan
    }

    it('listWorkspaces takes one step in the index for each', async () => {
      const open = await builtIn('conversation').create('postgres', optionsAt(service.url, prefix))
      expect((await open.listWorkspaces()).items).toEqual([WORKSPACE])
      await open.close()
    })

    it('an index of trigrams that an administrator makes is used', async () => {
      const text = `(coalesce(content_folded, lower(content COLLATE "C"), '') || coalesce(chr(10) || parts_folded, ''))`
      await client.query('CREATE EXTENSION IF NOT EXISTS pg_trgm')
      await client.query(
        `CREATE INDEX ${prefix}messages_by_text ON ${tableOf(prefix, 'messages')} USING gin (${text} gin_trgm_ops)`,
      )
      await client.query(`ANALYZE ${tableOf(prefix, 'messages')}`)
      const { schema } = optionsAt(service.url, prefix)
      const options = { client: noting(client, statements), schema, prefix, workspace: WORKSPACE }
      await using fresh = await builtIn('conversation').create('postgres', options)
      statements.clear()
      expect(await fresh.searchMessages({ text: `NUMBER ${ROWS / 2 - 1}` })).toHaveLength(1)
      const { text: sql, values } = [...statements.values()].at(-1)!
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, values as unknown[])
      expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain(`Bitmap Index Scan on ${prefix}messages_by_text`)
    }, 300_000)
  })

  /** Round trips of an operation, and, where that is more, of the same by hand with `pg`. */
  const ROUND_TRIPS: Readonly<Record<string, number>> = {
    createSession: 1,
    getSession: 1,
    'getSession, unknown': 1,
    updateSession: 1,
    'updateSession, ifVersion': 1,
    'updateSession, stale': 2,
    'updateSession, unknown': 1,
    listSessions: 1,
    'listSessions, oldest first': 1,
    'listSessions of a user': 1,
    'listSessions by metadata': 1,
    addMessage: 1,
    'addMessage, stale': 2,
    'addMessage, unknown': 2,
    'addMessage, taken': 1,
    'addMessages, 100': 1,
    'getMessages, the last 50': 1,
    'getMessages, all': 1,
    getMessage: 1,
    updateMessage: 1,
    'updateMessage, unknown': 1,
    'deleteMessages, 3 ids': 1,
    'deleteMessages, all': 1,
    truncate: 1,
    upsertSession: 2,
    'upsertSession, new': 2,
    // The session, its messages, the copy.
    forkSession: 3,
    deleteSession: 1,
    'deleteSession, unknown': 1,
    // The page of the oldest.
    pruneSessions: 1,
    searchMessages: 1,
    ping: 1,
  }

  it('takes one round trip an operation, as the statement by hand does', async () => {
    await using opened = await open('conversation', 'postgres', service, { poolSize: 1 })
    const { store, proxy } = opened
    for (let i = 1; i <= 10; i++) await store.createSession({ id: `s${i}`, userId: 'u1' })
    await store.createSession({ id: LARGE })
    await store.addMessages(
      LARGE,
      Array.from({ length: 20 }, (_, i) => ({ ...USER, id: `${LARGE}-${i}` })),
    )
    await store.addMessage('s2', { ...USER, id: 's2-1' })
    // Once a minute a search looks whether there is an index for it.
    await store.searchMessages({ text: 'x' })
    const counted: Record<string, number> = {}
    for (const name of Object.keys(ROUND_TRIPS))
      counted[name] = await proxy.count(() => OPERATIONS[name]!(store).catch(() => undefined))
    expect(counted).toEqual(ROUND_TRIPS)
  })

  it('takes as many round trips by hand', async () => {
    await using proxy = await Proxy.open(service.url)
    const client = new Client({ connectionString: proxy.url(service.url) })
    await client.connect()
    expect(await proxy.count(() => client.query('SELECT $1::text', ['x']))).toBe(1)
    const transaction = async (): Promise<void> => {
      for (const sql of ['BEGIN', 'SELECT 1', 'SELECT 2', 'COMMIT']) await client.query(sql)
    }
    expect(await proxy.count(transaction)).toBe(4)
    await client.end()
  })
})
