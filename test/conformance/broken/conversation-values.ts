/** Backends that break a promise about values and ids. */
import { setImmediate } from 'node:timers/promises'
import type { MessageRecord } from '../../../src/conversation/contract.ts'
import type { JsonObject, JsonValue } from '../../../src/store/contract.ts'
import {
  type BrokenConversation,
  replacingInStore,
  foldingIds,
  appending,
  storingJson,
  listing,
  everySession,
} from './conversation-wrappers.ts'

export const brokenValues: BrokenConversation[] = [
  {
    name: 'keys of JSON are sorted',
    caughtBy: 'conversation/values/session-json',
    breaks: storingJson((value) => mapped(value, sortedKeys)),
  },
  {
    name: 'empty values are dropped',
    caughtBy: 'conversation/values/empty-is-not-missing',
    breaks: appending(withoutEmpty),
  },
  { name: 'unknown parts are dropped', caughtBy: 'conversation/values/parts', breaks: appending(withKnownParts) },
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
    breaks: appending((message) =>
      message.escaped ? { ...message, content: message.content!.replaceAll('\\u0000', '') } : message,
    ),
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

function mapped(value: JsonValue, change: (object: JsonObject) => JsonObject): JsonValue {
  if (Array.isArray(value)) return value.map((item) => mapped(item, change))
  if (typeof value !== 'object' || value === null) return value
  return change(Object.fromEntries(Object.entries(value).map(([key, member]) => [key, mapped(member, change)])))
}

/** As PostgreSQL's JSONB does: shorter keys first. */
function sortedKeys(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => a.length - b.length || (a < b ? -1 : 1)))
}

function withoutEmpty(message: MessageRecord): MessageRecord {
  const filled = (json: string | null): string | null => (json === '[]' || json === '{}' ? null : json)
  const { parts, toolCalls, metadata } = message
  return { ...message, parts: filled(parts), toolCalls: filled(toolCalls), metadata: filled(metadata) }
}

function withKnownParts(message: MessageRecord): MessageRecord {
  if (message.parts === null) return message
  const parts = JSON.parse(message.parts) as JsonValue[]
  const isKnown = (part: JsonValue): boolean =>
    ['text', 'file', 'reasoning'].includes((part as JsonObject | null)?.['type'] as string)
  return { ...message, parts: JSON.stringify(parts.filter(isKnown)) }
}

export const brokenIds: BrokenConversation[] = [
  { name: 'ids are folded to lower case', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.toLowerCase()) },
  { name: 'ids are trimmed', caughtBy: 'conversation/ids/distinct', breaks: foldingIds((id) => id.trim() || id) },
  {
    name: 'ids lose their trailing spaces',
    caughtBy: 'conversation/ids/distinct',
    breaks: foldingIds((id) => id.replace(/ +$/, '') || id),
  },
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
