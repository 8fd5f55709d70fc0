/** `holdfast doctor`: what is configured, where each setting comes from, and whether it works. */
import {
  ERROR_CODES,
  HoldfastError,
  isHoldfastError,
  KINDS,
  openStore,
  redact,
  type Kind,
  type ResolvedSettings,
  type ResolvedStore,
} from '../../index.ts'
import { EXIT } from '../failure.ts'
import { describeStore, settingsOf, useAppRoot, type GlobalOptions } from '../globals.ts'
import { NODE_NEEDED } from '../node-version.ts'
import { out, printable, printJson, styled } from '../terminal.ts'

export interface DoctorOptions extends GlobalOptions {
  readonly json?: boolean
  /** Milliseconds that opening and asking one store may take. */
  readonly timeout: number
}

interface StoreCheck {
  readonly kind: Kind
  readonly setting: string
  readonly source: ResolvedStore['source']
  readonly ok: boolean
  readonly backend?: string
  readonly durationMs: number
  readonly error?: Fault
}

interface Fault {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export async function doctor(options: DoctorOptions): Promise<number> {
  let settings: ResolvedSettings
  try {
    settings = await settingsOf(options)
  } catch (error) {
    // A program that asked for JSON gets it, also where nothing could be settled.
    if (options.json !== true) throw error
    printJson({ ok: false, error: faultOf(error) })
    return EXIT.failure
  }
  const stores = await Promise.all(KINDS.map((kind) => check(kind, settings, options.timeout)))
  const ok = stores.every((store) => store.ok)
  const { file = null, dir, workspace } = settings
  const about = { node: process.version, nodeNeeded: NODE_NEEDED, appRoot: useAppRoot(), file, dir, workspace }
  if (options.json === true) printJson({ ok, ...about, stores })
  else print(about, stores)
  return ok ? EXIT.ok : EXIT.failure
}

async function check(kind: Kind, settings: ResolvedSettings, timeout: number): Promise<StoreCheck> {
  const started = performance.now()
  const base = { kind, setting: describeStore(settings.stores[kind]), source: settings.stores[kind].source }
  const elapsed = (): number => Math.round(performance.now() - started)
  try {
    const backend = await within(timeout, openAndPing(kind, settings))
    return { ...base, ok: true, backend, durationMs: elapsed() }
  } catch (error) {
    return { ...base, ok: false, durationMs: elapsed(), error: faultOf(error) }
  }
}

function faultOf(error: unknown): Fault {
  const message = redact(error instanceof Error ? error.message : String(error))
  if (isHoldfastError(error)) return { code: error.code, message, remedy: ERROR_CODES[error.code].remedy }
  return { code: 'UNEXPECTED', message, remedy: 'Run it again with --debug, and report it.' }
}

async function openAndPing(kind: Kind, settings: ResolvedSettings): Promise<string> {
  await using store = await openStore(kind, settings)
  await store.ping()
  return store.backend
}

async function within<T>(timeout: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new HoldfastError('TIMEOUT', `no answer within ${timeout} ms`)), timeout)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

const SOURCES: Readonly<Record<ResolvedStore['source'], string>> = {
  argument: 'from the command line',
  file: 'from the config file',
  environment: 'from the environment',
  default: 'by default',
}

interface About {
  readonly node: string
  readonly appRoot: string
  readonly file: string | null
  readonly dir: string
  readonly workspace: string
}

function print({ node, appRoot, file, dir, workspace }: About, stores: readonly StoreCheck[]): void {
  const line = (label: string, value: string): void => out(`${label.padEnd(14)}${printable(value)}\n`)
  line('Node', `${node} (${NODE_NEEDED} or later is needed)`)
  line('Application', appRoot)
  line('Config file', file ?? 'none')
  line('Directory', dir)
  line('Workspace', workspace === '' ? 'the default one' : workspace)
  out('\n')
  for (const { kind, setting, source, ok, durationMs, error } of stores) {
    out(`${ok ? styled('green', 'ok  ') : styled('red', 'FAIL')}  ${kind.padEnd(13)} ${printable(setting)}\n`)
    out(styled('dim', `      ${SOURCES[source]}, ${durationMs} ms\n`))
    if (error !== undefined) out(`      error ${error.code}: ${printable(error.message)}\n      ${error.remedy}\n`)
  }
}
