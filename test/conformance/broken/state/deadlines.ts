/** A state backend that keeps TTLs itself, over one that knows none, and may forget them in one of its methods. */
import type { BackendCall } from '../../../../src/store/contract.ts'
import type { StateBackend, StateCommit, StateCommitResult, StateEntry, StateScan } from '../../../../src/state/contract.ts'

/** Which methods notice that a key has expired. Default: all. */
interface Noticing {
  readonly get?: boolean
  readonly commit?: boolean
  readonly scan?: boolean
}

export class Deadlines implements StateBackend {
  readonly capabilities: StateBackend['capabilities']
  readonly #backend: StateBackend
  readonly #noticing: Noticing
  readonly #deadlines = new Map<string, number>()

  constructor(backend: StateBackend, noticing: Noticing) {
    this.#backend = backend
    this.#noticing = noticing
    this.capabilities = backend.capabilities
  }

  async get(space: string, keys: readonly string[]): Promise<(StateEntry | undefined)[]> {
    const entries = await this.#backend.get(space, keys)
    return entries.map((entry, i) => {
      const deadline = this.#deadlines.get(`${space}\0${keys[i]}`)
      if (entry === undefined || deadline === undefined) return entry
      const ttlMs = deadline - Date.now()
      return ttlMs > 0 || this.#noticing.get === false ? { ...entry, ttlMs } : undefined
    })
  }

  async commit(space: string, commit: StateCommit): Promise<StateCommitResult> {
    const { checks = [], set = [], add = [], delete: unwanted = [] } = commit
    const keys = [...[...checks, ...set, ...add].map(({ key }) => key), ...unwanted]
    if (this.#noticing.commit !== false) await this.#remove(space, keys)
    const result = await this.#backend.commit(space, { ...commit, set: set.map(({ key, value }) => ({ key, value })) })
    if (!result.applied) return result
    for (const key of unwanted) this.#deadlines.delete(`${space}\0${key}`)
    for (const { key, ttlMs } of set) {
      if (ttlMs === undefined) this.#deadlines.delete(`${space}\0${key}`)
      else if (ttlMs !== 'keep') this.#deadlines.set(`${space}\0${key}`, Date.now() + ttlMs)
    }
    return result
  }

  async scan(space: string, scan: StateScan): Promise<string[]> {
    if (this.#noticing.scan === false) return this.#backend.scan(space, scan)
    const keys = await this.#backend.scan(space, { ...scan, limit: 100_000 })
    return keys.filter((key) => !this.#expired(space, key)).slice(0, scan.limit)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#backend.ping(call)
  }

  close(): Promise<void> {
    return this.#backend.close()
  }

  #expired(space: string, key: string): boolean {
    return (this.#deadlines.get(`${space}\0${key}`) ?? Infinity) <= Date.now()
  }

  async #remove(space: string, keys: readonly string[]): Promise<void> {
    const expired = keys.filter((key) => this.#expired(space, key))
    if (expired.length === 0) return
    for (const key of expired) this.#deadlines.delete(`${space}\0${key}`)
    await this.#backend.commit(space, { delete: [...new Set(expired)] })
  }
}
