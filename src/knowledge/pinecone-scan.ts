/** All ids of a namespace, however many: a query gives at most 10,000 records, and there is nothing to go on from. */
import type { FreshPinecone } from '../engines/pinecone-fresh.ts'
import { digest, type PineconeFilter, type PineconePlace } from '../engines/pinecone.ts'
import type { BackendCall } from '../store/contract.ts'

/** Docs, "Operation limits". */
const MAX_TOP_K = 10_000
const SHARDS = 2 ** 32

/** A number from 0 to 2^32 that the id decides, kept as `_h`: ranges of it cut a namespace into parts of about one size. */
export function shardOf(id: string): number {
  return Buffer.from(digest(id), 'base64url').readUInt32BE(0)
}

/**
 * The ids of all records that match. A query gives at most 10,000: where it gives that many, the range of `_h` is cut in two until each
 * part has fewer.
 */
export async function scanIds(
  fresh: FreshPinecone,
  place: PineconePlace,
  filter: PineconeFilter | undefined,
  call: BackendCall | undefined,
  [from, to]: readonly [number, number] = [0, SHARDS],
): Promise<string[]> {
  const isAll = from === 0 && to === SHARDS
  const range = isAll ? [] : [{ _h: { $gte: from } }, { _h: { $lt: to } }]
  const conditions = [...(filter === undefined ? [] : [filter]), ...range]
  const query = { topK: MAX_TOP_K, ...(conditions.length === 0 ? {} : { filter: { $and: conditions } }) }
  const matches = await fresh.query(place, query, call)
  if (matches.length < MAX_TOP_K || to - from < 2) return matches.map(({ id }) => id)
  const middle = Math.floor((from + to) / 2)
  const half = (range: readonly [number, number]): Promise<string[]> => scanIds(fresh, place, filter, call, range)
  return [...(await half([from, middle])), ...(await half([middle, to]))]
}
