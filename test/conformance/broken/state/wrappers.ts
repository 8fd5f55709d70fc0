/** What breaking a state backend, or varying it within the contract, has in common. */
import type { StateBackend, StateCheck, StateCommit, StateEntry, StateValue } from '../../../../src/state/contract.ts'

export type Break = (backend: StateBackend) => StateBackend

export interface BrokenState {
  /** Completes "a backend where …". */
  readonly name: string
  /** The case meant for it. */
  readonly caughtBy: string
  readonly breaks: Break
}

export function broken(name: string, caughtBy: string, breaks: Break): BrokenState {
  return { name, caughtBy, breaks }
}

/** The backend with some of its methods replaced. */
export function over(backend: StateBackend, changed: Partial<StateBackend>): StateBackend {
  return {
    capabilities: backend.capabilities,
    get: (space, keys, call) => backend.get(space, keys, call),
    commit: (space, commit, call) => backend.commit(space, commit, call),
    scan: (space, scan, call) => backend.scan(space, scan, call),
    ...(backend.listSpaces && { listSpaces: (scan, call) => backend.listSpaces!(scan, call) }),
    ping: (call) => backend.ping(call),
    close: () => backend.close(),
    ...changed,
  }
}

export function textOf(value: StateValue): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString()
}

/** Changes stored JSON text on its way out. */
export function withValues(change: (text: string) => string): Break {
  return (backend) =>
    over(backend, {
      get: async (space, keys) => {
        const entries = await backend.get(space, keys)
        return entries.map((entry) => (typeof entry?.value === 'string' ? { ...entry, value: change(entry.value) } : entry))
      },
    })
}

/** Order by UTF-16 units, as JavaScript compares. */
export function byUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Writes and reads under other names. Listings follow, for their keys are what was written. */
export function renamed(key: (key: string, space: string) => string, space: (space: string) => string = (name) => name): Break {
  return (backend) =>
    over(backend, {
      get: (name, keys) =>
        backend.get(
          space(name),
          keys.map((each) => key(each, name)),
        ),
      commit: (name, commit) =>
        backend.commit(
          space(name),
          renamedCommit(commit, (each) => key(each, name)),
        ),
      scan: (name, scan) => backend.scan(space(name), scan),
    })
}

/** Keys that two names now share are written once, as an engine would. */
function renamedCommit(commit: StateCommit, key: (key: string) => string): StateCommit {
  const each = <T extends { readonly key: string }>(items: readonly T[] = []): T[] => [
    ...new Map(items.map((item) => [key(item.key), { ...item, key: key(item.key) }])).values(),
  ]
  return {
    checks: each(commit.checks),
    set: each(commit.set),
    delete: [...new Set((commit.delete ?? []).map(key))],
    add: each(commit.add),
  }
}

export function readAll(backend: StateBackend, space: string): Promise<string[]> {
  return backend.scan(space, { prefix: '', limit: 100_000 })
}

/**
 * Versions of another making. `count` is how often the key was written since it was created, or, `of: 'store'`, since the store was
 * opened. A check that names the present one passes.
 */
export function ownVersions(version: (entry: StateEntry, count: number) => string, of: 'key' | 'store'): Break {
  return (backend) => {
    const counts = new Map<string, number>()
    const versionOf = (space: string, key: string, entry: StateEntry): string =>
      version(entry, counts.get(`${space}\0${key}`) ?? 0)
    const translated = async (space: string, check: StateCheck): Promise<StateCheck> => {
      const [entry] = check.version === null ? [] : await backend.get(space, [check.key])
      if (entry === undefined) return check
      return versionOf(space, check.key, entry) === check.version
        ? { ...check, version: entry.version }
        : { ...check, version: '' }
    }
    return over(backend, {
      get: async (space, keys) => {
        const entries = await backend.get(space, keys)
        return entries.map((entry, i) => entry && { ...entry, version: versionOf(space, keys[i]!, entry) })
      },
      commit: async (space, commit) => {
        const checks = await Promise.all((commit.checks ?? []).map((check) => translated(space, check)))
        const result = await backend.commit(space, { ...commit, checks })
        if (!result.applied) return result
        for (const { key } of [...(commit.set ?? []), ...(commit.add ?? [])]) {
          counts.set(`${space}\0${key}`, (counts.get(`${space}\0${key}`) ?? 0) + 1)
        }
        if (of === 'key') for (const key of commit.delete ?? []) counts.delete(`${space}\0${key}`)
        return result
      },
    })
  }
}

/** Changes commits on their way in. */
export function patchCommit(change: (commit: StateCommit) => StateCommit): Break {
  return (backend) => over(backend, { commit: (space, commit) => backend.commit(space, change(commit)) })
}
