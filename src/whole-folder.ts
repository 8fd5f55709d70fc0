/** Folders that are there whole or not at all: a backup, or what is restored from one. */
import { mkdtemp, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HoldfastError, isHoldfastError, type ErrorCode } from './errors.ts'
import { syncFolder } from './engines/file-sync.ts'
import { makeFolder } from './store/folder.ts'
import { checkText, invalid } from './store/text.ts'

const MAX_PATH_BYTES = 4096

export interface WholeFolder {
  /** Begins the name of the unfinished folder, beside the finished one. */
  readonly mark: string
  /** Puts everything into the unfinished folder; the files that it wrote, named from there. */
  fill(folder: string): Promise<readonly string[]>
  /** Where what is there already goes, in one move. Left out: what is not empty is a `CONFLICT`. */
  replace?(target: string): Promise<string>
}

/** Fills a folder beside the target and renames it at the end; whatever fails, nothing of it is left. The absolute files. */
export async function makeWhole(directory: string, { mark, fill, replace }: WholeFolder): Promise<string[]> {
  const target = checkDirectory(directory)
  try {
    const aside = await asideFor(target, replace)
    return await inNewFolder(dirname(target), async (parent) => {
      const unfinished = await mkdtemp(join(parent, mark))
      try {
        const files = await fill(unfinished)
        await publish(unfinished, target, aside)
        return files.map((file) => join(target, file))
      } catch (error) {
        await rm(unfinished, { recursive: true, force: true })
        throw error
      }
    })
  } catch (error) {
    throw isHoldfastError(error) ? error : failed(target, error as NodeJS.ErrnoException)
  }
}

export function checkDirectory(directory: string, what = 'directory'): string {
  checkText(directory, what, MAX_PATH_BYTES)
  if (directory === '') throw invalid(`${what} must not be empty`)
  return resolve(directory)
}

/** Before the work rather than after it. It is checked again when the finished folder gets its name. */
async function asideFor(target: string, replace: WholeFolder['replace']): Promise<string | undefined> {
  const there = await readdir(target).catch(unlessMissing)
  if (there === undefined || there.length === 0) return undefined
  if (replace === undefined) throw taken(target, 'is not empty')
  return replace(target)
}

/** Makes the folder where it is missing; where the work fails, those that it made go again. */
async function inNewFolder<T>(folder: string, work: (folder: string) => Promise<T>): Promise<T> {
  const missing = await missingFolders(folder)
  try {
    await makeFolder(folder)
    return await work(folder)
  } catch (error) {
    // One that was never made, or that others use meanwhile, refuses to go, and rightly.
    for (const made of missing) await rmdir(made).catch(() => undefined)
    throw error
  }
}

/** The folder and those above it that do not exist, innermost first. */
async function missingFolders(folder: string): Promise<string[]> {
  if ((await stat(folder).catch(unlessMissing)) !== undefined) return []
  return [folder, ...(await missingFolders(dirname(folder)))]
}

async function publish(unfinished: string, target: string, aside: string | undefined): Promise<void> {
  await syncFolder(unfinished)
  if (aside !== undefined) await rename(target, aside)
  // Not every system renames over a folder, even an empty one.
  else await rmdir(target).catch(unlessMissing)
  try {
    await rename(unfinished, target)
  } catch (error) {
    if (aside !== undefined) await rename(aside, target)
    throw error
  }
  await syncFolder(dirname(target))
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

/** What else the system says is `UNAVAILABLE`. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'PERMISSION_DENIED',
}

function failed(target: string, error: NodeJS.ErrnoException): HoldfastError {
  const { code = '', message } = error
  if (code === 'ENOTEMPTY' || code === 'EEXIST') return taken(target, 'is not empty')
  if (code === 'ENOTDIR') return taken(target, 'is a file, or below one')
  if (code === 'EBUSY') return taken(target, 'is a mount point, which cannot be replaced')
  return new HoldfastError(CODES[code] ?? 'UNAVAILABLE', `${target} cannot be written: ${message}`, {
    outcome: 'not-applied',
    cause: error,
  })
}

export function taken(target: string, problem: string): HoldfastError {
  return new HoldfastError('CONFLICT', `${target} ${problem}; name a new folder`, { outcome: 'not-applied' })
}
