/** Files that are written whole or not at all. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

type Work<T> = (write: (data: string | Uint8Array) => Promise<void>) => Promise<T>

/** The file is there whole or, after a failure, as it was before. A device or pipe is written to as it is. */
export async function toFile<T>(file: string, work: Work<T>): Promise<T> {
  const found = await stat(file).catch(() => undefined)
  if (found !== undefined && !found.isFile() && !found.isDirectory()) return straightTo(file, work)
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

/** A file that nobody but its owner may read, and that is not there yet. */
export async function toNewSecretFile(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } catch (error) {
    await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
  await syncFolder(dirname(file))
}

async function straightTo<T>(file: string, work: Work<T>): Promise<T> {
  await using handle = await open(file, 'w')
  return await work((data) => handle.appendFile(data))
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
