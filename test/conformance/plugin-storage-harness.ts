/** Harnesses of state stores for the plugin-storage suite. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Harness } from '../../src/conformance/case.ts'
import { HoldfastError } from '../../src/errors.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { create as createSqlite } from '../../src/state/backends/sqlite.ts'
import type { StateBackend } from '../../src/state/contract.ts'
import type { StateStore } from '../../src/state/store.ts'
import { over, ownVersions, type Break } from './broken/state/wrappers.ts'
import { localContext, localHarness } from './harness.ts'

/** In memory, but outliving its handles, as a server would. */
export function memory(breaks: Break = (backend) => backend): Harness<StateStore> {
  return localHarness('state', 'memory', async () => {
    const shared = await createMemory({}, localContext('state', 'memory'))
    // What breaks may count over all handles.
    const breaking = breaks(over(shared, { close: async () => undefined }))
    return { connect: () => breaking, remove: () => shared.close() }
  })
}

export function sqlite(): Harness<StateStore> {
  return localHarness('state', 'sqlite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-plugins-'))
    return {
      connect: () => createSqlite({ path: join(folder, 'state.db') }, localContext('state', 'sqlite')),
      remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

/** Commits of so many keys, as the engine says and as it does. */
export function atMost(commitKeys: number): Break {
  return (backend) =>
    over(backend, {
      capabilities: { bytes: 'base64', commitKeys },
      commit: async (space, commit, call) => {
        const { checks = [], set = [], add = [], delete: unwanted = [] } = commit
        const keys = new Set([...[...checks, ...set, ...add].map(({ key }) => key), ...unwanted])
        if (keys.size <= commitKeys) return backend.commit(space, commit, call)
        throw new HoldfastError('UNSUPPORTED', `a commit of ${keys.size} keys`, { outcome: 'not-applied' })
      },
    })
}

/** An engine with small values and batches, which holds callers to its limits. */
export function small(backend: StateBackend): StateBackend {
  const limits = { batch: 7, valueBytes: 1_000 }
  const refuse = (what: string): never => {
    throw new HoldfastError('VALUE_TOO_LARGE', what, { outcome: 'not-applied' })
  }
  return over(backend, {
    limits,
    get: async (space, keys, call) => (keys.length > limits.batch ? refuse('too many keys') : backend.get(space, keys, call)),
    commit: async (space, commit, call) => {
      const tooLarge = (commit.set ?? []).some(({ value }) => Buffer.byteLength(value) > limits.valueBytes)
      const named = [...(commit.checks ?? []), ...(commit.set ?? []), ...(commit.add ?? [])].map(({ key }) => key)
      const tooMany = new Set([...named, ...(commit.delete ?? [])]).size > limits.batch
      return tooLarge || tooMany ? refuse('beyond the limits') : backend.commit(space, commit, call)
    },
  })
}

/** An engine whose versions are digests of the values, so that the same value has the same version again. */
export const digests: Break = ownVersions(({ value }) => createHash('sha256').update(value).digest('hex'), 'store')

/** An engine that answers after some milliseconds, now sooner and now later. */
export function far(backend: StateBackend): StateBackend {
  const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.random() * 4))
  return over(backend, {
    get: (space, keys) => later().then(() => backend.get(space, keys)),
    commit: (space, commit) => later().then(() => backend.commit(space, commit)),
    scan: (space, scan) => later().then(() => backend.scan(space, scan)),
  })
}
