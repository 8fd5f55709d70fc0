/** HTTP requests to endpoints of a plugin, which travel as hexadecimal text. */
import { HoldfastError, type JsonObject, type JsonValue } from '../index.ts'
import { isObject } from './protocol.ts'

export interface EndpointRequest {
  readonly method: string
  /** With its query, beginning with `/`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: Uint8Array | string | undefined
  /** What the operator has set for the endpoint. */
  readonly settings?: JsonObject | undefined
}

export interface EndpointResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** The request as HTTP/1.1 has it. What could begin another header or another request is refused. */
export function rawRequest({ method, path, headers = {}, body = '' }: EndpointRequest): Uint8Array {
  const bytes = Buffer.from(body)
  const all = new Map([['host', 'localhost']])
  for (const [name, value] of Object.entries(headers)) all.set(token(name).toLowerCase(), line(value))
  // The length is what tells where the body ends; nothing else may.
  all.delete('transfer-encoding')
  all.set('content-length', String(bytes.length))
  const head = [`${token(method)} ${target(path)} HTTP/1.1`, ...Array.from(all, ([name, value]) => `${name}: ${value}`)]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes])
}

function token(text: string): string {
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(text)) return text
  throw new TypeError('a method or header name must be a token of HTTP')
}

function line(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new TypeError('a header must be one line')
  return text
}

function target(path: string): string {
  if (/^\/[^\s\0]*$/.test(path)) return path
  throw new TypeError('a path must begin with "/" and hold no white space; encode it')
}

/** Gathers what the plugin streams: the status and headers come first, the body in any number of pieces. */
export async function collectResponse(messages: AsyncIterable<JsonValue>, maxBytes: number): Promise<EndpointResponse> {
  let status = 200
  let headers: Record<string, string> = {}
  let size = 0
  const pieces: Uint8Array[] = []
  for await (const message of messages) {
    if (!isObject(message)) continue
    if (isStatus(message['status'])) status = message['status']
    if (isObject(message['headers'])) headers = textsOf(message['headers'])
    if (typeof message['result'] !== 'string') continue
    const piece = Buffer.from(message['result'], 'hex')
    size += piece.length
    if (size > maxBytes) throw new HoldfastError('VALUE_TOO_LARGE', `the plugin answered with more than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  return { status, headers, body: new Uint8Array(Buffer.concat(pieces)) }
}

function isStatus(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 200 && value <= 599
}

/** Headers that can be passed on as they are; others are left out. */
function textsOf(headers: JsonObject): Record<string, string> {
  const texts = Object.entries(headers).map(([name, value]) => [
    name.toLowerCase(),
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return Object.fromEntries(texts.filter(([name, value]) => /^[\w-]+$/.test(name!) && !/[^\t\x20-\x7e\x80-\xff]/.test(value!)))
}
