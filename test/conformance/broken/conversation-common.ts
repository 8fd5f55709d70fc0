/** Backends that break a promise that all stores make. */
import type { SessionRecord } from '../../../src/conversation/contract.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import { type BrokenConversation, replacing, replacingInStore, proxied, foldingWorkspaces } from './conversation-wrappers.ts'

function emptyOnOutage<T>(empty: T): (error: unknown) => T {
  return (error) => {
    if (isHoldfastError(error, 'UNAVAILABLE')) return empty
    throw error
  }
}

export const brokenCommon: BrokenConversation[] = [
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
    breaksStore: (store) => proxied(store, { workspace: (id) => proxied(store.workspace(id), { close: () => store.close() }) }),
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
