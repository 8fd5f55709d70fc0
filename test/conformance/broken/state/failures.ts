/** Backends that hide failures, or what other processes do. */
import { randomUUID } from 'node:crypto'
import { isHoldfastError } from '../../../../src/errors.ts'
import type { StateBackend, StateCommitResult, StateEntry } from '../../../../src/state/contract.ts'
import { broken, over, renamed, type BrokenState } from './wrappers.ts'

export const brokenFailures: readonly BrokenState[] = [
  broken('an outage reads as empty', 'state/common/outage/reads', outageReadsEmpty),
  broken('an outage lists as empty', 'state/common/outage/reads', outageListsEmpty),
  broken('an outage swallows writes', 'state/common/outage/writes', outageSwallowsWrites),
  broken('nothing is written through', 'state/reopen/keeps', ownSpaces),
  broken('a cache a process', 'state/handles/at-once', cached),
]

async function unlessCut<T>(work: Promise<T>, instead: T): Promise<T> {
  return work.catch((error: unknown) => {
    if (isHoldfastError(error, 'UNAVAILABLE')) return instead
    throw error
  })
}

function outageReadsEmpty(backend: StateBackend): StateBackend {
  return over(backend, {
    get: (space, keys) =>
      unlessCut(
        backend.get(space, keys),
        keys.map(() => undefined),
      ),
  })
}

function outageListsEmpty(backend: StateBackend): StateBackend {
  return over(backend, { scan: (space, scan) => unlessCut(backend.scan(space, scan), []) })
}

function outageSwallowsWrites(backend: StateBackend): StateBackend {
  const applied = { applied: true, deleted: 0, sums: [0] } as const
  return over(backend, { commit: (space, commit) => unlessCut<StateCommitResult>(backend.commit(space, commit), applied) })
}

/** Remembers what it has read until it writes itself. */
function cached(backend: StateBackend): StateBackend {
  const cache = new Map<string, (StateEntry | undefined)[]>()
  return over(backend, {
    get: async (space, keys) => {
      const name = JSON.stringify([space, keys])
      const entries = cache.get(name) ?? (await backend.get(space, keys))
      cache.set(name, entries)
      return entries
    },
    commit: (space, commit) => {
      cache.clear()
      return backend.commit(space, commit)
    },
  })
}

/** What a handle writes only itself can read, as if it were never flushed. */
function ownSpaces(backend: StateBackend): StateBackend {
  const id = randomUUID()
  return renamed(
    (key) => key,
    (space) => `${id}:${space}`,
  )(backend)
}
