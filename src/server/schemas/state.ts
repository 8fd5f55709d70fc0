/** What the state tier takes and gives: the backend contract of state as JSON. */
import { z } from 'zod'
import type { StateEntry, StateValue } from '../../index.ts'
import { MAX_ID_BYTES } from '../../store/text.ts'
import { base64, id, text, toBase64 } from './common.ts'

/** Keys that one request may name. */
const MAX_KEYS = 10_000
/** `w:` or the like before a name. */
const MAX_SPACE_BYTES = MAX_ID_BYTES + 8
/** The store's own marks and plugin storage put a few bytes before a key. */
const MAX_KEY_BYTES = MAX_ID_BYTES + 64

export const space = text(MAX_SPACE_BYTES, 'The state space: empty for the default workspace, `w:` and the name for another.')
const key = id('A key.', MAX_KEY_BYTES)
const version = z.string().max(256)
const ttlMs = z.number().positive().max(1e13)

/** Text as it is, bytes as `{ bytes }`. */
const value = z.union([z.string(), z.strictObject({ bytes: base64 }).transform(({ bytes }) => bytes)])

export const keys = z.array(key).max(MAX_KEYS)

export const commit = z.strictObject({
  checks: z
    .array(z.strictObject({ key, version: version.nullable() }))
    .max(MAX_KEYS)
    .optional(),
  set: z
    .array(z.strictObject({ key, value, ttlMs: z.union([ttlMs, z.literal('keep')]).optional() }))
    .max(MAX_KEYS)
    .optional(),
  delete: keys.optional(),
  add: z
    .array(z.strictObject({ key, by: z.int(), max: z.number().optional() }))
    .max(MAX_KEYS)
    .optional(),
})

export const scan = z.strictObject({
  prefix: text(MAX_SPACE_BYTES + MAX_KEY_BYTES, 'Only what begins like this.'),
  after: text(MAX_SPACE_BYTES + MAX_KEY_BYTES, 'Continue behind this.').optional(),
  limit: z.int().min(1).max(MAX_KEYS),
})

export const entries = z.array(
  z.object({ value: z.union([z.string(), z.object({ bytes: z.base64() })]), version, ttlMs: ttlMs.optional() }).nullable(),
)

export const commitResult = z.union([
  z.object({ applied: z.literal(true), deleted: z.int(), sums: z.array(z.int()) }),
  z.object({ applied: z.literal(false), reason: z.enum(['check', 'max', 'not-integer']), key: z.string() }),
])

/** No key is named twice in what is written: the contract leaves open what that would mean. */
export function writesOnce({ set = [], delete: unwanted = [], add = [] }: z.output<typeof commit>): boolean {
  const written = [...set.map((item) => item.key), ...unwanted, ...add.map((item) => item.key)]
  return new Set(written).size === written.length
}

export function fromEntry(entry: StateEntry | undefined): object | null {
  return entry === undefined ? null : { ...entry, value: fromValue(entry.value) }
}

export function fromValue(given: StateValue): string | { readonly bytes: string } {
  return typeof given === 'string' ? given : { bytes: toBase64(given) }
}
