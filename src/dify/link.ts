/** The way to a plugin. */
import type { Writable } from 'node:stream'

export interface Link {
  /** Bytes that were sent and that the plugin has not taken yet. */
  readonly backlogBytes: number
  /** Sends what opens a session. `action` is that of the invocation, which one transport has in its URL. */
  open(sessionId: string, line: string, action: string): void
  /** Sends the answer to a call that came over this link. */
  answer(lines: string): void
  /** Nobody waits any more for this session. Unless the plugin has said that it is the end, it may still be at work. */
  forget(sessionId: string, isSaid: boolean): void
  /** Ends the connection, and the process where there is one. */
  close(): Promise<void>
}

/** A link over which everything goes one way: a pipe or a socket. */
export class StreamLink implements Link {
  readonly #stream: Writable
  readonly #close: () => Promise<void>

  constructor(stream: Writable, close: () => Promise<void>) {
    this.#stream = stream
    this.#close = close
    // That the other side has gone is told otherwise.
    stream.on('error', () => undefined)
  }

  get backlogBytes(): number {
    return this.#stream.destroyed ? 0 : this.#stream.writableLength
  }

  open(_: string, line: string): void {
    this.#stream.write(line)
  }

  answer(lines: string): void {
    this.#stream.write(lines)
  }

  forget(): void {
    // There is no message by which a plugin is told.
  }

  close(): Promise<void> {
    return this.#close()
  }
}
