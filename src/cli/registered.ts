/** The registries by kind, for commands that take the kind as an argument. */
import {
  CONVERSATION_STORES,
  isHoldfastError,
  KNOWLEDGE_STORES,
  STATE_STORES,
  type ConversationStore,
  type Kind,
  type KnowledgeStore,
  type StateStore,
} from '../index.ts'

export type AnyStore = ConversationStore | KnowledgeStore | StateStore

export const REGISTRIES = { conversation: CONVERSATION_STORES, knowledge: KNOWLEDGE_STORES, state: STATE_STORES } as const

/** Options from the command line are known to no compiler; the registry checks them. */
export function openRegistered(kind: Kind, name: string, options: object): Promise<AnyStore> {
  const given = { ...options }
  const open = {
    conversation: () => CONVERSATION_STORES.create(name, given),
    knowledge: () => KNOWLEDGE_STORES.create(name, given),
    state: () => STATE_STORES.create(name, given),
  }
  return open[kind]()
}

/** Every file-based backend takes `:memory:`; one that knows no path says so before it opens anything. */
export async function opensInMemory(open: (options: object) => Promise<AnyStore>): Promise<boolean> {
  try {
    const store = await open({ path: ':memory:' })
    await store.close()
    return true
  } catch (error) {
    if (isHoldfastError(error, 'INVALID_OPTIONS')) return false
    throw error
  }
}
