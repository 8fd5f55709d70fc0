/** Pinecone: its client, its indexes, and the few requests that backends are made of. */
import { createHash } from 'node:crypto'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import type { FactoryContext } from '../store/factory.ts'
import { pause, request, watched, type Answer, type Fetch } from './pinecone-wire.ts'

// ── What is used of the client ──────────────────────────────────────────────────────────────────────────────────────

export type PineconeMetric = 'cosine' | 'euclidean' | 'dotproduct'
export type PineconeMetadata = Record<string, string | number | boolean | string[]>
/** A metadata filter in Pinecone's language. */
export type PineconeFilter = Readonly<Record<string, unknown>>

export interface PineconeRecord {
  readonly id: string
  readonly values: number[]
  readonly metadata: PineconeMetadata
}

export interface PineconeQuery {
  readonly namespace: string
  /** 1–10,000. */
  readonly topK: number
  readonly vector: number[]
  readonly filter?: PineconeFilter
  readonly includeValues?: boolean
  readonly includeMetadata?: boolean
}

export interface PineconeMatch {
  readonly id: string
  readonly values?: number[]
  readonly metadata?: PineconeMetadata
}

export interface PineconeIndex {
  query(query: PineconeQuery): Promise<{ readonly matches: PineconeMatch[] }>
  upsert(options: { readonly namespace: string; readonly records: PineconeRecord[] }): Promise<void>
  deleteMany(options: { readonly namespace: string; readonly ids: string[] }): Promise<void>
  deleteNamespace(namespace: string): Promise<void>
  createNamespace(options: { readonly name: string; readonly schema: PineconeNamespaceSchema }): Promise<unknown>
  describeNamespace(namespace: string): Promise<{ readonly schema?: PineconeNamespaceSchema | undefined }>
}

export interface PineconeNamespaceSchema {
  readonly fields: Readonly<Record<string, { readonly filterable: boolean }>>
}

export interface PineconeIndexDescription {
  readonly host: string
  readonly dimension?: number | undefined
  readonly metric?: string | undefined
  readonly status?: { readonly ready?: boolean | undefined; readonly state?: string | undefined } | undefined
}

interface PineconeConfig {
  readonly apiKey: string
  readonly controllerHostUrl?: string | undefined
  readonly fetchApi?: Fetch | undefined
  readonly maxRetries?: number | undefined
}

/** An instance of the class `Pinecone` of `@pinecone-database/pinecone` 9. */
export interface PineconeClient {
  getConfig(): PineconeConfig
  describeIndex(name: string): Promise<PineconeIndexDescription>
  createIndex(options: {
    readonly name: string
    readonly dimension: number
    readonly metric: PineconeMetric
    readonly spec: { readonly serverless: { readonly cloud: string; readonly region: string } }
  }): Promise<unknown>
  index(options: { readonly name: string; readonly host: string }): PineconeIndex
}

type PineconeConstructor = new (config: PineconeConfig) => PineconeClient

// ── Connecting ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface PineconeConnection {
  readonly apiKey?: string | undefined
  readonly controllerHost?: string | undefined
  readonly client?: PineconeClient | undefined
  readonly requestTimeoutMs: number
}

/** Where records are, and how many numbers their vectors have there. */
export interface PineconePlace {
  readonly index: string
  readonly namespace: string
  readonly dimension: number
}

export interface PineconeIndexSettings {
  readonly dimension: number
  readonly metric: PineconeMetric
}

interface Opened extends PineconeIndexSettings {
  readonly host: string
  readonly index: PineconeIndex
}

/** What an index that is being created takes to become ready, at most. */
const READY_MS = 300_000
const [FIRST_PAUSE_MS, LAST_PAUSE_MS] = [100, 2_000]

