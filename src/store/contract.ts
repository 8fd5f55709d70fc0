/** What holds for every store and every backend, whatever its kind. */
import type { Kind } from '../errors.ts'

/** A value that JSON can hold. It comes back exactly as it went in: `{}` stays `{}`, keys keep their order, `null` is a value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}
/** A JSON object on its way in: checked at run time, because a type cannot tell a class instance from a plain object. */
export type JsonObjectInput = Readonly<Record<string, unknown>>

/** The last parameter of every store method. */
export interface CallOptions {
  /** Aborts the call: `ABORTED`, whose `outcome` says whether a write may still have happened. */
  readonly signal?: AbortSignal | undefined
  /** Milliseconds after which the call ends with `TIMEOUT`. Default: the store's `timeoutMs`, else no limit. */
  readonly timeoutMs?: number | undefined
}

/** What a backend gets as the last parameter of every method: the caller's signal and deadline in one. */
export interface BackendCall {
  readonly signal?: AbortSignal | undefined
}

/** One page of a listing. `cursor` is there when more may follow; it is opaque, and belongs to the call with the same arguments. */
export interface Page<T> {
  items: T[]
  cursor?: string
}

/** Sizes a backend cannot exceed, in bytes or counts; a field left out has no limit of its own. The store enforces them. */
export interface Limits {
  /** UTF-8 bytes of one message's or document's content. */
  readonly contentBytes?: number
  /** UTF-8 bytes of one metadata or state object as JSON. */
  readonly jsonBytes?: number
  /** Bytes of one state value. */
  readonly valueBytes?: number
  /** Numbers in one embedding. */
  readonly dimension?: number
  /** Bytes of all values of one commit of state; the store splits what need not be atomic. */
  readonly commitBytes?: number
  /** Items of one write; the store splits larger ones where the contract allows it, else refuses them. */
  readonly batch?: number
}

/** What all three backend contracts share. */
export interface BackendBase {
  readonly limits?: Limits
  /** True where what it is given to keep is encrypted before an engine sees it. Default false. */
  readonly encrypted?: boolean
  /**
   * Milliseconds within which a write whose signal aborted says that it never began, by rejecting with the signal's reason. The store waits
   * that long before it says that nobody knows. Default: the backend says it at once, or not at all.
   */
  readonly abortAnswerMs?: number
  /** Resolves when the engine answers; rejects with `UNAVAILABLE` or `UNAUTHORIZED` when it does not. */
  ping(call?: BackendCall): Promise<void>
  /** Ends what this backend opened itself, never an injected client. Called once. */
  close(): Promise<void>
  /**
   * Writes a consistent copy of everything this backend holds into `directory`, which exists, while writers go on.
   * Returns the names of the files it wrote. A backend whose engine has tools of its own for this leaves it out.
   */
  backup?(directory: string, call?: BackendCall): Promise<string[]>
}

/** Which workspaces a backend is asked for: `limit` names in bytewise order, fewer only where no more follow. */
export interface WorkspaceRecordQuery {
  /** Continue behind this name. */
  readonly after?: string | undefined
  readonly limit: number
}

/** Which workspaces a caller is given. */
export interface WorkspaceQuery {
  /** Names a page, 1–1,000, default 100. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

/** Options of every store, whatever its backend. */
export interface StoreOptions {
  /** The tenant whose data this store sees. Default `''`. */
  readonly workspace?: string | undefined
  /** Milliseconds a call may take unless it says otherwise. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** How often a safe call is tried again after an outage. Default 2. */
  readonly retries?: number | undefined
}

/** What every store has. */
export interface StoreBase extends AsyncDisposable {
  readonly kind: Kind
  /** Canonical name of the backend. */
  readonly backend: string
  readonly limits: Limits
  /**
   * One page of the workspaces in which this kind holds something, in bytewise order of their names. On a workspace view, and where the
   * backend cannot list them: `UNSUPPORTED`.
   */
  listWorkspaces(query?: WorkspaceQuery & CallOptions): Promise<Page<string>>
  /** Resolves when the engine answers. */
  ping(options?: CallOptions): Promise<void>
  /** Closes the store once the calls under way have finished, after 5 s at the latest; a second call does nothing. A view closes only itself. */
  close(): Promise<void>
}
