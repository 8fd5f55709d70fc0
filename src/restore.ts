/** From a backup back to a folder of stores: copied, looked through, and only then put in its place. */
import { constants } from 'node:fs'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from './engines/file-changes.ts'
import { syncFile, syncFolder } from './engines/file-sync.ts'
import { copyDatabase, isInUse } from './engines/sqlite-copy.ts'
import { HoldfastError, KINDS, type Kind } from './errors.ts'
import type { RestoredBackup, RestoreOptions } from './persistence.ts'
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } from './registry/index.ts'
import { checkDirectory, makeWhole, taken } from './whole-folder.ts'

const REGISTRIES = { conversation: CONVERSATION_STORES, knowledge: KNOWLEDGE_STORES, state: STATE_STORES } as const
const DATABASES = new Map<string, Kind>(KINDS.map((kind) => [`${kind}.db`, kind]))
/** What the backends on plain files keep. */
const FOLDERS: ReadonlySet<string> = new Set(['conversations', 'state'])
const LOG = /-(?:wal|shm)$/
/** Belongs to those who have the folder open. */
const LOCK = /^lock\.db(?:-|$)/

export async function restoreBackup(directory: string, options: RestoreOptions): Promise<RestoredBackup> {
  const { dir = '.holdfast', replace = false } = options
  const source = checkDirectory(directory)
  const names = await namesIn(source)
  let replaced: string | undefined
  const moveAside = async (target: string): Promise<string> => {
    await checkReplaceable(target)
    return (replaced = `${target}.replaced-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`)
  }
  const files = await makeWhole(dir, {
    mark: '.holdfast-restore-',
    fill: (folder) => copyStores(source, names, folder),
    ...(replace && { replace: moveAside }),
  })
  return replaced === undefined ? { files } : { files, replaced }
}

/** What lies in a backup; `NOT_FOUND` where that is no store. */
async function namesIn(source: string): Promise<string[]> {
  const names = await readdir(source).catch((error: NodeJS.ErrnoException) => {
    if (isMissing(error) || error.code === 'ENOTDIR') return []
    throw error
  })
  if (names.some((name) => DATABASES.has(name) || FOLDERS.has(name))) return names
  const expected = [...DATABASES.keys(), ...FOLDERS].join(', ')
  throw new HoldfastError('NOT_FOUND', `${source} holds no backup: there is none of ${expected}`, { outcome: 'not-applied' })
}

async function copyStores(source: string, names: readonly string[], folder: string): Promise<string[]> {
  const files: string[] = []
  for (const name of names) {
    const kind = DATABASES.get(name)
    if (kind !== undefined) files.push(await copyStore(kind, source, name, folder))
    // A database is copied together with its log.
    else if (!LOG.test(name) || !names.includes(name.replace(LOG, ''))) files.push(...(await copyRest(source, name, folder)))
  }
  return files
}

async function copyStore(kind: Kind, source: string, name: string, folder: string): Promise<string> {
  const versions = await copyDatabase(join(source, name), join(folder, name))
  const refused = (code: 'CORRUPT' | 'UNSUPPORTED', problem: string): HoldfastError =>
    new HoldfastError(code, `${join(source, name)} ${problem}`, { kind, outcome: 'not-applied' })
  const found = versions.get(kind)
  if (found === undefined) throw refused('CORRUPT', `is a database, and holds no ${kind} store`)
  const known = (await REGISTRIES[kind].tables('sqlite', { path: join(folder, name) }))!.version
  if (found > known) throw refused('UNSUPPORTED', `is of version ${found}, and this Holdfast knows ${known}: use a newer one`)
  return name
}

/** Files and folders of other backends, as they are. */
async function copyRest(source: string, name: string, folder: string): Promise<string[]> {
  const found = await readdir(join(source, name), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTDIR') return undefined
    throw error
  })
  if (found === undefined) {
    await copyFile(join(source, name), join(folder, name), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    await syncFile(join(folder, name))
    return [name]
  }
  await mkdir(join(folder, name))
  const files: string[] = []
  for (const entry of found) if (!LOCK.test(entry.name)) files.push(...(await copyRest(source, join(name, entry.name), folder)))
  await syncFolder(join(folder, name))
  return files
}

/** Only what a restore could have put there is moved, so that naming the wrong folder harms nothing. */
async function checkReplaceable(target: string): Promise<void> {
  const names = await readdir(target)
  const foreign = names.find((name) => !DATABASES.has(name.replace(LOG, '')) && !FOLDERS.has(name))
  if (foreign !== undefined) throw taken(target, `holds ${JSON.stringify(foreign)}, which is no store`)
  const used = names.find((name) => DATABASES.has(name) && isInUse(join(target, name)))
  if (used === undefined) return
  throw new HoldfastError('CONFLICT', `${join(target, used)} is in use; end what has it open`, { outcome: 'not-applied' })
}
