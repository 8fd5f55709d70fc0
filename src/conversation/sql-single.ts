/**
 * Scripts for servers that can change several tables in one statement, as Postgres can: one round trip an operation, and a second one only to
 * tell why something was refused.
 *
 * A statement sees what was committed before it began; a row that it is to change and that another transaction holds is waited for and then
 * looked at again as it has become, but no other row is. So what is safe is said at each statement. All of them lock the session's row before
 * they touch its messages: appends to one session queue there, and no two operations wait for each other.
 */
import { isHoldfastError } from '../errors.ts'
import { changes, changesAlone, row, rowAlone, rowsAlone, type Script, type SqlValue } from '../engines/sql.ts'
import type {
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  MessageSelection,
  SessionRecord,
  SessionRecordPatch,
} from './contract.ts'
import { messageTaken, sessionMissing, sessionTaken, staleSeq, staleVersion } from './faults.ts'
import { FOLDED_COLUMNS, type ConversationTables } from './schema.ts'
import { asciiLower, searchableContent, searchableParts } from './search.ts'
import type { AppendChoices, ConversationScripts, PatchChoices } from './sql-scripts.ts'
import {
  MESSAGE_COLUMNS,
  messagePatch,
  seqBounds,
  SESSION_FIELDS,
  sessionPatch,
  toRecord,
  type LastSeq,
  type MessageRow,
  type Statements,
} from './sql-statements.ts'

/** Characters of text that one statement carries at most, unless one message has more. Beyond, a transaction of several statements it is. */
const TEXT_A_STATEMENT = 8 * 1024 * 1024
/** A message with more text than this travels by itself. */
const TEXT_A_ROW = 256 * 1024

export class SingleScripts implements ConversationScripts {
  readonly #sql: Statements
  readonly #single: SingleStatements

  constructor(tables: ConversationTables, sql: Statements) {
    this.#sql = sql
    this.#single = singleStatements(tables, sql)
  }

