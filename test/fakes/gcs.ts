/**
 * Cloud Storage on the wire, in memory, strict where the emulator is lenient: written from the reference of the JSON API
 * (https://cloud.google.com/storage/docs/json_api/v1) and, for reading, of the XML API (https://cloud.google.com/storage/docs/xml-api).
 * It knows what the backend sends and what its tests ask; what it does not know, it refuses with 501.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FakeBucket, Refusal, type FakeObject } from './gcs-objects.ts'

export interface FakeGcsOptions {
  /** A bearer token that requests must carry; none by default. */
  readonly token?: string
  /** Milliseconds that must pass between two writes of an object; 1,000 on the real one, none by default. */
  readonly writeIntervalMs?: number
}

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
}

interface Call {
  readonly method: string
  readonly parts: readonly string[]
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export class FakeGcs implements AsyncDisposable {
  readonly #options: FakeGcsOptions
  readonly #buckets = new Map<string, FakeBucket>()
  readonly #sessions = new Map<string, { bucket: FakeBucket; resource: Resource; query: URLSearchParams }>()
  readonly #writtenAt = new Map<string, number>()
  #server: Server | undefined
  #port = 0

  private constructor(options: FakeGcsOptions) {
    this.#options = options
  }

  static async open(options: FakeGcsOptions = {}): Promise<FakeGcs> {
    const fake = new FakeGcs(options)
    await fake.start()
    return fake
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Objects without the wire, as many as one likes. */
  fill(bucket: string, names: Iterable<string>): void {
    const found = this.#bucket(bucket)
    const none = new URLSearchParams()
    for (const name of names) found.put({ name, body: Buffer.from('1'), contentType: 'application/json', metadata: {} }, none)
  }

  /** On the same port, with the same data. */
  async start(): Promise<void> {
    this.#server = createServer((request, response) => void this.#serve(request, response))
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Ends all connections too, whatever is under way on them. */
  async stop(): Promise<void> {
    const server = this.#server!
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const { pathname, searchParams: query } = new URL(`http://fake${request.url}`)
    const parts = pathname.slice(1).split('/').map(decodeURIComponent)
    const { method = 'GET', headers } = request
    const { status, headers: own = {}, body = '' } = this.#answer({ method, parts, query, headers, body: Buffer.concat(chunks) })
    const type = own['content-type'] ?? 'application/json; charset=UTF-8'
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...own })
    response.end(method === 'HEAD' ? undefined : body)
  }

  #answer(call: Call): Answer {
    const isXml = !['storage', 'upload', 'download'].includes(call.parts[0]!)
    try {
      this.#authorise(call)
      return isXml ? this.#download(call.parts[0]!, call.parts.slice(1).join('/'), call) : this.#json(call)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return isXml ? xmlError(error) : jsonError(error)
    }
  }

