/** Bodies of requests: read as they come, only where they are wanted, and never more of them than allowed. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Limits } from './limits.ts'
import { HttpProblem } from './problem.ts'
import { bad } from './request.ts'

type Times = Pick<Limits, 'bodyPauseMs' | 'requestTimeoutMs'>

export class Body {
  readonly #incoming: IncomingMessage
  readonly #outgoing: ServerResponse
  readonly #times: Times

  constructor(incoming: IncomingMessage, outgoing: ServerResponse, times: Times) {
    this.#incoming = incoming
    this.#outgoing = outgoing
    this.#times = times
  }

  /** Bytes that the caller announces; undefined where they come without that. */
  get length(): number | undefined {
    const { 'content-length': declared } = this.#incoming.headers
    if (declared !== undefined) return Number(declared)
    return this.#incoming.headers['transfer-encoding'] === undefined ? 0 : undefined
  }

  /** Refuses a body that is longer than allowed by its own word, and one that is encoded: nobody here decodes it. */
  check(maxBytes: number): void {
    const { 'content-encoding': encoding = 'identity', 'transfer-encoding': transfer = 'chunked' } = this.#incoming.headers
    if (encoding.toLowerCase() !== 'identity') throw new HttpProblem('INVALID_ARGUMENT', 'bodies must not be encoded', 415)
    if (transfer.toLowerCase() !== 'chunked') throw new HttpProblem('UNSUPPORTED', 'the only transfer encoding is chunked', 501)
    if ((this.length ?? 0) > maxBytes) throw tooLarge(maxBytes)
  }

  /** The whole body in memory. */
  async bytes(maxBytes: number): Promise<Buffer<ArrayBuffer>> {
    const until = performance.now() + this.#times.requestTimeoutMs
    return Buffer.concat(await Array.fromAsync(this.#read(maxBytes, until)))
  }

  /** Piece by piece, as long as they keep coming. */
  pieces(maxBytes: number): AsyncGenerator<Uint8Array, void> {
    return this.#read(maxBytes, Infinity)
  }

  async *#read(maxBytes: number, until: number): AsyncGenerator<Buffer, void> {
    this.check(maxBytes)
    // Who asked whether to send it at all has waited until now.
    if (/^100-continue$/i.test(this.#incoming.headers.expect ?? '')) this.#outgoing.writeContinue()
    // Left open at its end: the answer goes by the same connection.
    const pieces = this.#incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer, undefined>
    for (let bytes = 0; ;) {
      const { done, value } = await this.#next(pieces, until)
      if (done === true) return
      bytes += value.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      yield value
    }
  }

  async #next(pieces: AsyncIterator<Buffer, undefined>, until: number): Promise<IteratorResult<Buffer, undefined>> {
    const late = Promise.withResolvers<never>()
    const pauseMs = Math.max(0, Math.min(this.#times.bodyPauseMs, until - performance.now()))
    const timer = setTimeout(() => late.reject(new HttpProblem('TIMEOUT', 'the body did not come in time', 408)), pauseMs)
    try {
      return await Promise.race([pieces.next(), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

function tooLarge(maxBytes: number): HttpProblem {
  return new HttpProblem('VALUE_TOO_LARGE', `the body is larger than ${maxBytes} bytes`)
}

/** Seconds until the value is gone; undefined where it stays. */
export function ttlOf(headers: Headers): number | undefined {
  const given = headers.get('holdfast-ttl')
  if (given === null) return undefined
  if (!/^\d{1,11}(\.\d{1,9})?$/.test(given) || Number(given) === 0) throw bad('holdfast-ttl must be a number of seconds above 0')
  return Number(given)
}
