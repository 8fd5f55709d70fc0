/** Which stores to open: arguments, config file, environment and defaults, in this order of precedence. */
import { join, resolve } from 'node:path'
import { findConfig, isTextFile, loadConfig } from './config-file.ts'
import type { EncryptableStoreOptions } from './encryption/options.ts'
import { HoldfastError, isHoldfastError, KINDS, type Kind } from './errors.ts'
import type { Embed } from './knowledge/contract.ts'
import { isPlainObject } from './store/json.ts'
import { shown } from './registry/names.ts'
import { checkWorkspace } from './store/core.ts'
import { nearest, typeName } from './store/text.ts'

/** A backend's name, a URL or path, or an object with either and the backend's options. */
export type StoreSetting = string | ({ readonly backend?: string; readonly url?: string } & Readonly<Record<string, unknown>>)

/** What arguments and config files may say. Every field is optional. */
export interface Settings {
  /** Folder of the embedded stores that name no file of their own, relative to the working directory. Default `.holdfast`. */
  readonly dir?: string | undefined
  readonly conversation?: StoreSetting | undefined
  readonly knowledge?: StoreSetting | undefined
  readonly state?: StoreSetting | undefined
  /** Tenant of the stores, default `''`; 0–512 bytes of UTF-8 without U+0000. */
  readonly workspace?: string | undefined
  /** Of the embedded stores that do not say otherwise. Default `full`. */
  readonly durability?: 'full' | 'relaxed' | undefined
  /** Milliseconds a call may take. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** Makes embeddings of documents and queries that come without one. Only as an argument or from a config file that is a module. */
  readonly embed?: Embed | undefined
  /**
   * Keys that conversations and the values of state are encrypted with; knowledge is not encrypted. Only as an argument or from a config
   * file that is a module. Default: nothing is encrypted.
   */
  readonly encryption?: EncryptableStoreOptions['encryption']
}

/** Where settings are looked for. */
export interface Place {
  /** Folder of the application. */
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The config file, relative to `root`; `false` reads none. Default: `HOLDFAST_CONFIG`, else `holdfast.config.*` in `root`, if there. */
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
  readonly durability: Settings['durability']
  readonly timeoutMs: number | undefined
  readonly embed: Embed | undefined
  readonly encryption: Settings['encryption']
  readonly stores: { readonly [K in Kind]: ResolvedStore }
  /** Absolute path of the config file, where one was read. */
  readonly file: string | undefined
  /** Where each setting came from. */
  readonly sources: { readonly [N in keyof Settings]-?: Source }
}

type Environment = Readonly<Record<string, string | undefined>>

const SETTING_NAMES = [
  'dir',
  ...KINDS,
  'workspace',
  'durability',
  'timeoutMs',
  'embed',
  'encryption',
] as const satisfies readonly (keyof Settings)[]

/** Options of `openPersistence` beside the settings; listed so that a misspelling of them is understood. */
const PLACE_NAMES = ['config', 'appRoot']

/** Variables that choose; a service's own variables only complete a backend that is chosen. */
const VARIABLES = {
  dir: 'HOLDFAST_DIR',
  conversation: 'HOLDFAST_CONVERSATION',
  knowledge: 'HOLDFAST_KNOWLEDGE',
  state: 'HOLDFAST_STATE',
  workspace: 'HOLDFAST_WORKSPACE',
  durability: 'HOLDFAST_DURABILITY',
  timeoutMs: 'HOLDFAST_TIMEOUT_MS',
} as const satisfies Partial<Record<keyof Settings, string>>

/** Read elsewhere; listed so that a misspelling of them is noticed here. */
const OTHER_VARIABLES = ['HOLDFAST_CONFIG', 'HOLDFAST_APP_ROOT', 'HOLDFAST_KEYS_FILE', 'HOLDFAST_REQUIRE']
const VARIABLE_PREFIX = 'HOLDFAST_'

const MAX_TIMEOUT_MS = 2 ** 31 - 1
/** Longer names are no misspelling of ours. */
const MAX_NAME = 64

