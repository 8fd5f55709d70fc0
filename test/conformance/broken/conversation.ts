/** Conversation backends that break one promise each, and the case that is meant to notice. */
import { setImmediate } from 'node:timers/promises'
import type {
  ConversationBackend,
  MessageRecord,
  MessageRecordPatch,
  MessageRecordSearch,
  SessionRecord,
  SessionRecordQuery,
} from '../../../src/conversation/contract.ts'
import type { ConversationStore } from '../../../src/conversation/store.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import type { JsonObject, JsonValue } from '../../../src/store/contract.ts'

export interface BrokenConversation {
  readonly name: string
  /** The id of the case that is meant to fail. */
  readonly caughtBy: string
  /** Breaks a backend that is whole. */
  readonly breaks?: (backend: ConversationBackend) => ConversationBackend
  /** Breaks a store that is whole, where the store would mend what a backend breaks. */
  readonly breaksStore?: (store: ConversationStore) => ConversationStore
}

type Overrides = Partial<ConversationBackend>

/** The backend with some methods replaced. */
function replacing(backend: ConversationBackend, overrides: Overrides): ConversationBackend {
  return proxied(backend, overrides)
}

/** The store, and every workspace view of it, with some methods replaced. */
function replacingInStore(store: ConversationStore, overrides: (store: ConversationStore) => Partial<ConversationStore>): ConversationStore {
  return proxied(store, { workspace: (id) => replacingInStore(store.workspace(id), overrides), ...overrides(store) })
}

/** A proxy rather than a copy: the members of a class are not its own, and its private ones need the object itself. */
function proxied<T extends object>(target: T, overrides: Partial<T>): T {
  return new Proxy(target, {
    get(_, property) {
      const source: object = Object.hasOwn(overrides, property) ? overrides : target
      const member: unknown = Reflect.get(source, property, source)
      return typeof member === 'function' ? (member.bind(source) as unknown) : member
    },
  })
}

type Append = Parameters<ConversationBackend['append']>
type Patch = Parameters<ConversationBackend['patchSession']>

/** Writes what `change` makes of a session and its messages. In memory both steps happen without a gap between them. */
async function rewrite(
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
function foldingIds(fold: (id: string) => string): (backend: ConversationBackend) => ConversationBackend {
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
function foldingWorkspaces(fold: (workspace: string) => string): (backend: ConversationBackend) => ConversationBackend {
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
function appending(change: (message: MessageRecord) => MessageRecord): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { append: (w, id, messages, ...rest) => b.append(w, id, messages.map(change), ...rest) })
}

/** Passes the JSON of every new session, and of every appended message, through `change`. */
function storingJson(change: (value: JsonValue) => JsonValue): (backend: ConversationBackend) => ConversationBackend {
  const text = (json: string): string => JSON.stringify(change(JSON.parse(json) as JsonValue))
  const session = (record: SessionRecord) => ({ ...record, state: text(record.state), metadata: text(record.metadata) })
  const extra = (record: MessageRecord) => ({ ...record, extra: record.extra === null ? null : text(record.extra) })
  return (b) =>
    replacing(b, {
      createSession: (w, record) => b.createSession(w, session(record)),
      append: (w, id, messages, ...rest) => b.append(w, id, messages.map(extra), ...rest),
    })
}

function mapped(value: JsonValue, change: (object: JsonObject) => JsonObject): JsonValue {
  if (Array.isArray(value)) return value.map((item) => mapped(item, change))
  if (typeof value !== 'object' || value === null) return value
  return change(Object.fromEntries(Object.entries(value).map(([key, member]) => [key, mapped(member, change)])))
}

/** As PostgreSQL's JSONB does: shorter keys first. */
function sortedKeys(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => a.length - b.length || (a < b ? -1 : 1)))
}

function withoutEmpty(extra: JsonValue): JsonValue {
  const members = Object.entries(extra as JsonObject).filter(([, value]) => Object.keys(value as object).length > 0)
  return Object.fromEntries(members)
}

