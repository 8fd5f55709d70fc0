/** A plugin that is connected: sessions are opened in it, and its calls back are answered. */
import { HoldfastError, type JsonObject, type JsonValue } from '../index.ts'
import { Calls } from './calls.ts'
import { collectResponse, rawRequest, type EndpointRequest, type EndpointResponse } from './endpoint.ts'
import { DifyPluginError, lost } from './failures.ts'
import type { Line } from './lines.ts'
import type { Link } from './link.ts'
import type { Manifest, ToolDeclaration } from './manifest.ts'
import { errorLines, isObject, readMessage, requestLine, traceOf, type BackwardsCall, type SessionMessage } from './protocol.ts'
import { log, MAX_PENDING_BYTES, type PluginRules } from './rules.ts'
import { Session } from './session.ts'

export interface InvokeOptions {
  /** The tenant in whose storage the session works. Default: that of the plugin's connection, else `''`. */
  readonly workspaceId?: string | undefined
  readonly userId?: string | undefined
  readonly conversationId?: string | undefined
  readonly messageId?: string | undefined
  readonly appId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Milliseconds from one sign of life in the session to the next. Default 250,000. */
  readonly timeoutMs?: number | undefined
}

export interface ToolCall extends InvokeOptions {
  readonly tool: string
  /** Default: the provider that declares the tool, or that of the plugin's name where it declares none. */
  readonly provider?: string | undefined
  readonly parameters?: Readonly<Record<string, JsonValue>> | undefined
  readonly credentials?: Readonly<Record<string, JsonValue>> | undefined
}

/** One thing that a tool says. */
export interface ToolMessage {
  /** `text`, `json`, `link`, `image`, `variable`, `blob`, `blob_chunk`, `log`, `file` …; `unknown` for what is no message of a tool. */
  readonly type: string
  /** By its type: `{ text }`, `{ json_object }`, `{ blob }` in base64 … */
  readonly message: JsonObject
  /** Such as `{ mime_type }`. */
  readonly meta: JsonObject | null
}

/** What a connection knows of its plugin. */
export interface Connected {
  readonly manifest: Manifest
  /** What the plugin declares; empty where it did not say. */
  readonly tools: readonly ToolDeclaration[]
  readonly link: Link
  readonly workspaceId?: string | undefined
  /** Sessions in other workspaces are refused. */
  readonly isBound?: boolean
}

const SESSION_TIMEOUT_MS = 250_000

export class DifyPlugin implements AsyncDisposable {
  readonly manifest: Manifest
  /** What the plugin declares; empty where it did not say. */
  readonly tools: readonly ToolDeclaration[]
  /** Resolves when the plugin is gone; why, where it was not closed. */
  readonly ended: Promise<Error | undefined>
  readonly #connected: Connected
  readonly #rules: PluginRules
  readonly #calls: Calls
  readonly #sessions = new Map<string, Session>()
  readonly #end: (reason: Error | undefined) => void
  #gone: Error | undefined

