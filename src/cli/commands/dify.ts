/** `holdfast dify run` and `holdfast dify listen`: Dify plugins on the configured state store. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { DifyHost, DifyPluginError, type DifyListener, type DifyPlugin, type Refusal } from '../../dify/index.ts'
import { isHoldfastError, type JsonObject } from '../../index.ts'
import { complain, EXIT, Failure, UsageError } from '../failure.ts'
import { withHost, type Opened, type StorageOptions } from '../storage/open.ts'
import { bytes, out, printable } from '../terminal.ts'
import { Messages } from './dify-messages.ts'

interface ToolOptions extends StorageOptions {
  readonly tool?: string
  readonly provider?: string
  readonly params?: JsonObject
  readonly credentials?: string
  /** Seconds. */
  readonly timeout?: number
  readonly out?: string
  readonly strict?: boolean
  readonly verbose?: boolean
  readonly json?: boolean
}

export interface RunCommandOptions extends ToolOptions {
  readonly python?: string
}

export interface ListenCommandOptions extends ToolOptions {
  readonly host: string
  readonly port: number
  readonly key?: string
  readonly keyFile?: string
  /** Milliseconds. */
  readonly expiresIn?: number
}

const VARIABLE = 'HOLDFAST_DIFY_KEY'
/** What a shell shows for a command that was interrupted. */
const INTERRUPTED = 130
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

export async function runCommand(folder: string, options: RunCommandOptions): Promise<number> {
  if (options.tool === undefined) throw new UsageError('--tool must name one of the plugin’s tools')
  if (!existsSync(join(folder, 'manifest.yaml')))
    throw new Failure('NOT_FOUND', `${folder}: there is no manifest.yaml`, 'Name the folder of a plugin, as its author has it.')
  return hosting(options, async ({ host, workspaceId, signal }) => {
    const starting = host.run(folder, { python: options.python, workspaceId }).catch(notStarted)
    return use(await orInterrupted(signal, starting), options, signal)
  })
}

function notStarted(error: unknown): never {
  if (!isHoldfastError(error, 'UNAVAILABLE')) throw error
  const remedy = 'Install what the plugin needs, such as dify_plugin; --python names the interpreter that has it.'
  throw new Failure('UNAVAILABLE', error.message, remedy, { cause: error })
}

export async function listenCommand(options: ListenCommandOptions): Promise<number> {
  const { given, key } = await keyOf(options)
  return hosting(options, async ({ host, workspaceId, signal }) => {
    const wanted = Promise.withResolvers<DifyPlugin>()
    const onPlugin = (plugin: DifyPlugin): void => {
      if (options.tool === undefined) tell(plugin, options)
      else if (plugin.tools.some(({ tool }) => tool === options.tool)) wanted.resolve(plugin)
    }
    const expiresAt = options.expiresIn === undefined ? undefined : Date.now() + options.expiresIn
    const onRefused = (refusal: Refusal): void => audit(refusal, options)
    const keys = [{ key, workspaceId, expiresAt }]
    const listener = await host.listen({ keys, host: options.host, port: options.port, onPlugin, onRefused })
    welcome(listener, options, { newKey: given ? undefined : key, expiresAt })
    // Without a tool it is ended from outside, and that is no failure.
    if (options.tool === undefined) await once(signal, 'abort')
    if (signal.aborted) return EXIT.ok
    return use(await orInterrupted(signal, wanted.promise), options, signal)
  })
}

interface Hosting {
  readonly host: DifyHost
  readonly workspaceId: string
  /** Aborted when the command is told to end. */
  readonly signal: AbortSignal
}

/** Plugins are children apart from the terminal: whoever ends the command, it is the host that ends them. */
async function hosting(options: ToolOptions, work: (hosting: Hosting) => Promise<number>): Promise<number> {
  const stop = new AbortController()
  const end = (): void => stop.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  const host = async ({ host: plugins, workspaceId }: Opened): Promise<number> => {
    const onLog = options.verbose === true ? logged : undefined
    await using host = new DifyHost({ plugins, strict: options.strict, onLog })
    try {
      return await work({ host, workspaceId, signal: stop.signal })
    } catch (error) {
      if (stop.signal.aborted) return INTERRUPTED
      throw error
    }
  }
  try {
    return await withHost(options, host, (settings) => settings)
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
  }
}

async function orInterrupted<T>(signal: AbortSignal, what: Promise<T>): Promise<T> {
  const over = new AbortController()
  const interrupted = once(signal, 'abort', { signal: over.signal }).then(() => Promise.reject(new Error('interrupted')))
  try {
    return await Promise.race([what, interrupted])
  } finally {
    over.abort()
    interrupted.catch(() => undefined)
  }
}

