/** The conformance cases of conversation stores. */
import type { ConversationStore } from '../conversation/store.ts'
import type { CallOptions } from '../store/contract.ts'
import { commonCases, type CommonSubject } from './common.ts'
import { appendCases } from './conversation/append.ts'
import { concurrencyCases } from './conversation/concurrency.ts'
import { durabilityCases } from './conversation/durability.ts'
import { historyCases } from './conversation/history.ts'
import { idCases } from './conversation/ids.ts'
import { listCases } from './conversation/lists.ts'
import { messageCases } from './conversation/messages.ts'
import { retentionCases } from './conversation/retention.ts'
import { searchCases } from './conversation/search.ts'
import { sessionCases } from './conversation/sessions.ts'
import { collect, FUTURE, messageAt, said, sessionAt, START, type ConversationCase } from './conversation/support.ts'
import { textCases } from './conversation/text.ts'
import { timeCases } from './conversation/times.ts'
import { valueCases } from './conversation/values.ts'

const subject: CommonSubject<ConversationStore> = {
  kind: 'conversation',
  async seed(store) {
    await store.restore(sessionAt('s', FUTURE, { userId: 'u', lastSeq: 2 }), [messageAt('s', 1), messageAt('s', 2)])
    await store.restore(sessionAt('t', START, { userId: 'v' }), [])
  },
  async snapshot(store) {
    const { items } = await store.listSessions()
    return { items, messages: await Promise.all(items.map(({ id }) => store.getMessages(id))) }
  },
  reads: (store) => ({
    getSession: (s, options) => s.getSession('s', options),
    listSessions: (s, options) => s.listSessions({ userId: 'u', ...options }),
    getMessages: (s, options) => s.getMessages('s', { limit: 1, ...options }),
    getMessage: (s, options) => s.getMessage('s', 'm1', options),
    iterateMessages: (s, options) => collect(s.iterateMessages('s', options)),
    ...(store.capabilities.search
      ? { searchMessages: (s: ConversationStore, options?: CallOptions) => s.searchMessages({ text: 'text', ...options }) }
      : {}),
  }),
  writes: () => ({
    createSession: (s, options) => s.createSession({ id: 'new' }, options),
    upsertSession: (s, options) => s.upsertSession({ id: 's', name: 'n' }, options),
    updateSession: (s, options) => s.updateSession('s', { name: 'm' }, options),
    addMessage: (s, options) => s.addMessage('s', said('three', 'm3'), options),
    addMessages: (s, options) => s.addMessages('s', [said('four', 'm4')], options),
    updateMessage: (s, options) => s.updateMessage('s', 'm1', { content: 'changed' }, options),
    truncate: (s, options) => s.truncate('s', 3, options),
    deleteMessages: (s, options) => s.deleteMessages('s', ['m1'], options),
    forkSession: (s, options) => s.forkSession('s', { newId: 'fork', ...options }),
    restore: (s, options) => s.restore(sessionAt('restored', START), [], options),
    deleteSession: (s, options) => s.deleteSession('fork', options),
    pruneSessions: (s, options) => s.pruneSessions({ olderThan: new Date(START + 1), ...options }),
    deleteUser: (s, options) => s.deleteUser('u', options),
    clear: (s, options) => s.clear(options),
  }),
}

/** Every case of the kind, in the order of the contract. */
export const conversationCases: readonly ConversationCase[] = [
  ...commonCases(subject),
  ...sessionCases,
  ...timeCases,
  ...appendCases,
  ...concurrencyCases,
  ...messageCases,
  ...listCases,
  ...historyCases,
  ...retentionCases,
  ...searchCases,
  ...valueCases,
  ...textCases,
  ...idCases,
  ...durabilityCases,
]
