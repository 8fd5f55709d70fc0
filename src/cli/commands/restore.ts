/** `holdfast restore`: a backup back into the folder of the stores. */
import { KINDS, restoreBackup, type Kind, type ResolvedSettings } from '../../index.ts'
import { describeStore, settingsOf, type GlobalOptions } from '../globals.ts'
import { out, plural, printable, printJson, progress } from '../terminal.ts'

export interface RestoreCommandOptions extends GlobalOptions {
  readonly force?: boolean
  readonly json?: boolean
}

export async function restore(folder: string, options: RestoreCommandOptions): Promise<number> {
  const settings = await settingsOf(options)
  const bar = progress()
  bar.show(`looking through ${folder}`)
  const { files, replaced } = await restoreBackup(folder, { dir: settings.dir, replace: options.force === true }).finally(() =>
    bar.end(),
  )
  const elsewhere = KINDS.filter((kind) => settings.stores[kind].source !== 'default')
  if (options.json === true) printJson({ dir: settings.dir, files, replaced: replaced ?? null })
  else {
    out(`restored ${plural(files.length, 'file')} to ${printable(settings.dir)}\n`)
    if (replaced !== undefined) out(`what was there is in ${printable(replaced)}\n`)
  }
  for (const kind of elsewhere) noteOf(kind, settings)
  return 0
}

/** A store that the settings name may be anywhere; only its backend knows. */
function noteOf(kind: Kind, { stores, dir }: ResolvedSettings): void {
  const message = `${kind} is configured as ${describeStore(stores[kind])}; only what it keeps in ${dir} was restored`
  process.stderr.write(`note: ${printable(message)}\n`)
}
