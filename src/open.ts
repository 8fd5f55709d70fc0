/** Opens the three stores of an agent by its settings, and what spans them. Loaded by the first call. */
import { mkdir, mkdtemp, open as openFile, rename, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { buildContext } from './context.ts'
import type { ConversationStore } from './conversation/store.ts'
import { HoldfastError, isHoldfastError, type Kind } from './errors.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import { backendForUrl, CONVERSATION_STORES, findAppRoot, KNOWLEDGE_STORES, STATE_STORES, type Stores } from './registry/index.ts'
import type { Persistence, PersistenceOptions, Workspace, WorkspaceRemoval } from './persistence.ts'
import { resolveSettings, type ResolvedSettings, type ResolvedStore, type StoreSetting } from './settings.ts'
import type { StateStore } from './state/store.ts'
import { checkWorkspace } from './store/core.ts'

interface Creates {
  create(name: string, options: Record<string, unknown>): Promise<unknown>
}

const REGISTRIES: { readonly [K in Kind]: Creates } = {
  conversation: CONVERSATION_STORES,
  knowledge: KNOWLEDGE_STORES,
  state: STATE_STORES,
}

export async function open(options: PersistenceOptions): Promise<Persistence> {
  const { config, appRoot, conversation, knowledge, state, ...rest } = options
  const settings = await resolveSettings(
    { ...rest, conversation: settingOf(conversation), knowledge: settingOf(knowledge), state: settingOf(state) },
    { root: appRoot ?? findAppRoot() ?? process.cwd(), env: process.env, config },
  )
  const opened: AsyncDisposable[] = []
  const obtain = async <K extends Kind>(kind: K, given: Stores[K] | StoreSetting | undefined): Promise<Stores[K]> => {
    if (isStore(given)) return settings.workspace === '' ? given : (given.workspace(settings.workspace) as Stores[K])
    const store = await openStore(kind, settings)
    opened.push(store)
    return store
  }
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((store) => store[Symbol.asyncDispose]()))
  }
  const opening = [obtain('conversation', conversation), obtain('knowledge', knowledge), obtain('state', state)] as const
  try {
    return createPersistence(settings.workspace, ...(await Promise.all(opening)), close)
  } catch (error) {
    await Promise.allSettled(opening)
    await close()
    throw error
  }
}

/** Opens the store of one kind. */
export async function openStore<K extends Kind>(kind: K, settings: ResolvedSettings): Promise<Stores[K]> {
  const { name, options } = choose(settings, settings.stores[kind])
  const embed = kind === 'knowledge' && settings.embed !== undefined ? { embed: settings.embed } : {}
  return (await REGISTRIES[kind].create(name, { ...embed, ...options })) as Stores[K]
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

function isStore<S extends Stores[Kind]>(value: S | StoreSetting | undefined): value is S {
  return typeof value === 'object' && 'kind' in value && 'workspace' in value && typeof value.workspace === 'function'
}

function settingOf(value: Stores[Kind] | StoreSetting | undefined): StoreSetting | undefined {
  return isStore(value) ? undefined : value
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
  const handle = await openFile(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
