/** Random documents and filters. */
import type * as FastCheck from 'fast-check'
import type { FieldType, Filter, FilterCapabilities } from '../../knowledge/contract.ts'
import type { Metadata } from './options.ts'

type Fc = typeof FastCheck
type Scalar = string | number | boolean | null

const NUMBERS = [0, 1, 2, -1, 0.5, 1e15]
const STRINGS = ['', 'a', 'b', 'B', 'ab', '1', 'é', 'true', 'null', '%']

export interface FilterArbitraries {
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
