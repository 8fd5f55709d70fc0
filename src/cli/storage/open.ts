/** What the commands on plugin storage work on: a host over the configured state store. */
import { HoldfastError, isHoldfastError, openStore, type ResolvedSettings } from '../../index.ts'
import { PluginHost, type PluginStorage, type ScopeId } from '../../plugin-storage/index.ts'
import { EXIT, Failure } from '../failure.ts'
import { asStored, settingsOf, type GlobalOptions } from '../globals.ts'
import { printable } from '../terminal.ts'
import { HOW_TO_GIVE_KEYS, keyRing } from './keys.ts'

export interface StorageOptions extends GlobalOptions {
  readonly quota?: number
  readonly keys?: string
}

export interface Opened {
  readonly host: PluginHost
  /** The tenant to work in. */
  readonly workspaceId: string
  /** Whether keys were given. */
  readonly keyed: boolean
}

/**
 * The state store is opened as a program opens it, without `--workspace`: that names the workspace of the plugin, not that of the host's
 * own store.
 */
export async function withHost(
  { workspace, ...options }: StorageOptions,
  work: (opened: Opened) => Promise<number | void>,
  prepare: (settings: ResolvedSettings) => ResolvedSettings = asStored,
): Promise<number> {
  const encryption = await keyRing(options.keys)
  const settings = await settingsOf(options)
  await using state = await openStore('state', prepare(settings))
  const host = new PluginHost({ state, quotaBytes: options.quota, encryption })
  return (await work({ host, workspaceId: workspace ?? settings.workspace, keyed: encryption !== undefined })) ?? EXIT.ok
}

export interface OpenedScope extends Opened {
  readonly scope: ScopeId
  readonly storage: PluginStorage
}

/** The storage of one plugin; by default nothing is made that is not there. */
export function withScope(
  plugin: string,
  options: StorageOptions,
  work: (opened: OpenedScope) => Promise<number | void>,
  prepare?: (settings: ResolvedSettings) => ResolvedSettings,
): Promise<number> {
  const onScope = async (opened: Opened): Promise<number | void> => {
    const { storage, ...scope } = opened.host.session({ workspaceId: opened.workspaceId, pluginId: plugin })
    try {
      return await work({ ...opened, scope, storage })
    } catch (error) {
      throw await explained(error, opened, scope)
    }
  }
  return withHost(options, onScope, prepare)
}

/** Says what to do on a command line about keys that are missing, or needless. */
async function explained(error: unknown, { host, keyed }: Opened, scope: ScopeId): Promise<unknown> {
  if (!isHoldfastError(error, 'DECRYPTION_FAILED')) return error
  const { encrypted } = await host.usage(scope)
  if (encrypted === keyed) return error
  const [state, remedy] = encrypted
    ? ['encrypted', HOW_TO_GIVE_KEYS]
    : ['not encrypted', 'Convert it with `holdfast storage encrypt`, or give no keys.']
  return new Failure('DECRYPTION_FAILED', `${nameOf(scope)} is ${state}`, remedy, { cause: error })
}

export function nameOf({ workspaceId, pluginId }: ScopeId): string {
  return workspaceId === '' ? pluginId : `${pluginId} in ${printable(workspaceId)}`
}

export function missing(key: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `there is no key ${JSON.stringify(key)}`)
}
