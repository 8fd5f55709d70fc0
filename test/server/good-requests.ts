/** What a good request to each endpoint holds. */
const collection = { name: 'c', dimension: 2, distance: 'cosine', fields: {} }
const record = {
  id: 's2',
  userId: null,
  agentId: null,
  name: null,
  state: '{}',
  metadata: '{}',
  lastSeq: 0,
  version: 1,
  createdAt: 1,
  updatedAt: 1,
}
const message = {
  id: 'm1',
  seq: 1,
  role: 'user',
  content: 'x',
  escaped: false,
  parts: null,
  toolCalls: null,
  toolCallId: null,
  metadata: null,
  createdAt: 1,
}
const embedding = Buffer.from(new Float32Array([1, 0]).buffer).toString('base64')
/** Bodies that endpoints take, for a session `s1`, a message `m`, a collection `c` and a document `a` in the workspace that is asked for. */
export const GOOD_BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/conversations/sessions': { id: 's1' },
  'POST /v1/conversations/messages': { messages: [{ id: 'm', role: 'user', content: 'x' }] },
  'POST /v1/conversations/messages/delete': { ids: ['m'] },
  'POST /v1/knowledge/collections': { name: 'c', dimension: 2 },
  'POST /v1/knowledge/documents': { documents: [{ id: 'a', content: 'x', embedding: [1, 0] }] },
  'PUT /v1/knowledge/documents': { documents: [{ id: 'a', content: 'x', embedding: [1, 0] }] },
  'POST /v1/knowledge/documents/get': { ids: ['a'], withEmbeddings: true },
  'POST /v1/knowledge/search': { embedding: [1, 0] },
  'POST /v1/backends/conversation/createSession': { session: record },
  'POST /v1/backends/conversation/getSession': { id: 's1' },
  'POST /v1/backends/conversation/patchSession': { id: 's1', patch: { name: 'x' }, options: { now: 1 } },
  'POST /v1/backends/conversation/deleteSession': { id: 's2', options: {} },
  'POST /v1/backends/conversation/append': { sessionId: 's1', messages: [message], options: { now: 1 } },
  'POST /v1/backends/conversation/readMessages': { sessionId: 's1', query: { order: 'asc', limit: 5 } },
  'POST /v1/backends/conversation/patchMessage': { sessionId: 's1', id: 'm', patch: { role: 'tool' }, options: { now: 1 } },
  'POST /v1/backends/conversation/deleteMessages': { sessionId: 's1', selection: { ids: ['m'] }, options: { now: 1 } },
  'POST /v1/backends/conversation/restore': { session: { ...record, id: 's3', lastSeq: 1 }, messages: [message] },
  'POST /v1/backends/conversation/search': { search: { terms: ['x'], limit: 5 } },
  'POST /v1/backends/knowledge/createCollection': { collection },
  'POST /v1/backends/knowledge/describeCollection': { name: 'c' },
  'POST /v1/backends/knowledge/write': {
    collection,
    mode: 'upsert',
    documents: [{ id: 'b', content: 'x', escaped: false, metadata: '{}', contentHash: '0'.repeat(16), createdAt: 1, embedding }],
  },
  'POST /v1/backends/knowledge/get': { collection, ids: ['a'], withEmbeddings: true },
  'POST /v1/backends/knowledge/delete': { collection, selection: { ids: ['none'] } },
  'POST /v1/backends/knowledge/count': { collection },
  'POST /v1/backends/knowledge/list': { collection, query: { limit: 5, withEmbeddings: false } },
  'POST /v1/backends/knowledge/search': { collection, query: { embedding, limit: 5, withEmbeddings: true } },
}

const filter = { $or: [{ year: { $gte: 2_020, $ne: 2_021 } }, { $not: { tag: { $in: ['a', 'b'] } } }] }
const filterNode = {
  op: 'and',
  nodes: [
    { op: 'gt', path: ['year'], value: 2_020 },
    { op: 'not', node: { op: 'in', path: ['tag'], values: ['a'] } },
  ],
}
const full = { id: 'm2', role: 'tool', content: 'x', parts: [{ a: 1 }], toolCalls: [{}], toolCallId: 't', metadata: { a: null } }

/** The same with more in them, for those who would break them. */
export const RICH_BODIES: Readonly<Record<string, unknown>> = {
  ...GOOD_BODIES,
  'POST /v1/conversations/sessions': { id: 's9', userId: 'u', agentId: 'a', name: 'n', state: { a: 1 }, metadata: { b: [1] } },
  'PATCH /v1/conversations/session': { userId: null, name: 'x', state: { a: { b: 1 } }, metadata: {} },
  'POST /v1/conversations/sessions/list': { userId: 'u', metadata: { a: 1, b: null }, limit: 5, order: 'asc' },
  'POST /v1/conversations/messages': { messages: [{ ...full, createdAt: '2026-01-01T00:00:00Z' }] },
  'PATCH /v1/conversations/message': { role: 'user', content: 'x', parts: null, toolCallId: 't', metadata: {} },
  'POST /v1/knowledge/collections': { name: 'c', dimension: 2, distance: 'dot', fields: { year: 'number' } },
  'PUT /v1/knowledge/documents': {
    documents: [{ id: 'a', content: 'x', embedding: [1, 0], metadata: { year: 1, tags: ['a'] } }],
  },
  'POST /v1/knowledge/documents/list': { filter, limit: 5, withEmbeddings: true },
  'POST /v1/knowledge/documents/delete': { filter },
  'POST /v1/knowledge/documents/count': { filter },
  'POST /v1/knowledge/search': { embedding: [1, 0.5], filter, limit: 5, minScore: 0.1, withEmbeddings: true },
  'PUT /v1/state/value': new TextEncoder().encode('{"a":[1,"x"]}'),
  'POST /v1/state/increment': { by: 2 },
  'PUT /v1/storage/value': new TextEncoder().encode('bytes'),
  'POST /v1/storage/increment': { by: 2 },
  'POST /v1/backends/state/get': { space: 'w:own', keys: ['k', 'l'] },
  'POST /v1/backends/state/commit': {
    space: 'w:own',
    commit: {
      checks: [{ key: 'k', version: null }],
      set: [
        { key: 'l', value: { bytes: 'AAEC' }, ttlMs: 1_000 },
        { key: 'm', value: 'text', ttlMs: 'keep' },
      ],
      delete: ['n'],
      add: [{ key: 'o', by: 1, max: 5 }],
    },
  },
  'POST /v1/backends/state/scan': { space: 'w:own', scan: { prefix: 'a', after: 'b', limit: 5 } },
  'POST /v1/backends/knowledge/count': { collection, filter: filterNode },
  'POST /v1/backends/knowledge/delete': { collection, selection: { filter: filterNode } },
  'POST /v1/backends/knowledge/search': { collection, query: { embedding, filter: filterNode, limit: 5, withEmbeddings: true } },
}

/** In the backend tier the workspace is in the body. */
export function inWorkspace(path: string, body: unknown, workspace: string): unknown {
  const belongs = /^\/v1\/backends\/(?:conversation|knowledge)\/(?!ping|listWorkspaces)/.test(path)
  return belongs ? { workspace, ...(body as object) } : body
}
