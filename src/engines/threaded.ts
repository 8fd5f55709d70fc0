/**
 * Backends in a worker thread, for processes whose event loop must never wait for a disk. The whole backend runs there, with its engine
 * and its group commit; this side sends calls and receives results, all of a turn in one message.
 */
import { extname } from 'node:path'
import { nextTick } from 'node:process'
import { Worker } from 'node:worker_threads'
import { HoldfastError, type Kind } from '../errors.ts'
import type { BackendBase, BackendCall } from '../store/contract.ts'
import { revive, type Answer, type Description, type Question, type Request } from './thread-protocol.ts'

export interface ThreadedBackend {
  /** URL of the module whose `create` makes the backend, in the thread. */
  readonly module: string
  readonly kind: Kind
  readonly name: string
  /** For `create`; plain data. */
  readonly options: object
  /** Backends with the same key share a thread. Left out: what the backend holds lives in its thread alone, and dies with it. */
  readonly key?: string | undefined
}

/** How long an aborted write may take to say that it never began: a way to the thread and back, with a margin for a busy one. */
const ABORT_ANSWER_MS = 100

/** Opens a backend in the thread of its key. Where the thread dies, calls under way are `UNAVAILABLE`, and the next call starts another. */
export async function openThreaded<B extends BackendBase>(source: ThreadedBackend): Promise<B> {
  const handle = new Handle(source)
  const { capabilities, limits, methods } = await handle.open()
  const calls = methods.map((method) => [method, (...args: unknown[]) => handle.call(method, args)] as const)
  const backend = { capabilities, ...(limits && { limits }), abortAnswerMs: ABORT_ANSWER_MS, ...Object.fromEntries(calls) }
  return Object.assign(backend, { close: () => handle.close() }) as unknown as B
}

/** URL of the module `name` beside `base`, as source or as built, whichever `base` is. */
export function moduleBeside(name: string, base: string): string {
  return new URL(`${name}${extname(new URL(base).pathname)}`, base).href
}

/** A backend that is open in a thread. */
interface Attached {
  readonly thread: Thread
  readonly store: number
  readonly description: Description
}

/** One user's hold on a backend in a thread, whichever thread that is at the moment. */
class Handle {
  readonly #source: ThreadedBackend
  #attached: Attached | undefined
  #attaching: Promise<Attached> | undefined

  constructor(source: ThreadedBackend) {
    this.#source = source
  }

