/** Conversation backends that break one promise each, and the case that is meant to notice. */
import { brokenMessages, brokenAppends } from './conversation-messages.ts'
import { brokenSessions, brokenHistories } from './conversation-sessions.ts'
import { brokenLists, brokenSearches } from './conversation-lists.ts'
import { brokenValues, brokenIds } from './conversation-values.ts'
import { brokenCommon } from './conversation-common.ts'
import type { BrokenConversation } from './conversation-wrappers.ts'

export type { BrokenConversation }

export const brokenConversations: readonly BrokenConversation[] = [
  ...brokenMessages,
  ...brokenAppends,
  ...brokenSessions,
  ...brokenHistories,
  ...brokenLists,
  ...brokenSearches,
  ...brokenValues,
  ...brokenIds,
  ...brokenCommon,
]
