/** Opens the three stores of an agent by its settings, and what spans them. Loaded by the first call. */
import { join } from 'node:path'
import { backup } from './backup.ts'
import { buildContext } from './context.ts'
import type { ConversationStore } from './conversation/store.ts'
import { allDone, clearWorkspace, deleteUser } from './erasure.ts'
import { HoldfastError, isHoldfastError, KINDS, type Kind } from './errors.ts'
import { isPlainObject } from './store/json.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { Persistence, PersistenceOptions, Workspace } from './persistence.ts'
import { isFinishedStore, storeProblems } from './registry/contract-check.ts'
import { backendForUrl, CONVERSATION_STORES, findAppRoot, KNOWLEDGE_STORES, STATE_STORES, type Stores } from './registry/index.ts'
import { schemeOf } from './registry/url.ts'
import { resolveSettings, type ResolvedSettings, type StoreSetting } from './settings.ts'
import type { StateStore } from './state/store.ts'
import { checkWorkspace } from './store/core.ts'
import type { StoreTables } from './store/factory.ts'
import { typeName } from './store/text.ts'
import { mergedWorkspaces } from './store/workspaces.ts'

interface Creates {
  placeOf(name: string): string | undefined
  create(name: string, options: Record<string, unknown>): Promise<unknown>
  tables(name: string, options: Record<string, unknown>): Promise<StoreTables | undefined>
}

const REGISTRIES: { readonly [K in Kind]: Creates } = {
  conversation: CONVERSATION_STORES,
  knowledge: KNOWLEDGE_STORES,
  state: STATE_STORES,
}

export async function open(options: PersistenceOptions): Promise<Persistence> {
  if (!isPlainObject(options))
    throw new TypeError(`the options of openPersistence must be a plain object, not ${typeName(options)}`)
  const { config, appRoot, conversation, knowledge, state, ...rest } = options as PersistenceOptions
  const given = {
    conversation: await settingOf('conversation', conversation),
    knowledge: await settingOf('knowledge', knowledge),
    state: await settingOf('state', state),
  }
  const root = findAppRoot(checkRoot(appRoot)) ?? process.cwd()
  const settings = await resolveSettings({ ...rest, ...given }, { root, env: process.env, config })
  const opened: AsyncDisposable[] = []
  const obtain = async <K extends Kind>(kind: K, value: unknown): Promise<Stores[K]> => {
    if (isStore(value)) return givenOpen(kind, value as Stores[K], settings)
    const store = await openStore(kind, settings)
    opened.push(store)
    return store
  }
  const close = (): Promise<void> => allDone(opened.map((store) => store[Symbol.asyncDispose]())).then(() => undefined)
  const opening = [obtain('conversation', conversation), obtain('knowledge', knowledge), obtain('state', state)] as const
  try {
    return createPersistence(await allDone(opening), settings, close)
  } catch (error) {
    throw await close().then(
      () => error,
      (second: unknown) => bothErrors(error, second),
    )
  }
}

/** Opens the store of one kind. */
export async function openStore<K extends Kind>(kind: K, settings: ResolvedSettings): Promise<Stores[K]> {
  const { name, options } = chosen(kind, settings)
  return (await REGISTRIES[kind].create(name, options)) as Stores[K]
}

export function storeTables(kind: Kind, settings: ResolvedSettings): Promise<StoreTables | undefined> {
  const { name, options } = chosen(kind, settings)
  return REGISTRIES[kind].tables(name, options)
}

/** The backend of a kind with all of its options. */
function chosen(kind: Kind, settings: ResolvedSettings): { name: string; options: Record<string, unknown> } {
  const { workspace, timeoutMs, embed, encryption } = settings
  const { name, options } = choose(kind, settings.stores[kind].setting)
  const common = {
    workspace,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(kind === 'knowledge' && embed !== undefined ? { embed } : {}),
    ...(kind !== 'knowledge' && encryption !== undefined ? { encryption } : {}),
    ...embedded(settings, REGISTRIES[kind].placeOf(name), options),
  }
  return { name, options: { ...common, ...options } }
}

/** The backend and options that a setting means. A string is a name, or a URL or path whose form tells the backend. */
function choose(kind: Kind, setting: StoreSetting): { name: string; options: Record<string, unknown> } {
  if (typeof setting !== 'string') {
    const { backend, ...options } = setting
    return { name: backend ?? nameForUrl(kind, setting.url!), options }
  }
  const isName = schemeOf(setting) === undefined
  return isName ? { name: setting, options: {} } : { name: nameForUrl(kind, setting), options: { url: setting } }
}

/** A scheme that nothing is known about is left to the registry to refuse: the rest of the URL may be secret. */
function nameForUrl(kind: Kind, url: string): string {
  const scheme = schemeOf(url)
  if (scheme !== undefined) return backendForUrl(kind, url) ?? `${scheme}:`
  throw new HoldfastError('INVALID_OPTIONS', `${kind}: its URL does not tell the backend; name one with "backend"`, { kind })
}

