/** Conversations in Postgres when many write at once: from several processes, and in the very orders that are hard. */
import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import type { ConversationStore } from '../../src/conversation/store.ts'
import { run } from '../support.ts'
import { withService } from '../services.ts'
import { newPrefix, open, optionsAt, removeTables, tableOf, withClient, type Opened, type Server } from './postgres-places.ts'

const PROCESSES = 8
/** Appends of each process. */
const APPENDS = Number(process.env['HOLDFAST_APPENDS'] ?? 1_000)
const STARTERS = 20
const USER = { role: 'user', content: 'x' } as const

/** Runs processes that all begin when the last one is ready. */
async function together(options: object, processes: number, messages: number): Promise<void> {
  const children = Array.from({ length: processes }, (_, i) =>
    run('test/fixtures/postgres-appender.ts', [JSON.stringify(options), `p${i}`, String(messages)]),
  )
  for (const { lines, ended } of children) {
    const { value } = await lines.next()
    if (value !== 'ready') throw new Error((await ended).stderr)
  }
  for (const { process } of children) process.stdin!.write('go\n')
  for (const { ended } of children) expect(await ended).toMatchObject({ code: 0, stderr: '' })
}

/** Waits until a statement waits for a lock on a table of the place. */
async function untilBlocked(client: pg.Client, prefix: string): Promise<void> {
  for (;;) {
    const { rows } = await client.query(
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND position($1 in query) > 0 AND pid <> pg_backend_pid()`,
      [prefix],
    )
    if (rows.length > 0) return
  }
}

interface Interleaving {
  /** What another transaction has done and not yet committed. */
  readonly before: readonly string[]
  /** What is called meanwhile; it waits. */
  call(store: ConversationStore): Promise<unknown>
}

/** Begins a transaction, calls while it is open, commits it when the call waits for it; gives what the call gives. */
async function meanwhile(
  { store, prefix }: Opened<ConversationStore>,
  server: Server,
  { before, call }: Interleaving,
): Promise<unknown> {
  return withClient(server, async (client) => {
    await client.query('BEGIN')
    for (const sql of before) await client.query(sql)
    const result = call(store).catch((error: unknown) => error)
    await untilBlocked(client, prefix)
    await client.query('COMMIT')
    return result
  })
}

async function orphans(server: Server, prefix: string): Promise<number> {
  return withClient(server, async (client) => {
    const { rows } = await client.query<{ n: string }>(
      `SELECT count(*) AS n FROM ${tableOf(prefix, 'messages')} AS m WHERE NOT EXISTS
        (SELECT 1 FROM ${tableOf(prefix, 'sessions')} AS s WHERE s.workspace = m.workspace AND s.id = m.session_id)`,
    )
    return Number(rows[0]!.n)
  })
}

/** What an append, a deletion and so on of another process do, as far as it matters. */
function others(prefix: string) {
  const [sessions, messages] = [tableOf(prefix, 'sessions'), tableOf(prefix, 'messages')]
  const insert = `INSERT INTO ${messages} (workspace, session_id, seq, id, role, escaped, created_at)`
  return {
    append: [
      `UPDATE ${sessions} SET last_seq = last_seq + 1 WHERE id = 's'`,
      `${insert} SELECT '', 's', last_seq, 'other', 'user', 0, 0 FROM ${sessions} WHERE id = 's'`,
    ],
    deleteSession: [`DELETE FROM ${sessions} WHERE id = 's'`, `DELETE FROM ${messages} WHERE session_id = 's'`],
    deleteMessage: [
      `UPDATE ${sessions} SET updated_at = updated_at + 1 WHERE id = 's'`,
      `DELETE FROM ${messages} WHERE id = 'm1'`,
    ],
    deleteAndAppendAgain: [
      `UPDATE ${sessions} SET last_seq = last_seq + 1 WHERE id = 's'`,
      `DELETE FROM ${messages} WHERE id = 'm1'`,
      `${insert} SELECT '', 's', last_seq, 'm1', 'other', 0, 0 FROM ${sessions} WHERE id = 's'`,
    ],
    replaceSession: [
      `DELETE FROM ${sessions} WHERE id = 's'`,
      `DELETE FROM ${messages} WHERE session_id = 's'`,
      `INSERT INTO ${sessions} (workspace, id, state, metadata, last_seq, version, created_at, updated_at) VALUES ('', 's', '{}', '{}', 3, 1, 0, 0)`,
      `${insert} VALUES ('', 's', 3, 'new', 'user', 0, 0)`,
    ],
  }
}

withService('postgres', 'Postgres', (service) => {
  /** A session `s` with the messages `m1`, `m2` and `m3`. */
  async function seeded(): Promise<Opened<ConversationStore>> {
    const opened = await open('conversation', 'postgres', service)
    await opened.store.createSession({ id: 's' })
    await opened.store.addMessages(
      's',
      ['m1', 'm2', 'm3'].map((id) => ({ ...USER, id })),
    )
    return opened
  }

  describe('several processes', () => {
    it('append to one session without a gap or a tie', { timeout: 300_000 }, async () => {
      const prefix = newPrefix()
      try {
        await together(optionsAt(service.url, prefix), PROCESSES, APPENDS)
        await withClient(service, async (client) => {
          const { rows } = await client.query<{ seqs: string; last: string; messages: string; ids: string }>(
            `SELECT count(DISTINCT seq) AS seqs, max(seq) AS last, count(*) AS messages, count(DISTINCT id) AS ids FROM ${tableOf(prefix, 'messages')}`,
          )
          const all = String(PROCESSES * APPENDS)
          expect(rows).toEqual([{ seqs: all, last: all, messages: all, ids: all }])
        })
      } finally {
        await removeTables(service, prefix)
      }
    })

    it('make the tables once when they all start at the same time', { timeout: 120_000 }, async () => {
      const prefix = newPrefix()
      try {
        await together(optionsAt(service.url, prefix, { poolSize: 1 }), STARTERS, 1)
        await withClient(service, async (client) => {
          const { rows } = await client.query(`SELECT component, version::int FROM ${tableOf(prefix, 'schema')}`)
          expect(rows).toEqual([{ component: 'conversation', version: 1 }])
          const messages = await client.query(`SELECT max(seq)::int AS last FROM ${tableOf(prefix, 'messages')}`)
          expect(messages.rows).toEqual([{ last: STARTERS }])
        })
      } finally {
        await removeTables(service, prefix)
      }
    })
  })

  describe('what waits for another transaction', () => {
    it('an append behind a deletion of the session finds none', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).deleteSession
      const result = await meanwhile(opened, service, { before, call: (store) => store.addMessage('s', USER) })
      expect(result).toMatchObject({ code: 'NOT_FOUND', outcome: 'not-applied' })
      expect(await orphans(service, opened.prefix)).toBe(0)
    })

    it('an append behind an append comes after it, and one that expects its absence is refused', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).append
      const message = await meanwhile(opened, service, { before, call: (store) => store.addMessage('s', USER) })
      expect(message).toMatchObject({ seq: 5 })
      const guarded = others(opened.prefix).deleteMessage
      await meanwhile(opened, service, { before: guarded, call: (store) => store.addMessage('s', USER, { expectedSeq: 5 }) })
      const stale = { before: [before[0]!], call: (store: ConversationStore) => store.addMessage('s', USER, { expectedSeq: 6 }) }
      expect(await meanwhile(opened, service, stale)).toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining('at seq 7'),
      })
    })

    it('a deletion of the session behind an append takes its message too', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).append
      expect(await meanwhile(opened, service, { before, call: (store) => store.clear() })).toEqual({ sessions: 1, messages: 4 })
      expect(await orphans(service, opened.prefix)).toBe(0)
    })

    it('pruning behind an append leaves the session alone', async () => {
      await using opened = await seeded()
      const [move, insert] = others(opened.prefix).append
      const before = [move!.replace('SET', `SET updated_at = ${Date.now() + 60_000},`), insert!]
      const call = (store: ConversationStore): Promise<unknown> =>
        store.pruneSessions({ olderThan: new Date(Date.now() + 30_000) })
      expect(await meanwhile(opened, service, { before, call })).toEqual({ sessions: 0, messages: 0 })
      expect(await opened.store.getMessages('s')).toHaveLength(4)
    })

    it('a deletion behind one of the same session, made again since, takes the new one whole', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).replaceSession
      expect(await meanwhile(opened, service, { before, call: (store) => store.deleteSession('s') })).toBe(true)
      expect([await opened.store.getSession('s'), await orphans(service, opened.prefix)]).toEqual([undefined, 0])
    })

    it('a deletion of all messages behind an append leaves its message, which came later', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).append
      expect(await meanwhile(opened, service, { before, call: (store) => store.deleteMessages('s') })).toBe(3)
      expect((await opened.store.getMessages('s')).map(({ id, seq }) => [id, seq])).toEqual([['other', 4]])
    })

    it('a patch behind a deletion of the message finds none and moves nothing', async () => {
      await using opened = await seeded()
      const { updatedAt } = (await opened.store.getSession('s'))!
      const before = others(opened.prefix).deleteMessage
      const call = (store: ConversationStore): Promise<unknown> => store.updateMessage('s', 'm1', { content: 'y' })
      expect(await meanwhile(opened, service, { before, call })).toMatchObject({ code: 'NOT_FOUND' })
      expect((await opened.store.getSession('s'))!.updatedAt.getTime()).toBe(updatedAt.getTime() + 1)
    })

    it('a patch or a deletion does not reach a message that came later under the same id', async () => {
      await using opened = await seeded()
      const before = others(opened.prefix).deleteAndAppendAgain
      const call = (store: ConversationStore): Promise<unknown> => store.updateMessage('s', 'm1', { content: 'y' })
      expect(await meanwhile(opened, service, { before, call })).toMatchObject({ code: 'NOT_FOUND' })
      expect(await meanwhile(opened, service, { before, call: (store) => store.deleteMessages('s', ['m1', 'm2']) })).toBe(1)
      expect(await opened.store.getMessage('s', 'm1')).toMatchObject({ role: 'other', content: null, seq: 5 })
    })

    it('a patch of a session behind another one has both', async () => {
      await using opened = await seeded()
      const before = [`UPDATE ${tableOf(opened.prefix, 'sessions')} SET name = 'n', version = version + 1 WHERE id = 's'`]
      const call = (store: ConversationStore): Promise<unknown> => store.updateSession('s', { userId: 'u' })
      expect(await meanwhile(opened, service, { before, call })).toMatchObject({ name: 'n', userId: 'u', version: 3 })
      const stale = (store: ConversationStore): Promise<unknown> => store.updateSession('s', { userId: 'v' }, { ifVersion: 3 })
      expect(await meanwhile(opened, service, { before, call: stale })).toMatchObject({ code: 'CONFLICT' })
    })
  })

  describe('all operations at once', () => {
    /** Each does whatever it meets; only the contract's own refusals may come. */
    async function wildly(store: ConversationStore, rounds: number): Promise<void> {
      const operations: ((id: string, message: string) => Promise<unknown>)[] = [
        (id) => store.upsertSession({ id, metadata: { a: 1 } }),
        (id, message) => store.addMessage(id, { ...USER, id: message }),
        (id) => store.addMessages(id, [USER, USER, USER]),
        (id) => store.addMessage(id, USER, { expectedSeq: 1 }),
        (id, message) => store.updateMessage(id, message, { content: 'y' }),
        (id) => store.updateSession(id, { name: 'n' }),
        (id, message) => store.deleteMessages(id, [message, 'm0', 'm1']),
        (id) => store.deleteMessages(id),
        (id) => store.truncate(id, 2),
        (id) => store.deleteSession(id),
        (id) => store.forkSession(id),
        (id) => store.getMessages(id),
      ]
      const refused = (error: { code?: string }): void =>
        expect(error).toMatchObject({ code: expect.stringMatching(/^(NOT_FOUND|CONFLICT)$/) })
      await Promise.all(
        Array.from({ length: 16 }, async (_, worker) => {
          for (let i = 0; i < rounds; i++) {
            const at = (i * 7 + worker * 13) % operations.length
            await operations[at]!(`s${(i + worker) % 2}`, `m${i % 5}`).catch(refused)
          }
        }),
      )
    }

    it('leave no message without its session, and never wait for each other in a circle', { timeout: 60_000 }, async () => {
      // A circle would stand until the test ends.
      const url = `${service.url}?options=${encodeURIComponent('-c deadlock_timeout=1h')}`
      await using opened = await open('conversation', 'postgres', { ...service, url })
      await wildly(opened.store, 60)
      expect(await orphans(service, opened.prefix)).toBe(0)
    })

    it('go through where the database makes every transaction serializable', { timeout: 60_000 }, async () => {
      const url = `${service.url}?options=${encodeURIComponent('-c default_transaction_isolation=serializable')}`
      await using opened = await open('conversation', 'postgres', { ...service, url })
      await wildly(opened.store, 20)
      await opened.store.createSession({ id: 'last' })
      await Promise.all(Array.from({ length: 40 }, () => opened.store.addMessage('last', USER)))
      expect((await opened.store.getMessages('last')).map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
      expect(await orphans(service, opened.prefix)).toBe(0)
    })
  })
})
