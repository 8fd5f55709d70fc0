/**
 * Conversations as plain text: a JSON Lines file a session, and one that lists them. Changes are appended; deletions, and what has gathered
 * much that later lines replace, write the file anew.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { filesOptions, folderLocation, type FilesOptions } from '../../engines/files-options.ts'
import { Folder, type FolderView } from '../../engines/files.ts'
import type { BackendCall, WorkspaceRecordQuery } from '../../store/contract.ts'
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
import { messageTaken, sessionMissing, staleSeq, staleVersion } from '../faults.ts'
import { matchesTerms, newestFirst } from '../search.ts'
import { selectMessages, selectSessions } from '../selection.ts'
import { SessionFiles } from '../session-files.ts'

export type JsonConversationOptions = FilesOptions

export const capabilities: ConversationCapabilities = { search: true }

/** A line escapes what it holds, up to sixfold, and must fit in a string of Node's. */
const LIMITS = { contentBytes: 64_000_000, jsonBytes: 32_000_000 } as const
const DEFAULT_PATH = join('.holdfast', 'conversations')
const BACKUP_NAME = 'conversations'
/** A search stops for the event loop, and for others, after this long. */
const SEARCH_TURN_MS = 10

export const create = defineBackend<JsonConversationOptions, ConversationBackend>(filesOptions(DEFAULT_PATH), async (options) => {
  const location = folderLocation(options, DEFAULT_PATH)
  const sessions = new SessionFiles(location)
  const folder = await Folder.open(location, options, sessions)
  try {
    await folder.write((files) => sessions.reconcile(files))
    return new JsonConversation(folder, sessions)
  } catch (error) {
    await folder.close()
    throw error
  }
})

type Hit = { readonly sessionId: string; readonly message: MessageRecord }

class JsonConversation implements ConversationBackend {
  readonly capabilities = capabilities
  readonly limits = LIMITS
  readonly #folder: Folder
  readonly #sessions: SessionFiles

  constructor(folder: Folder, sessions: SessionFiles) {
    this.#folder = folder
    this.#sessions = sessions
  }

  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void> {
    return this.#folder.write((files) => this.#sessions.insert(files, workspace, session, []), call)
  }

  getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined> {
    return this.#folder.read((files) => this.#sessions.get(files, workspace, id)?.session, call)
  }

  patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    { now, ifVersion }: { readonly now: number; readonly ifVersion?: number | undefined },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined> {
    return this.#folder.write((files) => {
      const opened = this.#sessions.open(files, workspace, id)
      if (opened === undefined) return undefined
      const { version } = opened.session
      if (ifVersion !== undefined && ifVersion !== version) throw staleVersion(id, ifVersion, version)
      const session = { ...touched(opened.session, now), ...patch, version: version + 1 }
      this.#sessions.append(files, opened, { session }, session)
      return session
    }, call)
  }

  deleteSession(
    workspace: string,
    id: string,
    { updatedBefore = Infinity }: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined> {
    return this.#folder.write((files) => {
      const listed = this.#sessions.get(files, workspace, id)
      if (listed === undefined || listed.session.updatedAt >= updatedBefore) return undefined
      this.#sessions.remove(files, workspace, id)
      return listed.count
    }, call)
  }

  listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]> {
    return this.#folder.read((files) => {
      const sessions = this.#sessions.list(files, workspace).map(({ session }) => session)
      return selectSessions(sessions, query)
    }, call)
  }

  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    { now, expectedSeq }: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number> {
    return this.#folder.write((files) => {
      const opened = this.#sessions.open(files, workspace, sessionId)
      if (opened === undefined) throw sessionMissing(sessionId)
      const { session, transcript } = opened
      const { lastSeq } = session
      if (expectedSeq !== undefined && expectedSeq !== lastSeq) throw staleSeq(sessionId, expectedSeq, lastSeq)
      if (messages.some(({ id }) => transcript.ids.has(id))) throw messageTaken(sessionId)
      const stored = messages.map((message, i) => ({ ...message, seq: lastSeq + 1 + i }))
      const moved = { ...touched(session, now), lastSeq: lastSeq + stored.length }
      this.#sessions.append(files, opened, { messages: stored, updatedAt: now }, moved)
      return moved.lastSeq
    }, call)
  }

  readMessages(workspace: string, sessionId: string, query: MessageRecordQuery, call?: BackendCall): Promise<MessageRecord[]> {
    return this.#folder.read((files) => {
      if (this.#sessions.get(files, workspace, sessionId) === undefined) return []
      return selectMessages(this.#sessions.transcript(files, workspace, sessionId).messages, query)
    }, call)
  }

  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    { now }: { readonly now: number },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined> {
    return this.#folder.write((files) => {
      const opened = this.#sessions.open(files, workspace, sessionId)
      const found = opened?.transcript.find(id)
      if (opened === undefined || found === undefined) return undefined
      const message = { ...found, ...patch }
      this.#sessions.append(files, opened, { message, updatedAt: now }, touched(opened.session, now))
      return message
    }, call)
  }

  deleteMessages(
    workspace: string,
    sessionId: string,
    { ids, afterSeq = 0 }: MessageSelection,
    { now }: { readonly now: number },
    call?: BackendCall,
  ): Promise<number> {
    return this.#folder.write((files) => {
      const opened = this.#sessions.open(files, workspace, sessionId)
      if (opened === undefined) return 0
      const unwanted = ids && new Set(ids)
      const { messages } = opened.transcript
      const kept = messages.filter(({ id, seq }) => seq <= afterSeq || unwanted?.has(id) === false)
      // What is deleted leaves the disk with it, so it is not a line that says so.
      if (kept.length < messages.length) this.#sessions.rewrite(files, workspace, touched(opened.session, now), kept)
      return messages.length - kept.length
    }, call)
  }

  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void> {
    return this.#folder.write((files) => this.#sessions.insert(files, workspace, session, messages), call)
  }

  listWorkspaces(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]> {
    return this.#folder.read((files) => selectNames(this.#sessions.workspaces(files), query, () => true), call)
  }

  async search(workspace: string, { terms, userId, sessionId, limit }: MessageRecordSearch, call?: BackendCall): Promise<Hit[]> {
    const wanted = ({ id, userId: user }: SessionRecord): boolean => (sessionId ?? id) === id && (userId ?? user) === user
    const listed = await this.#folder.read((files) => this.#sessions.list(files, workspace), call)
    const ids = listed.filter(({ session }) => wanted(session)).map(({ session }) => session.id)
    const hits: Hit[] = []
    while (ids.length > 0) {
      await this.#folder.read((files) => this.#searchSome(files, workspace, ids, terms, hits), call)
      await nextTurn()
      call?.signal?.throwIfAborted()
    }
    return hits.toSorted(newestFirst).slice(0, limit)
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#folder.read(() => undefined, call)
  }

  async backup(directory: string, call?: BackendCall): Promise<string[]> {
    return (await this.#folder.copyTo(join(directory, BACKUP_NAME), call)).map((file) => join(BACKUP_NAME, file))
  }

  /** Sessions that were deleted leave the index too. */
  async close(): Promise<void> {
    try {
      if (this.#sessions.hasRemoved) await this.#folder.write((files) => this.#sessions.forget(files))
    } finally {
      await this.#folder.close()
    }
  }

  #searchSome(files: FolderView, workspace: string, ids: string[], terms: readonly string[], hits: Hit[]): void {
    const until = performance.now() + SEARCH_TURN_MS
    while (ids.length > 0 && performance.now() < until) {
      const sessionId = ids.pop()!
      // It may be gone since the search began.
      if (this.#sessions.get(files, workspace, sessionId) === undefined) continue
      const { messages } = this.#sessions.peek(files, workspace, sessionId)
      for (const message of messages) if (matchesTerms(message, terms)) hits.push({ sessionId, message })
    }
  }
}

function touched(session: SessionRecord, now: number): SessionRecord {
  return { ...session, updatedAt: Math.max(session.updatedAt, now) }
}
