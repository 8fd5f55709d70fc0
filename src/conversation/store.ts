/** The conversation store: sessions and their messages over any backend. */
import type { HoldfastError } from '../errors.ts'
import type { CallOptions, Limits, Page, StoreBase, WorkspaceQuery } from '../store/contract.ts'
import { checkWorkspace, type StoreCore } from '../store/core.ts'
import { StoreScope, type ScopeOptions } from '../store/scope.ts'
import { checkDate, checkId, checkInteger, typeName } from '../store/text.ts'
import {
  checkPrune,
  messageIds,
  messageOrder,
  messageQuery,
  messageSearch,
  optionalId,
  optionalSeq,
  sessionCursor,
  sessionQuery,
} from './arguments.ts'
import type {
  ConversationBackend,
  ConversationCapabilities,
  Message,
  MessagePatch,
  MessageQuery,
  MessageRecord,
  MessageSearch,
  NewMessage,
  NewSession,
  Session,
  SessionPatch,
  SessionQuery,
} from './contract.ts'
import { DerivedOperations, type DeletedSessions, type ForkOptions } from './derived.ts'
import { messageMissing, sessionMissing } from './faults.ts'
import {
  messagePatch,
  newMessage,
  newSession,
  restoredMessages,
  restoredSession,
  sessionPatch,
  toMessage,
  toSession,
} from './records.ts'

export type { DeletedSessions, ForkOptions } from './derived.ts'

/** Messages a page of `iterateMessages`. */
const MESSAGE_PAGE = 500

export type ConversationStoreOptions = ScopeOptions

export interface AppendOptions extends CallOptions {
  /** The `lastSeq` that the session must have now; another: `CONFLICT`. Default: whatever it is. */
  readonly expectedSeq?: number | undefined
}

export interface UpdateOptions extends CallOptions {
  /** The `version` that the session must have now; another: `CONFLICT`. Default: whatever it is. */
  readonly ifVersion?: number | undefined
}

export interface PruneQuery extends CallOptions {
  /** Sessions whose `updatedAt` is earlier go. */
  readonly olderThan: Date
  /** Only this user's sessions. Default: everybody's. */
  readonly userId?: string | undefined
}

/**
 * Sessions and messages of one workspace. Arguments of the wrong JavaScript type are a `TypeError`, other bad ones
 * `INVALID_ARGUMENT`, values beyond `limits` `VALUE_TOO_LARGE`; every other error is named at its method.
 */
export class ConversationStore implements StoreBase {
  readonly kind = 'conversation' as const
  /** The tenant whose data this store sees. */
  readonly workspaceId: string
  readonly #scope: StoreScope<ConversationBackend>
  readonly #backend: ConversationBackend
  readonly #derived: DerivedOperations

  /** Over a backend, or, as a view, over the core of another store, whose options it shares. */
  constructor(source: ConversationBackend | StoreCore<ConversationBackend>, options: ConversationStoreOptions) {
    this.#scope = new StoreScope('conversation', source, options)
    this.#backend = this.#scope.core.backend
    this.workspaceId = this.#scope.workspaceId
    this.#derived = new DerivedOperations(this.#backend, this.workspaceId, this.limits)
  }

  /** Canonical name of the backend. */
  get backend(): string {
    return this.#scope.core.name
  }

  get capabilities(): ConversationCapabilities {
    return this.#backend.capabilities
  }

  get limits(): Limits {
    return this.#scope.core.limits
  }

  /** True where sessions and messages are encrypted. */
  get encrypted(): boolean {
    return this.#backend.encrypted === true
  }

  /** Shared with the workspace views; for this package's own layers above the store. @internal */
  get core(): StoreCore<ConversationBackend> {
    return this.#scope.core
  }

  // ── Sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Creates a session; without an id it gets a new UUID. Id taken: `CONFLICT`. */
  async createSession(session: NewSession = {}, options?: CallOptions): Promise<Session> {
    const record = newSession(session, Date.now(), this.limits)
    return this.#scope.run('createSession', 'idempotent', options, this.#derived.creating(record))
  }

