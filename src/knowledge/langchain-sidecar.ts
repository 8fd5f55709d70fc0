/** The sidecar of a vector store: a state store, in which collections and documents are kept exactly. Described by the little that is used. */
import { HoldfastError } from '../errors.ts'
import type { BackendCall, Limits } from '../store/contract.ts'
import type { KnowledgeCapabilities } from './contract.ts'
import { documentLimits } from './langchain-codec.ts'

export interface SidecarEntry {
  /** Text or bytes; some engines return either for either. */
  readonly value: string | Uint8Array
  readonly version: string
}

export interface SidecarCommit {
  /** The version that must be stored now; null: the key must be absent. */
  readonly checks?: readonly { readonly key: string; readonly version: string | null }[]
  readonly set?: readonly { readonly key: string; readonly value: string | Uint8Array }[]
  readonly delete?: readonly string[]
}

export interface SidecarScan {
  readonly prefix: string
  readonly after?: string | undefined
  readonly limit: number
}

/** A state backend. */
export interface SidecarBackend {
  readonly capabilities: { readonly commitKeys: number }
  readonly limits?: Limits
  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(SidecarEntry | undefined)[]>
  commit(space: string, commit: SidecarCommit, call?: BackendCall): Promise<{ readonly applied: boolean }>
  scan(space: string, scan: SidecarScan, call?: BackendCall): Promise<string[]>
  listSpaces?(scan: SidecarScan, call?: BackendCall): Promise<string[]>
  ping(call?: BackendCall): Promise<void>
}

/** A `StateStore`. */
export interface DocumentsStore {
  readonly kind: 'state'
  readonly workspaceId: string
  readonly core: { readonly closed: boolean; readonly backend: SidecarBackend }
}

/** Keys a page, of which the entries are read together. */
const PAGE = 250
/** Documents of one write where nothing limits them further. */
const MAX_BATCH = 10_000

/** Bytes of a note for each document of a write: its id twice, of which JSON may make six times as much, and two more ids. */
const NOTE_BYTES = 2 * 6 * 512 + 6 * 256 + 32

export class Sidecar {
  /** Tells the data of several knowledge stores in one state store apart. */
  readonly prefix: string
  /** How many documents one commit may write. */
  readonly commitKeys: number
  readonly limits: Limits
  readonly #store: DocumentsStore

  constructor(store: DocumentsStore, prefix: string) {
    const { capabilities, limits = {} } = store.core.backend
    this.prefix = prefix
    this.limits = limits
    this.commitKeys = Math.min(capabilities.commitKeys, limits.batch ?? Infinity)
    this.#store = store
  }

  /** Keys that one call takes. */
  get batch(): number {
    return Math.min(this.limits.batch ?? Infinity, MAX_BATCH)
  }

  async entry(space: string, key: string, call: BackendCall | undefined): Promise<SidecarEntry | undefined> {
    return (await this.#backend.get(space, [key], call))[0]
  }

  /** Those that are there. */
  async entries(space: string, keys: readonly string[], call: BackendCall | undefined): Promise<Map<string, SidecarEntry>> {
    const found = new Map<string, SidecarEntry>()
    for (const batch of inBatches(keys, this.batch)) {
      for (const [i, entry] of (await this.#backend.get(space, batch, call)).entries())
        if (entry !== undefined) found.set(batch[i]!, entry)
    }
    return found
  }

  /** False, and nothing is changed, where a check fails. */
  async commit(space: string, commit: SidecarCommit, call: BackendCall | undefined): Promise<boolean> {
    return (await this.#backend.commit(space, commit, call)).applied
  }

  async scan(space: string, scan: SidecarScan, call: BackendCall | undefined): Promise<string[]> {
    return this.#backend.scan(space, scan, call)
  }

  /** All keys with the prefix behind `after`, in bytewise order. */
  async *pages(space: string, prefix: string, call: BackendCall | undefined, after?: string): AsyncGenerator<string[], void> {
    const limit = Math.min(PAGE, this.batch)
    let keys: string[]
    do {
      keys = await this.scan(space, { prefix, after, limit }, call)
      if (keys.length > 0) yield keys
      after = keys.at(-1)
    } while (keys.length === limit)
  }

  /** Undefined where the backend cannot list its spaces. */
  get listSpaces(): NonNullable<SidecarBackend['listSpaces']> | undefined {
    const { backend } = this.#store.core
    return backend.listSpaces && ((scan, call) => this.#backend.listSpaces!(scan, call))
  }

  async ping(call: BackendCall | undefined): Promise<void> {
    await this.#backend.ping(call)
  }

  get #backend(): SidecarBackend {
    if (!this.#store.core.closed) return this.#store.core.backend
    throw new HoldfastError('STORE_CLOSED', 'the state store given as `documents` was closed', { outcome: 'not-applied' })
  }
}

export function* inBatches<T>(items: readonly T[], size: number): Generator<readonly T[], void> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

/** JSON that this package wrote; what is none is `CORRUPT`. */
export function readSidecarJson({ value }: SidecarEntry, what: string): unknown {
  try {
    return JSON.parse(typeof value === 'string' ? value : Buffer.from(value).toString())
  } catch {
    throw new HoldfastError('CORRUPT', `${what} in the sidecar is no JSON`)
  }
}

/** What a sidecar makes of any vector store. */
export function capabilitiesOf({ commitKeys }: Sidecar, visibility: KnowledgeCapabilities['visibility']): KnowledgeCapabilities {
  return {
    filter: { exists: true, null: true, arrays: true, nested: true, declared: false },
    insert: commitKeys === Infinity ? 'atomic' : 'checked',
    get: true,
    list: true,
    count: true,
    deleteByFilter: true,
    visibility,
  }
}

export function limitsOf({ batch, limits: { valueBytes } }: Sidecar): Limits {
  if (valueBytes === undefined) return { batch }
  return { ...documentLimits(valueBytes), batch: Math.max(1, Math.min(batch, Math.floor(valueBytes / NOTE_BYTES) - 1)) }
}
