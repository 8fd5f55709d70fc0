/**
 * State in a bucket of Google Cloud Storage: an object a key, which holds the plain value. A write expects the generation that it replaces,
 * so one key changes atomically, and no two do together.
 */
import { GCS_OPTIONS, gcsLocation, type GcsOptions } from '../../engines/gcs-options.ts'
import { openGcs } from '../../engines/gcs-open.ts'
import { MAX_RESULTS, type GcsBucket, type GcsListed } from '../../engines/gcs.ts'
import { isHoldfastError } from '../../errors.ts'
import type { BackendCall } from '../../store/contract.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend, StateCapabilities, StateCommit, StateCommitResult, StateEntry, StateScan } from '../contract.ts'
import { Committer, versionOf } from '../gcs-commit.ts'
import { KnownObjects, liveOf } from '../gcs-known.ts'
import { decodeKey, encodeKey, folderOf, keyRange, rangeBelow } from '../gcs-names.ts'
import { inParallel } from '../gcs-parallel.ts'
import { Spaces } from '../gcs-spaces.ts'

export type GcsStateOptions = GcsOptions

/** An object is changed at one blow, several never are. https://cloud.google.com/storage/docs/consistency */
export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: 1 }

/** Cloud Storage takes 5 TiB; a value is held in memory while it is read or written. */
const LIMITS = { valueBytes: 100_000_000 } as const
const DEFAULT_PREFIX = 'holdfast/state/'

export const create = defineBackend<GcsStateOptions, StateBackend>(GCS_OPTIONS, async (options, context) => {
  const { bucket: name, prefix } = gcsLocation(options, DEFAULT_PREFIX)
  const bucket = await openGcs(options, name, context)
  await bucket.ping(prefix)
  return new GcsState(bucket, prefix)
})

class GcsState implements StateBackend {
  readonly capabilities = capabilities
  readonly limits = LIMITS
  readonly #bucket: GcsBucket
  readonly #prefix: string
  readonly #known = new KnownObjects()
  readonly #committer: Committer
  readonly #spaces: Spaces

  constructor(bucket: GcsBucket, prefix: string) {
    this.#bucket = bucket
    this.#prefix = prefix
    this.#committer = new Committer(bucket, this.#known, prefix)
    this.#spaces = new Spaces(bucket, prefix)
  }

  get(space: string, keys: readonly string[], call?: BackendCall): Promise<(StateEntry | undefined)[]> {
    const folder = this.#folder(space)
    return inParallel(keys, (key) => this.#read(folder + encodeKey(key), call))
  }

  commit(space: string, commit: StateCommit, call?: BackendCall): Promise<StateCommitResult> {
    return this.#committer.commit(space, commit, call)
  }

  async scan(space: string, scan: StateScan, call?: BackendCall): Promise<string[]> {
    const keys: string[] = []
    const expired: GcsListed[] = []
    const folder = this.#folder(space)
    for await (const object of this.#objectsIn(folder, scan, call)) {
      const key = decodeKey(object.name.slice(folder.length))
      if (key === undefined) continue
      if (liveOf(object) === undefined) {
        expired.push(object)
        continue
      }
      this.#known.note(object.name, object)
      if (keys.push(key) === scan.limit) break
    }
    await this.#sweep(expired.slice(0, scan.limit), call)
    return keys
  }

  listSpaces(scan: StateScan, call?: BackendCall): Promise<string[]> {
    return this.#spaces.list(scan, call)
  }

  ping(call?: BackendCall): Promise<void> {
    return this.#bucket.ping(this.#prefix, call)
  }

  async close(): Promise<void> {
    this.#bucket.close()
  }

  #folder(space: string): string {
    return this.#prefix + folderOf(space)
  }

  async #read(name: string, call: BackendCall | undefined): Promise<StateEntry | undefined> {
    const found = liveOf(await this.#bucket.read(name, call))
    if (found === undefined) return undefined
    const { body, expiresAt } = found
    const ttlMs = expiresAt === undefined ? undefined : Math.max(1, expiresAt - Date.now())
    return { value: body, version: versionOf(found), ttlMs }
  }

  async *#objectsIn(folder: string, scan: StateScan, call: BackendCall | undefined): AsyncGenerator<GcsListed, void> {
    const range = keyRange(scan)
    if (range === undefined) return
    let maxResults = Math.min(scan.limit, MAX_RESULTS)
    let pageToken: string | undefined
    do {
      const page = await this.#bucket.list({ prefix: folder, ...rangeBelow(folder, range), maxResults, pageToken }, call)
      yield* page.items
      // Where some had expired, there may be many of them.
      maxResults = MAX_RESULTS
      pageToken = page.nextPageToken
    } while (pageToken !== undefined)
  }

  /** What has expired and was passed on the way. Whoever may only read may leave it to others, or to a rule of the bucket. */
  async #sweep(expired: readonly GcsListed[], call: BackendCall | undefined): Promise<void> {
    await inParallel(expired, async ({ name, generation }) => {
      await this.#bucket.remove(name, generation, call).catch(leaveIt)
    })
  }
}

function leaveIt(error: unknown): void {
  if (!isHoldfastError(error)) throw error
}
