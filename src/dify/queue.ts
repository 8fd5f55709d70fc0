/** Items that one side puts in and the other takes out, in order, until the end. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = []
  #ended = false
  #error: unknown
  #wake: (() => void) | undefined

  push(item: T): void {
    if (this.#ended) return
    this.#items.push(item)
    this.#wake?.()
  }

  /** What is in comes out first; then the iteration ends, or throws the error. A second call does nothing. */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#wake?.()
  }

  get size(): number {
    return this.#items.length
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!
      if (this.#ended) break
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    if (this.#error !== undefined) throw this.#error
  }
}
