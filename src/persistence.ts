/** `openPersistence`: one call that opens the three stores of an agent, and what spans them. */
import { mkdir, mkdtemp, open, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { buildContext, type Context, type ContextQuery } from './context.ts'
import type { ConversationStore } from './conversation/store.ts'
import { HoldfastError, isHoldfastError, type Kind } from './errors.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import { backendForUrl, CONVERSATION_STORES, findAppRoot, KNOWLEDGE_STORES, STATE_STORES } from './registry/index.ts'
import { resolveSettings, type ResolvedSettings, type ResolvedStore, type Settings, type StoreSetting } from './settings.ts'
import type { StateStore } from './state/store.ts'
import type { CallOptions } from './store/contract.ts'
import { checkWorkspace } from './store/core.ts'

/** Settings by argument; a store may also be one that is open already, which then stays the caller's to close. */
export interface PersistenceOptions extends Omit<Settings, Kind> {
  readonly conversation?: StoreSetting | ConversationStore | undefined
  readonly knowledge?: StoreSetting | KnowledgeStore | undefined
  readonly state?: StoreSetting | StateStore | undefined
  /** The config file, relative to the app root; `false`: none. Default: `holdfast.config.{ts,js,mjs,json}` where there is one. */
  readonly config?: string | false | undefined
  /** Folder of the application. Default: `HOLDFAST_APP_ROOT`, else that of the package.json nearest to the entry script. */
  readonly appRoot?: string | undefined
}

/** The three stores of one tenant. */
export interface Workspace {
  readonly workspaceId: string
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
  readonly state: StateStore
  /** The newest messages of a session and the documents that fit best, ready for a prompt. */
  buildContext(sessionId: string, query?: ContextQuery): Promise<Context>
}

/** What `deleteWorkspace` removed. */
export interface WorkspaceRemoval {
  readonly sessions: number
  readonly messages: number
  readonly collections: number
  readonly documents: number
  readonly keys: number
}

export interface Persistence extends Workspace, AsyncDisposable {
  /** The same stores as one tenant sees them. It opens nothing, and closing is left to this object. */
  workspace(id: string): Workspace
  /** Removes all sessions, collections and keys of one tenant and says how many there were. */
  deleteWorkspace(id: string): Promise<WorkspaceRemoval>
  /**
   * Copies all three stores, every workspace included, into a new folder while work goes on; returns the files. Each file is one moment's
   * state of its store. A folder that is there and not empty: `CONFLICT`. A backend with backup tools of its own: `UNSUPPORTED`.
   */
  backup(directory: string): Promise<string[]>
  /** Resolves when all three engines answer. */
  ping(options?: CallOptions): Promise<void>
  /** Closes the stores that this call opened. */
  close(): Promise<void>
}

/**
 * Opens the stores that arguments, config file and environment name, in this order of precedence; by default the embedded ones in
 * `.holdfast`. When one cannot be opened, the others are closed again and its error is thrown.
 */
export async function openPersistence(options: PersistenceOptions = {}): Promise<Persistence> {
  const { config, appRoot, conversation, knowledge, state, ...rest } = options
  const settings = await resolveSettings(
    { ...rest, conversation: settingOf(conversation), knowledge: settingOf(knowledge), state: settingOf(state) },
    { root: appRoot ?? findAppRoot() ?? process.cwd(), env: process.env, config },
  )
  const opened: { close(): Promise<void> }[] = []
  const keep = async <S extends { close(): Promise<void> }>(opening: Promise<S>): Promise<S> => {
    const store = await opening
    opened.push(store)
    return store
  }
  const results = await Promise.allSettled([
    isStore(conversation) ? conversation : keep(openConversation(settings)),
    isStore(knowledge) ? knowledge : keep(openKnowledge(settings)),
    isStore(state) ? state : keep(openState(settings)),
  ])
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((store) => store.close()))
  }
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) {
    await close()
    throw failed.reason
  }
  const [c, k, s] = results as [
    PromiseFulfilledResult<ConversationStore>,
    PromiseFulfilledResult<KnowledgeStore>,
    PromiseFulfilledResult<StateStore>,
  ]
  return createPersistence(settings.workspace, c.value, k.value, s.value, close)
}

export function openConversation(settings: ResolvedSettings): Promise<ConversationStore> {
  const { name, options } = choose(settings, settings.stores.conversation)
  return CONVERSATION_STORES.create(name, options)
}

