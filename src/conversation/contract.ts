/** The conversation contract: what callers of a store see, and what a backend implements. */
import type { BackendBase, BackendCall, JsonObject, JsonObjectInput, JsonValue, WorkspaceRecordQuery } from '../store/contract.ts'

// ── What callers see ────────────────────────────────────────────────────────────────────────────────────────────────

export interface Session {
  id: string
  userId?: string
  agentId?: string
  name?: string
  state: JsonObject
  metadata: JsonObject
  /** Sequence number of the newest message ever appended; 0 before the first. Deleting messages does not lower it. */
  lastSeq: number
  /** Counts the session's own changes, from 1; appending messages does not move it. */
  version: number
  createdAt: Date
  /** Moves with every change and every append, never backwards. */
  updatedAt: Date
}

/** Roles that model APIs know; others, up to 64 bytes, are kept as they are. */
export type Role = 'system' | 'user' | 'assistant' | 'tool' | (string & {})

export interface Message {
  id: string
  sessionId: string
  /** 1, 2, 3 … in the session: consecutive as appended, never tied, never reused. */
  seq: number
  role: Role
  content: string | null
  /** Structured parts (text, reasoning, file, tool calls …); unknown kinds are kept untouched. */
  parts?: JsonValue[]
  toolCalls?: JsonValue[]
  /** On a tool result: the id of the call that it answers. An id like others: 1–512 bytes of plain text. */
  toolCallId?: string
  metadata?: JsonObject
  createdAt: Date
}

export interface NewSession {
  /** Default: a new UUID. */
  readonly id?: string | undefined
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  /** Up to 4,096 bytes. */
  readonly name?: string | undefined
  readonly state?: JsonObjectInput | undefined
  readonly metadata?: JsonObjectInput | undefined
}

/** Fields left out (or `undefined`) stay as they are; `null` removes an optional field. `state` and `metadata` are replaced whole. */
export interface SessionPatch {
  readonly userId?: string | null | undefined
  readonly agentId?: string | null | undefined
  readonly name?: string | null | undefined
  readonly state?: JsonObjectInput | undefined
  readonly metadata?: JsonObjectInput | undefined
}

export interface NewMessage {
  /** Default: a new UUID. Unique in the session: taken there, or twice in one append, is a `CONFLICT`. */
  readonly id?: string | undefined
  readonly role: Role
  /** Default null. */
  readonly content?: string | null | undefined
  readonly parts?: readonly unknown[] | undefined
  readonly toolCalls?: readonly unknown[] | undefined
  readonly toolCallId?: string | undefined
  readonly metadata?: JsonObjectInput | undefined
  /** Default: now. For the reader only; order comes from `seq`. */
  readonly createdAt?: Date | undefined
}

/** Fields left out stay; `null` removes an optional field (and is a value of `content`). `id`, `seq` and `createdAt` never change. */
export interface MessagePatch {
  readonly role?: Role | undefined
  readonly content?: string | null | undefined
  readonly parts?: readonly unknown[] | null | undefined
  readonly toolCalls?: readonly unknown[] | null | undefined
  readonly toolCallId?: string | null | undefined
  readonly metadata?: JsonObjectInput | null | undefined
}

export interface SessionQuery {
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  /** Each named top-level field of the session's metadata equals this string, finite number, boolean or null. */
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>> | undefined
  /** 1–1,000, default 100. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  /** By `updatedAt`, ties by id bytewise, both in this direction. Default `desc`: newest first. */
  readonly order?: 'asc' | 'desc' | undefined
}

export interface MessageQuery {
  /** At most this many, from 1. Default: all. */
  readonly limit?: number | undefined
  /** Only messages whose seq is smaller. */
  readonly before?: number | undefined
  /** Only messages whose seq is greater. */
  readonly after?: number | undefined
  /**
   * How the result is arranged, default `asc` (oldest first). Which messages a `limit` picks does not depend on it: with `after` the
   * first ones behind it, otherwise the newest.
   */
  readonly order?: 'asc' | 'desc' | undefined
}

export interface MessageSearch {
  /** Every whitespace-separated term must occur, case-insensitively, in the content or the text parts. At least one term. */
  readonly text: string
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  /** 1–1,000, default 20. */
  readonly limit?: number | undefined
}

export interface ConversationCapabilities {
  /** `searchMessages` works. */
  readonly search: boolean
}

// ── What a backend implements ───────────────────────────────────────────────────────────────────────────────────────
// Every string in a record is well-formed text without U+0000, times are integer milliseconds, JSON is text that must come
// back byte for byte. The store has checked all arguments; a backend validates nothing and keeps no reference to them.

export interface SessionRecord {
  readonly id: string
  readonly userId: string | null
  readonly agentId: string | null
  /** Up to 6,144 bytes: 4,096 of a caller's, which are more once they are encrypted. */
  readonly name: string | null
  /** JSON object text. */
  readonly state: string
  /** JSON object text. */
  readonly metadata: string
  readonly lastSeq: number
  readonly version: number
  readonly createdAt: number
  readonly updatedAt: number
}

export interface MessageRecord {
  readonly id: string
  readonly seq: number
  readonly role: string
  /** The content, or, where `escaped`, a JSON string literal of it. */
  readonly content: string | null
  readonly escaped: boolean
  /** JSON array text. */
  readonly parts: string | null
  /** JSON array text. */
  readonly toolCalls: string | null
  readonly toolCallId: string | null
  /** JSON object text. */
  readonly metadata: string | null
  readonly createdAt: number
}

