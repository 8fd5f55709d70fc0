/** A plugin that is connected: sessions are opened in it, and its calls back are answered. */
import { randomUUID } from 'node:crypto'
import { HoldfastError, type JsonObject, type JsonValue } from '../index.ts'
import type { PluginHost, PluginStorage } from '../plugin-storage/index.ts'
import { collectResponse, rawRequest, type EndpointRequest, type EndpointResponse } from './endpoint.ts'
import { DifyPluginError, lost } from './failures.ts'
import type { Line } from './lines.ts'
import type { Manifest, ToolDeclaration } from './manifest.ts'
import {
  answerLines,
  callBehind,
  errorLines,
  objectFrom,
  readMessage,
  requestLine,
  type BackwardsCall,
  type Invocation,
  type SessionMessage,
} from './protocol.ts'
import { Queue } from './queue.ts'
import { answerStorage, storageFailure } from './storage.ts'

/** How a host reaches a plugin. */
export interface Link {
  /** Sends what opens a session. `action` is that of the invocation, which one transport has in its URL. */
  open(sessionId: string, line: string, action: string): void
  /** Sends the answer to a call that came over this link. */
  answer(lines: string): void
  /** Ends the connection, and the process where there is one. */
  close(): Promise<void>
}

/** Another call of a plugin than storage: of a model, an app, a tool … What it gives is sent to the plugin; a throw is an error there. */
export type InvokeHandler = (
  type: string,
  request: JsonObject,
  session: { readonly pluginId: string; readonly workspaceId: string; readonly sessionId: string },
) => Promise<JsonValue> | JsonValue

export interface PluginRules {
  readonly plugins: PluginHost
  /** `get` of a missing key is an error in the plugin. Default false: `b""`. */
  readonly strict?: boolean | undefined
  readonly onInvoke?: InvokeHandler | undefined
  /** Calls of one plugin that may wait for an answer. Default 1,000. */
  readonly maxCalls?: number | undefined
  /** What the plugin logs, and what is wrong with what it sends. Default: nobody listens. */
  readonly onLog?: ((pluginId: string, text: string) => void) | undefined
}

export interface InvokeOptions {
  /** The tenant in whose storage the session works. Default: that of the plugin's connection, else `''`. */
  readonly workspaceId?: string | undefined
  readonly userId?: string | undefined
  readonly conversationId?: string | undefined
  readonly messageId?: string | undefined
  readonly appId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Milliseconds from one message of the plugin to the next. Default 250,000. */
  readonly timeoutMs?: number | undefined
}

export interface ToolCall extends InvokeOptions {
  readonly tool: string
  /** Default: the provider that declares the tool. */
  readonly provider?: string | undefined
  readonly parameters?: Readonly<Record<string, JsonValue>> | undefined
  readonly credentials?: Readonly<Record<string, JsonValue>> | undefined
}

interface Session {
  readonly id: string
  readonly workspaceId: string
  readonly storage: PluginStorage
  readonly messages: Queue<JsonValue>
}

const MAX_CALLS = 1_000
const MAX_BAD_LINES = 1_000
const SESSION_TIMEOUT_MS = 250_000

export class DifyPlugin {
  readonly manifest: Manifest
  /** What the plugin declares; empty where it did not say. */
  readonly tools: readonly ToolDeclaration[]
  /** Resolves when the plugin is gone; why, where it was not closed. */
  readonly ended: Promise<Error | undefined>
  readonly #workspaceId: string
  readonly #link: Link
  readonly #rules: PluginRules
  readonly #sessions = new Map<string, Session>()
  readonly #end: (reason: Error | undefined) => void
  #gone: Error | undefined
  #calls = 0
  #badLines = 0

  constructor(manifest: Manifest, tools: readonly ToolDeclaration[], link: Link, rules: PluginRules, workspaceId = '') {
    this.manifest = manifest
    this.tools = tools
    this.#link = link
    this.#rules = rules
    this.#workspaceId = workspaceId
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    this.ended = promise
    this.#end = resolve
  }

