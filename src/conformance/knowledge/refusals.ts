/** What a write refuses, whole: wrong embeddings, ids, metadata and documents, and what exceeds a limit. */
import assert from 'node:assert/strict'
import { isHoldfastError } from '../../errors.ts'
import type { Distance, NewDocument } from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import { BAD_IDS, BAD_JSON, NON_STRINGS } from '../hostile.ts'
import { contents, doc, DOCS, eventually, read, refuses, seed, WRONG, type KnowledgeCase } from './support.ts'

export const refusalCases: readonly KnowledgeCase[] = [
  {
    id: 'knowledge/write/bad-embeddings',
    sentence:
      'A wrong dimension, NaN, Infinity or anything but numbers as an embedding is refused, and nothing of the batch is written.',
    async run({ store }) {
      await seed(store, [])
      const embeddings = [
        [1, 2],
        [1, 2, 3, 4],
        [],
        [1, Number.NaN, 0],
        [1, Number.POSITIVE_INFINITY, 0],
        ['1', '2', '3'],
        '1,2,3',
        [1, null, 0],
      ]
      // 1e39 is finite as a double and infinite as the 32-bit float that is stored.
      for (const embedding of [...embeddings, [1e39, 0, 0], new Float32Array(2), new Float32Array([Number.NaN, 0, 0])]) {
        await refusesWrites(store, { embedding } as Partial<NewDocument>, `embedding ${JSON.stringify(embedding)}`)
      }
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/write/zero-vector',
    sentence:
      'A zero vector is refused under cosine, where it has no direction, and elsewhere is a vector like any other, or `UNSUPPORTED`.',
    async run({ store }) {
      await seed(store, [])
      await refusesWrites(store, { embedding: [0, 0, 0] }, 'a zero vector under cosine')
      // As 32-bit floats these are zero.
      await refusesWrites(store, { embedding: [1e-60, 0, 0] }, 'a vector that vanishes under cosine')
      for (const distance of ['euclidean', 'dot'] satisfies Distance[]) {
        const written = await seed(store, [doc('a', { embedding: [0, 0, 0] })], { distance }, distance).then(
          () => true,
          (error: unknown) => (isHoldfastError(error, 'UNSUPPORTED') ? false : Promise.reject(error)),
        )
        if (written) assert.deepEqual((await read(store, 'a', distance)).embedding, new Float32Array(3))
        else assert.equal((await contents(store, distance)).size, 0)
      }
    },
  },
  {
    id: 'knowledge/write/bad-ids',
    sentence: 'Ids are 1 to 512 bytes of well-formed Unicode without U+0000; anything else is refused with its whole batch.',
    async run({ store }) {
      await seed(store, [])
      for (const id of [...BAD_IDS.map(([, id]) => id), ...NON_STRINGS]) {
        await refusesWrites(store, { id } as Partial<NewDocument>, `id ${String(id)}`)
      }
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/write/bad-metadata',
    sentence:
      'Metadata that JSON cannot hold is refused with the path of what does not fit, and nothing of the batch is written.',
    async run({ store }) {
      await seed(store, [])
      for (const [what, value] of Object.entries(BAD_JSON))
        await refusesWrites(store, { metadata: { x: [value] } }, `metadata with ${what}`)
      for (const metadata of [[1], 'x', null, 7, new Map()]) {
        await refusesWrites(store, { metadata } as unknown as Partial<NewDocument>, `metadata ${JSON.stringify(metadata)}`)
      }
      const nested = store.insert(DOCS, [doc('a', { metadata: { deep: { odd: 1n } } })])
      assert.match(
        String(await refuses('INVALID_ARGUMENT', nested, 'a nested BigInt')),
        /deep\.odd/,
        'the message must name the path',
      )
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/write/bad-documents',
    sentence: 'Documents without content, with a wrong time, or that are no documents are refused.',
    async run({ store }) {
      await seed(store, [])
      for (const bad of [{ content: undefined }, { content: 7 }, { createdAt: new Date(Number.NaN) }, { createdAt: 5 }]) {
        await refusesWrites(store, bad as Partial<NewDocument>, JSON.stringify(bad))
      }
      for (const batch of [undefined, doc('a'), [null], ['a']]) {
        await refuses(WRONG, store.insert(DOCS, batch as unknown as NewDocument[]), `a batch of ${JSON.stringify(batch)}`)
      }
      assert.equal((await contents(store)).size, 0)
    },
  },
  {
    id: 'knowledge/write/declared-fields',
    sentence:
      'The values of declared fields are checked on write; a field may be left out or null, and others may hold anything.',
    async run({ store }) {
      await seed(store, [], { fields: { year: 'number', lang: 'string', ok: 'boolean' } })
      for (const metadata of [{ year: '2024' }, { year: true }, { lang: 7 }, { ok: 1 }, { ok: 'true' }, { year: { n: 1 } }]) {
        await refusesWrites(store, { metadata }, `metadata ${JSON.stringify(metadata)}`)
      }
      await store.insert(DOCS, [
        doc('a', { metadata: { year: 2024, other: { any: ['thing'] } } }),
        doc('b'),
        doc('c', { metadata: { year: null } }),
      ])
      await eventually(store, async () => assert.equal((await contents(store)).size, 3))
    },
  },
  {
    id: 'knowledge/write/limits',
    sentence: 'Content and metadata beyond the declared limits are VALUE_TOO_LARGE, and nothing of the batch is written.',
    skip: ({ limits }) =>
      limits.contentBytes === undefined && limits.jsonBytes === undefined ? 'no limit is declared' : undefined,
    async run({ store }) {
      await seed(store, [])
      const { contentBytes, jsonBytes } = store.limits
      const tooLarge: Partial<NewDocument>[] = []
      // Two bytes a character: a limit counted in characters would let these through.
      if (contentBytes !== undefined) tooLarge.push({ content: 'é'.repeat(Math.floor(contentBytes / 2) + 1) })
      if (jsonBytes !== undefined) tooLarge.push({ metadata: { x: 'é'.repeat(Math.floor(jsonBytes / 2)) } })
      for (const extra of tooLarge) {
        await refuses('VALUE_TOO_LARGE', store.insert(DOCS, [doc('ok'), doc('big', extra)]), Object.keys(extra).join())
        await refuses('VALUE_TOO_LARGE', store.upsert(DOCS, [doc('ok'), doc('big', extra)]), Object.keys(extra).join())
      }
      assert.equal((await contents(store)).size, 0)
    },
  },
]

/** Both writes refuse a batch with one bad document in it. */
async function refusesWrites(store: KnowledgeStore, extra: Partial<NewDocument>, what: string): Promise<void> {
  const batch = [doc('good'), doc('bad', extra)]
  await refuses(WRONG, store.insert(DOCS, batch), `insert with ${what}`)
  await refuses(WRONG, store.upsert(DOCS, batch), `upsert with ${what}`)
}
