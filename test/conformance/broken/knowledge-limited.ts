/** Knowledge backends that can do less and say so. They are not broken: with them the suite tests what must be refused or awaited. */
import type { HitRecord, KnowledgeBackend, SearchRecordQuery } from '../../../src/knowledge/contract.ts'
import { toPredicate } from '../../../src/knowledge/filter.ts'
import { documentTaken } from '../../../src/knowledge/faults.ts'
import { override } from './knowledge-wrappers.ts'

const NO_FLAGS = { get: false, list: false, count: false, deleteByFilter: false } as const

/** Nothing but what every backend must do, on declared fields only, in small pieces. */
export function modest(backend: KnowledgeBackend): KnowledgeBackend {
  const filter = { exists: false, null: false, arrays: false, nested: false, declared: true }
  return override(backend, {
    capabilities: { ...NO_FLAGS, insert: 'checked', visibility: 'waited', filter },
    limits: { contentBytes: 60_000, jsonBytes: 20_000, dimension: 2_000, batch: 100 },
  })
}

/** Filters look at scalars only: an array or an object equals nothing. */
export function flat(backend: KnowledgeBackend): KnowledgeBackend {
  const filter = { exists: true, null: true, arrays: false, nested: false, declared: false }
  return override(backend, {
    capabilities: { ...NO_FLAGS, insert: 'atomic', visibility: 'immediate', filter },
    search: async (workspace, collection, query, call) => {
      const all = await backend.search(workspace, collection, { ...query, limit: 10_000, filter: undefined }, call)
      return all.filter((hit) => holdsFlat(hit, query)).slice(0, query.limit)
    },
  })
}

function holdsFlat({ metadata }: HitRecord, { filter }: SearchRecordQuery): boolean {
  if (filter === undefined) return true
  const scalars = Object.entries(JSON.parse(metadata) as object).map(([name, value]) => [
    name,
    Array.isArray(value) ? {} : (value as unknown),
  ])
  return toPredicate(filter)(Object.fromEntries(scalars) as object)
}

const LAG_MS = 40

/** Writes and deletions are acknowledged at once and show a moment later, in their order. */
export function lagging(backend: KnowledgeBackend): KnowledgeBackend {
  let last: Promise<unknown> = Promise.resolve()
  const later = (work: () => Promise<unknown>): void => {
    const due = new Promise((resolve) => setTimeout(resolve, LAG_MS))
    // The collection may be gone by then, or the engine cut off: what was acknowledged is then lost, as on such engines.
    last = Promise.all([last, due])
      .then(work)
      .catch(() => undefined)
  }
  return override(backend, {
    capabilities: { ...backend.capabilities, visibility: 'eventual', insert: 'checked' },
    write: async (workspace, collection, documents, mode, call) => {
      const ids = documents.map(({ id }) => id)
      const [taken] = await backend.get!(workspace, collection, ids, false, call)
      if (mode === 'insert' && taken !== undefined) throw documentTaken(collection.name, taken.id)
      later(() => backend.write(workspace, collection, documents, 'upsert'))
    },
    delete: async (workspace, collection, selection, call) => {
      const count =
        'ids' in selection
          ? (await backend.get!(workspace, collection, selection.ids, false, call)).length
          : await backend.count!(workspace, collection, selection.filter, call)
      later(() => backend.delete(workspace, collection, selection))
      return count
    },
  })
}
