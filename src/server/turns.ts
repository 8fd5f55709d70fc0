/** Requests that come by one connection without waiting for answers, one after the other. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { HttpProblem } from './problem.ts'

/** The requests of one connection: the answer to the newest, and how many wait for those before them. */
interface Queue {
  last: ServerResponse
  waiting: number
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
    const queue = this.#queues.get(socket) ?? { last: outgoing, waiting: 0 }
    this.#queues.set(socket, queue)
    const { last: before } = queue
    queue.last = outgoing
    if (before === outgoing || before.closed) return
    if (!socket.destroyed) await this.#wait(queue, before, socket)
    // It would run for nobody.
    if (!socket.writable) throw new HttpProblem('ABORTED', 'the caller hung up')
  }

  /** Node closes all answers of a connection that ends, also those that have not had their turn. */
  async #wait(queue: Queue, before: ServerResponse, socket: Socket): Promise<void> {
    const closed = new Promise((resolve) => void before.once('close', resolve))
    if (++queue.waiting > MAX_WAITING) {
      this.#tooMany(socket)
      socket.destroy()
    }
    await closed
    queue.waiting--
  }
}
