/** What a conversation backend does on an SQL engine, as scripts. */
import { isHoldfastError } from '../errors.ts'
import { changes, marks, row, rows, type Script, type SqlValue, type Statement } from '../engines/sql.ts'
import type {
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  MessageSelection,
  SessionRecord,
  SessionRecordPatch,
} from './contract.ts'
import { messageTaken, sessionMissing, sessionTaken, staleSeq, staleVersion } from './faults.ts'
import type { ConversationTables } from './schema.ts'
import type { MessageIndex } from './sql.ts'
import {
  idLists,
  insertValues,
  messagePatch,
  seqBounds,
  SESSION_FIELDS,
  sessionPatch,
  toRecord,
  type MessageRow,
  type SessionPlace,
  type Statements,
} from './sql-statements.ts'

export interface AppendChoices {
  readonly now: number
  readonly expectedSeq?: number | undefined
}

export interface PatchChoices {
  readonly now: number
  readonly ifVersion?: number | undefined
}

/** The methods of the contract of the same names, each as one script. */
export interface ConversationScripts {
  createSession(workspace: string, session: SessionRecord): Script<void>
  patchSession(workspace: string, id: string, patch: SessionRecordPatch, choices: PatchChoices): Script<SessionRecord | undefined>
  deleteSession(workspace: string, id: string, updatedBefore: number | undefined): Script<number | undefined>
  append(workspace: string, sessionId: string, messages: readonly MessageRecord[], choices: AppendChoices): Script<number>
  messagesById(workspace: string, sessionId: string, ids: readonly string[], query: MessageRecordQuery): Script<MessageRecord[]>
  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    now: number,
  ): Script<MessageRecord | undefined>
  deleteMessages(workspace: string, sessionId: string, selection: MessageSelection, now: number): Script<number>
  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void>
}

const ROWS_AN_INSERT = 32

/**
 * Scripts of several plain statements, for SQLite, where a statement costs next to nothing, and whose one writer at a time keeps what a script
 * has read as it is until it ends.
 */
export class StepScripts implements ConversationScripts {
  readonly #tables: ConversationTables
  readonly #sql: Statements
  readonly #index: MessageIndex | undefined

  constructor(tables: ConversationTables, sql: Statements, index: MessageIndex | undefined) {
    this.#tables = tables
    this.#sql = sql
    this.#index = index
  }