export interface SessionRecordPatch {
  readonly userId?: string | null
  readonly agentId?: string | null
  readonly name?: string | null
  readonly state?: string
  readonly metadata?: string
}

export interface MessageRecordPatch {
  readonly role?: string
  /** Present together with `escaped`. */
  readonly content?: string | null
  readonly escaped?: boolean
  readonly parts?: string | null
  readonly toolCalls?: string | null
  readonly toolCallId?: string | null
  readonly metadata?: string | null
}

export interface SessionRecordQuery {
  readonly userId?: string | undefined
  readonly agentId?: string | undefined
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>> | undefined
  readonly order: 'asc' | 'desc'
  readonly limit: number
  /** Continue behind this position in the order `(updatedAt, id)`. */
  readonly after?: { readonly updatedAt: number; readonly id: string } | undefined
}

export interface MessageRecordQuery {
  readonly after?: number | undefined
  readonly before?: number | undefined
  /** By seq. */
  readonly order: 'asc' | 'desc'
  readonly limit?: number | undefined
  /** Only messages with these ids. */
  readonly ids?: readonly string[] | undefined
}

export interface MessageSelection {
  /** Only these ids; left out: all. Never empty. */
  readonly ids?: readonly string[]
  /** Only messages whose seq is greater. */
  readonly afterSeq?: number
}

/** Lower-cased terms, each non-empty and without white space; a message matches when every one is a substring of its `searchText`. */
export interface MessageRecordSearch {
  readonly terms: readonly string[]
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  readonly limit: number
}

/**
 * `workspace` is part of every key. Each method is atomic: all of it happens or none. One that waits for another writer may come before or
 * after it: `deleteMessages` leaves what was appended while it waited.
 */
export interface ConversationBackend extends BackendBase {
  readonly capabilities: ConversationCapabilities
  /** Id taken in the workspace: `CONFLICT`. */
  createSession(workspace: string, session: SessionRecord, call?: BackendCall): Promise<void>
  getSession(workspace: string, id: string, call?: BackendCall): Promise<SessionRecord | undefined>
  /**
   * Applies the patch, adds 1 to `version`, sets `updatedAt` to the greater of itself and `now`, and returns the result. Unknown id:
   * undefined. `ifVersion` differs from the stored version: `CONFLICT`.
   */
  patchSession(
    workspace: string,
    id: string,
    patch: SessionRecordPatch,
    options: { readonly now: number; readonly ifVersion?: number | undefined },
    call?: BackendCall,
  ): Promise<SessionRecord | undefined>
  /**
   * Deletes the session and its messages; the number of messages that went with it, or undefined when there is no such session, or
   * when `updatedBefore` is given and the session is not older.
   */
  deleteSession(
    workspace: string,
    id: string,
    options: { readonly updatedBefore?: number | undefined },
    call?: BackendCall,
  ): Promise<number | undefined>
  listSessions(workspace: string, query: SessionRecordQuery, call?: BackendCall): Promise<SessionRecord[]>
  /**
   * Appends in the given order; `seq` of the records is not set yet. Assigns `lastSeq + 1 …`, moves the session's `lastSeq`, sets its
   * `updatedAt` to the greater of itself and `now`, and returns the new `lastSeq`. Unknown session: `NOT_FOUND`. An id taken in the
   * session, or `expectedSeq` differs from `lastSeq`: `CONFLICT`.
   */
  append(
    workspace: string,
    sessionId: string,
    messages: readonly MessageRecord[],
    options: { readonly now: number; readonly expectedSeq?: number | undefined },
    call?: BackendCall,
  ): Promise<number>
  readMessages(workspace: string, sessionId: string, query: MessageRecordQuery, call?: BackendCall): Promise<MessageRecord[]>
  /**
   * Sets the named fields and leaves the others, so that concurrent patches of different fields all survive. Returns the patched message
   * and sets the session's `updatedAt`; undefined when there is no such message.
   */
  patchMessage(
    workspace: string,
    sessionId: string,
    id: string,
    patch: MessageRecordPatch,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<MessageRecord | undefined>
  /** The number deleted; 0 when there is no such session. `lastSeq` stays; `updatedAt` moves when something was deleted. */
  deleteMessages(
    workspace: string,
    sessionId: string,
    selection: MessageSelection,
    options: { readonly now: number },
    call?: BackendCall,
  ): Promise<number>
  /** Writes a session and its messages exactly as given, `seq` and times included. Id taken: `CONFLICT`. */
  restore(workspace: string, session: SessionRecord, messages: readonly MessageRecord[], call?: BackendCall): Promise<void>
  /** The workspaces that hold a session, once each, in bytewise order. A backend that would have to read everything for it leaves it out. */
  listWorkspaces?(query: WorkspaceRecordQuery, call?: BackendCall): Promise<string[]>
  /** Newest message first: by `createdAt`, then seq. Only where `capabilities.search`. */
  search?(
    workspace: string,
    search: MessageRecordSearch,
    call?: BackendCall,
  ): Promise<{ readonly sessionId: string; readonly message: MessageRecord }[]>
}
