/** Whether the engines answer. */
import type { ConversationStore, KnowledgeStore, StateStore } from '../index.ts'
import { JSON_TYPE, Reply } from './endpoint.ts'

const TIMEOUT_MS = 2_000
/** Everybody may ask, and engines are to notice little of it. */
const CACHE_MS = 500

type Stores = Readonly<Record<'conversation' | 'knowledge' | 'state', ConversationStore | KnowledgeStore | StateStore>>

export class Readiness {
  readonly #stores: Stores
  #asked: { readonly reply: Promise<Reply>; readonly until: number } | undefined

  constructor({ conversation, knowledge, state }: Stores) {
    this.#stores = { conversation, knowledge, state }
  }

  /** 200 where all three answer, else 503; which of them does not is said. */
  reply(): Promise<Reply> {
    if (this.#asked === undefined || this.#asked.until <= Date.now()) {
      this.#asked = { reply: this.#ask(), until: Date.now() + CACHE_MS }
    }
    return this.#asked.reply
  }

  async #ask(): Promise<Reply> {
    const answers = await Promise.all(
      Object.entries(this.#stores).map(async ([kind, store]) => [kind, await isUp(store)] as const),
    )
    const isReady = answers.every(([, up]) => up)
    const words = answers.map(([kind, up]) => [kind, wordOf(up)] as const)
    return new Reply(isReady ? 200 : 503, JSON.stringify({ status: wordOf(isReady), ...Object.fromEntries(words) }), JSON_TYPE)
  }
}

function isUp(store: Stores[keyof Stores]): Promise<boolean> {
  return store.ping({ timeoutMs: TIMEOUT_MS }).then(
    () => true,
    () => false,
  )
}

function wordOf(up: boolean): string {
  return up ? 'ok' : 'unavailable'
}
