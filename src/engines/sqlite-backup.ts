/** Online copies of a database that is in use; loaded by the first backup. */
import { open, rename, rm } from 'node:fs/promises'
import { backup, DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '../errors.ts'
import { IN_MEMORY } from '../store/location.ts'
import { translateSqliteError } from './sqlite-errors.ts'

/** The connection's database, and where its file is. */
export interface BackupSource {
  readonly db: DatabaseSync
  readonly path: string
  readonly busyTimeoutMs: number
}

/** Writes a consistent copy to a new file while readers and writers go on. */
export async function backupTo(file: string, source: BackupSource): Promise<void> {
  const unfinished = `${file}.unfinished`
  await (await open(unfinished, 'wx').catch((error: unknown) => exists(error, unfinished))).close()
  try {
    await copy(source, unfinished)
    await publish(unfinished, file)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw translateSqliteError(error, file)
  }
}

async function copy({ db, path, busyTimeoutMs }: BackupSource, file: string): Promise<void> {
  if (path === IN_MEMORY) return void (await backup(db, file))
  const source = new DatabaseSync(path, { timeout: busyTimeoutMs })
  try {
    // An open read transaction pins one snapshot; without it each write of another process would start the copy over.
    source.exec('BEGIN; SELECT count(*) FROM sqlite_schema')
    await backup(source, file, { rate: 1000 })
  } finally {
    source.close()
  }
}

/** Gives a finished file its name: durable first, and never over another file. */
async function publish(unfinished: string, file: string): Promise<void> {
  const handle = await open(unfinished, 'r+')
  await handle.sync()
  await handle.close()
  const taken = await open(file, 'r').catch(() => undefined)
  await taken?.close()
  if (taken !== undefined) throw new HoldfastError('CONFLICT', `${file} exists already`, { outcome: 'not-applied' })
  await rename(unfinished, file)
}

function exists(error: unknown, file: string): never {
  if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw translateSqliteError(error, file)
  throw new HoldfastError('CONFLICT', `${file} exists: another backup runs, or one was cut short; remove it first`, {
    outcome: 'not-applied',
  })
}
