/** State backends that each break one thing, and the case that must notice. */
import type {
  StateBackend,
  StateCommit,
  StateCommitResult,
  StateEntry,
  StateScan,
  StateValue,
} from '../../../src/state/contract.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import { compareBytes } from '../../../src/store/text.ts'
import { Deadlines } from './state-deadlines.ts'
import { ownVersions, readAll, renamed, textOf, over, withValues, type Break } from './state-wrappers.ts'

export interface BrokenState {
  readonly name: string
  readonly breaks: Break
  /** The case meant for it. */
  readonly caughtBy: string
}

const values: readonly BrokenState[] = [
  {
    name: '"123" becomes 123',
    breaks: withValues((text) => text.replace(/^"(-?\d+)"$/, '$1')),
    caughtBy: 'state/values/types-kept',
  },
  {
    name: 'a number becomes text',
    breaks: withValues((text) => text.replace(/^\d+$/, '"$&"')),
    caughtBy: 'state/values/types-kept',
  },
  { name: '{} becomes null', breaks: withValues((text) => text.replaceAll('{}', 'null')), caughtBy: 'state/values/round-trip' },
  { name: 'JSON is written anew', breaks: withValues(reserialised), caughtBy: 'state/values/negative-zero' },
  { name: 'the keys of objects are sorted', breaks: withValues(sortedKeys), caughtBy: 'state/values/round-trip' },
  { name: 'text is made well-formed', breaks: withValues(wellFormed), caughtBy: 'state/values/any-text' },
  { name: 'values are cut at 64 KiB', breaks: withValues((text) => text.slice(0, 65_536)), caughtBy: 'state/values/large' },
  {
    name: 'bytes are decoded as UTF-8',
    breaks: withBytes((bytes) => Buffer.from(bytes).toString()),
    caughtBy: 'state/bytes/all-values',
  },
  {
    name: 'bytes stay base64',
    breaks: withBytes((bytes) => Buffer.from(bytes).toString('base64')),
    caughtBy: 'state/bytes/all-values',
  },
  { name: 'bytes are cut at a zero', breaks: withBytes(cutAtZero), caughtBy: 'state/bytes/looks-like-text' },
  { name: 'null is missing', breaks: hiding((text) => text === 'null'), caughtBy: 'state/values/null' },
  { name: 'empty bytes are missing', breaks: hiding((text) => text === ''), caughtBy: 'state/bytes/empty' },
  { name: 'live references', breaks: liveReferences, caughtBy: 'state/bytes/no-live-references' },
]

