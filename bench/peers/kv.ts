/** Key-value: the questions, the data, and what an adapter of a contender must do to take part. */
import assert from 'node:assert/strict'
import type { Adapter, Question } from './frame.ts'

export interface KvAdapter extends Adapter {
  set(key: string, value: KvValue): Promise<unknown>
  get(key: string): Promise<unknown>
  /** Every key, in any order. */
  keys(): Promise<string[]>
  /** Fills the store as fast as it can; durability does not matter here. */
  seed(entries: readonly (readonly [string, KvValue])[]): Promise<void>
}

export interface KvValue {
  readonly text: string
  readonly n: number
}

const TEXT = 'All work and no play makes a dull log line. '.repeat(24).slice(0, 1000)
const KEYS = 10_000
export const AT_ONCE = 1000

export function key(n: number): string {
  return `key-${String((n * 7919) % KEYS).padStart(6, '0')}`
}

/** About 1 KB as JSON; each differs, for SQLite does not even write a row that stays the same. */
export function value(n: number): KvValue {
  return { text: TEXT, n }
}

/** What was written is read back, or the contender does not take part. */
export async function checkKv(api: KvAdapter): Promise<void> {
  for (let n = 0; n < 10; n++) await api.set(key(n), value(n))
  await api.set(key(3), value(33))
  assert.deepEqual(await api.get(key(3)), value(33))
  assert.deepEqual(await api.get(key(4)), value(4))
  assert.deepEqual((await api.keys()).toSorted(), Array.from({ length: 10 }, (_, n) => key(n)).toSorted())
}

export async function seedKv(api: KvAdapter): Promise<void> {
  await api.seed(Array.from({ length: KEYS }, (_, n) => [key(n), value(n)] as const))
  assert.equal((await api.keys()).length, KEYS)
}

export const KV_QUESTIONS: readonly Question<KvAdapter>[] = [
  { id: 'kv-set', what: 'set 1 KB of JSON', unit: 'µs', rounds: 11, run: (api, n) => api.set(key(n), value(n + 0.5)) },
  { id: 'kv-get', what: 'get 1 KB of JSON', unit: 'µs', rounds: 11, run: (api, n) => api.get(key(n)) },
  {
    id: 'kv-concurrent',
    what: `${AT_ONCE.toLocaleString('en')} concurrent sets`,
    unit: 'ops/s',
    rounds: 7,
    atOnce: AT_ONCE,
    run: (api, n) => api.set(key(n), value(n + 0.25)),
  },
  {
    id: 'kv-list',
    what: `list ${KEYS.toLocaleString('en')} keys`,
    unit: 'ms',
    rounds: 5,
    run: async (api) => assert.equal((await api.keys()).length, KEYS),
  },
]
