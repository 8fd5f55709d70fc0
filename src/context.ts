/** What an agent puts before its model: the newest turns of a session and the documents that fit. */
import type { Message, Session } from './conversation/contract.ts'
import type { ConversationStore } from './conversation/store.ts'
import type { Embedding, Filter, Hit } from './knowledge/contract.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { CallOptions } from './store/contract.ts'
import { invalid } from './store/text.ts'

export interface ContextQuery extends CallOptions {
  /** Newest messages to take, default 20. Fewer come where the oldest of them answer a tool call that is no longer among them. */
  readonly historyLimit?: number | undefined
  /** What to look for in the knowledge: text (needs `embed`) or an embedding. Neither: no documents. */
  readonly text?: string | undefined
  readonly embedding?: Embedding | undefined
  /** Documents to take, default 5. */
  readonly knowledgeLimit?: number | undefined
  /** Collections to look in. Default: all of the workspace; with `embedding`, all of its dimension. */
  readonly collections?: readonly string[] | undefined
  readonly filter?: Filter | undefined
  readonly minScore?: number | undefined
}

export interface Context {
  /** Undefined where there is no such session; `messages` is empty then. */
  readonly session: Session | undefined
  /** Oldest first. Never begins with a tool result whose call is not there: model APIs refuse that. */
  readonly messages: Message[]
  /** Best first, each with the collection it is from. */
  readonly documents: (Hit & { collection: string })[]
}

interface Stores {
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
}

export async function buildContext(
  { conversation, knowledge }: Stores,
  sessionId: string,
  query: ContextQuery = {},
): Promise<Context> {
  if (query.text !== undefined && query.embedding !== undefined) throw invalid('give text or embedding, not both')
  const call = { signal: query.signal, timeoutMs: query.timeoutMs }
  const [session, messages, documents] = await Promise.all([
    conversation.getSession(sessionId, call),
    conversation.getMessages(sessionId, { limit: query.historyLimit ?? 20, ...call }),
    findDocuments(knowledge, query, call),
  ])
  return { session, messages: withoutOrphans(messages), documents }
}

/** Drops the tool results at the beginning: the message with their call was cut off. */
function withoutOrphans(messages: Message[]): Message[] {
  const first = messages.findIndex(({ role }) => role !== 'tool')
  return first < 0 ? [] : messages.slice(first)
}

async function findDocuments(knowledge: KnowledgeStore, query: ContextQuery, call: CallOptions): Promise<Context['documents']> {
  const { text, embedding, filter, minScore, knowledgeLimit: limit = 5 } = query
  if (text === undefined && embedding === undefined) return []
  const wanted = text === undefined ? { embedding: embedding! } : { text }
  const names = query.collections ?? (await searchable(knowledge, embedding, call))
  const found = await Promise.all(
    names.map(async (collection) => {
      const hits = await knowledge.search(collection, { ...wanted, limit, filter, minScore, ...call })
      return hits.map((hit) => ({ ...hit, collection }))
    }),
  )
  return found
    .flat()
    .toSorted((a, b) => b.score - a.score)
    .slice(0, limit)
}

async function searchable(knowledge: KnowledgeStore, embedding: Embedding | undefined, call: CallOptions): Promise<string[]> {
  const collections = await knowledge.listCollections(call)
  return collections.filter(({ dimension }) => embedding === undefined || dimension === embedding.length).map(({ name }) => name)
}