  #authorise({ headers }: Call): void {
    const { token } = this.#options
    if (token !== undefined && headers.authorization !== `Bearer ${token}`)
      throw new Refusal(401, 'authError', 'Invalid Credentials')
  }

  #json(call: Call): Answer {
    const [first, ...rest] = call.parts
    const path = first === 'storage' ? call.parts : rest
    const [, version, b, bucket, o, ...name] = path
    if (version !== 'v1' || b !== 'b') throw unknown(call)
    if (bucket === undefined) return this.#createBucket(call)
    if (o === undefined) return this.#bucketItself(bucket, call)
    const found = this.#bucket(bucket)
    if (first === 'upload') return this.#upload(found, call)
    if (name.length === 0 && call.method === 'GET') return this.#list(found, call)
    // A name's slashes are escaped; one that is not would end it.
    if (name.length !== 1) throw unknown(call)
    return this.#object(found, name[0]!, call)
  }

  #createBucket({ method, body }: Call): Answer {
    if (method !== 'POST') throw new Refusal(501, 'notImplemented', 'only creating buckets')
    const { name } = JSON.parse(body.toString()) as { name: string }
    if (this.#buckets.has(name)) throw new Refusal(409, 'conflict', 'Your previous request to create the named bucket succeeded.')
    this.#buckets.set(name, new FakeBucket(name))
    return json({ kind: 'storage#bucket', name })
  }

  #bucketItself(name: string, call: Call): Answer {
    const bucket = this.#bucket(name)
    if (call.method === 'GET') return json({ kind: 'storage#bucket', name })
    if (call.method !== 'DELETE') throw unknown(call)
    if (!bucket.isEmpty) throw new Refusal(409, 'conflict', 'The bucket you tried to delete is not empty.')
    this.#buckets.delete(name)
    return { status: 204 }
  }

  #object(bucket: FakeBucket, name: string, call: Call): Answer {
    switch (call.method) {
      case 'GET':
        if (call.query.get('alt') === 'media') return this.#download(bucket.name, name, call, false)
        bucket.check(bucket.get(name).name, call.query)
        return json(selected(resourceOf(bucket, bucket.get(name)), call.query))
      case 'DELETE':
        this.#throttle(bucket, name)
        bucket.delete(name, call.query)
        return { status: 204 }
      case 'PATCH':
        return json(resourceOf(bucket, bucket.patch(name, JSON.parse(call.body.toString()) as Partial<FakeObject>, call.query)))
      default:
        throw unknown(call)
    }
  }

  /** The XML API tells an object's own metadata; `alt=media` of the JSON API does not. */
  #download(bucketName: string, name: string, call: Call, tellsMetadata = true): Answer {
    if (call.method !== 'GET' && call.method !== 'HEAD') throw unknown(call)
    const { generation, metageneration, metadata, body, contentType, customTime } = this.#bucket(bucketName).get(name)
    const own = tellsMetadata ? Object.entries(metadata).map(([key, value]) => [`x-goog-meta-${key}`, value]) : []
    const headers = {
      'content-type': contentType,
      'x-goog-generation': generation,
      'x-goog-metageneration': String(metageneration),
      'x-goog-stored-content-length': String(body.length),
      ...(tellsMetadata && customTime !== undefined ? { 'x-goog-custom-time': customTime } : {}),
      ...(Object.fromEntries(own) as Record<string, string>),
    }
    return { status: 200, headers, body }
  }

  #upload(bucket: FakeBucket, call: Call): Answer {
    const type = call.query.get('uploadType')
    const name = call.query.get('name') ?? undefined
    if (type === 'media') return this.#put(bucket, { name, contentType: call.headers['content-type'] }, call.body, call.query)
    if (type === 'multipart') {
      const { resource, body } = parseMultipart(call)
      return this.#put(bucket, { name, ...resource }, body, call.query)
    }
    if (type !== 'resumable') throw unknown(call)
    const id = call.query.get('upload_id')
    if (id === null) return this.#startSession(bucket, name, call)
    const session = this.#sessions.get(id)
    if (session === undefined) throw new Refusal(410, 'gone', 'no such upload')
    return this.#put(session.bucket, session.resource, call.body, session.query)
  }

  #startSession(bucket: FakeBucket, name: string | undefined, call: Call): Answer {
    const id = String(this.#sessions.size)
    const resource = call.body.length === 0 ? {} : (JSON.parse(call.body.toString()) as Resource)
    this.#sessions.set(id, { bucket, resource: { name, ...resource }, query: call.query })
    const location = `${this.url}/upload/storage/v1/b/${bucket.name}/o?uploadType=resumable&upload_id=${id}`
    return { status: 200, headers: { location } }
  }

  #put(bucket: FakeBucket, resource: Resource, body: Buffer, query: URLSearchParams): Answer {
    const { name, contentType = 'application/octet-stream', metadata = {}, customTime, cacheControl } = resource
    if (name === undefined) throw new Refusal(400, 'required', 'Required parameter: name')
    this.#throttle(bucket, name)
    const object = bucket.put({ name, body, contentType, metadata, customTime, cacheControl }, query)
    return json(selected(resourceOf(bucket, object), query))
  }

  #throttle(bucket: FakeBucket, name: string): void {
    const { writeIntervalMs } = this.#options
    if (writeIntervalMs === undefined) return
    const place = `${bucket.name}/${name}`
    if (performance.now() - (this.#writtenAt.get(place) ?? -Infinity) < writeIntervalMs) {
      throw new Refusal(429, 'rateLimitExceeded', `The object ${place} exceeded the rate limit for object mutation operations.`)
    }
    this.#writtenAt.set(place, performance.now())
  }

  #list(bucket: FakeBucket, { query }: Call): Answer {
    const text = (name: string): string | undefined => query.get(name) ?? undefined
    const maxResults = Math.min(Number(query.get('maxResults') ?? 1_000), 1_000)
    if (!(maxResults >= 1)) throw new Refusal(400, 'invalid', 'maxResults')
    const { items, ...page } = bucket.list({
      prefix: text('prefix') ?? '',
      startOffset: text('startOffset'),
      endOffset: text('endOffset'),
      delimiter: text('delimiter'),
      pageToken: text('pageToken'),
      maxResults,
    })
    return json(selected({ kind: 'storage#objects', items: items.map((object) => resourceOf(bucket, object)), ...page }, query))
  }

  #bucket(name: string): FakeBucket {
    const found = this.#buckets.get(name)
    if (found === undefined) throw new Refusal(404, 'notFound', 'The specified bucket does not exist.')
    return found
  }
}

