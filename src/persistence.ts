/** `openPersistence`: one call that opens the three stores of an agent, and what spans them. */
import type { Context, ContextQuery } from './context.ts'
import type { ConversationStore } from './conversation/store.ts'
import type { Kind } from './errors.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { Stores } from './registry/index.ts'
import type { Place, ResolvedSettings, Settings, StoreSetting } from './settings.ts'
import type { StateStore } from './state/store.ts'
import type { CallOptions, Page, WorkspaceQuery } from './store/contract.ts'
import type { StoreTables } from './store/factory.ts'

/**
 * Settings by argument. A store may also be one that is open already: it stays the caller's to close, keeps its own `timeoutMs` and `embed`,
 * and its own workspace unless the settings name one.
 */
export interface PersistenceOptions extends Omit<Settings, Kind> {
  readonly conversation?: StoreSetting | ConversationStore | undefined
  readonly knowledge?: StoreSetting | KnowledgeStore | undefined
  readonly state?: StoreSetting | StateStore | undefined
  /** The config file, relative to the app root; `false`: none. Default: `HOLDFAST_CONFIG`, else `holdfast.config.{ts,js,mjs,json}`, the first there. */
  readonly config?: string | false | undefined
  /** Folder where the config file is looked for; for plugins see `configureDiscovery`. Default: `HOLDFAST_APP_ROOT`, else that of the package.json nearest to the entry script. */
  readonly appRoot?: string | undefined
}

/** The three stores of one tenant. */
export interface Workspace {
  readonly workspaceId: string
  readonly conversation: ConversationStore
  readonly knowledge: KnowledgeStore
  readonly state: StateStore
  /**
   * The newest messages of a session, oldest first, and the documents that fit best, for a prompt. No such session: no messages. Text and
   * embedding both given: `INVALID_ARGUMENT`.
   */
  buildContext(sessionId: string, query?: ContextQuery): Promise<Context>
  /**
   * Removes a person's sessions and, where `documentField` names the metadata field that says whose they are, their documents, and says
   * how many there were. Keys of state belong to nobody, and stay. Where it fails, part of it may be gone; call it again.
   */
  deleteUser(userId: string, options?: UserErasure): Promise<UserRemoval>
}

/** `timeoutMs` counts for each call to a store. */
export interface UserErasure extends CallOptions {
  /** Metadata field of documents that holds the user's id, alone or, where the backend filters arrays, among others. Default: documents stay. */
  readonly documentField?: string | undefined
}

/** What `deleteUser` removed, in all collections of the workspace. */
export interface UserRemoval {
  readonly sessions: number
  readonly messages: number
  /** Left out where no `documentField` was given. */
  readonly documents?: number
  /** Collections in which documents of the user may be left, as the backend could not look for them; left out with `documents`. */
  readonly unreached?: readonly UnreachedCollection[]
}

export interface UnreachedCollection {
  readonly collection: string
  /** What the backend cannot do, and the remedy. */
  readonly reason: string
}

/** What `deleteWorkspace` removed. */
export interface WorkspaceRemoval {
  readonly sessions: number
  readonly messages: number
  readonly collections: number
  /** Left out where the backend of knowledge cannot count them. */
  readonly documents?: number
  readonly keys: number
  /** Plugins whose storage in the workspace it was. */
  readonly pluginScopes: number
}

export interface Persistence extends Workspace, AsyncDisposable {
  /** The same stores as one tenant sees them. It opens nothing, and closing is left to this object. */
  workspace(id: string): Workspace
  /**
   * Removes all sessions, collections, keys and plugin storage of one tenant, `''` being one like any other, and says how many there were.
   * Where it fails, part of it may be gone; call it again.
   */
  deleteWorkspace(id: string): Promise<WorkspaceRemoval>
  /**
   * One page of the workspaces in which any of the three stores holds something, in bytewise order of their names. A backend that cannot
   * list them: `UNSUPPORTED`.
   */
  listWorkspaces(query?: WorkspaceQuery & CallOptions): Promise<Page<string>>
  /**
   * Copies all three stores, every workspace included, into a new folder while work goes on; returns the files. Each file is one moment's
   * state of its store, and `openPersistence({ dir: directory })` opens them. The folder is there whole or not at all; a process killed
   * meanwhile leaves a `.holdfast-backup-…` beside it, which may be removed. It is there and not empty, or a file: `CONFLICT`. A backend
   * with backup tools of its own: `UNSUPPORTED`.
   */
  backup(directory: string): Promise<string[]>
  /** Resolves when all three engines answer. */
  ping(options?: CallOptions): Promise<void>
  /** Closes the stores that this call opened; a second call does nothing. */
  close(): Promise<void>
}

/**
 * Opens the stores that arguments, config file and environment name, in this order of precedence; by default the embedded ones in
 * `.holdfast`. When one cannot be opened, the others are closed again and its error is thrown. A setting or `HOLDFAST_*` variable that is
 * unknown or cannot be used, and a config file that cannot be read: `INVALID_OPTIONS`; a named config file that is missing: `NOT_FOUND`.
 */
export async function openPersistence(options: PersistenceOptions = {}): Promise<Persistence> {
  // Importing the package stays quick: what opens stores is loaded by the first call.
  const { open } = await import('./open.ts')
  return open(options)
}

/** Settles what `openPersistence` would open, and from which source, without opening it. */
export async function resolveSettings(given: Settings, place: Place): Promise<ResolvedSettings> {
  const settings = await import('./settings.ts')
  return settings.resolveSettings(given, place)
}

/** Opens one of the three stores by settled settings. */
export async function openStore<K extends Kind>(kind: K, settings: ResolvedSettings): Promise<Stores[K]> {
  const opening = await import('./open.ts')
  return opening.openStore(kind, settings)
}

/** The tables of the store that settled settings name, without opening it; undefined where it keeps none on an SQL engine. */
export async function storeTables(kind: Kind, settings: ResolvedSettings): Promise<StoreTables | undefined> {
  const opening = await import('./open.ts')
  return opening.storeTables(kind, settings)
}

export interface RestoreOptions {
  /** The folder to restore to, default `.holdfast`. */
  readonly dir?: string | undefined
  /** Moves the stores that are there aside, where nobody has them open. Default false: a folder that is not empty is a `CONFLICT`. */
  readonly replace?: boolean | undefined
}

export interface RestoredBackup {
  /** Absolute. */
  readonly files: readonly string[]
  /** Where the stores that were there are now; nothing is deleted. */
  readonly replaced?: string
}

/**
 * Puts what `backup` wrote into a folder that `openPersistence({ dir })` opens. Every database is looked through first: a damaged one is
 * `CORRUPT`, one of a newer Holdfast `UNSUPPORTED`, and nothing is changed then. No backup there: `NOT_FOUND`. The folder appears whole.
 */
export async function restoreBackup(directory: string, options: RestoreOptions = {}): Promise<RestoredBackup> {
  const restore = await import('./restore.ts')
  return restore.restoreBackup(directory, options)
}
