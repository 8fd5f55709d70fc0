/** Bytes that may be held at a time. */
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 2

export class Budget {
  readonly #maxBytes: number
  readonly #others: () => number
  #bytes = 0
  #turn: Promise<void> = Promise.resolve()

  /** `others` tells what else counts. */
  constructor(maxBytes: number, others: () => number = () => 0) {
    this.#maxBytes = maxBytes
    this.#others = others
  }

  /** Does work that holds so many bytes as soon as there is room for them, one after another; what is larger than all room goes alone. */
  async within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    this.#turn = this.#turn.then(() => this.#take(bytes))
    await this.#turn
    try {
      return await work()
    } finally {
      this.#bytes -= bytes
    }
  }

  async #take(bytes: number): Promise<void> {
    while (!this.#fits(bytes)) await sleep(POLL_MS)
    this.#bytes += bytes
  }

  #fits(bytes: number): boolean {
    const held = this.#bytes + this.#others()
    return held === 0 || held + bytes <= this.#maxBytes
  }
}
