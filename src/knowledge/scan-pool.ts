/** Worker threads for searches in large collections, shared by all stores of the process; there while a collection needs them. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { moduleBeside } from '../engines/threaded.ts'
import type { SharedMemory } from './kernel.ts'
import { MAX_SLOTS, type Layout } from './scan-layout.ts'
import type { Found, Part } from './scan-part.ts'
import type { ScanAnswer, ScanRequest } from './scan-protocol.ts'

/** Searches under way: one for the threads to work at, and one that waits there for its end. */
const AT_ONCE = 2

let pool: ScanPool | undefined
let numbers = 0

/** One collection's hold on the pool. */
export class PoolMember {
  readonly #pool: ScanPool
  readonly #number = numbers++

  constructor(memory: SharedMemory, layout: Layout) {
    if (pool === undefined || pool.broken) pool = new ScanPool()
    this.#pool = pool
    this.#pool.attach(this.#number, memory, layout)
  }

  /** How many parts a search should have; 0 where the threads have not started yet, or could not. */
  get threads(): number {
    return this.#pool.ready
  }

  /** Each part in a thread of its own. Rejects where a thread dies. */
  search(parts: readonly Part[]): Promise<Found[]> {
    return this.#pool.search(this.#number, parts)
  }

  /** To be called once, after the last search. The last member's leaving ends the threads. */
  release(): void {
    this.#pool.detach(this.#number)
    if (this.#pool.members === 0) {
      this.#pool.end()
      if (pool === this.#pool) pool = undefined
    }
  }
}

class ScanPool {
  readonly #threads: ScanThread[] = []
  readonly #waiting: (() => void)[] = []
  #running = 0
  #members = 0
  #broken = false

  constructor() {
    // One processor is left to the event loop.
    const count = Math.max(1, Math.min(availableParallelism() - 1, MAX_SLOTS - 1))
    try {
      for (let i = 0; i < count; i++) this.#threads.push(new ScanThread(() => this.#fail()))
    } catch {
      // Threads may be forbidden, as by Node's permission model.
      this.#fail()
    }
  }

  get members(): number {
    return this.#members
  }

  get broken(): boolean {
    return this.#broken
  }

  get ready(): number {
    return this.#broken || this.#threads.some((thread) => !thread.ready) ? 0 : this.#threads.length
  }

  attach(number: number, memory: SharedMemory, layout: Layout): void {
    this.#members++
    for (const [i, thread] of this.#threads.entries()) thread.send({ ask: 'attach', number, memory, layout, slot: i + 1 })
  }

  /** Only a few at a time: the others' messages and answers then come in between, and not in one go that holds up the event loop. */
  async search(number: number, parts: readonly Part[]): Promise<Found[]> {
    if (this.#running >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await Promise.all(parts.map((part, i) => this.#threads[i]!.search(number, part)))
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  detach(number: number): void {
    this.#members--
    for (const thread of this.#threads) thread.send({ ask: 'detach', number })
  }

  end(): void {
    for (const thread of this.#threads) thread.end()
  }

  #fail(): void {
    this.#broken = true
    this.end()
  }
}

interface Pending {
  readonly resolve: (found: Found) => void
  readonly reject: (error: Error) => void
}

/** It keeps the process alive while it searches, and not otherwise. */
class ScanThread {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  readonly #onEnd: () => void
  #ids = 0
  #ready = false
  #ended = false

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
    this.#worker = new Worker(new URL(moduleBeside('./scan-worker', import.meta.url)), { name: 'holdfast scan', execArgv: [] })
    this.#worker
      .on('message', (answer: ScanAnswer) => this.#answered(answer))
      .on('error', (error) => this.#lost(error))
      .on('messageerror', (error) => this.#lost(error))
      .on('exit', (code) => this.#lost(new Error(`a thread of the scan ended with code ${code}`)))
    this.#worker.unref()
  }

  get ready(): boolean {
    return this.#ready
  }

  send(request: ScanRequest): void {
    if (!this.#ended) this.#worker.postMessage(request)
  }

  search(number: number, part: Part): Promise<Found> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new Error('a thread of the scan has ended'))
      const id = this.#ids++
      this.#pending.set(id, { resolve, reject })
      if (this.#pending.size === 1) this.#worker.ref()
      this.send({ ask: 'search', number, id, part })
    })
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#ready = false
    for (const { reject } of this.#pending.values()) reject(new Error('the threads of the scan have ended'))
    this.#pending.clear()
    void this.#worker.terminate()
  }

  #answered(answer: ScanAnswer): void {
    if (answer === 'ready') {
      this.#ready = true
      return
    }
    const pending = this.#pending.get(answer.id)
    if (!this.#pending.delete(answer.id)) return
    if (this.#pending.size === 0) this.#worker.unref()
    if ('found' in answer) pending!.resolve(answer.found)
    else pending!.reject(new Error(answer.failure))
  }

  #lost(cause: unknown): void {
    if (this.#ended) return
    for (const { reject } of this.#pending.values()) reject(cause instanceof Error ? cause : new Error(String(cause)))
    this.#pending.clear()
    this.end()
    this.#onEnd()
  }
}
