/** From the options of the command line to settings. */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import {
  configureDiscovery,
  redact,
  resolveSettings,
  type PersistenceOptions,
  type ResolvedSettings,
  type ResolvedStore,
} from '../index.ts'
import { UsageError } from './failure.ts'

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
  const empty = Object.entries({ dir, conversation, knowledge, state, config }).find(([, value]) => value === '')
  if (empty !== undefined) throw new UsageError(`--${empty[0]} needs a value`)
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
  // Without a project there are no plugins; left to itself, discovery would find those of the project that the command is installed in.
  configureDiscovery(appRoot === undefined ? { mode: 'off' } : { appRoot })
  return appRoot ?? process.cwd()
}

function nearestProject(start: string): string | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (dirname(folder) === folder) return undefined
  }
}

/** A setting without anything that may be secret: of an object's options only url, path and the names of the others. */
export function describeStore({ setting }: ResolvedStore): string {
  if (typeof setting === 'string') return redact(setting)
  const { backend, url, path, ...others } = setting
  const names = Object.keys(others)
  const shown = [backend, url, path].filter((text) => typeof text === 'string').map((text) => redact(text))
  return names.length === 0 ? shown.join(' ') : `${shown.join(' ')} (with ${names.join(', ')})`
}

/**
 * The settings, where default files that are not there are empty stores in memory: who looks into an empty folder leaves it empty. Of other
 * settings only their backends know.
 */
export function asStored(settings: ResolvedSettings): ResolvedSettings {
  const { conversation, knowledge, state } = settings.stores
  return {
    ...settings,
    stores: { conversation: unlessMissing(conversation), knowledge: unlessMissing(knowledge), state: unlessMissing(state) },
  }
}

function unlessMissing(store: ResolvedStore): ResolvedStore {
  const { setting, source } = store
  const path = source === 'default' && typeof setting === 'object' ? setting['path'] : undefined
  return typeof path === 'string' && !existsSync(path) ? { ...store, setting: 'memory' } : store
}
