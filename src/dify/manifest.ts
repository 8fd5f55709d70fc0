/** What a plugin says of itself, cut down to what a host needs. */
import { readFile } from 'node:fs/promises'
import { resolve, sep } from 'node:path'
import { parse } from 'yaml'
import { HoldfastError, type JsonObject } from '../index.ts'
import { parsePluginId } from '../plugin-storage/index.ts'
import { isObject } from './protocol.ts'

export interface Manifest {
  /** `author/name`, without a version, so that a plugin keeps its data over an upgrade. */
  readonly pluginId: string
  readonly version: string
  readonly storage: { readonly enabled: boolean; readonly sizeBytes?: number | undefined }
  /** What the plugin is written in: `python`, unless it is one of Node. */
  readonly language: 'python' | 'node'
  /** The module that `python -m` runs, or the file that Node runs. */
  readonly entrypoint: string
}

/** One tool, as a provider of the plugin declares it. */
export interface ToolDeclaration {
  readonly provider: string
  readonly tool: string
}

/** Neither can be an option of the interpreter, or a path that leads out of the folder. */
const ENTRYPOINT = { python: /^\w[\w.]{0,127}$/, node: /^(?!.*\.\.)\w[\w./-]{0,127}$/ }
const ENTRYPOINT_DEFAULT = { python: 'main', node: 'main.js' }
const KIB = 1024
const GIB = 1024 ** 3

/** From the fields of a manifest, however it came. Without author and name: `INVALID_ARGUMENT`. */
export function readManifest(manifest: unknown): Manifest {
  if (!isObject(manifest)) throw invalidManifest('it is not an object')
  const { author, name, version } = manifest
  if (typeof author !== 'string' || typeof name !== 'string') throw invalidManifest('it names no author and no name')
  const storage = at(manifest, 'resource', 'permission', 'storage')
  const language = at(manifest, 'meta', 'runner', 'language') === 'node' ? 'node' : 'python'
  const entrypoint = at(manifest, 'meta', 'runner', 'entrypoint')
  return {
    pluginId: parsePluginId(`${author}/${name}`),
    version: typeof version === 'string' ? version : '0.0.0',
    storage: { enabled: isObject(storage) && storage['enabled'] === true, sizeBytes: sizeOf(storage) },
    language,
    entrypoint:
      typeof entrypoint === 'string' && ENTRYPOINT[language].test(entrypoint) ? entrypoint : ENTRYPOINT_DEFAULT[language],
  }
}

/** The size that a plugin asks for, within the 1 KiB to 1 GiB that it may ask for; undefined where it says none. */
function sizeOf(storage: unknown): number | undefined {
  const size = isObject(storage) ? storage['size'] : undefined
  return typeof size === 'number' ? Math.min(Math.max(Math.trunc(size) || 0, KIB), GIB) : undefined
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((holder, name) => (isObject(holder) ? holder[name] : undefined), value)
}

/** The manifest in a plugin's folder. */
export async function loadManifest(folder: string): Promise<Manifest> {
  return readManifest(await loadYaml(folder, 'manifest.yaml'))
}

/** The tools that the files of a plugin's folder declare. */
export async function loadTools(folder: string): Promise<ToolDeclaration[]> {
  const files = at(await loadYaml(folder, 'manifest.yaml'), 'plugins', 'tools')
  const found: ToolDeclaration[] = []
  for (const file of texts(files)) {
    const provider = await loadYaml(folder, file)
    const name = nameIn(provider)
    if (name === undefined) continue
    for (const path of texts(at(provider, 'tools'))) {
      const tool = nameIn(await loadYaml(folder, path))
      if (tool !== undefined) found.push({ provider: name, tool })
    }
  }
  return found
}

const MAX_TOOLS = 1_000
const MAX_NAME = 256

/** The tools in a declaration that came over a connection. */
export function readTools(declaration: unknown): ToolDeclaration[] {
  if (!Array.isArray(declaration)) return []
  const tools = declaration.slice(0, MAX_TOOLS).flatMap((provider: unknown) => {
    const name = nameIn(provider)
    const tools: unknown = at(provider, 'tools')
    if (name === undefined || !Array.isArray(tools)) return []
    const names = tools.slice(0, MAX_TOOLS).map(nameIn)
    return names.flatMap((tool) => (tool === undefined ? [] : [{ provider: name, tool }]))
  })
  return tools.slice(0, MAX_TOOLS)
}

function nameIn(declaration: unknown): string | undefined {
  const name = at(declaration, 'identity', 'name')
  return typeof name === 'string' && name.length <= MAX_NAME ? name : undefined
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []
}

/** A file of the plugin's own folder; a path that leads out of it is none. */
async function loadYaml(folder: string, file: string): Promise<JsonObject> {
  const root = resolve(folder)
  const path = resolve(root, file)
  if (!path.startsWith(root + sep)) throw invalidManifest(`it names a file outside of its folder`)
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new HoldfastError('NOT_FOUND', `there is no ${file} in the plugin's folder`, { cause })
  })
  try {
    const value: unknown = parse(text, { maxAliasCount: 100 })
    if (isObject(value)) return value
  } catch {
    // Said below: the parser's message quotes the file.
  }
  throw invalidManifest(`${file} is not a YAML object`)
}

function invalidManifest(what: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `the plugin's manifest cannot be used: ${what}`)
}
