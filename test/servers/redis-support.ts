/** Places on Redis and Valkey for tests, each with a prefix of its own, behind proxies of its own. */
import { randomBytes } from 'node:crypto'
import { createClient } from 'redis'
import { afterAll } from 'vitest'
import type { RedisOptions } from '../../src/engines/redis-options.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn, harnessOver, type Opened } from '../conformance/harness.ts'
import type { Harness } from '../../src/conformance/case.ts'
import { Proxy } from '../faults/proxy.ts'

/** The two backends, which differ by their client. */
export type RedisBackend = 'redis' | 'valkey'

/** What a test needs to know of servers; it may be looked into only when the test runs. */
export interface Servers {
  readonly url: string
  readonly nodes?: unknown
}

export type StoreOptions = RedisOptions & { readonly retries?: number; readonly timeoutMs?: number }

export function newPrefix(): string {
  return `test-${randomBytes(6).toString('hex')}:`
}

export function create(backend: RedisBackend, options: StoreOptions): Promise<StateStore> {
  return builtIn('state').create(backend, options)
}

/** A client of our own, as other programs have it. */
export async function rawClient(url: string) {
  const client = createClient({ url, RESP: 2 })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

export type RawClient = Awaited<ReturnType<typeof rawClient>>

export async function withRaw<T>(url: string, work: (client: RawClient) => Promise<T>): Promise<T> {
  const client = await rawClient(url)
  try {
    return await work(client)
  } finally {
    client.destroy()
  }
}

/** The servers that hold keys. */
export function urlsOf({ url, nodes }: Servers): readonly string[] {
  return Array.isArray(nodes) ? (nodes as string[]) : [url]
}

/** Every key that begins with the prefix, wherever it is. */
export async function keysUnder(servers: Servers, prefix: string): Promise<string[]> {
  const found: string[] = []
  for (const url of urlsOf(servers)) {
    await withRaw(url, async (client) => {
      for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 10_000 })) found.push(...keys)
    })
  }
  return found
}

export async function removeAll(servers: Servers, prefix: string): Promise<void> {
  for (const url of urlsOf(servers)) {
    await withRaw(url, async (client) => {
      for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 10_000 })) {
        // A page of a scan may be empty; and in a cluster a command names keys of one slot only.
        if (keys.length === 0) continue
        if (urlsOf(servers).length === 1) await client.unlink(keys)
        else await Promise.all(keys.map((key) => client.unlink(key)))
      }
    })
  }
}

/** One proxy before each server. */
export class Proxies implements AsyncDisposable {
  readonly #all: readonly Proxy[]
  readonly #urls: readonly string[]

  private constructor(urls: readonly string[], all: readonly Proxy[]) {
    this.#urls = urls
    this.#all = all
  }

  static async open(servers: Servers): Promise<Proxies> {
    const urls = urlsOf(servers)
    return new Proxies(urls, await Promise.all(urls.map((url) => Proxy.open(url))))
  }

  /** What leads a store through the proxies. */
  get options(): RedisOptions {
    const url = this.#all[0]!.url(this.#urls[0]!)
    if (this.#urls.length === 1) return { url }
    const pairs = this.#all.map((proxy, i) => [new URL(this.#urls[i]!).host, `${proxy.host}:${proxy.port}`])
    return { url, cluster: true, addressMap: Object.fromEntries(pairs) as Record<string, string> }
  }

  get first(): Proxy {
    return this.#all[0]!
  }

  get all(): readonly Proxy[] {
    return this.#all
  }

  async count(work: () => Promise<unknown>): Promise<number> {
    const sum = (): number => this.#all.reduce((total, { roundTrips }) => total + roundTrips, 0)
    const before = sum()
    await work()
    return sum() - before
  }

  cut(): void {
    for (const proxy of this.#all) proxy.cut()
  }

  heal(): void {
    for (const proxy of this.#all) proxy.heal()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((proxy) => proxy.close()))
  }
}

/** Each case has a prefix of its own; the cases of a harness, which come one after the other, share the proxies, and are cleaned up after at once. */
export function redisHarness(backend: RedisBackend, servers: Servers): Harness<StateStore> {
  const common = newPrefix()
  let opening: Promise<Proxies> | undefined
  let count = 0
  afterAll(async () => {
    if (opening === undefined) return
    await (await opening)[Symbol.asyncDispose]()
    await removeAll(servers, common)
  })
  return harnessOver<StateStore>(async () => {
    const proxies = await (opening ??= Proxies.open(servers))
    const options = { retries: 0, prefix: `${common}${count++}:`, ...proxies.options }
    const open = async (): Promise<Opened<StateStore>> => ({
      store: await create(backend, options),
      cut: () => proxies.cut(),
      heal: () => proxies.heal(),
    })
    return { open, remove: async () => undefined }
  })
}

export interface Place extends AsyncDisposable {
  readonly store: StateStore
  readonly proxies: Proxies
  readonly prefix: string
  /** Another store on the same data, past the proxies. */
  direct(more?: StoreOptions): Promise<StateStore>
}

/** A store with a prefix of its own behind proxies, which all goes when the scope is left. */
export async function open(backend: RedisBackend, servers: Servers, more: StoreOptions = {}): Promise<Place> {
  const proxies = await Proxies.open(servers)
  const prefix = newPrefix()
  const stores: StateStore[] = []
  const opened = async (options: StoreOptions): Promise<StateStore> => {
    const store = await create(backend, { prefix, ...options })
    stores.push(store)
    return store
  }
  const cluster = urlsOf(servers).length > 1
  return {
    store: await opened({ retries: 0, ...proxies.options, ...more }),
    proxies,
    prefix,
    direct: (options) => opened({ url: servers.url, cluster, ...options }),
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()))
      await proxies[Symbol.asyncDispose]()
      await removeAll(servers, prefix).catch(() => undefined)
    },
  }
}
