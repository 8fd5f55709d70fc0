/** The data plane of the fake: one index, its namespaces, and the requests on them. */
import { Namespace, type Records, type Stored } from './pinecone-namespace.ts'
import { matcherOf, type Matcher, type Metadata } from './pinecone-filter.ts'
import { asObject, bad, isFlag, isId, isInteger, isList, isText, isVector, Refusal, shape } from './pinecone-refusal.ts'
import {
  asMap,
  byBytes,
  ids,
  isFilter,
  isMetadata,
  isSchema,
  isVectorRecord,
  known,
  limitOf,
  MAX_RESULT_BYTES,
  MAX_UPSERT_BYTES,
  page,
  parsed,
  type QueryBody,
} from './pinecone-requests.ts'

export type Metric = 'cosine' | 'euclidean' | 'dotproduct'

/** What a test may turn, at any time. */
export interface Behaviour {
  /** Milliseconds until a query shows a write. */
  lagMs: number
  /** Milliseconds until fetch, list and stats show it: nothing says that they are as new as queries. */
  otherLagMs: number
  /** Replicas of namespaces made from now on, each `lagMs` later than the one before. Queries take turns. */
  replicas: number
  /** Whether writes and queries tell their log sequence numbers; pod-based indexes do not. */
  tellsLsn: boolean
  /** Whether `$ne` and `$nin` hold for a record without the field. */
  missingDiffers: boolean
  /** By how much scores are off. A real query gave 1.00112152 for vectors of one direction. */
  scoreError: number
}

