/** The statements of conversations on SQL engines, and the rows that they give. */
import { HoldfastError } from '../errors.ts'
import { marks, padded, type SqlDialect, type SqlValue } from '../engines/sql.ts'
import type {
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  SessionRecord,
  SessionRecordPatch,
  SessionRecordQuery,
} from './contract.ts'
import { DOUBTS } from './metadata.ts'
import type { ConversationTables } from './schema.ts'

const IDS_A_STATEMENT = 128

export const SESSION_FIELDS = {
  id: 'id',
  userId: 'user_id',
  agentId: 'agent_id',
  name: 'name',
  state: 'state',
  metadata: 'metadata',
  lastSeq: 'last_seq',
  version: 'version',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
} as const satisfies Record<keyof SessionRecord, string>

export const MESSAGE_FIELDS = {
  id: 'id',
  seq: 'seq',
  role: 'role',
  content: 'content',
  escaped: 'escaped',
  parts: 'parts',
  toolCalls: 'tool_calls',
  toolCallId: 'tool_call_id',
  metadata: 'metadata',
  createdAt: 'created_at',
} as const satisfies Record<keyof MessageRecord, string>

export const MESSAGE_COLUMNS = Object.values(MESSAGE_FIELDS).join(', ')

const INSERT_COLUMNS = ['workspace', 'session_id', ...Object.values(MESSAGE_FIELDS)]
const INSERT_MARKS = `(${marks(INSERT_COLUMNS.length)})`

export interface LastSeq {
  readonly last_seq: number
}

export interface SessionPlace extends LastSeq {
  readonly rowid: number
}

export interface MessageRow {
  readonly id: string
  readonly seq: number
  readonly role: string
  readonly content: string | null
  readonly escaped: number
  readonly parts: string | null
  readonly tool_calls: string | null
  readonly tool_call_id: string | null
  readonly metadata: string | null
  readonly created_at: number
}

/** The statements whose text does not depend on a call. */
export function statements(dialect: SqlDialect, { sessions, messages }: ConversationTables) {
  const columns = Object.entries(SESSION_FIELDS).map(([field, column]) => `${column} AS ${dialect.quote(field)}`)
  const touch = `updated_at = ${dialect.greatest('updated_at', '?')}`
  const one = 'workspace = ? AND id = ?'
  const move = `UPDATE ${sessions} SET last_seq = last_seq + ?, ${touch} WHERE ${one}`
  const messagesAt = `SELECT ${MESSAGE_COLUMNS} FROM ${messages} WHERE workspace = ? AND session_id = ? AND seq > ? AND seq < ?`
  const inserts = new Map<number, string>()
  return {
    /** The engine alone can say which metadata matches. */
    exactMetadata: dialect.name === 'sqlite',
    touch,
    /** A session's fields, for what selects or returns one. */
    sessionColumns: columns.join(', '),
    session: `SELECT ${columns.join(', ')} FROM ${sessions} WHERE ${one}`,
    sessions: `SELECT ${columns.join(', ')} FROM ${sessions} WHERE workspace = ?`,
    insertSession: `INSERT INTO ${sessions} (workspace, ${Object.values(SESSION_FIELDS).join(', ')}) VALUES (${marks(columns.length + 1)})`,
    touchSession: `UPDATE ${sessions} SET ${touch} WHERE ${one}`,
    deleteSession: `DELETE FROM ${sessions} WHERE ${one}`,
    deleteOldSession: `DELETE FROM ${sessions} WHERE ${one} AND updated_at < ?`,
    /** This and `moveFrom` give the new `last_seq` as a row. */
    move: `${move} RETURNING last_seq`,
    moveFrom: `${move} AND last_seq = ? RETURNING last_seq`,
    lastSeq: `SELECT last_seq FROM ${sessions} WHERE ${one}`,
    /** SQLite only. `move` with its RETURNING takes three times as long as these two: SQLite keeps what it returns in a table of its own first. */
    place: `SELECT rowid, last_seq FROM ${sessions} WHERE ${one}`,
    moveTo: `UPDATE ${sessions} SET last_seq = ?, ${touch} WHERE rowid = ?`,
    messagesAt,
    messages: { asc: ordered(messagesAt, 'ASC'), desc: ordered(messagesAt, 'DESC') },
    insertMessages(count: number): string {
      const known = inserts.get(count)
      if (known !== undefined) return known
      const rows = Array.from({ length: count }, () => INSERT_MARKS)
      const sql = `INSERT INTO ${messages} (${INSERT_COLUMNS.join(', ')}) VALUES ${rows.join(', ')}`
      inserts.set(count, sql)
      return sql
    },
  }
}

export type Statements = ReturnType<typeof statements>

function ordered(select: string, direction: 'ASC' | 'DESC'): { readonly all: string; readonly some: string } {
  const all = `${select} ORDER BY seq ${direction}`
  return { all, some: `${all} LIMIT ?` }
}

