/** A contender in a process of its own, so that memory and event loop are its alone; the processes are asked in turns. */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Request } from './vectors-child.ts'
import type { DataSet } from './vectors-data.ts'
import type { VectorContender } from './vectors-frame.ts'

const CHILD = join(import.meta.dirname, 'vectors-child.ts')

interface Reply {
  readonly value?: unknown
  readonly error?: string
}

export interface Searched {
  readonly ms: number
  readonly ids: readonly string[]
}

export interface Burst {
  readonly ms: number
  readonly p99Ms: number
}

/** What it is asked yields undefined once it has failed: the others go on. */
export class VectorProcess {
  readonly contender: VectorContender
  /** Why it takes part no longer. */
  failure: string | undefined
  readonly #child: ChildProcess

  constructor(contender: VectorContender) {
    this.contender = contender
    this.#child = fork(CHILD, { execArgv: ['--expose-gc'], serialization: 'advanced' })
  }

  /** In a folder of its own in `home`. */
  async open(home: string, set: DataSet): Promise<void> {
    const folder = join(home, this.contender.name.replaceAll(/\W+/g, '-'))
    mkdirSync(folder, { recursive: true })
    await this.#ask({ ask: 'open', contender: this.contender.name, folder, set })
  }

  /** Milliseconds for the batch that begins with that document. */
  insert(from: number): Promise<number | undefined> {
    return this.#ask({ ask: 'insert', from }) as Promise<number | undefined>
  }

  /** Milliseconds until the first answer. */
  ready(): Promise<number | undefined> {
    return this.#ask({ ask: 'ready' }) as Promise<number | undefined>
  }

  /** Asks the same so many times one after the other, and tells the milliseconds of the last. */
  search(query: number, filtered: boolean, times: number): Promise<Searched | undefined> {
    return this.#ask({ ask: 'search', query, filtered, times }) as Promise<Searched | undefined>
  }

  /** Milliseconds for all searches at once, and how late the event loop was meanwhile. */
  burst(atOnce: number): Promise<Burst | undefined> {
    return this.#ask({ ask: 'burst', atOnce }) as Promise<Burst | undefined>
  }

  rssMb(): Promise<number | undefined> {
    return this.#ask({ ask: 'rss' }) as Promise<number | undefined>
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    if (this.failure === undefined) await this.#ask({ ask: 'close' })
    this.#child.kill('SIGKILL')
  }

  async #ask(request: Request): Promise<unknown> {
    if (this.failure !== undefined) return undefined
    const { promise, resolve } = Promise.withResolvers<Reply>()
    const ended = (code: number | null): void => resolve({ error: `its process ended with ${code ?? 'a signal'}` })
    this.#child.once('message', resolve).once('exit', ended)
    this.#child.send(request)
    const { value, error } = await promise
    this.#child.off('message', resolve).off('exit', ended)
    // Which file imported it says nothing but where this folder is.
    this.failure = error?.replace(/ imported from .*/s, '')
    return value
  }
}
