/**
 * A bucket of Cloud Storage: objects with a generation that every write makes anew, and writes that hold only for the generation they expect.
 *
 * Objects are written and listed by the JSON API, and read by the XML API, which alone tells an object's own metadata together with its bytes.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError } from '../errors.ts'
import type { BackendCall } from '../store/contract.ts'
import { withOutcome } from '../store/core.ts'
import { isMissingBucket, missingBucket, unavailable } from './gcs-errors.ts'
import { textOf, type GcsHttp, type GcsRequest, type GcsResponse } from './gcs-http.ts'

/** Of one generation, and so for ever the same. */
export interface GcsObject {
  readonly generation: string
  /** Milliseconds since 1970; undefined: never. Cloud Storage itself knows nothing of it. */
  readonly expiresAt: number | undefined
}

export interface GcsListed extends GcsObject {
  readonly name: string
  /** What `note` was when it was written. */
  readonly note: string | undefined
}

export interface GcsWrite {
  readonly body: string | Uint8Array
  readonly expiresAt: number | undefined
  /** Kept in the metadata. */
  readonly note?: string | undefined
}

export interface GcsQuery {
  readonly prefix: string
  /** Inclusive. */
  readonly startOffset?: string | undefined
  /** Exclusive. */
  readonly endOffset?: string | undefined
  readonly delimiter?: string | undefined
  readonly maxResults: number
  readonly pageToken?: string | undefined
}

export interface GcsPage {
  readonly items: readonly GcsListed[]
  /** With a delimiter: what names share up to it. */
  readonly prefixes: readonly string[]
  /** There when more may follow. */
  readonly nextPageToken: string | undefined
}

/** As many as one answer holds. */
export const MAX_RESULTS = 1_000

/** The generation of an object that is not there. */
export const ABSENT = '0'

const EXPIRES = 'holdfast-expires'
const WRITE = 'holdfast-write'
const NOTE = 'holdfast-note'
/** RFC 3339 has four digits for the year. */
const MAX_TIME = Date.UTC(10_000, 0) - 1
/** About 6 s: an object takes one write a second. */
const THROTTLED_ATTEMPTS = 7
const UNCLEAR_ATTEMPTS = 4
/** A line that is silent for so long is not tried again. */
const MAX_UNCLEAR_MS = 10_000
const MAX_PAUSE_MS = 2_000

export class GcsBucket {
  readonly name: string
  readonly #http: GcsHttp
  readonly #objects: string

  constructor(http: GcsHttp, name: string) {
    this.name = name
    this.#http = http
    this.#objects = `/storage/v1/b/${name}/o`
  }

  async read(name: string, call?: BackendCall): Promise<(GcsObject & { readonly body: Uint8Array }) | undefined> {
    const response = await this.#send({ method: 'GET', path: `/${this.name}/${encodeURIComponent(name)}` }, call)
    if (response.status === 404) return undefined
    const { headers, body } = response
    const generation = headers.get('x-goog-generation')
    if (generation === null) throw unavailable('what answered is not Cloud Storage: the object has no generation', undefined)
    return { generation, expiresAt: timeOf(headers.get(`x-goog-meta-${EXPIRES}`)), body }
  }

  /** The same without the bytes. */
  async look(name: string, call?: BackendCall): Promise<GcsListed | undefined> {
    const path = `${this.#objects}/${encodeURIComponent(name)}?fields=name,generation,metadata`
    const response = await this.#send({ method: 'GET', path }, call)
    return response.status === 404 ? undefined : toListed(JSON.parse(textOf(response)) as ObjectResource)
  }

