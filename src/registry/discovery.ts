/** Entry points: which backends the application's direct dependencies declare. Reads package.json files and runs no code. */
import { resolve } from 'node:path'
import type { JsonObject } from '../store/contract.ts'
import { typeName } from '../store/text.ts'
import { findAppRoot } from './app-root.ts'
import { readDeclarations, type Declaration } from './declarations.ts'
import { ascii, shown } from './names.ts'
import { isObject, isPackageName, locatePackage, readPackage } from './packages.ts'

export interface DiscoveryOptions {
  /** `off`: no package is looked at. Default `auto`. */
  readonly mode?: 'auto' | 'off' | undefined
  /** Only these packages; `@scope/*` stands for a whole scope. Default: all. */
  readonly allow?: readonly string[] | undefined
  /** Never these packages, whatever `allow` says. */
  readonly deny?: readonly string[] | undefined
  /** Folder of the application. Default: `HOLDFAST_APP_ROOT`, else that of the package.json nearest to the entry script. */
  readonly appRoot?: string | undefined
}

/** Something about a package, or about the application itself, that hides its backends. */
export interface PackageProblem {
  readonly package: string
  readonly problem: string
}

export interface Discovered {
  readonly appRoot: string | undefined
  /** In the order of the packages' names. */
  readonly declarations: readonly Declaration[]
  readonly problems: readonly PackageProblem[]
}

interface Dependency {
  readonly name: string
  /** It may be missing. */
  readonly optional: boolean
}

/** Takes what is wrong with a package. */
type Report = (packageName: string, problem: string) => void

const MAX_SHOWN = 100

/** Stands for the application in reports where it has no name. */
const APPLICATION = '(application)'

/** Looks once, on first use, and remembers until it is configured anew. */
export class Discovery {
  #options: DiscoveryOptions = {}
  #found: Discovered | undefined

  constructor(options: DiscoveryOptions = {}) {
    this.configure(options)
  }

  /** Replaces all settings; what was found is forgotten. */
  configure(options: DiscoveryOptions): void {
    checkDiscoveryOptions(options)
    const { appRoot } = options
    this.#options = appRoot === undefined ? { ...options } : { ...options, appRoot: resolve(appRoot) }
    this.#found = undefined
  }

  get found(): Discovered {
    this.#found ??= discover(this.#options)
    return this.#found
  }

  /** Folder of the application, also where discovery is off. */
  get appRoot(): string | undefined {
    return findAppRoot(this.#options.appRoot)
  }
}

function checkDiscoveryOptions(options: DiscoveryOptions): void {
  const { mode, allow, deny, appRoot, ...unknown } = options
  const [stray] = Object.keys(unknown)
  if (stray !== undefined) throw new TypeError(`unknown discovery option "${stray}" (known: mode, allow, deny, appRoot)`)
  if (mode !== undefined && mode !== 'auto' && mode !== 'off') throw new TypeError('mode must be "auto" or "off"')
  if (appRoot !== undefined && typeof appRoot !== 'string')
    throw new TypeError(`appRoot must be a string, not ${typeName(appRoot)}`)
  for (const list of [allow, deny]) {
    if (list !== undefined && !(Array.isArray(list) && list.every((item) => typeof item === 'string'))) {
      throw new TypeError('allow and deny must be arrays of package names')
    }
  }
}

function discover(options: DiscoveryOptions): Discovered {
  const appRoot = findAppRoot(options.appRoot)
  const declarations: Declaration[] = []
  const problems: PackageProblem[] = []
  const found = { appRoot, declarations, problems }
  const report: Report = (name, problem) => problems.push({ package: ascii(name.slice(0, MAX_SHOWN)), problem: ascii(problem) })
  // A script that belongs to no project has no plugins, which is nothing wrong.
  if (options.mode === 'off' || appRoot === undefined) return found
  const look = (name: string, work: () => Declaration[]): void => {
    try {
      declarations.push(...work())
    } catch (error) {
      // One package's trouble is reported and must not hide the others.
      report(name, error instanceof Error ? error.message : String(error))
    }
  }
  let dependencies: Dependency[] = []
  look(APPLICATION, () => {
    const json = readPackage(appRoot)
    dependencies = dependenciesOf(json).filter(({ name }) => isWanted(name, options))
    const { name } = json
    return declarationsOf(typeof name === 'string' && isPackageName(name) ? name : APPLICATION, appRoot, json, report)
  })
  for (const dependency of dependencies) look(dependency.name, () => inspect(dependency, appRoot, report))
  return found
}

/** Direct dependencies only: what a dependency's dependency declares is not the application's choice. */
function dependenciesOf(json: JsonObject): Dependency[] {
  const [needed, optional] = [json['dependencies'], json['optionalDependencies']].map((field) =>
    isObject(field) ? Object.keys(field) : [],
  )
  const names = [...new Set([...needed!, ...optional!])].toSorted()
  return names.map((name) => ({ name, optional: optional!.includes(name) }))
}

function isWanted(name: string, { allow, deny }: DiscoveryOptions): boolean {
  const isIn = (list: readonly string[]): boolean => list.includes(name) || list.includes(`${name.split('/')[0]}/*`)
  return (allow === undefined || isIn(allow)) && !(deny !== undefined && isIn(deny))
}

function inspect({ name, optional }: Dependency, appRoot: string, report: Report): Declaration[] {
  if (!isPackageName(name)) throw new Error(`${shown(name)} is not the name of a package`)
  const folder = locatePackage(name, appRoot)
  if (folder === undefined && optional) return []
  if (folder === undefined) throw new Error('it is not installed')
  return declarationsOf(name, folder, readPackage(folder), report)
}

function declarationsOf(name: string, directory: string, json: JsonObject, report: Report): Declaration[] {
  const field = json['holdfast']
  if (field === undefined) return []
  const version = typeof json['version'] === 'string' ? json['version'] : ''
  return readDeclarations({ name, version, directory }, field, (problem) => report(name, problem))
}
