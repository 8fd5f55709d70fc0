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
  bytes(maxBytes: number): Promise<Buffer> {
    this.#begin(maxBytes)
    const { bodyPauseMs, requestTimeoutMs } = this.#times
    return collected(this.#incoming, maxBytes, Math.min(bodyPauseMs, requestTimeoutMs), requestTimeoutMs)
  }

  /** Piece by piece, as long as they keep coming. */
  async *pieces(maxBytes: number): AsyncGenerator<Buffer, void> {
    this.#begin(maxBytes)
    // Left open at its end: the answer goes by the same connection.
    const pieces = this.#incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer, undefined>
    try {
      for (let bytes = 0; ;) {
        const { done, value } = await inTime(pieces.next(), this.#times.bodyPauseMs)
        if (done === true) return
        bytes += value.length
        if (bytes > maxBytes) throw tooLarge(maxBytes)
        yield value
      }
    } finally {
      // Lets go, so that what is left of the body can be thrown away. It waits for a piece that may never come.
      pieces.return?.().catch(() => undefined)
    }
  }

  #begin(maxBytes: number): void {
    this.check(maxBytes)
    // Who asked whether to send it at all has waited until now.
    if (/^100-continue$/i.test(this.#incoming.headers.expect ?? '')) this.#outgoing.writeContinue()
  }
}

/** By events, which for the many small bodies takes half the time of an iterator. */
function collected(incoming: IncomingMessage, maxBytes: number, pauseMs: number, totalMs: number): Promise<Buffer> {
  // From a connection that is gone nothing comes any more, not even its end.
  if (incoming.destroyed) return Promise.reject(incoming.errored ?? new Error('the connection was closed'))
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const began = performance.now()
  const pieces: Buffer[] = []
  let bytes = 0
  const timer = setTimeout(() => fail(tooSlow()), pauseMs)
  const stop = (): void => {
    clearTimeout(timer)
    incoming.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose)
  }
  const fail = (error: Error): void => {
    stop()
    reject(error)
  }
  const onData = (piece: Buffer): void => {
    bytes += piece.length
    pieces.push(piece)
    timer.refresh()
    if (bytes > maxBytes) fail(tooLarge(maxBytes))
    else if (performance.now() - began > totalMs) fail(tooSlow())
  }
  const onEnd = (): void => {
    stop()
    resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))
  }
  const onClose = (): void => fail(new Error('the connection was closed'))
  incoming.on('data', onData).on('end', onEnd).on('error', fail).on('close', onClose)
  return promise
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(tooSlow()), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

function tooSlow(): HttpProblem {
  return new HttpProblem('TIMEOUT', 'the body did not come in time', 408)
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
