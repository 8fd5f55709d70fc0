/** Conformance cases are data: what the contract says, and a program that shows it. */

/** In which view of a store a case runs: as opened, or scoped to one workspace among others. */
export type View = 'default' | 'workspace'

/** The least that a run needs of a store. */
export interface Conformable {
  workspace(id: string): unknown
  close(): Promise<void>
}

/** What a case works on. */
export interface Trial<S> {
  /** An open store over empty data: the default workspace, or a workspace view, as the run asks. */
  readonly store: S
  readonly view: View
  /**
   * Another handle on the same data in the same view, as a second process would have, closed after the case. Only in cases that
   * declare `reopens`.
   */
  another(): Promise<S>
  /** Closes every handle, as the end of a process would, and opens the data anew. Only in cases that declare `reopens`. */
  reopen(): Promise<S>
  /** Makes the engine unreachable until `heal`. Only in cases that declare `outage`. */
  cut(): Promise<void>
  heal(): Promise<void>
}

export interface ConformanceCase<S> {
  /** `kind/area/what`, e.g. `conversation/append/consecutive`. Stable: reports and known-failure lists refer to it. */
  readonly id: string
  /** The contract's sentence, as a user would read it. */
  readonly sentence: string
  /** Why the case does not concern this store (a capability it lacks or has), or undefined when it does. */
  readonly skip?: (store: S) => string | undefined
  /** Uses `another` or `reopen`. */
  readonly reopens?: boolean
  /** Uses `cut` and `heal`. */
  readonly outage?: boolean
  run(trial: Trial<S>): Promise<void>
}

/** What a run needs to know of a backend to try it. */
export interface Harness<S> {
  /** Opens a store over new, empty data. */
  open(): Promise<S>
  /**
   * Opens another handle on the data of a store that `open` gave, which may be closed by then; left out where data cannot be shared
   * or does not outlive its store (in-memory backends).
   */
  reopen?(store: S): Promise<S>
  /** Makes the engine behind a store that `open` gave unreachable, and reachable again. */
  cut?(store: S): Promise<void>
  heal?(store: S): Promise<void>
  /** Removes the data of a store that `open` gave; the store is closed by then. */
  dispose?(store: S): Promise<void>
}
