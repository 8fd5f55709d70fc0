/** What packages weigh on disk with everything that npm installs for them, by the lockfile of the folder they are in. */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

type Lock = Readonly<Record<string, Locked>>

/** Megabytes (10^6 bytes of files) of these packages of the bench's folder. */
export function installedMb(names: readonly string[]): number {
  return weight(import.meta.dirname, names)
}

/** Holdfast: what its tarball holds, and its dependencies. */
export function ownMb(): number {
  const root = join(import.meta.dirname, '..', '..')
  const { files, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    files: string[]
    dependencies: Record<string, string>
  }
  const own = files.map((name) => join(root, name)).filter(existsSync)
  return own.reduce((sum, path) => sum + bytes(path), 0) / 1e6 + weight(root, Object.keys(dependencies))
}

function weight(folder: string, names: readonly string[]): number {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as { packages: Lock }
  const found = new Set<string>()
  for (const name of names) collect(packages, '', name, found)
  const sum = [...found].reduce((sum, path) => sum + (existsSync(join(folder, path)) ? bytes(join(folder, path)) : 0), 0)
  return sum / 1e6
}

/** Follows a name as Node does: from the folder of the one that needs it outwards. */
function collect(lock: Lock, from: string, name: string, found: Set<string>): void {
  const path = nearest(lock, from, name)
  if (path === undefined || found.has(path)) return
  found.add(path)
  const { dependencies, optionalDependencies, peerDependencies = {}, peerDependenciesMeta = {} } = lock[path]!
  const peers = Object.keys(peerDependencies).filter((peer) => peerDependenciesMeta[peer]?.optional !== true)
  const needed = [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers]
  for (const next of needed) collect(lock, path, next, found)
}

function nearest(lock: Lock, from: string, name: string): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`
    if (lock[path] !== undefined) return path
    if (at === '') return undefined
  }
}

/** Not counted: packages inside a package, which have a line of their own in the lockfile, and what a compiler left behind. */
const ELSEWHERE = new Set(['node_modules', 'obj', 'obj.target', '.deps'])

/** Of the files below a path. */
function bytes(path: string): number {
  const entry = lstatSync(path)
  if (!entry.isDirectory()) return entry.size
  const inside = readdirSync(path).filter((name) => !ELSEWHERE.has(name))
  return inside.reduce((sum, name) => sum + bytes(join(path, name)), 0)
}
