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
import type * as FastCheck from 'fast-check'
import type { FieldType, Filter, FilterCapabilities } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import type { Harness } from '../case.ts'
import { eventually, PROBE } from '../knowledge/support.ts'

export interface PropertyOptions {
  /** Random programs to try. Default 100. */
  readonly runs?: number | undefined
  /** Repeats the programs of an earlier run, whose failure names it. Default: random. */
  readonly seed?: number | undefined
}

type Fc = typeof FastCheck
type Metadata = Readonly<Record<string, unknown>>
type Scalar = string | number | boolean | null

export type Oracle = (filter: Filter) => (metadata: Metadata) => boolean

const NUMBERS = [0, 1, 2, -1, 0.5, 1e15]
const STRINGS = ['', 'a', 'b', 'B', 'ab', '1', 'é', 'true', 'null', '%']

/** The documents that match each filter, through search, are those that mingo says. Rejects with the smallest counterexample. */
export async function filterProperty(harness: Harness<KnowledgeStore>, options: PropertyOptions = {}): Promise<void> {
  const [fc, oracle] = [await import('fast-check'), await mingoOracle()]
  await withStore(harness, async (store) => {
    const arbitraries = filterArbitraries(fc, store.capabilities.filter)
    let run = 0
    const property = fc.asyncProperty(
      fc.array(arbitraries.metadata, { minLength: 1, maxLength: 8 }),
      fc.array(arbitraries.filter, { minLength: 1, maxLength: 5 }),
      async (documents, filters) =>
        checkFilters(store, `run-${run++}`, { documents, filters, fields: arbitraries.fields, oracle }),
    )
    await fc.assert(property, { numRuns: options.runs ?? 100, ...(options.seed === undefined ? {} : { seed: options.seed }) })
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

/** Opens one store for all runs, and closes and disposes of it afterwards. */
export async function withStore(harness: Harness<KnowledgeStore>, work: (store: KnowledgeStore) => Promise<void>): Promise<void> {
  const store = await harness.open()
  try {
    await work(store)
  } finally {
    await store.close()
    await harness.dispose?.(store)
  }
}

/** mingo as the judge of the contract's filters. */
export async function mingoOracle(): Promise<Oracle> {
  const { Query } = await import('mingo')
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

interface FilterArbitraries {
  readonly metadata: FastCheck.Arbitrary<Metadata>
  readonly filter: FastCheck.Arbitrary<Filter>
  readonly fields: Readonly<Record<string, FieldType>>
}

/** What a backend of these capabilities must answer. Where fields are declared, each has one type; else they hold anything. */
export function filterArbitraries(fc: Fc, capabilities: FilterCapabilities): FilterArbitraries {
  const scalars: Scalar[] = [...NUMBERS, ...STRINGS, true, false]
  if (capabilities.declared) {
    const [number, string, boolean] = [fc.constantFrom<Scalar>(...NUMBERS), fc.constantFrom<Scalar>(...STRINGS), fc.boolean()]
    return {
      metadata: fc.record({ n: number, s: string, b: boolean }, { requiredKeys: [] }),
      filter: logic(
        fc,
        fc.oneof(condition(fc, 'n', number, capabilities), condition(fc, 's', string, capabilities), equality(fc, 'b', boolean)),
      ),
      fields: { n: 'number', s: 'string', b: 'boolean' },
    }
  }
  const scalar = fc.constantFrom<Scalar>(...scalars, ...(capabilities.null ? [null] : []))
  const value = capabilities.arrays ? fc.oneof({ weight: 3, arbitrary: scalar }, fc.array(scalar, { maxLength: 3 })) : scalar
  const holder = capabilities.nested ? fc.oneof(fc.record({ k: value }, { requiredKeys: [] }), scalar) : scalar
  const names = ['x', 'y', ...(capabilities.nested ? ['o.k'] : [])]
  return {
    metadata: fc.record({ x: value, y: value, o: holder }, { requiredKeys: [] }),
    filter: logic(fc, fc.oneof(...names.map((name) => condition(fc, name, scalar, capabilities)))),
    fields: {},
  }
}

function equality(fc: Fc, field: string, scalar: FastCheck.Arbitrary<Scalar>): FastCheck.Arbitrary<Filter> {
  const list = fc.array(scalar, { maxLength: 3 })
  const operators = fc.oneof(
    scalar,
    scalar.map(($eq) => ({ $eq })),
    scalar.map(($ne) => ({ $ne })),
    list.map(($in) => ({ $in })),
    list.map(($nin) => ({ $nin })),
  )
  return operators.map((operator) => ({ [field]: operator }))
}

function condition(
  fc: Fc,
  field: string,
  scalar: FastCheck.Arbitrary<Scalar>,
  capabilities: FilterCapabilities,
): FastCheck.Arbitrary<Filter> {
  const ordered = scalar.filter((value) => typeof value === 'number' || typeof value === 'string')
  const comparison = fc
    .tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), ordered)
    .map(([name, operand]) => ({ [name]: operand }))
  const range = fc.tuple(comparison, comparison).map(([one, two]) => ({ ...one, ...two }))
  const operators: FastCheck.Arbitrary<Filter>[] = [comparison, range, comparison.map(($not) => ({ $not }))]
  if (capabilities.exists) operators.push(fc.boolean().map(($exists) => ({ $exists })))
  return fc.oneof(
    equality(fc, field, scalar),
    fc.oneof(...operators).map((operator) => ({ [field]: operator })),
  )
}

/** Conditions, combined by logical operators to some depth. */
function logic(fc: Fc, leaf: FastCheck.Arbitrary<Filter>): FastCheck.Arbitrary<Filter> {
  const { tree } = fc.letrec<{ tree: Filter }>((tie) => {
    const branches = fc.array(tie('tree'), { minLength: 1, maxLength: 3 })
    return {
      tree: fc.oneof(
        { maxDepth: 3 },
        { weight: 4, arbitrary: leaf },
        { weight: 1, arbitrary: fc.tuple(leaf, leaf).map(([one, two]) => ({ ...one, ...two })) },
        { weight: 1, arbitrary: branches.map(($and) => ({ $and })) },
        { weight: 1, arbitrary: branches.map(($or) => ({ $or })) },
        { weight: 1, arbitrary: tie('tree').map(($not) => ({ $not })) },
      ),
    }
  })
  return tree
}
