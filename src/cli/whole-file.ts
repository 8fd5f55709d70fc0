/** Files that are written whole or not at all. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The file is there whole or, after a failure, as it was before. */
export async function toFile<T>(file: string, work: (write: (data: string | Uint8Array) => Promise<void>) => Promise<T>): Promise<T> {
  const unfinished = `${file}.${randomUUID().slice(0, 8)}.part`
  const handle = await open(unfinished, 'wx')
  try {
    const result = await work((data) => handle.appendFile(data))
    await handle.sync()
    await handle.close()
    await rename(unfinished, file)
    await syncFolder(dirname(file))
    return result
  } catch (error) {
    await handle.close()
    await rm(unfinished, { force: true })
    throw error
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
