/** Knowledge backends that each break one sentence of the contract, and the case that must notice. */
import type { CollectionRecord, HitRecord } from '../../../src/knowledge/contract.ts'
import { EVERYTHING, toPredicate } from '../../../src/knowledge/filter.ts'
import {
  broken,
  coerced,
  cosine,
  dot,
  existing,
  isOrder,
  joining,
  losing,
  misreading,
  normalised,
  orMissing,
  renaming,
  resurrecting,
  sortedKeys,
  spoiling,
  type BrokenKnowledge,
} from './knowledge-wrappers.ts'

const filters: readonly BrokenKnowledge[] = [
  broken('search drops the filter', 'knowledge/filter/equal', (inner) => ({
    search: (workspace, collection, query, call) => inner.search(workspace, collection, { ...query, filter: undefined }, call),
  })),
  broken('search filters after the limit', 'knowledge/search/rare-matches', (inner) => ({
    search: async (workspace, collection, { filter, ...query }, call) => {
      const hits = await inner.search(workspace, collection, query, call)
      return filter === undefined ? hits : hits.filter(({ metadata }) => toPredicate(filter)(JSON.parse(metadata) as object))
    },
  })),
  broken('search filters after ten times the limit', 'knowledge/search/rare-matches', (inner) => ({
    search: async (workspace, collection, { filter, limit, ...query }, call) => {
      const hits = await inner.search(workspace, collection, { ...query, limit: filter === undefined ? limit : 10 * limit }, call)
      const holds = filter === undefined ? () => true : toPredicate(filter)
      return hits.filter(({ metadata }) => holds(JSON.parse(metadata) as object)).slice(0, limit)
    },
  })),
  misreading('$exists is not understood and matches all', 'knowledge/filter/exists', (node) =>
    node.op === 'exists' ? EVERYTHING : node,
  ),
  misreading('$not is not understood and matches all', 'knowledge/filter/not', (node) => (node.op === 'not' ? EVERYTHING : node)),
  misreading('$or wants all to hold', 'knowledge/filter/and-or', (node) => (node.op === 'or' ? { ...node, op: 'and' } : node)),
  misreading('only the first condition counts', 'knowledge/filter/several-conditions', (node) =>
    node.op === 'and' ? node.nodes[0]! : node,
  ),
  misreading('an empty $in matches all', 'knowledge/filter/in', (node) =>
    node.op === 'in' && node.values.length === 0 ? EVERYTHING : node,
  ),
  misreading('a missing field is less than any number', 'knowledge/filter/missing-field', (node) =>
    node.op === 'lt' ? orMissing(node, node.path) : node,
  ),
  misreading('a missing field satisfies comparisons', 'knowledge/filter/order-of-numbers', (node) =>
    isOrder(node) ? orMissing(node, node.path) : node,
  ),
  misreading('a missing field does not satisfy $ne', 'knowledge/filter/not-equal', (node) =>
    node.op === 'ne' ? existing(node, node.path) : node,
  ),
  misreading('a missing field does not satisfy $nin', 'knowledge/filter/missing-field', (node) =>
    node.op === 'nin' ? existing(node, node.path) : node,
  ),
  misreading('a missing field does not satisfy $not, as NULL in SQL', 'knowledge/filter/not', (node) =>
    node.op === 'not' && 'path' in node.node ? existing(node, node.node.path) : node,
  ),
  misreading('numbers, strings and booleans are coerced', 'knowledge/filter/types', (node) =>
    node.op === 'eq' && node.value !== null ? { op: 'in', path: node.path, values: coerced(node.value) } : node,
  ),
  misreading('case does not count', 'knowledge/filter/equal', (node) =>
    node.op === 'eq' && typeof node.value === 'string'
      ? { op: 'in', path: node.path, values: [node.value, node.value.toUpperCase(), `R${node.value.slice(1)}`] }
      : node,
  ),
  misreading('trailing spaces do not count', 'knowledge/filter/equal', (node) =>
    node.op === 'eq' && typeof node.value === 'string'
      ? { op: 'in', path: node.path, values: [node.value, `${node.value} `] }
      : node,
  ),
  misreading('numbers are compared as 32-bit floats', 'knowledge/filter/numbers-exact', (node) => {
    if (node.op !== 'eq' || typeof node.value !== 'number') return node
    const slack = Math.abs(node.value) * 2 ** -24
    const nodes = [
      { op: 'gte', path: node.path, value: node.value - slack },
      { op: 'lte', path: node.path, value: node.value + slack },
    ] as const
    return { op: 'and', nodes }
  }),
  misreading('values are interpolated into the query', 'knowledge/filter/hostile-values', (node) =>
    node.op === 'eq' && typeof node.value === 'string' && node.value.startsWith("' OR") ? EVERYTHING : node,
  ),
  misreading('a nested path is cut to its first part', 'knowledge/filter/nested', (node) =>
    'path' in node && node.path.length > 1 ? { ...node, path: node.path.slice(0, 1) } : node,
  ),
  misreading('null is the empty string', 'knowledge/filter/null', (node) =>
    node.op === 'eq' && node.value === null ? { op: 'in', path: node.path, values: [null, ''] } : node,
  ),
  misreading('null is only a stored null', 'knowledge/filter/null', (node) =>
    node.op === 'eq' && node.value === null ? existing(node, node.path) : node,
  ),
]

