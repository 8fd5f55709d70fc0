/** Collections and documents for programs in any language. */
import { z } from 'zod'
import type { Document, KnowledgeStore } from '../../index.ts'
import { endpoint, type Endpoint, type Input } from '../endpoint.ts'
import { HttpProblem } from '../problem.ts'
import { entriesOf, id, jsonObject, workspace } from '../schemas/common.ts'

const MAX_PAGE = 1_000

const scope = z.strictObject({ workspace })
const collection = scope.extend({ collection: id('The collection.') })
const settings = z.strictObject({
  name: id('The collection.'),
  dimension: z.int().min(1),
  distance: z.enum(['cosine', 'euclidean', 'dot']).optional(),
  fields: entriesOf(z.enum(['string', 'number', 'boolean'])).optional(),
})
const embedding = z.array(z.number()).min(1)
const time = z.iso.datetime({ offset: true }).transform((value) => new Date(value))
const newDocuments = z.strictObject({
  documents: z
    .array(
      z.strictObject({
        id: id('The document.').optional(),
        content: z.string(),
        embedding: embedding.optional(),
        metadata: jsonObject.optional(),
        createdAt: time.optional(),
      }),
    )
    .max(10_000),
})
const filter = jsonObject.describe('A filter: { field: value }, $eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not.')
const ids = z.array(id('A document.')).max(10_000)
const document = z.looseObject({ id: z.string(), content: z.string(), metadata: z.unknown(), contentHash: z.string() })
const withEmbeddings = z.boolean().optional()

type Scope = z.output<typeof scope>

function store({ knowledge, query }: Pick<Input<Scope, unknown>, 'knowledge' | 'query'>): KnowledgeStore {
  return knowledge.workspace(query.workspace)
}

const reads = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: false })
const writes = ({ query }: { readonly query: Scope }) => ({ workspace: query.workspace, write: true })

export const KNOWLEDGE: readonly Endpoint[] = [
  endpoint({
    method: 'GET',
    path: '/v1/knowledge/collections',
    tag: 'knowledge',
    summary: 'The collections of a workspace.',
    query: scope,
    result: z.object({ items: z.array(settings) }),
    need: reads,
    run: async (input) => ({ items: await store(input).listCollections(input.call) }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/collections',
    tag: 'knowledge',
    summary: 'Creates a collection; one that is there with the same settings is fine.',
    query: scope,
    body: settings,
    result: settings,
    status: 201,
    need: writes,
    run: async (input) => {
      const { name, ...options } = input.body
      return store(input).createCollection(name, { ...options, ...input.call })
    },
  }),
  endpoint({
    method: 'GET',
    path: '/v1/knowledge/collection',
    tag: 'knowledge',
    summary: 'The settings of a collection.',
    query: collection,
    result: settings,
    need: reads,
    run: async (input) => {
      const found = await store(input).describeCollection(input.query.collection, input.call)
      if (found === undefined) throw new HttpProblem('NOT_FOUND', 'there is no such collection')
      return found
    },
  }),
  endpoint({
    method: 'DELETE',
    path: '/v1/knowledge/collection',
    tag: 'knowledge',
    summary: 'Deletes a collection with its documents.',
    query: collection,
    result: z.object({ deleted: z.boolean() }),
    need: writes,
    run: async (input) => ({ deleted: await store(input).deleteCollection(input.query.collection, input.call) }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/documents',
    tag: 'knowledge',
    summary: 'Adds documents; an id that is taken is a conflict.',
    query: collection,
    body: newDocuments,
    result: z.object({ ids: z.array(z.string()) }),
    status: 201,
    need: writes,
    run: async (input) => {
      return { ids: await store(input).insert(input.query.collection, input.body.documents, input.call) }
    },
  }),
  endpoint({
    method: 'PUT',
    path: '/v1/knowledge/documents',
    tag: 'knowledge',
    summary: 'Adds documents, or replaces them whole.',
    query: collection,
    body: newDocuments,
    result: z.object({ ids: z.array(z.string()) }),
    need: writes,
    run: async (input) => ({
      ids: await store(input).upsert(input.query.collection, input.body.documents, input.call),
    }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/documents/get',
    tag: 'knowledge',
    summary: 'Documents by their ids; those that are missing are left out.',
    query: collection,
    body: z.strictObject({ ids, withEmbeddings }),
    result: z.object({ items: z.array(document) }),
    need: reads,
    run: async (input) => {
      const options = { withEmbeddings: input.body.withEmbeddings ?? false, ...input.call }
      return { items: (await store(input).get(input.query.collection, input.body.ids, options)).map(shown) }
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/documents/list',
    tag: 'knowledge',
    summary: 'Documents, or those that match a filter, by their ids.',
    query: collection,
    body: z.strictObject({
      filter: filter.optional(),
      limit: z.int().min(1).max(MAX_PAGE).optional(),
      cursor: z.string().optional(),
      withEmbeddings,
    }),
    result: z.object({ items: z.array(document), cursor: z.string().optional() }),
    need: reads,
    run: async (input) => {
      const { items, cursor } = await store(input).list(input.query.collection, { ...input.body, ...input.call })
      return { items: items.map(shown), cursor }
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/documents/delete',
    tag: 'knowledge',
    summary: 'Deletes documents by their ids or by a filter; {} is all of them.',
    query: collection,
    body: z.union([z.strictObject({ ids }), z.strictObject({ filter })]),
    result: z.object({ deleted: z.int() }),
    need: writes,
    run: async (input) => {
      const selection = 'ids' in input.body ? { ids: input.body.ids } : { filter: input.body.filter }
      return { deleted: await store(input).delete(input.query.collection, { ...selection, ...input.call }) }
    },
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/documents/count',
    tag: 'knowledge',
    summary: 'How many documents there are, or match a filter.',
    query: collection,
    body: z.strictObject({ filter: filter.optional() }),
    result: z.object({ count: z.int() }),
    need: reads,
    run: async (input) => ({ count: await store(input).count(input.query.collection, input.body.filter, input.call) }),
  }),
  endpoint({
    method: 'POST',
    path: '/v1/knowledge/search',
    tag: 'knowledge',
    summary: 'The documents nearest to an embedding or, where the server embeds, to a text.',
    query: collection,
    body: z
      .strictObject({
        embedding: embedding.optional(),
        text: z.string().optional(),
        limit: z.int().min(1).max(10_000).optional(),
        filter: filter.optional(),
        minScore: z.number().optional(),
        withEmbeddings,
      })
      .refine((body) => (body.embedding === undefined) !== (body.text === undefined), 'takes exactly one of embedding and text'),
    result: z.object({ items: z.array(document.extend({ score: z.number() })) }),
    need: reads,
    run: async (input) => {
      const query = { ...input.body, ...input.call } as Parameters<KnowledgeStore['search']>[1]
      return { items: (await store(input).search(input.query.collection, query)).map(shown) }
    },
  }),
]

/** As JSON has no typed arrays. */
function shown({ embedding: floats, ...rest }: Document): object {
  return floats === undefined ? rest : { ...rest, embedding: Array.from(floats) }
}
