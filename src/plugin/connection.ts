/** The plugin's side of the protocol: requests come in, tools run, calls go back to the host. */
import { randomUUID } from 'node:crypto'
import type { Writable } from 'node:stream'
import { linesOf } from '../dify/lines.ts'
import { isObject, objectFrom } from '../dify/protocol.ts'
import { ERROR_CODES, HoldfastError, type CallOptions, type ErrorCode, type JsonObject, type JsonValue } from '../index.ts'
import type { Plugin, ToolSession } from './define.ts'
import { inPieces } from './messages.ts'
import { RemoteStorage } from './storage.ts'

export interface Channel {
  /** What the host sends; its end is that of the connection. */
  readonly incoming: AsyncIterable<Uint8Array>
  readonly outgoing: Writable
}

const HEARTBEAT_MS = 10_000
/** Hosts send whole values in one line. */
const MAX_LINE_BYTES = 512 * 2 ** 20

interface Waiting {
  resolve(data: JsonObject): void
  reject(error: Error): void
}

/** Serves a plugin over a channel, until the channel ends. */
export async function converse(plugin: Plugin, channel: Channel): Promise<void> {
  const conversation = new Conversation(plugin, channel)
  const heartbeat = setInterval(() => conversation.send('heartbeat', null, {}), HEARTBEAT_MS)
  conversation.send('heartbeat', null, {})
  try {
    for await (const { text, cut } of linesOf(channel.incoming, () => MAX_LINE_BYTES)) {
      const message = cut ? undefined : objectFrom(text)
      if (message === undefined) conversation.send('error', null, { error: 'a line that is no message' })
      else conversation.receive(message)
    }
  } finally {
    clearInterval(heartbeat)
    conversation.lose()
  }
}

class Conversation {
  readonly #plugin: Plugin
  readonly #channel: Channel
  readonly #waiting = new Map<string, Waiting>()
  #draining: Promise<void> | undefined
  #isLost = false

  constructor(plugin: Plugin, channel: Channel) {
    this.#plugin = plugin
    this.#channel = channel
  }

  /** True where the host reads more slowly than it is sent. */
  send(event: string, sessionId: string | null, data: JsonObject): boolean {
    return !this.#channel.outgoing.write(`${JSON.stringify({ event, session_id: sessionId, data })}\n\n`)
  }

  receive(message: JsonObject): void {
    const { event, session_id: sessionId, data } = message
    if (typeof sessionId !== 'string' || !isObject(data)) return
    if (event === 'request') void this.#serve(sessionId, message, data)
    else if (event === 'backwards_response') this.#answered(data)
  }

  /** The host is gone: nobody will answer any more. */
  lose(): void {
    this.#isLost = true
    const error = new HoldfastError('UNAVAILABLE', 'the host hung up', { outcome: 'unknown' })
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }

  async #serve(sessionId: string, message: JsonObject, data: JsonObject): Promise<void> {
    try {
      if (data['type'] !== 'tool' || data['action'] !== 'invoke_tool')
        throw new HoldfastError('UNSUPPORTED', 'this plugin has tools only')
      const parameters = isObject(data['tool_parameters']) ? data['tool_parameters'] : {}
      const tool = typeof data['tool'] === 'string' ? data['tool'] : ''
      for await (const whole of this.#plugin.run(tool, this.#sessionOf(sessionId, message, data), parameters)) {
        for (const { type, message: content, meta = null } of inPieces(whole)) {
          // Nobody hears it any more; the tool ends where it would have said something.
          if (this.#isLost) return
          if (this.#inSession(sessionId, 'stream', { type, message: content, meta })) await this.#drained()
        }
      }
    } catch (error) {
      const { name, message: text } = error instanceof Error ? error : new Error(String(error))
      const stack = error instanceof Error ? (error.stack ?? '') : ''
      this.#inSession(sessionId, 'error', { error_type: name, message: text, args: { traceback: stack } })
    }
    this.#inSession(sessionId, 'end', {})
  }

  #sessionOf(sessionId: string, message: JsonObject, data: JsonObject): ToolSession {
    const idOf = (value: JsonValue | undefined): string | undefined => (typeof value === 'string' ? value : undefined)
    return {
      sessionId,
      storage: new RemoteStorage((request, options) => this.#call(sessionId, request, options)),
      userId: idOf(data['user_id']),
      conversationId: idOf(message['conversation_id']),
      messageId: idOf(message['message_id']),
      appId: idOf(message['app_id']),
      credentials: isObject(data['credentials']) ? data['credentials'] : {},
    }
  }

  #inSession(sessionId: string, type: string, data: JsonObject): boolean {
    return this.send('session', sessionId, { type, data })
  }

  /** All sessions wait together, and also for a connection that will take no more. */
  #drained(): Promise<void> {
    const { outgoing } = this.#channel
    this.#draining ??= new Promise<void>((resolve) => {
      const done = (): void => {
        outgoing.off('drain', done).off('close', done)
        this.#draining = undefined
        resolve()
      }
      outgoing.on('drain', done).on('close', done)
      if (outgoing.destroyed) done()
    })
    return this.#draining
  }

  async #call(sessionId: string, request: JsonObject, options: CallOptions | undefined): Promise<JsonObject> {
    const { signal, timeoutMs } = options ?? {}
    signal?.throwIfAborted()
    if (this.#isLost) throw new HoldfastError('UNAVAILABLE', 'the host hung up', { outcome: 'not-applied' })
    const requestId = randomUUID().replaceAll('-', '')
    const { promise, resolve, reject } = Promise.withResolvers<JsonObject>()
    this.#waiting.set(requestId, { resolve, reject })
    const giveUp = (code: 'ABORTED' | 'TIMEOUT'): void =>
      reject(new HoldfastError(code, 'the host has not answered', { outcome: 'unknown' }))
    const onAbort = (): void => giveUp('ABORTED')
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => giveUp('TIMEOUT'), timeoutMs)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      this.#inSession(sessionId, 'invoke', { type: 'storage', backwards_request_id: requestId, request })
      return await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      this.#waiting.delete(requestId)
    }
  }

  #answered({ backwards_request_id: requestId, event, message, data }: JsonObject): void {
    const waiting = typeof requestId === 'string' ? this.#waiting.get(requestId) : undefined
    if (waiting === undefined) return
    if (event === 'error') waiting.reject(failureOf(typeof message === 'string' ? message : 'the call failed'))
    else if (event === 'response') waiting.resolve(isObject(data) ? data : {})
    else waiting.reject(new HoldfastError('UNAVAILABLE', 'the host ended the call without an answer', { outcome: 'unknown' }))
  }
}

/** Our hosts name a code in the message; others only say what happened. */
function failureOf(message: string): HoldfastError {
  if (message.startsWith('permission denied')) return new HoldfastError('PERMISSION_DENIED', message)
  const code = /: ([A-Z_]+): /.exec(message)?.[1]
  return new HoldfastError(code !== undefined && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'UNAVAILABLE', message)
}
