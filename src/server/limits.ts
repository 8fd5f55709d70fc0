/** What one caller may ask of the server at a time. */
import { HttpProblem } from './problem.ts'

export interface Limits {
  /** Bytes of a JSON body. Default 16 MiB. */
  readonly maxBodyBytes: number
  /** Bytes of a value that is sent as it is. Default 1 GiB. */
  readonly maxValueBytes: number
  /** Requests of one token that may run at a time, answers under way included. Default 256. */
  readonly maxConcurrent: number
  /** Connections at a time; further ones are closed at once. Default 10,000. */
  readonly maxConnections: number
  /** Milliseconds in which the headers of a request must have come. Default 15,000. */
  readonly headerTimeoutMs: number
  /** Milliseconds for which a body may pause on its way. Default 30,000. */
  readonly bodyPauseMs: number
  /** Milliseconds a request may take unless it says otherwise, and the most it may say. Values that are streamed take as long as they keep moving. Default 60,000. */
  readonly requestTimeoutMs: number
}

export const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 16 * 2 ** 20,
  maxValueBytes: 2 ** 30,
  maxConcurrent: 256,
  maxConnections: 10_000,
  headerTimeoutMs: 15_000,
  bodyPauseMs: 30_000,
  requestTimeoutMs: 60_000,
}

/** Counts the requests of each token that are under way. */
export class Concurrency {
  readonly #max: number
  readonly #running = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** `RATE_LIMITED` where the token has as many as it may. Gives what takes it back; once is enough. */
  enter(tokenId: string): () => void {
    const running = this.#running.get(tokenId) ?? 0
    if (running >= this.#max) {
      throw new HttpProblem('RATE_LIMITED', `this token has ${running} requests under way; wait for one of them`)
    }
    this.#running.set(tokenId, running + 1)
    return () => this.#leave(tokenId)
  }

  #leave(tokenId: string): void {
    const running = this.#running.get(tokenId)! - 1
    if (running === 0) this.#running.delete(tokenId)
    else this.#running.set(tokenId, running)
  }
}
