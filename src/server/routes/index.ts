/** All endpoints. */
import type { Endpoint } from '../endpoint.ts'
import { CONVERSATION_METHODS } from './backend-conversation.ts'
import { KNOWLEDGE_METHODS } from './backend-knowledge.ts'
import { STATE_METHODS } from './backend-state.ts'
import { aboutBackends } from './backends.ts'
import { CONVERSATIONS } from './conversations.ts'
import { KNOWLEDGE } from './knowledge.ts'
import { STATE } from './state.ts'
import { STORAGE } from './storage.ts'

export const ENDPOINTS: readonly Endpoint[] = [
  ...CONVERSATIONS,
  ...KNOWLEDGE,
  ...STATE,
  ...STORAGE,
  aboutBackends,
  ...CONVERSATION_METHODS,
  ...KNOWLEDGE_METHODS,
  ...STATE_METHODS,
]
