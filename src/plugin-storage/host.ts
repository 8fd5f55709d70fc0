/** What a host of plugins has: their storages, and what is theirs to administrate. */
import { toKeyRing, type KeyRing, type KeyRingOptions } from '../encryption/key-ring.ts'
import type { StateStore } from '../state/store.ts'
import { StateSpace } from '../state/space.ts'
import { readJson } from '../state/values.ts'
import type { BackendCall, CallOptions, JsonObject } from '../store/contract.ts'
import { checkWorkspace, type CallMode } from '../store/core.ts'
import { checkInteger, invalid, typeName } from '../store/text.ts'
import { clearScope } from './clear.ts'
import { convertScope } from './convert.ts'
import { indexPrefix, indexSpace, type ScopeId } from './layout.ts'
import { parsePluginId } from './plugin-id.ts'
import { reconcileScope, type Reconciliation, type ReconcileOptions } from './reconcile.ts'
import { Scope } from './scope.ts'
import { PluginStorage } from './storage.ts'

export interface PluginHostOptions {
  /** Where everything is kept; it stays the caller's to close. */
  readonly state: StateStore
  /** What the values of one plugin in one workspace may have together, in bytes. Default 100 MiB. */
  readonly quotaBytes?: number | undefined
  /** Encrypts what plugins store. Scopes from before are converted by `encrypt`. Default: nothing is encrypted. */
  readonly encryption?: KeyRing | KeyRingOptions | undefined
  /** Values larger than this many bytes are stored in pieces of it, or of the backend's limit where that is less. Default 256 KiB. */
  readonly chunkBytes?: number | undefined
}

export interface SessionOptions extends ScopeId {
  /** What the plugin's manifest asks for, in bytes; the quota is this or the host's, whichever is less. Default: the host's. */
  readonly sizeBytes?: number | undefined
  /** Whether the plugin's manifest enables storage; where not, every call is `PERMISSION_DENIED`. Default true. */
  readonly enabled?: boolean | undefined
}

export interface PluginSession extends ScopeId {
  readonly storage: PluginStorage
}

export interface ScopeUsage {
  /** Bytes of all values; expired ones count until they are swept. */
  readonly usedBytes: number
  readonly encrypted: boolean
  /** Undefined where nothing was stored yet. */
  readonly createdAt: Date | undefined
}

export interface ScopeInfo extends ScopeId, ScopeUsage {}

export interface WorkspaceClearance {
  readonly scopes: number
  readonly values: number
}

const MIB = 1024 * 1024
const DEFAULT_QUOTA_BYTES = 100 * MIB
const DEFAULT_CHUNK_BYTES = 256 * 1024
const MAX_CHUNK_BYTES = 64 * MIB
/** Scopes whose state is known without asking; any number may be in use. */
const MAX_KNOWN_SCOPES = 10_000
const SCOPES_PER_PAGE = 100

/** Storage of plugins on any state store. A scope is a workspace and a plugin, whatever its version; nothing crosses it. */
export class PluginHost {
  readonly quotaBytes: number
  readonly #state: StateStore
  readonly #ring: KeyRing | undefined
  readonly #chunkBytes: number
  readonly #scopes = new Map<string, Scope>()

  constructor(options: PluginHostOptions) {
    const { state, quotaBytes, encryption, chunkBytes } = options
    if (state?.core === undefined) throw new TypeError(`state must be a state store, not ${typeName(state)}`)
    this.#state = state
    this.quotaBytes = checkInteger(quotaBytes, 'quotaBytes', { min: 0 }, DEFAULT_QUOTA_BYTES)
    this.#ring = encryption === undefined ? undefined : toKeyRing(encryption)
    this.#chunkBytes = checkInteger(chunkBytes, 'chunkBytes', { min: 1, max: MAX_CHUNK_BYTES }, DEFAULT_CHUNK_BYTES)
  }

