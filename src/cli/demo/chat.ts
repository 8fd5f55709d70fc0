/** A conversation about the documents, kept so that it can go on after any end of the process. */
import { isHoldfastError, type Message, type Session, type Workspace } from '../../index.ts'
import { answer, type Answer, type Found } from './answer.ts'
import { embed } from './lexical.ts'
import type { Library } from './library.ts'

export interface Chat {
  readonly stores: Workspace
  /** Id of the session, the collection, and prefix of the keys. */
  readonly id: string
  readonly library: Library
  /** The knowledge store has an embedder of its own. */
  readonly hasOwnEmbedder: boolean
}

/** An answer that is stored. */
export interface Saved extends Answer {
  readonly question: string
  /** Seqs of the messages. */
  readonly asked: number
  readonly answered: number
}

const HITS = 12

export const stateKey = (id: string, name: 'runs' | 'questions' | 'last'): string => `${id}:${name}`

/** Creates the session, or finds it where an earlier run left it. */
export async function openSession({ stores, id }: Pick<Chat, 'stores' | 'id'>, name: string): Promise<Session> {
  const session = await stores.conversation.getSession(id)
  return session ?? stores.conversation.upsertSession({ id, name, agentId: 'holdfast-demo' })
}

/**
 * Stores the question, finds the answer and stores it. `onAsked` is called when the question is stored; the result when the answer is.
 * A process that ends between the two leaves an open question, which `answerOpen` takes up.
 */
export async function ask(chat: Chat, question: string, onAsked: (seq: number) => void): Promise<Saved> {
  const { conversation, state } = chat.stores
  const asked = await conversation.addMessage(chat.id, { role: 'user', content: question })
  onAsked(asked.seq)
  const found = await find(chat, question)
  const answered = await conversation.addMessage(chat.id, toMessage(found))
  await state.increment(stateKey(chat.id, 'questions'))
  return { ...found, question, asked: asked.seq, answered: answered.seq }
}

/** Answers the question that the last run asked and did not come to answer. Undefined where there is none. */
export async function answerOpen(chat: Chat, last: Message | undefined): Promise<Saved | undefined> {
  if (last?.role !== 'user' || last.content === null) return undefined
  const found = await find(chat, last.content)
  try {
    const answered = await chat.stores.conversation.addMessage(chat.id, toMessage(found), { expectedSeq: last.seq })
    await chat.stores.state.increment(stateKey(chat.id, 'questions'))
    return { ...found, question: last.content, asked: last.seq, answered: answered.seq }
  } catch (error) {
    // Another run is holding the same conversation, and has answered.
    if (isHoldfastError(error, 'CONFLICT')) return undefined
    throw error
  }
}

function toMessage({ text, source }: Answer): { role: string; content: string; metadata: { sources: object[] } } {
  const sources =
    source === undefined ? [] : [{ file: source.file, anchor: source.anchor, heading: source.heading, score: source.score }]
  return { role: 'assistant', content: text, metadata: { sources } }
}

async function find(chat: Chat, question: string): Promise<Answer> {
  const { id, stores, library, hasOwnEmbedder } = chat
  const hits = await stores.knowledge.search(id, {
    limit: HITS,
    ...(hasOwnEmbedder ? { text: question } : { embedding: embed(question, library.weigh) }),
  })
  const found = hits.map(({ content, score, metadata }): Found => {
    const text = (name: string): string => {
      const value = metadata[name]
      return typeof value === 'string' ? value : ''
    }
    return { file: text('file'), anchor: text('anchor'), heading: text('heading'), trail: text('trail'), content, score }
  })
  return answer(question, found, library.weigh, !hasOwnEmbedder)
}
