/** Client libraries, imported when a backend first needs one. */
import { pathToFileURL } from 'node:url'
import { HoldfastError } from '../errors.ts'
import { installCommand } from './app-root.ts'
import { locateClient, type ClientSearch } from './client-search.ts'
import { shown } from './names.ts'
import { once } from './once.ts'
import { resolveSubpath } from './exports.ts'
import { readPackage } from './packages.ts'

const imports = new Map<string, () => Promise<unknown>>()

/**
 * Imports `specifier` (a package, or a subpath of one) as the backend's package or else the application sees it. A copy is imported once;
 * an import that failed is tried again. `MISSING_CLIENT` where no such package is installed.
 */
export async function loadClient<T>(specifier: string, range: string | undefined, search: ClientSearch): Promise<T> {
  const [name, subpath] = splitSpecifier(specifier)
  const folder = locateClient(name, search)
  if (folder === undefined) throw missing(name, range, search)
  const url = clientUrl(name, folder, subpath)
  let load = imports.get(url)
  if (load === undefined) imports.set(url, (load = once(() => importFile(url))))
  return (await load()) as T
}

/** Imports a file that bundlers cannot know. */
export function importFile(url: string): Promise<unknown> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ url)
}

/** `@scope/name/sub/path` is the package `@scope/name` and its subpath `./sub/path`. */
function splitSpecifier(specifier: string): [name: string, subpath: string] {
  const parts = specifier.split('/')
  const name = parts.splice(0, specifier.startsWith('@') ? 2 : 1).join('/')
  return [name, parts.length === 0 ? '.' : `./${parts.join('/')}`]
}

function clientUrl(name: string, folder: string, subpath: string): string {
  try {
    return pathToFileURL(resolveSubpath(folder, readPackage(folder), subpath)).href
  } catch (cause) {
    throw new HoldfastError(
      'INVALID_BACKEND',
      `the client library ${shown(name)} in ${folder} cannot be imported: ${(cause as Error).message}`,
      { cause },
    )
  }
}

function missing(name: string, range: string | undefined, { appRoot }: ClientSearch): HoldfastError {
  const wanted = range === undefined ? `the package ${shown(name)}` : `the package ${shown(name)}, version ${range}`
  return new HoldfastError('MISSING_CLIENT', `needs ${wanted}: ${installCommand(name, range, appRoot)}`)
}
