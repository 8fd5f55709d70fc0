/** Servers as processes: started so that they outlive us or die with us, known by more than a number, ended for certain. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A number alone may by now belong to another process; with the time of its start it cannot. */
export interface ProcessId {
  /** What it is within its service, e.g. `primary`. */
  readonly name: string
  readonly pid: number
  /** Which boot of the machine, and clock ticks since then. */
  readonly started: string
}

/** How to start a server; kept with its data, so that it can be started again. */
export interface ProcessSpec {
  readonly name: string
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The file that its output is added to. */
  readonly log: string
  /** What makes it end soon and cleanly; default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals
}

const STOP_MS = 10_000
const POLL_MS = 20

interface Stat {
  readonly state: string
  readonly parent: number
  readonly ticks: string
}

function statOf(pid: number): Stat | undefined {
  try {
    // The second field is the program's name in parentheses and may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ')
    return { state: fields[0]!, parent: Number(fields[1]), ticks: fields[19]! }
  } catch {
    return undefined
  }
}

/** Of a process that runs, not of one that only waits to be reaped. */
export function startOf(pid: number): string | undefined {
  const stat = statOf(pid)
  return stat === undefined || stat.state === 'Z' ? undefined : `${boot()}/${stat.ticks}`
}

function boot(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)
}

export function isAlive({ pid, started }: Pick<ProcessId, 'pid' | 'started'>): boolean {
  return startOf(pid) === started
}

export interface Started {
  readonly id: ProcessId
  /** Undefined while it runs. */
  readonly ended: () => string | undefined
  readonly child: ChildProcess
}

/** Starts a server in a session of its own; our end does not end it. */
export async function start(spec: ProcessSpec): Promise<Started> {
  const log = openSync(spec.log, 'a', 0o600)
  const [command, ...args] = spec.argv
  const child = spawn(command!, args, { detached: true, stdio: ['ignore', log, log], env: { ...plainEnvironment(), ...spec.env } })
  closeSync(log)
  let ended: string | undefined
  child.once('exit', (code, signal) => (ended = `ended with ${signal ?? code}`))
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  child.unref()
  const started = startOf(child.pid!) ?? 'ended'
  return { id: { name: spec.name, pid: child.pid!, started }, ended: () => ended, child }
}

/** Settings of the caller, such as a proxy, `PGHOST` or `NODE_OPTIONS`, are not the servers' business. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, JAVA_HOME } = process.env
  return { PATH: `${PATH ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME, JAVA_HOME, LC_ALL: 'C.UTF-8' }
}

/** Ends a server as it wishes to be ended, then by force, with whatever it started; resolves when all are gone. */
export async function stop(id: ProcessId, signal: NodeJS.Signals = 'SIGTERM', patienceMs = STOP_MS): Promise<void> {
  if (!isAlive(id)) return
  const family = [id, ...descendantsOf(id.pid)]
  send(id, signal)
  const deadline = Date.now() + patienceMs
  while (family.some(isAlive) && Date.now() < deadline) await sleep(POLL_MS)
  await kill(family)
}

/** SIGKILL to a server and to whatever it started, as in a power cut; resolves when all are gone. */
export async function killTree(id: ProcessId): Promise<void> {
  if (isAlive(id)) await kill([id, ...descendantsOf(id.pid)])
}

async function kill(family: readonly Pick<ProcessId, 'pid' | 'started'>[]): Promise<void> {
  for (const each of family) send(each, 'SIGKILL')
  while (family.some(isAlive)) await sleep(POLL_MS)
}

function send(id: Pick<ProcessId, 'pid' | 'started'>, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return
  try {
    process.kill(id.pid, signal)
  } catch (error) {
    // It ended in between.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function descendantsOf(pid: number): { pid: number; started: string }[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const parent = /^\d+$/.test(entry) ? statOf(Number(entry))?.parent : undefined
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const below = (parent: number): number[] => (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)])
  return below(pid).flatMap((child) => {
    const started = startOf(child)
    return started === undefined ? [] : [{ pid: child, started }]
  })
}
