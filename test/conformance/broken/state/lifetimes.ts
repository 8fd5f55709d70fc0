/** Backends that get TTLs wrong. */
import { Deadlines } from './deadlines.ts'
import { additionsAsSets } from './commits.ts'
import { broken, patchCommit, type Break, type BrokenState } from './wrappers.ts'

export const brokenLifetimes: readonly BrokenState[] = [
  broken('expired keys are listed', 'state/expired/listings', (backend) => new Deadlines(backend, { scan: false })),
  broken('expired keys are read', 'state/expired/reads', (backend) => new Deadlines(backend, { get: false })),
  broken(
    'expired keys stand in the way of writes',
    'state/expired/writes',
    (backend) => new Deadlines(backend, { commit: false }),
  ),
  broken('TTLs live in the process', 'state/reopen/ttl', (backend) => new Deadlines(backend, {})),
  broken(
    'set drops the TTL',
    'state/ttl/value',
    withTtl((ttlMs) => (ttlMs === 'keep' ? ttlMs : undefined)),
  ),
  broken(
    'set keeps the TTL',
    'state/ttl/set-clears',
    withTtl((ttlMs) => ttlMs ?? 'keep'),
  ),
  broken(
    'keep drops the TTL',
    'state/ttl/kept',
    withTtl((ttlMs) => (ttlMs === 'keep' ? undefined : ttlMs)),
  ),
  broken(
    'TTLs in whole seconds',
    'state/ttl/fraction',
    withTtl((ttlMs) => wholeSeconds(ttlMs)),
  ),
  broken(
    'TTLs longer than a timer',
    'state/ttl/long',
    withTtl((ttlMs) => (Number(ttlMs) >= 2 ** 31 ? 1 : ttlMs)),
  ),
  broken('increment drops the TTL', 'state/ttl/kept', additionsAsSets({ ttl: 'dropped' })),
]

type Ttl = number | 'keep' | undefined

function withTtl(change: (ttlMs: Ttl) => Ttl): Break {
  return patchCommit((commit) => ({ ...commit, set: (commit.set ?? []).map((item) => ({ ...item, ttlMs: change(item.ttlMs) })) }))
}

function wholeSeconds(ttlMs: Ttl): Ttl {
  return typeof ttlMs === 'number' ? Math.max(1, Math.floor(ttlMs / 1_000)) * 1_000 : ttlMs
}
