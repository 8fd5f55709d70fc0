/** The backend tier of knowledge. */
import { z } from 'zod'
import { HoldfastError, type BackendCall, type CollectionRecord, type KnowledgeBackend } from '../../index.ts'
import { EVERYTHING } from '../access.ts'
import type { Endpoint } from '../endpoint.ts'
import { checkFilter } from '../filters.ts'
import { workspace } from '../schemas/common.ts'
import { workspaceQuery } from '../schemas/conversation.ts'
import * as schema from '../schemas/knowledge.ts'
import { withinLimits } from '../sizes.ts'
import { methodOf, unable, type MethodSpec } from './backends.ts'

const knowledge = <B extends z.ZodObject>(spec: Omit<MethodSpec<B, KnowledgeBackend>, 'need'>): Endpoint =>
  methodOf('knowledge', { ...spec, need: (body) => ({ workspace: (body as { workspace: string }).workspace }) })

const { collectionName: name, collectionRecord: collection } = schema
const documents = z.array(z.unknown())

/** What a client says of a collection must be what is stored: an engine believes it. */
async function verified(
  backend: KnowledgeBackend,
  workspace: string,
  given: CollectionRecord,
  call: BackendCall,
): Promise<CollectionRecord> {
  const stored = await backend.describeCollection(workspace, given.name, call)
  const same = stored?.dimension === given.dimension && stored.distance === given.distance
  if (stored !== undefined && same) return stored
  throw new HoldfastError('NOT_FOUND', 'there is no such collection with these settings', { outcome: 'not-applied' })
}

function fitting(embeddings: readonly Float32Array[], { dimension }: CollectionRecord): void {
  if (embeddings.every(({ length }) => length === dimension)) return
  throw new HoldfastError('INVALID_ARGUMENT', `embeddings must have ${dimension} numbers`, { outcome: 'not-applied' })
}

export const KNOWLEDGE_METHODS: readonly Endpoint[] = [
  knowledge({
    name: 'createCollection',
    mode: 'idempotent',
    summary: 'Creates a collection.',
    body: z.strictObject({ workspace, collection }),
    result: z.null(),
    run: (backend, body, call) => {
      withinLimits(backend.limits, { dimension: body.collection.dimension })
      return backend.createCollection(body.workspace, body.collection, call)
    },
  }),
  knowledge({
    name: 'describeCollection',
    mode: 'read',
    summary: 'The settings of a collection.',
    body: z.strictObject({ workspace, name }),
    result: z.unknown(),
    run: (backend, body, call) => backend.describeCollection(body.workspace, body.name, call),
  }),
  knowledge({
    name: 'listCollections',
    mode: 'read',
    summary: 'The collections of a workspace.',
    body: z.strictObject({ workspace }),
    result: z.array(z.unknown()),
    run: (backend, body, call) => backend.listCollections(body.workspace, call),
  }),
  knowledge({
    name: 'deleteCollection',
    mode: 'write',
    summary: 'Deletes a collection with its documents.',
    body: z.strictObject({ workspace, name }),
    result: z.boolean(),
    run: (backend, body, call) => backend.deleteCollection(body.workspace, body.name, call),
  }),
  knowledge({
    name: 'write',
    mode: 'write',
    summary: 'Inserts or upserts documents.',
    body: z.strictObject({ workspace, collection, documents: schema.documentRecords, mode: z.enum(['insert', 'upsert']) }),
    result: z.null(),
    run: async (backend, { workspace, collection, documents, mode }, call) => {
      const contentBytes = documents.map(({ content }) => content)
      const jsonBytes = documents.map(({ metadata }) => metadata)
      withinLimits(backend.limits, { batch: documents.length, contentBytes, jsonBytes })
      const stored = await verified(backend, workspace, collection, call)
      const embeddings = documents.map(({ embedding }) => embedding)
      fitting(embeddings, stored)
      await backend.write(workspace, stored, documents, mode, call)
    },
  }),
  knowledge({
    name: 'get',
    mode: 'read',
    summary: 'Documents by their ids.',
    body: z.strictObject({ workspace, collection, ids: schema.documentIds, withEmbeddings: z.boolean() }),
    result: documents,
    run: async (backend, body, call) => {
      withinLimits(backend.limits, { batch: body.ids.length })
      const stored = await verified(backend, body.workspace, body.collection, call)
      const found = (await backend.get?.(body.workspace, stored, body.ids, body.withEmbeddings, call)) ?? unable('get')
      return found.map(schema.fromDocument)
    },
  }),
  knowledge({
    name: 'delete',
    mode: 'write',
    summary: 'Deletes documents by their ids or by a filter.',
    body: z.strictObject({ workspace, collection, selection: schema.selection }),
    result: z.int(),
    run: async (backend, { workspace, collection, selection }, call) => {
      const stored = await verified(backend, workspace, collection, call)
      if ('filter' in selection) checkFilter(selection.filter, backend.capabilities.filter, stored)
      return backend.delete(workspace, stored, selection, call)
    },
  }),
  knowledge({
    name: 'count',
    mode: 'read',
    summary: 'How many documents there are, or match.',
    body: z.strictObject({ workspace, collection, filter: schema.filterNode.optional() }),
    result: z.int(),
    run: async (backend, body, call) => {
      const stored = await verified(backend, body.workspace, body.collection, call)
      checkFilter(body.filter, backend.capabilities.filter, stored)
      return backend.count?.(body.workspace, stored, body.filter, call) ?? unable('count')
    },
  }),
  knowledge({
    name: 'list',
    mode: 'read',
    summary: 'Documents in bytewise order of their ids.',
    body: z.strictObject({ workspace, collection, query: schema.listQuery }),
    result: documents,
    run: async (backend, body, call) => {
      const stored = await verified(backend, body.workspace, body.collection, call)
      checkFilter(body.query.filter, backend.capabilities.filter, stored)
      const found = (await backend.list?.(body.workspace, stored, body.query, call)) ?? unable('list')
      return found.map(schema.fromDocument)
    },
  }),
  knowledge({
    name: 'search',
    mode: 'read',
    summary: 'The documents nearest to an embedding.',
    body: z.strictObject({ workspace, collection, query: schema.searchQuery }),
    result: documents,
    run: async (backend, body, call) => {
      const stored = await verified(backend, body.workspace, body.collection, call)
      fitting([body.query.embedding], stored)
      checkFilter(body.query.filter, backend.capabilities.filter, stored)
      const found = await backend.search(body.workspace, stored, body.query, call)
      return found.map(schema.fromDocument)
    },
  }),
  methodOf('knowledge', {
    name: 'listWorkspaces',
    mode: 'read',
    summary: 'Workspaces that hold a collection.',
    body: z.strictObject({ query: workspaceQuery }),
    result: z.array(z.string()),
    need: () => ({ workspace: EVERYTHING }),
    run: (backend, body, call) => backend.listWorkspaces?.(body.query, call) ?? unable('listWorkspaces'),
  }),
  methodOf('knowledge', {
    name: 'ping',
    mode: 'read',
    summary: 'Whether the engine answers.',
    body: z.strictObject({}),
    result: z.null(),
    need: () => ({ workspace: undefined }),
    run: (backend, _, call) => backend.ping(call),
  }),
]
