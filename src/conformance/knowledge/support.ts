/** What the knowledge cases share: documents to write, ways to read them on every backend, and assertions that say what broke. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError, type ErrorCode } from '../../errors.ts'
import type {
  CollectionOptions,
  Filter,
  FilterCapabilities,
  Hit,
  KnowledgeCapabilities,
  NewDocument,
} from '../../knowledge/contract.ts'
import type { KnowledgeStore } from '../../knowledge/store.ts'
import type { ConformanceCase } from '../case.ts'

export type KnowledgeCase = ConformanceCase<KnowledgeStore>

/** The collection most cases work in. */
export const DOCS = 'docs'
/** A query that no document is orthogonal to by accident. */
export const PROBE = [0.9, 0.5, 0.1]

/** How long an `eventual` backend may take to show a write. */
const SETTLE_MS = 30_000
const [FIRST_POLL_MS, LAST_POLL_MS] = [10, 500]

/** A document with this id, unless `extra` says otherwise. */
export function doc(id: string, extra: Partial<NewDocument> = {}): NewDocument {
  return { id, content: `about ${id}`, embedding: [1, 0.5, 0.25], ...extra }
}

/** Creates `docs` with three dimensions, inserts the documents and waits until they can be found. */
export async function seed(
  store: KnowledgeStore,
  documents: readonly NewDocument[],
  settings: Partial<CollectionOptions> = {},
  collection = DOCS,
): Promise<void> {
  const options = { dimension: 3, ...settings }
  await store.createCollection(collection, options)
  if (documents.length === 0) return
  await store.insert(collection, documents)
  await settle(store, collection, documents.length, options.dimension)
}

/** On an `eventual` backend, waits until the collection shows that many documents. */
async function settle(store: KnowledgeStore, collection: string, count: number, dimension: number): Promise<void> {
  if (store.capabilities.visibility !== 'eventual') return
  await eventually(store, async () => assert.equal((await contents(store, collection, dimension)).size, count))
}

/** Runs the assertions at once, or, where writes show up later, until they hold. */
export async function eventually(store: KnowledgeStore, check: () => Promise<void>): Promise<void> {
  if (store.capabilities.visibility !== 'eventual') return check()
  const deadline = Date.now() + SETTLE_MS
  for (let pause = FIRST_POLL_MS; ; pause = Math.min(2 * pause, LAST_POLL_MS)) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await sleep(pause)
  }
}

/** Every document by id, through search: the one reading method that no backend lacks. */
export async function contents(store: KnowledgeStore, collection = DOCS, dimension = 3): Promise<Map<string, Hit>> {
  const hits = await store.search(collection, { embedding: probe(dimension), limit: 10_000, withEmbeddings: true })
  assert.equal(new Set(hits.map((hit) => hit.id)).size, hits.length, 'search must give each document once')
  return new Map(hits.map((hit) => [hit.id, hit]))
}

export async function read(store: KnowledgeStore, id: string, collection = DOCS, dimension = 3): Promise<Hit> {
  const found = (await contents(store, collection, dimension)).get(id)
  assert.ok(found, `the document ${JSON.stringify(id)} must be there`)
  return found
}

/** The ids that a filter finds through search, sorted. */
export async function matching(store: KnowledgeStore, filter: Filter, collection = DOCS): Promise<string[]> {
  const hits = await store.search(collection, { embedding: PROBE, limit: 1_000, filter })
  return hits.map((hit) => hit.id).toSorted()
}

/** Asserts what each filter finds. `expected` holds the ids, one letter each, in order. */
export async function finds(store: KnowledgeStore, rows: readonly (readonly [Filter, string])[]): Promise<void> {
  for (const [filter, expected] of rows) {
    assert.equal((await matching(store, filter)).join(''), expected, `wrong documents for the filter ${JSON.stringify(filter)}`)
  }
}

/** An error code, or the built-in error for a value of the wrong JavaScript type. */
export type Refusal = ErrorCode | 'TypeError'

/** Asserts that a call is refused with one of these. */
export async function refuses(expected: Refusal | readonly Refusal[], call: Promise<unknown>, what: string): Promise<unknown> {
  const allowed = typeof expected === 'string' ? [expected] : expected
  let result: unknown
  try {
    result = await call
  } catch (error) {
    const got = refusalOf(error)
    assert.ok(got !== undefined && allowed.includes(got), `${what}: expected ${allowed.join(' or ')}, got ${String(error)}`)
    return error
  }
  return assert.fail(`${what}: expected ${allowed.join(' or ')}, but the call gave ${describe(result)}`)
}

/** A wrong argument: `INVALID_ARGUMENT`, or a TypeError where its JavaScript type is wrong. */
export const WRONG: readonly Refusal[] = ['INVALID_ARGUMENT', 'TypeError']

function refusalOf(error: unknown): Refusal | undefined {
  if (isHoldfastError(error)) return error.code
  return error instanceof TypeError ? 'TypeError' : undefined
}

function describe(result: unknown): string {
  return Array.isArray(result) ? `${result.length} items` : String(result)
}

type Flag = 'get' | 'list' | 'count' | 'deleteByFilter'

/** For `skip`: the case concerns only stores with this capability. */
export function needs(flag: Flag): (store: KnowledgeStore) => string | undefined {
  return (store) => (store.capabilities[flag] ? undefined : `capabilities.${flag} is false`)
}

/** For `skip`: the case concerns only stores without this capability. */
export function lacks(flag: Flag): (store: KnowledgeStore) => string | undefined {
  return (store) => (store.capabilities[flag] ? `capabilities.${flag} is true` : undefined)
}

export function needsFilter(flag: keyof FilterCapabilities): (store: KnowledgeStore) => string | undefined {
  return (store) => (store.capabilities.filter[flag] ? undefined : `capabilities.filter.${flag} is false`)
}

export function lacksFilter(flag: keyof FilterCapabilities): (store: KnowledgeStore) => string | undefined {
  return (store) => (store.capabilities.filter[flag] ? `capabilities.filter.${flag} is true` : undefined)
}

export function needsInsert(mode: KnowledgeCapabilities['insert']): (store: KnowledgeStore) => string | undefined {
  return (store) => (store.capabilities.insert === mode ? undefined : `capabilities.insert is '${store.capabilities.insert}'`)
}

/** An embedding for any collection: deterministic, never zero. */
export function probe(dimension: number): number[] {
  return dimension === 3 ? PROBE : Array.from({ length: dimension }, (_, i) => 0.5 + ((i * 7) % 11) / 10)
}

export function assertClose(actual: number, expected: number, what: string): void {
  const tolerance = 1e-3 * Math.max(1, Math.abs(expected))
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: expected ${expected} within ${tolerance}, got ${actual}`)
}
