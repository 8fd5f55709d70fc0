/** From the options of the command line to settings. */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { configureDiscovery, resolveSettings, type PersistenceOptions, type ResolvedSettings } from '../index.ts'

/** Options that every command takes. */
export interface GlobalOptions {
  readonly dir?: string
  readonly conversation?: string
  readonly knowledge?: string
  readonly state?: string
  readonly workspace?: string
  readonly config?: string
  readonly debug?: boolean
}

/** What `openPersistence` is given: the command line comes first, then the project's config file and the environment. */
export function persistenceOptions(options: GlobalOptions): PersistenceOptions & { readonly appRoot: string } {
  const { dir, conversation, knowledge, state, workspace, config } = options
  const appRoot = useAppRoot()
  return { dir, conversation, knowledge, state, workspace, appRoot, config: config === undefined ? undefined : resolve(config) }
}

export async function settingsOf(options: GlobalOptions): Promise<ResolvedSettings> {
  const { appRoot, config, ...given } = persistenceOptions(options)
  const { dir, workspace, ...stores } = given
  const { conversation, knowledge, state } = stores as GlobalOptions
  return resolveSettings({ dir, workspace, conversation, knowledge, state }, { root: appRoot, env: process.env, config })
}

/**
 * The project whose plugins and config file count: `HOLDFAST_APP_ROOT`, else that of the nearest package.json at or above the working
 * directory, else the working directory. Who runs the command there means it.
 */
export function useAppRoot(): string {
  const named = process.env['HOLDFAST_APP_ROOT']
  const appRoot = named === undefined || named === '' ? nearestProject(process.cwd()) : resolve(named)
  configureDiscovery({ appRoot })
  return appRoot
}

function nearestProject(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (dirname(folder) === folder) return start
  }
}