function withKnownParts(extra: JsonValue): JsonValue {
  const { parts, ...rest } = extra as { parts?: JsonValue[] }
  const isKnown = (part: JsonValue): boolean => ['text', 'file', 'reasoning'].includes(String((part as JsonObject | null)?.['type']))
  return { ...rest, ...(parts === undefined ? {} : { parts: parts.filter(isKnown) }) } as JsonValue
}

const messages: BrokenConversation[] = [
  {
    name: 'a limit gives the oldest messages',
    caughtBy: 'conversation/messages/newest',
    breaks: (b) =>
      replacing(b, {
        readMessages: async (w, id, query) =>
          query.order === 'desc' && query.limit !== undefined
            ? (await b.readMessages(w, id, { ...query, order: 'asc' })).toReversed()
            : b.readMessages(w, id, query),
      }),
  },
  {
    name: 'an empty list deletes everything',
    caughtBy: 'conversation/messages/delete-empty-list',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({
        deleteMessages: (id, ids, options) => s.deleteMessages(id, ids?.length === 0 ? undefined : ids, options),
      })),
  },
  {
    name: 'messages are ordered by their time',
    caughtBy: 'conversation/append/order-not-time',
    breaks: (b) =>
      replacing(b, {
        readMessages: async (w, id, query) => (await b.readMessages(w, id, query)).toSorted((x, y) => x.createdAt - y.createdAt),
      }),
  },
  {
    name: 'a read stops after 100 rows',
    caughtBy: 'conversation/messages/all',
    breaks: (b) => replacing(b, { readMessages: async (...args) => (await b.readMessages(...args)).slice(0, 100) }),
  },
  {
    name: 'before is inclusive',
    caughtBy: 'conversation/messages/queries',
    breaks: (b) =>
      replacing(b, {
        readMessages: (w, id, query) =>
          b.readMessages(w, id, query.before === undefined ? query : { ...query, before: query.before + 1 }),
      }),
  },
  {
    name: 'iteration ends with the first page',
    caughtBy: 'conversation/messages/iterate',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({
        async *iterateMessages(id, query) {
          yield* await s.getMessages(id, { ...query, after: query?.after ?? 0, limit: 500 })
        },
      })),
  },
  {
    name: 'a message patch replaces what it does not name',
    caughtBy: 'conversation/messages/update-keeps-others',
    breaks: (b) =>
      replacing(b, {
        patchMessage: (w, id, messageId, patch: MessageRecordPatch, ...rest) =>
          b.patchMessage(w, id, messageId, { extra: null, ...patch }, ...rest),
      }),
  },
  {
    name: 'a deletion counts what was asked for',
    caughtBy: 'conversation/messages/delete-ids',
    breaks: (b) =>
      replacing(b, {
        deleteMessages: async (w, id, selection, ...rest) => {
          const deleted = await b.deleteMessages(w, id, selection, ...rest)
          return selection.ids?.length ?? deleted
        },
      }),
  },
  {
    name: 'a deletion takes 999 ids and drops the rest',
    caughtBy: 'conversation/messages/delete-many-ids',
    breaks: (b) =>
      replacing(b, {
        deleteMessages: (w, id, selection, ...rest) =>
          b.deleteMessages(w, id, selection.ids === undefined ? selection : { ids: selection.ids.slice(-999) }, ...rest),
      }),
  },
  {
    name: 'truncate deletes the bound as well',
    caughtBy: 'conversation/messages/truncate',
    breaks: (b) =>
      replacing(b, {
        deleteMessages: (w, id, { ids, afterSeq }, ...rest) =>
          b.deleteMessages(w, id, { ...(ids && { ids }), ...(afterSeq === undefined ? {} : { afterSeq: afterSeq - 1 }) }, ...rest),
      }),
  },
]