export async function connectPinecone(options: PineconeConnection, context: FactoryContext): Promise<PineconeEngine> {
  const { client, apiKey, controllerHost } = options
  const config = client === undefined ? { apiKey, controllerHostUrl: controllerHost } : configOf(client)
  if (config.apiKey === undefined || config.apiKey === '') {
    throw new HoldfastError('INVALID_OPTIONS', 'pinecone: apiKey is required (or PINECONE_API_KEY, or a client)')
  }
  const Client = client === undefined ? await loadClient(context) : (client.constructor as PineconeConstructor)
  // Its own retries repeat what may have been applied; the store knows what may be repeated.
  const fetchApi = watched('fetchApi' in config && config.fetchApi ? config.fetchApi : globalThis.fetch)
  return new PineconeEngine(new Client({ ...config, apiKey: config.apiKey, fetchApi, maxRetries: 0 }), options)
}

async function loadClient(context: FactoryContext): Promise<PineconeConstructor> {
  return (await context.loadClient<{ readonly Pinecone: PineconeConstructor }>('@pinecone-database/pinecone')).Pinecone
}

function configOf(client: PineconeClient): PineconeConfig {
  if (typeof client?.getConfig === 'function') return client.getConfig()
  throw new HoldfastError('INVALID_OPTIONS', 'pinecone: client must be a Pinecone of @pinecone-database/pinecone')
}

/** One project. Indexes are looked up once and found again after they moved. */
export class PineconeEngine {
  readonly #client: PineconeClient
  readonly #timeoutMs: number
  readonly #indexes = new Map<string, Promise<Opened | undefined>>()

  constructor(client: PineconeClient, { requestTimeoutMs }: PineconeConnection) {
    this.#client = client
    this.#timeoutMs = requestTimeoutMs
  }

  /** Resolves when the control plane answers, whether or not there is such an index. */
  async ping(name: string, call?: BackendCall): Promise<void> {
    await this.#describe(name, call)
  }

  /** The settings of an index; undefined where there is none. */
  async settings(name: string, call?: BackendCall): Promise<PineconeIndexSettings | undefined> {
    return this.#opened(name, call)
  }

