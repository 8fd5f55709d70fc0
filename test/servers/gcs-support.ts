/** What the tests of Cloud Storage share: servers, and buckets of their own on them. */
import { randomUUID } from 'node:crypto'
import { describe, afterAll, beforeAll } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn, serverHarness } from '../conformance/harness.ts'
import type { On } from '../conformance/recorded.ts'
import { GcsProxy } from '../fakes/gcs-proxy.ts'
import { FakeGcs, type FakeGcsOptions } from '../fakes/gcs.ts'
import { Proxy } from '../faults/proxy.ts'
import { withService, type Service } from '../services.ts'

/** A server of Cloud Storage, and the HTTP proxy by way of which tests talk to it. */
export interface Server {
  readonly http: GcsProxy
  /** By way of it. */
  readonly url: string
  /** The shortest way there is to a server that is right. */
  readonly direct: string
  /** The server itself, which may be wrong. */
  readonly raw: string
}

const FAKE: On = { engine: 'Cloud Storage JSON and XML API', version: 'v1', category: 'wire-level fake' }

/** The same block of tests over the wire-level fake, and over fake-gcs-server with what it gets wrong put right. */
export function onEachServer(title: string, body: (server: Server, on: Service | On) => void): void {
  onFake(`${title}, on the wire-level fake`, {}, (server) => body(server, FAKE))
  withService('gcs', `${title}, on fake-gcs-server`, (service) => {
    body(
      during(async () => {
        const http = await GcsProxy.open(service.url, { corrects: true })
        return { http, direct: http.url, raw: service.url, ended: [http] }
      }),
      service,
    )
  })
}

export function onFake(title: string, options: FakeGcsOptions, body: (server: Server) => void): void {
  describe(title, () => {
    body(
      during(async () => {
        const fake = await FakeGcs.open(options)
        const http = await GcsProxy.open(fake.url)
        return { http, direct: fake.url, raw: fake.url, ended: [http, fake] }
      }),
    )
  })
}

interface Running {
  readonly http: GcsProxy
  readonly direct: string
  readonly raw: string
  readonly ended: readonly AsyncDisposable[]
}

function during(open: () => Promise<Running>): Server {
  let running: Running | undefined
  beforeAll(async () => {
    running = await open()
  })
  afterAll(async () => {
    for (const each of running?.ended ?? []) await each[Symbol.asyncDispose]()
  })
  return {
    get http() {
      return running!.http
    },
    get url() {
      return running!.http.url
    },
    get direct() {
      return running!.direct
    },
    get raw() {
      return running!.raw
    },
  }
}

/** A new bucket; its name. */
export async function newBucket(url: string): Promise<string> {
  const name = `b-${randomUUID()}`
  await made(url, 'POST', '/storage/v1/b?project=test', JSON.stringify({ name }))
  return name
}

/** The bucket with all that is in it. */
export async function removeBucket(url: string, name: string): Promise<void> {
  for (;;) {
    const page = await made(url, 'GET', `/storage/v1/b/${name}/o?maxResults=1000&fields=items(name)`)
    const { items = [] } = JSON.parse(page) as { items?: { name: string }[] }
    if (items.length === 0) break
    await Promise.all(items.map((item) => made(url, 'DELETE', `/storage/v1/b/${name}/o/${encodeURIComponent(item.name)}`)))
  }
  await made(url, 'DELETE', `/storage/v1/b/${name}`)
}

async function made(url: string, method: string, path: string, body?: string): Promise<string> {
  const response = await fetch(url + path, { method, body: body ?? null, headers: { 'content-type': 'application/json' } })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text
}

/** Each case has a bucket of its own, and a connection that can be cut. */
export function gcsHarness(server: Server): Harness<StateStore> {
  return serverHarness('state', 'gcs', async () => {
    const bucket = await newBucket(server.direct)
    const proxy = await Proxy.open(server.direct)
    const remove = async (): Promise<void> => {
      await proxy.close()
      await removeBucket(server.direct, bucket)
    }
    // A connection that was reset is found out by using it: what is safe is tried again, as by default.
    return { options: { bucket, apiEndpoint: proxy.url(server.direct), retries: 2 }, proxy, remove }
  })
}

export interface Opened extends AsyncDisposable {
  readonly store: StateStore
  readonly bucket: string
}

/** A store on a new bucket. */
export async function openStore(url: string, options: object = {}): Promise<Opened> {
  const bucket = await newBucket(url)
  const store = await builtIn('state').create('gcs', { bucket, apiEndpoint: url, retries: 0, ...options })
  return { store, bucket, [Symbol.asyncDispose]: () => store.close() }
}
