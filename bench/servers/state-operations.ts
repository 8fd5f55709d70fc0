/** The operations of a state store that are compared on every service, on JSON of 1 KB. */
import type { StateStore } from '../../src/state/store.ts'
import type { Comparison } from './frame.ts'

const VALUE = { text: 'x'.repeat(1_000) }
const KEYS = 1_000
const BATCH = 100
const PAGE = 100

/** The same work with the service's own client. Values are JSON, so what is read is parsed; keys are its own affair. */
export interface StateByHand {
  ping(): Promise<unknown>
  get(key: string): Promise<unknown>
  set(key: string, value: unknown): Promise<unknown>
  setFor?(key: string, value: unknown, seconds: number): Promise<unknown>
  increment(key: string): Promise<unknown>
  /** On a key that is there. */
  setIfAbsent(key: string, value: unknown): Promise<unknown>
  setMany(entries: ReadonlyMap<string, unknown>): Promise<unknown>
  /** The same in one transaction, where that is another thing. */
  setTogether?(entries: ReadonlyMap<string, unknown>): Promise<unknown>
  getMany(keys: readonly string[]): Promise<readonly unknown[]>
  /** A page of the keys with a prefix, in order, and whether more follow. Left out where the client keeps no list of its keys. */
  scan?(prefix: string, limit: number): Promise<unknown>
}

export interface StateRounds {
  /** Of operations on one key, and of those on a hundred. */
  readonly single: number
  readonly batch: number
}

/** Both sides hold a thousand keys before the first of them runs. */
export async function stateComparisons(raw: StateByHand, store: StateStore, rounds: StateRounds): Promise<Comparison[]> {
  for (let at = 0; at < KEYS; at += BATCH) {
    const entries = entriesOf(Array.from({ length: BATCH }, (_, i) => key(at + i)))
    await raw.setMany(entries)
    await store.setMany(entries)
  }
  return [...onOne(raw, store, rounds.single), ...onMany(raw, store, rounds.batch)]
}

type Work = (round: number) => unknown

function pair(what: string, rounds: number, hand: Work, ours: Work): Comparison {
  return {
    what,
    rounds,
    contenders: [
      { name: 'by hand', run: hand },
      { name: 'holdfast', run: ours },
    ],
  }
}

/** Of one length, and so `k` is the prefix of a thousand. */
function key(round: number): string {
  return `k${String(round % KEYS).padStart(3, '0')}`
}

function entriesOf(keys: readonly string[]): Map<string, unknown> {
  return new Map(keys.map((each) => [each, VALUE]))
}

function onOne(raw: StateByHand, store: StateStore, rounds: number): Comparison[] {
  const on = (what: string, hand: Work, ours: Work): Comparison => pair(what, rounds, hand, ours)
  const { setFor, scan } = raw
  const all = [
    on('ping', raw.ping, () => store.ping()),
    on(
      'get',
      (i) => raw.get(key(i)),
      (i) => store.get(key(i)),
    ),
    on(
      'set',
      (i) => raw.set(key(i), VALUE),
      (i) => store.set(key(i), VALUE),
    ),
    setFor &&
      on(
        'set with TTL',
        (i) => setFor(`t${i % 100}`, VALUE, 60),
        (i) => store.set(`t${i % 100}`, VALUE, { ttl: 60 }),
      ),
    on(
      'increment',
      () => raw.increment('n'),
      () => store.increment('n'),
    ),
    on(
      'setIfAbsent, taken',
      () => raw.setIfAbsent(key(1), VALUE),
      () => store.setIfAbsent(key(1), VALUE),
    ),
    scan &&
      on(
        `scan a page of ${PAGE}`,
        () => scan('k', PAGE),
        () => store.scan({ prefix: 'k', limit: PAGE }),
      ),
  ]
  return all.filter((each) => each !== undefined)
}

function onMany(raw: StateByHand, store: StateStore, rounds: number): Comparison[] {
  const keys = Array.from({ length: BATCH }, (_, i) => `b${i}`)
  const entries = entriesOf(keys)
  const { setTogether } = raw
  const all = [
    pair(
      `setMany of ${BATCH}`,
      rounds,
      () => raw.setMany(entries),
      () => store.setMany(entries),
    ),
    setTogether &&
      pair(
        `setMany of ${BATCH}, both in one transaction`,
        rounds,
        () => setTogether(entries),
        () => store.setMany(entries),
      ),
    pair(
      `getMany of ${BATCH}`,
      rounds,
      () => raw.getMany(keys),
      () => store.getMany(keys),
    ),
  ]
  return all.filter((each) => each !== undefined)
}
