/** `holdfast storage scopes|usage|clear|reconcile|encrypt|decrypt`: the storages of plugins as wholes. */
import { isHoldfastError, type ErrorCode } from '../../index.ts'
import type { PluginHost, ScopeId, ScopeInfo, ScopeUsage } from '../../plugin-storage/index.ts'
import { EXIT, reportFailure, UsageError } from '../failure.ts'
import { bytes, out, plural, printable, printJson, table, writeTo } from '../terminal.ts'
import { count, grouped, printItems } from './items.ts'
import { HOW_TO_GIVE_KEYS } from './keys.ts'
import { nameOf, withHost, withScope, type StorageOptions } from './open.ts'

export interface ScopesOptions extends StorageOptions {
  readonly count?: boolean
  readonly json?: boolean
}

interface Described extends ScopeId, ScopeUsage {
  readonly quotaBytes: number
  readonly keys?: number
}

const ROWS = 100

/** Those of all workspaces, unless one is named on the command line. */
export function scopes(options: ScopesOptions): Promise<number> {
  return withHost(options, async ({ host }) => {
    const found = described(host, host.scopes({ workspaceId: options.workspace }), options.count)
    if (options.json === true) return printItems(found)
    let header = [headerOf(options)]
    for await (const rows of grouped(found, ROWS)) {
      await writeTo(process.stdout, table([...header, ...rows.map(rowOf)]))
      header = []
    }
  })
}

async function* described(host: PluginHost, found: AsyncIterable<ScopeInfo>, counted = false): AsyncGenerator<Described, void> {
  for await (const scope of found) yield await describe(host, scope, scope, counted)
}

async function describe(host: PluginHost, scope: ScopeId, usage: ScopeUsage, counted: boolean): Promise<Described> {
  const { workspaceId, pluginId } = scope
  const { usedBytes, encrypted, createdAt } = usage
  const all = { workspaceId, pluginId, usedBytes, quotaBytes: host.quotaBytes, encrypted, createdAt }
  return counted ? { ...all, keys: await count(host.session(scope).storage.scanPrefix('')) } : all
}

function headerOf({ count }: ScopesOptions): string[] {
  return ['USED', 'QUOTA', ...(count === true ? ['KEYS'] : []), 'ENCRYPTED', 'PLUGIN', 'WORKSPACE']
}

function rowOf({ workspaceId, pluginId, usedBytes, quotaBytes, encrypted, keys }: Described): string[] {
  const amounts = [bytes(usedBytes), bytes(quotaBytes), ...(keys === undefined ? [] : [String(keys)])]
  return [...amounts, encrypted ? 'yes' : 'no', pluginId, workspaceId === '' ? '(unnamed)' : printable(workspaceId)]
}

export function usage(plugin: string, options: ScopesOptions): Promise<number> {
  return withScope(plugin, options, async ({ host, scope }) => {
    const found = await describe(host, scope, await host.usage(scope), options.count === true)
    if (options.json === true) return printJson({ ...found, createdAt: found.createdAt ?? null })
    const keys = found.keys === undefined ? '' : ` in ${plural(found.keys, 'key')}`
    const encrypted = found.encrypted ? ', encrypted' : ''
    out(`${nameOf(scope)}: ${bytes(found.usedBytes)} of ${bytes(found.quotaBytes)}${keys}${encrypted}\n`)
  })
}

export function clear(plugin: string, options: StorageOptions & { readonly yes?: boolean }): Promise<number> {
  return withScope(plugin, options, async ({ host, scope }) => {
    if (options.yes !== true) throw new UsageError(`this deletes all that ${nameOf(scope)} has stored; give --yes to do it`)
    out(`cleared ${nameOf(scope)}: ${plural(await host.clear(scope), 'value')}\n`)
  })
}

export interface ReconcileCommandOptions extends StorageOptions {
  readonly olderThan?: number
  readonly json?: boolean
}

export function reconcile(plugin: string, options: ReconcileCommandOptions): Promise<number> {
  return withScope(plugin, options, async ({ host, scope }) => {
    const result = await host.reconcile(scope, { olderThanMs: options.olderThan })
    if (options.json === true) return printJson({ ...scope, ...result })
    const { usedBytes, correctedBytes, chunksRemoved } = result
    const correction =
      correctedBytes === 0
        ? 'as counted'
        : `the counter was ${bytes(Math.abs(correctedBytes))} too ${correctedBytes > 0 ? 'high' : 'low'}`
    out(`${nameOf(scope)}: ${bytes(usedBytes)}, ${correction}; removed ${plural(chunksRemoved, 'abandoned piece')}\n`)
  })
}

export interface ConvertOptions extends StorageOptions {
  readonly all?: boolean
}

export const encrypt = (plugin: string | undefined, options: ConvertOptions): Promise<number> =>
  convert('encrypt', plugin, options)
export const decrypt = (plugin: string | undefined, options: ConvertOptions): Promise<number> =>
  convert('decrypt', plugin, options)

function convert(how: 'encrypt' | 'decrypt', plugin: string | undefined, options: ConvertOptions): Promise<number> {
  if ((plugin === undefined) === (options.all !== true)) throw new UsageError('name the plugin, or give --all')
  return withHost(options, async ({ host, workspaceId, keyed }) => {
    if (!keyed) throw new UsageError(`${how} needs keys. ${HOW_TO_GIVE_KEYS}`)
    const one = async (scope: ScopeId): Promise<void> =>
      out(`${how}ed ${nameOf(scope)}: ${plural(await host[how](scope), 'value')}\n`)
    if (plugin === undefined) return convertAll(host.scopes({ workspaceId: options.workspace }), one)
    const { storage: _, ...scope } = host.session({ workspaceId, pluginId: plugin })
    await one(scope)
    return EXIT.ok
  })
}

/** What is wrong with one scope alone is reported, and the others are converted. */
const OF_ONE_SCOPE: ReadonlySet<ErrorCode> = new Set(['DECRYPTION_FAILED', 'CORRUPT', 'CONFLICT'])

async function convertAll(scopes: AsyncIterable<ScopeId>, convertOne: (scope: ScopeId) => Promise<void>): Promise<number> {
  let exitCode: number = EXIT.ok
  for await (const scope of scopes) {
    try {
      await convertOne(scope)
    } catch (error) {
      if (!isHoldfastError(error) || !OF_ONE_SCOPE.has(error.code)) throw error
      exitCode = await reportFailure(error, false)
    }
  }
  return exitCode
}
