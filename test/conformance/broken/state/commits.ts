/** Backends whose commits are not all or nothing. */
import type { StateBackend, StateCommit, StateCommitResult } from '../../../../src/state/contract.ts'
import { broken, over, ownVersions, patchCommit, textOf, type Break, type BrokenState } from './wrappers.ts'

export const brokenCommits: readonly BrokenState[] = [
  broken(
    'checks are ignored',
    'state/commit/check',
    patchCommit((commit) => ({ ...commit, checks: [] })),
  ),
  broken('a check for absence is ignored', 'state/set-if-absent/one-winner', patchCommit(withoutAbsence)),
  broken('maxima are ignored', 'state/commit/add-max', patchCommit(withoutMax)),
  broken('checks come before the write, not with it', 'state/commit/one-winner', checksBefore),
  broken('maxima are looked at before the addition, not with it', 'state/commit/add-max-concurrent', maximaBefore),
  broken('sums may exceed the safe integers', 'state/increment/exact', unsafeSums),
  broken(
    'only the first check counts',
    'state/commit/nothing-when-checked',
    patchCommit((commit) => ({ ...commit, checks: (commit.checks ?? []).slice(0, 1) })),
  ),
  broken(
    'at most 100 writes',
    'state/many/beyond-a-batch',
    patchCommit((commit) => ({ ...commit, set: (commit.set ?? []).slice(0, 100) })),
  ),
  broken('sums are looked at before checks', 'state/commit/check-before-sum', sumsFirst),
  broken('delete always says true', 'state/delete/present', deleteAlwaysTrue),
  broken('increment is not atomic', 'state/increment/concurrent', additionsAsSets({ ttl: 'keep' })),
  broken(
    'increment locks its own process only',
    'state/increment/concurrent-handles',
    additionsAsSets({ ttl: 'keep', lock: true }),
  ),
  broken('increment takes text for a number', 'state/increment/not-a-number', numbersFromText),
  broken('sums in another order', 'state/commit/all', reversedSums),
  broken('sets before it checks', 'state/commit/nothing-when-checked', setsFirst),
  broken('sets before it adds', 'state/commit/nothing-when-summed', setsBeforeAdding),
  broken('key by key', 'state/commit/whole', keyByKey),
  broken('the failing key is not told', 'state/commit/check', otherKey),
  broken(
    'versions begin again',
    'state/commit/versions',
    ownVersions((_, count) => String(count), 'key'),
  ),
  broken(
    'versions are times',
    'state/commit/versions',
    ownVersions(() => String(Math.floor(Date.now() / 1_000)), 'store'),
  ),
]

function withoutAbsence(commit: StateCommit): StateCommit {
  return { ...commit, checks: (commit.checks ?? []).filter((check) => check.version !== null) }
}

function withoutMax(commit: StateCommit): StateCommit {
  return { ...commit, add: (commit.add ?? []).map(({ key, by }) => ({ key, by })) }
}

function sumsFirst(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, commit) => {
      const result = await backend.commit(space, { ...commit, checks: [], set: [], delete: [] })
      return result.applied ? backend.commit(space, { ...commit, add: [] }) : result
    },
  })
}

function patchResult(change: (result: StateCommitResult, commit: StateCommit) => StateCommitResult): Break {
  return (backend) => over(backend, { commit: async (space, commit) => change(await backend.commit(space, commit), commit) })
}

function deleteAlwaysTrue(backend: StateBackend): StateBackend {
  return patchResult((result, { delete: keys = [] }) => (result.applied ? { ...result, deleted: keys.length } : result))(backend)
}

function reversedSums(backend: StateBackend): StateBackend {
  return patchResult((result) => (result.applied ? { ...result, sums: result.sums.toReversed() } : result))(backend)
}

function otherKey(backend: StateBackend): StateBackend {
  return patchResult((result) => (result.applied ? result : { ...result, key: '' }))(backend)
}

/** Tries the conditions by a commit that writes nothing, and then writes without them. */
function checksBefore(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, { checks = [], ...rest }) => {
      const tried = await backend.commit(space, { checks })
      return tried.applied ? backend.commit(space, rest) : tried
    },
  })
}

function maximaBefore(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, commit) => {
      for (const { key, by, max = Infinity } of commit.add ?? []) {
        const [entry] = await backend.get(space, [key])
        if (Number(entry ? textOf(entry.value) : 0) + by > max) return { applied: false, reason: 'max', key }
      }
      return backend.commit(space, withoutMax(commit))
    },
  })
}

function unsafeSums(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, commit) => {
      const result = await backend.commit(space, commit)
      if (result.applied || result.reason !== 'not-integer' || commit.add?.length !== 1) return result
      const { key, by } = commit.add[0]!
      const [entry] = await backend.get(space, [key])
      const present = Number(entry && textOf(entry.value))
      if (!Number.isSafeInteger(present)) return result
      await backend.commit(space, { set: [{ key, value: `${present + by}`, ttlMs: 'keep' }] })
      return { applied: true, deleted: 0, sums: [present + by] }
    },
  })
}

/** Reads, adds and writes in three steps, one addition at a time. */
export function additionsAsSets({ ttl, lock = false }: { ttl: 'keep' | 'dropped'; lock?: boolean }): Break {
  return (backend) => {
    let turn: Promise<unknown> = Promise.resolve()
    const add = async (space: string, commit: StateCommit): Promise<StateCommitResult> => {
      const probe = commit.add![0]!
      const [entry] = await backend.get(space, [probe.key])
      const sum = Number(entry ? textOf(entry.value) : 0) + probe.by
      if (!Number.isSafeInteger(sum)) return backend.commit(space, commit)
      await backend.commit(space, { set: [{ key: probe.key, value: `${sum}`, ttlMs: ttl === 'keep' ? 'keep' : undefined }] })
      return { applied: true, deleted: 0, sums: [sum] }
    }
    return over(backend, {
      commit: (space, commit) => {
        if (commit.add?.length !== 1 || commit.add[0]!.max !== undefined) return backend.commit(space, commit)
        const result = lock ? turn.then(() => add(space, commit)) : add(space, commit)
        turn = result
        return result
      },
    })
  }
}

function numbersFromText(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, commit) => {
      for (const { key } of commit.add ?? []) {
        const [entry] = await backend.get(space, [key])
        const number = entry && /^"(\d+)"$/.exec(textOf(entry.value))?.[1]
        if (number !== undefined) await backend.commit(space, { set: [{ key, value: number, ttlMs: 'keep' }] })
      }
      return backend.commit(space, commit)
    },
  })
}

/** Keys that carry a check are written with it; the others before. */
function setsFirst(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, { checks = [], set = [], ...rest }) => {
      const checked = new Set(checks.map((check) => check.key))
      await backend.commit(space, { set: set.filter((item) => !checked.has(item.key)) })
      return backend.commit(space, { ...rest, checks, set: set.filter((item) => checked.has(item.key)) })
    },
  })
}

function setsBeforeAdding(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, { add = [], ...rest }) => {
      const first = await backend.commit(space, rest)
      if (!first.applied || add.length === 0) return first
      const second = await backend.commit(space, { add })
      return second.applied ? { ...second, deleted: first.deleted } : second
    },
  })
}

function keyByKey(backend: StateBackend): StateBackend {
  return over(backend, {
    commit: async (space, commit) => {
      const { set = [] } = commit
      if (set.length < 2 || commit.checks !== undefined || commit.add !== undefined) return backend.commit(space, commit)
      for (const item of set) await backend.commit(space, { set: [item] })
      return { applied: true, deleted: 0, sums: [] }
    },
  })
}