const appends: BrokenConversation[] = [
  {
    name: 'concurrent appends overwrite each other',
    caughtBy: 'conversation/append/concurrent',
    breaks: (b) =>
      replacing(b, {
        async append(...[w, id, records, options]: Append) {
          const session = await b.getSession(w, id)
          const stored = await b.readMessages(w, id, { order: 'asc' })
          if (session === undefined || stored.some((it) => records.some((record) => record.id === it.id))) {
            return b.append(w, id, records, options)
          }
          await setImmediate()
          const lastSeq = session.lastSeq + records.length
          const added = records.map((record, i) => ({ ...record, seq: session.lastSeq + 1 + i }))
          const written = { ...session, lastSeq, updatedAt: Math.max(session.updatedAt, options.now) }
          const removing = b.deleteSession(w, id, {})
          await Promise.all([removing, b.restore(w, written, [...stored, ...added])])
          return lastSeq
        },
      }),
  },
  {
    name: 'a batch is appended message by message',
    caughtBy: 'conversation/append/atomic',
    breaks: (b) =>
      replacing(b, {
        async append(w, id, records, { now, expectedSeq }) {
          let last = expectedSeq
          for (const record of records) last = await b.append(w, id, [record], { now, expectedSeq: last })
          return last!
        },
      }),
  },
  {
    name: 'batches appended at once are torn',
    caughtBy: 'conversation/append/concurrent-batches',
    breaks: (b) =>
      replacing(b, {
        async append(w, id, records, { now, expectedSeq }) {
          const first = await b.append(w, id, records.slice(0, 1), { now, expectedSeq })
          if (records.length === 1) return first
          await setImmediate()
          return b.append(w, id, records.slice(1), { now })
        },
      }),
  },
  {
    name: 'a seq is used again after a deletion',
    caughtBy: 'conversation/append/not-reused',
    breaks: (b) =>
      replacing(b, {
        async deleteMessages(w, id, ...rest) {
          const deleted = await b.deleteMessages(w, id, ...rest)
          await rewrite(b, w, id, (session, kept) => ({ session: { ...session, lastSeq: kept.at(-1)?.seq ?? 0 }, messages: kept }))
          return deleted
        },
      }),
  },
  {
    name: 'expectedSeq is ignored',
    caughtBy: 'conversation/append/expected-seq-2-of-3',
    breaks: (b) => replacing(b, { append: (w, id, records, { now }) => b.append(w, id, records, { now }) }),
  },
  {
    name: 'an append counts as a change of the session',
    caughtBy: 'conversation/append/moves-last-seq',
    breaks: (b) =>
      replacing(b, {
        async append(w, id, ...rest) {
          const last = await b.append(w, id, ...rest)
          await rewrite(b, w, id, (session, all) => ({ session: { ...session, version: session.version + 1 }, messages: all }))
          return last
        },
      }),
  },
  {
    name: 'a message whose id is taken is dropped in silence',
    caughtBy: 'conversation/append/id-taken',
    breaks: (b) =>
      replacing(b, {
        async append(w, id, records, options) {
          const ids = records.map((record) => record.id)
          const taken = new Set((await b.readMessages(w, id, { order: 'asc', ids })).map((message) => message.id))
          return b.append(w, id, records.filter((record) => !taken.has(record.id)), options)
        },
      }),
  },
]

