/** Which stores to open: arguments, config file, environment and defaults, in this order of precedence. */
import { access, readFile } from 'node:fs/promises'
import { extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { HoldfastError, KINDS, type Kind } from './errors.ts'
import type { Embed } from './knowledge/contract.ts'
import { nearest, typeName } from './store/text.ts'

/** A backend's name, a URL or path, or an object with either and the backend's options. */
export type StoreSetting = string | ({ readonly backend?: string; readonly url?: string } & Readonly<Record<string, unknown>>)

/** What arguments and config files may say. Every field is optional. */
export interface Settings {
  /** Folder of the embedded stores, default `.holdfast` in the working directory. */
  readonly dir?: string | undefined
  readonly conversation?: StoreSetting | undefined
  readonly knowledge?: StoreSetting | undefined
  readonly state?: StoreSetting | undefined
  /** Tenant of the stores, default `''`. */
  readonly workspace?: string | undefined
  /** Of the embedded stores. Default `full`. */
  readonly durability?: 'full' | 'relaxed' | undefined
  /** Milliseconds a call may take. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** Makes embeddings of documents and queries that come without one. Only as an argument or from a config file that is a module. */
  readonly embed?: Embed | undefined
}

/** Where settings are looked for. */
export interface Place {
  /** Folder of the application. */
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The config file, relative to `root`; `false` reads none. Default: `holdfast.config.*` in `root`, where there is one. */
  readonly config?: string | false | undefined
}

/** Where a setting came from, for `holdfast doctor` and error messages. */
export type Source = 'argument' | 'file' | 'environment' | 'default'

export interface ResolvedStore {
  readonly kind: Kind
  readonly setting: StoreSetting
  readonly source: Source
}

export interface ResolvedSettings {
  /** Absolute. */
  readonly dir: string
  readonly workspace: string
  readonly timeoutMs: number | undefined
  readonly embed: Embed | undefined
  readonly stores: { readonly [K in Kind]: ResolvedStore }
  /** Absolute path of the config file, where one was read. */
  readonly file: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const SETTING_NAMES = [
  'dir',
  ...KINDS,
  'workspace',
  'durability',
  'timeoutMs',
  'embed',
] as const satisfies readonly (keyof Settings)[]
const FILE_NAMES = ['holdfast.config.ts', 'holdfast.config.js', 'holdfast.config.mjs', 'holdfast.config.json']

/** Variables that choose; a service's own variables only complete a backend that is chosen. */
export const VARIABLES = {
  HOLDFAST_DIR: 'dir',
  HOLDFAST_CONVERSATION: 'conversation',
  HOLDFAST_KNOWLEDGE: 'knowledge',
  HOLDFAST_STATE: 'state',
  HOLDFAST_WORKSPACE: 'workspace',
  HOLDFAST_DURABILITY: 'durability',
  HOLDFAST_TIMEOUT_MS: 'timeoutMs',
} as const satisfies Record<string, keyof Settings>

/** Read elsewhere; listed so that a misspelling of them is noticed here. */
const OTHER_VARIABLES = ['HOLDFAST_CONFIG', 'HOLDFAST_APP_ROOT', 'HOLDFAST_REQUIRE']

/** Settles every setting. */
export async function resolveSettings(given: Settings, place: Place): Promise<ResolvedSettings> {
  const file = await findConfig(place)
  const layers: [Source, Settings][] = [
    ['argument', checkSettings(given, 'arguments')],
    ['file', file === undefined ? {} : checkSettings(await loadConfig(file), file)],
    ['environment', fromEnvironment(place.env)],
  ]
  const pick = <K extends keyof Settings>(name: K): [NonNullable<Settings[K]> | undefined, Source] => {
    for (const [source, layer] of layers) {
      const value = layer[name]
      if (value !== undefined) return [value as NonNullable<Settings[K]>, source]
    }
    return [undefined, 'default']
  }
  const dir = resolve(pick('dir')[0] ?? '.holdfast')
  const durability = pick('durability')[0]
  const store = (kind: Kind): ResolvedStore => {
    const [setting, source] = pick(kind)
    return { kind, source, setting: setting ?? embedded(dir, kind, durability) }
  }
  return {
    dir,
    workspace: pick('workspace')[0] ?? '',
    timeoutMs: pick('timeoutMs')[0],
    embed: pick('embed')[0],
    stores: { conversation: store('conversation'), knowledge: store('knowledge'), state: store('state') },
    file,
  }
}

function embedded(dir: string, kind: Kind, durability: Settings['durability']): StoreSetting {
  const path = join(dir, `${kind}.db`)
  return durability === undefined ? { backend: 'sqlite', path } : { backend: 'sqlite', path, durability }
}

async function findConfig(place: Place): Promise<string | undefined> {
  if (place.config === false) return undefined
  const named = place.config ?? place.env['HOLDFAST_CONFIG']
  if (named !== undefined && named !== '') {
    const file = resolve(place.root, named)
    if (!(await isThere(file))) throw new HoldfastError('NOT_FOUND', `there is no config file ${file}`)
    return file
  }
  const files = FILE_NAMES.map((name) => join(place.root, name))
  const there = await Promise.all(files.map(isThere))
  return files.find((_, i) => there[i])
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

async function loadConfig(file: string): Promise<unknown> {
  try {
    if (extname(file) === '.json') return JSON.parse(await readFile(file, 'utf8')) as unknown
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
    return module.default
  } catch (cause) {
    throw new HoldfastError('INVALID_OPTIONS', `${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

/** Refuses what is not a setting, so that a misspelt one never means the default. */
export function checkSettings(value: unknown, what: string): Settings {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HoldfastError('INVALID_OPTIONS', `${what} must give an object of settings, not ${typeName(value)}`)
  }
  const problems = Object.entries(value).flatMap(([name, setting]) => problemOf(name, setting) ?? [])
  if (problems.length > 0) throw new HoldfastError('INVALID_OPTIONS', `${what}: ${problems.join('; ')}`)
  return value
}

function problemOf(name: string, value: unknown): string | undefined {
  if (!(SETTING_NAMES as readonly string[]).includes(name)) {
    const near = nearest(name, SETTING_NAMES)
    return `unknown setting "${name}"${near === undefined ? ` (known: ${SETTING_NAMES.join(', ')})` : `: did you mean "${near}"?`}`
  }
  if (value === undefined) return undefined
  if ((KINDS as readonly string[]).includes(name)) return problemOfStore(name, value)
  if (name === 'timeoutMs')
    return Number.isSafeInteger(value) && (value as number) > 0 ? undefined : `${name} must be a positive integer`
  if (name === 'embed') return typeof value === 'function' ? undefined : `embed must be a function, not ${typeName(value)}`
  if (typeof value !== 'string') return `${name} must be a string, not ${typeName(value)}`
  return name === 'durability' && value !== 'full' && value !== 'relaxed' ? 'durability must be "full" or "relaxed"' : undefined
}

function problemOfStore(name: string, value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? `${name} is empty` : undefined
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `${name} must be a backend's name, a URL, or an object with its options, not ${typeName(value)}`
  }
  return 'backend' in value || 'url' in value ? undefined : `${name} needs a "backend" or a "url"`
}

function fromEnvironment(env: Environment): Settings {
  const known = [...Object.keys(VARIABLES), ...OTHER_VARIABLES]
  for (const name of Object.keys(env)) {
    const near = name.startsWith('HOLDFAST_') && !known.includes(name) ? nearest(name, known) : undefined
    if (near !== undefined) throw new HoldfastError('INVALID_OPTIONS', `environment: ${name} is not known; did you mean ${near}?`)
  }
  const found = Object.entries(VARIABLES).flatMap(([variable, name]) => {
    const value = env[variable]
    return value === undefined || (value === '' && name !== 'workspace')
      ? []
      : [[name, name === 'timeoutMs' ? Number(value) : value]]
  })
  return checkSettings(Object.fromEntries(found), 'environment')
}
