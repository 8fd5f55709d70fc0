/** Conversations from plain to encrypted, from an older key to the current one, and back to plain. */
import { isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { ConversationBackend, MessageRecord, SessionRecord } from './contract.ts'
import type { EncryptedConversations } from './encrypted.ts'
import { isSealedSession } from './plain.ts'
import { isSealedMessage, type ConversationSealing } from './sealing.ts'

export type Target = 'sealed' | 'plain'

export interface ConvertedConversations {
  sessions: number
  messages: number
}

const SESSION_PAGE = 100
const MESSAGE_PAGE = 200
/** Messages written at a time: backends commit together what comes together. */
const WIDTH = 32

/**
 * Converts a workspace, newest session first, each before its messages, so that from early on stores of the old mode refuse to write. What
 * is converted stays as it is: after an interruption it goes on where it stopped.
 */
export async function convertWorkspace(
  { stored, sealing }: EncryptedConversations,
  workspace: string,
  target: Target,
  call: BackendCall,
): Promise<ConvertedConversations> {
  const converter = new Converter(stored, sealing, workspace, target, call)
  let page: SessionRecord[]
  let after: SessionRecord | undefined
  do {
    page = await stored.listSessions(workspace, { order: 'desc', limit: SESSION_PAGE, after }, call)
    for (const session of page) await converter.session(session)
    after = page.at(-1)
  } while (page.length === SESSION_PAGE)
  return converter.converted
}

class Converter {
  readonly converted: ConvertedConversations = { sessions: 0, messages: 0 }
  readonly #backend: ConversationBackend
  readonly #sealing: ConversationSealing
  readonly #workspace: string
  readonly #target: Target
  readonly #call: BackendCall

  constructor(backend: ConversationBackend, sealing: ConversationSealing, workspace: string, target: Target, call: BackendCall) {
    this.#backend = backend
    this.#sealing = sealing
    this.#workspace = workspace
    this.#target = target
    this.#call = call
  }

  async session(listed: SessionRecord): Promise<void> {
    let record: SessionRecord | undefined = listed
    while (record !== undefined && !this.#isDone(record)) {
      this.#call.signal?.throwIfAborted()
      if (await this.#write(record)) break
      record = await this.#backend.getSession(this.#workspace, listed.id, this.#call)
    }
    await this.#messages(listed)
  }

  #isDone(record: SessionRecord): boolean {
    return this.#target === 'sealed' ? this.#sealing.isCurrentSession(this.#workspace, record) : !isSealedSession(record)
  }

  /** False where the session was changed meanwhile. Times stay as they are. */
  async #write(record: SessionRecord): Promise<boolean> {
    const { id, updatedAt, version } = record
    const plain = this.#sealing.openSession(this.#workspace, record, true)
    const { name, state, metadata } = this.#target === 'sealed' ? this.#sealing.sealSession(this.#workspace, id, plain) : plain
    const options = { now: updatedAt, ifVersion: version }
    try {
      await this.#backend.patchSession(this.#workspace, id, { name, state, metadata }, options, this.#call)
    } catch (error) {
      if (isHoldfastError(error, 'CONFLICT')) return false
      throw error
    }
    this.converted.sessions++
    return true
  }

  async #messages(session: SessionRecord): Promise<void> {
    let after = 0
    let page: MessageRecord[]
    do {
      page = await this.#backend.readMessages(
        this.#workspace,
        session.id,
        { after, order: 'asc', limit: MESSAGE_PAGE },
        this.#call,
      )
      const pending = page.filter((message) => !this.#isMessageDone(message)).values()
      const worker = async (): Promise<void> => {
        for (const { id } of pending) await this.#message(session, id)
      }
      await Promise.all(Array.from({ length: WIDTH }, worker))
      after = page.at(-1)?.seq ?? after
    } while (page.length === MESSAGE_PAGE)
  }

  #isMessageDone(record: MessageRecord): boolean {
    return this.#target === 'sealed' ? this.#sealing.isCurrentMessage(this.#workspace, record) : !isSealedMessage(record)
  }

  /** Read anew right before it is written, since no condition guards the write. */
  async #message({ id: sessionId, updatedAt }: SessionRecord, id: string): Promise<void> {
    this.#call.signal?.throwIfAborted()
    const [record] = await this.#backend.readMessages(this.#workspace, sessionId, { ids: [id], order: 'asc' }, this.#call)
    if (record === undefined || this.#isMessageDone(record)) return
    const plain = this.#sealing.openMessage(this.#workspace, sessionId, record, true)
    const { content, escaped, parts, toolCalls, metadata } =
      this.#target === 'sealed' ? this.#sealing.sealMessage(this.#workspace, sessionId, id, plain) : plain
    const patch = { content, escaped, parts, toolCalls, metadata }
    await this.#backend.patchMessage(this.#workspace, sessionId, id, patch, { now: updatedAt }, this.#call)
    this.converted.messages++
  }
}
