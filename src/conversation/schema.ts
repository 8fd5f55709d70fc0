/** The tables of conversations on SQL engines. */
import type { SqlDialect, SqlSchema } from '../engines/sql.ts'

/** Quoted names, ready for statements. */
export interface ConversationTables {
  readonly sessions: string
  readonly messages: string
  /** SQLite only: the full-text index of messages, and how far it reaches. */
  readonly texts: string
  readonly indexed: string
  /** Postgres only, unquoted: the index of trigrams of the messages' text that an administrator may make. */
  readonly byText: string
}

export function conversationTables(dialect: SqlDialect, prefix: string): ConversationTables {
  return {
    sessions: dialect.table(`${prefix}sessions`),
    messages: dialect.table(`${prefix}messages`),
    texts: dialect.table(`${prefix}message_texts`),
    indexed: dialect.table(`${prefix}messages_indexed`),
    byText: `${prefix}messages_by_text`,
  }
}

export function conversationSchema(dialect: SqlDialect, prefix: string): SqlSchema {
  const tables = conversationTables(dialect, prefix)
  const searching = dialect.name === 'sqlite' ? searchTables(dialect, prefix, tables) : byTime(dialect, prefix, tables)
  const up = [...sessionTable(dialect, prefix, tables), ...messageTable(dialect, prefix, tables), ...searching]
  return { prefix, component: 'conversation', migrations: [{ version: 1, up }] }
}

function sessionTable(dialect: SqlDialect, prefix: string, { sessions }: ConversationTables): string[] {
  const { key, text, integer } = dialect.types
  const index = (name: string): string => dialect.quote(`${prefix}sessions_by_${name}`)
  // An append moves updated_at, and with it an entry of every index; most sessions are in few of these. MySQL has no partial ones.
  const where = (column: string): string => (dialect.name === 'mysql' ? '' : ` WHERE ${column} IS NOT NULL`)
  return [
    `CREATE TABLE ${sessions} (workspace ${key} NOT NULL, id ${key} NOT NULL, user_id ${key}, agent_id ${key}, name ${text},
      state ${text} NOT NULL, metadata ${text} NOT NULL, last_seq ${integer} NOT NULL, version ${integer} NOT NULL,
      created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL, PRIMARY KEY (${keyOf(dialect, 'id')}))${tableOptions(dialect)}`,
    `CREATE INDEX ${index('time')} ON ${sessions} (workspace, updated_at, id)`,
    `CREATE INDEX ${index('user')} ON ${sessions} (workspace, user_id, updated_at, id)${where('user_id')}`,
    `CREATE INDEX ${index('agent')} ON ${sessions} (workspace, agent_id, updated_at, id)${where('agent_id')}`,
  ]
}

/**
 * The columns that name a session. Both are always given, in whatever order: on SQLite the one that tells most comes first, as it compares
 * the first column of a key much quicker than the next ones.
 */
function keyOf(dialect: SqlDialect, session: string): string {
  return dialect.name === 'sqlite' ? `${session}, workspace` : `workspace, ${session}`
}

/** Postgres only: lower-cased text for searches, where it is more than the content with its ASCII letters lower-cased. */
export const FOLDED_COLUMNS = ['content_folded', 'parts_folded'] as const

function messageTable(dialect: SqlDialect, prefix: string, { messages }: ConversationTables): string[] {
  const { key, text, integer, boolean } = dialect.types
  const index = dialect.quote(`${prefix}messages_by_id`)
  const columns = `workspace ${key} NOT NULL, session_id ${key} NOT NULL, seq ${integer} NOT NULL, id ${key} NOT NULL, role ${text} NOT NULL,
      content ${text}, escaped ${boolean} NOT NULL, parts ${text}, tool_calls ${text}, tool_call_id ${text}, metadata ${text},
      created_at ${integer} NOT NULL${dialect.name === 'postgres' ? `, ${FOLDED_COLUMNS.map((name) => `${name} ${text}`).join(', ')}` : ''}`
  const session = keyOf(dialect, 'session_id')
  // On SQLite the full-text index refers to `n`, which no later row may take over: hence AUTOINCREMENT.
  const keyed =
    dialect.name === 'sqlite'
      ? `n INTEGER PRIMARY KEY AUTOINCREMENT, ${columns}, UNIQUE (${session}, seq)`
      : `${columns}, PRIMARY KEY (${session}, seq)`
  return [
    `CREATE TABLE ${messages} (${keyed})${tableOptions(dialect)}`,
    `CREATE UNIQUE INDEX ${index} ON ${messages} (${session}, id)`,
  ]
}

/**
 * The index keeps trigrams without their positions and without the text: half the size and two thirds of the time of a full one. So it
 * names candidates, and whoever asks it looks at their text. `upto`: rows with a greater `n` are not in it yet.
 */
function searchTables(dialect: SqlDialect, prefix: string, { messages, texts, indexed }: ConversationTables): string[] {
  return [
    ...byTime(dialect, prefix, { messages }),
    `CREATE VIRTUAL TABLE ${texts} USING fts5(body, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1')`,
    `CREATE TABLE ${indexed} (one INTEGER PRIMARY KEY CHECK (one = 1), upto INTEGER NOT NULL) STRICT`,
    `INSERT INTO ${indexed} (one, upto) VALUES (1, 0)`,
  ]
}

/** What a search goes through from the newest message on. */
function byTime(dialect: SqlDialect, prefix: string, { messages }: Pick<ConversationTables, 'messages'>): string[] {
  return [`CREATE INDEX ${dialect.quote(`${prefix}messages_by_time`)} ON ${messages} (workspace, created_at, seq)`]
}

function tableOptions(dialect: SqlDialect): string {
  return dialect.name === 'sqlite' ? ' STRICT' : ''
}
