/** Runs what counts in processes of its own, where nothing else disturbs it. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Counts, Group } from './compare.ts'
import type { GroupName } from './hot-paths.ts'
import { MARK } from './io.ts'

const exec = promisify(execFile)
const GROUP = join(import.meta.dirname, '..', 'fixtures', 'budget.ts')
const START = join(import.meta.dirname, '..', 'fixtures', 'budget-start.ts')

/** Compiled code would save what the source allocates; and a heap so large is not cleared while it is looked at. */
const EXACTLY = ['--no-opt', '--no-maglev', '--no-sparkplug', '--min-semi-space-size=256', '--max-semi-space-size=256']

export function countGroup(group: GroupName): Promise<Group> {
  return inFolder(async (folder) => {
    const { stdout } = await exec(process.execPath, [...EXACTLY, '--expose-gc', GROUP, group, folder, 'count'])
    return JSON.parse(stdout) as Group
  })
}

export function countFsyncs(group: GroupName): Promise<Group> {
  return inFolder(async (folder) => {
    const { stdout, fsyncs } = await traced(folder, [GROUP, group, folder, 'mark'])
    const calls = Object.entries(JSON.parse(stdout) as Counts)
    return Object.fromEntries(calls.map(([path, count]) => [path, { fsyncs: (fsyncs.get(path) ?? 0) / count }]))
  })
}

const IMPORT = "import 'holdfast'"

/** Stores on new files, and then on the same, which are there now. */
const STARTS = ['conversation', 'knowledge', 'state'].flatMap((kind) =>
  ['new file', 'file that is there'].map((file) => [kind, `first answer, ${kind}, ${file}`] as const),
)

/** What `import 'holdfast'` loads, and what first answers cost on top of it. */
export function countStarts(): Promise<Group> {
  return inFolder(async (folder) => {
    const group: Record<string, Counts> = {}
    for (const [kind, path] of STARTS) {
      const { stdout } = await exec(process.execPath, [START, kind, join(folder, `${kind}.db`)])
      const { imported, answered } = JSON.parse(stdout) as { imported: Counts; answered: Counts }
      Object.assign(group, { [IMPORT]: imported, [path]: answered })
    }
    return group
  })
}

export function countFsyncsOfStarts(): Promise<Group> {
  return inFolder(async (folder) => {
    const group: Record<string, Counts> = {}
    for (const [kind, path] of STARTS) {
      const { fsyncs } = await traced(folder, [START, kind, join(folder, `${kind}.db`)])
      group[IMPORT] = { fsyncs: fsyncs.get(IMPORT) ?? 0 }
      group[path] = { fsyncs: fsyncs.get('first answer') ?? 0 }
    }
    return group
  })
}

/** Tests that run side by side cannot share a hook that tidies up. */
async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-budget-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Why `strace` cannot be used; undefined where it can. */
export function whyNotTraced(): string | undefined {
  const { error, status } = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'], { stdio: 'ignore' })
  if (error !== undefined) return 'strace is not installed: npm run services strace'
  return status === 0 ? undefined : 'strace may not trace here'
}

/** Runs a program of Node, and counts what it has made durable between its marks. */
async function traced(folder: string, argv: readonly string[]): Promise<{ stdout: string; fsyncs: Map<string, number> }> {
  const log = join(folder, 'trace')
  const calls = 'trace=fsync,fdatasync,statx,newfstatat'
  const { stdout } = await exec('strace', ['-f', '-qq', '-e', calls, '-o', log, process.execPath, ...argv])
  return { stdout, fsyncs: fsyncsIn(await readFile(log, 'utf8')) }
}

export function fsyncsIn(log: string): Map<string, number> {
  const fsyncs = new Map<string, number>()
  let path: string | undefined
  for (const line of log.split('\n')) {
    const [, edge, name] = new RegExp(`"${MARK}/(begin|end)/([^"]+)"`).exec(line) ?? []
    if (name !== undefined) path = edge === 'begin' ? name : undefined
    else if (path !== undefined && /\bf(?:data)?sync\(/.test(line)) fsyncs.set(path, (fsyncs.get(path) ?? 0) + 1)
  }
  return fsyncs
}