  *createSession(workspace: string, session: SessionRecord): Script<void> {
    const values = Object.keys(SESSION_FIELDS).map((field) => session[field as keyof SessionRecord])
    try {
      yield* changes(this.#sql.insertSession, workspace, ...values)
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
    const guard = ifVersion === undefined ? '' : ' AND version = ?'
    const sql = `UPDATE ${this.#tables.sessions} SET ${sets}version = version + 1, ${this.#sql.touch} WHERE workspace = ? AND id = ?${guard}`
    const patched = yield* changes(sql, ...values, now, workspace, id, ...(ifVersion === undefined ? [] : [ifVersion]))
    const session = yield* row<SessionRecord>(this.#sql.session, workspace, id)
    if (patched === 0 && session !== undefined) throw staleVersion(id, ifVersion, session.version)
    return session
  }

  *deleteSession(workspace: string, id: string, updatedBefore: number | undefined): Script<number | undefined> {
    const { deleteSession, deleteOldSession } = this.#sql
    const deleted =
      updatedBefore === undefined
        ? yield* changes(deleteSession, workspace, id)
        : yield* changes(deleteOldSession, workspace, id, updatedBefore)
    return deleted === 0 ? undefined : yield* this.#deleteWhere('workspace = ? AND session_id = ?', [workspace, id])
  }

  *append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: AppendChoices,
  ): Script<number> {
    const { place, moveTo } = this.#sql
    // Without `yield*`: each generator that a statement passes through costs.
    const [session] = (yield { sql: place, values: [workspace, sessionId], wants: 'rows' }) as unknown as SessionPlace[]
    if (session === undefined) throw sessionMissing(sessionId)
    const base = session.last_seq
    if (expectedSeq !== undefined && expectedSeq !== base) throw staleSeq(sessionId, expectedSeq, base)
    yield { sql: moveTo, values: [base + messages.length, now, session.rowid], wants: 'changes' }
    try {
      if (messages.length > 1) yield* this.#insertMessages(workspace, sessionId, messages, (i) => base + 1 + i)
      else yield this.#insertOne(workspace, sessionId, messages[0]!, base + 1)
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? messageTaken(sessionId, error.cause) : error
    }
    return base + messages.length
  }

  *messagesById(
    workspace: string,
    sessionId: string,
    ids: readonly string[],
    query: MessageRecordQuery,
  ): Script<MessageRecord[]> {
    const found: MessageRecord[] = []
    for (const chunk of idLists(ids)) {
      const sql = `${this.#sql.messagesAt} AND id IN (${marks(chunk.length)})`
      for (const message of yield* rows<MessageRow>(sql, workspace, sessionId, ...seqBounds(query), ...chunk))
        found.push(toRecord(message))
    }
    const sign = query.order === 'asc' ? 1 : -1
    return found.toSorted((a, b) => sign * (a.seq - b.seq)).slice(0, query.limit)
  }

  *patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    now: number,
  ): Script<MessageRecord | undefined> {
    const { sets, values } = messagePatch(patch)
    if (sets.length > 0) {
      const sql = `UPDATE ${this.#tables.messages} SET ${sets.join(', ')} WHERE workspace = ? AND session_id = ? AND id = ?`
      yield* changes(sql, ...values, workspace, sessionId, id)
    }
    const [message] = yield* this.messagesById(workspace, sessionId, [id], { order: 'asc' })
    if (message === undefined) return undefined
    yield* changes(this.#sql.touchSession, now, workspace, sessionId)
    const changesText = patch.content !== undefined || patch.parts !== undefined
    if (this.#index !== undefined && changesText) yield* this.#index.changed(workspace, sessionId, message)
    return message
  }

  *deleteMessages(workspace: string, sessionId: string, { ids, afterSeq = 0 }: MessageSelection, now: number): Script<number> {
    const where = 'workspace = ? AND session_id = ? AND seq > ?'
    const values = [workspace, sessionId, afterSeq]
    let deleted = 0
    if (ids === undefined) deleted = yield* this.#deleteWhere(where, values)
    for (const chunk of idLists(ids ?? [])) {
      deleted += yield* this.#deleteWhere(`${where} AND id IN (${marks(chunk.length)})`, [...values, ...chunk])
    }
    if (deleted > 0) yield* changes(this.#sql.touchSession, now, workspace, sessionId)
    return deleted
  }

  *restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    yield* this.createSession(workspace, session)
    yield* this.#insertMessages(workspace, session.id, messages, (i) => messages[i]!.seq)
  }

  #insertOne(workspace: string, sessionId: string, message: MessageRecord, seq: number): Statement {
    return { sql: this.#sql.insertMessages(1), values: insertValues(workspace, sessionId, message, seq), wants: 'changes' }
  }

  *#insertMessages(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    seqOf: (i: number) => number,
  ): Script<void> {
    for (let at = 0; at < messages.length;) {
      // Whole powers of two, so that few texts need preparing.
      const size = Math.min(ROWS_AN_INSERT, 2 ** Math.floor(Math.log2(messages.length - at)))
      const batch = messages.slice(at, at + size)
      const start = at
      const values = batch.flatMap((message, i) => insertValues(workspace, sessionId, message, seqOf(start + i)))
      yield* changes(this.#sql.insertMessages(size), ...values)
      at += size
    }
  }

  *#deleteWhere(where: string, values: readonly SqlValue[]): Script<number> {
    if (this.#index !== undefined) yield* this.#index.removing(where, values)
    return yield* changes(`DELETE FROM ${this.#tables.messages} WHERE ${where}`, ...values)
  }
}