  /**
   * Writes the object, where a generation is given only over that one (`ABSENT`: only where there is none), and gives its new generation;
   * undefined where another is there. A conditional write whose answer is lost is sent again, and finds out whether it was its own.
   */
  async write(name: string, write: GcsWrite, over: string | undefined, call?: BackendCall): Promise<string | undefined> {
    const id = randomUUID()
    const request = this.#upload(name, write, over, id)
    const deadline = performance.now() + MAX_UNCLEAR_MS
    for (let attempt = 0, open = false; ; attempt++) {
      const answer = await this.#send(request, call).catch((error: unknown) => {
        const isLast = over === undefined || attempt + 1 === UNCLEAR_ATTEMPTS || performance.now() > deadline
        if (isLast || !(open || isUnclear(error)) || !isPassing(error)) throw open ? withOutcome(error, 'unknown') : error
      })
      if (answer?.status === 412) return open ? this.#own(name, id, call) : undefined
      if (answer !== undefined) return (JSON.parse(textOf(answer)) as ObjectResource).generation
      open = true
      await pause(attempt, call, 'unknown')
    }
  }

  /** Deletes that generation of the object. */
  async remove(name: string, generation: string, call?: BackendCall): Promise<'removed' | 'absent' | 'changed'> {
    const path = `${this.#objects}/${encodeURIComponent(name)}?ifGenerationMatch=${generation}`
    const { status } = await this.#send({ method: 'DELETE', path }, call)
    if (status === 412) return 'changed'
    return status === 404 ? 'absent' : 'removed'
  }

  /** In bytewise order of names. Fewer than asked for do not mean that no more follow. */
  async list(query: GcsQuery, call?: BackendCall): Promise<GcsPage> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string | number][]
    const parameters = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))
    parameters.set('fields', 'items(name,generation,metadata),prefixes,nextPageToken')
    const response = await this.#send({ method: 'GET', path: `${this.#objects}?${parameters.toString()}` }, call)
    if (response.status === 404) throw missingBucket(this.name)
    const { items = [], prefixes = [], nextPageToken } = JSON.parse(textOf(response)) as ListResource
    return { items: items.map(toListed), prefixes, nextPageToken }
  }

  /** Whether the bucket is there and may be listed; reading its own description would take one permission more. */
  async ping(prefix: string, call?: BackendCall): Promise<void> {
    await this.list({ prefix, maxResults: 1 }, call)
  }

  close(): void {
    this.#http.close()
  }

  /** Waits and sends again while there are too many requests, which none of them is then. */
  async #send(request: GcsRequest, call: BackendCall | undefined): Promise<GcsResponse> {
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await this.#http.send(request, call)
        if (response.status === 404 && isMissingBucket(textOf(response))) throw missingBucket(this.name)
        if (response.status === 404 && request.method === 'POST') throw missingBucket(this.name)
        return response
      } catch (error) {
        if (!isHoldfastError(error, 'RATE_LIMITED') || attempt + 1 === THROTTLED_ATTEMPTS) throw error
        await pause(attempt, call, 'not-applied')
      }
    }
  }

  /** One request for metadata and bytes. */
  #upload(name: string, { body, expiresAt, note }: GcsWrite, over: string | undefined, id: string): GcsRequest {
    const isText = typeof body === 'string'
    const contentType = isText ? 'application/json' : 'application/octet-stream'
    const metadata = {
      [WRITE]: id,
      ...(expiresAt === undefined ? {} : { [EXPIRES]: String(expiresAt) }),
      ...(note === undefined ? {} : { [NOTE]: encodeURIComponent(note) }),
    }
    // For lifecycle rules (`daysSinceCustomTime`). Nothing between here and the bucket is to keep a copy.
    const customTime = expiresAt === undefined || expiresAt > MAX_TIME ? undefined : new Date(expiresAt).toISOString()
    const resource = { name, contentType, cacheControl: 'no-store', customTime, metadata }
    const boundary = `holdfast-${id}`
    const head = `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n--${boundary}\r\nContent-Type: ${contentType}\r\n\r\n`
    const content = isText ? Buffer.from(body) : body
    const condition = over === undefined ? '' : `&ifGenerationMatch=${over}`
    return {
      method: 'POST',
      path: `/upload${this.#objects}?uploadType=multipart&fields=generation${condition}`,
      contentType: `multipart/related; boundary=${boundary}`,
      body: Buffer.concat([Buffer.from(head), content, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    }
  }

  /** After an attempt whose answer was lost: the generation, where what is there was written by it. */
  async #own(name: string, id: string, call: BackendCall | undefined): Promise<string> {
    const path = `${this.#objects}/${encodeURIComponent(name)}?fields=generation,metadata`
    const response = await this.#send({ method: 'GET', path }, call).catch((error: unknown) => {
      throw withOutcome(error, 'unknown')
    })
    const found = response.status === 404 ? undefined : (JSON.parse(textOf(response)) as ObjectResource)
    if (found?.metadata?.[WRITE] === id) return found.generation
    // It may have been done before the other one. To send it again might do it twice.
    throw unavailable('the answer to a write was lost, and another write followed', 'unknown')
  }
}

interface ObjectResource {
  readonly name: string
  readonly generation: string
  readonly metadata?: Readonly<Record<string, string>>
}

interface ListResource {
  readonly items?: readonly ObjectResource[]
  readonly prefixes?: readonly string[]
  readonly nextPageToken?: string
}

function toListed({ name, generation, metadata }: ObjectResource): GcsListed {
  return { name, generation, expiresAt: timeOf(metadata?.[EXPIRES]), note: noteOf(metadata?.[NOTE]) }
}

/** Undefined also where somebody else wrote it. */
function noteOf(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function timeOf(text: string | null | undefined): number | undefined {
  return text !== undefined && text !== null && /^\d+$/.test(text) ? Number(text) : undefined
}

function isUnclear(error: unknown): boolean {
  return isHoldfastError(error) && error.outcome === 'unknown'
}

/** What may be otherwise a moment later; the caller's own signal is not. */
function isPassing(error: unknown): boolean {
  return isHoldfastError(error, 'UNAVAILABLE') || isHoldfastError(error, 'RATE_LIMITED')
}

/** Exponential, with full jitter. */
async function pause(attempt: number, call: BackendCall | undefined, outcome: 'unknown' | 'not-applied'): Promise<void> {
  const ms = Math.random() * Math.min(MAX_PAUSE_MS, 100 * 2 ** attempt)
  try {
    await sleep(ms, undefined, call?.signal ? { signal: call.signal } : undefined)
  } catch {
    throw withOutcome(call?.signal?.reason, outcome)
  }
}
