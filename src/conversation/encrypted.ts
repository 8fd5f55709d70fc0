/** Encryption at rest over any conversation backend. */
import type { KeyRing, KeyRingOptions } from '../encryption/key-ring.ts'
import { notEncrypted, PlacesSeen } from '../encryption/mode.ts'
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../store/contract.ts'
import type {
  ConversationBackend,
  ConversationCapabilities,
  MessageRecord,
  MessageRecordPatch,
  MessageRecordQuery,
  MessageSelection,
  SessionRecord,
  SessionRecordPatch,
  SessionRecordQuery,
} from './contract.ts'
import { matchesMetadata, type MetadataQuery } from './metadata.ts'
import { isSealedSession, newestSession, workspaceName } from './plain.ts'
import { ConversationSealing } from './sealing.ts'

/** Sessions read at a time where their metadata is looked through. */
const FILTER_PAGE = 200

/** The same backend, whose sessions and messages are encrypted. It cannot search. */
export function encryptConversations(backend: ConversationBackend, keys: KeyRing | KeyRingOptions): EncryptedConversations {
  return new EncryptedConversations(backend, keys)
}

export class EncryptedConversations implements ConversationBackend {
  readonly encrypted = true
  readonly capabilities: ConversationCapabilities
  readonly limits: Limits
  readonly abortAnswerMs?: number
  /** The backend beneath, for conversion. */
  readonly stored: ConversationBackend
  readonly sealing: ConversationSealing
  readonly backup?: NonNullable<ConversationBackend['backup']>
  readonly listWorkspaces?: NonNullable<ConversationBackend['listWorkspaces']>
  readonly #places: PlacesSeen

  constructor(backend: ConversationBackend, keys: KeyRing | KeyRingOptions) {
    this.stored = backend
    this.sealing = new ConversationSealing(keys)
    this.capabilities = { ...backend.capabilities, search: false }
    this.limits = this.sealing.limits(backend.limits ?? {})
    if (backend.abortAnswerMs !== undefined) this.abortAnswerMs = backend.abortAnswerMs
    if (backend.backup !== undefined) this.backup = (directory, call) => backend.backup!(directory, call)
    if (backend.listWorkspaces !== undefined) {
      this.listWorkspaces = (query: WorkspaceRecordQuery, call?: BackendCall) => backend.listWorkspaces!(query, call)
    }
    this.#places = new PlacesSeen(async (workspace) => {
      const newest = await newestSession(backend, workspace)
      if (newest !== undefined && !isSealedSession(newest)) throw notEncrypted(workspaceName(workspace))
    })
  }

  async createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void> {
    await this.#places.pending(workspace)
    await this.stored.createSession(workspace, this.sealing.sealSession(workspace, session.id, session), call)
  }

  async getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined> {
    const record = await this.stored.getSession(workspace, id, call)
    return record && this.sealing.openSession(workspace, record)
  }

  async patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    options: { readonly now: number; readonly ifVersion?: number | undefined },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined> {
    await this.#places.pending(workspace)
    const record = await this.stored.patchSession(workspace, id, this.sealing.sealSession(workspace, id, patch), options, call)
    return record && this.sealing.openSession(workspace, record)
  }

  deleteSession(
    workspace: string,
    id: string,
    options: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined> {
    return this.stored.deleteSession(workspace, id, options, call)
  }

  async listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]> {
    const { metadata, ...rest } = query
    if (metadata !== undefined) return this.#matching(workspace, metadata, rest, call)
    const records = await this.stored.listSessions(workspace, query, call)
    return records.map((record) => this.sealing.openSession(workspace, record))
  }

  async append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number> {
    await this.#places.pending(workspace)
    return this.stored.append(workspace, sessionId, this.#sealAll(workspace, sessionId, messages), options, call)
  }

  async readMessages(
    workspace: string,
    sessionId: string,
    query: MessageRecordQuery,
    call?: BackendCall,
  ): Promise<MessageRecord[]> {
    const records = await this.stored.readMessages(workspace, sessionId, query, call)
    return records.map((record) => this.sealing.openMessage(workspace, sessionId, record))
  }

  async patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined> {
    await this.#places.pending(workspace)
    const sealed = this.sealing.sealMessage(workspace, sessionId, id, patch)
    const record = await this.stored.patchMessage(workspace, sessionId, id, sealed, options, call)
    return record && this.sealing.openMessage(workspace, sessionId, record)
  }

  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<number> {
    return this.stored.deleteMessages(workspace, sessionId, selection, options, call)
  }

  async restore(
    workspace: string,
    session: SessionRecord,
    messages: readonly MessageRecord[],
    call?: BackendCall,
  ): Promise<void> {
    await this.#places.pending(workspace)
    const sealed = this.sealing.sealSession(workspace, session.id, session)
    await this.stored.restore(workspace, sealed, this.#sealAll(workspace, session.id, messages), call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.stored.ping(call)
  }

  /** Writes that were called before count as begun. */
  async close(): Promise<void> {
    await this.#places.settled()
    await this.stored.close()
  }

  #sealAll(workspace: string, sessionId: string, messages: readonly MessageRecord[]): MessageRecord[] {
    return messages.map((message) => this.sealing.sealMessage(workspace, sessionId, message.id, message))
  }

  /** The engine cannot look into sealed metadata: page by page it is opened and compared here, until there are enough. */
  async #matching(
    workspace: string,
    metadata: MetadataQuery,
    query: SessionRecordQuery,
    call: BackendCall | undefined,
  ): Promise<SessionRecord[]> {
    // By id: a session that is touched meanwhile moves, and may be met again.
    const found = new Map<string, SessionRecord>()
    let { after } = query
    let page: SessionRecord[]
    do {
      call?.signal?.throwIfAborted()
      page = await this.stored.listSessions(workspace, { ...query, after, limit: FILTER_PAGE }, call)
      for (const record of page) {
        const session = this.sealing.openSession(workspace, record)
        if (!found.has(session.id) && matchesMetadata(session.metadata, metadata)) found.set(session.id, session)
      }
      after = page.at(-1)
    } while (page.length === FILTER_PAGE && found.size < query.limit)
    return [...found.values()].slice(0, query.limit)
  }
}