/** What the settings say about an embedded store that does not say it itself. */
function embedded(
  { dir, durability }: ResolvedSettings,
  place: string | undefined,
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  if (place === undefined) return {}
  const isPlaced = options['path'] !== undefined || options['url'] !== undefined
  return { ...(isPlaced ? {} : { path: join(dir, place) }), ...(durability === undefined ? {} : { durability }) }
}

function isStore(value: unknown): value is Stores[Kind] {
  return typeof value === 'object' && value !== null && isFinishedStore(value)
}

/** A store that was given open has its own options; keys that are for all stores must not seem to be its own. */
function givenOpen<K extends Kind>(kind: K, store: Stores[K], { encryption }: ResolvedSettings): Stores[K] {
  if (encryption === undefined || kind === 'knowledge' || Reflect.get(store, 'encrypted') === true) return store
  throw new HoldfastError('INVALID_OPTIONS', `${kind}: the store was opened without encryption; give it its keys there`, { kind })
}

/** Undefined where the value is a store of this kind, which needs no setting. */
async function settingOf(kind: Kind, value: Stores[Kind] | StoreSetting | undefined): Promise<StoreSetting | undefined> {
  if (!isStore(value)) return value
  const problems = await storeProblems(kind, value)
  if (problems.length > 0) throw new HoldfastError('INVALID_OPTIONS', `arguments: ${kind}: ${problems.join('; ')}`, { kind })
  return undefined
}

function checkRoot(appRoot: unknown): string | undefined {
  if (appRoot === undefined || (typeof appRoot === 'string' && appRoot !== '')) return appRoot
  const problem = appRoot === '' ? 'is empty' : `must be a folder, not ${typeName(appRoot)}`
  throw new HoldfastError('INVALID_OPTIONS', `arguments: appRoot ${problem}`)
}

type AllStores = readonly [ConversationStore, KnowledgeStore, StateStore]

function createPersistence(stores: AllStores, settings: ResolvedSettings, close: () => Promise<void>): Persistence {
  const [conversation, knowledge, state] = stores
  const workspace = (id: string): Workspace => {
    checkWorkspace(id)
    return createWorkspace([conversation.workspace(id), knowledge.workspace(id), state.workspace(id)])
  }
  // A view cannot be backed up, nor list workspaces, so that it is always the stores as they were opened or given.
  const own = createWorkspace(scoped(stores, settings))
  return {
    ...own,
    workspace,
    deleteWorkspace: async (id) => clearWorkspace(workspace(id), own.workspaceId),
    listWorkspaces: async (query = {}) =>
      mergedWorkspaces((each) => allDone(stores.map((store) => store.listWorkspaces(each))), query),
    backup: async (directory) => backup(directory, stores),
    ping: async (options) => void (await allDone(stores.map((store) => store.ping(options)))),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Stores that were given open are of any workspace; the setting, where there is one, is for them too. */
function scoped([conversation, knowledge, state]: AllStores, { workspace, sources }: ResolvedSettings): AllStores {
  if (sources.workspace === 'default') return [conversation, knowledge, state]
  return [inWorkspace(conversation, workspace), inWorkspace(knowledge, workspace), inWorkspace(state, workspace)]
}

function inWorkspace<S extends { readonly workspaceId: string; workspace(id: string): S }>(store: S, id: string): S {
  return store.workspaceId === id ? store : store.workspace(id)
}

function createWorkspace(stores: AllStores): Workspace {
  const [conversation, knowledge, state] = stores
  const ids = stores.map(({ workspaceId }) => workspaceId)
  if (new Set(ids).size > 1) {
    const found = KINDS.map((kind, i) => `${kind} ${JSON.stringify(ids[i])}`).join(', ')
    throw new HoldfastError('INVALID_OPTIONS', `the stores are of different workspaces (${found}); give "workspace"`)
  }
  return {
    workspaceId: ids[0]!,
    conversation,
    knowledge,
    state,
    buildContext: (sessionId, query) => buildContext({ conversation, knowledge }, sessionId, query),
    deleteUser: async (userId, options = {}) => deleteUser({ conversation, knowledge, state }, userId, options),
  }
}

/** The error that stopped the opening, where closing what was open failed too. */
function bothErrors(error: unknown, second: unknown): HoldfastError {
  const { code, kind, backend } = isHoldfastError(error) ? error : { code: 'UNAVAILABLE' as const }
  const messages = [error, second].map((each) => (each instanceof Error ? each.message : String(each)))
  const cause = new AggregateError([error, second])
  return new HoldfastError(code, messages.join('; closing the other stores failed too: '), { kind, backend, cause })
}
