/**
 * Conversations and keys as one would write them by hand on `node:sqlite`: the same data and the same guarantees as the stores' (a promise a
 * call that resolves once the commit is durable, unique ids, a sequence number a session, group commit), and nothing of a contract: no
 * workspaces, no versions, no TTLs, no checks of what is given, no search, and a turn of the event loop may last as long as it likes.
 */
import { randomUUID } from 'node:crypto'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { GroupedWrites } from './peers/grouped-writes.ts'

type Row = Record<string, SQLOutputValue>

export interface HandMessage {
  readonly role: string
  readonly content: string
  readonly parts?: readonly unknown[]
  readonly metadata?: object
}

export function openByHand(file: string, schema: string): DatabaseSync {
  const db = new DatabaseSync(file)
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000; ${schema}`)
  return db
}

export function transaction(db: DatabaseSync, work: () => void): void {
  db.exec('BEGIN IMMEDIATE')
  work()
  db.exec('COMMIT')
}

const CONVERSATION = `CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id TEXT, name TEXT, state TEXT NOT NULL, metadata TEXT NOT NULL,
    last_seq INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
  CREATE INDEX sessions_by_time ON sessions (updated_at, id);
  CREATE INDEX sessions_by_user ON sessions (user_id, updated_at, id);
  CREATE TABLE messages (n INTEGER PRIMARY KEY, session_id TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT, parts TEXT, metadata TEXT, created_at INTEGER NOT NULL, UNIQUE (session_id, seq), UNIQUE (session_id, id)) STRICT`

export type HandConversation = ReturnType<typeof conversationByHand>

export function conversationByHand(file: string) {
  const db = openByHand(file, CONVERSATION)
  const group = new GroupedWrites(db)
  const create = db.prepare("INSERT INTO sessions VALUES (?, ?, NULL, '{}', '{}', 0, ?, ?)")
  const next = db.prepare(
    'UPDATE sessions SET last_seq = last_seq + 1, updated_at = max(updated_at, ?) WHERE id = ? RETURNING last_seq',
  )
  const insert = db.prepare(
    'INSERT INTO messages (session_id, seq, id, role, content, parts, metadata, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const newest = db.prepare('SELECT * FROM messages WHERE session_id = ? ORDER BY seq DESC LIMIT ?')
  const list = db.prepare('SELECT * FROM sessions WHERE user_id = ? ORDER BY updated_at DESC, id DESC LIMIT ?')
  /** Within a transaction. */
  const append = (sessionId: string, { role, content, parts, metadata }: HandMessage) => {
    const [id, now] = [randomUUID(), Date.now()]
    const moved = next.get(now, sessionId)
    if (moved === undefined) throw new Error(`no session ${sessionId}`)
    const seq = moved['last_seq'] as number
    const json = [parts, metadata].map((value) => (value === undefined ? null : JSON.stringify(value)))
    insert.run(sessionId, seq, id, role, content, ...json, now)
    return { id, sessionId, seq, role, content, createdAt: new Date(now) }
  }
  return {
    create: (id: string, userId: string) => create.run(id, userId, Date.now(), Date.now()),
    append,
    /** One of many that are called at once, with a promise of its own. */
    async appendGrouped(sessionId: string, message: HandMessage) {
      let added: ReturnType<typeof append> | undefined
      await group.add(() => (added = append(sessionId, message)))
      return added!
    },
    newest: (sessionId: string, limit: number) => newest.all(sessionId, limit).map(toMessage).toReversed(),
    list: (userId: string, limit: number) => list.all(userId, limit).map(toSession),
    transaction: (work: () => void) => transaction(db, work),
    close: () => db.close(),
  }
}

function toMessage(row: Row): object {
  return { ...row, created_at: new Date(row['created_at'] as number) }
}

function toSession(row: Row): object {
  return {
    ...row,
    state: JSON.parse(row['state'] as string) as unknown,
    metadata: JSON.parse(row['metadata'] as string) as unknown,
    created_at: new Date(row['created_at'] as number),
    updated_at: new Date(row['updated_at'] as number),
  }
}

export type HandState = ReturnType<typeof stateByHand>

export function stateByHand(file: string) {
  const db = openByHand(file, 'CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT')
  const group = new GroupedWrites(db)
  const put = db.prepare('INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
  const get = db.prepare('SELECT value FROM state WHERE key = ?')
  const scan = db.prepare('SELECT key FROM state WHERE key > ? ORDER BY key LIMIT ?')
  return {
    set: (key: string, value: unknown) => put.run(key, JSON.stringify(value)),
    /** One of many that are called at once, with a promise of its own. */
    async setGrouped(key: string, value: unknown) {
      const text = JSON.stringify(value)
      await group.add(() => put.run(key, text))
    },
    get: (key: string) => JSON.parse(get.get(key)!['value'] as string) as unknown,
    scan: (after: string, limit: number) => scan.all(after, limit),
    transaction: (work: () => void) => transaction(db, work),
    close: () => db.close(),
  }
}
