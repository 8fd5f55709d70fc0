/** Backends that break a promise about sessions and whole histories. */
import { setImmediate } from 'node:timers/promises'
import type { MessageRecord } from '../../../src/conversation/contract.ts'
import { type BrokenConversation, replacing, replacingInStore, type Patch, rewrite, listing } from './conversation-wrappers.ts'

export const brokenSessions: BrokenConversation[] = [
  {
    name: 'a patch drops the fields that it does not name',
    caughtBy: 'conversation/session/update-keeps-others',
    breaks: (b) =>
      replacing(b, {
        patchSession: (...[w, id, patch, ...rest]: Patch) =>
          b.patchSession(w, id, { userId: null, agentId: null, ...patch }, ...rest),
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
          if (options.ifVersion !== undefined && session?.version !== options.ifVersion)
            return b.patchSession(w, id, patch, options)
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

export const brokenHistories: BrokenConversation[] = [
  {
    name: 'restore numbers messages anew',
    caughtBy: 'conversation/restore/exact',
    breaks: (b) =>
      replacing(b, {
        restore: (w, session, all) =>
          b.restore(
            w,
            session,
            all.map((message, i) => ({ ...message, seq: i + 1 })),
          ),
      }),
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
          b.restore(
            w,
            session,
            all.map((message) => ({ ...message, createdAt: Math.floor(message.createdAt / 1000) * 1000 })),
          ),
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
      replacingInStore(store, (s) => ({
        forkSession: (id, options) => s.forkSession(id, { ...options, atSeq: undefined }),
      })),
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
