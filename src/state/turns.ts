/** Work under one name that is done one after the other. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>()

  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name)
    const mine = before === undefined ? work() : before.then(work)
    const done = mine.then(nothing, nothing).finally(() => {
      if (this.#last.get(name) === done) this.#last.delete(name)
    })
    this.#last.set(name, done)
    return mine
  }

  /** Resolves when all that was taken is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#last.values())
  }
}

function nothing(): void {}
