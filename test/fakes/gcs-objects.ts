/** The buckets of the fake of Cloud Storage: objects with generations, preconditions, and listings in bytewise order of names. */
import { compareBytes } from '../../src/store/text.ts'

export interface FakeObject {
  readonly name: string
  readonly body: Buffer
  readonly generation: string
  readonly metageneration: number
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly customTime?: string | undefined
  readonly cacheControl?: string | undefined
}

/** What a request asks for and cannot have, with the status and reason that the documentation gives it. */
export class Refusal extends Error {
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

export interface ListArguments {
  readonly prefix: string
  readonly startOffset: string | undefined
  readonly endOffset: string | undefined
  readonly delimiter: string | undefined
  readonly maxResults: number
  readonly pageToken: string | undefined
}

let lastGeneration = 0n

/** Microseconds, and never the same twice. */
function nextGeneration(): string {
  const now = BigInt(Date.now()) * 1000n
  lastGeneration = now > lastGeneration ? now : lastGeneration + 1n
  return String(lastGeneration)
}

export class FakeBucket {
  readonly name: string
  readonly #objects = new Map<string, FakeObject>()
  /** Names in order, some of which may be gone. */
  #names: string[] = []
  #isSorted = true

  constructor(name: string) {
    this.name = name
  }

  get isEmpty(): boolean {
    return this.#objects.size === 0
  }

  get(name: string): FakeObject {
    const found = this.#objects.get(name)
    if (found === undefined) throw new Refusal(404, 'notFound', `No such object: ${this.name}/${name}`)
    return found
  }

  has(name: string): boolean {
    return this.#objects.has(name)
  }

  /** All at once, as nothing else runs meanwhile. */
  put(object: Omit<FakeObject, 'generation' | 'metageneration'>, conditions: URLSearchParams): FakeObject {
    checkName(object.name)
    this.check(object.name, conditions)
    const written = { ...object, generation: nextGeneration(), metageneration: 1 }
    if (!this.#objects.has(object.name)) {
      this.#names.push(object.name)
      this.#isSorted = false
    }
    this.#objects.set(object.name, written)
    return written
  }

  patch(name: string, change: Partial<FakeObject>, conditions: URLSearchParams): FakeObject {
    const old = this.get(name)
    this.check(name, conditions)
    const metadata = { ...old.metadata, ...change.metadata }
    const patched = { ...old, ...change, metadata, metageneration: old.metageneration + 1 }
    this.#objects.set(name, patched)
    return patched
  }

  delete(name: string, conditions: URLSearchParams): void {
    this.get(name)
    this.check(name, conditions)
    this.#objects.delete(name)
    // Sorting anew drops the names of what is gone.
    this.#isSorted &&= this.#names.length < 2 * this.#objects.size + 1_000
  }

  /** https://cloud.google.com/storage/docs/request-preconditions */
  check(name: string, conditions: URLSearchParams): void {
    const found = this.#objects.get(name)
    const generation = found?.generation ?? '0'
    const metageneration = String(found?.metageneration ?? 0)
    const holds =
      matches(conditions, 'ifGenerationMatch', (wanted) => wanted === generation) &&
      matches(conditions, 'ifGenerationNotMatch', (unwanted) => unwanted !== generation) &&
      matches(conditions, 'ifMetagenerationMatch', (wanted) => wanted === metageneration) &&
      matches(conditions, 'ifMetagenerationNotMatch', (unwanted) => unwanted !== metageneration)
    if (!holds) throw new Refusal(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.')
  }

  /** https://cloud.google.com/storage/docs/json_api/v1/objects/list */
  list({ prefix, startOffset = '', endOffset, delimiter, maxResults, pageToken }: ListArguments): {
    items: FakeObject[]
    prefixes: string[]
    nextPageToken?: string
  } {
    const names = this.#sorted()
    const after = pageToken === undefined ? undefined : Buffer.from(pageToken, 'base64url').toString()
    const from = compareBytes(startOffset, prefix) > 0 ? startOffset : prefix
    const items: FakeObject[] = []
    const prefixes: string[] = []
    let last = ''
    for (
      let at = lowerBound(names, after !== undefined && compareBytes(after, from) > 0 ? after : from);
      at < names.length;
      at++
    ) {
      const name = names[at]!
      if (!name.startsWith(prefix) || (endOffset !== undefined && compareBytes(name, endOffset) >= 0)) break
      const object = this.#objects.get(name)
      if (object === undefined) continue
      const cut = delimiter === undefined ? -1 : name.indexOf(delimiter, prefix.length)
      const shown = cut === -1 ? name : name.slice(0, cut + delimiter!.length)
      // What a token ends with was given, be it a name or all that share a prefix.
      if (shown === prefixes.at(-1) || (after !== undefined && compareBytes(shown, after) <= 0)) continue
      if (items.length + prefixes.length === maxResults)
        return { items, prefixes, nextPageToken: Buffer.from(last).toString('base64url') }
      if (cut === -1) items.push(object)
      else prefixes.push(shown)
      last = shown
    }
    return { items, prefixes }
  }

  #sorted(): string[] {
    if (!this.#isSorted) this.#names = [...this.#objects.keys()].toSorted(compareBytes)
    this.#isSorted = true
    return this.#names
  }
}

function matches(conditions: URLSearchParams, name: string, holds: (value: string) => boolean): boolean {
  const value = conditions.get(name)
  if (value === null) return true
  if (!/^\d+$/.test(value)) throw new Refusal(400, 'invalidParameter', `Invalid value for ${name}`)
  return holds(value)
}

/** https://cloud.google.com/storage/docs/objects#naming */
function checkName(name: string): void {
  const isLegal =
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    Buffer.byteLength(name) <= 1_024 &&
    name.isWellFormed() &&
    !/[\r\n\0]/.test(name) &&
    !name.startsWith('.well-known/acme-challenge/')
  if (!isLegal) throw new Refusal(400, 'invalid', 'Disallowed unicode characters or length in object name.')
}

function lowerBound(names: readonly string[], from: string): number {
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(names[middle]!, from) < 0) low = middle + 1
    else high = middle
  }
  return low
}
