/** Conversations on Postgres against `pg` by hand, and large ones against small ones. */
import { randomBytes, randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import type { Service } from '../../scripts/services/home.ts'
import type { ConversationStore } from '../../src/conversation/store.ts'
import { CONVERSATION_STORES } from '../../src/index.ts'
import type { Comparison, Prepared, ServerBench } from './frame.ts'

const CONTENT = 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1024)
const USER = { role: 'user', content: CONTENT } as const
const SESSIONS = 1_000
const BATCH = 20
/** Messages of the large tables, and of their large session. */
const ROWS = Number(process.env['HOLDFAST_ROWS'] ?? 1_000_000)
const FEW = 1_000

export const postgresConversation: ServerBench = {
  title: 'postgres: conversation',
  service: 'postgres',
  sides: ['pg', 'holdfast'],
  prepare: (service) => prepareConversation(service, false),
}

export const postgresPrepared: ServerBench = {
  title: 'postgres: conversation, prepare: true',
  service: 'postgres',
  sides: ['pg', 'holdfast'],
  prepare: (service) => prepareConversation(service, true),
}

export const postgresScale: ServerBench = {
  title: `postgres: ${FEW.toLocaleString('en')} and ${ROWS.toLocaleString('en')} messages`,
  service: 'postgres',
  sides: ['few', 'many'],
  prepare: prepareScale,
}

interface Opened {
  readonly store: ConversationStore
  readonly pool: Pool
  readonly schema: string
  close(): Promise<void>
}

/** A store in a Postgres schema of its own. */
async function open({ url }: Service, prepare = false): Promise<Opened> {
  const schema = `bench_${randomBytes(4).toString('hex')}`
  const pool = new Pool({ connectionString: url })
  const store = await CONVERSATION_STORES.create('postgres', { url, schema, prepare })
  const close = async (): Promise<void> => {
    await store.close()
    await pool.query(`DROP SCHEMA ${schema} CASCADE`)
    await pool.end()
  }
  return { store, pool, schema, close }
}

async function prepareConversation(service: Service, prepare: boolean): Promise<Prepared> {
  const opened = await open(service, prepare)
  const { store, pool, schema, close } = opened
  const raw = byHand(pool, schema)
  await pool.query(raw.tables)
  for (let i = 0; i < SESSIONS; i++) {
    await raw.create(`s${i}`, `u${i % 10}`)
    await store.createSession({ id: `s${i}`, userId: `u${i % 10}` })
  }
  for (const id of ['s1', 's2']) {
    await raw.appendMany(id, 100)
    await store.addMessages(
      id,
      Array.from({ length: 100 }, () => USER),
    )
  }
  return { comparisons: [...onSessions(store, raw), ...onMessages(store, raw)], close }
}

type ByHand = ReturnType<typeof byHand>

function pair(what: string, hand: (round: number) => unknown, ours: (round: number) => unknown, rounds = 500): Comparison {
  const contenders = [
    { name: 'pg', run: hand },
    { name: 'holdfast', run: ours },
  ] as const
  return { what, rounds, contenders }
}

function onSessions(store: ConversationStore, raw: ByHand): Comparison[] {
  const id = (round: number): string => `s${round % SESSIONS}`
  const list = { userId: 'u1', limit: 50 }
  return [
    pair('SELECT 1', raw.ping, () => store.ping()),
    pair(
      'create a session',
      () => raw.create(randomUUID(), 'u1'),
      () => store.createSession({ userId: 'u1' }),
    ),
    pair(
      'get a session',
      (i) => raw.get(id(i)),
      (i) => store.getSession(id(i)),
    ),
    pair(
      'rename a session',
      (i) => raw.rename(id(i)),
      (i) => store.updateSession(id(i), { name: 'n' }),
    ),
    pair(
      'list 50 of a user',
      () => raw.list('u1'),
      () => store.listSessions(list),
    ),
  ]
}

function onMessages(store: ConversationStore, raw: ByHand): Comparison[] {
  const id = (round: number): string => `s${round % SESSIONS}`
  const batch = Array.from({ length: BATCH }, () => USER)
  return [
    pair(
      'append 1 KB',
      (i) => raw.append(id(i)),
      (i) => store.addMessage(id(i), USER),
    ),
    pair(
      `append ${BATCH} × 1 KB`,
      () => raw.appendMany('s3', BATCH),
      () => store.addMessages('s3', batch),
      200,
    ),
    pair(
      'last 50',
      () => raw.last('s1'),
      () => store.getMessages('s1', { limit: 50 }),
    ),
    pair(
      'edit a message',
      (i) => raw.edit('s2', (i % 100) + 1),
      (i) => editNth(store, 's2', i % 100),
    ),
  ]
}

const idsOf = new WeakMap<ConversationStore, readonly string[]>()

async function editNth(store: ConversationStore, session: string, n: number): Promise<void> {
  const ids = idsOf.get(store) ?? (await store.getMessages(session)).map(({ id }) => id)
  idsOf.set(store, ids)
  await store.updateMessage(session, ids[n]!, { content: 'edited' })
}

