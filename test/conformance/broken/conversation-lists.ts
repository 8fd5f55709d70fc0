/** Backends that break a promise about listing and searching. */
import type { MessageRecord, SessionRecord } from '../../../src/conversation/contract.ts'
import type { JsonObject, JsonValue } from '../../../src/store/contract.ts'
import { type BrokenConversation, replacing, listing, everySession, searching } from './conversation-wrappers.ts'

/** Breaks what a backend says of its workspaces. */
function workspaces(change: (found: string[], after: string | undefined) => string[]): NonNullable<BrokenConversation['breaks']> {
  return (b) =>
    replacing(b, {
      listWorkspaces: async (query) => change(await b.listWorkspaces!(query), query.after).slice(0, query.limit),
    })
}

export const brokenLists: BrokenConversation[] = [
  {
    name: 'workspaces are ordered as a locale would',
    caughtBy: 'conversation/workspaces/list',
    breaks: workspaces((found) => found.toSorted((x, y) => x.localeCompare(y))),
  },
  {
    name: 'a workspace is listed for each of its sessions',
    caughtBy: 'conversation/workspaces/list',
    breaks: workspaces((found) => found.flatMap((name) => [name, name])),
  },
  {
    name: 'a page of workspaces begins where the one before ended',
    caughtBy: 'conversation/workspaces/pages',
    breaks: workspaces((found, after) => (after === undefined ? found : [after, ...found])),
  },
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
    breaks: listing((b, w, query) => b.listSessions(w, { ...query, metadata: undefined })),
  },
  {
    name: 'a metadata filter compares text',
    caughtBy: 'conversation/list/metadata-types',
    breaks: listing(async (b, w, query) => {
      const { metadata = {}, limit } = query
      const matches = (session: SessionRecord): boolean => {
        const stored = JSON.parse(session.metadata) as JsonObject
        return Object.entries(metadata).every(([field, value]) => (stored[field] as string) == value)
      }
      return (await everySession(b, w, query)).filter(matches).slice(0, limit)
    }),
  },
  {
    name: 'a metadata field name is a path',
    caughtBy: 'conversation/list/metadata-names',
    breaks: listing(async (b, w, query) => {
      const { metadata = {}, limit } = query
      const at = (value: JsonValue, path: string): unknown =>
        path.split('.').reduce((it, key) => (it as JsonObject | undefined)?.[key] as JsonValue, value)
      const matches = (session: SessionRecord): boolean =>
        Object.entries(metadata).every(([field, value]) => at(JSON.parse(session.metadata) as JsonValue, field) === value)
      return (await everySession(b, w, query)).filter(matches).slice(0, limit)
    }),
  },
]

export const brokenSearches: BrokenConversation[] = [
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
      return (await b.search!(w, query)).filter(({ message }) =>
        query.terms.every((term) => words(message.content).includes(term)),
      )
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
    breaks: searching(async (b, w, query) =>
      (await b.search!(w, { ...query, limit: 1_000_000 })).toReversed().slice(0, query.limit),
    ),
  },
  {
    name: 'a search applies its scope after the limit',
    caughtBy: 'conversation/search/filter-before-limit',
    breaks: searching(async (b, w, query) => {
      const page = await b.search!(w, { terms: query.terms, limit: query.limit })
      const own = await b.search!(w, { ...query, limit: 1_000_000 })
      return own.filter((hit) =>
        page.some(({ sessionId, message }) => sessionId === hit.sessionId && message.id === hit.message.id),
      )
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
