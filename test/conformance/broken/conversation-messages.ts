/** Backends that break a promise about messages. */
import { setImmediate } from 'node:timers/promises'
import type { MessageRecordPatch } from '../../../src/conversation/contract.ts'
import { type BrokenConversation, replacing, replacingInStore, type Append, rewrite } from './conversation-wrappers.ts'

export const brokenMessages: BrokenConversation[] = [
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
          b.patchMessage(w, id, messageId, { parts: null, toolCalls: null, toolCallId: null, metadata: null, ...patch }, ...rest),
      }),
  },
  {
    name: 'a message patch writes back what it read',
    caughtBy: 'conversation/messages/update-concurrent-fields',
    breaks: (b) =>
      replacing(b, {
        async patchMessage(w, id, messageId, patch, ...rest) {
          const [read] = await b.readMessages(w, id, { ids: [messageId], order: 'asc' })
          if (read === undefined) return undefined
          await setImmediate()
          const { role, content, escaped, parts, toolCalls, toolCallId, metadata } = read
          const whole = { role, content, escaped, parts, toolCalls, toolCallId, metadata, ...patch }
          return b.patchMessage(w, id, messageId, whole, ...rest)
        },
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
          b.deleteMessages(
            w,
            id,
            { ...(ids && { ids }), ...(afterSeq === undefined ? {} : { afterSeq: afterSeq - 1 }) },
            ...rest,
          ),
      }),
  },
]

export const brokenAppends: BrokenConversation[] = [
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
          await rewrite(b, w, id, (session, kept) => ({
            session: { ...session, lastSeq: kept.at(-1)?.seq ?? 0 },
            messages: kept,
          }))
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
          return b.append(
            w,
            id,
            records.filter((record) => !taken.has(record.id)),
            options,
          )
        },
      }),
  },
]
