/** Requests that come by one connection without waiting for answers, one after the other. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { HttpProblem } from './problem.ts'

/** The requests of one connection: the answer to the newest, and how those that wait for others are woken. */
interface Queue {
  last: ServerResponse
  readonly waiting: Set<() => void>
}

/** Whoever sends more without waiting for an answer is cut off. */
const MAX_WAITING = 64

export class Turns {
  readonly #queues = new WeakMap<Socket, Queue>()
  readonly #tooMany: (socket: Socket) => void

  /** Told of the connections that are cut off. */
  constructor(tooMany: (socket: Socket) => void) {
    this.#tooMany = tooMany
  }

  /** Resolves when the answers before this one have gone out; rejects where there is nobody left to answer. */
  async take({ socket }: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const queue = this.#queues.get(socket) ?? this.#begin(socket, outgoing)
    const { last: before } = queue
    queue.last = outgoing
    if (before === outgoing || before.closed) return
    await this.#wait(queue.waiting, before, socket)
    // It ran for nobody; and an answer that never gets its connection is never over either.
    if (!socket.writable) throw new HttpProblem('ABORTED', 'the caller hung up')
  }

  #begin(socket: Socket, last: ServerResponse): Queue {
    const waiting = new Set<() => void>()
    this.#queues.set(socket, { last, waiting })
    // Node closes the answer whose turn it was, and says nothing to those behind it.
    socket.once('close', () => waiting.forEach((wake) => wake()))
    return { last, waiting }
  }

  async #wait(waiting: Set<() => void>, before: ServerResponse, socket: Socket): Promise<void> {
    if (socket.destroyed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.add(resolve)
    before.once('close', resolve)
    if (waiting.size > MAX_WAITING) {
      this.#tooMany(socket)
      socket.destroy()
    }
    await promise
    waiting.delete(resolve)
  }
}