async function use(plugin: DifyPlugin, options: ToolOptions, signal: AbortSignal): Promise<number> {
  const messages = new Messages(options)
  try {
    const call = {
      tool: options.tool!,
      provider: options.provider,
      parameters: options.params,
      credentials: await credentialsOf(options.credentials),
      timeoutMs: options.timeout === undefined ? undefined : Math.ceil(options.timeout * 1_000),
      signal,
    }
    for await (const message of plugin.invokeTool(call)) await messages.show(message)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof DifyPluginError)) throw error
    complain('PLUGIN', `${error.errorType}: ${error.message}`, 'The tool failed with this; --verbose shows what the plugin logs.')
    if (options.debug === true && error.traceback !== undefined) logged(error.pluginId, error.traceback)
    return EXIT.failure
  }
}

/** In a file, as other users of the machine see command lines. */
async function credentialsOf(file: string | undefined): Promise<JsonObject | undefined> {
  if (file === undefined) return undefined
  const content = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')
  try {
    const value: unknown = JSON.parse(content)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  } catch {
    // Said below, without what is in the file.
  }
  throw new Failure(
    'INVALID_OPTIONS',
    `${file}: it holds no JSON object`,
    'It must be { "name": "value", … } as the provider asks for.',
  )
}

async function keyOf({ key, keyFile }: ListenCommandOptions): Promise<{ given: boolean; key: string }> {
  if (key !== undefined && keyFile !== undefined) throw new UsageError('--key and --key-file: give one of them')
  const given = key ?? (keyFile === undefined ? process.env[VARIABLE] : (await readFile(keyFile, 'utf8')).trim())
  if (given === undefined || given === '') return { given: false, key: randomBytes(24).toString('base64url') }
  return { given: true, key: given }
}

interface ShownKey {
  readonly newKey: string | undefined
  readonly expiresAt: number | undefined
}

function welcome({ address }: DifyListener, options: ListenCommandOptions, { newKey, expiresAt }: ShownKey): void {
  const variables = {
    INSTALL_METHOD: 'remote',
    REMOTE_INSTALL_URL: address,
    ...(newKey === undefined ? {} : { REMOTE_INSTALL_KEY: newKey }),
  }
  if (options.json === true) return out(`${JSON.stringify({ listening: address, variables, expiresAt })}\n`)
  out(`listening on ${address} for plugins; start one with\n`)
  for (const [name, value] of Object.entries(variables)) out(`  ${name}=${value}\n`)
  if (newKey === undefined) out('  REMOTE_INSTALL_KEY=<the key that you gave>\n')
  if (expiresAt !== undefined) out(`The key ends at ${new Date(expiresAt).toISOString()}.\n`)
  if (!LOOPBACK.has(options.host)) out('The connection is not encrypted: let it go through a network that you trust.\n')
  out('Ctrl-C ends it.\n')
}

/** On standard error, as the log of the server is. */
function audit({ code, reason, address = 'unknown' }: Refusal, { json }: ListenCommandOptions): void {
  const line = json === true ? JSON.stringify({ event: 'audit', code, reason, address }) : `refused ${address}: ${reason}`
  process.stderr.write(`${json === true ? line : printable(line)}\n`)
}

function tell(plugin: DifyPlugin, { json }: ListenCommandOptions): void {
  const { pluginId, manifest, tools } = plugin
  const names = tools.map(({ tool }) => tool)
  const storage = manifest.storage.enabled ? (manifest.storage.sizeBytes ?? null) : false
  if (json === true) printLine({ registered: pluginId, version: manifest.version, storage, tools: names })
  else
    out(
      `+ ${[pluginId, manifest.version, storageText(storage), `tools: ${names.join(', ') || 'none'}`].map(printable).join('  ')}\n`,
    )
  void plugin.ended.then((reason) => farewell(plugin, reason, json))
}

function farewell({ pluginId }: DifyPlugin, reason: Error | undefined, json: boolean | undefined): void {
  if (json === true) printLine({ gone: pluginId, reason: reason?.message ?? null })
  else out(`- ${printable(reason?.message ?? pluginId)}\n`)
}

function storageText(storage: number | false | null): string {
  if (storage === false) return 'no storage'
  return storage === null ? 'storage' : `storage of ${bytes(storage)}`
}

function printLine(value: unknown): void {
  out(`${JSON.stringify(value)}\n`)
}

function logged(pluginId: string, logs: string): void {
  for (const line of logs.split('\n')) process.stderr.write(`${printable(`${pluginId}: ${line}`)}\n`)
}
