/** Brings services up and down: what runs and answers stays as it is. */
import { join } from 'node:path'
import { chosen, chosenTools, engineOf, NAMES } from './catalogue.ts'
import type { Engine, Installable, Place } from './engine.ts'
import { makeHome, readServices, writeServices, type Service, type Services } from './home.ts'
import { aboutOf, launch, prepare, processesIn, stopIn } from './instance.ts'
import { locked } from './lock.ts'
import { sweepPrivate } from './private.ts'
import { isAlive } from './process.ts'

/** Called with what happens, a line each. */
export type Progress = (line: string) => void

export interface UpOptions {
  readonly home: string
  /** As on the command line. */
  readonly names: readonly string[]
  /** Leaves the data of an earlier start, and with it ports and passwords. Default: services start empty. */
  readonly keep?: boolean | undefined
  readonly progress: Progress
}

/** Installs what is missing, starts what does not answer, and gives the services asked for and those that they use. */
export async function up({ home, names, keep = false, progress }: UpOptions): Promise<Service[]> {
  const engines = chosen(names)
  makeHome(home)
  const work = async (): Promise<Service[]> => {
    // One after the other: they share an installer.
    const missing = new Map<Installable, unknown>()
    const tools = chosenTools(names)
    for (const each of [...engines, ...tools]) {
      await installed(each, home, progress).catch((error: unknown) => missing.set(each, error))
    }
    const session = new Session(home, keep, progress)
    const results = await Promise.allSettled(
      engines.map((engine) => (missing.has(engine) ? Promise.reject(missing.get(engine) as Error) : session.bring(engine))),
    )
    await sweepPrivate(home)
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []))
    const unmet = tools.flatMap((tool) => (missing.has(tool) ? [missing.get(tool) as Error] : []))
    const failed = [...reasons, ...unmet].map(({ message }) => message)
    if (failed.length > 0) throw new Error([...new Set(failed)].join('\n\n'))
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  }
  return locked(home, work, () => progress('waiting for another run of this command'))
}

/** Ends services, all where none is named; what stands before others, before these. Gives the names of what was ended. */
export async function down(home: string, names: readonly string[], progress: Progress): Promise<string[]> {
  const wanted = names.length === 0 || names.includes('all') ? NAMES : names.map((name) => engineOf(name).name)
  makeHome(home)
  return locked(home, async () => {
    const ended: string[] = []
    for (const name of wanted.toReversed()) {
      const began = performance.now()
      const ran = processesIn(folderOf(home, name)).some(isAlive)
      await stopIn(home, folderOf(home, name))
      forget(home, name)
      if (!ran) continue
      progress(`${name} stopped in ${since(began)}`)
      ended.push(name)
    }
    await sweepPrivate(home)
    return ended
  })
}

/** Names of the services whose processes run. */
export function running(home: string): string[] {
  return Object.values(readServices(home)).flatMap(({ name, processes }) => (processes.every(isAlive) ? [name] : []))
}

async function installed(engine: Installable, home: string, progress: Progress): Promise<void> {
  if (engine.isInstalled(home)) return
  const began = performance.now()
  progress(`${engine.name} is not installed: installing; what happens is in ${join(home, 'logs')}`)
  await engine.install(home)
  progress(`${engine.name} installed in ${since(began)}`)
}

/** The services of one run, each brought up once, after those that it uses. */
class Session {
  readonly #home: string
  readonly #keep: boolean
  readonly #progress: Progress
  readonly #brought = new Map<string, Promise<Service>>()
  #services: Services

  constructor(home: string, keep: boolean, progress: Progress) {
    this.#home = home
    this.#keep = keep
    this.#progress = progress
    this.#services = readServices(home)
  }

  bring(engine: Engine): Promise<Service> {
    const known = this.#brought.get(engine.name) ?? this.#bring(engine)
    this.#brought.set(engine.name, known)
    return known
  }

  async #bring(engine: Engine): Promise<Service> {
    for (const other of engine.after ?? []) await this.bring(engineOf(other))
    return this.#note((await this.#found(engine)) ?? (await this.#start(engine)))
  }

  /** The service as it runs: started by us, still the same processes, and it answers. */
  async #found(engine: Engine): Promise<Service | undefined> {
    const known = this.#services[engine.name]
    if (known === undefined || !known.processes.every(isAlive)) return undefined
    try {
      return { ...known, ...aboutOf(engine, this.#home, await engine.answer({ ...known, home: this.#home })) }
    } catch (error) {
      this.#progress(`${engine.name} runs and does not answer: ${(error as Error).message}`)
      return undefined
    }
  }

  /** Whatever is left of it is ended first; a process number that by now means another process is left alone. */
  async #start(engine: Engine): Promise<Service> {
    const began = performance.now()
    const folder = folderOf(this.#home, engine.name)
    if (processesIn(folder).some(isAlive)) this.#progress(`${engine.name} was left running: stopped`)
    await stopIn(this.#home, folder)
    this.#progress(`${engine.name} starts`)
    const service = await launch(await prepare(engine, this.#placeOf(engine, folder), this.#keep))
    this.#progress(`${engine.name} answers after ${since(began)}`)
    return service
  }

  #note(service: Service): Service {
    this.#services = { ...this.#services, [service.name]: service }
    writeServices(this.#home, this.#services)
    return service
  }

  #placeOf({ name, after = [] }: Engine, folder: string): Place {
    const others = Object.fromEntries(after.map((other) => [other, this.#services[other]!]))
    const log = (process: string): string => join(this.#home, 'logs', `${process === name ? name : `${name}-${process}`}.log`)
    return { home: this.#home, folder, log, isPrivate: false, others }
  }
}

const folderOf = (home: string, name: string): string => join(home, 'data', name)

function forget(home: string, name: string): void {
  const { [name]: gone, ...rest } = readServices(home)
  if (gone !== undefined) writeServices(home, rest)
}

export function since(began: number): string {
  return `${((performance.now() - began) / 1_000).toFixed(1)} s`
}