const keys: readonly BrokenState[] = [
  { name: 'keys in lower case', breaks: renamed((key) => key.toLowerCase()), caughtBy: 'state/keys/distinct' },
  { name: 'keys trimmed', breaks: renamed((key) => key.trimEnd() || key), caughtBy: 'state/keys/distinct' },
  { name: 'keys normalised', breaks: renamed((key) => key.normalize('NFC')), caughtBy: 'state/keys/distinct' },
  { name: 'keys read as paths', breaks: renamed((key) => key.replace(/^\.\//, '')), caughtBy: 'state/keys/hostile' },
  { name: 'keys cut at 255', breaks: renamed((key) => key.slice(0, 255)), caughtBy: 'state/keys/long' },
  {
    name: 'the space is ignored',
    breaks: renamed(
      (key) => key,
      () => '',
    ),
    caughtBy: 'state/common/workspace/isolated',
  },
  {
    name: 'spaces in lower case',
    breaks: renamed(
      (key) => key,
      (space) => space.toLowerCase(),
    ),
    caughtBy: 'state/common/workspace/distinct',
  },
  { name: 'space and key are joined', breaks: joinedNames, caughtBy: 'state/backend/no-joined-names' },
  { name: 'answers come in the order of keys', breaks: answersSorted, caughtBy: 'state/many/get' },
]

const listings: readonly BrokenState[] = [
  { name: 'prefix as a LIKE pattern', breaks: scanning(like), caughtBy: 'state/listing/prefix' },
  {
    name: 'prefix without regard to case',
    breaks: scanning((all, { prefix }) => all.filter(startsAlike(prefix))),
    caughtBy: 'state/listing/prefix',
  },
  { name: 'prefix as a range to the next character', breaks: scanning(nextCharacter), caughtBy: 'state/listing/prefix' },
  { name: 'prefix ignored', breaks: scanning((all) => all), caughtBy: 'state/listing/prefix' },
  {
    name: 'one page only',
    breaks: patchScan((scan) => (scan.after === undefined ? scan : undefined)),
    caughtBy: 'state/listing/pages',
  },
  { name: 'each page begins with the last key', breaks: inclusiveScan, caughtBy: 'state/listing/pages' },
  { name: 'a key lost between pages', breaks: lossyScan, caughtBy: 'state/listing/pages' },
  {
    name: 'order of UTF-16 units',
    breaks: scanning((all, { prefix }) => all.filter((key) => key.startsWith(prefix)), byUnits),
    caughtBy: 'state/listing/order',
  },
  { name: 'the limit is ignored', breaks: patchScan((scan) => ({ ...scan, limit: 10_000 })), caughtBy: 'state/backend/scan' },
  { name: 'a page ends at 1 MB of values', breaks: weighedScan, caughtBy: 'state/listing/large-values' },
  {
    name: 'at most 100 keys',
    breaks: patchScan((scan) => ({ ...scan, limit: Math.min(scan.limit, 100) })),
    caughtBy: 'state/listing/default-limit',
  },
]

const lifetimes: readonly BrokenState[] = [
  {
    name: 'expired keys are listed',
    breaks: (backend) => new Deadlines(backend, { scan: false }),
    caughtBy: 'state/expired/listings',
  },
  { name: 'expired keys are read', breaks: (backend) => new Deadlines(backend, { get: false }), caughtBy: 'state/expired/reads' },
  {
    name: 'expired keys stand in the way of writes',
    breaks: (backend) => new Deadlines(backend, { commit: false }),
    caughtBy: 'state/expired/writes',
  },
  { name: 'TTLs live in the process', breaks: (backend) => new Deadlines(backend, {}), caughtBy: 'state/reopen/ttl' },
  { name: 'set drops the TTL', breaks: withTtl((ttlMs) => (ttlMs === 'keep' ? ttlMs : undefined)), caughtBy: 'state/ttl/value' },
  { name: 'set keeps the TTL', breaks: withTtl((ttlMs) => ttlMs ?? 'keep'), caughtBy: 'state/ttl/set-clears' },
  { name: 'keep drops the TTL', breaks: withTtl((ttlMs) => (ttlMs === 'keep' ? undefined : ttlMs)), caughtBy: 'state/ttl/kept' },
  { name: 'TTLs in whole seconds', breaks: withTtl((ttlMs) => wholeSeconds(ttlMs)), caughtBy: 'state/ttl/fraction' },
  {
    name: 'TTLs longer than a timer',
    breaks: withTtl((ttlMs) => (Number(ttlMs) >= 2 ** 31 ? 1 : ttlMs)),
    caughtBy: 'state/ttl/long',
  },
  { name: 'increment drops the TTL', breaks: additionsAsSets({ ttl: 'dropped' }), caughtBy: 'state/ttl/kept' },
]

const commits: readonly BrokenState[] = [
  { name: 'checks are ignored', breaks: patchCommit((commit) => ({ ...commit, checks: [] })), caughtBy: 'state/commit/check' },
  { name: 'a check for absence is ignored', breaks: patchCommit(withoutAbsence), caughtBy: 'state/set-if-absent/one-winner' },
  { name: 'maxima are ignored', breaks: patchCommit(withoutMax), caughtBy: 'state/commit/add-max' },
  {
    name: 'only the first check counts',
    breaks: patchCommit((commit) => ({ ...commit, checks: (commit.checks ?? []).slice(0, 1) })),
    caughtBy: 'state/commit/nothing-when-checked',
  },
  {
    name: 'at most 100 writes',
    breaks: patchCommit((commit) => ({ ...commit, set: (commit.set ?? []).slice(0, 100) })),
    caughtBy: 'state/many/beyond-a-batch',
  },
  { name: 'delete always says true', breaks: deleteAlwaysTrue, caughtBy: 'state/delete/present' },
  { name: 'increment is not atomic', breaks: additionsAsSets({ ttl: 'keep' }), caughtBy: 'state/increment/concurrent' },
  {
    name: 'increment locks its own process only',
    breaks: additionsAsSets({ ttl: 'keep', lock: true }),
    caughtBy: 'state/increment/concurrent-handles',
  },
  { name: 'increment takes text for a number', breaks: numbersFromText, caughtBy: 'state/increment/not-a-number' },
  { name: 'sums in another order', breaks: reversedSums, caughtBy: 'state/commit/all' },
  { name: 'sets before it checks', breaks: setsFirst, caughtBy: 'state/commit/nothing-when-checked' },
  { name: 'sets before it adds', breaks: setsBeforeAdding, caughtBy: 'state/commit/nothing-when-summed' },
  { name: 'key by key', breaks: keyByKey, caughtBy: 'state/commit/whole' },
  { name: 'the failing key is not told', breaks: otherKey, caughtBy: 'state/commit/check' },
  { name: 'versions begin again', breaks: ownVersions((_, count) => String(count), 'key'), caughtBy: 'state/commit/versions' },
  {
    name: 'versions are times',
    breaks: ownVersions(() => String(Math.floor(Date.now() / 1_000)), 'store'),
    caughtBy: 'state/commit/versions',
  },
]

const failures: readonly BrokenState[] = [
  { name: 'an outage reads as empty', breaks: outageReadsEmpty, caughtBy: 'state/common/outage/reads' },
  { name: 'an outage lists as empty', breaks: outageListsEmpty, caughtBy: 'state/common/outage/reads' },
  { name: 'an outage swallows writes', breaks: outageSwallowsWrites, caughtBy: 'state/common/outage/writes' },
  { name: 'a cache a process', breaks: cached, caughtBy: 'state/handles/at-once' },
]

export const brokenStates: readonly BrokenState[] = [...values, ...keys, ...listings, ...lifetimes, ...commits, ...failures]

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function reserialised(text: string): string {
  return JSON.stringify(JSON.parse(text))
}

function sortedKeys(text: string): string {
  return JSON.stringify(JSON.parse(text), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => byUnits(a, b)))
      : value,
  )
}

function wellFormed(text: string): string {
  return text.replace(/\\u[dD][89a-fA-F][0-9a-fA-F]{2}/g, '\ufffd')
}

function withBytes(change: (bytes: Uint8Array) => StateValue): Break {
  return (backend) =>
    over(backend, {
      commit: (space, commit) => {
        const set = commit.set?.map((item) => (typeof item.value === 'string' ? item : { ...item, value: change(item.value) }))
        return backend.commit(space, { ...commit, ...(set && { set }) })
      },
    })
}

function cutAtZero(bytes: Uint8Array): Uint8Array {
  const zero = bytes.indexOf(0)
  return zero > 0 ? bytes.slice(0, zero) : bytes
}

function hiding(hidden: (text: string) => boolean): Break {
  return (backend) =>
    over(backend, {
      get: async (space, keys) => {
        const entries = await backend.get(space, keys)
        return entries.map((entry) => (entry && hidden(textOf(entry.value)) ? undefined : entry))
      },
    })
}

function liveReferences(backend: StateBackend): StateBackend {
  const live = new Map<string, StateEntry>()
  return over(backend, {
    get: async (space, keys) => {
      const entries = await backend.get(space, keys)
      return entries.map((entry, i) => {
        if (entry === undefined) return undefined
        const name = `${space}\0${keys[i]}`
        const known = live.get(name)
        if (known?.version === entry.version) return known
        live.set(name, entry)
        return entry
      })
    },
  })
}

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function joinedNames(backend: StateBackend): StateBackend {
  const joined = renamed(
    (key, space) => `${space}:${key}`,
    () => '',
  )(backend)
  return over(joined, {
    scan: async (space, scan) => {
      const all = await readAll(backend, '')
      const found = all.filter((key) => key.startsWith(`${space}:`)).map((key) => key.slice(space.length + 1))
      return found
        .filter((key) => key.startsWith(scan.prefix) && (scan.after === undefined || key > scan.after))
        .slice(0, scan.limit)
    },
  })
}

function answersSorted(backend: StateBackend): StateBackend {
  return over(backend, { get: (space, keys) => backend.get(space, keys.toSorted()) })
}

// ── Listings ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A scan that sorts the keys chosen from all of the space, and pages by comparing with the last one. */
function scanning(choose: (all: string[], scan: StateScan) => string[], compare = compareBytes): Break {
  return (backend) =>
    over(backend, {
      scan: async (space, scan) => {
        const found = choose(await readAll(backend, space), scan).toSorted(compare)
        return found.filter((key) => scan.after === undefined || compare(key, scan.after) > 0).slice(0, scan.limit)
      },
    })
}

function byUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function like(all: string[], { prefix }: StateScan): string[] {
  const source = prefix
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.')
  return all.filter((key) => new RegExp(`^${source}`, 'su').test(key))
}

function startsAlike(prefix: string): (key: string) => boolean {
  return (key) => key.toLowerCase().startsWith(prefix.toLowerCase())
}

function nextCharacter(all: string[], { prefix }: StateScan): string[] {
  if (prefix === '') return all
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
  return all.filter((key) => key >= prefix && key < end)
}

function patchScan(change: (scan: StateScan) => StateScan | undefined): Break {
  return (backend) =>
    over(backend, {
      scan: async (space, scan) => {
        const changed = change(scan)
        return changed === undefined ? [] : backend.scan(space, changed)
      },
    })
}

function inclusiveScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => {
      const keys = await backend.scan(space, scan)
      return scan.after === undefined ? keys : [scan.after, ...keys].slice(0, scan.limit)
    },
  })
}

function lossyScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => (await backend.scan(space, scan)).slice(scan.after === undefined ? 0 : 1),
  })
}

function weighedScan(backend: StateBackend): StateBackend {
  return over(backend, {
    scan: async (space, scan) => {
      const keys = await backend.scan(space, scan)
      const entries = await backend.get(space, keys)
      let bytes = 0
      return keys.filter((_, i) => (bytes += entries[i]?.value.length ?? 0) <= 1_048_576)
    },
  })
}

// ── Lifetimes ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Ttl = number | 'keep' | undefined

function withTtl(change: (ttlMs: Ttl) => Ttl): Break {
  return patchCommit((commit) => ({ ...commit, set: (commit.set ?? []).map((item) => ({ ...item, ttlMs: change(item.ttlMs) })) }))
}

function wholeSeconds(ttlMs: Ttl): Ttl {
  return typeof ttlMs === 'number' ? Math.max(1, Math.floor(ttlMs / 1_000)) * 1_000 : ttlMs
}

// ── Commits ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function patchCommit(change: (commit: StateCommit) => StateCommit): Break {
  return (backend) => over(backend, { commit: (space, commit) => backend.commit(space, change(commit)) })
}

function withoutAbsence(commit: StateCommit): StateCommit {
  return { ...commit, checks: (commit.checks ?? []).filter((check) => check.version !== null) }
}

function withoutMax(commit: StateCommit): StateCommit {
  return { ...commit, add: (commit.add ?? []).map(({ key, by }) => ({ key, by })) }
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

/** Reads, adds and writes in three steps, one addition at a time. */
function additionsAsSets({ ttl, lock = false }: { ttl: 'keep' | 'dropped'; lock?: boolean }): Break {
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
        if (commit.add?.length !== 1) return backend.commit(space, commit)
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

// ── Failures ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
