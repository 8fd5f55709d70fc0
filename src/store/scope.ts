/** A store's hold on its core, as a whole or as the view of one workspace: what all stores do alike. */
import type { Kind } from '../errors.ts'
import type {
  BackendBase,
  BackendCall,
  CallOptions,
  Page,
  StoreOptions,
  WorkspaceQuery,
  WorkspaceRecordQuery,
} from './contract.ts'
import { checkWorkspace, StoreCore, type CallMode, type Work } from './core.ts'
import { checkText } from './text.ts'
import { checkWorkspaceQuery, workspacePage } from './workspaces.ts'

const MAX_PATH_BYTES = 4096

export interface ScopeOptions extends StoreOptions {
  /** Canonical name of the backend. */
  readonly name: string
}

/** Lists the workspaces that a backend knows, in bytewise order. */
export type WorkspaceList = (query: WorkspaceRecordQuery, call: BackendCall) => Promise<string[]>

export class StoreScope<B extends BackendBase> {
  /** Shared by a store and its views. */
  readonly core: StoreCore<B>
  readonly workspaceId: string
  readonly #isView: boolean
  #viewClosed = false

  /** Over a backend, or, as a view, over the core of another store, whose options it shares. */
  constructor(kind: Kind, source: B | StoreCore<B>, options: ScopeOptions) {
    this.#isView = source instanceof StoreCore
    this.core = source instanceof StoreCore ? source : new StoreCore(kind, options.name, source, options)
    this.workspaceId = checkWorkspace(options.workspace ?? '')
  }

  run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: Work<T>): Promise<T> {
    if (!this.#viewClosed) return this.core.run(method, mode, options, work)
    return Promise.reject(this.core.error('STORE_CLOSED', `${method}: this workspace view is closed`, 'not-applied'))
  }

  ping(options?: CallOptions): Promise<void> {
    return this.run('ping', 'read', options, (call) => this.core.backend.ping(call))
  }

  async backupTo(directory: string, options?: CallOptions): Promise<string[]> {
    checkText(directory, 'directory', MAX_PATH_BYTES)
    return this.run('backupTo', 'read', options, async (call) => {
      const { backend } = this.core
      if (this.#isView) throw this.#unsupported('cannot back up one workspace; the store it is a view of can back up all')
      if (backend.backup === undefined) throw this.#unsupported('has no backup of its own; use the tools of its engine')
      return backend.backup(directory, call)
    })
  }

  async listWorkspaces(query: WorkspaceQuery & CallOptions, list: WorkspaceList | undefined): Promise<Page<string>> {
    const { after, limit } = checkWorkspaceQuery(query)
    return this.run('listWorkspaces', 'read', query, async (call) => {
      if (this.#isView) throw this.#unsupported('knows no other workspaces in a view; ask the store that it is a view of')
      if (list === undefined) throw this.#unsupported('cannot list its workspaces; keep their names yourself')
      // One more than asked, so that a cursor is given only where it leads somewhere.
      return workspacePage(await list({ after, limit: limit + 1 }, call), limit)
    })
  }

  /** Closes the store with all its views, or only this view. */
  async close(): Promise<void> {
    this.#viewClosed = this.#isView
    if (!this.#isView) await this.core.close()
  }

  #unsupported(what: string): Error {
    return this.core.error('UNSUPPORTED', `backend ${this.core.name} ${what}`, 'not-applied')
  }
}
