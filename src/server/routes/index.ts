/** All endpoints. */
import type { Endpoint } from '../endpoint.ts'
import { CONVERSATION_METHODS } from './backend-conversation.ts'
import { KNOWLEDGE_METHODS } from './backend-knowledge.ts'
import { STATE_METHODS } from './backend-state.ts'
import { aboutBackends } from './backends.ts'

export const ENDPOINTS: readonly Endpoint[] = [aboutBackends, ...CONVERSATION_METHODS, ...KNOWLEDGE_METHODS, ...STATE_METHODS]
