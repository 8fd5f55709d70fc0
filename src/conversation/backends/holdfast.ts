/** Conversations on another Holdfast, over HTTP. */
import { HOLDFAST_OPTIONS, HoldfastServer, type HoldfastOptions, type Remote } from '../../engines/holdfast.ts'
import type { BackendCall, Limits, WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
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
} from '../contract.ts'

export type HoldfastConversationOptions = HoldfastOptions

export const create = defineBackend<HoldfastConversationOptions, ConversationBackend>(HOLDFAST_OPTIONS, async (options) => {
  const server = new HoldfastServer(options)
  return new HoldfastConversation(server, await server.about<ConversationCapabilities>('conversation'))
})

class HoldfastConversation implements ConversationBackend {
  readonly capabilities: ConversationCapabilities
  readonly limits: Limits
  readonly encrypted: boolean
  readonly search?: NonNullable<ConversationBackend['search']>
  readonly listWorkspaces?: (query: WorkspaceRecordQuery, call?: BackendCall) => Promise<string[]>
  readonly #server: HoldfastServer

  constructor(server: HoldfastServer, { capabilities, limits, encrypted, has }: Remote<ConversationCapabilities>) {
    this.#server = server
    this.capabilities = capabilities
    this.limits = limits
    this.encrypted = encrypted
    if (has.includes('search')) this.search = (workspace, search, call) => this.#call('search', { workspace, search }, call)
    if (has.includes('listWorkspaces')) this.listWorkspaces = (query, call) => this.#call('listWorkspaces', { query }, call)
  }

  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void> {
    return this.#call('createSession', { workspace, session }, call)
  }

  getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined> {
    return this.#call('getSession', { workspace, id }, call)
  }

  patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    options: { readonly now: number; readonly ifVersion?: number | undefined },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined> {
    return this.#call('patchSession', { workspace, id, patch, options }, call)
  }

  deleteSession(
    workspace: string,
    id: string,
    options: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined> {
    return this.#call('deleteSession', { workspace, id, options }, call)
  }

  listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]> {
    return this.#call('listSessions', { workspace, query }, call)
  }

  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number> {
    return this.#call('append', { workspace, sessionId, messages, options }, call)
  }

  readMessages(workspace: string, sessionId: string, query: MessageRecordQuery, call?: BackendCall): Promise<MessageRecord[]> {
    return this.#call('readMessages', { workspace, sessionId, query }, call)
  }

  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined> {
    return this.#call('patchMessage', { workspace, sessionId, id, patch, options }, call)
  }

  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<number> {
    return this.#call('deleteMessages', { workspace, sessionId, selection, options }, call)
  }

  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void> {
    return this.#call('restore', { workspace, session, messages }, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#server.ping('conversation', call)
  }

  async close(): Promise<void> {
    // Each request stands for itself.
  }

  #call<T>(method: string, body: object, call: BackendCall | undefined): Promise<T> {
    return this.#server.call('conversation', method, body, call)
  }
}
