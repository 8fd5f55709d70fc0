/** `holdfast sync`: what discovery finds, as a module of static imports. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { syncModule } from '../../index.ts'
import { complain, EXIT, Failure } from '../failure.ts'
import { useAppRoot, type GlobalOptions } from '../globals.ts'
import { out, printable } from '../terminal.ts'

export interface SyncCommandOptions extends GlobalOptions {
  /** Where to write the module; `-` for standard output. */
  readonly out: string
  /** Write nothing, and fail where the file is not what it would be. */
  readonly check?: boolean
}

export async function sync(options: SyncCommandOptions): Promise<number> {
  const appRoot = useAppRoot()
  if (!existsSync(join(appRoot, 'package.json')))
    throw new Failure(
      'NOT_FOUND',
      `no package.json is at or above ${appRoot}`,
      'Run it in your project, or set HOLDFAST_APP_ROOT to its folder.',
    )
  const file = options.out === '-' ? undefined : resolve(options.out)
  const text = await syncModule({ appRoot, file })
  if (file === undefined) {
    out(text)
    return EXIT.ok
  }
  const name = printable(relative(process.cwd(), file))
  const isCurrent = (await readIfThere(file)) === text
  if (options.check === true && !isCurrent) {
    complain('CONFLICT', `${name} is not what the installed packages say`, 'Run `holdfast sync` and commit the file.')
    return EXIT.failure
  }
  if (!isCurrent) await writeFile(file, text)
  out(isCurrent ? `${name} is up to date\n` : `wrote ${name}\n`)
  return EXIT.ok
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