const sessions: BrokenConversation[] = [
  {
    name: 'a patch drops the fields that it does not name',
    caughtBy: 'conversation/session/update-keeps-others',
    breaks: (b) =>
      replacing(b, {
        patchSession: (...[w, id, patch, ...rest]: Patch) => b.patchSession(w, id, { userId: null, agentId: null, ...patch }, ...rest),
      }),
  },
  {
    name: 'ifVersion is ignored',
    caughtBy: 'conversation/session/update-version',
    breaks: (b) => replacing(b, { patchSession: (...[w, id, patch, { now }]: Patch) => b.patchSession(w, id, patch, { now }) }),
  },
  {
    name: 'ifVersion is compared before the write, not with it',
    caughtBy: 'conversation/session/update-race',
    breaks: (b) =>
      replacing(b, {
        async patchSession(...[w, id, patch, options]: Patch) {
          const session = await b.getSession(w, id)
          if (options.ifVersion !== undefined && session?.version !== options.ifVersion) return b.patchSession(w, id, patch, options)
          return b.patchSession(w, id, patch, { now: options.now })
        },
      }),
  },
  {
    name: 'a session is patched from a copy read before',
    caughtBy: 'conversation/session/update-concurrent-fields',
    breaks: (b) =>
      replacing(b, {
        async patchSession(...[w, id, patch, options]: Patch) {
          const session = await b.getSession(w, id)
          if (session === undefined) return undefined
          await setImmediate()
          const { userId, agentId, name, state, metadata } = session
          return b.patchSession(w, id, { userId, agentId, name, state, metadata, ...patch }, options)
        },
      }),
  },
  {
    name: 'creating overwrites a session that exists',
    caughtBy: 'conversation/session/create-conflict',
    breaks: (b) =>
      replacing(b, {
        async createSession(w, session) {
          await b.deleteSession(w, session.id, {})
          await b.createSession(w, session)
        },
      }),
  },
  {
    name: 'an update creates what is missing',
    caughtBy: 'conversation/session/update-unknown',
    breaks: (b) =>
      replacing(b, {
        async patchSession(...[w, id, patch, options]: Patch) {
          const patched = await b.patchSession(w, id, patch, options)
          if (patched !== undefined) return patched
          const blank = { id, userId: null, agentId: null, name: null, state: '{}', metadata: '{}', lastSeq: 0, version: 1 }
          const created = { ...blank, ...patch, createdAt: options.now, updatedAt: options.now }
          await b.createSession(w, created)
          return created
        },
      }),
  },
  {
    name: 'the messages of a deleted session come back with its id',
    caughtBy: 'conversation/session/delete-and-recreate',
    breaks: (b) => {
      const orphans = new Map<string, MessageRecord[]>()
      return replacing(b, {
        async deleteSession(w, id, ...rest) {
          orphans.set(`${w} ${id}`, await b.readMessages(w, id, { order: 'asc' }))
          return b.deleteSession(w, id, ...rest)
        },
        createSession: (w, session) => b.restore(w, session, orphans.get(`${w} ${session.id}`) ?? []),
      })
    },
  },
  {
    name: 'updatedAt follows the clock backwards',
    caughtBy: 'conversation/session/updated-at-never-backwards',
    breaks: (b) =>
      replacing(b, {
        async append(w, id, records, options) {
          const last = await b.append(w, id, records, options)
          await rewrite(b, w, id, (session, all) => ({ session: { ...session, updatedAt: options.now }, messages: all }))
          return last
        },
      }),
  },
  {
    name: 'an append leaves updatedAt',
    caughtBy: 'conversation/session/updated-at-moves',
    breaks: (b) => replacing(b, { append: (w, id, records, options) => b.append(w, id, records, { ...options, now: 0 }) }),
  },
  {
    name: 'reading a session changes it',
    caughtBy: 'conversation/session/updated-at-stays',
    breaks: (b) =>
      replacing(b, {
        async deleteMessages(w, id, selection, options) {
          const deleted = await b.deleteMessages(w, id, selection, options)
          await rewrite(b, w, id, (session, all) => ({ session: { ...session, updatedAt: options.now }, messages: all }))
          return deleted
        },
      }),
  },
]

type Listing = (b: ConversationBackend, w: string, query: SessionRecordQuery) => Promise<SessionRecord[]>

function listing(list: Listing): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { listSessions: (w, query) => list(b, w, query) })
}

/** Every session of the workspace that the query's position and order admit. */
function everySession(b: ConversationBackend, w: string, { order, after }: SessionRecordQuery): Promise<SessionRecord[]> {
  return b.listSessions(w, { order, after, limit: 1_000_000 })
}