/** Settles every setting. What is wrong with one source is in one `INVALID_OPTIONS`; a named config file that is missing: `NOT_FOUND`. */
export async function resolveSettings(given: Settings, place: Place): Promise<ResolvedSettings> {
  const layers: (readonly [Source, Settings])[] = [['argument', checkSettings(given, 'arguments', PLACE_NAMES)]]
  const file = await configOf(place)
  if (file !== undefined) layers.push(['file', withoutKeys(checkSettings(await loadConfig(file), file), file)])
  layers.push(['environment', fromEnvironment(place.env)])
  const layerOf = (name: keyof Settings): (typeof layers)[number] =>
    layers.find(([, layer]) => layer[name] !== undefined) ?? (['default', {}] as const)
  const value = <N extends keyof Settings>(name: N): Settings[N] => layerOf(name)[1][name]
  const dir = resolve(value('dir') ?? '.holdfast')
  const store = (kind: Kind): ResolvedStore => {
    const setting = value(kind) ?? { backend: 'sqlite', path: join(dir, `${kind}.db`) }
    return { kind, source: layerOf(kind)[0], setting }
  }
  return {
    dir,
    workspace: value('workspace') ?? '',
    durability: value('durability'),
    timeoutMs: value('timeoutMs'),
    embed: value('embed'),
    encryption: value('encryption'),
    stores: { conversation: store('conversation'), knowledge: store('knowledge'), state: store('state') },
    file,
    sources: Object.fromEntries(SETTING_NAMES.map((name) => [name, layerOf(name)[0]])) as ResolvedSettings['sources'],
  }
}

async function configOf({ root, env, config }: Place): Promise<string | undefined> {
  if (config === false) return undefined
  if (config !== undefined && typeof config !== 'string') {
    throw new HoldfastError('INVALID_OPTIONS', `arguments: config must be a file or false, not ${typeName(config)}`)
  }
  if (config === '') throw new HoldfastError('INVALID_OPTIONS', 'arguments: config is empty; false reads no file')
  const variable = env['HOLDFAST_CONFIG']
  return findConfig(resolve(root), config ?? (variable === '' ? undefined : variable))
}

/** Refuses what is not a setting, so that a misspelt one never means the default. `label` is what messages call a setting. */
function checkSettings(
  value: unknown,
  what: string,
  alsoKnown: readonly string[] = [],
  label: (name: keyof Settings) => string = (name) => name,
): Settings {
  // An instance of a class, such as a promise, would seem to set nothing.
  if (!isPlainObject(value)) {
    throw new HoldfastError('INVALID_OPTIONS', `${what}: settings must be a plain object, not ${typeName(value)}`)
  }
  // Read once: what a getter gives next may be something else.
  const entries = Object.entries(value)
  const problems = entries.flatMap(([name, setting]) => {
    if (!isSettingName(name)) return [unknownSetting(name, alsoKnown)]
    const problem = setting === undefined ? undefined : problemOf(name, setting)
    return problem === undefined ? [] : [`${label(name)} ${problem}`]
  })
  if (problems.length > 0) throw new HoldfastError('INVALID_OPTIONS', `${what}: ${problems.join('; ')}`)
  return Object.fromEntries(entries)
}

/** Refuses keys in a file that holds text only, which ends up in backups and repositories; a module can take them from elsewhere. */
function withoutKeys(settings: Settings, file: string): Settings {
  if (!isTextFile(file)) return settings
  const holders = [settings, ...KINDS.map((kind) => settings[kind])]
  const found = holders.some((holder) => typeof holder === 'object' && 'encryption' in holder)
  if (!found) return settings
  throw new HoldfastError(
    'INVALID_OPTIONS',
    `${file}: encryption belongs in no JSON file; make it a module, holdfast.config.ts, that takes the keys from where secrets are kept`,
  )
}

function isSettingName(name: string): name is keyof Settings {
  return (SETTING_NAMES as readonly string[]).includes(name)
}

