/** One connection to one server, whatever client library carries it. It is used until it breaks, and then replaced, never repaired. */
import { failureOf, LostError } from './redis-errors.ts'

export type RedisArg = string | Buffer
/** Texts come as bytes. */
export type RedisReply = null | number | Buffer | string | readonly RedisReply[]

/** What takes commands. Those of one turn of the event loop go over one connection, in their order. */
export interface RedisSender {
  /** Rejects with a `ReplyError` or a `LostError`. */
  send(command: readonly RedisArg[]): Promise<RedisReply>
}

/** What a client library has to do. It must never send a command twice, nor keep one for later. */
export interface RedisWire {
  /** False where nothing would get through any more. */
  readonly isOpen: boolean
  /** Rejects with whatever the library throws. */
  send(command: readonly RedisArg[]): Promise<RedisReply>
  /** Ends it at once. */
  destroy(): void
}

interface Waiting {
  readonly since: number
  readonly reject: (error: LostError) => void
}

export class RedisLink implements RedisSender {
  readonly #wire: RedisWire
  readonly #silenceMs: number
  /** Commands without an answer, oldest first. */
  readonly #waiting = new Set<Waiting>()
  #watch: NodeJS.Timeout | undefined
  #isRetired = false
  #isDestroyed = false

  /** `silenceMs`: a connection that leaves a command unanswered so long is taken for dead. */
  constructor(wire: RedisWire, silenceMs: number) {
    this.#wire = wire
    this.#silenceMs = silenceMs
  }

  get isOpen(): boolean {
    return !this.#isRetired && !this.#isDestroyed && this.#wire.isOpen
  }

  async send(command: readonly RedisArg[]): Promise<RedisReply> {
    if (this.#isDestroyed || !this.#wire.isOpen) throw new LostError('the connection is closed', false)
    const lost = Promise.withResolvers<never>()
    const waiting = { since: performance.now(), reject: lost.reject }
    this.#waiting.add(waiting)
    this.#watch ??= this.#look(this.#silenceMs)
    try {
      return await Promise.race([this.#wire.send(command), lost.promise])
    } catch (error) {
      throw failureOf(error)
    } finally {
      this.#waiting.delete(waiting)
      if (this.#isRetired && this.#waiting.size === 0) this.destroy()
    }
  }

  /** No new commands; those under way may finish. */
  retire(): void {
    this.#isRetired = true
    if (this.#waiting.size === 0) this.destroy()
  }

  destroy(reason = 'the connection was closed'): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    clearTimeout(this.#watch)
    // First, since they know why; and the library may take its time to notice.
    for (const { reject } of this.#waiting) reject(new LostError(reason, true))
    this.#wire.destroy()
  }

  /** A server that vanished without a word looks like one that thinks; only time tells. */
  #look(afterMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#watch = undefined
      const [oldest] = this.#waiting
      if (oldest === undefined) return
      const leftMs = oldest.since + this.#silenceMs - performance.now()
      if (leftMs > 0) this.#watch = this.#look(leftMs)
      else this.destroy(`no answer within ${this.#silenceMs} ms`)
    }, afterMs).unref()
  }
}