const scores: readonly BrokenKnowledge[] = [
  broken('there is no score, nor an embedding to score by', 'knowledge/score/cosine', (inner) => ({
    search: async (...args) => (await inner.search(...args)).map((hit) => ({ ...hit, score: undefined, embedding: undefined })),
  })),
  spoiling('the score is the cosine distance', 'knowledge/score/cosine', (hit) => ({ ...hit, score: 1 - (hit.score ?? 0) })),
  spoiling('cosine is mapped to 0 … 1', 'knowledge/score/cosine', (hit) => ({ ...hit, score: (1 + (hit.score ?? 0)) / 2 })),
  spoiling('cosine is reported under dot', 'knowledge/score/dot', (hit, { collection, query }) =>
    collection.distance === 'dot' ? { ...hit, score: cosine(hit.embedding!, query.embedding) } : hit,
  ),
  spoiling(
    'the dot product of unnormalised vectors is reported under cosine',
    'knowledge/score/cosine',
    (hit, { collection, query }) =>
      collection.distance === 'cosine' ? { ...hit, score: dot(hit.embedding!, query.embedding) } : hit,
  ),
  spoiling('the score is the euclidean distance', 'knowledge/score/euclidean', (hit, { collection }) =>
    collection.distance === 'euclidean' ? { ...hit, score: 1 / (hit.score ?? 1) - 1 } : hit,
  ),
  spoiling('the euclidean distance is squared', 'knowledge/score/euclidean', (hit, { collection }) =>
    collection.distance === 'euclidean' ? { ...hit, score: 1 / (1 + (1 / (hit.score ?? 1) - 1) ** 2) } : hit,
  ),
  broken('the declared distance is ignored in the ranking', 'knowledge/score/dot', (inner) => ({
    search: async (workspace, collection, query, call) => {
      const all = await inner.search(workspace, collection, { ...query, limit: 10_000, withEmbeddings: true }, call)
      const near = (hit: HitRecord): number => cosine(hit.embedding!, query.embedding)
      return all.toSorted((a, b) => near(b) - near(a)).slice(0, query.limit)
    },
  })),
  broken('search gives one hit too few', 'knowledge/search/limit', (inner) => ({
    search: async (workspace, collection, query, call) =>
      (await inner.search(workspace, collection, query, call)).slice(0, Math.max(1, query.limit - 1)),
  })),
  broken('search gives ten hits, whatever the limit', 'knowledge/search/ties', (inner) => ({
    search: (workspace, collection, query, call) => inner.search(workspace, collection, { ...query, limit: 10 }, call),
  })),
  broken('equal scores count once', 'knowledge/search/ties', (inner) => ({
    search: async (...args) => {
      const hits = await inner.search(...args)
      return hits.filter((hit, i) => i === 0 || hit.score !== hits[i - 1]!.score)
    },
  })),
]

const documents: readonly BrokenKnowledge[] = [
  losing('metadata is not stored', 'knowledge/document/metadata', (record) => ({ ...record, metadata: '{}' })),
  losing('the keys of metadata are sorted', 'knowledge/document/metadata', (record) => ({
    ...record,
    metadata: JSON.stringify(sortedKeys(JSON.parse(record.metadata))),
  })),
  losing('content is cut at 64 KiB', 'knowledge/document/large', (record) => ({
    ...record,
    content: record.content.slice(0, 65_535),
  })),
  losing('content is trimmed', 'knowledge/document/content', (record) => ({ ...record, content: record.content.trim() })),
  losing('escaped content comes back escaped', 'knowledge/document/content', (record) => ({ ...record, escaped: false })),
  losing('the hash is left empty', 'knowledge/document/content-hash', (record) => ({ ...record, contentHash: '' })),
  losing('times are whole seconds', 'knowledge/document/created-at', (record) => ({
    ...record,
    createdAt: Math.floor(record.createdAt / 1_000) * 1_000,
  })),
  losing('embeddings are normalised', 'knowledge/document/embedding', (record) => ({
    ...record,
    embedding: normalised(record.embedding!),
  })),
  broken('answers hold live references', 'knowledge/document/answers-are-copies', (inner) => {
    const kept = new Map<string, Float32Array>()
    return {
      write: async (workspace, collection, written, mode, call) => {
        await inner.write(workspace, collection, written, mode, call)
        for (const { id, embedding } of written) kept.set(id, embedding!)
      },
      search: async (...args) => {
        const hits = await inner.search(...args)
        return hits.map((hit) => (hit.embedding === undefined ? hit : { ...hit, embedding: kept.get(hit.id)! }))
      },
    }
  }),
]

