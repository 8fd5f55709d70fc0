/** Backends that do nothing: what a call costs on them is the store's. */
import type { ConversationBackend, MessageRecord, SessionRecord, StateBackend, StateEntry } from '../../src/index.ts'

/** The space that tells whether values are encrypted is empty. */
const isValueSpace = (space: string): boolean => !space.startsWith('e:')

export function idleState(): StateBackend {
  const found: (StateEntry | undefined)[] = [{ value: '1', version: '1', ttlMs: undefined }]
  const done = { applied: true, deleted: 0, sums: [] } as const
  return {
    capabilities: { bytes: 'native', commitKeys: Infinity },
    limits: {},
    get: async (space) => (isValueSpace(space) ? found : [undefined]),
    commit: async () => done,
    scan: async () => [],
    ping: async () => undefined,
    close: async () => undefined,
  }
}

const SESSION: SessionRecord = {
  id: 's',
  userId: null,
  agentId: null,
  name: null,
  state: '{}',
  metadata: '{}',
  lastSeq: 1,
  version: 1,
  createdAt: 1,
  updatedAt: 1,
}

export const MESSAGE: MessageRecord = {
  id: 'm',
  seq: 1,
  role: 'user',
  content: 'hello',
  escaped: false,
  parts: null,
  toolCalls: null,
  toolCallId: null,
  metadata: null,
  createdAt: 1,
}

export function idleConversations(): ConversationBackend {
  const messages = [MESSAGE]
  return {
    capabilities: { search: false },
    limits: {},
    createSession: async () => undefined,
    getSession: async () => SESSION,
    patchSession: async () => SESSION,
    deleteSession: async () => 0,
    listSessions: async () => [],
    append: async () => 1,
    readMessages: async () => messages,
    patchMessage: async () => MESSAGE,
    deleteMessages: async () => 0,
    restore: async () => undefined,
    ping: async () => undefined,
    close: async () => undefined,
  }
}
