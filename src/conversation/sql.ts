/** Conversations on SQL engines: the one implementation, given a dialect. */
import { isHoldfastError } from '../errors.ts'
import { changes, distinctValues, marks, row, rows, type Script, type SqlEngine, type SqlValue } from '../engines/sql.ts'
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../store/contract.ts'
import type {
  ConversationBackend,
  ConversationCapabilities,
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  MessageRecordSearch,
  MessageSelection,
  SessionRecord,
  SessionRecordPatch,
  SessionRecordQuery,
} from './contract.ts'
import { messageTaken, sessionMissing, sessionTaken, staleSeq, staleVersion } from './faults.ts'
import { conversationTables, type ConversationTables } from './schema.ts'
import {
  idLists,
  insertValues,
  listing,
  MESSAGE_FIELDS,
  seqBounds,
  SESSION_FIELDS,
  statements,
  toRecord,
  type LastSeq,
  type MessageRow,
  type Statements,
} from './sql-statements.ts'

export interface SqlConversationOptions {
  /** Table-name prefix. */
  readonly prefix: string
  readonly capabilities: ConversationCapabilities
  readonly limits: Limits
  /** Full-text search, where the engine has it. */
  readonly index?: MessageIndex | undefined
}

/** A full-text index of messages. Its scripts run in the transactions that change the messages, so the two never part. */
export interface MessageIndex {
  /** Runs before the messages that the condition selects are deleted. */
  removing(where: string, values: readonly SqlValue[]): Script<void>
  /** Runs after a message's text was changed. */
  changed(workspace: string, sessionId: string, message: MessageRecord): Script<void>
  search(
    workspace: string,
    search: MessageRecordSearch,
    call?: BackendCall,
  ): Promise<{ readonly sessionId: string; readonly message: MessageRecord }[]>
  /** Ends work in the background. */
  close(): Promise<void>
}

const ROWS_AN_INSERT = 32

export function createSqlConversation(engine: SqlEngine, options: SqlConversationOptions): ConversationBackend {
  return new SqlConversation(engine, options)
}

class SqlConversation implements ConversationBackend {
  readonly capabilities: ConversationCapabilities
  readonly limits: Limits
  readonly search?: NonNullable<ConversationBackend['search']>
  readonly #engine: SqlEngine
  readonly #index: MessageIndex | undefined
  readonly #tables: ConversationTables
  readonly #sql: Statements

