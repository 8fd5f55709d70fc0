/**
 * Message search by the server's own `LIKE`: from the newest message on, by the index of times; or by an index of trigrams, where an
 * administrator has made one. That index takes space and an extension, and makes appends dearer, so nobody gets it unasked.
 */
import type { SqlEngine, SqlValue } from '../engines/sql.ts'
import type { BackendCall } from '../store/contract.ts'
import type { MessageRecord, MessageRecordSearch } from './contract.ts'
import { FOLDED_COLUMNS, type ConversationTables } from './schema.ts'
import { MESSAGE_COLUMNS, toRecord, type MessageRow } from './sql-statements.ts'

const [CONTENT, PARTS] = FOLDED_COLUMNS

/** The text of a message that terms must occur in. Under the collation "C", `lower` changes ASCII letters only. */
const SEARCHED_TEXT = `(coalesce(${CONTENT}, lower(content COLLATE "C"), '') || coalesce(chr(10) || ${PARTS}, ''))`
/** How long it is believed that there is an index of trigrams, or none. */
const INDEX_KNOWN_MS = 60_000

export class LikeSearch {
  readonly #engine: SqlEngine
  readonly #tables: ConversationTables
  #lookedAt = Number.NEGATIVE_INFINITY
  #hasIndex = false

  constructor(engine: SqlEngine, tables: ConversationTables) {
    this.#engine = engine
    this.#tables = tables
  }

  async search(
    workspace: string,
    search: MessageRecordSearch,
    call?: BackendCall,
  ): Promise<{ sessionId: string; message: MessageRecord }[]> {
    const { sql, values } = (await this.#isIndexed(call)) ? this.#byText(workspace, search) : this.#byTime(workspace, search)
    const found = await this.#engine.select<MessageRow & { readonly session_id: string }>(sql, values, call)
    return found.map((hit) => ({ sessionId: hit.session_id, message: toRecord(hit) }))
  }

  async #isIndexed(call: BackendCall | undefined): Promise<boolean> {
    const now = performance.now()
    if (now - this.#lookedAt < INDEX_KNOWN_MS) return this.#hasIndex
    const sql = `SELECT 1 FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
      WHERE i.indrelid = CAST(? AS regclass) AND i.indisvalid AND c.relname = ?`
    const found = await this.#engine.select(sql, [this.#tables.messages, this.#tables.byText], call)
    this.#hasIndex = found.length > 0
    this.#lookedAt = now
    return this.#hasIndex
  }

  /** The server chooses between the index of trigrams and that of times. */
  #byText(workspace: string, search: MessageRecordSearch): { sql: string; values: SqlValue[] } {
    const scope = scopeOf(this.#tables, workspace, search)
    const text = textOf(search)
    return {
      sql: `SELECT session_id, ${MESSAGE_COLUMNS} FROM ${this.#tables.messages} AS m WHERE ${scope.sql} AND ${text.sql}
        ORDER BY created_at DESC, seq DESC LIMIT ?`,
      values: [...scope.values, ...text.values, search.limit],
    }
  }

  /** `OFFSET 0` keeps the server from reading all messages first and sorting them then: it takes every term for a rare one. */
  #byTime(workspace: string, search: MessageRecordSearch): { sql: string; values: SqlValue[] } {
    const { sql: from, values } = sourceOf(this.#tables, workspace, search)
    const text = textOf(search)
    return {
      sql: `SELECT session_id, ${MESSAGE_COLUMNS} FROM (${from} OFFSET 0) AS newest WHERE ${text.sql}
        ORDER BY created_at DESC, seq DESC LIMIT ?`,
      values: [...values, ...text.values, search.limit],
    }
  }
}

interface Condition {
  readonly sql: string
  readonly values: readonly SqlValue[]
}

/** The messages to look through: of a workspace in their order, of a session, or of each session of a user. */
function sourceOf(tables: ConversationTables, workspace: string, search: MessageRecordSearch): Condition {
  const { sessions, messages } = tables
  const { userId, sessionId } = search
  if (userId !== undefined && sessionId === undefined) {
    return {
      sql: `SELECT own.* FROM ${sessions} AS s CROSS JOIN LATERAL (SELECT * FROM ${messages} AS m WHERE m.workspace = s.workspace
        AND m.session_id = s.id OFFSET 0) AS own WHERE s.workspace = ? AND s.user_id = ?`,
      values: [workspace, userId],
    }
  }
  const { sql, values } = scopeOf(tables, workspace, search)
  const order = sessionId === undefined ? ' ORDER BY created_at DESC, seq DESC' : ''
  return { sql: `SELECT * FROM ${messages} AS m WHERE ${sql}${order}`, values }
}

function scopeOf({ sessions }: ConversationTables, workspace: string, { userId, sessionId }: MessageRecordSearch): Condition {
  const conditions: [sql: string, ...values: SqlValue[]][] = [['m.workspace = ?', workspace]]
  if (sessionId !== undefined) conditions.push(['m.session_id = ?', sessionId])
  if (userId !== undefined) {
    const owned = `EXISTS (SELECT 1 FROM ${sessions} AS s WHERE s.workspace = m.workspace AND s.id = m.session_id AND s.user_id = ?)`
    conditions.push([owned, userId])
  }
  return { sql: conditions.map(([sql]) => sql).join(' AND '), values: conditions.flatMap(([, ...values]) => values) }
}

function textOf({ terms }: MessageRecordSearch): Condition {
  return {
    sql: terms.map(() => `${SEARCHED_TEXT} LIKE ?`).join(' AND '),
    values: terms.map((term) => `%${term.replace(/[\\%_]/g, '\\$&')}%`),
  }
}
