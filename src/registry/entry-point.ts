/** Loading what a package declared: the one place where a plugin's code begins to run. */
import { pathToFileURL } from 'node:url'
import { HoldfastError } from '../errors.ts'
import type { AnyFactory } from '../store/factory.ts'
import { typeName } from '../store/text.ts'
import { importFile } from './clients.ts'
import type { Declaration } from './declarations.ts'
import { resolveSubpath } from './exports.ts'
import { readPackage } from './packages.ts'
import { hide, safeCause } from './secrets.ts'

/** The factory that a declaration names; `INVALID_BACKEND` where it cannot be found, imported or called. */
export async function loadEntryPoint(declaration: Declaration): Promise<AnyFactory> {
  const { name, directory } = declaration.package
  try {
    const url = pathToFileURL(entryFile(declaration)).href
    return factoryIn(await importFile(url), declaration.exportName)
  } catch (error) {
    const message = hide(error instanceof Error ? error.message : String(error), [])
    const cause = safeCause(error, [])
    throw new HoldfastError('INVALID_BACKEND', `its entry point in ${name} (${directory}) cannot be loaded: ${message}`, {
      cause,
    })
  }
}

/** The file that holds the declared factory. */
export function entryFile({ package: { directory }, subpath }: Declaration): string {
  return resolveSubpath(directory, readPackage(directory), subpath)
}

function factoryIn(module: unknown, exportName: string): AnyFactory {
  const found = exportOf(module, exportName)
  if (typeof found === 'function') return found as AnyFactory
  const what = exportName === 'default' ? 'default export' : `export "${exportName}"`
  throw new Error(found === undefined ? `it has no ${what}` : `its ${what} is not a function but ${typeName(found)}`)
}

/** An export of an ES module, or of a CommonJS module, whose `module.exports` arrives as the default export. */
function exportOf(module: unknown, name: string): unknown {
  const direct = own(module, name)
  const inner = own(module, 'default')
  if (name === 'default') return typeof direct === 'function' ? direct : (own(direct, 'default') ?? direct)
  return direct ?? own(inner, name)
}

function own(holder: unknown, name: string): unknown {
  const isHolder = (typeof holder === 'object' && holder !== null) || typeof holder === 'function'
  return isHolder && Object.hasOwn(holder, name) ? (holder as Record<string, unknown>)[name] : undefined
}