  /** @internal */
  constructor(connected: Connected, rules: PluginRules) {
    const { manifest, tools, link } = connected
    this.manifest = manifest
    this.tools = tools
    this.#connected = connected
    this.#rules = rules
    const { quotaBytes } = rules.plugins
    const { sizeBytes = quotaBytes } = manifest.storage
    this.#calls = new Calls({ pluginId: this.pluginId, link, rules, quotaBytes: Math.min(sizeBytes, quotaBytes) })
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
    const session = this.#open(options)
    try {
      const { action } = data
      this.#connected.link.open(
        session.id,
        requestLine(session.id, { ...options, data }),
        typeof action === 'string' ? action : '',
      )
      yield* session.messages()
    } finally {
      session.end()
    }
  }

  /** Invokes a tool and yields what it says. No such tool among those declared: `NOT_FOUND`. */
  async *invokeTool({
    tool,
    provider,
    parameters = {},
    credentials = {},
    ...options
  }: ToolCall): AsyncGenerator<ToolMessage, void> {
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
    for await (const said of this.invoke(data, options)) yield toToolMessage(said)
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
    return collectResponse(this.invoke(data, options), this.#rules.maxPendingBytes ?? MAX_PENDING_BYTES)
  }

  /** Ends the plugin. Sessions that are open fail. */
  async close(): Promise<void> {
    this.#leave(undefined)
    await this.#connected.link.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Takes a line that came from the plugin. What is no message is told and otherwise passed over, however much of it there is. The promise, if
   * there is one, is to be waited for before the next line.
   * @internal
   */
  receive(line: Line): Promise<void> | undefined {
    const message = line.cut ? undefined : readMessage(line.text)
    if (message === undefined) this.#refuse(line)
    else if (message.event === 'session') this.#onSession(message.sessionId, message.message, line.bytes)
    else if (message.event !== 'heartbeat') log(this.#rules, this.pluginId, JSON.stringify(message.data))
    return this.#calls.isFull ? this.#calls.room() : undefined
  }

  /**
   * The host does not read what the plugin says, until some of its calls are answered.
   * @internal
   */
  get isHeldUp(): boolean {
    return this.#calls.isFull
  }

  /**
   * Answers a call that came by itself.
   * @internal
   */
  async answer(call: BackwardsCall, bytes: number, send: (lines: string) => void): Promise<void> {
    await this.#calls.answer(call, this.#sessions.get(call.sessionId), bytes, send)
  }

  /**
   * A session's own connection has ended; one that the plugin has ended already stays as it is.
   * @internal
   */
  endSession(sessionId: string, reason: Error | undefined): void {
    this.#sessions.get(sessionId)?.end(reason)
  }

  /**
   * The plugin is lost: every session ends with the reason, and what is left of the connection is closed.
   * @internal
   */
  async fail(why: string): Promise<void> {
    this.#leave(lost(this.pluginId, why))
    await this.#connected.link.close()
  }

  #providerOf(tool: string): string {
    const declared = this.tools.find((each) => each.tool === tool)
    if (declared !== undefined) return declared.provider
    // One that says nothing of its tools has one provider, of its own name.
    if (this.tools.length === 0) return this.pluginId.slice(this.pluginId.indexOf('/') + 1)
    const names = this.tools.map((each) => each.tool).join(', ')
    throw new HoldfastError('NOT_FOUND', `the plugin declares no tool ${JSON.stringify(tool)}; it has ${names}`)
  }

  #leave(reason: Error | undefined): void {
    this.#gone ??= reason ?? lost(this.pluginId, 'it was closed')
    for (const session of this.#sessions.values()) session.end(this.#gone)
    this.#end(reason)
  }

  #open({ workspaceId, timeoutMs = SESSION_TIMEOUT_MS, signal }: InvokeOptions): Session {
    const { workspaceId: own = '', isBound = false } = this.#connected
    const chosen = workspaceId ?? own
    if (isBound && chosen !== own)
      throw new HoldfastError('PERMISSION_DENIED', `the plugin ${this.pluginId} was let in for another workspace`)
    if (this.#calls.isIgnored)
      throw new HoldfastError('UNAVAILABLE', `the plugin ${this.pluginId} does not read what it is sent`, {
        outcome: 'not-applied',
      })
    const { enabled, sizeBytes } = this.manifest.storage
    const { storage } = this.#rules.plugins.session({ workspaceId: chosen, pluginId: this.pluginId, enabled, sizeBytes })
    const session = new Session({
      workspaceId: chosen,
      storage,
      timeoutMs,
      signal,
      maxUnreadBytes: this.#rules.maxPendingBytes ?? MAX_PENDING_BYTES,
      onEnd: ({ id }, isSaid) => {
        this.#sessions.delete(id)
        this.#connected.link.forget(id, isSaid)
      },
    })
    this.#sessions.set(session.id, session)
    return session
  }

  #onSession(sessionId: string, message: SessionMessage, bytes: number): void {
    if (message.type === 'invoke') {
      void this.answer(message.call, bytes, this.#send)
      return
    }
    // One that nobody waits for any more may still be running in the plugin.
    const session = this.#sessions.get(sessionId)
    if (message.type === 'stream') session?.push(message.data, bytes)
    else session?.end(message.type === 'error' ? new DifyPluginError(this.pluginId, message.data) : undefined, true)
  }

  readonly #send = (lines: string): void => {
    this.#connected.link.answer(lines)
    if (this.#calls.isIgnored) void this.fail('it does not read the answers to its calls')
  }

  /** What cannot be read is an error for the very call, or session, that it seems to be of. */
  #refuse({ text, cut }: Line): void {
    const trace = traceOf(text)
    const why = cut ? 'VALUE_TOO_LARGE: the line is longer than this host takes' : 'INVALID_ARGUMENT: the line is no message'
    if (trace?.requestId !== undefined) {
      this.#send(errorLines(trace.sessionId, trace.requestId, `unmarshal backwards invoke request failed: ${why}`))
    } else if (trace !== undefined && cut) {
      const error = new HoldfastError('VALUE_TOO_LARGE', `the plugin ${this.pluginId} sent a line longer than this host takes`)
      this.endSession(trace.sessionId, error)
    }
    // A line that begins like a message may hold a value; anything else was printed.
    log(this.#rules, this.pluginId, text.startsWith('{') ? `a line was refused: ${why}` : `printed: ${text}`)
  }
}

function toToolMessage(said: JsonValue): ToolMessage {
  const { type, message, meta } = isObject(said) ? said : {}
  if (typeof type !== 'string') return { type: 'unknown', message: { said }, meta: null }
  return { type, message: isObject(message) ? message : {}, meta: isObject(meta) ? meta : null }
}
