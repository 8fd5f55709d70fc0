/** Finding installed packages and reading their package.json, without running any of their code. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { JsonObject } from '../store/contract.ts'
import { readFileSync, realpathSync, statSync } from '../store/fs.ts'

/** Package files beyond this are not read: the largest honest ones are some hundred kilobytes. */
const MAX_BYTES = 4 * 1024 * 1024
const PACKAGE_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/i

interface PnpApi {
  resolveToUnqualified(request: string, issuer: string): string | null
}

/** A name that is safe to look for below `node_modules`. */
export function isPackageName(name: string): boolean {
  return PACKAGE_NAME.test(name) && name.length <= 214
}

/**
 * The real folder of a package as code in `from` sees it, or undefined. It is found by where package managers put it rather than by resolving it,
 * because `exports` may hide everything in it.
 */
export function locatePackage(name: string, from: string): string | undefined {
  if (!isPackageName(name)) return undefined
  if (process.versions['pnp'] !== undefined) return locateByPnp(name, from)
  // With a subpath, because a bare name that is also one of Node's own modules has no paths.
  const folders = createRequire(join(from, 'package.json')).resolve.paths(`${name}/package.json`) ?? []
  const found = folders.map((folder) => join(folder, name)).find((folder) => isFile(join(folder, 'package.json')))
  return found === undefined ? undefined : realpathSync(found)
}

function locateByPnp(name: string, from: string): string | undefined {
  try {
    const api = createRequire(join(from, 'package.json'))('pnpapi') as PnpApi
    return api.resolveToUnqualified(name, join(from, 'package.json')) ?? undefined
  } catch {
    // Yarn's way to say that the package is not there, or that `from` belongs to no project of its.
    return undefined
  }
}

/** The package.json in a folder. Throws an `Error` whose message says what is wrong with it. */
export function readPackage(folder: string): JsonObject {
  const file = join(folder, 'package.json')
  const stats = statSync(file, { throwIfNoEntry: false })
  if (stats === undefined) throw new Error('there is no package.json')
  // A pipe would block, a device never end.
  if (!stats.isFile()) throw new Error('its package.json is not a file')
  if (stats.size > MAX_BYTES) throw new Error(`its package.json is larger than ${MAX_BYTES} bytes`)
  return parseObject(readFileSync(file, 'utf8'))
}

function parseObject(text: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw new Error('its package.json is not JSON')
  }
  if (isObject(value)) return value
  throw new Error('its package.json does not hold an object')
}

/** The version in a folder's package.json, or undefined where none can be read. */
export function packageVersion(folder: string): string | undefined {
  try {
    const { version } = readPackage(folder)
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true
  } catch {
    // A loop of links, a name that is too long, a folder that may not be read: not a file to us.
    return false
  }
}

/** The nearest folder at or above `folder` for which `test` holds. */
export function findUp(folder: string, test: (folder: string) => boolean): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    if (test(at)) return at
    if (dirname(at) === at) return undefined
  }
}
