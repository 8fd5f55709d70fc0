/** What one caller may ask of the server at a time. */
import { HttpProblem } from './problem.ts'

export interface Limits {
  /** Bytes of a JSON body. Default 16 MiB. */
  readonly maxBodyBytes: number
  /** Bytes of a value that is sent as it is. Default 1 GiB. */
  readonly maxValueBytes: number
  /** Requests of one token that may run at a time. Default 256. */
  readonly maxConcurrent: number
  /** Milliseconds in which the headers of a request must have come. Default 15,000. */
  readonly headerTimeoutMs: number
  /** Milliseconds a request may take unless it says otherwise, and the most it may say. Default 60,000. */
  readonly requestTimeoutMs: number
}

export const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 16 * 2 ** 20,
  maxValueBytes: 2 ** 30,
  maxConcurrent: 256,
  headerTimeoutMs: 15_000,
  requestTimeoutMs: 60_000,
}

/** Counts the requests of each token that are under way. */
export class Concurrency {
  readonly #max: number
  readonly #running = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** `RATE_LIMITED` where the token has as many as it may. */
  enter(tokenId: string): void {
    const running = this.#running.get(tokenId) ?? 0
    if (running >= this.#max) {
      throw new HttpProblem('RATE_LIMITED', `this token has ${running} requests under way; wait for one of them`)
    }
    this.#running.set(tokenId, running + 1)
  }

  leave(tokenId: string): void {
    const running = this.#running.get(tokenId) ?? 0
    if (running <= 1) this.#running.delete(tokenId)
    else this.#running.set(tokenId, running - 1)
  }
}

/** The body as long as it has no more bytes than allowed; it fails as soon as there are more. */
export function limited(body: ReadableStream<Uint8Array>, maxBytes: number): ReadableStream<Uint8Array> {
  let bytes = 0
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.length
      if (bytes > maxBytes) controller.error(tooLarge(maxBytes))
      else controller.enqueue(chunk)
    },
  })
  return body.pipeThrough(counter)
}

/** Refuses a body by its declared length, before any of it is read. */
export function checkLength(headers: Headers, maxBytes: number): void {
  const declared = headers.get('content-length')
  if (declared !== null && Number(declared) > maxBytes) throw tooLarge(maxBytes)
}

function tooLarge(maxBytes: number): HttpProblem {
  return new HttpProblem('VALUE_TOO_LARGE', `the body is larger than ${maxBytes} bytes`)
}