const lists: BrokenConversation[] = [
  {
    name: 'ties come in any order',
    caughtBy: 'conversation/list/ties',
    breaks: listing(async (b, w, query) => {
      const sign = query.order === 'asc' ? 1 : -1
      const weight = new Map((await b.listSessions(w, query)).map((session) => [session, Math.random()]))
      return [...weight.keys()].toSorted((x, y) => sign * (x.updatedAt - y.updatedAt) || weight.get(x)! - weight.get(y)!)
    }),
  },
  {
    name: 'ties are ordered as a locale would',
    caughtBy: 'conversation/list/ties',
    breaks: listing(async (b, w, query) => {
      const sign = query.order === 'asc' ? 1 : -1
      const found = await b.listSessions(w, query)
      return found.toSorted((x, y) => sign * (x.updatedAt - y.updatedAt || x.id.localeCompare(y.id)))
    }),
  },
  {
    name: 'a cursor skips what is tied with it',
    caughtBy: 'conversation/list/pages',
    breaks: listing((b, w, { after, ...query }) => {
      const id = query.order === 'asc' ? '\u{10FFFF}'.repeat(128) : ''
      return b.listSessions(w, { ...query, after: after && { updatedAt: after.updatedAt, id } })
    }),
  },
  {
    name: 'pages are counted, not positioned',
    caughtBy: 'conversation/list/pages-meanwhile',
    breaks: (b) => {
      let seen = 0
      return replacing(b, {
        async listSessions(w, { after, ...query }) {
          if (after === undefined) seen = 0
          const found = await b.listSessions(w, { ...query, limit: 1_000_000 })
          const page = found.slice(seen, seen + query.limit)
          seen += query.limit - 1
          return page
        },
      })
    },
  },
  {
    name: 'a listing ends with the first 50 rows of the engine',
    caughtBy: 'conversation/list/default-limit',
    breaks: listing((b, w, query) => b.listSessions(w, { ...query, limit: Math.min(query.limit, 50) })),
  },
  {
    name: 'filters apply after the limit',
    caughtBy: 'conversation/list/filter-before-limit',
    breaks: listing(async (b, w, { userId, agentId, metadata, ...query }) => {
      const page = new Set((await b.listSessions(w, query)).map(({ id }) => id))
      const matching = await b.listSessions(w, { ...query, userId, agentId, metadata, limit: 1_000_000 })
      return matching.filter(({ id }) => page.has(id))
    }),
  },
  {
    name: 'the metadata filter is dropped',
    caughtBy: 'conversation/list/by-metadata',
    breaks: listing((b, w, { metadata: _, ...query }) => b.listSessions(w, query)),
  },
  {
    name: 'a metadata filter compares text',
    caughtBy: 'conversation/list/metadata-types',
    breaks: listing(async (b, w, query) => {
      const { metadata = {}, limit } = query
      const matches = (session: SessionRecord): boolean => {
        const stored = JSON.parse(session.metadata) as JsonObject
        return Object.entries(metadata).every(([field, value]) => String(stored[field]) === String(value))
      }
      return (await everySession(b, w, query)).filter(matches).slice(0, limit)
    }),
  },
  {
    name: 'a metadata field name is a path',
    caughtBy: 'conversation/list/metadata-names',
    breaks: listing(async (b, w, query) => {
      const { metadata = {}, limit } = query
      const at = (value: JsonValue, path: string): unknown => path.split('.').reduce((it, key) => (it as JsonObject | undefined)?.[key] as JsonValue, value)
      const matches = (session: SessionRecord): boolean =>
        Object.entries(metadata).every(([field, value]) => at(JSON.parse(session.metadata) as JsonValue, field) === value)
      return (await everySession(b, w, query)).filter(matches).slice(0, limit)
    }),
  },
]

const histories: BrokenConversation[] = [
  {
    name: 'restore numbers messages anew',
    caughtBy: 'conversation/restore/exact',
    breaks: (b) =>
      replacing(b, { restore: (w, session, all) => b.restore(w, session, all.map((message, i) => ({ ...message, seq: i + 1 }))) }),
  },
  {
    name: 'restore takes the newest message for lastSeq',
    caughtBy: 'conversation/restore/goes-on',
    breaks: (b) =>
      replacing(b, { restore: (w, session, all) => b.restore(w, { ...session, lastSeq: all.at(-1)?.seq ?? 0 }, all) }),
  },
  {
    name: 'restore replaces a session that exists',
    caughtBy: 'conversation/restore/conflict',
    breaks: (b) =>
      replacing(b, {
        async restore(w, session, all) {
          await b.deleteSession(w, session.id, {})
          await b.restore(w, session, all)
        },
      }),
  },
  {
    name: 'times are kept in seconds',
    caughtBy: 'conversation/restore/exact',
    breaks: (b) =>
      replacing(b, {
        restore: (w, session, all) =>
          b.restore(w, session, all.map((message) => ({ ...message, createdAt: Math.floor(message.createdAt / 1000) * 1000 }))),
      }),
  },
  {
    name: 'an export loses state',
    caughtBy: 'conversation/restore/round-trip',
    breaks: (b) => replacing(b, { restore: (w, session, all) => b.restore(w, { ...session, state: '{}' }, all) }),
  },
  {
    name: 'a fork ignores atSeq',
    caughtBy: 'conversation/fork/at-seq',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({ forkSession: (id, options = {}) => s.forkSession(id, { ...options, atSeq: undefined }) })),
  },
  {
    name: 'pruning ignores the user',
    caughtBy: 'conversation/prune/by-user',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({ pruneSessions: (query) => s.pruneSessions({ ...query, userId: undefined }) })),
  },
  {
    name: 'pruning stops after a page',
    caughtBy: 'conversation/prune/many',
    breaks: listing((b, w, query) => (query.order === 'asc' && query.after ? Promise.resolve([]) : b.listSessions(w, query))),
  },
]

