/** Sessions and messages as callers give them, checked, as the records that backends keep, and back. */
import { HoldfastError } from '../errors.ts'
import type { Limits } from '../store/contract.ts'
import { objectToJson, parseJson, parseJsonArray, parseJsonObject, toJson } from '../store/json.ts'
import { byteLength, randomUUID } from '../store/platform.ts'
import { isSealedJson, keysMissing } from '../store/sealed.ts'
import { checkDate, checkId, checkInteger, checkText, encodeText, invalid, typeName } from '../store/text.ts'
import type {
  Message,
  MessagePatch,
  MessageRecord,
  MessageRecordPatch,
  NewMessage,
  NewSession,
  Session,
  SessionPatch,
  SessionRecord,
  SessionRecordPatch,
} from './contract.ts'

/** UTF-8 bytes of a session's name. */
export const MAX_NAME_BYTES = 4096
/** UTF-8 bytes of a message's role. */
export const MAX_ROLE_BYTES = 64

type Writable<T> = { -readonly [K in keyof T]: T[K] }

// ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

export function newSession(session: NewSession, now: number, limits: Limits): SessionRecord {
  checkShape(session, 'session')
  return {
    id: session.id === undefined ? randomUUID() : checkId(session.id, 'session.id'),
    userId: session.userId === undefined ? null : checkId(session.userId, 'session.userId'),
    agentId: session.agentId === undefined ? null : checkId(session.agentId, 'session.agentId'),
    name: session.name === undefined ? null : checkName(session.name),
    state: session.state === undefined ? '{}' : sizedObject(session.state, 'state', limits),
    metadata: session.metadata === undefined ? '{}' : sizedObject(session.metadata, 'metadata', limits),
    lastSeq: 0,
    version: 1,
    createdAt: now,
    updatedAt: now,
  }
}

/** A session as `restore` takes it: what `newSession` checks, and the counters and times as they are given. */
export function restoredSession(session: Session, limits: Limits): SessionRecord {
  checkShape(session, 'session')
  checkId(session.id, 'session.id')
  return {
    ...newSession(session, 0, limits),
    lastSeq: checkInteger(required(session.lastSeq, 'session.lastSeq'), 'session.lastSeq', { min: 0 }, 0),
    version: checkInteger(required(session.version, 'session.version'), 'session.version', { min: 1 }, 1),
    createdAt: checkDate(session.createdAt, 'session.createdAt'),
    updatedAt: checkDate(session.updatedAt, 'session.updatedAt'),
  }
}

/** Fields in the contract's order, which is also that of printed and exported ones. */
export function toSession(record: SessionRecord): Session {
  const session = { id: record.id } as Session
  if (record.userId !== null) session.userId = record.userId
  if (record.agentId !== null) session.agentId = record.agentId
  if (record.name !== null) session.name = record.name
  session.state = record.state === '{}' ? {} : parseJsonObject(record.state, 'the state of a session')
  session.metadata = record.metadata === '{}' ? {} : parseJsonObject(record.metadata, 'the metadata of a session')
  session.lastSeq = record.lastSeq
  session.version = record.version
  session.createdAt = new Date(record.createdAt)
  session.updatedAt = new Date(record.updatedAt)
  return session
}

export function sessionPatch(patch: SessionPatch, limits: Limits): SessionRecordPatch {
  checkShape(patch, 'patch')
  const record: Writable<SessionRecordPatch> = {}
  if (patch.userId !== undefined) record.userId = patch.userId === null ? null : checkId(patch.userId, 'patch.userId')
  if (patch.agentId !== undefined) record.agentId = patch.agentId === null ? null : checkId(patch.agentId, 'patch.agentId')
  if (patch.name !== undefined) record.name = patch.name === null ? null : checkName(patch.name)
  if (patch.state !== undefined) record.state = sizedObject(patch.state, 'state', limits)
  if (patch.metadata !== undefined) record.metadata = sizedObject(patch.metadata, 'metadata', limits)
  return record
}

/** What `upsertSession` changes of a session that is there: the given fields, `state` and `metadata` merged at their top level. */
export function mergingPatch(
  given: NewSession,
  checked: SessionRecord,
  current: SessionRecord,
  limits: Limits,
): SessionRecordPatch {
  const patch: Writable<SessionRecordPatch> = {}
  if (given.userId !== undefined) patch.userId = checked.userId
  if (given.agentId !== undefined) patch.agentId = checked.agentId
  if (given.name !== undefined) patch.name = checked.name
  if (given.state !== undefined) patch.state = mergeJson(current.state, checked.state, 'state', limits)
  if (given.metadata !== undefined) patch.metadata = mergeJson(current.metadata, checked.metadata, 'metadata', limits)
  return patch
}

/** True when `found` is the session that `written` created. What others may move afterwards does not count. */
export function isSameSession(found: SessionRecord, written: SessionRecord): boolean {
  return (
    found.createdAt === written.createdAt &&
    found.userId === written.userId &&
    found.agentId === written.agentId &&
    found.name === written.name &&
    found.state === written.state &&
    found.metadata === written.metadata
  )
}

function checkName(value: unknown): string {
  checkText(value, 'name', MAX_NAME_BYTES)
  return value
}

function mergeJson(current: string, given: string, path: string, limits: Limits): string {
  return sizedObject({ ...parseJsonObject(current, `the ${path} of a session`), ...parseJsonObject(given, path) }, path, limits)
}

