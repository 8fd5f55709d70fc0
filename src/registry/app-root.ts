/** Which application this process runs, and the package manager that looks after it. */
import { dirname, join, resolve, sep } from 'node:path'
import { existsSync, realpathSync } from '../store/fs.ts'
import { isFile, findUp, readPackage } from './packages.ts'

/**
 * The folder of the application: `appRoot`, else `HOLDFAST_APP_ROOT`, else that of the package.json nearest to the entry script. A script that
 * is itself installed (a test runner, a process manager) stands for the project that it is installed in. Undefined where there is none.
 */
export function findAppRoot(appRoot?: string): string | undefined {
  const named = appRoot ?? process.env['HOLDFAST_APP_ROOT']
  if (named !== undefined && named !== '') return resolve(named)
  const script = process.argv[1]
  return script === undefined ? undefined : projectOf(script)
}

/** The project that a script belongs to. */
function projectOf(script: string): string | undefined {
  const installed = `${sep}node_modules${sep}`
  const path = realPath(script)
  const outer = path.includes(installed) ? path.slice(0, path.indexOf(installed)) : dirname(path)
  return findUp(outer, isProject)
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // `node script` without the ending, or a script that was removed since: the path itself still tells the folder.
    return resolve(path)
  }
}

/** A package.json that only says `"type": "module"` describes a build folder, not a project. */
function isProject(folder: string): boolean {
  if (!isFile(join(folder, 'package.json'))) return false
  try {
    const json = readPackage(folder)
    return ['name', 'dependencies', 'optionalDependencies', 'devDependencies', 'holdfast'].some((key) => Object.hasOwn(json, key))
  } catch {
    // Broken, but certainly meant to be one; discovery says what is wrong with it.
    return true
  }
}

const INSTALLERS = [
  ['pnpm-lock.yaml', 'pnpm add'],
  ['yarn.lock', 'yarn add'],
  ['bun.lock', 'bun add'],
  ['bun.lockb', 'bun add'],
  ['package-lock.json', 'npm install'],
] as const

/** The command that adds a package, in the words of the package manager whose lock file is nearest; without one, npm. */
export function installCommand(packageName: string, range: string | undefined, appRoot: string | undefined): string {
  const lockOf = (folder: string): (typeof INSTALLERS)[number] | undefined =>
    INSTALLERS.find(([file]) => existsSync(join(folder, file)))
  const locked = appRoot === undefined ? undefined : findUp(appRoot, (folder) => lockOf(folder) !== undefined)
  const command = (locked === undefined ? undefined : lockOf(locked)?.[1]) ?? 'npm install'
  const wanted = range === undefined ? packageName : `${packageName}@${range}`
  return `${command} ${/^[\w@/.^~*-]+$/.test(wanted) ? wanted : `"${wanted}"`}`
}
