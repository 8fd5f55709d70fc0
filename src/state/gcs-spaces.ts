/** The spaces of a bucket: folders, read as such. Those whose names are too long for a folder's are told by an object in it. */
import { MAX_RESULTS, type GcsBucket, type GcsListed } from '../engines/gcs.ts'
import type { BackendCall } from '../store/contract.ts'
import { compareBytes } from '../store/text.ts'
import type { StateScan } from './contract.ts'
import { liveOf } from './gcs-known.ts'
import { decodeSpace, FOLDER_END, HASHED, rangeBelow, READABLE, spaceRange, type NameRange } from './gcs-names.ts'
import { inParallel } from './gcs-parallel.ts'

interface Folder {
  readonly space: string
  /** Up to its end mark. */
  readonly name: string
}

/** Most folders hold a live entry right at the beginning. */
const FIRST_LOOK = 10
const MAX_KNOWN = 10_000

export class Spaces {
  readonly #bucket: GcsBucket
  readonly #root: string
  /** The spaces of folders that do not tell them. */
  readonly #hashed = new Map<string, string>()

  constructor(bucket: GcsBucket, root: string) {
    this.#bucket = bucket
    this.#root = root
  }

  /** Those that hold an entry, as `listSpaces` gives them: two requests or more, and one for each space that is looked into. */
  async list(scan: StateScan, call: BackendCall | undefined): Promise<string[]> {
    const found: string[] = []
    let looked: Folder[] = []
    const look = async (): Promise<void> => {
      const live = await inParallel(looked, ({ name }) => this.#first(name, call, isLive))
      found.push(...looked.filter((_, i) => live[i] !== undefined).map(({ space }) => space))
      looked = []
    }
    for await (const folder of this.#folders(scan, call)) {
      if (looked.push(folder) + found.length === scan.limit) await look()
      if (found.length === scan.limit) return found
    }
    await look()
    return found
  }

  /** In the order of their spaces. */
  async *#folders(scan: StateScan, call: BackendCall | undefined): AsyncGenerator<Folder, void> {
    const range = spaceRange(scan)
    if (range === undefined) return
    const hashed = await this.#hashedIn(scan, call)
    const base = this.#root + READABLE
    for await (const name of this.#named(base, rangeBelow(base, range), Math.max(scan.limit, FIRST_LOOK), call)) {
      const space = decodeSpace(name.slice(base.length, -FOLDER_END.length))
      if (space === undefined) continue
      while (hashed.length > 0 && compareBytes(hashed[0]!.space, space) < 0) yield hashed.shift()!
      yield { space, name }
    }
    yield* hashed
  }

  /** Their folders are in no order, so all are read, and each is looked into once. */
  async #hashedIn({ prefix, after }: StateScan, call: BackendCall | undefined): Promise<Folder[]> {
    const names = await Array.fromAsync(this.#named(this.#root + HASHED, {}, MAX_RESULTS, call))
    const spaces = await inParallel(names, (name) => this.#spaceOf(name, call))
    return names
      .flatMap((name, i): Folder[] => (spaces[i] === undefined ? [] : [{ name, space: spaces[i] }]))
      .filter(({ space }) => space.startsWith(prefix) && (after === undefined || compareBytes(space, after) > 0))
      .toSorted((one, other) => compareBytes(one.space, other.space))
  }

  async #spaceOf(name: string, call: BackendCall | undefined): Promise<string | undefined> {
    const known = this.#hashed.get(name)
    if (known !== undefined) return known
    const space = (await this.#first(name, call, ({ note }) => note !== undefined))?.note
    if (this.#hashed.size >= MAX_KNOWN) this.#hashed.clear()
    if (space !== undefined) this.#hashed.set(name, space)
    return space
  }

  async *#named(
    base: string,
    range: Partial<NameRange>,
    expected: number,
    call: BackendCall | undefined,
  ): AsyncGenerator<string, void> {
    let maxResults = Math.min(expected, MAX_RESULTS)
    let pageToken: string | undefined
    do {
      const query = { prefix: base, ...range, delimiter: FOLDER_END, maxResults, pageToken }
      const page = await this.#bucket.list(query, call)
      yield* page.prefixes
      maxResults = MAX_RESULTS
      pageToken = page.nextPageToken
    } while (pageToken !== undefined)
  }

  async #first(
    folder: string,
    call: BackendCall | undefined,
    fits: (object: GcsListed) => boolean,
  ): Promise<GcsListed | undefined> {
    let maxResults = FIRST_LOOK
    let pageToken: string | undefined
    do {
      const page = await this.#bucket.list({ prefix: `${folder}/`, maxResults, pageToken }, call)
      const found = page.items.find(fits)
      if (found !== undefined) return found
      maxResults = MAX_RESULTS
      pageToken = page.nextPageToken
    } while (pageToken !== undefined)
    return undefined
  }
}

function isLive(object: GcsListed): boolean {
  return liveOf(object) !== undefined
}
