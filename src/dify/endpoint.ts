/** HTTP requests to endpoints of a plugin, which travel as hexadecimal text. */
import type { JsonObject, JsonValue } from '../index.ts'
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

/** The request as HTTP/1.1 has it. A name or value that could begin another header is refused. */
export function rawRequest({ method, path, headers = {}, body = '' }: EndpointRequest): Uint8Array {
  const bytes = Buffer.from(body)
  const all = { host: 'localhost', ...headers, 'content-length': String(bytes.length) }
  const head = [
    `${token(method)} ${line(path)} HTTP/1.1`,
    ...Object.entries(all).map(([name, value]) => `${token(name)}: ${line(value)}`),
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes])
}

function token(text: string): string {
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(text)) return text
  throw new TypeError('a method or header name must be a token of HTTP')
}

function line(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new TypeError('a path or header must be one line')
  return text
}

/** Gathers what the plugin streams: the status and headers come first, the body in any number of pieces. */
export async function collectResponse(messages: AsyncIterable<JsonValue>): Promise<EndpointResponse> {
  let status = 200
  let headers: Record<string, string> = {}
  const pieces: Uint8Array[] = []
  for await (const message of messages) {
    if (!isObject(message)) continue
    if (typeof message['status'] === 'number') status = message['status']
    if (isObject(message['headers'])) headers = textsOf(message['headers'])
    if (typeof message['result'] === 'string') pieces.push(Buffer.from(message['result'], 'hex'))
  }
  return { status, headers, body: new Uint8Array(Buffer.concat(pieces)) }
}

function textsOf(headers: JsonObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  )
}
