/** Places in a Postgres database for tests of knowledge and state: tables of their own, behind a proxy of their own. */
import { randomBytes } from 'node:crypto'
import { Client, escapeIdentifier } from 'pg'
import type { Kind } from '../../src/errors.ts'
import type { PostgresOptions } from '../../src/engines/postgres-options.ts'
import type { Stores } from '../../src/registry/contract-check.ts'
import { builtIn, type ServerPlace } from '../conformance/harness.ts'
import { Proxy } from '../faults/proxy.ts'

/** What a test needs to know of the server; it may be looked into only when the test runs. */
export interface Server {
  readonly url: string
  /** Where the proxy or pooler behind the URL passes things on to. */
  readonly behind?: unknown
}

/** A schema whose name wants quoting, for all of these tests. */
export const SCHEMA = `hold fast's "tests"`

export function newPrefix(): string {
  return `t${randomBytes(6).toString('hex')}_`
}

/** Past proxies and poolers. */
function direct({ url, behind }: Server): string {
  return typeof behind === 'string' ? behind : url
}

/** Runs some work with a client of our own, as other programs have it. */
export async function withClient<T>(server: Server, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: direct(server) })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The name of a table of a place, for statements. */
export function tableOf(prefix: string, name: string): string {
  return `${escapeIdentifier(SCHEMA)}.${escapeIdentifier(prefix + name)}`
}

export async function removeTables(server: Server, prefix: string): Promise<void> {
  await withClient(server, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT tablename AS name FROM pg_tables WHERE schemaname = $1 AND starts_with(tablename, $2)',
      [SCHEMA, prefix],
    )
    for (const { name } of rows) await client.query(`DROP TABLE IF EXISTS ${tableOf('', name)}`)
  })
}

export function optionsAt<O extends PostgresOptions>(url: string, prefix: string, more?: O): O {
  return { url, schema: SCHEMA, prefix, ...more } as O
}

/** New tables behind a new proxy, for the harnesses. */
export async function newPlace(server: Server, more: object = {}): Promise<ServerPlace & { readonly proxy: Proxy }> {
  const proxy = await Proxy.open(server.url)
  const prefix = newPrefix()
  const remove = async (): Promise<void> => {
    await proxy.close()
    await removeTables(server, prefix)
  }
  return { options: optionsAt(proxy.url(server.url), prefix, more), remove, proxy }
}

export interface Opened<S> extends AsyncDisposable {
  readonly store: S
  readonly proxy: Proxy
  readonly prefix: string
  /** Another store on the same tables, by the same proxy. */
  another(more?: object): Promise<S>
}

/** A store on tables of its own behind a proxy, which all goes when the scope is left. */
export async function open<K extends Kind>(kind: K, name: string, server: Server, more: object = {}): Promise<Opened<Stores[K]>> {
  const proxy = await Proxy.open(server.url)
  const prefix = newPrefix()
  const stores: Stores[K][] = []
  const another = async (options: object = {}): Promise<Stores[K]> => {
    const given = { retries: 0, ...optionsAt(proxy.url(server.url), prefix, { ...more, ...options }) }
    const store = await builtIn(kind).create(name, given as never)
    stores.push(store)
    return store
  }
  return {
    store: await another(),
    proxy,
    prefix,
    another,
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()))
      await proxy.close()
      await removeTables(server, prefix)
    },
  }
}
