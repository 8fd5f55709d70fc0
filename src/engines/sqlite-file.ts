/** SQLite files: their one name, and how a connection to one is opened. */
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '../errors.ts'
import { realpathSync, statSync } from '../store/fs.ts'
import { IN_MEMORY } from '../store/location.ts'
import { translateSqliteError } from './sqlite-errors.ts'

/** `full`: a write that resolved survives a power cut. `relaxed`: it survives a killed process, and a power cut may lose the last ones. */
export type Durability = 'full' | 'relaxed'

/** SQLite's own wait for a lock blocks the event loop, so it is short; longer waits are ours. */
export const BUSY_TIMEOUT_MS = 2
const SQLITE_HEADER_BYTES = 100

/** SQLite takes a file too short for a header for an empty database, and would write over it. */
export function refuseScrap(path: string): void {
  const size = unlessMissing(() => statSync(path).size) ?? 0
  if (size === 0 || size >= SQLITE_HEADER_BYTES) return
  throw new HoldfastError('CORRUPT', `${path}: the file is not an SQLite database; is the path right?`, {
    outcome: 'not-applied',
  })
}

export function openDatabase(path: string, durability: Durability): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
  try {
    // Turning on the log of a new file needs a lock that many starters may contend for; the caller tries again.
    if (path !== IN_MEMORY) db.exec('PRAGMA journal_mode = WAL')
    db.exec(`PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`)
    db.exec('PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF')
    // Group commit says when there is a checkpoint.
    db.exec('PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 0')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** The same file has one name, however it was spelled. Makes the folder where it is missing. */
export async function canonicalPath(location: string): Promise<string> {
  try {
    const known = unlessMissing(() => realpathSync.native(location)) ?? inFolder(location)
    if (known !== undefined) return known
    const { makeFolder } = await import('../store/folder.ts')
    await makeFolder(dirname(location))
    return join(realpathSync.native(dirname(location)), basename(location))
  } catch (error) {
    throw translateSqliteError(error, location)
  }
}

function inFolder(location: string): string | undefined {
  const folder = unlessMissing(() => realpathSync.native(dirname(location)))
  return folder !== undefined && statSync(folder).isDirectory() ? join(folder, basename(location)) : undefined
}

/** Undefined where nothing is there, or cannot be reached: what opens it says why. */
function unlessMissing<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