  /** Creates a serverless index that is not there, and waits until it takes requests. */
  async createIndex(
    name: string,
    settings: PineconeIndexSettings,
    spec: { readonly cloud: string; readonly region: string },
    call?: BackendCall,
  ): Promise<void> {
    if ((await this.#look(name, call)) !== undefined) return
    try {
      await this.#request(true, call, () => this.#client.createIndex({ name, ...settings, spec: { serverless: spec } }))
    } catch (error) {
      // Somebody else was quicker.
      if (!isHoldfastError(error, 'CONFLICT')) throw error
    }
    await this.#ready(name, call)
  }

  async query(
    place: PineconePlace,
    query: Omit<PineconeQuery, 'namespace'>,
    call?: BackendCall,
  ): Promise<Answer<PineconeMatch[]>> {
    const { namespace } = place
    const answer = await this.#on(place, false, call, (index) => index.query({ ...query, namespace }))
    return { ...answer, value: answer.value.matches }
  }

  upsert(place: PineconePlace, records: PineconeRecord[], call?: BackendCall): Promise<Answer<void>> {
    return this.#on(place, true, call, (index) => index.upsert({ namespace: place.namespace, records }))
  }

  remove(place: PineconePlace, ids: string[], call?: BackendCall): Promise<Answer<void>> {
    return this.#on(place, true, call, (index) => index.deleteMany({ namespace: place.namespace, ids }))
  }

  /** Also where there is none: a namespace is made by its first record. */
  async removeNamespace(place: PineconePlace, call?: BackendCall): Promise<void> {
    try {
      await this.#on(place, true, call, (index) => index.deleteNamespace(place.namespace))
    } catch (error) {
      if (!isHoldfastError(error, 'NOT_FOUND')) throw error
    }
  }

  /**
   * Creates a namespace with the name of a field in its schema, unless there is one: then the field that its creator named. Of many callers
   * one creates it, which nothing else on this engine can decide.
   */
  async claim(place: PineconePlace, field: string, call?: BackendCall): Promise<string | undefined> {
    const { namespace } = place
    try {
      const schema = { fields: { [field]: { filterable: true } } }
      await this.#on(place, true, call, (index) => index.createNamespace({ name: namespace, schema }))
      return field
    } catch (error) {
      if (!isHoldfastError(error, 'CONFLICT')) throw error
    }
    const { value } = await this.#on(place, false, call, (index) => index.describeNamespace(namespace))
    return Object.keys(value.schema?.fields ?? {})[0]
  }

  // ── Within ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #request<T>(writes: boolean, call: BackendCall | undefined, work: () => Promise<T>): Promise<Answer<T>> {
    return request({ writes, call, timeoutMs: this.#timeoutMs }, work)
  }

  async #on<T>(
    place: PineconePlace,
    writes: boolean,
    call: BackendCall | undefined,
    work: (index: PineconeIndex) => Promise<T>,
  ): Promise<Answer<T>> {
    const opened = await this.#opened(place.index, call)
    if (opened === undefined) throw missingIndex(place.index)
    try {
      return await this.#request(writes, call, () => work(opened.index))
    } catch (error) {
      if (isHoldfastError(error, 'UNAVAILABLE')) this.#indexes.delete(place.index)
      if (!isHoldfastError(error, 'NOT_FOUND')) throw error
      const moved = await this.#moved(place.index, opened, call)
      if (moved === undefined) throw error
      return this.#request(writes, call, () => work(moved.index))
    }
  }

  /** Where an index is now that another host knows nothing of: it was deleted and created again. */
  async #moved(name: string, from: Opened, call: BackendCall | undefined): Promise<Opened | undefined> {
    this.#indexes.delete(name)
    const now = await this.#opened(name, call)
    if (now === undefined) throw missingIndex(name)
    return now.host === from.host ? undefined : now
  }

  /** The first to ask looks it up for all; only what is there is remembered. */
  async #opened(name: string, call: BackendCall | undefined): Promise<Opened | undefined> {
    const known = this.#indexes.get(name)
    // Another call's abort must not end this one.
    if (known !== undefined) return known.catch(() => this.#look(name, call))
    const looked = this.#look(name, call)
    this.#indexes.set(name, looked)
    const forget = (): boolean => this.#indexes.get(name) === looked && this.#indexes.delete(name)
    looked.then((found) => found ?? forget(), forget)
    return looked
  }

  async #look(name: string, call: BackendCall | undefined): Promise<Opened | undefined> {
    const found = await this.#describe(name, call)
    return found === undefined ? undefined : this.#open(name, found)
  }

  #open(name: string, { host, dimension = 0, metric = '' }: PineconeIndexDescription): Opened {
    return { host, index: this.#client.index({ name, host: this.#hostOf(host) }), dimension, metric: metric as PineconeMetric }
  }

  /** Emulators give hosts without a scheme, which the client would take for https. */
  #hostOf(host: string): string {
    const plain = this.#client.getConfig().controllerHostUrl?.startsWith('http://') === true
    return plain && !/^https?:\/\//.test(host) ? `http://${host}` : host
  }

  async #describe(name: string, call: BackendCall | undefined): Promise<PineconeIndexDescription | undefined> {
    try {
      return (await this.#request(false, call, () => this.#client.describeIndex(name))).value
    } catch (error) {
      if (isHoldfastError(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  async #ready(name: string, call: BackendCall | undefined): Promise<void> {
    const deadline = Date.now() + READY_MS
    for (let pauseMs = FIRST_PAUSE_MS; Date.now() < deadline; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
      const found = await this.#describe(name, call)
      if (found?.status?.ready === true) return void this.#indexes.set(name, Promise.resolve(this.#open(name, found)))
      await pause(pauseMs, call?.signal)
    }
    throw new HoldfastError('UNAVAILABLE', `the Pinecone index ${name} did not become ready within ${READY_MS / 1_000} s`)
  }
}

export function missingIndex(name: string): HoldfastError {
  const message = `there is no Pinecone index ${JSON.stringify(name)}; create it, or allow autoCreate`
  return new HoldfastError('NOT_FOUND', message, { outcome: 'not-applied' })
}

/** A short text of these characters only: letters, digits, `-` and `_`. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
