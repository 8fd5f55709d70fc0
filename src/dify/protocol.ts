/**
 * The messages between a Dify host and its plugins. Host to plugin: one JSON object a line. Plugin to host: JSON objects, a blank line
 * behind each. The format follows the public sources of the plugin daemon and of the Python SDK `dify_plugin`.
 */
import type { JsonObject, JsonValue } from '../index.ts'

/** What a session of a plugin is opened with. */
export interface Invocation {
  readonly data: JsonObject
  readonly conversationId?: string | undefined
  readonly messageId?: string | undefined
  readonly appId?: string | undefined
  readonly endpointId?: string | undefined
}

/** One line that opens a session. */
export function requestLine(sessionId: string, { data, conversationId, messageId, appId, endpointId }: Invocation): string {
  const request = {
    session_id: sessionId,
    conversation_id: conversationId ?? null,
    message_id: messageId ?? null,
    app_id: appId ?? null,
    endpoint_id: endpointId ?? null,
    context: {},
    event: 'request',
    data,
  }
  return toLine(request)
}

type BackwardsEvent = 'response' | 'error' | 'end'

function backwardsLine(sessionId: string, requestId: string, event: BackwardsEvent, message: string, data: JsonValue): string {
  const body = { backwards_request_id: requestId, event, message, data }
  return toLine({ session_id: sessionId, event: 'backwards_response', data: body })
}

/** Some read lines as ends at what JSON leaves as it is. */
function toLine(message: unknown): string {
  const json = JSON.stringify(message).replace(
    /[\u0085\u2028\u2029]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `${json}\n`
}

/** An answer to a call of the plugin, or a part of it. */
export function answerLine(sessionId: string, requestId: string, data: JsonValue): string {
  return backwardsLine(sessionId, requestId, 'response', 'struct', data)
}

/** An error instead of an answer, and its end. */
export function errorLines(sessionId: string, requestId: string, message: string): string {
  return backwardsLine(sessionId, requestId, 'error', message, null) + endLine(sessionId, requestId)
}

/** Ends the answer to a call. */
export function endLine(sessionId: string, requestId: string): string {
  return backwardsLine(sessionId, requestId, 'end', '', null)
}

/** A call that a plugin makes back to its host. */
export interface BackwardsCall {
  readonly sessionId: string
  readonly requestId: string
  /** `storage`, `model`, `app`, `tool` … */
  readonly type: string
  readonly request: JsonObject
}

/** What a plugin says within a session. */
export type SessionMessage =
  | { readonly type: 'stream'; readonly data: JsonValue }
  | { readonly type: 'error'; readonly data: JsonObject }
  | { readonly type: 'end' }
  | { readonly type: 'invoke'; readonly call: BackwardsCall }

/** What a plugin sends. */
export type PluginMessage =
  | { readonly event: 'session'; readonly sessionId: string; readonly message: SessionMessage }
  | { readonly event: 'heartbeat' }
  | { readonly event: 'log' | 'error'; readonly data: JsonValue }

const MAX_ID = 128

/** Reads one line of a plugin; undefined where it is none of the protocol's. */
export function readMessage(text: string): PluginMessage | undefined {
  const line = objectFrom(text)
  if (line === undefined) return undefined
  const { event, session_id: sessionId, data = null } = line
  if (event === 'heartbeat') return { event }
  if (event === 'log' || event === 'error') return { event, data }
  if (event !== 'session' || !isId(sessionId) || !isObject(data)) return undefined
  const message = readSession(sessionId, data)
  return message && { event, sessionId, message }
}

function readSession(sessionId: string, { type, data = null }: JsonObject): SessionMessage | undefined {
  switch (type) {
    case 'stream':
      return { type, data }
    case 'error':
      return isObject(data) ? { type, data } : undefined
    case 'end':
      return { type }
    case 'invoke':
      return readCall(sessionId, data)
    default:
      return undefined
  }
}

function readCall(sessionId: string, data: JsonValue): SessionMessage | undefined {
  if (!isObject(data)) return undefined
  const { type, backwards_request_id: requestId, request } = data
  if (typeof type !== 'string' || !isId(requestId) || !isObject(request)) return undefined
  return { type: 'invoke', call: { sessionId, requestId, type, request } }
}

/** Of a line that cannot be read: whose it seems to be, from its beginning. */
export interface Trace {
  readonly sessionId: string
  /** That of a call, if it was one. */
  readonly requestId: string | undefined
}

const TRACED = 4_096

export function traceOf(line: string): Trace | undefined {
  const head = line.slice(0, TRACED)
  const sessionId = /"session_id":\s*"([\w-]{1,128})"/.exec(head)?.[1]
  if (sessionId === undefined) return undefined
  return { sessionId, requestId: /"backwards_request_id":\s*"([\w-]{1,128})"/.exec(head)?.[1] }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ID
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectFrom(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