export function openKnowledge(settings: ResolvedSettings): Promise<KnowledgeStore> {
  const { name, options } = choose(settings, settings.stores.knowledge)
  return KNOWLEDGE_STORES.create(name, settings.embed === undefined ? options : { embed: settings.embed, ...options })
}

export function openState(settings: ResolvedSettings): Promise<StateStore> {
  const { name, options } = choose(settings, settings.stores.state)
  return STATE_STORES.create(name, options)
}

/** The backend and options that a setting means. A string is a name, or a URL or path whose form tells the backend. */
function choose(
  settings: ResolvedSettings,
  { kind, setting }: ResolvedStore,
): { name: string; options: Record<string, unknown> } {
  const common = { workspace: settings.workspace, ...(settings.timeoutMs === undefined ? {} : { timeoutMs: settings.timeoutMs }) }
  if (typeof setting === 'string') {
    const byUrl = backendForUrl(kind, setting)
    return byUrl === undefined ? { name: setting, options: common } : { name: byUrl, options: { ...common, url: setting } }
  }
  const { backend, ...options } = setting
  const name = backend ?? (options.url === undefined ? undefined : backendForUrl(kind, options.url))
  if (name === undefined)
    throw new HoldfastError('INVALID_OPTIONS', `${kind}: no backend takes this URL; name one with "backend"`, { kind })
  return { name, options: { ...common, ...options } }
}

function isStore<S extends object>(value: S | StoreSetting | undefined): value is S {
  return typeof value === 'object' && 'kind' in value && 'workspace' in value && typeof value.workspace === 'function'
}

function settingOf(value: StoreSetting | object | undefined): StoreSetting | undefined {
  return isStore(value) ? undefined : (value as StoreSetting | undefined)
}

function createPersistence(
  workspaceId: string,
  conversation: ConversationStore,
  knowledge: KnowledgeStore,
  state: StateStore,
  close: () => Promise<void>,
): Persistence {
  const workspace = (id: string): Workspace => {
    checkWorkspace(id)
    return createWorkspace(id, conversation.workspace(id), knowledge.workspace(id), state.workspace(id))
  }
  return {
    ...createWorkspace(workspaceId, conversation, knowledge, state),
    workspace,
    deleteWorkspace: (id) => clear(workspace(id)),
    backup: (directory) => backup(directory, [conversation, knowledge, state]),
    ping: async (options) => {
      await Promise.all([conversation.ping(options), knowledge.ping(options), state.ping(options)])
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function createWorkspace(id: string, conversation: ConversationStore, knowledge: KnowledgeStore, state: StateStore): Workspace {
  return {
    workspaceId: id,
    conversation,
    knowledge,
    state,
    buildContext: (sessionId, query) => buildContext({ conversation, knowledge }, sessionId, query),
  }
}

async function clear({ conversation, knowledge, state }: Workspace): Promise<WorkspaceRemoval> {
  const [sessions, collections, keys] = await Promise.all([conversation.clear(), knowledge.clear(), state.clear()])
  return { ...sessions, ...collections, keys }
}

/** Copies into a folder beside the target and renames it, so that a backup is there whole or not at all. */
async function backup(
  directory: string,
  stores: readonly { backupTo(directory: string): Promise<string[]> }[],
): Promise<string[]> {
  const target = resolve(directory)
  await mkdir(dirname(target), { recursive: true })
  const unfinished = await mkdtemp(join(dirname(target), `.${basename(target)}-`))
  try {
    const files: string[] = []
    for (const store of stores) files.push(...(await store.backupTo(unfinished)))
    await syncFolder(unfinished)
    await rmdir(target).catch(ignoreMissing)
    await rename(unfinished, target)
    await syncFolder(dirname(target))
    return files.map((file) => join(target, file))
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw isHoldfastError(error) ? error : backupFailed(target, error)
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function backupFailed(target: string, error: unknown): HoldfastError {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOTEMPTY' || code === 'EEXIST') {
    return new HoldfastError('CONFLICT', `${target} is not empty; name a new folder`, { outcome: 'not-applied' })
  }
  if (code === 'ENOTDIR')
    return new HoldfastError('CONFLICT', `${target} is a file; name a new folder`, { outcome: 'not-applied' })
  return new HoldfastError('UNAVAILABLE', `${target} cannot be written: ${(error as Error).message}`, {
    outcome: 'not-applied',
    cause: error,
  })
}

/** A rename is durable once the folder that holds the name is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
