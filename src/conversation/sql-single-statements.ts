/** The single statements of `sql-single.ts`, and the rows that they take. */
import type { SqlValue } from '../engines/sql.ts'
import type { MessageRecord, MessageRecordPatch, SessionRecord } from './contract.ts'
import { FOLDED_COLUMNS, type ConversationTables } from './schema.ts'
import { asciiLower, searchableContent, searchableParts } from './search.ts'
import { MESSAGE_COLUMNS, SESSION_FIELDS, type Statements } from './sql-statements.ts'

/** Characters of text that one statement carries at most, unless one message has more. Beyond, a transaction of several statements it is. */
const TEXT_A_STATEMENT = 8 * 1024 * 1024
/** A message with more text than this travels by itself. */
const TEXT_A_ROW = 256 * 1024

/** A row's columns but for the session's key and the seq, with their types and the short names that they have as JSON. */
const ROW_FIELDS = [
  { column: 'id', type: 'text', name: 'i' },
  { column: 'role', type: 'text', name: 'r' },
  { column: 'content', type: 'text', name: 'c' },
  { column: 'escaped', type: 'smallint', name: 'e' },
  { column: 'parts', type: 'text', name: 'p' },
  { column: 'tool_calls', type: 'text', name: 't' },
  { column: 'tool_call_id', type: 'text', name: 'o' },
  { column: 'metadata', type: 'text', name: 'm' },
  { column: 'created_at', type: 'bigint', name: 'a' },
  { column: FOLDED_COLUMNS[0], type: 'text', name: 'f' },
  { column: FOLDED_COLUMNS[1], type: 'text', name: 'g' },
] as const

/** In the order of `ROW_FIELDS`. */
export function rowValues(message: MessageRecord): SqlValue[] {
  const { id, role, content, escaped, parts, toolCalls, toolCallId, metadata, createdAt } = message
  const folded = [foldedContent(content, escaped), searchableParts(parts)]
  return [id, role, content, escaped ? 1 : 0, parts, toolCalls, toolCallId, metadata, createdAt, ...folded]
}

export type SingleStatements = ReturnType<typeof singleStatements>

export function singleStatements({ sessions, messages }: ConversationTables, sql: Statements) {
  const columns = ROW_FIELDS.map(({ column }) => column).join(', ')
  const into = `INSERT INTO ${messages} (workspace, session_id, seq, ${columns})`
  const values = ROW_FIELDS.map(({ type }) => `CAST(? AS ${type})`).join(', ')
  const fields = ROW_FIELDS.map(({ name }) => `item.${name}`).join(', ')
  const items = `json_to_recordset(CAST(? AS json)) AS item (n bigint, ${ROW_FIELDS.map(({ name, type }) => `${name} ${type}`).join(', ')})`
  const key = 'CAST(? AS text), CAST(? AS text)'
  const one = `${into} SELECT ${key}, moved.last_seq, ${values} FROM moved`
  const many = `${into} SELECT ${key}, moved.last_seq - ? + item.n, ${fields} FROM moved, ${items}`
  const appending = (move: string, insert: string): string =>
    `WITH moved AS (${move}), added AS (${insert}) SELECT last_seq FROM moved`
  const ids = 'id = ANY (ARRAY (SELECT json_array_elements_text(CAST(? AS json))))'
  const locked = `locked AS (SELECT 1 FROM ${sessions} WHERE workspace = ? AND id = ? FOR UPDATE)`
  const deleting = (only: string): string => `WITH ${locked},
    deleted AS (DELETE FROM ${messages} USING locked WHERE workspace = ? AND session_id = ? AND seq > ?${only} RETURNING 1),
    touched AS (${sql.touchSession} AND EXISTS (SELECT 1 FROM deleted)) SELECT count(*) AS deleted FROM deleted`
  const byId = (direction: 'ASC' | 'DESC'): string => `${sql.messagesAt} AND ${ids} ORDER BY seq ${direction} LIMIT ?`
  return {
    append: {
      one: appending(sql.move, one),
      oneFrom: appending(sql.moveFrom, one),
      many: appending(sql.move, many),
      manyFrom: appending(sql.moveFrom, many),
    },
    insertOne: `${into} VALUES (${key}, CAST(? AS bigint), ${values})`,
    insertMany: `${into} SELECT ${key}, CAST(? AS bigint) + item.n, ${fields} FROM ${items}`,
    restore: `WITH made AS (${sql.insertSession}) ${into} SELECT ${key}, CAST(? AS bigint) + item.n, ${fields} FROM ${items}`,
    patchSession: (sets: string, guarded: boolean) =>
      `UPDATE ${sessions} SET ${sets}version = version + 1, ${sql.touch} WHERE workspace = ? AND id = ?${guarded ? ' AND version = ?' : ''}
        RETURNING ${sql.sessionColumns}`,
    deleteSession: `WITH seen AS MATERIALIZED (SELECT last_seq FROM ${sessions} WHERE workspace = ? AND id = ? AND updated_at < ?),
      gone AS (DELETE FROM ${sessions} AS s USING seen WHERE s.workspace = ? AND s.id = ? AND s.last_seq = seen.last_seq RETURNING 1),
      deleted AS (DELETE FROM ${messages} USING gone WHERE workspace = ? AND session_id = ? RETURNING 1)
      SELECT (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM deleted) AS messages`,
    deleteAllMessages: `DELETE FROM ${messages} WHERE workspace = ? AND session_id = ?`,
    messagesById: { asc: byId('ASC'), desc: byId('DESC') },
    patchMessage: (sets: readonly string[]) => `WITH ${locked},
      patched AS (UPDATE ${messages} SET ${sets.length === 0 ? 'role = role' : sets.join(', ')} FROM locked
        WHERE workspace = ? AND session_id = ? AND id = ? RETURNING ${MESSAGE_COLUMNS}),
      touched AS (${sql.touchSession} AND EXISTS (SELECT 1 FROM patched)) SELECT ${MESSAGE_COLUMNS} FROM patched`,
    deleteMessages: deleting(''),
    deleteMessagesById: deleting(` AND ${ids}`),
  }
}

