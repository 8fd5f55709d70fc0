/**
 * Random filters over random documents, compared with mingo, an independent implementation of MongoDB's language.
 *
 * Contract and mingo agree on the documents and filters made here. They are kept apart from where the two differ:
 * - `$not` around whole filters does not exist in MongoDB: it is translated to `$nor` of one.
 * - The contract orders strings by code points, mingo by UTF-16 units: the strings made here have no surrogates.
 * - The contract does not open arrays in arrays, nor does it take indexes as names: neither is made, nor are arrays on a path.
 * - The contract refuses `$nor`, `$regex`, arrays and objects as values, and empty `$and`, `$or` and `$not`, which mingo takes.
 */
import assert from 'node:assert/strict'
import type { FieldType, Filter } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import type { Harness } from '../case.ts'
import { eventually, PROBE } from '../knowledge/support.ts'
import { filterArbitraries } from './knowledge-arbitraries.ts'
import type { Metadata, PropertyOptions } from './options.ts'
import { loadFastCheck, loadMingo, parameters, withStore } from './run.ts'

export type Oracle = (filter: Filter) => (metadata: Metadata) => boolean

/** The documents that match each filter, through search, are those that mingo says. Rejects with the smallest counterexample. */
export async function filterProperty(harness: Harness<KnowledgeStore>, options: PropertyOptions = {}): Promise<void> {
  const [fc, oracle] = [await loadFastCheck(), await mingoOracle()]
  await withStore(harness, async (store) => {
    const arbitraries = filterArbitraries(fc, store.capabilities.filter)
    let run = 0
    const property = fc.asyncProperty(
      fc.array(arbitraries.metadata, { minLength: 1, maxLength: 8 }),
      fc.array(arbitraries.filter, { minLength: 1, maxLength: 5 }),
      async (documents, filters) =>
        checkFilters(store, `run-${run++}`, { documents, filters, fields: arbitraries.fields, oracle }),
    )
    await fc.assert(property, parameters(options))
  })
}

interface FilterProgram {
  readonly documents: readonly Metadata[]
  readonly filters: readonly Filter[]
  readonly fields: Readonly<Record<string, FieldType>>
  readonly oracle: Oracle
}

async function checkFilters(store: KnowledgeStore, collection: string, program: FilterProgram): Promise<void> {
  const { documents, filters, fields, oracle } = program
  await store.createCollection(collection, { dimension: 3, fields })
  await store.insert(
    collection,
    documents.map((metadata, i) => ({ id: `d${i}`, content: '', embedding: [1, i + 1, 1], metadata })),
  )
  for (const filter of filters) {
    const holds = oracle(filter)
    const expected = documents.flatMap((metadata, i) => (holds(metadata) ? [`d${i}`] : []))
    await eventually(store, async () => {
      const hits = await store.search(collection, { embedding: PROBE, limit: 100, filter })
      assert.deepEqual(hits.map(({ id }) => id).toSorted(), expected, `wrong documents for ${JSON.stringify(filter)}`)
    })
  }
  await store.deleteCollection(collection)
}

/** mingo as the judge of the contract's filters. */
export async function mingoOracle(): Promise<Oracle> {
  const { Query } = await loadMingo()
  return (filter) => {
    const query = new Query(toMingo(filter))
    return (metadata) => query.test(metadata)
  }
}

function toMingo(filter: Filter): Filter {
  const translated = Object.entries(filter).map(([name, value]): [string, unknown] => {
    if (name === '$not') return ['$nor', [toMingo(value as Filter)]]
    return name === '$and' || name === '$or' ? [name, (value as Filter[]).map(toMingo)] : [name, value]
  })
  return Object.fromEntries(translated)
}