/** The same statements as somebody would write them who needs no more: no workspaces, no versions, no exact JSON. */
function byHand(pool: Pool, schema: string) {
  const [sessions, messages] = [`${schema}.sessions`, `${schema}.messages`]
  const now = (): number => Date.now()
  return {
    tables: `CREATE TABLE ${sessions} (id text PRIMARY KEY, user_id text, name text, state jsonb NOT NULL, metadata jsonb NOT NULL,
        last_seq bigint NOT NULL, created_at bigint NOT NULL, updated_at bigint NOT NULL);
      CREATE INDEX ON ${sessions} (updated_at, id);
      CREATE INDEX ON ${sessions} (user_id, updated_at, id);
      CREATE TABLE ${messages} (session_id text, seq bigint, id text NOT NULL, role text NOT NULL, content text, metadata jsonb,
        created_at bigint NOT NULL, PRIMARY KEY (session_id, seq), UNIQUE (session_id, id));
      CREATE INDEX ON ${messages} (created_at)`,
    ping: () => pool.query('SELECT 1'),
    create: (id: string, user: string) =>
      pool.query(`INSERT INTO ${sessions} VALUES ($1, $2, NULL, '{}', '{}', 0, $3, $3)`, [id, user, now()]),
    get: (id: string) => pool.query(`SELECT * FROM ${sessions} WHERE id = $1`, [id]),
    rename: (id: string) =>
      pool.query(`UPDATE ${sessions} SET name = 'n', updated_at = $2 WHERE id = $1 RETURNING *`, [id, now()]),
    append: (id: string) =>
      pool.query(
        `WITH s AS (UPDATE ${sessions} SET last_seq = last_seq + 1, updated_at = $2 WHERE id = $1 RETURNING last_seq)
          INSERT INTO ${messages} SELECT $1, last_seq, $3, 'user', $4, NULL, $2 FROM s RETURNING seq`,
        [id, now(), randomUUID(), CONTENT],
      ),
    appendMany: (id: string, count: number) =>
      pool.query(
        `WITH s AS (UPDATE ${sessions} SET last_seq = last_seq + $5, updated_at = $2 WHERE id = $1 RETURNING last_seq)
          INSERT INTO ${messages} SELECT $1, last_seq - $5 + n, id, 'user', content, NULL, $2
            FROM s, unnest($3::text[], $4::text[]) WITH ORDINALITY AS m (id, content, n)`,
        [id, now(), Array.from({ length: count }, () => randomUUID()), Array.from({ length: count }, () => CONTENT), count],
      ),
    last: async (id: string) => {
      const { rows } = await pool.query<object>(`SELECT * FROM ${messages} WHERE session_id = $1 ORDER BY seq DESC LIMIT 50`, [
        id,
      ])
      return rows.toReversed()
    },
    list: (user: string) =>
      pool.query(`SELECT * FROM ${sessions} WHERE user_id = $1 ORDER BY updated_at DESC, id DESC LIMIT 50`, [user]),
    edit: (id: string, seq: number) =>
      pool.query(
        `WITH m AS (UPDATE ${messages} SET content = 'edited' WHERE session_id = $1 AND seq = $2 RETURNING *),
          s AS (UPDATE ${sessions} SET updated_at = $3 WHERE id = $1) SELECT * FROM m`,
        [id, seq, now()],
      ),
  }
}

async function prepareScale(service: Service): Promise<Prepared> {
  const [few, many] = [await open(service), await open(service)]
  await fill(few, FEW)
  await fill(many, ROWS)
  const both = (what: string, run: (store: ConversationStore) => Promise<unknown>): Comparison => {
    const contenders = [
      { name: 'few', run: () => run(few.store) },
      { name: 'many', run: () => run(many.store) },
    ] as const
    return { what, rounds: 500, contenders }
  }
  return {
    comparisons: [
      both('last 50 of the longest session', (store) => store.getMessages('long', { limit: 50 })),
      both('list 50', (store) => store.listSessions({ limit: 50 })),
      both('list 49 of a user', (store) => store.listSessions({ userId: 'u0', limit: 49 })),
      both('append 1 KB to the longest session', (store) => store.addMessage('long', USER)),
      both('search a common word', (store) => store.searchMessages({ text: 'work' })),
    ],
    close: async () => {
      await few.close()
      await many.close()
    },
  }
}

/** Half of the messages in one session, the rest ten a session; a user has fifty of these. */
async function fill({ pool, schema }: Opened, rows: number): Promise<void> {
  const [sessions, messages] = [`${schema}.holdfast_sessions`, `${schema}.holdfast_messages`]
  const half = rows / 2
  const insertSession = `INSERT INTO ${sessions} (workspace, id, user_id, state, metadata, last_seq, version, created_at, updated_at)`
  const insertMessage = `INSERT INTO ${messages} (workspace, session_id, seq, id, role, content, escaped, created_at)`
  await pool.query(`${insertSession} VALUES ('', 'long', 'u0', '{}', '{}', $1, 1, 0, 0)`, [half])
  await pool.query(
    `${insertSession} SELECT '', 's' || i, 'u' || i / 50, '{}', '{}', 10, 1, i, i FROM generate_series(1, $1::int / 10) AS i`,
    [half],
  )
  await pool.query(`${insertMessage} SELECT '', 'long', n, 'm' || n, 'user', $2, 0, n FROM generate_series(1, $1::int) AS n`, [
    half,
    CONTENT,
  ])
  await pool.query(
    `${insertMessage} SELECT '', 's' || i, n, 'm' || n, 'user', $2, 0, i FROM generate_series(1, $1::int / 10) AS i, generate_series(1, 10) AS n`,
    [half, CONTENT],
  )
  for (const name of [sessions, messages]) await pool.query(`VACUUM ANALYZE ${name}`)
}