/** What an upload says of an object. */
interface Resource {
  readonly name?: string | undefined
  readonly contentType?: string | undefined
  readonly metadata?: Readonly<Record<string, string>>
  readonly customTime?: string
  readonly cacheControl?: string
}

function resourceOf(bucket: FakeBucket, { body, ...object }: FakeObject): object {
  const kind = { kind: 'storage#object', id: `${bucket.name}/${object.name}/${object.generation}`, bucket: bucket.name }
  return { ...kind, ...object, metageneration: String(object.metageneration), size: String(body.length) }
}

/** The part of the answer that `fields` names: members, and members of members in parentheses. */
function selected(answer: object, query: URLSearchParams): unknown {
  const fields = query.get('fields')
  return fields === null ? answer : pick(answer, fields)
}

function pick(value: unknown, fields: string): unknown {
  if (Array.isArray(value)) return value.map((item) => pick(item, fields))
  const wanted = [...fields.matchAll(/([^,()]+)(?:\(([^()]*)\))?/g)]
  const entries = wanted.map(([, name, inner]) => {
    const member = (value as Record<string, unknown>)[name!]
    return [name!, member === undefined || inner === undefined ? member : pick(member, inner)]
  })
  return Object.fromEntries(entries)
}

/** Two parts: the resource, and the content as it is. https://cloud.google.com/storage/docs/json_api/v1/how-tos/multipart-upload */
function parseMultipart({ headers, body }: Call): { resource: Resource; body: Buffer } {
  const boundary = /^multipart\/related; boundary="?([^";]+)"?$/.exec(headers['content-type'] ?? '')?.[1]
  const open = Buffer.from(`--${boundary}\r\n`)
  const middle = body.indexOf(`\r\n${open.toString()}`, open.length)
  const end = body.lastIndexOf(`\r\n--${boundary}--`)
  const isWhole = boundary !== undefined && body.subarray(0, open.length).equals(open) && middle > 0 && end > middle
  if (!isWhole) throw new Refusal(400, 'badContent', 'Missing end boundary in multipart body.')
  const second = body.subarray(middle + 2 + open.length, end)
  const resource = contentOf(body.subarray(open.length, middle))
  const contentType = /^content-type: *(.*)$/im.exec(second.subarray(0, second.indexOf('\r\n\r\n')).toString())?.[1]
  return { resource: { contentType, ...(JSON.parse(resource.toString()) as Resource) }, body: contentOf(second) }
}

function contentOf(part: Buffer): Buffer {
  return part.subarray(part.indexOf('\r\n\r\n') + 4)
}

function json(body: unknown): Answer {
  return { status: 200, body: JSON.stringify(body) }
}

function unknown({ method, parts }: Call): Refusal {
  return new Refusal(501, 'notImplemented', `${method} ${parts.join('/')}`)
}

function jsonError({ status, reason, message }: Refusal): Answer {
  const error = { code: status, message, errors: [{ message, domain: 'global', reason }] }
  return { status, body: JSON.stringify({ error }) }
}

function xmlError({ status, message }: Refusal): Answer {
  const code = status !== 404 ? `Status${status}` : message.startsWith('The specified bucket') ? 'NoSuchBucket' : 'NoSuchKey'
  const body = `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code><Message>${code}</Message></Error>`
  return { status, headers: { 'content-type': 'application/xml; charset=UTF-8' }, body }
}
