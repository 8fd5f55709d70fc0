/** What the conversation contract means, as plainly as it can be written: one workspace in memory, without times. */
import { HoldfastError, type ErrorCode } from '../../errors.ts'
import type {
  Message,
  MessagePatch,
  MessageQuery,
  NewMessage,
  NewSession,
  Session,
  SessionPatch,
} from '../../conversation/contract.ts'
import type { JsonObject, JsonObjectInput } from '../../store/contract.ts'

export type TimelessSession = Omit<Session, 'createdAt' | 'updatedAt'>
export type TimelessMessage = Omit<Message, 'createdAt'>

interface Entry {
  session: TimelessSession
  messages: TimelessMessage[]
}

type Owner = Pick<NewSession, 'userId' | 'agentId'>

/** Has the methods of the store that operations call, under the same names and with the same arguments. */
export class ConversationModel {
  readonly #entries = new Map<string, Entry>()

  createSession(given: NewSession & { id: string }): TimelessSession {
    if (this.#entries.has(given.id)) refuse('CONFLICT')
    const base = { state: {}, metadata: {}, lastSeq: 0, version: 1 }
    const session = { ...base, ...present(given) } as TimelessSession
    this.#entries.set(given.id, { session, messages: [] })
    return session
  }

  getSession(id: string): TimelessSession | undefined {
    return this.#entries.get(id)?.session
  }

  updateSession(id: string, patch: SessionPatch, options: { ifVersion?: number | undefined } = {}): TimelessSession {
    const entry = this.#entry(id)
    if (options.ifVersion !== undefined && options.ifVersion !== entry.session.version) refuse('CONFLICT')
    entry.session = { ...patched(entry.session, patch), version: entry.session.version + 1 }
    return entry.session
  }

  upsertSession(given: NewSession & { id: string }): TimelessSession {
    const current = this.getSession(given.id)
    if (current === undefined) return this.createSession(given)
    const { id, state = {}, metadata = {}, ...fields } = given
    const merged = { state: merge(current.state, state), metadata: merge(current.metadata, metadata) }
    return this.updateSession(id, { ...fields, ...merged })
  }

  deleteSession(id: string): boolean {
    return this.#entries.delete(id)
  }

  /** Ids without order; the order is checked by the times that the store gives. */
  idsOf(query: Owner): string[] {
    const matches = ({ session }: Entry): boolean =>
      (query.userId === undefined || session.userId === query.userId) &&
      (query.agentId === undefined || session.agentId === query.agentId)
    return [...this.#entries.values()].filter(matches).map(({ session }) => session.id)
  }

  addMessages(
    sessionId: string,
    given: readonly NewMessage[],
    options: { expectedSeq?: number | undefined } = {},
  ): TimelessMessage[] {
    const entry = this.#entry(sessionId)
    const { lastSeq } = entry.session
    if (options.expectedSeq !== undefined && options.expectedSeq !== lastSeq) refuse('CONFLICT')
    if (given.some(({ id }) => entry.messages.some((message) => message.id === id))) refuse('CONFLICT')
    const added = given.map(
      (message, i) => ({ content: null, ...present(message), sessionId, seq: lastSeq + i + 1 }) as TimelessMessage,
    )
    entry.messages.push(...added)
    entry.session = { ...entry.session, lastSeq: lastSeq + added.length }
    return added
  }

  getMessages(
    sessionId: string,
    { after, before = Infinity, limit = Infinity, order = 'asc' }: MessageQuery = {},
  ): TimelessMessage[] {
    const all = this.#entries.get(sessionId)?.messages ?? []
    const within = all.filter(({ seq }) => seq > (after ?? 0) && seq < before)
    const picked = after === undefined ? within.slice(Math.max(0, within.length - limit)) : within.slice(0, limit)
    return order === 'asc' ? picked : picked.toReversed()
  }

  updateMessage(sessionId: string, id: string, patch: MessagePatch): TimelessMessage {
    const entry = this.#entries.get(sessionId)
    const index = entry?.messages.findIndex((message) => message.id === id) ?? -1
    if (entry === undefined || index < 0) refuse('NOT_FOUND')
    const { content, ...rest } = patch
    const updated = { ...patched(entry.messages[index]!, rest), ...(content === undefined ? {} : { content }) }
    entry.messages[index] = updated
    return updated
  }

  deleteMessages(sessionId: string, ids?: readonly string[]): number {
    return this.#keep(sessionId, (message) => ids !== undefined && !ids.includes(message.id))
  }

  truncate(sessionId: string, afterSeq: number): number {
    return this.#keep(sessionId, (message) => message.seq <= afterSeq)
  }

  forkSession(id: string, { newId, atSeq }: { newId: string; atSeq?: number }): TimelessSession {
    const { session, messages } = this.#entry(id)
    if (this.#entries.has(newId)) refuse('CONFLICT')
    const lastSeq = atSeq ?? session.lastSeq
    const copies = messages.filter(({ seq }) => seq <= lastSeq).map((message) => ({ ...message, sessionId: newId }))
    const fork = { ...session, id: newId, lastSeq, version: 1 }
    this.#entries.set(newId, { session: fork, messages: copies })
    return fork
  }

  deleteUser(userId: string): { sessions: number; messages: number } {
    const ids = this.idsOf({ userId })
    const messages = ids.reduce((sum, id) => sum + this.getMessages(id).length, 0)
    for (const id of ids) this.deleteSession(id)
    return { sessions: ids.length, messages }
  }

  /** `session id / message id` of what a search finds, without order. */
  found(text: string, { userId, sessionId }: { userId?: string | undefined; sessionId?: string | undefined }): string[] {
    const terms = text.toLowerCase().split(/\s+/u).filter(Boolean)
    return [...this.#entries.values()]
      .filter(({ session }) => (userId ?? session.userId) === session.userId && (sessionId ?? session.id) === session.id)
      .flatMap(({ messages }) => messages)
      .filter((message) => terms.every((term) => textOf(message).includes(term)))
      .map((message) => `${message.sessionId}/${message.id}`)
  }

  #entry(id: string): Entry {
    return this.#entries.get(id) ?? refuse('NOT_FOUND')
  }

  #keep(sessionId: string, keep: (message: TimelessMessage) => boolean): number {
    const entry = this.#entries.get(sessionId)
    if (entry === undefined) return 0
    const before = entry.messages.length
    entry.messages = entry.messages.filter(keep)
    return before - entry.messages.length
  }
}

function textOf({ content, parts = [] }: TimelessMessage): string {
  const texts = parts.map((part) => {
    const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown }
    return type === 'text' && typeof text === 'string' ? text : ''
  })
  return [content ?? '', ...texts].join('\n').toLowerCase()
}

/** The fields of `patch` put over `target`; null takes a field away. */
function patched<T extends object>(target: T, patch: object): T {
  const changed = { ...target, ...present(patch) }
  return Object.fromEntries(Object.entries(changed).filter(([field, value]) => value !== null || field === 'content')) as T
}

function merge(current: JsonObject, given: object): JsonObjectInput {
  return Object.fromEntries([...Object.entries(current), ...Object.entries(given)])
}

function present<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>
}

function refuse(code: ErrorCode): never {
  throw new HoldfastError(code, 'the model refuses')
}