  async getSession(id: string, options?: CallOptions): Promise<Session | undefined> {
    checkId(id, 'id')
    return await this.#scope.run('getSession', 'read', options, async (call) => {
      const record = await this.#backend.getSession(this.workspaceId, id, call)
      return record && toSession(record)
    })
  }

  /** Changes the fields that the patch names. Unknown id: `NOT_FOUND`; another `ifVersion`: `CONFLICT`. */
  async updateSession(id: string, patch: SessionPatch, options: UpdateOptions = {}): Promise<Session> {
    checkId(id, 'id')
    const record = sessionPatch(patch, this.limits)
    const ifVersion = options.ifVersion === undefined ? undefined : checkInteger(options.ifVersion, 'ifVersion', { min: 1 }, 1)
    const now = Date.now()
    return this.#scope.run('updateSession', 'write', options, async (call) => {
      const patched = await this.#backend.patchSession(this.workspaceId, id, record, { now, ifVersion }, call)
      if (patched === undefined) throw sessionMissing(id)
      return toSession(patched)
    })
  }

  /**
   * Creates the session, or merges into the one that is there: given fields replace, and `state` and `metadata` are merged at
   * their top level (given keys replace, others stay). No change by others is lost; too many at once: `CONFLICT`.
   */
  async upsertSession(session: NewSession, options?: CallOptions): Promise<Session> {
    const record = newSession(session, Date.now(), this.limits)
    return this.#scope.run('upsertSession', 'write', options, (call) => this.#derived.upsert(session, record, call))
  }

  /** Deletes the session with its messages; false when there is none. */
  async deleteSession(id: string, options?: CallOptions): Promise<boolean> {
    checkId(id, 'id')
    return this.#scope.run('deleteSession', 'write', options, async (call) => {
      return (await this.#backend.deleteSession(this.workspaceId, id, {}, call)) !== undefined
    })
  }

  /** One page of the sessions that satisfy every given condition, newest `updatedAt` first unless `order` says otherwise. */
  async listSessions(query: SessionQuery & CallOptions = {}): Promise<Page<Session>> {
    const wanted = sessionQuery(query)
    return await this.#scope.run('listSessions', 'read', query, async (call) => {
      const { records, more } = await this.#derived.page(wanted, call)
      const items = records.map(toSession)
      return more ? { items, cursor: sessionCursor(wanted.order, records.at(-1)!) } : { items }
    })
  }

  // ── Messages ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Appends one message. Unknown session: `NOT_FOUND`; message id taken in the session, or another `expectedSeq`: `CONFLICT`. */
  async addMessage(sessionId: string, message: NewMessage, options: AppendOptions = {}): Promise<Message> {
    checkId(sessionId, 'sessionId')
    const now = Date.now()
    const record = newMessage(message, 'message', now, this.limits)
    const last = await this.#append('addMessage', sessionId, [record], now, options)
    return toMessage(sessionId, record, last)
  }

  /** Appends all messages or none, with consecutive seqs; errors as `addMessage`. An empty list touches and checks nothing: `[]`. */
  async addMessages(sessionId: string, messages: readonly NewMessage[], options: AppendOptions = {}): Promise<Message[]> {
    checkId(sessionId, 'sessionId')
    if (!Array.isArray(messages)) throw new TypeError(`messages must be an array, not ${typeName(messages)}`)
    const now = Date.now()
    const records = messages.map((message: NewMessage, i) => newMessage(message, `messages[${i}]`, now, this.limits))
    const last = await this.#append('addMessages', sessionId, records, now, options)
    return records.map((record, i) => toMessage(sessionId, record, last - records.length + 1 + i))
  }

  /**
   * The messages between the bounds, oldest first unless `order` says otherwise. With `limit` these are the newest, or, where
   * `after` is given, the first ones behind it. Unknown session: none.
   */
  async getMessages(sessionId: string, query: MessageQuery & CallOptions = {}): Promise<Message[]> {
    checkId(sessionId, 'sessionId')
    const wanted = messageQuery(query)
    const order = messageOrder(query)
    return await this.#scope.run('getMessages', 'read', query, async (call) => {
      const records = await this.#backend.readMessages(this.workspaceId, sessionId, wanted, call)
      const messages = records.map((record) => toMessage(sessionId, record))
      return order === wanted.order ? messages : messages.toReversed()
    })
  }

  async getMessage(sessionId: string, messageId: string, options?: CallOptions): Promise<Message | undefined> {
    checkId(sessionId, 'sessionId')
    checkId(messageId, 'messageId')
    return this.#scope.run('getMessage', 'read', options, async (call) => {
      const record = await this.#derived.readMessage(sessionId, messageId, call)
      return record && toMessage(sessionId, record)
    })
  }

  /** All messages between the bounds, oldest first, read page by page; `timeoutMs` counts for each page. */
  async *iterateMessages(
    sessionId: string,
    query: Pick<MessageQuery, 'after' | 'before'> & CallOptions = {},
  ): AsyncGenerator<Message, void, undefined> {
    let after = optionalSeq(query.after, 'after') ?? 0
    for (;;) {
      const page = await this.getMessages(sessionId, { ...query, after, limit: MESSAGE_PAGE, order: 'asc' })
      yield* page
      if (page.length < MESSAGE_PAGE) return
      after = page.at(-1)!.seq
    }
  }

  /** Changes the fields that the patch names; concurrent changes of others survive. No such message: `NOT_FOUND`. */
  async updateMessage(sessionId: string, messageId: string, patch: MessagePatch, options?: CallOptions): Promise<Message> {
    checkId(sessionId, 'sessionId')
    checkId(messageId, 'messageId')
    const record = messagePatch(patch, this.limits)
    const now = Date.now()
    return this.#scope.run('updateMessage', 'write', options, async (call) => {
      const patched = await this.#backend.patchMessage(this.workspaceId, sessionId, messageId, record, { now }, call)
      if (patched === undefined) throw messageMissing(sessionId, messageId)
      return toMessage(sessionId, patched)
    })
  }

  /** Deletes the messages with these ids, or, where `ids` is left out, all; an empty list deletes none. The number deleted. */
  async deleteMessages(sessionId: string, ids?: readonly string[], options?: CallOptions): Promise<number> {
    checkId(sessionId, 'sessionId')
    const selections = ids === undefined ? [{}] : this.#batches(messageIds(ids)).map((batch) => ({ ids: batch }))
    return this.#scope.run('deleteMessages', 'write', options, this.#derived.deletingMessages(sessionId, selections, Date.now()))
  }

  /** Deletes the messages behind `afterSeq`; `lastSeq` stays, since no seq is used twice. The number deleted. */
  async truncate(sessionId: string, afterSeq: number, options?: CallOptions): Promise<number> {
    checkId(sessionId, 'sessionId')
    if (afterSeq === undefined) throw new TypeError('afterSeq must be a number')
    const selection = { afterSeq: checkInteger(afterSeq, 'afterSeq', { min: 0 }, 0) }
    return this.#scope.run('truncate', 'write', options, this.#derived.deletingMessages(sessionId, [selection], Date.now()))
  }

  // ── Whole sessions ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Copies a session and its messages, whose ids and seqs stay, under a new id. Its `lastSeq` is `atSeq`, or the source's. Unknown
   * session: `NOT_FOUND`; `newId` taken: `CONFLICT`.
   */
  async forkSession(id: string, options: ForkOptions = {}): Promise<Session> {
    checkId(id, 'id')
    const atSeq = optionalSeq(options.atSeq, 'atSeq')
    const own = newSession({ ...options, id: options.newId }, Date.now(), this.limits)
    return this.#scope.run('forkSession', 'idempotent', options, this.#derived.forking(id, own, { ...options, atSeq }))
  }

  /**
   * Writes a session and its messages as they were exported: ids, seqs, times, `version` and `lastSeq` included. Messages belong to
   * this session whatever their `sessionId` says; their seqs rise strictly and end at `lastSeq` at the latest. Id taken: `CONFLICT`.
   */
  async restore(session: Session, messages: readonly Message[], options?: CallOptions): Promise<Session> {
    const record = restoredSession(session, this.limits)
    const records = restoredMessages(messages, record.lastSeq, this.limits)
    return this.#scope.run('restore', 'idempotent', options, this.#derived.restoring(record, records))
  }

  /** Deletes the sessions that nothing has touched since `olderThan`; one that is appended to meanwhile stays. */
  async pruneSessions(query: PruneQuery): Promise<DeletedSessions> {
    checkPrune(query)
    const updatedBefore = checkDate(query.olderThan, 'olderThan')
    return this.#deleteSessions('pruneSessions', optionalId(query.userId, 'userId'), updatedBefore, query)
  }

  /** Deletes all sessions of a user in this workspace. */
  async deleteUser(userId: string, options?: CallOptions): Promise<DeletedSessions> {
    return this.#deleteSessions('deleteUser', checkId(userId, 'userId'), undefined, options)
  }

  /** Deletes everything in this workspace. */
  async clear(options?: CallOptions): Promise<DeletedSessions> {
    return this.#deleteSessions('clear', undefined, undefined, options)
  }

  /** Messages in which every term of `text` occurs, case-insensitively, newest first. Without `capabilities.search`: `UNSUPPORTED`. */
  async searchMessages(search: MessageSearch & CallOptions): Promise<Message[]> {
    const wanted = messageSearch(search)
    return this.#scope.run('searchMessages', 'read', search, async (call) => {
      if (this.#backend.search === undefined)
        throw this.#unsupported('cannot search messages; list them and look through their content')
      const hits = await this.#backend.search(this.workspaceId, wanted, call)
      return hits.map((hit) => toMessage(hit.sessionId, hit.message))
    })
  }

  // ── The store itself ──────────────────────────────────────────────────────────────────────────────────────────────

  /** The same store scoped to another workspace. It closes with this one; closing it closes nothing else. */
  workspace(id: string): ConversationStore {
    checkWorkspace(id)
    return new ConversationStore(this.#scope.core, { name: this.backend, workspace: id })
  }

  /** One page of the workspaces with a session, in bytewise order. On a view, and where the backend cannot list them: `UNSUPPORTED`. */
  async listWorkspaces(query: WorkspaceQuery & CallOptions = {}): Promise<Page<string>> {
    return this.#scope.listWorkspaces(query, this.#backend.listWorkspaces?.bind(this.#backend))
  }

  async ping(options?: CallOptions): Promise<void> {
    return this.#scope.ping(options)
  }

  /**
   * Writes a consistent copy of all workspaces into `directory`, which exists, while writers go on, and returns the names of its files. On a
   * view, and where the engine has tools of its own for that: `UNSUPPORTED`.
   */
  async backupTo(directory: string, options?: CallOptions): Promise<string[]> {
    return this.#scope.backupTo(directory, options)
  }

  async close(): Promise<void> {
    await this.#scope.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #unsupported(what: string): HoldfastError {
    return this.#scope.core.error('UNSUPPORTED', `backend ${this.backend} ${what}`, 'not-applied')
  }

  /** Gives the new `lastSeq`. */
  #append(
    method: string,
    sessionId: string,
    records: readonly MessageRecord[],
    now: number,
    options: AppendOptions,
  ): Promise<number> {
    const expectedSeq = optionalSeq(options.expectedSeq, 'expectedSeq')
    this.#checkBatch(records.length)
    const append = this.#derived.appending(sessionId, records, { now, expectedSeq })
    return this.#scope.run(method, 'idempotent', options, append)
  }

  #deleteSessions(
    method: string,
    userId: string | undefined,
    updatedBefore: number | undefined,
    options: CallOptions | undefined,
  ): Promise<DeletedSessions> {
    return this.#scope.run(method, 'idempotent', options, this.#derived.deletingSessions(userId, updatedBefore))
  }

  #checkBatch(count: number): void {
    const max = this.limits.batch
    if (max === undefined || count <= max) return
    throw this.#scope.core.error(
      'VALUE_TOO_LARGE',
      `an append holds ${count} messages, and this backend takes ${max}`,
      'not-applied',
    )
  }

  #batches<T>(items: readonly T[]): T[][] {
    const size = this.limits.batch ?? Math.max(1, items.length)
    return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
  }
}
