/** The ways in which broken knowledge backends differ from one that works. */
import type {
  CollectionRecord,
  DocumentRecord,
  HitRecord,
  KnowledgeBackend,
  SearchRecordQuery,
} from '../../../src/knowledge/contract.ts'
import { EVERYTHING, type FilterNode } from '../../../src/knowledge/filter.ts'
import { compareBytes } from '../../../src/store/text.ts'

export interface BrokenKnowledge {
  readonly name: string
  /** Wraps a backend that works; called once for each handle on its data. */
  breaks(backend: KnowledgeBackend): KnowledgeBackend
  /** The case that must fail. */
  readonly caughtBy: string
}

type Change = (inner: KnowledgeBackend) => Partial<KnowledgeBackend>

export function broken(name: string, caughtBy: string, change: Change): BrokenKnowledge {
  return { name, caughtBy, breaks: (backend) => override(backend, change(backend)) }
}

/** The backend with some members replaced. */
export function override(backend: KnowledgeBackend, changed: Partial<KnowledgeBackend>): KnowledgeBackend {
  return new Proxy(backend, {
    get(target, property) {
      if (Object.hasOwn(changed, property)) return Reflect.get(changed, property)
      const member: unknown = Reflect.get(target, property, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

// ── Filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export function misreading(name: string, caughtBy: string, misread: (node: FilterNode) => FilterNode): BrokenKnowledge {
  return broken(name, caughtBy, (inner) => filteringBy(inner, (node) => rewrite(node, misread)))
}

function filteringBy(inner: KnowledgeBackend, change: (node: FilterNode) => FilterNode | undefined): Partial<KnowledgeBackend> {
  const changed = (node: FilterNode | undefined): FilterNode | undefined => node && change(node)
  return {
    search: (workspace, collection, query, call) =>
      inner.search(workspace, collection, { ...query, filter: changed(query.filter) }, call),
    count: (workspace, collection, filter, call) => inner.count!(workspace, collection, changed(filter), call),
    list: (workspace, collection, query, call) =>
      inner.list!(workspace, collection, { ...query, filter: changed(query.filter) }, call),
    delete: (workspace, collection, selection, call) => {
      const other = 'filter' in selection ? { filter: change(selection.filter) ?? EVERYTHING } : selection
      return inner.delete(workspace, collection, other, call)
    },
  }
}

function rewrite(node: FilterNode, change: (node: FilterNode) => FilterNode): FilterNode {
  switch (node.op) {
    case 'and':
    case 'or':
      return change({ ...node, nodes: node.nodes.map((inner) => rewrite(inner, change)) })
    case 'not':
      return change({ ...node, node: rewrite(node.node, change) })
    default:
      return change(node)
  }
}

export function isOrder(node: FilterNode): node is FilterNode & { op: 'gt' | 'gte' | 'lt' | 'lte' } {
  return node.op === 'gt' || node.op === 'gte' || node.op === 'lt' || node.op === 'lte'
}

export function existing(node: FilterNode, path: readonly string[]): FilterNode {
  return { op: 'and', nodes: [node, { op: 'exists', path, exists: true }] }
}

export function orMissing(node: FilterNode, path: readonly string[]): FilterNode {
  return { op: 'or', nodes: [node, { op: 'exists', path, exists: false }] }
}

export function coerced(value: unknown): (string | number | boolean)[] {
  return [String(value), Number(value), value === true || value === 'true' || value === 1].filter((other) => !Number.isNaN(other))
}

// ── Hits and documents ──────────────────────────────────────────────────────────────────────────────────────────────

/** A backend that spoils each hit. */
export function spoiling(name: string, caughtBy: string, spoil: (hit: HitRecord, at: Spoiled) => HitRecord): BrokenKnowledge {
  return broken(name, caughtBy, (inner) => ({
    search: async (workspace, collection, query, call) => {
      const hits = await inner.search(workspace, collection, { ...query, withEmbeddings: true }, call)
      return hits.map((hit) => {
        const spoiled = spoil(hit, { collection, query })
        return query.withEmbeddings ? spoiled : { ...spoiled, embedding: undefined }
      })
    },
  }))
}

interface Spoiled {
  readonly collection: CollectionRecord
  readonly query: SearchRecordQuery
}

export function cosine(a: Float32Array, b: Float32Array): number {
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}

export function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

/** A backend that spoils each document as it is written. */
export function losing(name: string, caughtBy: string, lose: (record: DocumentRecord) => DocumentRecord): BrokenKnowledge {
  return broken(name, caughtBy, (inner) => ({
    write: (workspace, collection, documents, mode, call) => inner.write(workspace, collection, documents.map(lose), mode, call),
  }))
}

export function sortedKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => compareBytes(a, b)))
}

export function normalised(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector)) || 1
  return vector.map((value) => value / length)
}

// ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A backend that changes the names it is given: of workspaces, of collections, of documents. */
export function renaming(name: string, caughtBy: string, rename: Renaming): BrokenKnowledge {
  const { workspace: place = keep, collection: title = keep, id: key = keep } = rename
  const moved = (collection: CollectionRecord): CollectionRecord => ({ ...collection, name: title(collection.name) })
  const keyed = (record: DocumentRecord): DocumentRecord => ({ ...record, id: key(record.id) })
  return broken(name, caughtBy, (inner) => ({
    createCollection: (workspace, collection, call) => inner.createCollection(place(workspace), moved(collection), call),
    describeCollection: (workspace, name, call) => inner.describeCollection(place(workspace), title(name), call),
    listCollections: (workspace, call) => inner.listCollections(place(workspace), call),
    deleteCollection: (workspace, name, call) => inner.deleteCollection(place(workspace), title(name), call),
    write: (workspace, collection, written, mode, call) =>
      inner.write(
        place(workspace),
        moved(collection),
        [...new Map(written.map((record) => [key(record.id), keyed(record)])).values()],
        mode,
        call,
      ),
    get: (workspace, collection, ids, withEmbeddings, call) =>
      inner.get!(place(workspace), moved(collection), ids.map(key), withEmbeddings, call),
    delete: (workspace, collection, selection, call) =>
      inner.delete(place(workspace), moved(collection), 'ids' in selection ? { ids: selection.ids.map(key) } : selection, call),
    count: (workspace, collection, filter, call) => inner.count!(place(workspace), moved(collection), filter, call),
    list: (workspace, collection, query, call) => inner.list!(place(workspace), moved(collection), query, call),
    search: (workspace, collection, query, call) => inner.search(place(workspace), moved(collection), query, call),
  }))
}

interface Renaming {
  readonly workspace?: (name: string) => string
  readonly collection?: (name: string) => string
  readonly id?: (name: string) => string
}

function keep(name: string): string {
  return name
}

export function joining(inner: KnowledgeBackend, separator: string): Partial<KnowledgeBackend> {
  const joined = (workspace: string, name: string): string => `${workspace}${separator}${name}`
  const moved = (workspace: string, collection: CollectionRecord): CollectionRecord => ({
    ...collection,
    name: joined(workspace, collection.name),
  })
  const back = (workspace: string, collection: CollectionRecord): CollectionRecord => ({
    ...collection,
    name: collection.name.slice(workspace.length + separator.length),
  })
  return {
    createCollection: (workspace, collection, call) => inner.createCollection('', moved(workspace, collection), call),
    describeCollection: async (workspace, name, call) => {
      const found = await inner.describeCollection('', joined(workspace, name), call)
      return found && back(workspace, found)
    },
    listCollections: async (workspace, call) => {
      const all = await inner.listCollections('', call)
      return all.filter(({ name }) => name.startsWith(joined(workspace, ''))).map((found) => back(workspace, found))
    },
    deleteCollection: (workspace, name, call) => inner.deleteCollection('', joined(workspace, name), call),
    write: (workspace, collection, written, mode, call) => inner.write('', moved(workspace, collection), written, mode, call),
    get: (workspace, collection, ids, whole, call) => inner.get!('', moved(workspace, collection), ids, whole, call),
    delete: (workspace, collection, selection, call) => inner.delete('', moved(workspace, collection), selection, call),
    count: (workspace, collection, filter, call) => inner.count!('', moved(workspace, collection), filter, call),
    list: (workspace, collection, query, call) => inner.list!('', moved(workspace, collection), query, call),
    search: (workspace, collection, query, call) => inner.search('', moved(workspace, collection), query, call),
  }
}

/** Dropping a collection drops its settings only. */
export function resurrecting(inner: KnowledgeBackend): Partial<KnowledgeBackend> {
  const graves = new Map<string, DocumentRecord[]>()
  return {
    deleteCollection: async (workspace, name, call) => {
      const record = await inner.describeCollection(workspace, name, call)
      const buried = record && (await inner.list!(workspace, record, { limit: 10_000, withEmbeddings: true }, call))
      graves.set(JSON.stringify([workspace, name]), [...(graves.get(JSON.stringify([workspace, name])) ?? []), ...(buried ?? [])])
      return inner.deleteCollection(workspace, name, call)
    },
    createCollection: async (workspace, collection, call) => {
      await inner.createCollection(workspace, collection, call)
      const buried = graves.get(JSON.stringify([workspace, collection.name])) ?? []
      const fitting = buried.filter(({ embedding }) => embedding?.length === collection.dimension)
      await inner.write(workspace, collection, fitting, 'upsert', call)
    },
  }
}
