import { handWrittenConversation, holdfastConversation } from './conversation-ours.ts'
import type { ConversationAdapter } from './conversation.ts'
import type { Peer } from './frame.ts'
import { langGraphGrowing, langGraphSingle } from './langgraph.ts'
import { mastraDefault, mastraFull } from './mastra.ts'
import { praisonAi } from './praisonai.ts'

/** Who takes part, in the order of the tables. */
export const CONVERSATION_PEERS: readonly Peer<ConversationAdapter>[] = [
  holdfastConversation,
  handWrittenConversation,
  langGraphGrowing,
  langGraphSingle,
  mastraDefault,
  mastraFull,
  praisonAi,
]
