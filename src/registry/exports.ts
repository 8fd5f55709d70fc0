/**
 * From a package's subpath to a file, as `import` would go from inside that package. Node offers this only for the importing file's
 * own surroundings, where a plugin's package need not be visible (pnpm, Yarn PnP).
 */
import { join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { JsonObject, JsonValue } from '../store/contract.ts'
import { shown } from './names.ts'
import { isFile, isObject } from './packages.ts'

const CONDITIONS: ReadonlySet<string> = new Set(['node', 'node-addons', 'import', 'module-sync', 'default'])
const MAX_DEPTH = 32

/**
 * The absolute path of `subpath` (`.` or `./…`) in the package in `folder`. A package with `exports` gives only what they name; another
 * gives its files. Throws an `Error` that says why there is none.
 */
export function resolveSubpath(folder: string, json: JsonObject, subpath: string): string {
  const file =
    json['exports'] === undefined || json['exports'] === null
      ? legacy(folder, json, subpath)
      : exported(folder, json['exports'], subpath)
  if (!isInside(folder, file)) throw new Error(`${shown(subpath)} leads out of the package`)
  if (!isFile(file)) throw new Error(`${shown(subpath)} leads to ${shown(relative(folder, file))}, which is not there`)
  return file
}

function isInside(folder: string, file: string): boolean {
  const parts = relative(folder, file).split(sep)
  return parts[0] !== '..' && !parts.includes('node_modules')
}

function legacy(folder: string, json: JsonObject, subpath: string): string {
  const main = typeof json['main'] === 'string' ? json['main'] : 'index.js'
  const path = join(folder, subpath === '.' ? main : subpath)
  const candidates = [
    path,
    ...['.js', '.mjs', '.cjs'].map((ending) => path + ending),
    join(path, 'index.js'),
    ...(subpath === '.' ? [join(folder, 'index.js')] : []),
  ]
  return candidates.find(isFile) ?? path
}

function exported(folder: string, exports: JsonValue, subpath: string): string {
  const [target, star] = match(isTable(exports) ? exports : { '.': exports }, subpath)
  const found = target === undefined ? undefined : pick(target, 0)
  if (typeof found !== 'string') throw new Error(`its "exports" do not give ${shown(subpath)} to \`import\``)
  if (!found.startsWith('./'))
    throw new Error(`its "exports" lead ${shown(subpath)} to ${shown(found)}, which is not a path in the package`)
  return fileURLToPath(
    new URL(
      found.replaceAll('*', () => star),
      `${pathToFileURL(folder).href}/`,
    ),
  )
}

/** A table of subpaths, as opposed to the conditions of the package itself. */
function isTable(exports: JsonValue): exports is JsonObject {
  return isObject(exports) && Object.keys(exports).some((key) => key.startsWith('.'))
}

/** The target of a subpath: its own entry, else that of the most specific pattern with what the `*` stands for. */
function match(table: JsonObject, subpath: string): [JsonValue | undefined, string] {
  if (Object.hasOwn(table, subpath) && !subpath.includes('*')) return [table[subpath], '*']
  const patterns = Object.keys(table).filter((key) => key.split('*').length === 2 && fits(key, subpath))
  const [best] = patterns.toSorted((a, b) => b.indexOf('*') - a.indexOf('*') || b.length - a.length)
  if (best === undefined) return [undefined, '']
  const [head, tail] = best.split('*') as [string, string]
  return [table[best], subpath.slice(head.length, subpath.length - tail.length)]
}

function fits(pattern: string, subpath: string): boolean {
  const [head, tail] = pattern.split('*') as [string, string]
  return subpath.startsWith(head) && subpath.endsWith(tail) && subpath.length > head.length + tail.length
}

/** The first target whose conditions hold; `null` forbids the subpath, undefined says that no condition held. */
function pick(target: JsonValue, depth: number): string | null | undefined {
  if (typeof target === 'string' || target === null) return target
  if (typeof target !== 'object' || depth > MAX_DEPTH) return undefined
  if (Array.isArray(target)) return pickFirst(target, depth)
  for (const [condition, inner] of Object.entries(target)) {
    const found = CONDITIONS.has(condition) ? pick(inner, depth + 1) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function pickFirst(targets: readonly JsonValue[], depth: number): string | null | undefined {
  let last: null | undefined
  for (const target of targets) {
    const found = pick(target, depth + 1)
    if (typeof found === 'string' && found.startsWith('./')) return found
    if (found === null) last = null
  }
  return last
}
