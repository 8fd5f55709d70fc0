/** Makes files, and the names of files, survive a power cut. */
import { closeSync, fsync, fsyncSync, openSync } from 'node:fs'
import { platform } from 'node:os'
import { promisify } from 'node:util'
import { isMissing } from './file-changes.ts'

/** Windows keeps names durable by itself, and has no call for it. */
const FOLDERS_SYNC = platform() !== 'win32'

const sync = promisify(fsync)

/** A file that is missing needs no care. */
export function syncFile(path: string): Promise<void> {
  return syncPath(path, 'r+')
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  if (FOLDERS_SYNC) await syncPath(path, 'r')
}

export function syncFolderNow(path: string): void {
  if (!FOLDERS_SYNC) return
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

async function syncPath(path: string, flags: 'r' | 'r+'): Promise<void> {
  let fd: number
  try {
    fd = openSync(path, flags)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  await sync(fd).finally(() => closeSync(fd))
}
