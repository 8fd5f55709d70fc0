/** What an agent puts before its model: the newest turns of a session and the documents that fit. */
import type { Message, Session } from './conversation/contract.ts'
import type { ConversationStore } from './conversation/store.ts'
import { isHoldfastError } from './errors.ts'
import type { Embedding, Filter, Hit } from './knowledge/contract.ts'
import { toFloats } from './knowledge/records.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { CallOptions } from './store/contract.ts'
import { checkInteger, invalid, typeName } from './store/text.ts'

/** `timeoutMs` counts for each call to a store. */
export interface ContextQuery extends CallOptions {
  /**
   * Newest messages to take, default 20; 0: none. Fewer come where the oldest of them are results of tool calls that are no longer among
   * them, and none where there is nothing else: take more than the longest group of a call and its results.
   */
  readonly historyLimit?: number | undefined
  /** What to look for in the knowledge: text (needs `embed`) or an embedding, not both. Neither: no documents. */
  readonly text?: string | undefined
  readonly embedding?: Embedding | undefined
  /** Documents to take, over all collections; default 5, 0: none. */
  readonly knowledgeLimit?: number | undefined
  /** Collections to look in; an unknown one is `NOT_FOUND`. Default: all of the embedding's dimension. */
  readonly collections?: readonly string[] | undefined
  /** Of the documents, in every collection. */
  readonly filter?: Filter | undefined
  /** Documents with a lower score are left out. */
  readonly minScore?: number | undefined
}

export interface Context {
  /** Undefined where there is no such session; `messages` is empty then. */
  readonly session: Session | undefined
  /**
   * Oldest first, never with results of tool calls that were cut off at the beginning: model APIs refuse those.
   *
   * The end is as it is stored. The last message may be a tool call without results: the tool runs, waits for an approval, or was lost
   * with its process. Only the caller knows which, and to hide the newest message would hide that a tool may have run, so it stays; give
   * it results, be it that it failed, before asking a model.
   */
  readonly messages: Message[]
  /** Best first, each with the collection it is from. Scores of collections with different distances are compared as they are. */
  readonly documents: (Hit & { collection: string })[]
}

interface Stores {
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
}

/** Reads the session, its messages and the documents at the same time. */
export async function buildContext(stores: Stores, sessionId: string, query: ContextQuery = {}): Promise<Context> {
  const { signal, timeoutMs } = query
  const call = { signal, timeoutMs }
  const historyLimit = checkInteger(query.historyLimit, 'historyLimit', { min: 0 }, 20)
  const search = toSearch(query)
  const [session, messages, documents] = await Promise.all([
    stores.conversation.getSession(sessionId, call),
    historyLimit === 0 ? [] : stores.conversation.getMessages(sessionId, { limit: historyLimit, ...call }),
    search === undefined ? [] : findDocuments(stores.knowledge, search, call),
  ])
  return { session, messages: withoutOrphans(messages), documents }
}

/**
 * Drops tool results at the beginning that cannot have their call before them, since nothing but results and what users and the system
 * said is there.
 */
function withoutOrphans(messages: Message[]): Message[] {
  const caller = messages.findIndex((message) => !isToolResult(message) && !NEVER_CALL.has(message.role))
  const answered = caller < 0 ? messages.length : caller
  return messages.filter((message, i) => i > answered || !isToolResult(message))
}

const NEVER_CALL: ReadonlySet<string> = new Set(['user', 'system', 'developer'])

function isToolResult({ role, toolCallId }: Message): boolean {
  return role === 'tool' || role === 'function' || toolCallId !== undefined
}

interface Search {
  /** A text, or its embedding. */
  readonly wanted: string | Float32Array
  readonly collections: ReadonlySet<string> | undefined
  readonly limit: number
  readonly filter: Filter | undefined
  readonly minScore: number | undefined
}

/** Checked here as well, since with no collection to search nothing else would. Undefined where no documents are wanted. */
function toSearch({ text, embedding, collections, knowledgeLimit, filter, minScore }: ContextQuery): Search | undefined {
  if (text !== undefined && embedding !== undefined) throw invalid('give text or embedding, not both')
  if (text !== undefined && typeof text !== 'string') throw new TypeError(`text must be a string, not ${typeName(text)}`)
  if (collections !== undefined && !Array.isArray(collections)) {
    throw new TypeError(`collections must be an array of names, not ${typeName(collections)}`)
  }
  const limit = checkInteger(knowledgeLimit, 'knowledgeLimit', { min: 0, max: MAX_DOCUMENTS }, 5)
  const wanted = text ?? (embedding && toFloats(embedding, 'embedding'))
  if (embedding?.length === 0) throw invalid('embedding is empty')
  if (wanted === undefined || limit === 0) return undefined
  return { wanted, collections: collections && new Set(collections), limit, filter, minScore }
}

/** What one search may give. */
const MAX_DOCUMENTS = 10_000

async function findDocuments(knowledge: KnowledgeStore, search: Search, call: CallOptions): Promise<Context['documents']> {
  const { wanted, limit, filter, minScore } = search
  // Once, however many collections there are: an embedding costs money.
  const embedding = typeof wanted === 'string' ? await knowledge.embedText(wanted, call) : wanted
  const names = search.collections ?? (await searchable(knowledge, embedding.length, call))
  const searchOne = async (collection: string): Promise<Context['documents']> => {
    const hits = await knowledge.search(collection, { embedding, limit, filter, minScore, ...call })
    return hits.map((hit) => ({ ...hit, collection }))
  }
  const found = await Promise.all(
    Array.from(names, (name) => {
      // One that nobody named may be deleted between listing and searching.
      return search.collections === undefined ? searchOne(name).catch(unlessMissing) : searchOne(name)
    }),
  )
  return found
    .flat()
    .toSorted((a, b) => b.score - a.score)
    .slice(0, limit)
}

async function searchable(knowledge: KnowledgeStore, size: number, call: CallOptions): Promise<string[]> {
  const collections = await knowledge.listCollections(call)
  return collections.filter(({ dimension }) => dimension === size).map(({ name }) => name)
}

function unlessMissing(error: unknown): [] {
  if (isHoldfastError(error, 'NOT_FOUND')) return []
  throw error
}