  /** `author/name`. */
  get pluginId(): string {
    return this.manifest.pluginId
  }

  /** Sessions that are open. */
  get sessions(): number {
    return this.#sessions.size
  }

  /** Opens a session and yields what the plugin streams. What the plugin raises is a `DifyPluginError`; a plugin that is gone `UNAVAILABLE`. */
  async *invoke(data: JsonObject, options: InvokeOptions = {}): AsyncGenerator<JsonValue, void> {
    if (this.#gone !== undefined) throw this.#gone
    options.signal?.throwIfAborted()
    const session = this.#open(options.workspaceId ?? this.#workspaceId)
    const timer = new Deadline(options.timeoutMs ?? SESSION_TIMEOUT_MS, (error) => session.messages.end(error))
    const onAbort = (): void => session.messages.end(options.signal!.reason)
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const invocation: Invocation = { ...options, data }
      const { action } = data
      this.#link.open(session.id, requestLine(session.id, invocation), typeof action === 'string' ? action : '')
      for await (const message of session.messages) {
        timer.again()
        yield message
      }
    } finally {
      timer.stop()
      options.signal?.removeEventListener('abort', onAbort)
      this.#sessions.delete(session.id)
    }
  }

  /** Invokes a tool and yields its messages: `{ type, message, meta }`. No such tool among those declared: `NOT_FOUND`. */
  async *invokeTool({
    tool,
    provider,
    parameters = {},
    credentials = {},
    ...options
  }: ToolCall): AsyncGenerator<JsonValue, void> {
    const data = {
      user_id: options.userId ?? 'holdfast',
      type: 'tool',
      action: 'invoke_tool',
      provider: provider ?? this.#providerOf(tool),
      tool,
      tool_parameters: { ...parameters },
      credentials: { ...credentials },
      credential_type: 'api-key',
    }
    yield* this.invoke(data, options)
  }

  /** Sends an HTTP request to an endpoint of the plugin, and gives its whole answer. */
  async invokeEndpoint(request: EndpointRequest, options: InvokeOptions = {}): Promise<EndpointResponse> {
    const raw = Buffer.from(rawRequest(request)).toString('hex')
    const data = {
      user_id: options.userId ?? 'holdfast',
      type: 'endpoint',
      action: 'invoke_endpoint',
      settings: { ...request.settings },
      raw_http_request: raw,
    }
    return collectResponse(this.invoke(data, options))
  }

  /** Takes a line that came from the plugin. What is no message is counted, told, and otherwise passed over. */
  receive({ text, cut }: Line): void {
    if (cut) return this.#refuseCut(text)
    const message = readMessage(text)
    if (message === undefined) return this.#bad()
    if (message.event === 'session') this.#onSession(message.sessionId, message.message)
    else if (message.event !== 'heartbeat') this.#rules.onLog?.(this.pluginId, JSON.stringify(message.data).slice(0, MAX_LOG))
  }

