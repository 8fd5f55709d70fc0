/** Copies of folders. */
import { constants } from 'node:fs'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { syncFile, syncFolder } from './file-sync.ts'

/** Files that are copied at a time: as many as Node has threads for it. */
const COPIED_AT_ONCE = 4

/** Copies a folder durably, but for the files right in it that `isOwn` names. Gives the names of the copies; one that is there already is an error. */
export async function copyFolder(from: string, to: string, isOwn: (name: string) => boolean): Promise<string[]> {
  const found = await readdir(from, { withFileTypes: true, recursive: true })
  const files = found
    .filter((entry) => entry.isFile() && !(entry.parentPath === from && isOwn(entry.name)))
    .map((entry) => relative(from, join(entry.parentPath, entry.name)))
  const rest = files.values()
  const worker = async (): Promise<void> => {
    for (const file of rest) await copyDurably(join(from, file), join(to, file))
  }
  await Promise.all(Array.from({ length: COPIED_AT_ONCE }, worker))
  for (const folder of new Set([to, ...files.map((file) => dirname(join(to, file)))])) await syncFolder(folder)
  return files
}

async function copyDurably(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await syncFile(to)
}