function unknownSetting(name: string, alsoKnown: readonly string[]): string {
  const near = name.length > MAX_NAME ? undefined : nearest(name, [...SETTING_NAMES, ...alsoKnown])
  const hint = near === undefined ? ` (known: ${SETTING_NAMES.join(', ')})` : `: did you mean "${near}"?`
  return `unknown setting ${shown(name)}${hint}`
}

/** What is wrong with a setting, continuing its name; values are not shown. */
function problemOf(name: keyof Settings, value: unknown): string | undefined {
  if (name === 'conversation' || name === 'knowledge' || name === 'state') return problemOfStore(value)
  if (name === 'embed') return typeof value === 'function' ? undefined : `must be a function, not ${typeName(value)}`
  if (name === 'encryption') {
    return typeof value === 'object' && !Array.isArray(value) ? undefined : `must be a key ring, not ${typeName(value)}`
  }
  if (name === 'timeoutMs') {
    const inRange = Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_TIMEOUT_MS
    return inRange ? undefined : `must be an integer from 1 to ${MAX_TIMEOUT_MS}`
  }
  if (typeof value !== 'string') return `must be a string, not ${typeName(value)}`
  if (name === 'dir') return problemOfFolder(value)
  if (name === 'workspace') return problemOfWorkspace(value)
  return value === 'full' || value === 'relaxed' ? undefined : 'must be "full" or "relaxed"'
}

function problemOfStore(value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim() === '' ? 'is empty' : undefined
  if (!isPlainObject(value)) {
    return `must be a backend's name, a URL, a path, or an object with options, not ${typeName(value)}`
  }
  const { backend, url } = value
  if (value['workspace'] !== undefined) return 'has a "workspace"; that is one setting for all three'
  if (backend === undefined && url === undefined) return 'needs a "backend" or a "url"'
  const wrong = Object.entries({ backend, url }).find(
    ([, text]) => text !== undefined && (typeof text !== 'string' || text.trim() === ''),
  )
  return wrong && `has a "${wrong[0]}" that is ${wrong[1] === null || typeof wrong[1] !== 'string' ? 'no string' : 'empty'}`
}

function problemOfFolder(value: string): string | undefined {
  if (value.trim() === '') return 'is empty'
  // Otherwise a folder of that name would be made. One letter before the colon is a Windows drive.
  const isLocation = value === ':memory:' || /^[a-z][a-z0-9+.-]+:/i.test(value)
  return isLocation ? `must be a folder, not a URL or :memory:, which ${KINDS.join(', ')} take` : undefined
}

function problemOfWorkspace(value: string): string | undefined {
  try {
    checkWorkspace(value)
    return undefined
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    return error.message.replace(/^workspace /, '')
  }
}

function fromEnvironment(env: Environment): Settings {
  checkVariables(Object.keys(env))
  const found = Object.entries(VARIABLES).flatMap(([name, variable]) => {
    const value = env[variable]
    if (value === undefined || value === '') return []
    return [[name, name === 'timeoutMs' ? Number(value) : value]]
  })
  return checkSettings(
    Object.fromEntries(found),
    'environment',
    [],
    (name) => (VARIABLES as Record<string, string>)[name] ?? name,
  )
}

/** Refuses what is nearly one of ours. Compared without the prefix, which alone would make everything alike. */
function checkVariables(names: readonly string[]): void {
  const known = [...Object.values(VARIABLES), ...OTHER_VARIABLES]
  const endings = known.map((name) => name.slice(VARIABLE_PREFIX.length))
  const problems = names.flatMap((name) => {
    if (!name.startsWith(VARIABLE_PREFIX) || known.includes(name) || name.length > MAX_NAME) return []
    const near = nearest(name.slice(VARIABLE_PREFIX.length), endings)
    return near === undefined ? [] : [`${shown(name)} is not known; did you mean ${VARIABLE_PREFIX}${near}?`]
  })
  if (problems.length > 0) throw new HoldfastError('INVALID_OPTIONS', `environment: ${problems.join('; ')}`)
}
