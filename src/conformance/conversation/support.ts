/** What the conversation cases share. */
import type { Message, NewMessage, Session } from '../../conversation/contract.ts'
import type { ConversationStore } from '../../conversation/store.ts'
import type { ConformanceCase } from '../case.ts'

export type ConversationCase = ConformanceCase<ConversationStore>

export {
  allPages,
  collect,
  expectError,
  expectNotApplied,
  expectRefused,
  expectTypeError,
  inParallel,
  sameJson,
} from '../expect.ts'

/** A user message with this text, and this id where given. */
export function said(content: string, id?: string): NewMessage {
  return { role: 'user', content, ...(id === undefined ? {} : { id }) }
}

/** `count` messages `m1 …` with the texts `text 1 …`. */
export function turns(count: number, from = 1): NewMessage[] {
  return Array.from({ length: count }, (_, i) => said(`text ${from + i}`, `m${from + i}`))
}

/** Creates session `id` with `count` messages in it. */
export async function talk(store: ConversationStore, id: string, count: number): Promise<Message[]> {
  await store.createSession({ id })
  return appendAll(store, id, turns(count))
}

/** Appends any number of messages, in as few appends as the store's limits allow. */
export async function appendAll(store: ConversationStore, id: string, messages: readonly NewMessage[]): Promise<Message[]> {
  const size = store.limits.batch ?? messages.length
  const added: Message[] = []
  for (let from = 0; from < messages.length; from += size)
    added.push(...(await store.addMessages(id, messages.slice(from, from + size))))
  return added
}

export function seqsOf(messages: readonly Message[]): number[] {
  return messages.map((message) => message.seq)
}

export function idsOf(items: readonly { readonly id: string }[]): string[] {
  return items.map((item) => item.id)
}

/** `from … to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
}

/** The session and its messages as a caller sees them now. */
export async function stateOf(
  store: ConversationStore,
  id: string,
): Promise<{ session: Session | undefined; messages: Message[] }> {
  return { session: await store.getSession(id), messages: await store.getMessages(id) }
}

/** A whole session as an export would hold it, with fixed times. */
export function sessionAt(id: string, updatedAt: number, more: Partial<Session> = {}): Session {
  const at = new Date(updatedAt)
  return {
    id,
    state: {},
    metadata: {},
    lastSeq: 0,
    version: 1,
    createdAt: new Date(Math.min(updatedAt, START)),
    updatedAt: at,
    ...more,
  }
}

/** A whole message as an export would hold it. */
export function messageAt(sessionId: string, seq: number, more: Partial<Message> = {}): Message {
  return { id: `m${seq}`, sessionId, seq, role: 'user', content: `text ${seq}`, createdAt: new Date(START + seq), ...more }
}

/** A fixed moment for restored data. */
export const START = Date.UTC(2026, 0, 1)

/** A moment long after any test: what never goes backwards must stay there. */
export const FUTURE = Date.UTC(2222, 0, 1)

/** Until the clock has moved by at least a millisecond or two. */
export function tick(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 3))
}
