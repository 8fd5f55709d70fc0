/**
 * The collections of all workspaces: one record each in a namespace of their own, read by queries and so as new as the last write.
 *
 * A collection that was deleted leaves its record behind, marked: the next of that name counts on from it and gets a namespace that no
 * earlier one had, so that neither late writes nor a deletion still under way on the engine can touch it.
 */
import type { FreshPinecone } from '../engines/pinecone-fresh.ts'
import { pause } from '../engines/pinecone-wire.ts'
import { digest, missingIndex, type PineconeMatch, type PineconeMetric, type PineconePlace } from '../engines/pinecone.ts'
import { HoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { CollectionRecord, Distance } from './contract.ts'
import { checkSameSettings } from './faults.ts'
import { Batched } from './pinecone-batched.ts'
import { checkedBytes, settingsOf, type CollectionPlace } from './pinecone-records.ts'
import { scanIds, shardOf } from './pinecone-scan.ts'

export interface CatalogueOptions {
  /** The one index for everything; undefined: one for each dimension and distance. */
  readonly index: string | undefined
  readonly prefix: string
  readonly autoCreate: boolean
  readonly cloud: string
  readonly region: string
}

/** A collection as the catalogue has it. */
export interface Found {
  readonly version: number
  readonly workspace: string
  readonly record: CollectionRecord
  readonly place: CollectionPlace
}

/** What a record of the catalogue says, live or not. */
interface Entry {
  readonly version: number
  readonly found: Found | undefined
}

/** The JSON of a record. */
interface Saved extends CollectionRecord {
  readonly workspace: string
  readonly index: string
  /** Numbers in the index's vectors. */
  readonly numbers: number
}

const METRICS: Readonly<Record<Distance, PineconeMetric>> = { cosine: 'cosine', euclidean: 'euclidean', dot: 'dotproduct' }
/** Of an index that only holds the catalogue, whose vectors mean nothing. */
const CATALOGUE_DIMENSION = 2
/** Records of up to 40 KB, and an answer of up to 4 MB. */
const MAX_ENTRIES = 64
/** How long a collection that another is creating is waited for. */
const [CLAIM_MS, CLAIM_PAUSE_MS] = [10_000, 50]

export class PineconeCatalogue {
  readonly #fresh: FreshPinecone
  readonly #options: CatalogueOptions
  readonly #entries: Batched<Entry>

  constructor(fresh: FreshPinecone, options: CatalogueOptions) {
    this.#fresh = fresh
    this.#options = options
    this.#entries = new Batched(MAX_ENTRIES, (keys) => this.#read(keys))
  }

  async find(workspace: string, name: string): Promise<Found | undefined> {
    return (await this.#entries.get(keyOf(workspace, name)))?.found
  }

  /** Those of one workspace, or of all. */
  async list(workspace: string | undefined, call?: BackendCall): Promise<Found[]> {
    const place = await this.#place(call)
    if (place === undefined) return []
    const filter = { live: true, ...(workspace === undefined ? {} : { workspace: digest(workspace) }) }
    const keys = await scanIds(this.#fresh, place, filter, call)
    const found: Found[] = []
    for (let from = 0; from < keys.length; from += MAX_ENTRIES) {
      const entries = await this.#read(keys.slice(from, from + MAX_ENTRIES), call)
      found.push(...[...entries.values()].flatMap((entry) => entry.found ?? []))
    }
    return found
  }

  async create(workspace: string, record: CollectionRecord, call?: BackendCall): Promise<void> {
    const place = await this.#createdPlace(call)
    const key = keyOf(workspace, record.name)
    const before = await this.#entries.get(key)
    if (before?.found !== undefined) return checkSameSettings(before.found.record, record)
    const { index, numbers } = await this.#indexFor(record, call)
    const version = await this.#claim(place, key, (before?.version ?? 0) + 1, record, call)
    await this.#save(place, key, version, { workspace, ...settingsOf(record), index, numbers }, true, call)
  }

  /**
   * The version of the collection that may be written: of several that create it at once, those with the settings of the first go on, and
   * write the same. Who claimed it and was not heard of again is passed over.
   */
  async #claim(
    place: PineconePlace,
    key: string,
    version: number,
    record: CollectionRecord,
    call: BackendCall | undefined,
  ): Promise<number> {
    const settings = digestOf(record)
    const claimed = await this.#fresh.engine.claim(this.#claimPlace(place, key, version), settings, call)
    if (claimed === settings) return version
    const deadline = Date.now() + Math.min(CLAIM_MS, this.#fresh.waitMs)
    for (; Date.now() < deadline; await pause(CLAIM_PAUSE_MS, call?.signal)) {
      const now = (await this.#entries.get(key))?.found
      if (now !== undefined) checkSameSettings(now.record, record)
      if (now !== undefined) return now.version
    }
    return this.#claim(place, key, version + 1, record, call)
  }

  #claimPlace(place: PineconePlace, key: string, version: number): PineconePlace {
    return { ...place, namespace: `${this.#options.prefix}claim-${key}-${version}` }
  }

  /** The documents first: what fails in between can be repeated, and leaves nothing that nobody can reach. */
  async remove(workspace: string, name: string, call?: BackendCall): Promise<boolean> {
    const key = keyOf(workspace, name)
    const entry = await this.#entries.get(key)
    if (entry?.found === undefined) return false
    const { record, place } = entry.found
    await this.#fresh.engine.removeNamespace(place, call)
    this.#fresh.forget(place)
    const saved = { workspace, ...record, index: place.index, numbers: place.dimension }
    const own = (await this.#place(call))!
    await this.#save(own, key, entry.version + 1, saved, false, call)
    await this.#fresh.engine.removeNamespace(this.#claimPlace(own, key, entry.version), call)
    return true
  }

  async ping(call?: BackendCall): Promise<void> {
    await this.#fresh.engine.ping(this.#indexName(), call)
  }

  // ── Records ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #save(
    place: PineconePlace,
    key: string,
    version: number,
    saved: Saved,
    live: boolean,
    call: BackendCall | undefined,
  ): Promise<void> {
    const json = JSON.stringify(saved)
    const metadata = { _id: key, _h: shardOf(key), workspace: digest(saved.workspace), live, version, json }
    checkedBytes(metadata, 'the collection')
    const values = Array.from({ length: place.dimension }, (_, i) => (i === 0 ? 1 : 0))
    const { lsn } = await this.#fresh.engine.upsert(place, [{ id: key, values, metadata }], call)
    await this.#fresh.settle(place, lsn, [{ filter: { _id: key, version: { $gte: version } }, count: 1 }], call)
  }

  async #read(keys: readonly string[], call?: BackendCall): Promise<Map<string, Entry>> {
    const place = await this.#place(call)
    if (place === undefined) return new Map()
    const filter = { _id: { $in: [...keys] } }
    const matches = await this.#fresh.query(place, { topK: keys.length, filter, includeMetadata: true }, call)
    return new Map(matches.map((match) => [match.id, this.#entryOf(match)]))
  }

  #entryOf({ id, metadata }: PineconeMatch): Entry {
    const { version, live, json } = metadata ?? {}
    if (typeof version !== 'number' || typeof json !== 'string') {
      throw new HoldfastError('CORRUPT', `pinecone: the collection record ${id} cannot be read`)
    }
    if (live !== true) return { version, found: undefined }
    const { workspace, index, numbers, ...saved } = JSON.parse(json) as Saved
    const { dimension: width, distance } = saved
    const namespace = `${this.#options.prefix}${id}-${version}`
    return {
      version,
      found: { version, workspace, record: saved, place: { index, namespace, dimension: numbers, width, distance } },
    }
  }

  // ── Indexes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #indexName(): string {
    return this.#options.index ?? `${this.#options.prefix}catalogue`
  }

  /** Where the catalogue is; undefined before the first collection was created. */
  async #place(call: BackendCall | undefined): Promise<PineconePlace | undefined> {
    const index = this.#indexName()
    const settings = await this.#fresh.engine.settings(index, call)
    if (settings !== undefined) return { index, namespace: `${this.#options.prefix}catalogue`, dimension: settings.dimension }
    if (this.#options.index === undefined) return undefined
    throw missingIndex(index)
  }

  async #createdPlace(call: BackendCall | undefined): Promise<PineconePlace> {
    const name = this.#indexName()
    if (this.#options.index === undefined) await this.#ensure(name, CATALOGUE_DIMENSION, 'cosine', call)
    return (await this.#place(call))!
  }

  /** The index for a collection's documents, and how many numbers its vectors have. */
  async #indexFor(
    { dimension, distance }: CollectionRecord,
    call: BackendCall | undefined,
  ): Promise<{ index: string; numbers: number }> {
    const metric = METRICS[distance]
    if (this.#options.index !== undefined) return this.#givenIndex(this.#options.index, dimension, metric, call)
    // Room for one more number lets the index keep zero vectors; under cosine there are none.
    const numbers = distance === 'cosine' ? dimension : dimension + 1
    const index = `${this.#options.prefix}${dimension}-${metric}`
    await this.#ensure(index, numbers, metric, call)
    return { index, numbers }
  }

  async #givenIndex(index: string, dimension: number, metric: PineconeMetric, call: BackendCall | undefined) {
    const settings = await this.#fresh.engine.settings(index, call)
    if (settings === undefined) throw missingIndex(index)
    const fits = settings.dimension === dimension || (metric !== 'cosine' && settings.dimension === dimension + 1)
    if (fits && settings.metric === metric) return { index, numbers: settings.dimension }
    const message = `pinecone: the index ${index} keeps ${settings.dimension} dimensions under ${settings.metric}, not ${dimension} under ${metric}`
    throw new HoldfastError('UNSUPPORTED', `${message}; without the option index, one is made for each`, {
      outcome: 'not-applied',
    })
  }

  async #ensure(name: string, dimension: number, metric: PineconeMetric, call: BackendCall | undefined): Promise<void> {
    const { autoCreate, cloud, region } = this.#options
    if (autoCreate) return this.#fresh.engine.createIndex(name, { dimension, metric }, { cloud, region }, call)
    if ((await this.#fresh.engine.settings(name, call)) === undefined) throw missingIndex(name)
  }
}

/** Two names, not one joined text. */
function keyOf(workspace: string, name: string): string {
  return digest(JSON.stringify([workspace, name]))
}

/** The same for settings that are equal. */
function digestOf({ dimension, distance, fields }: CollectionRecord): string {
  return digest(JSON.stringify([dimension, distance, Object.entries(fields).toSorted(([a], [b]) => compareBytes(a, b))]))
}