  constructor(engine: SqlEngine, { prefix, capabilities, limits, index }: SqlConversationOptions) {
    this.capabilities = capabilities
    this.limits = limits
    this.#engine = engine
    this.#index = index
    this.#tables = conversationTables(engine.dialect, prefix)
    this.#sql = statements(engine.dialect, this.#tables)
    if (index !== undefined) this.search = (workspace, search, call) => index.search(workspace, search, call)
  }

  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#insertSession(workspace, session), call)
  }

  async getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined> {
    const [session] = await this.#engine.select<SessionRecord>(this.#sql.session, [workspace, id], call)
    return session
  }

  patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    options: { readonly now: number; readonly ifVersion?: number | undefined },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined> {
    return this.#engine.write(() => this.#patchSession(workspace, id, patch, options), call)
  }

  deleteSession(
    workspace: string,
    id: string,
    options: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined> {
    return this.#engine.write(() => this.#deleteSession(workspace, id, options.updatedBefore), call)
  }

  listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]> {
    const { sql, values } = listing(this.#engine.dialect, this.#sql.sessions, workspace, query)
    return this.#engine.select<SessionRecord>(sql, values, call)
  }

  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number> {
    return this.#engine.write(() => this.#append(workspace, sessionId, messages, options), call)
  }

  async readMessages(
    workspace: string,
    sessionId: string,
    query: MessageRecordQuery,
    call?: BackendCall,
  ): Promise<MessageRecord[]> {
    if (query.ids !== undefined) return this.#engine.read(() => this.#messagesById(workspace, sessionId, query.ids!, query), call)
    const bounds = [workspace, sessionId, ...seqBounds(query)]
    const { all, some } = this.#sql.messages[query.order]
    const found = await (query.limit === undefined
      ? this.#engine.select<MessageRow>(all, bounds, call)
      : this.#engine.select<MessageRow>(some, [...bounds, query.limit], call))
    return found.map(toRecord)
  }

  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined> {
    return this.#engine.write(() => this.#patchMessage(workspace, sessionId, id, patch, options.now), call)
  }

  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<number> {
    return this.#engine.write(() => this.#deleteMessages(workspace, sessionId, selection, options.now), call)
  }

  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#restore(workspace, session, messages), call)
  }

  async listWorkspaces({ after, limit }: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]> {
    const sql = distinctValues(this.#tables.sessions, 'workspace', { exclusive: after !== undefined })
    const found = await this.#engine.select<{ value: string }>(sql, [after ?? '', limit], call)
    return found.map(({ value }) => value)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#engine.ping(call)
  }

  async close(): Promise<void> {
    await this.#index?.close()
    await this.#engine.close()
  }

  // ── Scripts ───────────────────────────────────────────────────────────────────────────────────────────────────────
  // Every script that changes a session's messages changes or locks its row before it appends, and so takes its turn there.

  *#insertSession(workspace: string, session: SessionRecord): Script<void> {
    const values = Object.keys(SESSION_FIELDS).map((field) => session[field as keyof SessionRecord])
    try {
      yield* changes(this.#sql.insertSession, workspace, ...values)
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? sessionTaken(session.id, error.cause) : error
    }
  }

  *#patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    { now, ifVersion }: { readonly now: number; readonly ifVersion?: number | undefined },
  ): Script<SessionRecord | undefined> {
    const fields = Object.entries(patch) as [keyof SessionRecordPatch, string | null][]
    const sets = fields.map(([field]) => `${SESSION_FIELDS[field]} = ?, `).join('')
    const guard = ifVersion === undefined ? '' : ' AND version = ?'
    const sql = `UPDATE ${this.#tables.sessions} SET ${sets}version = version + 1, ${this.#sql.touch} WHERE workspace = ? AND id = ?${guard}`
    const values = [...fields.map(([, value]) => value), now, workspace, id]
    const patched = yield* changes(sql, ...values, ...(ifVersion === undefined ? [] : [ifVersion]))
    const session = yield* row<SessionRecord>(this.#sql.session, workspace, id)
    if (patched === 0 && session !== undefined) throw staleVersion(id, ifVersion, session.version)
    return session
  }

  *#deleteSession(workspace: string, id: string, updatedBefore: number | undefined): Script<number | undefined> {
    const { deleteSession, deleteOldSession } = this.#sql
    const deleted =
      updatedBefore === undefined
        ? yield* changes(deleteSession, workspace, id)
        : yield* changes(deleteOldSession, workspace, id, updatedBefore)
    return deleted === 0 ? undefined : yield* this.#deleteWhere('workspace = ? AND session_id = ?', [workspace, id])
  }

  *#append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: { readonly now: number; readonly expectedSeq?: number | undefined },
  ): Script<number> {
    const last = yield* this.#moveLastSeq(workspace, sessionId, messages.length, now, expectedSeq)
    const first = last - messages.length + 1
    try {
      yield* this.#insertMessages(workspace, sessionId, messages, (i) => first + i)
    } catch (error) {
      throw isHoldfastError(error, 'CONFLICT') ? messageTaken(sessionId, error.cause) : error
    }
    return last
  }

  /** Takes the next `count` seqs; the lock on the session's row makes concurrent appends queue here. */
  *#moveLastSeq(workspace: string, id: string, count: number, now: number, expectedSeq: number | undefined): Script<number> {
    const { move, moveFrom, lastSeq, returning } = this.#sql
    const sql = expectedSeq === undefined ? move : moveFrom
    const values = expectedSeq === undefined ? [count, now, workspace, id] : [count, now, workspace, id, expectedSeq]
    if (returning) {
      const moved = yield* row<LastSeq>(sql, ...values)
      if (moved !== undefined) return moved.last_seq
    }
    const moved = returning ? 0 : yield* changes(sql, ...values)
    const session = yield* row<LastSeq>(lastSeq, workspace, id)
    if (session === undefined) throw sessionMissing(id)
    if (moved === 0) throw staleSeq(id, expectedSeq, session.last_seq)
    return session.last_seq
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

  *#messagesById(
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

  *#patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    now: number,
  ): Script<MessageRecord | undefined> {
    const fields = Object.entries(patch) as [keyof MessageRecordPatch, string | boolean | null][]
    if (fields.length > 0) {
      const sets = fields.map(([field]) => `${MESSAGE_FIELDS[field]} = ?`).join(', ')
      const values = fields.map(([, value]) => (typeof value === 'boolean' ? Number(value) : value))
      const sql = `UPDATE ${this.#tables.messages} SET ${sets} WHERE workspace = ? AND session_id = ? AND id = ?`
      yield* changes(sql, ...values, workspace, sessionId, id)
    }
    const [message] = yield* this.#messagesById(workspace, sessionId, [id], { order: 'asc' })
    if (message === undefined) return undefined
    yield* changes(this.#sql.touchSession, now, workspace, sessionId)
    const changesText = patch.content !== undefined || patch.parts !== undefined
    if (this.#index !== undefined && changesText) yield* this.#index.changed(workspace, sessionId, message)
    return message
  }

  *#deleteMessages(workspace: string, sessionId: string, { ids, afterSeq = 0 }: MessageSelection, now: number): Script<number> {
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

  *#deleteWhere(where: string, values: readonly SqlValue[]): Script<number> {
    if (this.#index !== undefined) yield* this.#index.removing(where, values)
    return yield* changes(`DELETE FROM ${this.#tables.messages} WHERE ${where}`, ...values)
  }

  *#restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Script<void> {
    yield* this.#insertSession(workspace, session)
    yield* this.#insertMessages(workspace, session.id, messages, (i) => messages[i]!.seq)
  }
}
