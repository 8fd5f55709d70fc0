/** Lookups by key that are sent together: every call of a store begins with one, and the engine limits requests, not keys. */

/** A batch waits for the one before it, but no longer than this. */
const MAX_WAIT_MS = 200

interface Batch<T> {
  readonly keys: Set<string>
  readonly found: Promise<ReadonlyMap<string, T>>
}

/** What `get` gives was read after it was called, never before. */
export class Batched<T> {
  readonly #size: number
  readonly #read: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>
  #waiting: Batch<T> | undefined
  #underWay: Promise<void> | undefined

  constructor(size: number, read: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>) {
    this.#size = size
    this.#read = read
  }

  async get(key: string): Promise<T | undefined> {
    const full = this.#waiting !== undefined && this.#waiting.keys.size >= this.#size
    const batch = this.#waiting === undefined || full ? this.#begin() : this.#waiting
    batch.keys.add(key)
    return (await batch.found).get(key)
  }

  #begin(): Batch<T> {
    const keys = new Set<string>()
    const batch: Batch<T> = { keys, found: this.#turn().then(() => this.#send(batch)) }
    this.#waiting = batch
    return batch
  }

  async #send(batch: Batch<T>): Promise<ReadonlyMap<string, T>> {
    if (this.#waiting === batch) this.#waiting = undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#underWay = promise
    try {
      return await this.#read([...batch.keys])
    } finally {
      resolve()
      if (this.#underWay === promise) this.#underWay = undefined
    }
  }

  async #turn(): Promise<void> {
    if (this.#underWay === undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, MAX_WAIT_MS)
    await Promise.race([this.#underWay, promise])
    clearTimeout(timer)
  }
}
