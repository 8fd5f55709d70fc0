/** An instance for one test: its own ports and data, ended with the process that started it, stopped and killed at will. */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { engineOf } from './catalogue.ts'
import { clear } from './chroot.ts'
import { makeHome, type Service } from './home.ts'
import { launch, prepare, processesIn, startTogether, stopIn, until, type Prepared } from './instance.ts'
import { isOpen } from './ports.ts'
import { isAlive, killTree, startOf, type ProcessSpec } from './process.ts'

const PREFIX = 'private-'

/** What a test does with an instance of its own. `part` is one of its processes, e.g. `primary`, `node-2`; left out: all of them. */
export interface Instance extends Service {
  /** Ends it as its engine wishes to be ended; data and port are kept. */
  stop(part?: string): Promise<void>
  /** Starts what does not run, on the same port with the same data. All of it: resolves when it answers; a part: when it listens. */
  start(part?: string): Promise<void>
  /** SIGKILL, as in a power cut of the process; resolves when it is gone. */
  kill(part?: string): Promise<void>
  /** Ends it and removes its data. */
  end(): Promise<void>
}

/** Starts a new instance, and one of each service that it uses: `stop` and the rest reach the parts of those too. */
export async function startPrivate(home: string, name: string): Promise<Instance> {
  const engine = engineOf(name)
  makeHome(home)
  const owner = startOf(process.pid)!.replace('/', '-')
  const folder = join(home, 'data', `${PREFIX}${process.pid}-${owner}-${name}-${randomBytes(4).toString('hex')}`)
  const below = await Promise.all((engine.after ?? []).map((other) => startPrivate(home, other)))
  try {
    const others = Object.fromEntries(below.map((other) => [other.name, other]))
    const log = (process: string): string => join(folder, `${process}.log`)
    const prepared = await prepare(engine, { home, folder, log, isPrivate: true, others })
    return instanceOf(await launch(prepared), new Parts(prepared, below))
  } catch (error) {
    await Promise.all([...below.map((other) => other.end()), remove(folder)])
    throw error
  }
}

function instanceOf(service: Service, parts: Parts): Instance {
  return {
    ...service,
    stop: (part) => parts.stop(part),
    start: (part) => parts.start(part),
    kill: (part) => parts.kill(part),
    end: () => parts.end(),
  }
}

class Parts {
  readonly #prepared: Prepared
  /** The instances that this one uses. */
  readonly #below: readonly Instance[]

  constructor(prepared: Prepared, below: readonly Instance[]) {
    this.#prepared = { ...prepared, settled: true }
    this.#below = below
  }

  async stop(part: string | undefined): Promise<void> {
    const names = this.#specs(part).map(({ name }) => name)
    const { home, folder } = this.#prepared
    await stopIn(home, folder, part === undefined ? undefined : names)
    for (const other of this.#having(part)) await other.stop(part)
  }

  async kill(part: string | undefined): Promise<void> {
    const names = new Set(this.#specs(part).map(({ name }) => name))
    const { home, folder } = this.#prepared
    const ids = processesIn(folder).filter(({ name }) => names.has(name))
    await Promise.all(ids.map(killTree))
    if (part === undefined && existsSync(folder)) await clear(home, folder)
    for (const other of this.#having(part)) await other.kill(part)
  }

  async start(part: string | undefined): Promise<void> {
    for (const other of this.#having(part)) await other.start(part)
    const running = new Set(processesIn(this.#prepared.folder).flatMap((id) => (isAlive(id) ? [id.name] : [])))
    const specs = this.#specs(part).filter(({ name }) => !running.has(name))
    if (part === undefined) await launch(this.#prepared, specs)
    else await startPart(specs, this.#prepared.folder)
  }

  async end(): Promise<void> {
    await this.kill(undefined)
    await remove(this.#prepared.folder)
    for (const other of this.#below) await other.end()
  }

  #specs(part: string | undefined): readonly ProcessSpec[] {
    const { engine, plan } = this.#prepared
    const specs = plan.processes.filter(({ name }) => part === undefined || part === name)
    if (specs.length === 0 && this.#having(part).length === 0) {
      throw new Error(`${engine.name} has no part ${part}; it has ${plan.processes.map(({ name }) => name).join(', ')}`)
    }
    return specs
  }

  /** The instances below that a call is about. */
  #having(part: string | undefined): readonly Instance[] {
    return this.#below.filter(({ processes }) => part === undefined || processes.some(({ name }) => name === part))
  }
}

async function startPart(specs: readonly ProcessSpec[], folder: string): Promise<void> {
  await startTogether(specs, folder, async (started) => {
    for (const { name, port } of specs) {
      await until(started, name, async () => {
        if (!(await isOpen(port))) throw new Error(`nothing listens at ${port}`)
      })
    }
  })
}

/** Removes the data of instances whose owners are gone; the servers went with them. */
export async function sweepPrivate(home: string): Promise<void> {
  for (const folder of readdirSync(join(home, 'data'))) {
    const [, pid, boot, ticks] = /^private-(\d+)-(\w+)-(\d+)-/.exec(folder) ?? []
    if (pid === undefined || isAlive({ pid: Number(pid), started: `${boot}/${ticks}` })) continue
    await clear(home, join(home, 'data', folder))
    await remove(join(home, 'data', folder))
  }
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
}
