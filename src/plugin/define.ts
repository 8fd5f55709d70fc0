/** `holdfast/plugin`: plugins in TypeScript. One definition runs in the host's process, as a child of a host, or on its own beside one. */
import { HoldfastError, type JsonObject } from '../index.ts'
import { parsePluginId, type PluginHost, type PluginStorage } from '../plugin-storage/index.ts'
import { toMessages, type ToolMessage } from './messages.ts'

/** What `session.storage` offers. As a process of its own a plugin has what the protocol carries; the rest is `UNSUPPORTED` there, by name. */
export type SessionStorage = Pick<PluginStorage, keyof PluginStorage>

/** What a tool gets besides its parameters. */
export interface ToolSession {
  readonly sessionId: string
  readonly storage: SessionStorage
  readonly userId?: string | undefined
  readonly conversationId?: string | undefined
  readonly messageId?: string | undefined
  readonly appId?: string | undefined
  readonly credentials: JsonObject
}

/**
 * What a tool does. Text, objects and arrays (as JSON), bytes or a `ToolMessage` may be returned, or yielded one after another; numbers and
 * booleans are text, undefined and null say nothing. What it throws is told to the caller by name and message.
 */
export type ToolFunction = (session: ToolSession, parameters: JsonObject) => unknown

export interface ToolParameter {
  readonly name: string
  readonly type: 'string' | 'number' | 'boolean'
  readonly required?: boolean | undefined
  readonly description?: string | undefined
}

export interface ToolDefinition {
  readonly description?: string | undefined
  readonly parameters?: readonly ToolParameter[] | undefined
  readonly run: ToolFunction
}

export interface PluginManifest {
  /** Letters, digits, `_` and `-`, up to 64. */
  readonly author: string
  /** Small letters, digits, `_` and `-`, up to 128. */
  readonly name: string
  /** Such as `1.0.0`. */
  readonly version: string
  readonly description?: string | undefined
  /** Bytes that its values may have together, 1 KiB to 1 GiB. Default 1 MiB; `false`: it uses no storage. */
  readonly storage?: { readonly sizeBytes?: number | undefined } | false | undefined
}

export interface PluginDefinition {
  readonly manifest: PluginManifest
  /** By their names. */
  readonly tools: Readonly<Record<string, ToolFunction | ToolDefinition>>
}

export interface InvokeRequest {
  readonly tool: string
  readonly parameters?: JsonObject | undefined
  readonly credentials?: JsonObject | undefined
}

const NAME = /^[a-z0-9_-]{1,128}$/
const VERSION = /^\d{1,4}(\.\d{1,4}){1,3}(-\w{1,16})?$/
const DEFAULT_SIZE = 2 ** 20
const MIN_SIZE = 2 ** 10
const MAX_SIZE = 2 ** 30

/** A plugin, checked. What is wrong with the definition is `INVALID_OPTIONS`. */
export class Plugin {
  /** `author/name`. */
  readonly pluginId: string
  readonly manifest: PluginManifest
  readonly tools: ReadonlyMap<string, ToolDefinition>
  readonly sizeBytes: number
  readonly usesStorage: boolean

  constructor({ manifest, tools }: PluginDefinition) {
    const { author, name, version, storage = {} } = manifest
    if (!NAME.test(name)) throw wrong('name must be small letters, digits, "_" and "-"')
    if (!VERSION.test(version)) throw wrong('version must be numbers with dots, such as 1.0.0')
    this.pluginId = parsePluginId(`${author}/${name}`)
    this.manifest = manifest
    this.usesStorage = storage !== false
    this.sizeBytes = storage === false ? MIN_SIZE : (storage.sizeBytes ?? DEFAULT_SIZE)
    if (!(this.sizeBytes >= MIN_SIZE && this.sizeBytes <= MAX_SIZE))
      throw wrong(`storage.sizeBytes must be ${MIN_SIZE} to ${MAX_SIZE}`)
    this.tools = new Map(
      Object.entries(tools).map(([tool, given]) => [tool, typeof given === 'function' ? { run: given } : given]),
    )
    for (const tool of this.tools.keys())
      if (!NAME.test(tool)) throw wrong(`the tool ${JSON.stringify(tool)} must have a name like the plugin's`)
  }

  /** The plugin in this very process, on a host's plugin storage: the full API, and no protocol in between. */
  inProcess(options: { readonly plugins: PluginHost; readonly workspaceId?: string | undefined }): InProcessPlugin {
    return new InProcessPlugin(this, options.plugins, options.workspaceId ?? '')
  }

  /** Runs a tool in a session that somebody has opened, and yields what it says. No such tool: `NOT_FOUND`. */
  async *run(tool: string, session: ToolSession, parameters: JsonObject): AsyncGenerator<ToolMessage, void> {
    const definition = this.tools.get(tool)
    if (definition === undefined) {
      throw new HoldfastError(
        'NOT_FOUND',
        `there is no tool ${JSON.stringify(tool)}; there are ${[...this.tools.keys()].join(', ')}`,
      )
    }
    yield* toMessages(definition.run(session, parameters))
  }
}

/** Checks the definition of a plugin. */
export function definePlugin(definition: PluginDefinition): Plugin {
  return new Plugin(definition)
}

export class InProcessPlugin {
  readonly #plugin: Plugin
  readonly #plugins: PluginHost
  readonly #workspaceId: string

  constructor(plugin: Plugin, plugins: PluginHost, workspaceId: string) {
    this.#plugin = plugin
    this.#plugins = plugins
    this.#workspaceId = workspaceId
  }

  /** Opens a session, runs the tool, and yields what it says. */
  invokeTool({ tool, parameters = {}, credentials = {} }: InvokeRequest): AsyncGenerator<ToolMessage, void> {
    const { pluginId, usesStorage: enabled, sizeBytes } = this.#plugin
    const { storage } = this.#plugins.session({ workspaceId: this.#workspaceId, pluginId, enabled, sizeBytes })
    return this.#plugin.run(tool, { sessionId: crypto.randomUUID(), storage, credentials }, parameters)
  }
}

function wrong(what: string): HoldfastError {
  return new HoldfastError('INVALID_OPTIONS', `definePlugin: ${what}`)
}
