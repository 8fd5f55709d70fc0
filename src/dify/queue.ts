/** Items that one side puts in and one other takes out, in order, until the end. */
export class Queue<T> implements AsyncIterable<T> {
  #items: { readonly item: T; readonly bytes: number }[] = []
  #bytes = 0
  #ended = false
  #error: unknown
  #wake: (() => void) | undefined

  /** Of what nobody has taken yet. */
  get bytes(): number {
    return this.#bytes
  }

  push(item: T, bytes: number): void {
    if (this.#ended) return
    this.#items.push({ item, bytes })
    this.#bytes += bytes
    this.#wake?.()
  }

  /** What is in comes out first; then the iteration ends, or throws the error. A second call does nothing. */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      // All at once: taking the first of a long array again and again would move the rest each time.
      const items = this.#items
      this.#items = []
      for (const { item, bytes } of items) {
        this.#bytes -= bytes
        yield item
      }
      if (this.#items.length > 0) continue
      if (this.#ended) break
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    if (this.#error !== undefined) throw this.#error
  }
}