export interface DataAnswer {
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export class FakeIndex {
  readonly dimension: number
  readonly metric: Metric
  readonly #behaviour: Behaviour
  readonly #namespaces = new Map<string, Namespace>()
  readonly #schemas = new Map<string, object>()

  constructor(dimension: number, metric: Metric, behaviour: Behaviour) {
    this.dimension = dimension
    this.metric = metric
    this.#behaviour = behaviour
  }

  get namespaces(): string[] {
    return [...this.#namespaces.keys()]
  }

  handle(method: string, path: string, query: URLSearchParams, body: string): DataAnswer {
    const namespace = /^\/namespaces\/([^/]+)$/.exec(path)?.[1]
    if (namespace !== undefined) return this.#oneNamespace(method, decodeURIComponent(namespace))
    switch (`${method} ${path}`) {
      case 'POST /vectors/upsert':
        return this.#upsert(parsed(body), Buffer.byteLength(body))
      case 'POST /query':
        return this.#query(parsed(body))
      case 'POST /vectors/delete':
        return this.#delete(parsed(body))
      case 'POST /vectors/update':
        return this.#update(parsed(body))
      case 'GET /vectors/fetch':
        return this.#fetch(query)
      case 'POST /vectors/fetch_by_metadata':
        return this.#fetchByMetadata(parsed(body))
      case 'GET /vectors/list':
        return this.#list(query)
      case 'POST /describe_index_stats':
        return this.#stats(parsed(body))
      case 'GET /namespaces':
        return this.#listNamespaces(query)
      case 'POST /namespaces':
        return this.#createNamespace(parsed(body))
      default:
        throw new Refusal(404, `no such operation: ${method} ${path}`)
    }
  }

  // ── Writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #upsert(body: unknown, bytes: number): DataAnswer {
    if (bytes > MAX_UPSERT_BYTES)
      throw bad(`Request size ${bytes} bytes exceeds the maximum supported size of ${MAX_UPSERT_BYTES} bytes`)
    shape({ vectors: isList(isVectorRecord, 1, 1_000), namespace: isText }, ['vectors'])(body, 'upsert')
    const { vectors, namespace } = body as {
      vectors: { id: string; values: number[]; metadata?: Metadata }[]
      namespace?: string
    }
    const stored = vectors.map(({ id, values, metadata }): Stored => ({ id, values: this.#vector(values, true), metadata }))
    if (new Set(stored.map(({ id }) => id)).size < stored.length) throw bad('upsert: an id is there twice')
    const apply = (records: Records): void => stored.forEach((record) => records.set(record.id, record))
    return this.#written(this.#namespace(namespace).write(apply), { upsertedCount: stored.length })
  }

  #delete(body: unknown): DataAnswer {
    shape({ ids, deleteAll: isFlag, namespace: isText, filter: isFilter })(body, 'delete')
    const {
      ids: wanted,
      deleteAll,
      namespace,
      filter,
    } = body as { ids?: string[]; deleteAll?: boolean; namespace?: string; filter?: unknown }
    if ([wanted, filter, deleteAll === true ? true : undefined].filter((one) => one !== undefined).length !== 1) {
      throw bad('delete takes exactly one of ids, filter and deleteAll')
    }
    const holds = filter === undefined ? undefined : this.#matcher(filter)
    const known = this.#namespaces.get(namespace ?? '')
    if (known === undefined) throw new Refusal(404, 'Namespace not found')
    const apply = (records: Records): void => {
      const gone = wanted ?? [...records.values()].filter((record) => holds?.(record.metadata ?? {}) ?? true).map(({ id }) => id)
      for (const id of gone) records.delete(id)
    }
    return this.#written(known.write(apply), {})
  }

  #update(body: unknown): DataAnswer {
    const fields = { id: isId, values: isVector, setMetadata: isMetadata, namespace: isText, filter: isFilter, dryRun: isFlag }
    shape(fields)(body, 'update')
    const given = body as {
      id?: string
      values?: number[]
      setMetadata?: Metadata
      namespace?: string
      filter?: unknown
      dryRun?: boolean
    }
    if ((given.id === undefined) === (given.filter === undefined)) throw bad('update takes exactly one of id and filter')
    if (given.filter !== undefined && given.values !== undefined) throw bad('update by filter takes no values')
    const holds = given.filter === undefined ? undefined : this.#matcher(given.filter)
    const isMeant = (record: Stored): boolean => (holds === undefined ? record.id === given.id : holds(record.metadata ?? {}))
    const values = given.values === undefined ? undefined : this.#vector(given.values, true)
    const known = this.#namespace(given.namespace)
    const matchedRecords = [...known.read(this.#behaviour.otherLagMs).records.values()].filter(isMeant).length
    if (holds !== undefined && given.dryRun === true) return { body: { matchedRecords } }
    const lsn = known.write((records) => {
      for (const record of [...records.values()].filter(isMeant)) {
        const metadata = { ...record.metadata, ...given.setMetadata }
        records.set(record.id, { id: record.id, values: values ?? record.values, metadata })
      }
    })
    return this.#written(lsn, holds === undefined ? {} : { matchedRecords })
  }

  #written(lsn: number, body: unknown): DataAnswer {
    return { body, headers: this.#behaviour.tellsLsn ? { 'x-pinecone-request-lsn': String(lsn) } : {} }
  }

  // ── Queries ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #query(body: unknown): DataAnswer {
    const fields = {
      namespace: isText,
      topK: isInteger(1, 10_000),
      filter: isFilter,
      includeValues: isFlag,
      includeMetadata: isFlag,
      vector: isVector,
      id: isId,
    }
    shape(fields, ['topK'])(body, 'query')
    const given = body as QueryBody
    if ((given.vector === undefined) === (given.id === undefined)) throw bad('query takes exactly one of vector and id')
    const namespace = given.namespace ?? ''
    const seen = this.#namespaces.get(namespace)?.read(this.#behaviour.lagMs)
    const target = given.vector === undefined ? seen?.records.get(given.id!)?.values : this.#vector(given.vector, false)
    const matches = target === undefined ? [] : this.#nearest(target, given, seen?.records ?? new Map())
    const answer = { results: [], matches, namespace, usage: { readUnits: 1 } }
    if (Buffer.byteLength(JSON.stringify(answer)) > MAX_RESULT_BYTES) throw bad('Query result exceeds the maximum size of 4 MB')
    const told = this.#behaviour.tellsLsn && seen?.lsn !== undefined
    return { body: answer, headers: told ? { 'x-pinecone-max-indexed-lsn': String(seen.lsn) } : {} }
  }

  /** Exact, and ordered from the most to the least similar. */
  #nearest(target: Float32Array, { topK, filter, includeValues, includeMetadata }: QueryBody, records: Records): unknown[] {
    const holds: Matcher = filter === undefined ? () => true : this.#matcher(filter)
    const found = [...records.values()].filter(({ metadata }) => holds(metadata ?? {}))
    const sign = this.metric === 'euclidean' ? 1 : -1
    const scored = found.map((record) => ({ record, score: this.#score(target, record.values) }))
    const best = scored.toSorted((a, b) => sign * (a.score - b.score)).slice(0, topK)
    return best.map(({ record, score }) => ({
      id: record.id,
      score: score * (1 + this.#behaviour.scoreError),
      values: includeValues === true ? [...record.values] : [],
      ...(includeMetadata === true && record.metadata !== undefined ? { metadata: record.metadata } : {}),
    }))
  }

  /** Under euclidean it is the squared distance, where less is nearer, as clients of it have found ("Pinecone returns squared L2"). */
  #score(a: Float32Array, b: Float32Array): number {
    let [dot, aa, bb, squared] = [0, 0, 0, 0]
    for (let i = 0; i < a.length; i++) {
      dot += a[i]! * b[i]!
      aa += a[i]! ** 2
      bb += b[i]! ** 2
      squared += (a[i]! - b[i]!) ** 2
    }
    if (this.metric === 'euclidean') return squared
    return this.metric === 'dotproduct' ? dot : dot / (Math.sqrt(aa) * Math.sqrt(bb) || 1)
  }

  // ── Other reads ───────────────────────────────────────────────────────────────────────────────────────────────────

  #fetch(query: URLSearchParams): DataAnswer {
    known(query, ['ids', 'namespace'])
    const wanted = query.getAll('ids')
    ids(wanted, 'ids')
    const records = this.#others(query.get('namespace'))
    const found = wanted.flatMap((id) => records.get(id) ?? [])
    return { body: { vectors: asMap(found), namespace: query.get('namespace') ?? '', usage: { readUnits: 1 } } }
  }

  #fetchByMetadata(body: unknown): DataAnswer {
    const fields = { namespace: isText, filter: isFilter, limit: isInteger(1, 10_000), paginationToken: isText }
    shape(fields, ['filter'])(body, 'fetch_by_metadata')
    const {
      namespace,
      filter,
      limit = 100,
      paginationToken,
    } = body as { namespace?: string; filter: unknown; limit?: number; paginationToken?: string }
    const holds = this.#matcher(filter)
    const found = [...this.#others(namespace).values()].filter(({ metadata }) => holds(metadata ?? {}))
    const { items, pagination } = page(found, limit, paginationToken)
    return { body: { vectors: asMap(items), namespace: namespace ?? '', usage: { readUnits: 1 }, ...pagination } }
  }

  #list(query: URLSearchParams): DataAnswer {
    known(query, ['prefix', 'limit', 'paginationToken', 'namespace'])
    const prefix = query.get('prefix') ?? ''
    const sorted = [...this.#others(query.get('namespace')).keys()].filter((id) => id.startsWith(prefix)).toSorted(byBytes)
    const { items, pagination } = page(sorted, limitOf(query), query.get('paginationToken') ?? undefined)
    const vectors = items.map((id) => ({ id }))
    return { body: { vectors, namespace: query.get('namespace') ?? '', usage: { readUnits: 1 }, ...pagination } }
  }

  #stats(body: unknown): DataAnswer {
    shape({ filter: (value, path) => void asObject(value, path) })(body, 'describe_index_stats')
    const { filter } = body as { filter?: object }
    if (filter !== undefined && Object.keys(filter).length > 0)
      throw bad('Serverless indexes do not support describing index stats by metadata')
    const counts = this.namespaces.map((name) => [name, { vectorCount: this.#others(name).size }] as const)
    const totalVectorCount = counts.reduce((sum, [, { vectorCount }]) => sum + vectorCount, 0)
    const { dimension, metric } = this
    return {
      body: {
        namespaces: Object.fromEntries(counts),
        dimension,
        metric,
        vectorType: 'dense',
        indexFullness: 0,
        totalVectorCount,
      },
    }
  }

  // ── Namespaces ────────────────────────────────────────────────────────────────────────────────────────────────────

  #listNamespaces(query: URLSearchParams): DataAnswer {
    known(query, ['limit', 'paginationToken', 'prefix'])
    const prefix = query.get('prefix') ?? ''
    const names = this.namespaces.filter((name) => name.startsWith(prefix)).toSorted(byBytes)
    const { items, pagination } = page(names, limitOf(query), query.get('paginationToken') ?? undefined)
    return { body: { namespaces: items.map((name) => this.#described(name)), total_count: names.length, ...pagination } }
  }

  #createNamespace(body: unknown): DataAnswer {
    shape({ name: isId, schema: isSchema }, ['name'])(body, 'namespace')
    const { name, schema } = body as { name: string; schema?: object }
    if (name === '__default__') throw bad('__default__ always exists')
    if (this.#namespaces.has(name)) throw new Refusal(409, 'Namespace already exists')
    this.#namespace(name)
    if (schema !== undefined) this.#schemas.set(name, schema)
    return { body: this.#described(name) }
  }

  #oneNamespace(method: string, name: string): DataAnswer {
    isId(name, 'namespace')
    if (!this.#namespaces.has(name)) throw new Refusal(404, 'Namespace not found')
    if (method === 'GET') return { body: this.#described(name) }
    if (method !== 'DELETE') throw new Refusal(405, 'Method not allowed')
    this.#namespaces.delete(name)
    this.#schemas.delete(name)
    return { body: {} }
  }

  #described(name: string): unknown {
    return {
      name,
      record_count: String(this.#others(name).size),
      ...(this.#schemas.has(name) ? { schema: this.#schemas.get(name) } : {}),
    }
  }

  // ── Within ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Made by the first record that is written to it. */
  #namespace(name = ''): Namespace {
    const namespace = this.#namespaces.get(name) ?? new Namespace(this.#behaviour.replicas)
    this.#namespaces.set(name, namespace)
    return namespace
  }

  #others(name: string | null | undefined): Records {
    return this.#namespaces.get(name ?? '')?.read(this.#behaviour.otherLagMs).records ?? new Map()
  }

  #matcher(filter: unknown): Matcher {
    return matcherOf(filter, this.#behaviour.missingDiffers)
  }

  #vector(values: readonly number[], stored: boolean): Float32Array {
    if (values.length !== this.dimension)
      throw bad(`Vector dimension ${values.length} does not match the dimension of the index ${this.dimension}`)
    // Spec, Vector.values: at least one value must have a magnitude of 1e-8.
    if (stored && values.every((value) => Math.abs(value) < 1e-8))
      throw bad('Dense vectors must contain at least one non-zero value')
    return Float32Array.from(values)
  }
}
