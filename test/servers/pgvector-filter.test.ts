/** Filters on Postgres mean what `matches` says, also of strings that the server cannot hold, and of names that it must not mistake. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Filter } from '../../src/knowledge/contract.ts'
import { matches, parseFilter } from '../../src/knowledge/filter.ts'
import { withService } from '../services.ts'
import { open } from './postgres-places.ts'

const RUNS = Number(process.env['HOLDFAST_RUNS'] ?? 120)
const ALL = { exists: true, null: true, arrays: true, nested: true, declared: false }

const STRINGS = [
  '',
  'a',
  'a\0',
  'a\u0001',
  'a\0b',
  '\0',
  '\ud800',
  'a\ud800',
  '\ud83d\ude00',
  '\udbff\udfff',
  '\udc00',
  '\uffff',
  '\ue000',
  '\ud7ff',
  '~',
  '{"~":"0061"}',
]
const LONG = 'n'.repeat(300)
const NAMES = ['x', 'y', '~', '"', '\\', '$a', '', 'a.b', 'x.y', '__proto__', '*', '[*]', '@', '\0', '\ud800', LONG, 'é', '1']
const NUMBERS = [0, -0, 1, -1, 1.5, 1e21, -1e308, 1.7976931348623157e308, 5e-324, 9007199254740991, 0.1 + 0.2, 0.3]

const scalar = fc.constantFrom<unknown>(...STRINGS, ...NUMBERS, true, false, null)
const { value: metadataValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    { weight: 4, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 3 }) },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.tuple(fc.constantFrom(...NAMES), tie('value')), { maxLength: 3 })
        .map((entries) => Object.fromEntries(entries)),
    },
  ),
}))
const metadata = fc
  .array(fc.tuple(fc.constantFrom(...NAMES), metadataValue), { maxLength: 4 })
  .map((entries) => Object.fromEntries(entries))

const isPlain = (text: string): boolean => text.isWellFormed() && !text.includes('\0')
const part = fc.constantFrom(...NAMES.filter((name) => name !== '' && isPlain(name)))
const field = fc
  .array(part, { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('.'))
  .filter((name) => !name.startsWith('$'))
const operand = fc.oneof(fc.constantFrom<unknown>(...STRINGS.filter(isPlain), ...NUMBERS, true, false, null))
const ordered = operand.filter((value) => typeof value === 'string' || typeof value === 'number')
const condition = fc.oneof(
  operand.map(($eq) => ({ $eq })),
  operand.map(($ne) => ({ $ne })),
  fc.tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), ordered).map(([name, value]) => ({ [name]: value })),
  fc.array(operand, { maxLength: 4 }).map(($in) => ({ $in })),
  fc.array(operand, { maxLength: 4 }).map(($nin) => ({ $nin })),
  fc.boolean().map(($exists) => ({ $exists })),
)
const leaf = fc.tuple(field, condition).map(([name, value]): Filter => Object.fromEntries([[name, value]]))
const filter = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 1, arbitrary: leaf.map(($not) => ({ $not })) },
  { weight: 1, arbitrary: fc.array(leaf, { minLength: 1, maxLength: 3 }).map(($or) => ({ $or })) },
  { weight: 1, arbitrary: fc.array(leaf, { minLength: 1, maxLength: 3 }).map(($and) => ({ $and: [{ $not: { $and } }] })) },
)

withService('postgres', 'pgvector', (service) => {
  it('matches what the contract says of any metadata', { timeout: 300_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 1, distance: 'dot' })
    const property = fc.asyncProperty(
      fc.array(metadata, { minLength: 1, maxLength: 12 }),
      fc.array(filter, { minLength: 1, maxLength: 6 }),
      async (documents, filters) => {
        await at.store.delete('c', { filter: {} })
        await at.store.insert(
          'c',
          documents.map((each, i) => ({ id: `d${i}`, content: '', embedding: [1], metadata: each })),
        )
        for (const each of filters) {
          const node = parseFilter(each, ALL)!
          const expected = documents.flatMap((document, i) => (matches(node, document) ? [`d${i}`] : [])).toSorted()
          const found = (await at.store.list('c', { filter: each, limit: 100 })).items.map(({ id }) => id)
          expect(found, JSON.stringify(each)).toEqual(expected)
        }
      },
    )
    await fc.assert(property, { numRuns: RUNS })
  })

  it('gives metadata back byte for byte', async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 1, distance: 'dot' })
    const documents = fc
      .sample(metadata, { numRuns: 300, seed: 7 })
      .map((each, i) => ({ id: `d${i}`, content: '', embedding: [1], metadata: each }))
    await at.store.insert('c', documents)
    const { items } = await at.store.list('c', { limit: 1_000 })
    const texts = new Map(items.map((each) => [each.id, JSON.stringify(each.metadata)]))
    for (const { id, metadata: sent } of documents) expect(texts.get(id)).toBe(JSON.stringify(sent))
  })

  it('takes filters of very many values and branches, and refuses what is beyond all measure', { timeout: 120_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 1, distance: 'dot' })
    await at.store.insert('c', [{ id: 'a', content: '', embedding: [1], metadata: { n: 19_999 } }])
    const values = Array.from({ length: 20_000 }, (_, i) => i)
    expect(await at.store.count('c', { n: { $in: values } })).toBe(1)
    expect(await at.store.count('c', { n: { $nin: values } })).toBe(0)
    expect(await at.store.count('c', { $or: values.map((n) => ({ n })) })).toBe(1)
    let deep: Filter = { n: 19_999 }
    for (let i = 0; i < 30; i++) deep = { $not: deep }
    expect(await at.store.count('c', deep)).toBe(1)
    await expect(at.store.count('c', { n: { $in: Array.from({ length: 60_000 }, (_, i) => i) } })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
  })
})
