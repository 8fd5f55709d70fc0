/** `holdfast backup`: a consistent copy of all three stores. */
import { stat } from 'node:fs/promises'
import { openPersistence } from '../../index.ts'
import { persistenceOptions, type GlobalOptions } from '../globals.ts'
import { bytes, out, plural, printable, printJson, progress } from '../terminal.ts'

export interface BackupOptions extends GlobalOptions {
  readonly json?: boolean
}

export async function backup(directory: string, options: BackupOptions): Promise<number> {
  await using persistence = await openPersistence(persistenceOptions(options))
  const bar = progress()
  bar.show(`copying to ${directory}`)
  const files = await persistence.backup(directory).finally(() => bar.end())
  const copies = await Promise.all(files.map(async (file) => ({ file, bytes: (await stat(file)).size })))
  if (options.json === true) printJson({ files: copies })
  else {
    for (const copy of copies) out(`${printable(copy.file)}  ${bytes(copy.bytes)}\n`)
    out(`backed up ${plural(files.length, 'file')}\n`)
  }
  return 0
}
