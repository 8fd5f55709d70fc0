/** Conversations in memory: nothing outlives the process. The model that every other backend is compared with. */
import type { WorkspaceRecordQuery } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import { selectNames } from '../../store/workspaces.ts'
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
} from '../contract.ts'
import { messageTaken, sessionMissing, sessionTaken, staleSeq, staleVersion } from '../faults.ts'
import { matchesTerms, newestFirst } from '../search.ts'
import { selectMessages, selectSessions } from '../selection.ts'

export interface MemoryConversationOptions {
  /** Says in a URL what the name says already. Default: none. */
  readonly url?: ':memory:' | 'memory:' | undefined
}

export const capabilities: ConversationCapabilities = { search: true }

/** Each store is empty at first, and its own. */
export const create = defineBackend<MemoryConversationOptions, ConversationBackend>(
  { url: { type: 'string', description: 'nothing to name: `:memory:`', choices: [':memory:', 'memory:'] } },
  () => new MemoryConversation(),
)

/** A session and its messages in the order of their seqs. Records are frozen, so that they can be handed out as they are. */
interface Entry {
  session: SessionRecord
  messages: MessageRecord[]
  ids: Set<string>
}

/** No method waits for anything between its first line and its last, so each is atomic. */
class MemoryConversation implements ConversationBackend {
  readonly capabilities = capabilities
  readonly #workspaces = new Map<string, Map<string, Entry>>()

  async createSession(workspace: string, session: SessionRecord): Promise<void> {
    this.#insert(workspace, session, [])
  }

  async getSession(workspace: string, id: string): Promise<SessionRecord | undefined> {
    return this.#entry(workspace, id)?.session
  }

  async patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    { now, ifVersion }: { readonly now: number; readonly ifVersion?: number | undefined },
  ): Promise<SessionRecord | undefined> {
    const entry = this.#entry(workspace, id)
    if (entry === undefined) return undefined
    const { version } = entry.session
    if (ifVersion !== undefined && ifVersion !== version) throw staleVersion(id, ifVersion, version)
    touch(entry, now, { ...patch, version: version + 1 })
    return entry.session
  }

  async deleteSession(
    workspace: string,
    id: string,
    { updatedBefore = Infinity }: { readonly updatedBefore?: number | undefined },
  ): Promise<number | undefined> {
    const entry = this.#entry(workspace, id)
    if (entry === undefined || entry.session.updatedAt >= updatedBefore) return undefined
    this.#sessions(workspace).delete(id)
    return entry.messages.length
  }

  async listSessions(workspace: string, query: SessionRecordQuery): Promise<SessionRecord[]> {
    const sessions = this.#sessions(workspace).values()
    return selectSessions(
      sessions.map(({ session }) => session),
      query,
    )
  }

  async append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: { readonly now: number; readonly expectedSeq?: number | undefined },
  ): Promise<number> {
    const entry = this.#entry(workspace, sessionId)
    if (entry === undefined) throw sessionMissing(sessionId)
    const { lastSeq } = entry.session
    if (expectedSeq !== undefined && expectedSeq !== lastSeq) throw staleSeq(sessionId, expectedSeq, lastSeq)
    if (messages.some(({ id }) => entry.ids.has(id))) throw messageTaken(sessionId)
    messages.forEach((message, i) => push(entry, { ...message, seq: lastSeq + 1 + i }))
    touch(entry, now, { lastSeq: lastSeq + messages.length })
    return entry.session.lastSeq
  }

  async readMessages(workspace: string, sessionId: string, query: MessageRecordQuery): Promise<MessageRecord[]> {
    return selectMessages(this.#entry(workspace, sessionId)?.messages ?? [], query)
  }

  async patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    { now }: { readonly now: number },
  ): Promise<MessageRecord | undefined> {
    const entry = this.#entry(workspace, sessionId)
    const at = entry?.ids.has(id) === true ? entry.messages.findIndex((message) => message.id === id) : -1
    if (entry === undefined || at < 0) return undefined
    const patched = Object.freeze({ ...entry.messages[at]!, ...patch })
    entry.messages[at] = patched
    touch(entry, now, {})
    return patched
  }

  async deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    { now }: { readonly now: number },
  ): Promise<number> {
    const entry = this.#entry(workspace, sessionId)
    if (entry === undefined) return 0
    const ids = selection.ids && new Set(selection.ids)
    const goes = ({ id, seq }: MessageRecord): boolean => (ids?.has(id) ?? true) && seq > (selection.afterSeq ?? 0)
    const kept = entry.messages.filter((message) => !goes(message))
    const deleted = entry.messages.length - kept.length
    if (deleted === 0) return 0
    entry.messages = kept
    entry.ids = new Set(kept.map(({ id }) => id))
    touch(entry, now, {})
    return deleted
  }

  async restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): Promise<void> {
    this.#insert(workspace, session, messages)
  }

  async search(
    workspace: string,
    { terms, userId, sessionId, limit }: MessageRecordSearch,
  ): Promise<{ sessionId: string; message: MessageRecord }[]> {
    return [...this.#sessions(workspace).values()]
      .filter(({ session }) => (userId ?? session.userId) === session.userId && (sessionId ?? session.id) === session.id)
      .flatMap(({ session, messages }) =>
        messages.filter((message) => matchesTerms(message, terms)).map((message) => ({ sessionId: session.id, message })),
      )
      .toSorted(newestFirst)
      .slice(0, limit)
  }

  async listWorkspaces(query: WorkspaceRecordQuery): Promise<string[]> {
    return selectNames(this.#workspaces.keys(), query, (name) => this.#sessions(name).size > 0)
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.#workspaces.clear()
  }

  #sessions(workspace: string): Map<string, Entry> {
    return this.#workspaces.get(workspace) ?? new Map<string, Entry>()
  }

  #entry(workspace: string, id: string): Entry | undefined {
    return this.#workspaces.get(workspace)?.get(id)
  }

  #insert(workspace: string, session: SessionRecord, messages: readonly MessageRecord[]): void {
    if (this.#entry(workspace, session.id) !== undefined) throw sessionTaken(session.id)
    const entry: Entry = { session: Object.freeze({ ...session }), messages: [], ids: new Set() }
    for (const message of messages) push(entry, message)
    if (!this.#workspaces.has(workspace)) this.#workspaces.set(workspace, new Map())
    this.#workspaces.get(workspace)!.set(session.id, entry)
  }
}

function push(entry: Entry, message: MessageRecord): void {
  entry.messages.push(Object.freeze({ ...message }))
  entry.ids.add(message.id)
}

function touch(entry: Entry, now: number, change: Partial<SessionRecord>): void {
  entry.session = Object.freeze({ ...entry.session, ...change, updatedAt: Math.max(entry.session.updatedAt, now) })
}
