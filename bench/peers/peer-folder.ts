/** Packages that only the comparisons need: they live in a folder of the bench with a lockfile of its own, far from `npm ci`. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = import.meta.dirname
const PYTHON = join(folder, '.venv', 'bin', 'python')

/**
 * Installs what the lockfile names, unless it is there already. No script of a package runs, but for sqlite3's, which has to fetch or
 * compile its addon. Throws with npm's words.
 */
export function installPeers(): void {
  if (isCurrent()) return
  npm('ci', '--ignore-scripts', '--no-audit', '--no-fund')
  npm('rebuild', 'sqlite3')
}

/** A module of the folder; its types are unknown here, so the caller says which part of it is used. */
export async function load<T>(specifier: string): Promise<T> {
  return (await import(specifier)) as T
}

/** Version of an installed package; undefined when it is not there. */
export function versionOf(name: string): string | undefined {
  const file = join(folder, 'node_modules', name, 'package.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : undefined
}

/** The Python of the folder's own environment, made on first use with what requirements.txt names. Throws where there is no Python. */
export function python(): string {
  const installed = join(folder, '.venv', 'installed')
  const wanted = readFileSync(join(folder, 'requirements.txt'), 'utf8')
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return PYTHON
  run('python3', ['-m', 'venv', '.venv'])
  // PraisonAI's store and registry need none of its other dependencies, which weigh hundreds of megabytes.
  run(PYTHON, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--requirement', 'requirements.txt'])
  writeFileSync(installed, wanted)
  return PYTHON
}

/** What `python3 -c` prints. */
export function askPython(program: string): string {
  return run(python(), ['-c', program]).trim()
}

function isCurrent(): boolean {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  const addon = join(folder, 'node_modules', 'sqlite3', 'build', 'Release', 'node_sqlite3.node')
  return existsSync(addon) && Object.entries(dependencies).every(([name, exact]) => versionOf(name) === exact)
}

function npm(...args: readonly string[]): void {
  // Under `npm run` the very npm that runs; another package manager does not know this lockfile.
  const own = process.env['npm_execpath']
  if (own?.endsWith('npm-cli.js') !== true) run('npm', args)
  else run(process.execPath, [own, ...args])
}

function run(command: string, args: readonly string[]): string {
  const child = spawnSync(command, args, { cwd: folder, encoding: 'utf8' })
  if (child.status === 0) return child.stdout
  throw new Error(`${command} ${args.join(' ')}: ${child.error?.message ?? child.stderr.trim().split('\n').at(-1) ?? 'failed'}`)
}