  *createSession(workspace: string, session: SessionRecord): Script<void> {
    try {
      yield* changesAlone(this.#sql.insertSession, workspace, ...sessionValues(session))
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? sessionTaken(session.id, error.cause) : error
    }
  }

  *patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    { now, ifVersion }: PatchChoices,
  ): Script<SessionRecord | undefined> {
    const { sets, values } = sessionPatch(patch)
    const sql = this.#single.patchSession(sets, ifVersion !== undefined)
    const patched = yield* rowAlone<SessionRecord>(
      sql,
      ...values,
      now,
      workspace,
      id,
      ...(ifVersion === undefined ? [] : [ifVersion]),
    )
    if (patched !== undefined || ifVersion === undefined) return patched
    const found = yield* rowAlone<SessionRecord>(this.#sql.session, workspace, id)
    if (found !== undefined) throw staleVersion(id, ifVersion, found.version)
    return undefined
  }

  /**
   * The one statement deletes the messages that were there when it began, and so only applies where no append came in since: `last_seq`
   * tells. Otherwise the session's row is locked first, and what is there then is seen by the next statement.
   */
  *deleteSession(workspace: string, id: string, updatedBefore = Number.MAX_SAFE_INTEGER): Script<number | undefined> {
    const values = [workspace, id, updatedBefore]
    const done = yield* rowAlone<{ seen: number; gone: number; messages: number }>(
      this.#single.deleteSession,
      ...values,
      workspace,
      id,
      workspace,
      id,
    )
    if (done?.seen !== 1) return undefined
    if (done.gone === 1) return done.messages
    const deleted = yield* changes(this.#sql.deleteOldSession, ...values)
    return deleted === 0 ? undefined : yield* changes(this.#single.deleteAllMessages, workspace, id)
  }

  /** The seqs are counted from the session's row as it is once this append has it, and so never tie. */
  *append(workspace: string, sessionId: string, messages: readonly MessageRecord[], choices: AppendChoices): Script<number> {
    try {
      const moved = yield* this.#tryAppend(workspace, sessionId, messages, choices)
      if (moved !== undefined) return moved.last_seq
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? messageTaken(sessionId, error.cause) : error
    }
    const { expectedSeq } = choices
    const found = yield* rowAlone<LastSeq>(this.#sql.lastSeq, workspace, sessionId)
    throw found === undefined || expectedSeq === undefined
      ? sessionMissing(sessionId)
      : staleSeq(sessionId, expectedSeq, found.last_seq)
  }

  *messagesById(
    workspace: string,
    sessionId: string,
    ids: readonly string[],
    query: MessageRecordQuery,
  ): Script<MessageRecord[]> {
    const values = [workspace, sessionId, ...seqBounds(query), JSON.stringify(ids)]
    const sql = this.#single.messagesById[query.order]
    const found = yield* rowsAlone<MessageRow>(sql, ...values, query.limit ?? ids.length)
    return found.map(toRecord)
  }

  /** A message that is deleted while this waits is not there any more; one of the same id that comes after it is not seen. */
  *patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    now: number,
  ): Script<MessageRecord | undefined> {
    const { sets, values } = messagePatch(patch)
    const folded = foldedPatch(patch)
    const sql = this.#single.patchMessage([...sets, ...folded.sets])
    const patched = yield* rowAlone<MessageRow>(
      sql,
      workspace,
      sessionId,
      ...values,
      ...folded.values,
      workspace,
      sessionId,
      id,
      now,
      workspace,
      sessionId,
    )
    return patched === undefined ? undefined : toRecord(patched)
  }

  /** Appends that are committed while this waits come after it, and stay. */
  *deleteMessages(workspace: string, sessionId: string, { ids, afterSeq = 0 }: MessageSelection, now: number): Script<number> {
    const { deleteMessages, deleteMessagesById } = this.#single
    const selection = [workspace, sessionId, workspace, sessionId, afterSeq]
    const touch = [now, workspace, sessionId]
    const done = yield* ids === undefined
      ? rowAlone<{ deleted: number }>(deleteMessages, ...selection, ...touch)
      : rowAlone<{ deleted: number }>(deleteMessagesById, ...selection, JSON.stringify(ids), ...touch)
    return done?.deleted ?? 0
  }

  /** Nobody sees the session before its messages are there. */
  *restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    try {
      yield* this.#restore(workspace, session, messages)
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? sessionTaken(session.id, error.cause) : error
    }
  }

  *#restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    const batches = batchesOf(messages)
    if (messages.length === 0) {
      yield* changesAlone(this.#sql.insertSession, workspace, ...sessionValues(session))
    } else if (batches.length === 1 && !isLong(messages[0]!)) {
      const values = [workspace, ...sessionValues(session), workspace, session.id, 0]
      yield* changesAlone(
        this.#single.restore,
        ...values,
        toJsonRows(messages, ({ seq }) => seq),
      )
    } else {
      yield* changes(this.#sql.insertSession, workspace, ...sessionValues(session))
      yield* this.#insertBatches(workspace, session.id, batches, ({ seq }) => seq, 0)
    }
  }

  *#tryAppend(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: AppendChoices,
  ): Script<LastSeq | undefined> {
    const guarded = expectedSeq !== undefined
    const move = [messages.length, now, workspace, sessionId, ...(guarded ? [expectedSeq] : [])]
    const batches = batchesOf(messages)
    if (messages.length === 1) {
      return yield* rowAlone<LastSeq>(
        this.#single.append[guarded ? 'oneFrom' : 'one'],
        ...move,
        workspace,
        sessionId,
        ...rowValues(messages[0]!),
      )
    }
    const offsets = new Map(messages.map((message, i) => [message, i + 1]))
    const seqOf = (message: MessageRecord): number => offsets.get(message)!
    if (batches.length === 1) {
      const sql = this.#single.append[guarded ? 'manyFrom' : 'many']
      return yield* rowAlone<LastSeq>(sql, ...move, workspace, sessionId, messages.length, toJsonRows(messages, seqOf))
    }
    const moved = yield* row<LastSeq>(guarded ? this.#sql.moveFrom : this.#sql.move, ...move)
    if (moved !== undefined) yield* this.#insertBatches(workspace, sessionId, batches, seqOf, moved.last_seq - messages.length)
    return moved
  }

  /** Within a transaction that holds the session's row. */
  *#insertBatches(
    workspace: string,
    sessionId: string,
    batches: readonly (readonly MessageRecord[])[],
    seqOf: (message: MessageRecord) => number,
    base: number,
  ): Script<void> {
    for (const batch of batches) {
      const [first] = batch
      if (isLong(first!)) yield* changes(this.#single.insertOne, workspace, sessionId, base + seqOf(first!), ...rowValues(first!))
      else yield* changes(this.#single.insertMany, workspace, sessionId, base, toJsonRows(batch, seqOf))
    }
  }
}

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
function rowValues(message: MessageRecord): SqlValue[] {
  const { id, role, content, escaped, parts, toolCalls, toolCallId, metadata, createdAt } = message
  const folded = [foldedContent(content, escaped), searchableParts(parts)]
  return [id, role, content, escaped ? 1 : 0, parts, toolCalls, toolCallId, metadata, createdAt, ...folded]
}

type SingleStatements = ReturnType<typeof singleStatements>

function singleStatements({ sessions, messages }: ConversationTables, sql: Statements) {
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

function sessionValues(session: SessionRecord): SqlValue[] {
  return Object.keys(SESSION_FIELDS).map((field) => session[field as keyof SessionRecord])
}

/** The lower-cased content, or null where the server comes to it by itself. */
function foldedContent(content: string | null, escaped: boolean): string | null {
  const text = searchableContent(content, escaped)
  return !escaped && text === asciiLower(content ?? '') ? null : text
}

/** What a patch means for the lower-cased texts. */
function foldedPatch({ content, escaped, parts }: MessageRecordPatch): { sets: string[]; values: SqlValue[] } {
  const folded: [string, SqlValue][] = []
  if (content !== undefined) folded.push([FOLDED_COLUMNS[0], foldedContent(content, escaped === true)])
  if (parts !== undefined) folded.push([FOLDED_COLUMNS[1], searchableParts(parts)])
  return { sets: folded.map(([column]) => `${column} = ?`), values: folded.map(([, value]) => value) }
}

/** Messages as JSON of their rows; what is null is left out. The store's text has no U+0000 and no lone surrogates, so the server takes it. */
function toJsonRows(messages: readonly MessageRecord[], seqOf: (message: MessageRecord) => number): string {
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

function isLong(message: MessageRecord): boolean {
  return textLength(message) > TEXT_A_ROW
}

/** Batches that one statement carries each; a long message is one by itself. */
function batchesOf(messages: readonly MessageRecord[]): MessageRecord[][] {
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
