/** Folders that stores and backups are put into. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder and those above it, and leaves what is there. One at a time from the top: Node's own `recursive` tries for ever where the
 * system says of a new folder that it does not exist, as below /proc.
 */
export async function makeFolder(folder: string): Promise<void> {
  const error = await failureToMake(folder)
  if (error === undefined) return
  if (error.code !== 'ENOENT' || dirname(folder) === folder) throw error
  await makeFolder(dirname(folder))
  const second = await failureToMake(folder)
  if (second !== undefined) throw second
}

async function failureToMake(folder: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(folder)
    return undefined
  } catch (error) {
    // There already, or made by somebody else meanwhile. On read-only and foreign disks the system does not always say EEXIST.
    const there = await stat(folder).catch(() => undefined)
    return there?.isDirectory() === true ? undefined : (error as NodeJS.ErrnoException)
  }
}
