/** The options that all backends on plain files take. */
import { fileLocation } from '../store/location.ts'
import type { OptionsSchema } from '../store/options.ts'

export interface FilesOptions {
  /** The folder, made where it is missing; no other backend may use it. `:memory:` is a temporary one, gone when closed. */
  readonly path?: string | undefined
  /** The same as a URL, `file:folder`. */
  readonly url?: string | undefined
  /** `full` (default): a write that resolved survives a power cut; `relaxed`: it survives a killed process. */
  readonly durability?: 'full' | 'relaxed' | undefined
  /** Milliseconds to wait for a lock that another process holds. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined
}

export function filesOptions(fallback: string): OptionsSchema<FilesOptions> {
  return {
    path: { type: 'string', description: `the folder, or :memory: for a temporary one; default ${fallback}` },
    url: { type: 'string', description: 'the folder as a URL: file:folder, file:///absolute/folder' },
    durability: {
      type: 'string',
      description: 'full: a resolved write survives a power cut; relaxed: a killed process',
      choices: ['full', 'relaxed'],
      default: 'full',
    },
    lockTimeoutMs: {
      type: 'integer',
      description: 'milliseconds to wait for a lock of another process',
      default: 30_000,
      min: 0,
    },
  }
}

/** The absolute path of the folder, or `:memory:`. */
export function folderLocation(options: FilesOptions, fallback: string): string {
  return fileLocation(options, fallback, 'file')
}