export function sessionValues(session: SessionRecord): SqlValue[] {
  return Object.keys(SESSION_FIELDS).map((field) => session[field as keyof SessionRecord])
}

/** The lower-cased content, or null where the server comes to it by itself. */
function foldedContent(content: string | null, escaped: boolean): string | null {
  const text = searchableContent(content, escaped)
  return !escaped && text === asciiLower(content ?? '') ? null : text
}

/** What a patch means for the lower-cased texts. */
export function foldedPatch({ content, escaped, parts }: MessageRecordPatch): { sets: string[]; values: SqlValue[] } {
  const folded: [string, SqlValue][] = []
  if (content !== undefined) folded.push([FOLDED_COLUMNS[0], foldedContent(content, escaped === true)])
  if (parts !== undefined) folded.push([FOLDED_COLUMNS[1], searchableParts(parts)])
  return { sets: folded.map(([column]) => `${column} = ?`), values: folded.map(([, value]) => value) }
}

/** Messages as JSON of their rows; what is null is left out. The store's text has no U+0000 and no lone surrogates, so the server takes it. */
export function toJsonRows(messages: readonly MessageRecord[], seqOf: (message: MessageRecord) => number): string {
  return JSON.stringify(
    messages.map((message) => {
      const item: Record<string, SqlValue> = { n: seqOf(message) }
      for (const [i, value] of rowValues(message).entries()) if (value !== null) item[ROW_FIELDS[i]!.name] = value
      return item
    }),
  )
}

function textLength(message: MessageRecord): number {
  const { content, parts, toolCalls, metadata } = message
  return [content, parts, toolCalls, metadata].reduce((sum, text) => sum + (text?.length ?? 0), 0)
}

export function isLong(message: MessageRecord): boolean {
  return textLength(message) > TEXT_A_ROW
}

/** Batches that one statement carries each; a long message is one by itself. */
export function batchesOf(messages: readonly MessageRecord[]): MessageRecord[][] {
  const batches: MessageRecord[][] = []
  // What the last batch still takes; undefined where it takes nothing more.
  let room: number | undefined
  for (const message of messages) {
    const length = textLength(message)
    const long = length > TEXT_A_ROW
    const fits = !long && room !== undefined && length <= room
    if (fits) batches.at(-1)!.push(message)
    else batches.push([message])
    room = long ? undefined : (fits ? room! : TEXT_A_STATEMENT) - length
  }
  return batches
}