type Search = (b: ConversationBackend, w: string, search: MessageRecordSearch) => ReturnType<NonNullable<ConversationBackend['search']>>

function searching(search: Search): (backend: ConversationBackend) => ConversationBackend {
  return (b) => replacing(b, { search: (w, query) => search(b, w, query) })
}

const searches: BrokenConversation[] = [
  {
    name: 'a search finds what holds any term',
    caughtBy: 'conversation/search/every-term',
    breaks: searching(async (b, w, query) => {
      const each = await Promise.all(query.terms.map((term) => b.search!(w, { ...query, terms: [term] })))
      return [...new Map(each.flat().map((hit) => [`${hit.sessionId} ${hit.message.id}`, hit])).values()]
    }),
  },
  {
    name: 'a search finds whole words only',
    caughtBy: 'conversation/search/substring',
    breaks: searching(async (b, w, query) => {
      const words = (text: string | null): string[] => (text ?? '').toLowerCase().split(/\s+/)
      return (await b.search!(w, query)).filter(({ message }) => query.terms.every((term) => words(message.content).includes(term)))
    }),
  },
  {
    name: 'a search ignores terms under three characters',
    caughtBy: 'conversation/search/short-terms',
    breaks: searching((b, w, query) => b.search!(w, { ...query, terms: query.terms.filter((term) => term.length > 2) })),
  },
  {
    name: 'a search minds case beyond ASCII',
    caughtBy: 'conversation/search/case',
    breaks: searching(async (b, w, query) => {
      const ascii = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
      const hits = await b.search!(w, query)
      return hits.filter(({ message }) => query.terms.every((term) => ascii(message.content ?? '').includes(term)))
    }),
  },
  {
    name: 'a search takes % and _ for wildcards',
    caughtBy: 'conversation/search/literal',
    breaks: searching((b, w, query) => {
      const terms = query.terms.flatMap((term) => term.split(/[%_]/)).filter((term) => term !== '')
      return b.search!(w, { ...query, terms })
    }),
  },
  {
    name: 'a search finds the oldest first',
    caughtBy: 'conversation/search/order',
    breaks: searching(async (b, w, query) => (await b.search!(w, { ...query, limit: 1_000_000 })).toReversed().slice(0, query.limit)),
  },
  {
    name: 'a search applies its scope after the limit',
    caughtBy: 'conversation/search/filter-before-limit',
    breaks: searching(async (b, w, query) => {
      const page = await b.search!(w, { terms: query.terms, limit: query.limit })
      const own = await b.search!(w, { ...query, limit: 1_000_000 })
      return own.filter((hit) => page.some(({ sessionId, message }) => sessionId === hit.sessionId && message.id === hit.message.id))
    }),
  },
  {
    name: 'a search still finds what an update has replaced',
    caughtBy: 'conversation/search/updated',
    breaks: (b) => {
      const stale = new Map<string, MessageRecord>()
      return replacing(b, {
        async patchMessage(w, id, messageId, ...rest) {
          const [before] = await b.readMessages(w, id, { order: 'asc', ids: [messageId] })
          if (before !== undefined && !stale.has(id)) stale.set(id, before)
          return b.patchMessage(w, id, messageId, ...rest)
        },
        async search(w, query) {
          const ghosts = [...stale].filter(([, { content }]) => query.terms.every((term) => content?.includes(term)))
          return [...(await b.search!(w, query)), ...ghosts.map(([sessionId, message]) => ({ sessionId, message }))]
        },
      })
    },
  },
  {
    name: 'a backend that cannot search finds nothing instead of saying so',
    caughtBy: 'conversation/search/unsupported',
    breaks: (b) => replacing(b, { capabilities: { search: false }, search: () => Promise.resolve([]) }),
  },
]

