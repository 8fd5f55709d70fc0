/** `openPersistence`: one call that opens the three stores of an agent, and what spans them. */
import type { Context, ContextQuery } from './context.ts'
import type { ConversationStore } from './conversation/store.ts'
import type { Kind } from './errors.ts'
import type { KnowledgeStore } from './knowledge/store.ts'
import type { Stores } from './registry/index.ts'
import type { Place, ResolvedSettings, Settings, StoreSetting } from './settings.ts'
import type { StateStore } from './state/store.ts'
import type { CallOptions } from './store/contract.ts'

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
  /**
   * Removes all sessions, collections and keys of one tenant, `''` being one like any other, and says how many there were. Where it fails,
   * part of it may be gone; call it again.
   */
  deleteWorkspace(id: string): Promise<WorkspaceRemoval>
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
