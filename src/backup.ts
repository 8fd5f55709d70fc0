/** One backup of several stores: a new folder that is there whole or not at all. */
import { makeWhole } from './whole-folder.ts'

interface Source {
  backupTo(directory: string): Promise<string[]>
}

/** Copies into a folder beside the target and renames it at the end; whatever fails, nothing of it is left. Returns the absolute files. */
export function backup(directory: string, stores: readonly Source[]): Promise<string[]> {
  return makeWhole(directory, { mark: '.holdfast-backup-', fill: (folder) => copyAll(stores, folder) })
}

/** One after the other: they share a disk. */
async function copyAll(stores: readonly Source[], folder: string): Promise<string[]> {
  const files: string[] = []
  for (const store of stores) files.push(...(await store.backupTo(folder)))
  return files
}
