/** Copies of database files that nobody works on: taken whole, and looked through before anybody trusts them. */
import { stat } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { backup, DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '../errors.ts'
import { syncFile } from './file-sync.ts'
import { isBusy, translateSqliteError } from './sqlite-errors.ts'

/** Versions of the tables in a file by component, the highest where several prefixes share it. */
export type FoundVersions = ReadonlyMap<string, number>

/** Copies a database with what its log holds, checks the copy and makes it durable. A damaged one, or no database: `CORRUPT`. */
export async function copyDatabase(from: string, to: string): Promise<FoundVersions> {
  try {
    const source = await openUntouched(from)
    await backup(source, to, { rate: 10_000 }).finally(() => source.close())
    const versions = inspect(from, to)
    await syncFile(to)
    return versions
  } catch (error) {
    throw translateSqliteError(error, from)
  }
}

/** True where another connection, of this or another process, has the database open. One that cannot be read is open nowhere. */
export function isInUse(path: string): boolean {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { timeout: 0 })
    // With a log, this is the one lock that others keep out while they do nothing.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT')
    return false
  } catch (error) {
    return isBusy(error)
  } finally {
    db?.close()
  }
}

/** Without a log nothing is written beside the file, so that it may lie on a disk that is read-only. */
async function openUntouched(path: string): Promise<DatabaseSync> {
  const log = await stat(`${path}-wal`).catch(() => undefined)
  const url = pathToFileURL(path)
  url.search = log === undefined || log.size === 0 ? '?immutable=1' : '?mode=ro'
  return new DatabaseSync(url, { readOnly: true })
}

function inspect(from: string, copy: string): FoundVersions {
  const db = new DatabaseSync(copy)
  try {
    const { integrity_check: verdict } = db.prepare('PRAGMA integrity_check(1)').get() as { integrity_check: string }
    if (verdict !== 'ok') throw damaged(from, verdict)
    return versionsIn(db)
  } finally {
    db.close()
  }
}

function versionsIn(db: DatabaseSync): FoundVersions {
  const tables = db
    .prepare(
      `SELECT name FROM sqlite_schema AS tables WHERE type = 'table' AND name LIKE '%schema' AND
        (SELECT group_concat(name) FROM pragma_table_info(tables.name)) = 'component,version'`,
    )
    .all() as { name: string }[]
  const versions = new Map<string, number>()
  for (const { name } of tables) {
    const rows = db.prepare(`SELECT component, version FROM "${name.replaceAll('"', '""')}"`).all()
    for (const { component, version } of rows as { component: string; version: number }[]) {
      versions.set(component, Math.max(version, versions.get(component) ?? 0))
    }
  }
  return versions
}

function damaged(path: string, verdict: string): HoldfastError {
  return new HoldfastError('CORRUPT', `${path} is damaged: ${verdict.replaceAll(/\s+/g, ' ')}`, { outcome: 'not-applied' })
}
