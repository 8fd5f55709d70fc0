/** PraisonAI's SQLite store, in Python: a child process does the operations one by one, and tells by its own clock what each took. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { ConversationAdapter } from './conversation.ts'
import type { Peer } from './frame.ts'
import { askPython, python } from './peer-folder.ts'

interface Answer {
  readonly result?: unknown
  readonly us: number
}

class Pipe {
  spentUs = 0
  readonly #child: ChildProcess
  readonly #waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = []

  constructor(file: string) {
    this.#child = spawn(python(), [join(import.meta.dirname, 'praisonai-store.py'), file], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer),
    )
    this.#child.once('exit', (code) => this.#fail(new Error(`Python ended with ${code}`)))
    this.#child.once('error', (error) => this.#fail(error))
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#child.exitCode === null) this.#waiting.push({ resolve, reject })
      else reject(new Error(`Python ended with ${this.#child.exitCode}`))
    })
  }

  async call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    this.#child.stdin!.write(`${JSON.stringify([name, args])}\n`)
    const { result, us } = await this.answer()
    this.spentUs += us
    return result as T
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin!.end()
    await ended
  }
}

async function open(folder: string): Promise<ConversationAdapter> {
  const pipe = new Pipe(join(folder, 'praisonai.db'))
  await pipe.answer()
  return {
    createSession: (id) => pipe.call('create', id),
    append: (id, text) => pipe.call('append', id, text),
    newest: (id, count) => pipe.call('newest', id, count),
    list: (count) => pipe.call('list', count),
    seed: (sessions) => pipe.call('seed', sessions),
    close: () => pipe.close(),
    spentUs() {
      const spent = pipe.spentUs
      pipe.spentUs = 0
      return spent
    },
  }
}

let known: string | undefined

/** Undefined where Python could not tell. */
function version(): string | undefined {
  try {
    known ??= askPython("from importlib.metadata import version; print(version('praisonai'), end='')")
  } catch {
    known = undefined
  }
  return known
}

export const praisonAi: Peer<ConversationAdapter> = {
  name: 'PraisonAI (Python)',
  version,
  durability: 'rollback journal, synchronous=FULL, its default',
  note: 'by its own clock, calls one by one; its limit gives the oldest messages, so the newest 50 are the end of all',
  open,
}