  /** The storage of one plugin in one workspace. It costs nothing and needs no closing. */
  session(options: SessionOptions): PluginSession {
    const id = checkScope(options)
    const sizeBytes = checkInteger(options.sizeBytes, 'sizeBytes', { min: 0 }, this.quotaBytes)
    const quotaBytes = Math.min(sizeBytes, this.quotaBytes)
    const { enabled = true } = options
    return { ...id, storage: new PluginStorage(this.#scope(id), { quotaBytes, enabled }) }
  }

  /** Every scope that holds something, those of one workspace if named, in no particular order. `timeoutMs` holds for each page. */
  async *scopes(options: { readonly workspaceId?: string | undefined } & CallOptions = {}): AsyncGenerator<ScopeInfo, void> {
    const index = new StateSpace(this.#state.core.backend, indexSpace(this.#state.workspaceId))
    const prefix = options.workspaceId === undefined ? '' : indexPrefix(checkWorkspace(options.workspaceId))
    let after: string | undefined
    do {
      const page = await this.#run('scopes', 'read', options, async (call) => {
        const keys = await index.scan({ prefix, after, limit: SCOPES_PER_PAGE }, call)
        const entries = await index.entries(keys, call)
        const ids = entries.flatMap((entry) =>
          entry === undefined ? [] : [readJson(entry.value, 'index') as unknown as ScopeId],
        )
        const scopes = await Promise.all(ids.map(async (id) => ({ ...id, ...(await usageOf(this.#scope(id), call)) })))
        return { scopes, next: keys.length === SCOPES_PER_PAGE ? keys.at(-1) : undefined }
      })
      yield* page.scopes
      after = page.next
    } while (after !== undefined)
  }

  async usage(scope: ScopeId, options?: CallOptions): Promise<ScopeUsage> {
    const id = checkScope(scope)
    return this.#run('usage', 'read', options, (call) => usageOf(this.#scope(id), call))
  }

  /** Removes a scope and all that it holds, as for an uninstalled plugin; how many values there were. */
  async clear(scope: ScopeId, options?: CallOptions): Promise<number> {
    const id = checkScope(scope)
    return this.#run('clear', 'idempotent', options, (call) => clearScope(this.#scope(id), call))
  }

  /** Clears every scope of a workspace. */
  async clearWorkspace(workspaceId: string, options?: CallOptions): Promise<WorkspaceClearance> {
    let scopes = 0
    let values = 0
    for await (const scope of this.scopes({ ...options, workspaceId: checkWorkspace(workspaceId) })) {
      values += await this.clear(scope, options)
      scopes++
    }
    return { scopes, values }
  }

  /**
   * Mends what writers that died have left: removes pieces that nothing refers to, and sets the counter to what the values are. Where a
   * commit holds more than one key the counter is right anyway.
   */
  async reconcile(scope: ScopeId, options: ReconcileOptions & CallOptions = {}): Promise<Reconciliation> {
    const id = checkScope(scope)
    checkInteger(options.olderThanMs, 'olderThanMs', { min: 0 }, 0)
    checkInteger(options.quietMs, 'quietMs', { min: 0 }, 0)
    return this.#run('reconcile', 'idempotent', options, (call) => reconcileScope(this.#scope(id), options, call))
  }

  /**
   * Encrypts a scope that is not encrypted, or, with a new current key in the ring, encrypts it anew; how many values were converted.
   * Hosts without the key ring are refused from then on. When it was interrupted, call it again.
   */
  async encrypt(scope: ScopeId, options?: CallOptions): Promise<number> {
    return this.#convert('encrypt', scope, true, options)
  }

  /** The reverse, for which this host needs the key ring; afterwards only hosts without one can use the scope. */
  async decrypt(scope: ScopeId, options?: CallOptions): Promise<number> {
    return this.#convert('decrypt', scope, false, options)
  }

  #convert(method: string, scope: ScopeId, encrypted: boolean, options: CallOptions | undefined): Promise<number> {
    const id = checkScope(scope)
    if (this.#ring === undefined) throw invalid(`${method} needs a PluginHost with a key ring (encryption)`)
    const [sealed, plain] = [this.#scope(id), this.#newScope(id, undefined)]
    const conversion = encrypted ? { target: sealed, other: plain } : { target: plain, other: sealed }
    return this.#run(method, 'idempotent', options, (call) => convertScope(conversion, call))
  }

  #scope(id: ScopeId): Scope {
    const name = JSON.stringify([id.workspaceId, id.pluginId])
    let scope = this.#scopes.get(name)
    if (scope === undefined) {
      if (this.#scopes.size >= MAX_KNOWN_SCOPES) this.#scopes.delete(this.#scopes.keys().next().value!)
      scope = this.#newScope(id, this.#ring)
      this.#scopes.set(name, scope)
    }
    return scope
  }

  #newScope(id: ScopeId, encryption: KeyRing | undefined): Scope {
    return new Scope(id, { state: this.#state, encryption, chunkBytes: this.#chunkBytes })
  }

  #run<T>(method: string, mode: CallMode, options: CallOptions | undefined, work: (call: BackendCall) => Promise<T>): Promise<T> {
    return this.#state.run(`plugins.${method}`, mode, options, work)
  }
}

function checkScope(scope: unknown): ScopeId {
  if (typeof scope !== 'object' || scope === null) {
    throw new TypeError(`a scope must be an object { workspaceId, pluginId }, not ${typeName(scope)}`)
  }
  const { workspaceId, pluginId } = scope as JsonObject
  return { workspaceId: checkWorkspace(workspaceId), pluginId: parsePluginId(pluginId) }
}

async function usageOf(scope: Scope, call: BackendCall): Promise<ScopeUsage> {
  const { meta, usedBytes } = await scope.state(call)
  return { usedBytes, encrypted: meta?.encrypted ?? false, createdAt: meta && new Date(meta.createdAt) }
}