const writes: readonly BrokenKnowledge[] = [
  broken('point ids start again with each batch', 'knowledge/insert/minted-ids', (inner) => {
    const points: string[] = []
    return {
      write: async (workspace, collection, written, mode, call) => {
        const overwritten = points.splice(0, written.length, ...written.map(({ id }) => id))
        await inner.delete(workspace, collection, { ids: overwritten }, call)
        await inner.write(workspace, collection, written, mode, call)
      },
    }
  }),
  broken('insert overwrites', 'knowledge/insert/conflict', (inner) => ({
    write: (workspace, collection, written, _mode, call) => inner.write(workspace, collection, written, 'upsert', call),
  })),
  broken('insert leaves part of a batch', 'knowledge/insert/conflict', (inner) => ({
    write: async (workspace, collection, written, mode, call) => {
      for (const document of written) await inner.write(workspace, collection, [document], mode, call)
    },
  })),
  broken('insert looks first and writes later', 'knowledge/insert/one-winner', (inner) => ({
    write: async (workspace, collection, written, mode, call) => {
      const ids = written.map(({ id }) => id)
      const taken = await inner.get!(workspace, collection, ids, false, call)
      await inner.write(workspace, collection, written, taken.length > 0 ? mode : 'upsert', call)
    },
  })),
  broken('upsert merges metadata', 'knowledge/upsert/replaces-whole', (inner) => ({
    write: async (workspace, collection, written, mode, call) => {
      const found = await inner.get!(
        workspace,
        collection,
        written.map(({ id }) => id),
        false,
        call,
      )
      const old = new Map(found.map(({ id, metadata }) => [id, JSON.parse(metadata) as object]))
      const merged = written.map((record) => ({
        ...record,
        metadata: JSON.stringify({ ...old.get(record.id), ...(JSON.parse(record.metadata) as object) }),
      }))
      await inner.write(workspace, collection, merged, mode, call)
    },
  })),
  broken('only the first hundred of a batch are written', 'knowledge/upsert/large-batch', (inner) => ({
    write: (workspace, collection, written, mode, call) => inner.write(workspace, collection, written.slice(0, 100), mode, call),
  })),
  broken('delete by filter deletes everything', 'knowledge/delete/filter', (inner) => ({
    delete: (workspace, collection, selection, call) =>
      inner.delete(workspace, collection, 'filter' in selection ? { filter: EVERYTHING } : selection, call),
  })),
  broken('delete by filter does nothing', 'knowledge/delete/filter', (inner) => ({
    delete: async (workspace, collection, selection, call) =>
      'filter' in selection ? 0 : inner.delete(workspace, collection, selection, call),
  })),
  broken('delete by filter counts without deleting', 'knowledge/delete/filter', (inner) => ({
    delete: async (workspace, collection, selection, call) =>
      'filter' in selection
        ? inner.count!(workspace, collection, selection.filter, call)
        : inner.delete(workspace, collection, selection, call),
  })),
  broken('delete counts what was asked for', 'knowledge/delete/ids', (inner) => ({
    delete: async (workspace, collection, selection, call) => {
      const count = await inner.delete(workspace, collection, selection, call)
      return 'ids' in selection ? selection.ids.length : count
    },
  })),
  broken('count ignores the filter', 'knowledge/count/all-and-filtered', (inner) => ({
    count: (workspace, collection, _filter, call) => inner.count!(workspace, collection, undefined, call),
  })),
  broken('list is in another order', 'knowledge/list/pages', (inner) => ({
    list: async (workspace, collection, query, call) => {
      const all = await inner.list!(workspace, collection, { ...query, after: undefined, limit: 10_000 }, call)
      const behind = all.filter(({ id }) => query.after === undefined || id.localeCompare(query.after) > 0)
      return behind.toSorted((a, b) => a.id.localeCompare(b.id)).slice(0, query.limit)
    },
  })),
  broken('list filters after the limit', 'knowledge/list/filter', (inner) => ({
    list: async (workspace, collection, { filter, ...query }, call) => {
      const page = await inner.list!(workspace, collection, query, call)
      return filter === undefined ? page : page.filter(({ metadata }) => toPredicate(filter)(JSON.parse(metadata) as object))
    },
  })),
  broken('list ignores its cursor', 'knowledge/list/pages', (inner) => ({
    list: (workspace, collection, query, call) => inner.list!(workspace, collection, { ...query, after: undefined }, call),
  })),
]

