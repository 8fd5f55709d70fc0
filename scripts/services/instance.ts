/** One instance of a service: planned in a folder, started, waited for, ended, started again on the same ports. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clear } from './chroot.ts'
import type { Engine, Place, Plan, Planned } from './engine.ts'
import { writePrivate, type Service } from './home.ts'
import { reaped, start, stop, type ProcessId, type ProcessSpec, type Started } from './process.ts'

const READY_MS = 60_000
const POLL_MS = 50

/** What a folder's `plan.json` holds; it is written last, so a folder without it is no whole instance. */
interface Noted {
  readonly plan: Plan
  /** It answered once: what is done once is done. */
  readonly settled: boolean
}

/** An instance that can be started. */
export interface Prepared extends Noted {
  readonly engine: Engine
  readonly home: string
  readonly folder: string
}

/** Makes an empty folder, and in it the configuration of a new instance; with `keep`, takes a whole one that is there. */
export async function prepare(engine: Engine, place: Place, keep = false): Promise<Prepared> {
  const { home, folder } = place
  const noted = notedIn(folder)
  // What stands before another service has no data, and that service may have moved.
  if (keep && noted?.settled === true && engine.after === undefined) return { ...noted, engine, home, folder }
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const plan = await engine.plan(place)
  note(folder, { plan, settled: false })
  return { plan, settled: false, engine, home, folder }
}

const NOTE = 'plan.json'
const PROCESSES = 'processes.json'

function notedIn(folder: string): Noted | undefined {
  return readNote(join(folder, NOTE)) as Noted | undefined
}

function note(folder: string, { plan, settled }: Noted): void {
  writePrivate(join(folder, NOTE), JSON.stringify({ plan, settled }))
}

function readNote(path: string): unknown {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

/** Starts the processes, all of them or some, and waits until the service answers; where it does not, none of these is left. */
export async function launch(prepared: Prepared, specs: readonly ProcessSpec[] = prepared.plan.processes): Promise<Service> {
  const { engine, home, folder, plan } = prepared
  const planned: Planned = { ...plan.service, home }
  await reaped(processesIn(folder))
  return startTogether(specs, folder, async (started) => {
    if (!prepared.settled) await until(started, engine.name, async () => engine.settle?.(planned))
    const version = await until(started, engine.name, async () => engine.answer(planned))
    note(folder, { plan, settled: true })
    return { ...plan.service, ...aboutOf(engine, home, version), processes: started.map(({ id }) => id) }
  })
}

type About = Pick<Service, 'name' | 'engine' | 'category' | 'version'> & Readonly<Record<string, unknown>>

/** What is said of a service besides where it is. */
export function aboutOf(engine: Engine, home: string, version: string): About {
  const { name, engine: label, category } = engine
  return { ...engine.extras?.(home), name, engine: label, category, version }
}

/** Starts processes and waits for what shows that they work; where it does not come, none of them is left. */
export async function startTogether<T>(
  specs: readonly ProcessSpec[],
  folder: string,
  ready: (started: readonly Started[]) => Promise<T>,
): Promise<T> {
  const started: Started[] = []
  try {
    for (const spec of specs) {
      started.push(await start(spec))
      // Before they answer: whoever is interrupted leaves processes that the next run can end.
      noteProcesses(folder, started)
    }
    return await ready(started)
  } catch (error) {
    for (const { id } of started.toReversed()) await stopOne(specs, id)
    throw error
  }
}

function noteProcesses(folder: string, started: readonly Started[]): void {
  const fresh = started.map(({ id }) => id)
  const others = processesIn(folder).filter((id) => !fresh.some(({ name }) => name === id.name))
  writePrivate(join(folder, PROCESSES), JSON.stringify([...others, ...fresh]))
}

/** The processes that were last started for an instance, whether or not they run. */
export function processesIn(folder: string): readonly ProcessId[] {
  return (readNote(join(folder, PROCESSES)) as ProcessId[] | undefined) ?? []
}

/** Ends what runs of an instance, or those of its processes that are named: last started, first ended. */
export async function stopIn(home: string, folder: string, names?: readonly string[]): Promise<void> {
  for (const id of processesIn(folder).toReversed()) {
    if (names === undefined || names.includes(id.name)) await stopOne(notedIn(folder)?.plan.processes ?? [], id)
  }
  if (names === undefined && existsSync(folder)) await clear(home, folder)
}

async function stopOne(specs: readonly ProcessSpec[], id: ProcessId): Promise<void> {
  await stop(id, specs.find(({ name }) => name === id.name)?.stopSignal)
}

/** Repeats the work until it throws no more, as long as the processes run. */
export async function until<T>(started: readonly Started[], service: string, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + READY_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const over = started.find(({ ended }) => ended() !== undefined)
      if (over === undefined && Date.now() < deadline) {
        await sleep(POLL_MS)
        continue
      }
      const what = over === undefined ? `does not answer: ${(error as Error).message}` : `${over.id.name} ${over.ended()}`
      throw new Error([`${service}: ${what}`, ...started.map(tailOf)].join('\n'), { cause: error })
    }
  }
}

function tailOf({ log }: Started): string {
  return existsSync(log) ? `the end of ${log}:\n${readFileSync(log, 'utf8').slice(-2_000).trim()}` : ''
}