export function seqBounds({ after = 0, before = Number.MAX_SAFE_INTEGER }: MessageRecordQuery): [number, number] {
  return [after, before]
}

/** A page of a listing. Every condition but the metadata's is answered by an index, in its order. */
export function listing(
  dialect: SqlDialect,
  select: string,
  workspace: string,
  { userId, agentId, metadata, order, limit, after }: SessionRecordQuery,
): { sql: string; values: SqlValue[] } {
  const [direction, behind] = order === 'asc' ? ['ASC', '>'] : ['DESC', '<']
  const values: SqlValue[] = [workspace]
  let sql = select
  const and = (condition: string, ...bound: SqlValue[]): void => {
    sql += ` AND ${condition}`
    values.push(...bound)
  }
  if (userId !== undefined) and('user_id = ?', userId)
  if (agentId !== undefined) and('agent_id = ?', agentId)
  if (after !== undefined) and(`(updated_at, id) ${behind} (?, ?)`, after.updatedAt, after.id)
  for (const condition of metadataConditions(dialect, metadata)) and(condition.sql, ...condition.values)
  return { sql: `${sql} ORDER BY updated_at ${direction}, id ${direction} LIMIT ?`, values: [...values, limit] }
}

interface Condition {
  readonly sql: string
  readonly values: readonly SqlValue[]
}

/** Metadata fields are exactly these values: `true`, `1` and `"1"` are three. */
function metadataConditions(dialect: SqlDialect, metadata: SessionRecordQuery['metadata']): Condition[] {
  if (metadata === undefined || Object.keys(metadata).length === 0) return []
  switch (dialect.name) {
    case 'sqlite':
      return Object.entries(metadata).map(([name, value]) => sqliteField(name, value))
    case 'postgres':
      return [{ sql: POSTGRES_CONTAINS, values: [JSON.stringify(metadata)] }]
    default:
      throw new HoldfastError('UNSUPPORTED', `metadata cannot be looked through on ${dialect.name} yet`, {
        outcome: 'not-applied',
      })
  }
}

/** Text with escapes that `jsonb` refuses is let through: whoever asks looks at it again. */
const POSTGRES_CONTAINS = `CASE WHEN ${DOUBTS.map((escape) => `strpos(metadata, E'\\${escape}') > 0`).join(' OR ')} THEN TRUE
    ELSE metadata::jsonb @> CAST(? AS jsonb) END`

function sqliteField(name: string, value: string | number | boolean | null): Condition {
  const field = (is: string): string => `EXISTS (SELECT 1 FROM json_each(metadata) AS field WHERE field.key = ? AND ${is})`
  if (typeof value === 'string') return { sql: field(`field.type = 'text' AND field.value = ?`), values: [name, value] }
  if (typeof value !== 'number') return { sql: field('field.type = ?'), values: [name, String(value)] }
  // As doubles: beyond 2^53 the JSON text of a double is not its exact value.
  return { sql: field(`field.type IN ('integer', 'real') AND CAST(field.value AS REAL) = ?`), values: [name, value] }
}

/** The ids in lists of a few lengths, so that few texts need preparing. */
export function* idLists(ids: readonly string[]): Generator<string[]> {
  for (let at = 0; at < ids.length; at += IDS_A_STATEMENT) yield padded(ids.slice(at, at + IDS_A_STATEMENT))
}

export function insertValues(workspace: string, sessionId: string, message: MessageRecord, seq: number): SqlValue[] {
  const { id, role, content, escaped, parts, toolCalls, toolCallId, metadata, createdAt } = message
  return [workspace, sessionId, id, seq, role, content, escaped ? 1 : 0, parts, toolCalls, toolCallId, metadata, createdAt]
}

/** Assignments of a session's patch, each followed by a comma, and their values. */
export function sessionPatch(patch: SessionRecordPatch): { sets: string; values: SqlValue[] } {
  const fields = Object.entries(patch) as [keyof SessionRecordPatch, string | null][]
  return { sets: fields.map(([field]) => `${SESSION_FIELDS[field]} = ?, `).join(''), values: fields.map(([, value]) => value) }
}

/** Assignments of a message's patch, and their values. */
export function messagePatch(patch: MessageRecordPatch): { sets: string[]; values: SqlValue[] } {
  const fields = Object.entries(patch) as [keyof MessageRecordPatch, string | boolean | null][]
  return {
    sets: fields.map(([field]) => `${MESSAGE_FIELDS[field]} = ?`),
    values: fields.map(([, value]) => (typeof value === 'boolean' ? Number(value) : value)),
  }
}

export function toRecord(row: MessageRow): MessageRecord {
  return {
    id: row.id,
    seq: row.seq,
    role: row.role,
    content: row.content,
    escaped: row.escaped !== 0,
    parts: row.parts,
    toolCalls: row.tool_calls,
    toolCallId: row.tool_call_id,
    metadata: row.metadata,
    createdAt: row.created_at,
  }
}
