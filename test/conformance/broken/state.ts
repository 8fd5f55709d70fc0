/** State backends that each break one thing, and the case that must notice. */
import { brokenCommits } from './state/commits.ts'
import { brokenFailures } from './state/failures.ts'
import { brokenKeys } from './state/keys.ts'
import { brokenLifetimes } from './state/lifetimes.ts'
import { brokenListings } from './state/listings.ts'
import { brokenValues } from './state/values.ts'
import type { BrokenState } from './state/wrappers.ts'

export const brokenStates: readonly BrokenState[] = [
  ...brokenValues,
  ...brokenKeys,
  ...brokenListings,
  ...brokenLifetimes,
  ...brokenCommits,
  ...brokenFailures,
]
