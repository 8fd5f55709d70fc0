/** What tools say, as messages of the protocol. */
import { randomUUID } from 'node:crypto'
import { toJson, type JsonObject, type JsonValue } from '../index.ts'

export interface ToolMessage {
  readonly type: 'text' | 'json' | 'link' | 'variable' | 'blob' | 'blob_chunk' | 'log' | (string & {})
  readonly message: JsonObject
  readonly meta?: JsonObject | null | undefined
}

const CHUNK_BYTES = 8_192
const MESSAGE = Symbol('message')

/** A message of any kind, as the protocol has it. */
export function message(type: ToolMessage['type'], content: JsonObject, meta: JsonObject | null = null): ToolMessage {
  return Object.defineProperty({ type, message: content, meta }, MESSAGE, { value: true })
}

export function text(content: string): ToolMessage {
  return message('text', { text: content })
}

/** An object or an array; the protocol has no other JSON: anything else is a `TypeError`. */
export function json(content: unknown): ToolMessage {
  if (typeof content !== 'object' || content === null) throw new TypeError('a JSON message must be an object or an array')
  return message('json', { json_object: JSON.parse(toJson(content, 'message')) as JsonValue })
}

/** Bytes with their media type. Over a connection they go in pieces. */
export function blob(bytes: Uint8Array, mimeType = 'application/octet-stream'): ToolMessage {
  return message('blob', { blob: Buffer.from(bytes).toString('base64') }, { mime_type: mimeType })
}

/** Messages from whatever a tool returned. */
export async function* toMessages(result: unknown): AsyncGenerator<ToolMessage, void> {
  if (isIterable(result)) {
    for await (const item of result) yield* single(item)
    return
  }
  const settled = await (result as Promise<unknown>)
  if (isIterable(settled)) yield* toMessages(settled)
  else yield* single(settled)
}

function* single(item: unknown): Generator<ToolMessage, void> {
  if (item === undefined || item === null) return
  if (typeof item === 'string' || typeof item === 'number' || typeof item === 'boolean') yield text(String(item))
  else if (item instanceof Uint8Array) yield blob(item)
  else if (typeof item === 'object' && MESSAGE in item) yield item as object as ToolMessage
  else yield json(item)
}

/** Generators are; text, bytes and arrays are values. */
function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) return false
  return Symbol.asyncIterator in value || Symbol.iterator in value
}

/** A blob in pieces of the size that hosts expect; every other message as it is. */
export function* inPieces(whole: ToolMessage): Generator<ToolMessage, void> {
  const content = whole.type === 'blob' ? whole.message['blob'] : undefined
  if (typeof content !== 'string') {
    yield whole
    return
  }
  const bytes = Buffer.from(content, 'base64')
  const id = randomUUID().replaceAll('-', '')
  const piece = (sequence: number, part: Uint8Array, end: boolean): ToolMessage => ({
    type: 'blob_chunk',
    message: { id, sequence, total_length: bytes.length, blob: Buffer.from(part).toString('base64'), end },
    meta: whole.meta ?? null,
  })
  let sequence = 0
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield piece(sequence++, bytes.subarray(at, at + CHUNK_BYTES), false)
  yield piece(sequence, new Uint8Array(), true)
}
