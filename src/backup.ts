/** One backup of several stores: a new folder that is there whole or not at all. */
import { mkdtemp, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HoldfastError, isHoldfastError, type ErrorCode } from './errors.ts'
import { makeFolder } from './store/folder.ts'
import { checkText, invalid } from './store/text.ts'

interface Source {
  backupTo(directory: string): Promise<string[]>
}

const MAX_PATH_BYTES = 4096

/** Copies into a folder beside the target and renames it at the end; whatever fails, nothing of it is left. Returns the absolute files. */
export async function backup(directory: string, stores: readonly Source[]): Promise<string[]> {
  checkText(directory, 'directory', MAX_PATH_BYTES)
  if (directory === '') throw invalid('directory must not be empty')
  const target = resolve(directory)
  try {
    await checkFree(target)
    return await inNewFolder(dirname(target), async (parent) => {
      const unfinished = await mkdtemp(join(parent, '.holdfast-backup-'))
      try {
        const files = await copyAll(stores, unfinished)
        await publish(unfinished, target)
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

/** Before the work rather than after it. It is checked again when the finished folder gets its name. */
async function checkFree(target: string): Promise<void> {
  const there = await readdir(target).catch(unlessMissing)
  if (there !== undefined && there.length > 0) throw taken(target, 'is not empty')
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

/** One after the other: they share a disk. */
async function copyAll(stores: readonly Source[], folder: string): Promise<string[]> {
  const files: string[] = []
  for (const store of stores) files.push(...(await store.backupTo(folder)))
  return files
}

async function publish(unfinished: string, target: string): Promise<void> {
  await syncFolder(unfinished)
  // Not every system renames over a folder, even an empty one.
  await rmdir(target).catch(unlessMissing)
  await rename(unfinished, target)
  await syncFolder(dirname(target))
}

/** A name is durable once the folder that holds it is. Windows opens no folders. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
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

function taken(target: string, problem: string): HoldfastError {
  return new HoldfastError('CONFLICT', `${target} ${problem}; name a new folder`, { outcome: 'not-applied' })
}
