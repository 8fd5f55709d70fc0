/** Conversations on SQL engines: the one implementation, given a dialect. */
import { distinctValues, type Script, type SqlEngine, type SqlValue } from '../engines/sql.ts'
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
import { isDoubtful, matchesMetadata } from './metadata.ts'
import { conversationTables, type ConversationTables } from './schema.ts'
import { StepScripts, type ConversationScripts } from './sql-scripts.ts'
import { listing, seqBounds, statements, toRecord, type MessageRow, type Statements } from './sql-statements.ts'

export interface SqlConversationOptions {
  /** Table-name prefix. */
  readonly prefix: string
  readonly capabilities: ConversationCapabilities
  readonly limits: Limits
  /** Full-text search, where the engine has it. */
  readonly index?: MessageIndex | undefined
  /** How the engine does it best. Default: by several plain statements. */
  readonly scripts?: ((tables: ConversationTables, sql: Statements) => ConversationScripts) | undefined
  /** Search without an index of its own. */
  readonly search?: ConversationBackend['search'] | undefined
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
  readonly #scripts: ConversationScripts

  constructor(engine: SqlEngine, options: SqlConversationOptions) {
    const { prefix, index, scripts, search = index?.search.bind(index) } = options
    this.capabilities = options.capabilities
    this.limits = options.limits
    this.#engine = engine
    this.#index = index
    this.#tables = conversationTables(engine.dialect, prefix)
    this.#sql = statements(engine.dialect, this.#tables)
    this.#scripts = scripts?.(this.#tables, this.#sql) ?? new StepScripts(this.#tables, this.#sql, index)
    if (search !== undefined) this.search = search
  }

  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#scripts.createSession(workspace, session), call)
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
    return this.#engine.write(() => this.#scripts.patchSession(workspace, id, patch, options), call)
  }

  deleteSession(
    workspace: string,
    id: string,
    options: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined> {
    return this.#engine.write(() => this.#scripts.deleteSession(workspace, id, options.updatedBefore), call)
  }

  async listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]> {
    const { metadata, limit } = query
    const listed: SessionRecord[] = []
    for (let { after } = query; ;) {
      const { sql, values } = listing(this.#engine.dialect, this.#sql.sessions, workspace, { ...query, after })
      const found = await this.#engine.select<SessionRecord>(sql, values, call)
      if (metadata === undefined || this.#sql.exactMetadata) return found
      listed.push(...found.filter((session) => !isDoubtful(session.metadata) || matchesMetadata(session.metadata, metadata)))
      if (found.length < limit || listed.length >= limit) return listed.slice(0, limit)
      after = found.at(-1)
    }
  }

  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number> {
    return this.#engine.write(() => this.#scripts.append(workspace, sessionId, messages, options), call)
  }

  async readMessages(
    workspace: string,
    sessionId: string,
    query: MessageRecordQuery,
    call?: BackendCall,
  ): Promise<MessageRecord[]> {
    const { ids } = query
    if (ids !== undefined) return this.#engine.read(() => this.#scripts.messagesById(workspace, sessionId, ids, query), call)
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
    return this.#engine.write(() => this.#scripts.patchMessage(workspace, sessionId, id, patch, options.now), call)
  }

  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<number> {
    return this.#engine.write(() => this.#scripts.deleteMessages(workspace, sessionId, selection, options.now), call)
  }

  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void> {
    return this.#engine.write(() => this.#scripts.restore(workspace, session, messages), call)
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
}
