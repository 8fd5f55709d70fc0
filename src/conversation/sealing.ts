/**
 * Records of conversations, sealed field by field and opened. What people and models wrote is sealed; ids, roles, counters and times are
 * not. Bound to each field are its session, its message and its name, and to the key the workspace: moved elsewhere it does not open.
 */
import type { KeyRing, KeyRingOptions } from '../encryption/key-ring.ts'
import { notEncrypted } from '../encryption/mode.ts'
import { contextOf } from '../encryption/sealer.ts'
import { Sealers } from '../encryption/sealers.ts'
import type { Limits } from '../store/contract.ts'
import { isSealedJson, unwrapSealed, wrapSealed, type SealedShape } from '../store/sealed.ts'
import type { MessageRecord, MessageRecordPatch, SessionRecord, SessionRecordPatch } from './contract.ts'
import { isSealedSession } from './plain.ts'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** A field of a record, as the message of an error and as what is bound to its text. */
interface Place {
  readonly workspace: string
  readonly what: string
  readonly context: readonly string[]
  readonly shape: SealedShape
}

const SESSION_SHAPES = { name: 'text', state: 'object', metadata: 'object' } as const
const MESSAGE_SHAPES = { parts: 'array', toolCalls: 'array', metadata: 'object' } as const
const SESSION_FIELDS = ['name', 'state', 'metadata'] as const
const MESSAGE_FIELDS = ['parts', 'toolCalls', 'metadata'] as const

/** In front of content: whether it is escaped. */
const PLAIN = 'p'
const ESCAPED = 'e'

const PURPOSE = 'conversation'
/** The longest text around what is sealed. */
const WRAPPER_BYTES = 32

export class ConversationSealing {
  readonly #sealers: Sealers

  constructor(keys: KeyRing | KeyRingOptions) {
    this.#sealers = new Sealers(keys, PURPOSE)
  }

  /** What is left of a backend's limits for what is not sealed yet. */
  limits({ contentBytes, jsonBytes, ...others }: Limits): Limits {
    return {
      ...others,
      ...(contentBytes === undefined ? {} : { contentBytes: this.#room(contentBytes) }),
      ...(jsonBytes === undefined ? {} : { jsonBytes: this.#room(jsonBytes) }),
    }
  }

  sealSession<R extends SessionRecord | SessionRecordPatch>(workspace: string, id: string, record: R): R {
    const sealed: Writable<SessionRecordPatch> = {}
    for (const field of SESSION_FIELDS) {
      const text = record[field]
      if (typeof text === 'string') sealed[field] = this.#seal(sessionPlace(workspace, id, field), text)
    }
    return { ...record, ...sealed }
  }

  /** Fields that are not sealed: `DECRYPTION_FAILED`, or, for a conversion, taken as they are. */
  openSession(workspace: string, record: SessionRecord, takePlain = false): SessionRecord {
    // Only beside a sealed state is a name that reads like a sealed one such a name.
    if (takePlain && !isSealedSession(record)) return record
    const opened: Writable<SessionRecordPatch> = {}
    for (const field of SESSION_FIELDS) {
      const text = record[field]
      if (text !== null) opened[field] = this.#open(sessionPlace(workspace, record.id, field), text, takePlain)
    }
    return { ...record, ...opened }
  }

  sealMessage<R extends MessageRecord | MessageRecordPatch>(workspace: string, sessionId: string, id: string, record: R): R {
    const sealed: Writable<MessageRecordPatch> = {}
    const { content } = record
    if (typeof content === 'string') {
      sealed.content = this.#seal(contentPlace(workspace, sessionId, id), (record.escaped === true ? ESCAPED : PLAIN) + content)
      sealed.escaped = true
    }
    for (const field of MESSAGE_FIELDS) {
      const text = record[field]
      if (typeof text === 'string') sealed[field] = this.#seal(messagePlace(workspace, sessionId, id, field), text)
    }
    return { ...record, ...sealed }
  }

  /** As `openSession`. */
  openMessage(workspace: string, sessionId: string, record: MessageRecord, takePlain = false): MessageRecord {
    const opened: Writable<MessageRecordPatch> = {}
    if (record.content !== null && !(takePlain && !isSealedContent(record))) {
      const place = contentPlace(workspace, sessionId, record.id)
      if (!record.escaped) throw notEncrypted(place.what)
      const text = this.#open(place, record.content)
      opened.content = text.slice(1)
      opened.escaped = text.startsWith(ESCAPED)
    }
    for (const field of MESSAGE_FIELDS) {
      const text = record[field]
      if (text !== null) opened[field] = this.#open(messagePlace(workspace, sessionId, record.id, field), text, takePlain)
    }
    return { ...record, ...opened }
  }

  /** True where all of the session's fields are as `sealSession` would make them now. */
  isCurrentSession(workspace: string, record: SessionRecord): boolean {
    return SESSION_FIELDS.every((field) => this.#isCurrent(workspace, record[field], SESSION_SHAPES[field]))
  }

  /** True where all of the message's fields are as `sealMessage` would make them now. */
  isCurrentMessage(workspace: string, record: MessageRecord): boolean {
    const { content, escaped } = record
    if (content !== null && !(escaped && this.#isCurrent(workspace, content, 'literal'))) return false
    return MESSAGE_FIELDS.every((field) => this.#isCurrent(workspace, record[field], MESSAGE_SHAPES[field]))
  }

  #isCurrent(workspace: string, text: string | null, shape: SealedShape): boolean {
    if (text === null) return true
    const sealed = unwrapSealed(text, shape)
    return sealed !== undefined && this.#sealers.of(workspace).isCurrent(sealed)
  }

  #seal({ workspace, context, shape }: Place, text: string): string {
    return wrapSealed(this.#sealers.of(workspace).seal(Buffer.from(text), contextOf(...context)), shape)
  }

  #open({ workspace, context, shape, what }: Place, text: string, takePlain = false): string {
    const sealed = unwrapSealed(text, shape)
    if (sealed === undefined && takePlain) return text
    if (sealed === undefined) throw notEncrypted(what)
    const { buffer } = this.#sealers.of(workspace).open(sealed, contextOf(...context), what)
    return Buffer.from(buffer).toString()
  }

  #room(bytes: number): number {
    const sealedBytes = Math.floor((bytes - WRAPPER_BYTES) / 4) * 3
    // One more for the mark in front of content.
    return Math.max(1, sealedBytes - this.#sealers.of('').overhead - 1)
  }
}

/** Whether any field of the message is stored encrypted. */
export function isSealedMessage(record: MessageRecord): boolean {
  return isSealedContent(record) || MESSAGE_FIELDS.some((field) => record[field] !== null && isSealedJson(record[field]))
}

function isSealedContent({ content, escaped }: MessageRecord): boolean {
  return escaped && content !== null && isSealedJson(content)
}

function sessionPlace(workspace: string, id: string, field: (typeof SESSION_FIELDS)[number]): Place {
  const what = `the ${field} of session ${JSON.stringify(id)}`
  return { workspace, what, context: ['session', workspace, id, field], shape: SESSION_SHAPES[field] }
}

function contentPlace(workspace: string, sessionId: string, id: string): Place {
  const what = `the content of message ${JSON.stringify(id)}`
  return { workspace, what, context: ['message', workspace, sessionId, id, 'content'], shape: 'literal' }
}

function messagePlace(workspace: string, sessionId: string, id: string, field: (typeof MESSAGE_FIELDS)[number]): Place {
  const what = `the ${field} of message ${JSON.stringify(id)}`
  return { workspace, what, context: ['message', workspace, sessionId, id, field], shape: MESSAGE_SHAPES[field] }
}
