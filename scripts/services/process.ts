/** Servers as processes: started so that they outlive us or die with us, known by more than a number, ended for certain. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A number alone may by now belong to another process; with the time of its start it cannot. */
export interface ProcessId {
  /** What it is within its service, e.g. `primary`. */
  readonly name: string
  readonly pid: number
  /** Which boot of the machine, and clock ticks since then. */
  readonly started: string
}

type Identity = Pick<ProcessId, 'pid' | 'started'>

/** How to start a server; kept with its data, so that it can be started again. */
export interface ProcessSpec {
  readonly name: string
  readonly argv: readonly string[]
  /** Where it listens. */
  readonly port: number
  readonly env?: Readonly<Record<string, string>>
  /** The file that its output is added to. */
  readonly log: string
  /** What makes it end soon and cleanly; default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals
}

const STOP_MS = 10_000
const POLL_MS = 20
const REAPED_MS = 5_000

interface Stat {
  readonly state: string
  readonly parent: number
  readonly ticks: string
}

function statOf(pid: number): Stat | undefined {
  // The second field is the program's name in parentheses and may hold anything.
  const [state, parent, ...rest] = textOf(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ')
  return state === '' || state === undefined ? undefined : { state, parent: Number(parent), ticks: rest[17]! }
}

/** Of a process that runs, not of one that only waits to be reaped. */
export function startOf(pid: number): string | undefined {
  const stat = statOf(pid)
  return stat === undefined || stat.state === 'Z' ? undefined : `${boot()}/${stat.ticks}`
}

function boot(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)
}

export function isAlive({ pid, started }: Identity): boolean {
  return startOf(pid) === started
}

export interface Started {
  readonly id: ProcessId
  /** Undefined while it runs. */
  readonly ended: () => string | undefined
  readonly log: string
}

/** Starts a server in a session of its own; our end does not end it. */
export async function start(spec: ProcessSpec): Promise<Started> {
  const log = openSync(spec.log, 'a', 0o600)
  const [command, ...args] = spec.argv
  const child = spawn(command!, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...plainEnvironment(), ...spec.env },
  })
  closeSync(log)
  let ended: string | undefined
  child.once('exit', (code, signal) => (ended = `ended with ${signal ?? code}`))
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  child.unref()
  const started = startOf(child.pid!) ?? 'ended'
  return { id: { name: spec.name, pid: child.pid!, started }, ended: () => ended, log: spec.log }
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

/**
 * Ends by force what is left in a folder that servers in the chroot have as theirs: the children of one that was killed by others live
 * on for a moment, and hold its data.
 */
export async function killInhabitants(root: string, folder: string): Promise<void> {
  // A mount names the path within its file system, which is the end of the whole path.
  const isTheirs = (line: string): boolean => {
    const [path, place] = line.split(' ').slice(3, 5)
    return place === '/srv' && folder.endsWith(path!.replaceAll('\\040', ' '))
  }
  const lives = (pid: number): boolean =>
    linkOf(`/proc/${pid}/root`) === root && textOf(`/proc/${pid}/mountinfo`).split('\n').some(isTheirs)
  await kill(numbersIn('/proc').filter(lives).flatMap(identified))
}

async function kill(family: readonly Identity[]): Promise<void> {
  for (const each of family) send(each, 'SIGKILL')
  while (family.some(isAlive)) await sleep(POLL_MS)
}

/**
 * Waits until the numbers of processes that have ended are free: a server that finds its old number in use, and be it by one that only
 * waits to be reaped, takes it for itself running.
 */
export async function reaped(ids: readonly ProcessId[]): Promise<void> {
  const waits = ({ pid }: ProcessId): boolean => statOf(pid)?.state === 'Z'
  const deadline = Date.now() + REAPED_MS
  while (ids.some(waits) && Date.now() < deadline) await sleep(POLL_MS)
}

function send(id: Identity, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return
  try {
    process.kill(id.pid, signal)
  } catch (error) {
    // It ended in between.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function descendantsOf(pid: number): Identity[] {
  const children = Map.groupBy(numbersIn('/proc'), (each) => statOf(each)?.parent)
  const below = (parent: number): number[] => (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)])
  return below(pid).flatMap(identified)
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder).flatMap((entry) => (/^\d+$/.test(entry) ? [Number(entry)] : []))
}

function identified(pid: number): Identity[] {
  const started = startOf(pid)
  return started === undefined ? [] : [{ pid, started }]
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Nothing of a process that has ended meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