  /** The lines that answer a call; it never rejects. */
  async answer(call: BackwardsCall): Promise<string> {
    const { sessionId, requestId, request } = call
    const session = this.#sessions.get(sessionId)
    // The session must be one that this host opened in this very plugin: its id gives no right by itself.
    if (session === undefined) return errorLines(sessionId, requestId, 'there is no such session')
    if (this.#calls >= (this.#rules.maxCalls ?? MAX_CALLS)) {
      return errorLines(sessionId, requestId, 'RATE_LIMITED: too many calls wait for an answer')
    }
    this.#calls++
    try {
      return answerLines(sessionId, requestId, await this.#perform(call, session))
    } catch (error) {
      return errorLines(sessionId, requestId, this.#failureOf(call.type, request, error))
    } finally {
      this.#calls--
    }
  }

  /** A session's own connection has ended; one that the plugin has ended already stays as it is. */
  endSession(sessionId: string, reason: Error | undefined): void {
    this.#sessions.get(sessionId)?.messages.end(reason)
  }

  /** The connection is lost: every session ends with the reason. */
  fail(reason: Error): void {
    this.#leave(reason)
  }

  /** Ends the plugin. Sessions that are open fail. */
  async close(): Promise<void> {
    this.#leave(undefined)
    await this.#link.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #providerOf(tool: string): string {
    const declared = this.tools.find((each) => each.tool === tool)
    if (declared !== undefined) return declared.provider
    const names = this.tools.map((each) => each.tool).join(', ')
    throw new HoldfastError(
      'NOT_FOUND',
      `the plugin declares no tool ${JSON.stringify(tool)}${names === '' ? '; name its provider' : `; it has ${names}`}`,
    )
  }

  #leave(reason: Error | undefined): void {
    this.#gone ??= reason ?? lost(this.pluginId, 'it was closed')
    for (const { messages } of this.#sessions.values()) messages.end(this.#gone)
    this.#end(reason)
  }

  #open(workspaceId: string): Session {
    const { enabled, sizeBytes } = this.manifest.storage
    const id = randomUUID()
    const { storage } = this.#rules.plugins.session({ workspaceId, pluginId: this.pluginId, enabled, sizeBytes })
    const session: Session = { id, workspaceId, storage, messages: new Queue() }
    this.#sessions.set(id, session)
    return session
  }

  #onSession(sessionId: string, message: SessionMessage): void {
    if (message.type === 'invoke') {
      void this.answer(message.call).then((lines) => this.#link.answer(lines))
      return
    }
    // One that nobody waits for any more may still be running in the plugin.
    const session = this.#sessions.get(sessionId)
    if (message.type === 'stream') session?.messages.push(message.data)
    else session?.messages.end(message.type === 'error' ? new DifyPluginError(this.pluginId, message.data) : undefined)
  }

  async #perform({ type, request, sessionId }: BackwardsCall, { workspaceId, storage }: Session): Promise<JsonValue> {
    if (type === 'storage') return answerStorage(storage, request, { strict: this.#rules.strict === true }, {})
    const { onInvoke } = this.#rules
    if (onInvoke === undefined)
      throw new HoldfastError('UNSUPPORTED', `this host answers no calls of ${JSON.stringify(type.slice(0, 64))}`)
    return onInvoke(type, request, { pluginId: this.pluginId, workspaceId, sessionId })
  }

  #failureOf(type: string, request: JsonObject, error: unknown): string {
    if (type === 'storage') return storageFailure(request['opt'], error)
    return error instanceof Error ? error.message : 'the call failed'
  }

  #refuseCut(head: string): void {
    const call = callBehind(head)
    if (call === undefined || objectFrom(head) !== undefined) return this.#bad()
    this.#link.answer(errorLines(call.sessionId, call.requestId, 'VALUE_TOO_LARGE: the line is longer than this host takes'))
  }

  /** Ends a plugin that sends nothing but nonsense. */
  #bad(): void {
    this.#rules.onLog?.(this.pluginId, 'a line that is no message')
    if (++this.#badLines < MAX_BAD_LINES) return
    this.fail(lost(this.pluginId, 'it sent too many lines that are no messages'))
    void this.#link.close()
  }
}

const MAX_LOG = 4_096

/** Fires when nothing has happened for so long. */
class Deadline {
  readonly #ms: number
  readonly #late: () => void
  #timer: NodeJS.Timeout

  constructor(ms: number, onLate: (error: HoldfastError) => void) {
    this.#ms = ms
    this.#late = () => onLate(new HoldfastError('TIMEOUT', `the plugin said nothing for ${ms} ms`))
    this.#timer = setTimeout(this.#late, ms)
  }

  again(): void {
    this.stop()
    this.#timer = setTimeout(this.#late, this.#ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