// ── Messages ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The message as a record without its `seq`, which the append gives it. */
export function newMessage(message: NewMessage, path: string, now: number, limits: Limits): MessageRecord {
  checkShape(message, path)
  const { parts, toolCalls, toolCallId, metadata } = message
  return {
    id: message.id === undefined ? randomUUID() : checkId(message.id, `${path}.id`),
    seq: 0,
    role: checkId(message.role, `${path}.role`, MAX_ROLE_BYTES),
    ...encodeContent(message.content ?? null, `${path}.content`, limits),
    parts: parts === undefined ? null : sizedArray(parts, `${path}.parts`, limits),
    toolCalls: toolCalls === undefined ? null : sizedArray(toolCalls, `${path}.toolCalls`, limits),
    toolCallId: toolCallId === undefined ? null : checkId(toolCallId, `${path}.toolCallId`),
    metadata: metadata === undefined ? null : sizedObject(metadata, `${path}.metadata`, limits),
    createdAt: message.createdAt === undefined ? now : checkDate(message.createdAt, `${path}.createdAt`),
  }
}

/** Messages as `restore` takes them: ids are unique, seqs rise strictly from 1 to `lastSeq` at most. */
export function restoredMessages(messages: readonly Message[], lastSeq: number, limits: Limits): MessageRecord[] {
  if (!Array.isArray(messages)) throw new TypeError(`messages must be an array, not ${typeName(messages)}`)
  const ids = new Set<string>()
  let least = 1
  return messages.map((message: Message, i) => {
    const path = `messages[${i}]`
    checkShape(message, path)
    const id = checkId(message.id, `${path}.id`)
    if (ids.has(id)) throw invalid(`${path}.id occurs twice`)
    ids.add(id)
    const seq = checkInteger(required(message.seq, `${path}.seq`), `${path}.seq`, { min: least, max: lastSeq }, 0)
    least = seq + 1
    checkDate(message.createdAt, `${path}.createdAt`)
    return { ...newMessage(message, path, 0, limits), seq }
  })
}

export function toMessage(sessionId: string, record: MessageRecord, seq = record.seq): Message {
  const content = record.escaped && record.content !== null ? decodeEscaped(record.content) : record.content
  const message = { id: record.id, sessionId, seq, role: record.role, content } as Message
  if (record.parts !== null) message.parts = parseJsonArray(record.parts, 'the parts of a message')
  if (record.toolCalls !== null) message.toolCalls = parseJsonArray(record.toolCalls, 'the tool calls of a message')
  if (record.toolCallId !== null) message.toolCallId = record.toolCallId
  if (record.metadata !== null) message.metadata = parseJsonObject(record.metadata, 'the metadata of a message')
  message.createdAt = new Date(record.createdAt)
  return message
}

export function messagePatch(patch: MessagePatch, limits: Limits): MessageRecordPatch {
  checkShape(patch, 'patch')
  const { role, content, parts, toolCalls, toolCallId, metadata } = patch
  const record: Writable<MessageRecordPatch> = {}
  if (role !== undefined) record.role = checkId(role, 'patch.role', MAX_ROLE_BYTES)
  if (content !== undefined) Object.assign(record, encodeContent(content, 'patch.content', limits))
  if (parts !== undefined) record.parts = parts === null ? null : sizedArray(parts, 'patch.parts', limits)
  if (toolCalls !== undefined) record.toolCalls = toolCalls === null ? null : sizedArray(toolCalls, 'patch.toolCalls', limits)
  if (toolCallId !== undefined) record.toolCallId = toolCallId === null ? null : checkId(toolCallId, 'patch.toolCallId')
  if (metadata !== undefined) record.metadata = metadata === null ? null : sizedObject(metadata, 'patch.metadata', limits)
  return record
}

/** True when both say the same; `seq`, which the append gave, does not count. */
export function isSameMessage(found: MessageRecord, written: MessageRecord): boolean {
  return (
    found.id === written.id &&
    found.role === written.role &&
    found.content === written.content &&
    found.escaped === written.escaped &&
    found.parts === written.parts &&
    found.toolCalls === written.toolCalls &&
    found.toolCallId === written.toolCallId &&
    found.metadata === written.metadata &&
    found.createdAt === written.createdAt
  )
}

function encodeContent(content: unknown, path: string, limits: Limits): { content: string | null; escaped: boolean } {
  if (content === null) return { content, escaped: false }
  if (typeof content !== 'string') throw new TypeError(`${path} must be a string or null, not ${typeName(content)}`)
  const { text, escaped } = encodeText(content)
  return { content: sized(text, limits.contentBytes, path), escaped }
}

/** The text of an escaped content; `CORRUPT` where it is none, `DECRYPTION_FAILED` where it is encrypted. */
export function decodeEscaped(literal: string): string {
  if (isSealedJson(literal)) throw keysMissing('the content of a message')
  const text = parseJson(literal, 'the content of a message')
  if (typeof text !== 'string') throw new HoldfastError('CORRUPT', 'the content of a message does not hold a string')
  return text
}

// ── Both ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function checkShape(value: unknown, path: string): void {
  if (!isObject(value)) throw new TypeError(`${path} must be an object, not ${typeName(value)}`)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function required(value: unknown, path: string): unknown {
  if (value === undefined) throw new TypeError(`${path} is missing`)
  return value
}

function sizedArray(value: unknown, path: string, limits: Limits): string {
  if (!Array.isArray(value)) throw new TypeError(`${path} must be an array, not ${typeName(value)}`)
  return sized(toJson(value, path), limits.jsonBytes, path)
}

function sizedObject(value: unknown, path: string, limits: Limits): string {
  return sized(objectToJson(value, path), limits.jsonBytes, path)
}

function sized(text: string, maxBytes: number | undefined, path: string): string {
  // A UTF-16 unit is at most 3 bytes of UTF-8, so short text needs no count.
  if (maxBytes === undefined || text.length * 3 <= maxBytes || byteLength(text) <= maxBytes) return text
  throw new HoldfastError('VALUE_TOO_LARGE', `${path} is longer than ${maxBytes} bytes`, { outcome: 'not-applied' })
}
