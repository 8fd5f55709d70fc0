/** Ways to break a conversation backend, or a store where it would mend what a backend breaks. */
import type {
  ConversationBackend,
  MessageRecord,
  MessageRecordSearch,
  SessionRecord,
  SessionRecordQuery,
} from '../../../src/conversation/contract.ts'
import type { ConversationStore } from '../../../src/conversation/store.ts'
import type { JsonValue } from '../../../src/store/contract.ts'

export interface BrokenConversation {
  readonly name: string
  /** The id of the case that is meant to fail. */
  readonly caughtBy: string
  /** Breaks a backend that is whole. */
  readonly breaks?: (backend: ConversationBackend) => ConversationBackend
  /** Breaks a store that is whole, where the store would mend what a backend breaks. */
  readonly breaksStore?: (store: ConversationStore) => ConversationStore
}

/** What replaces members of a backend; an optional one can also be taken away. */
export type Overrides = { readonly [M in keyof ConversationBackend]?: ConversationBackend[M] | undefined }

/** The backend with some members replaced. */
export function replacing(backend: ConversationBackend, overrides: Overrides): ConversationBackend {
  return proxied(backend, overrides)
}

/** The store, and every workspace view of it, with some methods replaced. */
export function replacingInStore(
  store: ConversationStore,
  overrides: (store: ConversationStore) => Partial<ConversationStore>,
): ConversationStore {
  return proxied(store, { workspace: (id) => replacingInStore(store.workspace(id), overrides), ...overrides(store) })
}

/** A proxy rather than a copy: the members of a class are not its own, and its private ones need the object itself. */
export function proxied<T extends object>(target: T, overrides: { readonly [M in keyof T]?: T[M] | undefined }): T {
  return new Proxy(target, {
    get(_, property) {
      const source: object = Object.hasOwn(overrides, property) ? overrides : target
      const member: unknown = Reflect.get(source, property, source)
      return typeof member === 'function' ? (member.bind(source) as unknown) : member
    },
  })
}

export type Append = Parameters<ConversationBackend['append']>

export type Patch = Parameters<ConversationBackend['patchSession']>

/** Writes what `change` makes of a session and its messages. In memory both steps happen without a gap between them. */
export async function rewrite(
  backend: ConversationBackend,
  workspace: string,
  id: string,
  change: (session: SessionRecord, messages: MessageRecord[]) => { session: SessionRecord; messages: MessageRecord[] },
): Promise<void> {
  const session = await backend.getSession(workspace, id)
  if (session === undefined) return
  const changed = change(session, await backend.readMessages(workspace, id, { order: 'asc' }))
  const removing = backend.deleteSession(workspace, id, {})
  await Promise.all([removing, backend.restore(workspace, changed.session, changed.messages)])
}

/** Passes every session, user and agent id through `fold`, as a column or file system that folds them would. */
export function foldingIds(fold: (id: string) => string): (backend: ConversationBackend) => ConversationBackend {
  const folded = (session: SessionRecord): SessionRecord => ({ ...session, id: fold(session.id) })
  return (b) =>
    replacing(b, {
      createSession: (w, session) => b.createSession(w, folded(session)),
      getSession: (w, id) => b.getSession(w, fold(id)),
      patchSession: (w, id, ...rest) => b.patchSession(w, fold(id), ...rest),
      deleteSession: (w, id, ...rest) => b.deleteSession(w, fold(id), ...rest),
      append: (w, id, ...rest) => b.append(w, fold(id), ...rest),
      readMessages: (w, id, ...rest) => b.readMessages(w, fold(id), ...rest),
      patchMessage: (w, id, ...rest) => b.patchMessage(w, fold(id), ...rest),
      deleteMessages: (w, id, ...rest) => b.deleteMessages(w, fold(id), ...rest),
      restore: (w, session, messages) => b.restore(w, folded(session), messages),
    })
}

/** Passes every workspace through `fold`. */
export function foldingWorkspaces(fold: (workspace: string) => string): (backend: ConversationBackend) => ConversationBackend {
  return (b) =>
    replacing(b, {
      createSession: (w, ...rest) => b.createSession(fold(w), ...rest),
      getSession: (w, ...rest) => b.getSession(fold(w), ...rest),
      patchSession: (w, ...rest) => b.patchSession(fold(w), ...rest),
      deleteSession: (w, ...rest) => b.deleteSession(fold(w), ...rest),
      listSessions: (w, ...rest) => b.listSessions(fold(w), ...rest),
      append: (w, ...rest) => b.append(fold(w), ...rest),
      readMessages: (w, ...rest) => b.readMessages(fold(w), ...rest),
      patchMessage: (w, ...rest) => b.patchMessage(fold(w), ...rest),
      deleteMessages: (w, ...rest) => b.deleteMessages(fold(w), ...rest),
      restore: (w, ...rest) => b.restore(fold(w), ...rest),
      search: (w, ...rest) => b.search!(fold(w), ...rest),
    })
}

/** Passes the messages of every append through `change`. */
export function appending(
  change: (message: MessageRecord) => MessageRecord,
): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { append: (w, id, messages, ...rest) => b.append(w, id, messages.map(change), ...rest) })
}

/** Passes the JSON of every new session, and of every appended message, through `change`. */
export function storingJson(change: (value: JsonValue) => JsonValue): (backend: ConversationBackend) => ConversationBackend {
  const text = (json: string): string => JSON.stringify(change(JSON.parse(json) as JsonValue))
  const session = (record: SessionRecord) => ({ ...record, state: text(record.state), metadata: text(record.metadata) })
  const optional = (json: string | null): string | null => (json === null ? null : text(json))
  const message = (record: MessageRecord) => ({
    ...record,
    parts: optional(record.parts),
    toolCalls: optional(record.toolCalls),
    metadata: optional(record.metadata),
  })
  return (b) =>
    replacing(b, {
      createSession: (w, record) => b.createSession(w, session(record)),
      append: (w, id, messages, ...rest) => b.append(w, id, messages.map(message), ...rest),
    })
}

type Listing = (b: ConversationBackend, w: string, query: SessionRecordQuery) => Promise<SessionRecord[]>

export function listing(list: Listing): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { listSessions: (w, query) => list(b, w, query) })
}

/** Every session of the workspace that the query's position and order admit. */
export function everySession(b: ConversationBackend, w: string, { order, after }: SessionRecordQuery): Promise<SessionRecord[]> {
  return b.listSessions(w, { order, after, limit: 1_000_000 })
}

type Search = (
  b: ConversationBackend,
  w: string,
  search: MessageRecordSearch,
) => ReturnType<NonNullable<ConversationBackend['search']>>

export function searching(search: Search): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { search: (w, query) => search(b, w, query) })
}
