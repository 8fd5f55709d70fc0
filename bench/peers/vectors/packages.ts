/** The packages of the comparison in vectors: in `node_modules` beside this file, by a lockfile of their own, far from `npm ci`. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = import.meta.dirname

/** Installs what the lockfile names, unless it is there already; no script of a package runs. Throws with npm's words. */
export function installVectorPeers(): void {
  if (isCurrent()) return
  // Under `npm run` the very npm that runs.
  const own = process.env['npm_execpath']
  const [command, first] = own === undefined ? ['npm', []] : [process.execPath, [own]]
  const child = spawnSync(command, [...first, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
  })
  if (child.status !== 0) throw new Error(`npm ci in ${folder}: ${child.error?.message ?? child.stderr.trim()}`)
}

/** A module of the folder. Its name is a variable, so that Holdfast's type check needs none of the packages. */
export async function loadPeer<T>(specifier: string): Promise<T> {
  return (await import(specifier)) as T
}

/** Version of an installed package; undefined when it is not there. */
export function peerVersion(name: string): string | undefined {
  const file = join(folder, 'node_modules', name, 'package.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : undefined
}

function isCurrent(): boolean {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return Object.entries(dependencies).every(([name, exact]) => peerVersion(name) === exact)
}
