/** The errors that knowledge backends have in common, in the same words. */
import { HoldfastError } from '../errors.ts'
import { jsonEquals } from '../store/json.ts'
import type { CollectionRecord } from './contract.ts'

export function collectionMissing(name: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `there is no collection ${JSON.stringify(name)}; create it first`, {
    outcome: 'not-applied',
  })
}

export function documentTaken(collection: string, id: string): HoldfastError {
  const message = `the id ${JSON.stringify(id)} exists in the collection ${JSON.stringify(collection)}`
  return new HoldfastError('CONFLICT', message, { outcome: 'not-applied' })
}

/** `CONFLICT` where an existing collection's settings are not those wanted. */
export function checkSameSettings(existing: CollectionRecord, wanted: CollectionRecord): void {
  const names = (['dimension', 'distance', 'fields'] as const).filter((name) => !jsonEquals(existing[name], wanted[name]))
  if (names.length === 0) return
  throw new HoldfastError('CONFLICT', `the collection ${JSON.stringify(wanted.name)} exists with other ${names.join(' and ')}`, {
    outcome: 'not-applied',
  })
}

/** `CONFLICT` where the collection that a call was checked against has meanwhile made room for one with other vectors. */
export function checkNotRecreated(
  now: Pick<CollectionRecord, 'dimension' | 'distance'>,
  { name, dimension, distance }: CollectionRecord,
): void {
  if (now.dimension === dimension && now.distance === distance) return
  throw new HoldfastError('CONFLICT', `the collection ${JSON.stringify(name)} was created anew with other settings meanwhile`, {
    outcome: 'not-applied',
  })
}
