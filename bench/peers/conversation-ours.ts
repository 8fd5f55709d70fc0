/** Holdfast's conversations, and what a careful user would write by hand on the same engine with the same promises. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CONVERSATION_STORES } from '../../src/index.ts'
import type { ConversationAdapter } from './conversation.ts'
import type { Peer } from './frame.ts'
import { GroupedWrites } from './grouped-writes.ts'

export function ownVersion(): string {
  return (JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }).version
}

export function sqliteVersion(): string {
  return `SQLite ${process.versions.sqlite ?? '?'}`
}

export const holdfastConversation: Peer<ConversationAdapter> = {
  name: 'holdfast',
  version: ownVersion,
  durability: 'WAL, synchronous=FULL, its default',
  async open(folder) {
    const store = await CONVERSATION_STORES.create('sqlite', { path: join(folder, 'conversation.db') })
    return {
      createSession: async (id) => void (await store.createSession({ id, userId: 'u' })),
      append: (id, text) => store.addMessage(id, { role: 'user', content: text }),
      newest: async (id, limit) => (await store.getMessages(id, { limit })).map(({ content }) => content ?? ''),
      list: async (limit) => (await store.listSessions({ limit })).items.map(({ id }) => id),
      async seed(sessions) {
        await Promise.all(sessions.map(({ id }) => store.createSession({ id, userId: 'u' })))
        for (const { id, texts } of sessions) {
          if (texts.length === 0) continue
          await store.addMessages(
            id,
            texts.map((content) => ({ role: 'user', content })),
          )
        }
      },
      close: () => store.close(),
    }
  },
}

type Row = Record<string, unknown>

export const handWrittenConversation: Peer<ConversationAdapter> = {
  name: 'hand-written',
  version: sqliteVersion,
  durability: 'WAL, synchronous=FULL, group commit',
  async open(folder) {
    const db = new DatabaseSync(join(folder, 'conversation.db'))
    db.exec(SCHEMA)
    const writes = new GroupedWrites(db)
    const { create, append, newest, list } = statements(db)
    return {
      createSession: (id) => writes.add(() => create(id)),
      append: (id, text) => writes.add(() => append(id, text)),
      newest: async (id, count) => newest(id, count),
      list: async (count) => list(count),
      async seed(sessions) {
        await Promise.all(
          sessions.map(({ id, texts }) =>
            writes.add(() => {
              create(id)
              for (const text of texts) append(id, text)
            }),
          ),
        )
      },
      close: async () => db.close(),
    }
  },
}

const SCHEMA = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000;
  CREATE TABLE sessions (id TEXT PRIMARY KEY, user_id TEXT, name TEXT, state TEXT NOT NULL, metadata TEXT NOT NULL, last_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
  CREATE INDEX sessions_by_time ON sessions (updated_at, id);
  CREATE INDEX sessions_by_user ON sessions (user_id, updated_at, id);
  CREATE TABLE messages (n INTEGER PRIMARY KEY, session_id TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL, content TEXT,
    metadata TEXT, created_at INTEGER NOT NULL, UNIQUE (session_id, seq), UNIQUE (session_id, id)) STRICT`

function statements(db: DatabaseSync) {
  const create = db.prepare("INSERT INTO sessions VALUES (?, 'u', NULL, '{}', '{}', 0, ?, ?)")
  const next = db.prepare('UPDATE sessions SET last_seq = last_seq + 1, updated_at = ? WHERE id = ? RETURNING last_seq')
  const insert = db.prepare('INSERT INTO messages (session_id, seq, id, role, content, created_at) VALUES (?, ?, ?, ?, ?, ?)')
  const newest = db.prepare('SELECT * FROM messages WHERE session_id = ? ORDER BY seq DESC LIMIT ?')
  const list = db.prepare('SELECT * FROM sessions ORDER BY updated_at DESC, id DESC LIMIT ?')
  const toMessage = (row: Row) => ({
    ...row,
    content: row['content'] as string,
    createdAt: new Date(row['created_at'] as number),
  })
  const toSession = (row: Row) => ({
    ...row,
    id: row['id'] as string,
    state: JSON.parse(row['state'] as string) as unknown,
    metadata: JSON.parse(row['metadata'] as string) as unknown,
    createdAt: new Date(row['created_at'] as number),
    updatedAt: new Date(row['updated_at'] as number),
  })
  return {
    create: (id: string): void => void create.run(id, Date.now(), Date.now()),
    append(sessionId: string, text: string): void {
      const seq = next.get(Date.now(), sessionId)!['last_seq'] as number
      insert.run(sessionId, seq, crypto.randomUUID(), 'user', text, Date.now())
    },
    newest: (sessionId: string, count: number) =>
      newest
        .all(sessionId, count)
        .map(toMessage)
        .toReversed()
        .map(({ content }) => content),
    list: (count: number) =>
      list
        .all(count)
        .map(toSession)
        .map(({ id }) => id),
  }
}