  async open(): Promise<Description> {
    return (await this.#attach()).description
  }

  call(method: string, args: readonly unknown[]): Promise<unknown> {
    const attached = this.#attached
    if (attached === undefined || attached.thread.ended) return this.#callAgain(method, args)
    return callIn(attached, method, args)
  }

  async close(): Promise<void> {
    await this.#attaching?.catch(() => undefined)
    const attached = this.#attached
    if (attached === undefined || attached.thread.ended) return
    try {
      await callIn(attached, 'close', [])
    } finally {
      await attached.thread.release()
    }
  }

  async #callAgain(method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#attached !== undefined && this.#source.key === undefined) throw lost()
    return callIn(await this.#attach(), method, args)
  }

  #attach(): Promise<Attached> {
    this.#attaching ??= attach(this.#source)
      .then((attached) => (this.#attached = attached))
      .finally(() => (this.#attaching = undefined))
    return this.#attaching
  }
}

function callIn({ thread, store }: Attached, method: string, given: readonly unknown[]): Promise<unknown> {
  const signal = signalOf(given.at(-1))
  const args = signal === undefined ? given : given.slice(0, -1)
  return thread.ask({ ask: 'call', store, method, args, abortable: signal !== undefined }, signal)
}

/** The last parameter of a backend's method is a `BackendCall`. */
function signalOf(last: unknown): AbortSignal | undefined {
  if (typeof last !== 'object' || last === null) return undefined
  const { signal } = last as BackendCall
  return signal instanceof AbortSignal ? signal : undefined
}

let stores = 0

async function attach({ module, kind, name, options, key }: ThreadedBackend): Promise<Attached> {
  const thread = Thread.of(key)
  const store = stores++
  try {
    const description = await thread.ask({ ask: 'open', store, module, kind, name, options })
    return { thread, store, description: description as Description }
  } catch (error) {
    await thread.release()
    throw error
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** No longer listens to the caller's signal. */
  readonly settle: () => void
  readonly signal: AbortSignal | undefined
}

/** A worker thread. It keeps the process alive while it has questions to answer, and not otherwise. */
class Thread {
  static readonly #threads = new Map<string, Thread>()

  readonly #worker = new Worker(new URL(moduleBeside('./thread-entry', import.meta.url)), {
    name: 'holdfast',
    // Hooks and loaders of the program are not for this thread, which runs nothing of the program's.
    execArgv: [],
  })
  readonly #pending = new Map<number, Pending>()
  readonly #key: string | undefined
  #outbox: Request[] = []
  #users = 0
  #ids = 0
  #ended = false

  constructor(key: string | undefined) {
    this.#key = key
    this.#worker
      .on('message', (answers: readonly Answer[]) => answers.forEach((answer) => this.#answered(answer)))
      .on('error', (error) => this.#end(error))
      .on('messageerror', (error) => this.#end(error))
      .on('exit', (code) => this.#end(new Error(`it ended with code ${code}`)))
  }

  /** The thread of this key, for one more user. */
  static of(key: string | undefined): Thread {
    const thread = (key === undefined ? undefined : this.#threads.get(key)) ?? new Thread(key)
    if (key !== undefined) this.#threads.set(key, thread)
    thread.#users++
    return thread
  }

  get ended(): boolean {
    return this.#ended
  }

  ask(question: Question, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(died('it has ended', 'not-applied'))
      const id = this.#ids++
      const onAbort = (): void => this.#abort(id)
      signal?.addEventListener('abort', onAbort, { once: true })
      const settle = (): void => signal?.removeEventListener('abort', onAbort)
      this.#pending.set(id, { resolve, reject, settle, signal })
      if (this.#pending.size === 1) this.#worker.ref()
      this.#send({ ...question, id })
    })
  }

  /** One user less; the last one ends the thread. */
  async release(): Promise<void> {
    if (--this.#users > 0) return
    this.#forget()
    await this.#worker.terminate()
  }

  #send(request: Request): void {
    // A tick runs once all promises have settled that can: the calls of one turn are then all here.
    if (this.#outbox.push(request) === 1) nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    const batch = this.#outbox
    this.#outbox = []
    if (this.#ended || batch.length === 0) return
    try {
      this.#worker.postMessage(batch)
    } catch {
      for (const request of batch) this.#sendAlone(request)
    }
  }

  /** What cannot cross fails its own call, and no other. */
  #sendAlone(request: Request): void {
    try {
      this.#worker.postMessage([request])
    } catch (error) {
      this.#take(request.id)?.reject(error)
    }
  }

  /** A call that was not sent yet has not happened; one that was sent may not have begun, which only the thread knows. */
  #abort(id: number): void {
    const at = this.#outbox.findIndex((request) => request.id === id)
    if (at < 0) return this.#send({ ask: 'abort', id })
    this.#outbox.splice(at, 1)
    const pending = this.#take(id)
    pending?.reject(pending.signal?.reason)
  }

  #answered(answer: Answer): void {
    const pending = this.#take(answer.id)
    if (pending === undefined) return
    if ('value' in answer) pending.resolve(answer.value)
    else pending.reject('error' in answer ? revive(answer.error) : pending.signal?.reason)
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (!this.#pending.delete(id)) return undefined
    if (this.#pending.size === 0) this.#worker.unref()
    pending?.settle()
    return pending
  }

  /** What was sent may have happened; what was not has not. */
  #end(cause: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#forget()
    const unsent = new Set(this.#outbox.map(({ id }) => id))
    for (const id of this.#pending.keys()) {
      this.#take(id)?.reject(died(cause.message, unsent.has(id) ? 'not-applied' : 'unknown', cause))
    }
    // After a message that could not be read it still runs.
    void this.#worker.terminate()
  }

  #forget(): void {
    if (this.#key !== undefined && Thread.#threads.get(this.#key) === this) Thread.#threads.delete(this.#key)
  }
}

function died(reason: string, outcome: 'not-applied' | 'unknown', cause?: Error): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `the worker thread of this store is gone: ${reason}`, { outcome, cause })
}

function lost(): HoldfastError {
  const message = 'the worker thread of this store is gone, and what it held in memory with it: open a new store'
  return new HoldfastError('UNAVAILABLE', message, { outcome: 'not-applied' })
}
