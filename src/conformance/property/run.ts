/** What the property runs share. Their signatures name no type of fast-check, which is an optional peer. */
import { HoldfastError } from '../../errors.ts'
import type { Conformable, Harness } from '../case.ts'
import type { PropertyOptions } from './options.ts'

export type FastCheck = typeof import('fast-check')

/** `MISSING_CLIENT` where fast-check is not installed. */
export async function loadFastCheck(): Promise<FastCheck> {
  return import('fast-check').catch((cause: unknown) => missing('fast-check@^4', cause))
}

/** The same of mingo, the oracle of filters. */
export async function loadMingo(): Promise<typeof import('mingo')> {
  return import('mingo').catch((cause: unknown) => missing('mingo@^7', cause))
}

function missing(wanted: string, cause: unknown): never {
  throw new HoldfastError('MISSING_CLIENT', `property runs need it: npm install --save-dev ${wanted}`, { cause })
}

/** fast-check's parameters for our options. */
export function parameters({ runs = 100, seed }: PropertyOptions): { numRuns: number; seed?: number } {
  return seed === undefined ? { numRuns: runs } : { numRuns: runs, seed }
}

/** Opens one store for all runs, and closes and disposes of it afterwards. */
export async function withStore<S extends Conformable>(harness: Harness<S>, work: (store: S) => Promise<void>): Promise<void> {
  const store = await harness.open()
  try {
    await work(store)
  } finally {
    await store.close()
    await harness.dispose?.(store)
  }
}
