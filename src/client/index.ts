/**
 * `holdfast/client`: the three stores of a Holdfast server, with the same methods and the same rules as any others. It needs nothing but
 * `fetch`, so that it runs in browsers and edge runtimes as well as on Node.
 */
import { create as createConversation } from '../conversation/backends/holdfast.ts'
import { ConversationStore } from '../conversation/store.ts'
import { HOLDFAST_OPTIONS, type HoldfastOptions } from '../engines/holdfast.ts'
import { create as createKnowledge } from '../knowledge/backends/holdfast.ts'
import type { Embed } from '../knowledge/contract.ts'
import { KnowledgeStore } from '../knowledge/store.ts'
import { create as createState } from '../state/backends/holdfast.ts'
import { StateStore } from '../state/store.ts'
import type { StoreOptions } from '../store/contract.ts'
import type { FactoryContext } from '../store/factory.ts'
import { checkOptions } from '../store/options.ts'
import type { Kind } from '../errors.ts'

export { HoldfastError, isHoldfastError } from '../errors.ts'
export type { ErrorCode, Outcome } from '../errors.ts'
export type { ConversationStore } from '../conversation/store.ts'
export type { KnowledgeStore } from '../knowledge/store.ts'
export type { StateStore } from '../state/store.ts'

export interface ClientOptions extends HoldfastOptions, StoreOptions {
  /** Makes embeddings of documents and queries that come without one, here and not on the server. */
  readonly embed?: Embed | undefined
}

/** The stores of one server. */
export interface Client extends AsyncDisposable {
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
  readonly state: StateStore
  /** Ends the stores. Nothing is open on the server. */
  close(): Promise<void>
}

const NAME = 'holdfast'

/** Asks the server what it can do, and gives its stores. Wrong options: `INVALID_OPTIONS`; no server: `UNAVAILABLE`; a wrong token: `UNAUTHORIZED`. */
export async function connect(options: ClientOptions): Promise<Client> {
  const { workspace, timeoutMs, retries, embed, ...given } = options
  const own = checkOptions(HOLDFAST_OPTIONS, given, "the client's options")
  const common = { name: NAME, workspace, timeoutMs, retries }
  const [conversations, documents, entries] = await Promise.all([
    createConversation(own, contextOf('conversation')),
    createKnowledge(own, contextOf('knowledge')),
    createState(own, contextOf('state')),
  ])
  const stores = {
    conversation: new ConversationStore(conversations, common),
    knowledge: new KnowledgeStore(documents, { ...common, embed }),
    state: new StateStore(entries, common),
  }
  const close = async (): Promise<void> => void (await Promise.all(Object.values(stores).map((store) => store.close())))
  return { ...stores, close, [Symbol.asyncDispose]: close }
}

function contextOf(kind: Kind): FactoryContext {
  return { kind, name: NAME, loadClient: (client) => Promise.reject(new Error(`${client} is not needed`)) }
}
