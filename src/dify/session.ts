/** A session that is open in a plugin: in whose storage its calls work, and what the plugin says in it. */
import { randomUUID } from 'node:crypto'
import { HoldfastError, type JsonValue } from '../index.ts'
import type { PluginStorage } from '../plugin-storage/index.ts'
import { Queue } from './queue.ts'

export interface SessionOptions {
  readonly workspaceId: string
  readonly storage: PluginStorage
  /** Milliseconds from one sign of life to the next. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  readonly maxUnreadBytes: number
  /** Whether the plugin has said that it is the end; else it may still be at work. */
  readonly onEnd: (session: Session, isSaid: boolean) => void
}

export class Session {
  readonly id = randomUUID()
  readonly workspaceId: string
  readonly storage: PluginStorage
  readonly #options: SessionOptions
  readonly #messages = new Queue<JsonValue>()
  readonly #timer: NodeJS.Timeout
  #isOver = false

  constructor(options: SessionOptions) {
    const { workspaceId, storage, timeoutMs, signal } = options
    this.workspaceId = workspaceId
    this.storage = storage
    this.#options = options
    const late = (): void => this.end(new HoldfastError('TIMEOUT', `the plugin said nothing for ${timeoutMs} ms`))
    this.#timer = setTimeout(late, timeoutMs)
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** What the plugin says comes in order, and then the end, or the error. */
  messages(): AsyncIterable<JsonValue> {
    return this.#messages
  }

  push(message: JsonValue, bytes: number): void {
    this.alive()
    this.#messages.push(message, bytes)
    const { maxUnreadBytes } = this.#options
    if (this.#messages.bytes <= maxUnreadBytes + bytes) return
    this.end(new HoldfastError('VALUE_TOO_LARGE', `the plugin has said more than ${maxUnreadBytes} bytes that nobody has read`))
  }

  /** The plugin is at work in this session. */
  alive(): void {
    // A timer that was cleared would begin anew.
    if (!this.#isOver) this.#timer.refresh()
  }

  /** From now on nothing belongs to this session; what was said before can still be read. A second call does nothing. */
  end(error?: unknown, isSaid = false): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#options.onEnd(this, isSaid)
    this.#messages.end(error)
  }

  readonly #onAbort = (): void => this.end(this.#options.signal!.reason)
}