const sharing: readonly BrokenKnowledge[] = [
  renaming('workspaces are ignored', 'knowledge/common/workspace/isolated', { workspace: () => '' }),
  renaming('workspaces fold case', 'knowledge/common/workspace/distinct', { workspace: (name) => name.toLowerCase() }),
  renaming('collections fold case', 'knowledge/name/collections', { collection: (name) => name.toLowerCase() }),
  renaming('names of collections are cut', 'knowledge/name/collections', { collection: (name) => name.slice(0, 255) }),
  renaming('ids fold case', 'knowledge/name/ids', { id: (id) => id.toLowerCase() }),
  renaming('ids are trimmed', 'knowledge/name/ids', { id: (id) => id.trimEnd() || '_' }),
  renaming('ids are normalised', 'knowledge/name/ids', { id: (id) => id.normalize('NFC') }),
  broken('workspace and collection are joined by a colon', 'knowledge/isolation/joined-names', (inner) => joining(inner, ':')),
  broken('deleted collections come back with their documents', 'knowledge/collection/recreated-empty', (inner) =>
    resurrecting(inner),
  ),
  broken('other settings are overlooked', 'knowledge/collection/create-again-other', (inner) => ({
    createCollection: async (workspace, collection, call) => {
      const found = await inner.describeCollection(workspace, collection.name, call)
      if (found === undefined) await inner.createCollection(workspace, collection, call)
    },
  })),
  broken('creating a collection again empties it', 'knowledge/collection/create-again-same', (inner) => ({
    createCollection: async (workspace, collection, call) => {
      await inner.deleteCollection(workspace, collection.name, call)
      await inner.createCollection(workspace, collection, call)
    },
  })),
  broken('a collection that is gone reads as empty', 'knowledge/race/deleted', (inner) => ({
    search: async (...args) => inner.search(...args).catch(() => []),
    count: async (...args) => inner.count!(...args).catch(() => 0),
  })),
  broken('the distance is always cosine', 'knowledge/collection/create-and-describe', (inner) => ({
    createCollection: (workspace, collection, call) =>
      inner.createCollection(workspace, { ...collection, distance: 'cosine' }, call),
  })),
  broken('collections are described from a cache', 'knowledge/handles/recreated', (inner) => {
    const cache = new Map<string, CollectionRecord>()
    return {
      describeCollection: async (workspace, name, call) => {
        const key = JSON.stringify([workspace, name])
        const found = cache.get(key) ?? (await inner.describeCollection(workspace, name, call))
        if (found !== undefined) cache.set(key, found)
        return found
      },
    }
  }),
  broken('search answers from a cache of its own', 'knowledge/handles/see-each-other', (inner) => {
    const cache = new Map<string, HitRecord[]>()
    return {
      write: (...args) => (cache.clear(), inner.write(...args)),
      delete: (...args) => (cache.clear(), inner.delete(...args)),
      search: async (workspace, collection, query, call) => {
        const key = JSON.stringify([workspace, collection, query])
        const hits = cache.get(key) ?? (await inner.search(workspace, collection, query, call))
        cache.set(key, hits)
        return hits
      },
    }
  }),
  broken('the default workspace is not listed', 'knowledge/workspaces/list', (inner) => ({
    listWorkspaces: async (query, call) => (await inner.listWorkspaces!(query, call)).filter((name) => name !== ''),
  })),
  broken('workspaces are listed on one page only', 'knowledge/workspaces/pages', (inner) => ({
    listWorkspaces: async (query, call) => (query.after === undefined ? inner.listWorkspaces!(query, call) : []),
  })),
  broken('an outage reads as empty', 'knowledge/common/outage/reads', (inner) => ({
    search: async (...args) => inner.search(...args).catch(() => []),
    count: async (...args) => inner.count!(...args).catch(() => 0),
    describeCollection: async (_workspace, name) => ({ name, dimension: 3, distance: 'cosine', fields: {} }),
  })),
  broken('an outage reads as no collections', 'knowledge/common/outage/reads', (inner) => ({
    listCollections: async (...args) => inner.listCollections(...args).catch(() => []),
  })),
  broken('a failed write looks like success', 'knowledge/common/outage/writes', (inner) => ({
    write: async (...args) => inner.write(...args).catch(() => undefined),
    describeCollection: async (_workspace, name) => ({ name, dimension: 3, distance: 'cosine', fields: {} }),
  })),
]

export const brokenKnowledge: readonly BrokenKnowledge[] = [...filters, ...scores, ...documents, ...writes, ...sharing]