const values: BrokenConversation[] = [
  { name: 'keys of JSON are sorted', caughtBy: 'conversation/values/session-json', breaks: storingJson((value) => mapped(value, sortedKeys)) },
  { name: 'empty values are dropped', caughtBy: 'conversation/values/empty-is-not-missing', breaks: appendingExtra(withoutEmpty) },
  { name: 'unknown parts are dropped', caughtBy: 'conversation/values/parts', breaks: appendingExtra(withKnownParts) },
  {
    name: '{} becomes null',
    caughtBy: 'conversation/session/create-defaults',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({
        createSession: async (...args) => {
          const session = await s.createSession(...args)
          return Object.keys(session.state).length > 0 ? session : { ...session, state: null as unknown as JsonObject }
        },
      })),
  },
  {
    name: 'content is cut at 64 KiB',
    caughtBy: 'conversation/values/large-content',
    breaks: appending((message) => ({ ...message, content: message.content?.slice(0, 65_535) ?? null })),
  },
  {
    name: 'U+0000 is stripped',
    caughtBy: 'conversation/values/content',
    breaks: appending((message) => (message.escaped ? { ...message, content: message.content!.replaceAll('\\u0000', '') } : message)),
  },
  {
    name: 'lone surrogates are replaced',
    caughtBy: 'conversation/values/content',
    breaks: appending((message) =>
      message.escaped ? { ...message, content: message.content!.replace(/\\ud[89a-f]../g, '\uFFFD') } : message,
    ),
  },
  {
    name: 'empty text becomes null',
    caughtBy: 'conversation/values/empty-is-not-missing',
    breaks: appending((message) => ({ ...message, content: message.content === '' ? null : message.content })),
  },
  {
    name: 'getSession gives the stored object itself',
    caughtBy: 'conversation/values/no-live-references',
    breaksStore: (store) =>
      replacingInStore(store, (s) => {
        const live = new Map<string, Awaited<ReturnType<typeof s.getSession>>>()
        return {
          async getSession(id, options) {
            const fresh = await s.getSession(id, options)
            const kept = live.get(id)
            if (kept === undefined || kept.version !== fresh?.version || kept.lastSeq !== fresh.lastSeq) live.set(id, fresh)
            return live.get(id)
          },
        }
      }),
  },
  {
    name: 'arguments are read after the call has returned',
    caughtBy: 'conversation/values/taken-at-call',
    breaksStore: (store) =>
      replacingInStore(store, (s) => ({
        async addMessages(...args) {
          await setImmediate()
          return s.addMessages(...args)
        },
      })),
  },
]

function appendingExtra(change: (extra: JsonValue) => JsonValue): (backend: ConversationBackend) => ConversationBackend {
  return appending((message) => {
    const extra = message.extra === null ? {} : change(JSON.parse(message.extra) as JsonValue)
    return { ...message, extra: Object.keys(extra as object).length > 0 ? JSON.stringify(extra) : null }
  })
}

