/** Tables on DynamoDB for tests, each with a name of its own. */
import { randomBytes } from 'node:crypto'
import {
  BatchWriteItemCommand,
  DeleteTableCommand,
  DynamoDBClient,
  type DynamoDBClientConfig,
  type WriteRequest,
} from '@aws-sdk/client-dynamodb'
import type { DynamoStateOptions } from '../../src/state/backends/dynamodb.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn, type ServerPlace } from '../conformance/harness.ts'
import { Proxy } from '../faults/proxy.ts'

/** What a test needs to know of the server; it may be looked into only when the test runs. */
export interface Server {
  readonly url: string
}

/** DynamoDB Local checks that there are credentials, not which. */
const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local-secret' }
const REGION = 'us-east-1'

export function newTable(): string {
  return `holdfast_test_${randomBytes(6).toString('hex')}`
}

/** The options of a store at an address. */
export function optionsAt(url: string, table: string, more: Partial<DynamoStateOptions> = {}): DynamoStateOptions {
  return { url, table, region: REGION, credentials: CREDENTIALS, ...more }
}

/** A client of our own, as other programs have it. */
export function rawClient(url: string, config: DynamoDBClientConfig = {}): DynamoDBClient {
  return new DynamoDBClient({ endpoint: url, region: REGION, credentials: CREDENTIALS, ...config })
}

export async function removeTable(url: string, table: string): Promise<void> {
  const client = rawClient(url)
  try {
    await client.send(new DeleteTableCommand({ TableName: table }))
  } finally {
    client.destroy()
  }
}

/** A new table behind a proxy of its own, for the harnesses. */
export async function newPlace(server: Server): Promise<ServerPlace & { readonly proxy: Proxy }> {
  const proxy = await Proxy.open(server.url)
  const table = newTable()
  const remove = async (): Promise<void> => {
    await proxy.close()
    await removeTable(server.url, table)
  }
  return { options: optionsAt(proxy.url(server.url), table), remove, proxy }
}

export interface Opened extends AsyncDisposable {
  readonly store: StateStore
  readonly proxy: Proxy
  readonly table: string
  /** Another store on the same table, past the proxy. */
  direct(more?: Partial<DynamoStateOptions>): Promise<StateStore>
}

/** A store on a table of its own behind a proxy, which all goes when the scope is left. */
export async function open(server: Server, more: Partial<DynamoStateOptions> & { retries?: number } = {}): Promise<Opened> {
  const proxy = await Proxy.open(server.url)
  const table = newTable()
  const stores: StateStore[] = []
  const create = async (options: DynamoStateOptions): Promise<StateStore> => {
    const store = await builtIn('state').create('dynamodb', options)
    stores.push(store)
    return store
  }
  const store = await create({ retries: 0, ...optionsAt(proxy.url(server.url), table, more) } as DynamoStateOptions)
  return {
    store,
    proxy,
    table,
    direct: (options) => create(optionsAt(server.url, table, options)),
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((each) => each.close()))
      await proxy.close()
      await removeTable(server.url, table)
    },
  }
}

const ITEMS_PER_BATCH = 25

/** Writes items as another program would, past the store. */
export async function fillRaw(client: DynamoDBClient, table: string, items: Iterable<WriteRequest>): Promise<void> {
  const pending = items[Symbol.iterator]()
  const nextBatch = (): WriteRequest[] => {
    const batch: WriteRequest[] = []
    for (let item; batch.length < ITEMS_PER_BATCH && !(item = pending.next()).done;) batch.push(item.value)
    return batch
  }
  const worker = async (): Promise<void> => {
    for (;;) {
      let wanted = nextBatch()
      if (wanted.length === 0) return
      while (wanted.length > 0) {
        const { UnprocessedItems } = await client.send(new BatchWriteItemCommand({ RequestItems: { [table]: wanted } }))
        wanted = UnprocessedItems?.[table] ?? []
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}
