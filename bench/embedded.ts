/**
 * The embedded stores against hand-written code on the same engine: same file system, same durability (WAL, synchronous=FULL), same
 * data. What the ratio exceeds 1 by is what the contract costs: validation, exact JSON, workspaces, sequence numbers, promises.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } from '../src/index.ts'
import { compare, table, type Contender } from './measure.ts'

const CONTENT = 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1024)
const SESSIONS = 2_000
const KEYS = 10_000
const DOCUMENTS = 20_000
const DIMENSION = 384

interface Comparison {
  readonly what: string
  readonly rounds: number
  /** Hand-written first. */
  readonly contenders: readonly [Contender, Contender]
}

export async function embedded(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    const lines: string[][] = []
    for (const prepare of [conversation, state, knowledge]) {
      const { comparisons, close } = await prepare(folder)
      for (const { what, rounds, contenders } of comparisons) {
        const [raw, ours] = await compare(contenders, rounds)
        lines.push([
          what,
          us(raw!.medianUs),
          us(ours!.medianUs),
          (ours!.medianUs / raw!.medianUs).toFixed(2),
          `±${us(ours!.spreadUs / 2)}`,
        ])
      }
      await close()
    }
    const machine = `${cpus()[0]?.model ?? 'unknown CPU'} × ${cpus().length}, Node ${process.version}, SQLite ${process.versions.sqlite ?? '?'}`
    return `${table(['embedded, µs (median)', 'hand-written', 'holdfast', 'ratio', 'spread'], lines)}\n${machine}`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function openRaw(file: string, schema: string): DatabaseSync {
  const db = new DatabaseSync(file)
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000; ${schema}`)
  return db
}

interface Prepared {
  readonly comparisons: readonly Comparison[]
  close(): Promise<void>
}

async function conversation(folder: string): Promise<Prepared> {
  const store = await CONVERSATION_STORES.create('sqlite', { path: join(folder, 'conversation.db') })
  const db = openRaw(
    join(folder, 'raw-conversation.db'),
    `CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id TEXT, name TEXT, state TEXT NOT NULL, metadata TEXT NOT NULL, last_seq INTEGER NOT NULL,
       created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
     CREATE INDEX sessions_by_time ON sessions (updated_at, id);
     CREATE INDEX sessions_by_user ON sessions (user_id, updated_at, id);
     CREATE TABLE messages (n INTEGER PRIMARY KEY, session_id TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL, content TEXT,
       metadata TEXT, created_at INTEGER NOT NULL, UNIQUE (session_id, seq), UNIQUE (session_id, id)) STRICT`,
  )
  const raw = rawConversation(db)
  db.exec('BEGIN')
  for (let i = 0; i < SESSIONS; i++) raw.create(`s${i}`, `u${i % 100}`)
  db.exec('COMMIT')
  await Promise.all(Array.from({ length: SESSIONS }, (_, i) => store.createSession({ id: `s${i}`, userId: `u${i % 100}` })))
  const message = { role: 'user', content: CONTENT }
  return {
    comparisons: [
      pair(
        'append a 1 KB message',
        500,
        () => raw.transaction(() => raw.append('s1', CONTENT)),
        () => store.addMessage('s1', message),
      ),
      pair(
        '100 messages at once',
        100,
        () => raw.transaction(() => repeat(100, () => raw.append('s2', CONTENT))),
        () =>
          store.addMessages(
            's2',
            Array.from({ length: 100 }, () => message),
          ),
      ),
      pair(
        '1,000 concurrent appends',
        15,
        () => raw.transaction(() => repeat(1000, (i) => raw.append(`s${i}`, CONTENT))),
        () => Promise.all(Array.from({ length: 1000 }, (_, i) => store.addMessage(`s${i}`, message))),
      ),
      pair(
        'newest 50 of a session',
        500,
        () => raw.newest('s2', 50),
        () => store.getMessages('s2', { limit: 50 }),
      ),
      pair(
        'list 20 sessions of a user',
        500,
        () => raw.list('u7', 20),
        () => store.listSessions({ userId: 'u7', limit: 20 }),
      ),
    ],
    close: async () => {
      db.close()
      await store.close()
    },
  }
}

/** The same data and the same guarantees, without a contract: rows to objects, a sequence number a session, one transaction an append. */
function rawConversation(db: DatabaseSync) {
  const create = db.prepare("INSERT INTO sessions VALUES (?, ?, NULL, '{}', '{}', 0, ?, ?)")
  const next = db.prepare('UPDATE sessions SET last_seq = last_seq + 1, updated_at = ? WHERE id = ? RETURNING last_seq')
  const insert = db.prepare('INSERT INTO messages (session_id, seq, id, role, content, created_at) VALUES (?, ?, ?, ?, ?, ?)')
  const newest = db.prepare('SELECT * FROM messages WHERE session_id = ? ORDER BY seq DESC LIMIT ?')
  const list = db.prepare('SELECT * FROM sessions WHERE user_id = ? ORDER BY updated_at DESC, id DESC LIMIT ?')
  const toMessage = (row: Row): object => ({ ...row, created_at: new Date(row['created_at'] as number) })
  const toSession = (row: Row): object => ({
    ...row,
    state: JSON.parse(row['state'] as string) as unknown,
    metadata: JSON.parse(row['metadata'] as string) as unknown,
    created_at: new Date(row['created_at'] as number),
    updated_at: new Date(row['updated_at'] as number),
  })
  return {
    create: (id: string, userId: string) => create.run(id, userId, Date.now(), Date.now()),
    append: (sessionId: string, content: string) => {
      const seq = next.get(Date.now(), sessionId)!['last_seq'] as number
      insert.run(sessionId, seq, crypto.randomUUID(), 'user', content, Date.now())
    },
    newest: (sessionId: string, limit: number) => newest.all(sessionId, limit).map(toMessage).toReversed(),
    list: (userId: string, limit: number) => list.all(userId, limit).map(toSession),
    transaction: (work: () => void) => transaction(db, work),
  }
}

type Row = Record<string, unknown>

async function state(folder: string): Promise<Prepared> {
  const store = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
  const db = openRaw(join(folder, 'raw-state.db'), 'CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT')
  const set = db.prepare('INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
  const get = db.prepare('SELECT value FROM state WHERE key = ?')
  const scan = db.prepare('SELECT key FROM state WHERE key > ? ORDER BY key LIMIT ?')
  // Each value differs: SQLite does not even write a row that stays the same.
  const value = (n: number): { text: string; n: number } => ({ text: CONTENT.slice(0, 1000), n })
  const keys = Array.from({ length: KEYS }, (_, i) => `key-${String(i).padStart(6, '0')}`)
  transaction(db, () => keys.forEach((key, i) => set.run(key, JSON.stringify(value(i)))))
  await store.setMany(keys.map((key, i) => [key, value(i)] as const))
  const pick = (round: number): string => keys[(round * 7919) % KEYS]!
  return {
    comparisons: [
      pair(
        'set 1 KB of JSON',
        500,
        (n) => set.run(pick(n), JSON.stringify(value(n + 0.5))),
        (n) => store.set(pick(n), value(n + 0.5)),
      ),
      pair(
        '1,000 concurrent sets',
        15,
        (n) => transaction(db, () => repeat(1000, (i) => set.run(pick(n + i), JSON.stringify(value(n + i / 7))))),
        (n) => Promise.all(Array.from({ length: 1000 }, (_, i) => store.set(pick(n + i), value(n + i / 7)))),
      ),
      pair(
        'get 1 KB of JSON',
        2000,
        (n) => JSON.parse(get.get(pick(n))!['value'] as string),
        (n) => store.get(pick(n)),
      ),
      pair(
        'scan a page of 100 keys',
        500,
        (n) => scan.all(pick(n), 100),
        (n) => store.scan({ prefix: pick(n).slice(0, 8), limit: 100 }),
      ),
    ],
    close: async () => {
      db.close()
      await store.close()
    },
  }
}

async function knowledge(folder: string): Promise<Prepared> {
  const store = await KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'knowledge.db') })
  await store.createCollection('docs', { dimension: DIMENSION })
  const vectors = Array.from({ length: DOCUMENTS }, randomUnitVector)
  for (let i = 0; i < DOCUMENTS; i += 1000) {
    await store.insert(
      'docs',
      vectors
        .slice(i, i + 1000)
        .map((embedding, j) => ({ id: `d${i + j}`, content: 'text', embedding, metadata: { tenth: (i + j) % 10 } })),
    )
  }
  const matrix = new Float32Array(DOCUMENTS * DIMENSION)
  vectors.forEach((vector, i) => matrix.set(vector, i * DIMENSION))
  return {
    comparisons: [
      pair(
        'search the top 10 of 20,000 × 384',
        40,
        (n) => plainScan(matrix, vectors[n % DOCUMENTS]!, () => true),
        (n) => store.search('docs', { embedding: vectors[n % DOCUMENTS]!, limit: 10 }),
      ),
      pair(
        'the same, filtered to a tenth',
        40,
        (n) => plainScan(matrix, vectors[n % DOCUMENTS]!, (i) => i % 10 === 3),
        (n) => store.search('docs', { embedding: vectors[n % DOCUMENTS]!, limit: 10, filter: { tenth: 3 } }),
      ),
    ],
    close: () => store.close(),
  }
}

/** What a careful user writes: dot products of unit vectors in one typed array, then a partial sort. */
function plainScan(matrix: Float32Array, query: Float32Array, keep: (i: number) => boolean): { i: number; score: number }[] {
  const best: { i: number; score: number }[] = []
  for (let i = 0; i < DOCUMENTS; i++) {
    if (!keep(i)) continue
    let score = 0
    for (let d = 0, at = i * DIMENSION; d < DIMENSION; d++, at++) score += matrix[at]! * query[d]!
    if (best.length < 10 || score > best[9]!.score) {
      best.push({ i, score })
      best.sort((a, b) => b.score - a.score)
      if (best.length > 10) best.pop()
    }
  }
  return best
}

function randomUnitVector(): Float32Array {
  const vector = Float32Array.from({ length: DIMENSION }, () => Math.random() - 0.5)
  const norm = Math.hypot(...vector)
  return vector.map((x) => x / norm)
}

function pair(what: string, rounds: number, raw: Contender['run'], ours: Contender['run']): Comparison {
  return {
    what,
    rounds,
    contenders: [
      { name: 'hand-written', run: raw },
      { name: 'holdfast', run: ours },
    ],
  }
}

function transaction(db: DatabaseSync, work: () => void): void {
  db.exec('BEGIN IMMEDIATE')
  work()
  db.exec('COMMIT')
}

function repeat(times: number, work: (i: number) => void): void {
  for (let i = 0; i < times; i++) work(i)
}

function us(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(1)
}