const ids: BrokenConversation[] = [
  { name: 'ids are folded to lower case', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.toLowerCase()) },
  { name: 'ids are trimmed', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.trim() || id) },
  { name: 'ids lose their trailing spaces', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.replace(/ +$/, '') || id) },
  { name: 'ids are normalised', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.normalize('NFC')) },
  { name: 'ids are cut at 255 characters', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.slice(0, 255)) },
  { name: 'ids are taken for paths', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.replace(/^\.\//, '')) },
  {
    name: 'message ids are folded to lower case',
    caughtBy: 'conversation/ids/distinct-messages',
    breaks: appending((message) => ({ ...message, id: message.id.toLowerCase() })),
  },
  {
    name: 'user ids are compared without case',
    caughtBy: 'conversation/list/by-user-and-agent',
    breaks: listing(async (b, w, query) => {
      const { userId, agentId, limit } = query
      const same = (stored: string | null, wanted: string | undefined): boolean =>
        wanted === undefined || stored?.toLowerCase() === wanted.toLowerCase()
      const found = await everySession(b, w, query)
      return found.filter((session) => same(session.userId, userId) && same(session.agentId, agentId)).slice(0, limit)
    }),
  },
]

function emptyOnOutage<T>(empty: T): (error: unknown) => T {
  return (error) => {
    if (isHoldfastError(error, 'UNAVAILABLE')) return empty
    throw error
  }
}

const common: BrokenConversation[] = [
  { name: 'the workspace is ignored', caughtBy: 'conversation/common/workspace/isolated', breaks: foldingWorkspaces(() => '') },
  {
    name: 'workspaces are folded to lower case',
    caughtBy: 'conversation/common/workspace/distinct',
    breaks: foldingWorkspaces((workspace) => workspace.toLowerCase()),
  },
  {
    name: 'a listing forgets the workspace',
    caughtBy: 'conversation/common/workspace/isolated',
    breaks: (b) => {
      const workspaces = new Set<string>()
      return replacing(b, {
        restore: (w, ...rest) => {
          workspaces.add(w)
          return b.restore(w, ...rest)
        },
        listSessions: async (_, query) => (await Promise.all([...workspaces].map((w) => b.listSessions(w, query)))).flat(),
      })
    },
  },
  {
    name: 'an outage reads as empty',
    caughtBy: 'conversation/common/outage/reads',
    breaks: (b) =>
      replacing(b, {
        getSession: (...args) => b.getSession(...args).catch(emptyOnOutage(undefined)),
        listSessions: (...args) => b.listSessions(...args).catch(emptyOnOutage([])),
        readMessages: (...args) => b.readMessages(...args).catch(emptyOnOutage([])),
        search: (...args) => b.search!(...args).catch(emptyOnOutage([])),
      }),
  },
  {
    name: 'an outage passes for a success',
    caughtBy: 'conversation/common/outage/writes',
    breaks: (b) =>
      replacing(b, {
        createSession: (...args) => b.createSession(...args).catch(emptyOnOutage(undefined)),
        deleteSession: (...args) => b.deleteSession(...args).catch(emptyOnOutage(undefined)),
      }),
  },
  {
    name: 'ping always succeeds',
    caughtBy: 'conversation/common/outage/reads',
    breaks: (b) => replacing(b, { ping: () => Promise.resolve() }),
  },
  {
    name: 'a signal is not looked at',
    caughtBy: 'conversation/common/abort/before',
    breaksStore: (store) => replacingInStore(store, (s) => ({ addMessage: (id, message) => s.addMessage(id, message) })),
  },
  {
    name: 'a closed store still answers',
    caughtBy: 'conversation/common/close/refuses',
    breaksStore: (store) => replacingInStore(store, () => ({ close: () => Promise.resolve() })),
  },
  {
    name: 'closing a view closes the store',
    caughtBy: 'conversation/common/close/view',
    breaksStore: (store) =>
      proxied(store, { workspace: (id) => proxied(store.workspace(id), { close: () => store.close() }) }),
  },
  {
    name: 'a handle keeps sessions in a cache of its own',
    caughtBy: 'conversation/reopen/handles-see',
    breaks: (b) => {
      const cache = new Map<string, SessionRecord>()
      return replacing(b, {
        async getSession(w, id) {
          const session = cache.get(`${w} ${id}`) ?? (await b.getSession(w, id))
          if (session !== undefined) cache.set(`${w} ${id}`, session)
          return session
        },
      })
    },
  },
]

export const brokenConversations: readonly BrokenConversation[] = [
  ...messages,
  ...appends,
  ...sessions,
  ...lists,
  ...histories,
  ...searches,
  ...values,
  ...ids,
  ...common,
]
