/** Opening a store on DynamoDB, what its items look like to others, and what several stores do to each other. */
import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  GetItemCommand,
  ListTablesCommand,
  type AttributeValue,
  type CreateTableCommandInput,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../../src/errors.ts'
import { create } from '../../src/state/backends/dynamodb.ts'
import type { StateStore } from '../../src/state/store.ts'
import { builtIn, localContext } from '../conformance/harness.ts'
import { withService } from '../services.ts'
import { exec, ROOT } from '../support.ts'
import { newTable, open, optionsAt, rawClient, removeTable } from './dynamodb-support.ts'

const registry = builtIn('state')

afterEach(() => vi.unstubAllEnvs())

withService('dynamodb', 'DynamoDB, opened', (service) => {
  /** A client and a table of the test's own; the table may come to be or not. */
  async function withTable(work: (client: DynamoDBClient, table: string) => Promise<void>): Promise<void> {
    const client = rawClient(service.url)
    const table = newTable()
    try {
      await work(client, table)
    } finally {
      client.destroy()
      await removeTable(service.url, table).catch(() => undefined)
    }
  }

  it('makes one table for any number of clients that start at once', async () => {
    await withTable(async (client, table) => {
      const stores = await Promise.all(
        Array.from({ length: 12 }, () => registry.create('dynamodb', optionsAt(service.url, table))),
      )
      await Promise.all(stores.map((store) => store.increment('n')))
      expect(await stores[0]!.get('n')).toBe(12)
      await Promise.all(stores.map((store) => store.close()))
      const { Table } = await client.send(new DescribeTableCommand({ TableName: table }))
      expect(Table?.BillingModeSummary?.BillingMode).toBe('PAY_PER_REQUEST')
      const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName: table }))
      expect(TimeToLiveDescription).toMatchObject({ TimeToLiveStatus: 'ENABLED', AttributeName: 'ttl' })
    })
  })

  it('makes nothing without `autoCreate`, and says what is missing', async () => {
    await withTable(async (client, table) => {
      const opening = registry.create('dynamodb', optionsAt(service.url, table, { autoCreate: false }))
      await expect(opening).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await expect(opening).rejects.toThrow(new RegExp(`"${table}".*partition key .space.*sort key .key.*binary`))
      const { TableNames } = await client.send(new ListTablesCommand({ ExclusiveStartTableName: table.slice(0, -1), Limit: 3 }))
      expect(TableNames).not.toContain(table)
      await (await registry.create('dynamodb', optionsAt(service.url, table))).close()
      await (await registry.create('dynamodb', optionsAt(service.url, table, { autoCreate: false }))).close()
    })
  })

  it('works on the table that the documentation describes', async () => {
    await withTable(async (client, table) => {
      const page = await readFile(join(ROOT, 'docs', 'dynamodb.md'), 'utf8')
      const definition = JSON.parse(/^```json\n(.*?)^```$/ms.exec(page)![1]!) as CreateTableCommandInput
      await client.send(new CreateTableCommand({ ...definition, TableName: table }))
      await using store = await registry.create('dynamodb', optionsAt(service.url, table, { autoCreate: false }))
      expect(await store.increment('n')).toBe(1)
    })
  })

  it('refuses a table with other keys', async () => {
    await withTable(async (client, table) => {
      await client.send(
        new CreateTableCommand({
          TableName: table,
          BillingMode: 'PAY_PER_REQUEST',
          AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
          KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        }),
      )
      await expect(registry.create('dynamodb', optionsAt(service.url, table))).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })
  })

  it('takes the table and the region by URL, and the endpoint beside it', async () => {
    await withTable(async (_, table) => {
      const { url: endpoint, credentials } = optionsAt(service.url, table)
      await using store = await registry.create('dynamodb', {
        url: `dynamodb://${table}?region=eu-west-1`,
        endpoint,
        credentials,
      })
      await store.set('k', 1)
      await using other = await registry.create('dynamodb', optionsAt(service.url, table))
      expect(await other.get('k')).toBe(1)
    })
  })

  it('takes a client, and leaves it open', async () => {
    await withTable(async (client, table) => {
      const store = await registry.create('dynamodb', { client, table })
      await store.set('k', 1)
      await store.close()
      const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: keyOf('', 'k') }))
      expect(Item?.['value']).toEqual({ N: '1' })
    })
  })

  it('keeps plain text, numbers and bytes, which other programs can read', async () => {
    await using at = await open(service)
    const client = rawClient(service.url)
    const item = async (space: string, key: string): Promise<Record<string, AttributeValue>> =>
      (await client.send(new GetItemCommand({ TableName: at.table, Key: keyOf(space, key) }))).Item!
    try {
      await at.store.set('object', { a: 'é' })
      await at.store.setBytes('bytes', Uint8Array.of(0, 255))
      await at.store.setBytes('empty', new Uint8Array())
      await at.store.set('number', -42, { ttl: 100.5 })
      await at.store.workspace('acme').set('float', 1.5)
      expect((await item('', 'object'))['value']).toEqual({ S: '{"a":"é"}' })
      expect((await item('', 'bytes'))['value']).toEqual({ B: Uint8Array.of(0, 255) })
      expect((await item('', 'empty'))['value']).toEqual({ B: new Uint8Array() })
      expect((await item('w:acme', 'float'))['value']).toEqual({ S: '1.5' })
      const number = await item('', 'number')
      expect(number['value']).toEqual({ N: '-42' })
      const [ms, seconds] = [Number(number['expiresAt']!.N), Number(number['ttl']!.N)]
      expect(Math.abs(ms - Date.now() - 100_500)).toBeLessThan(10_000)
      expect(seconds).toBe(Math.ceil(ms / 1_000))
    } finally {
      client.destroy()
    }
  })

  it('gives every number back with the same text', async () => {
    await using at = await open(service)
    const numbers = [
      0,
      -0,
      7,
      -1,
      10,
      100,
      1e15,
      1e16,
      1e21,
      1e-7,
      0.1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      2 ** 53,
    ]
    for (const number of numbers) {
      await at.store.set('k', number)
      expect(await at.store.get('k')).toBe(number)
      const text = Object.is(number, -0) ? '-0' : JSON.stringify(number)
      expect(Buffer.from((await at.store.getBytes('k'))!).toString()).toBe(text)
    }
  })

  it('says of an item that another program wrote without a version that it is CORRUPT', async () => {
    await using at = await open(service)
    const client = rawClient(service.url)
    try {
      const { PutItemCommand } = await import('@aws-sdk/client-dynamodb')
      await client.send(new PutItemCommand({ TableName: at.table, Item: { ...keyOf('', 'k'), value: { L: [] } } }))
      await expect(at.store.get('k')).rejects.toMatchObject({ code: 'CORRUPT' })
      expect(await at.store.delete('k')).toBe(true)
    } finally {
      client.destroy()
    }
  })

  describe('several stores', () => {
    it('lose no increment, no compareAndSet, no sum', async () => {
      await using at = await open(service)
      const stores = await Promise.all(Array.from({ length: 8 }, () => at.direct()))
      await Promise.all(stores.map((store) => write(store)))
      expect(await at.store.get('increments')).toBe(8 * 25)
      expect(Object.keys(await at.store.hgetall('fields'))).toHaveLength(8 * 5)
      const [sum] = await at.store.core.backend.get('s', ['sum'])
      expect(sum!.value).toBe(String(8 * 10))
    })

    it('tells a failed check from a sum that is too great, and remembers no sum for certain', async () => {
      await using at = await open(service)
      const [one, two] = [at.store.core.backend, (await at.direct()).core.backend]
      const add = (by: number, max?: number): object => ({ set: [{ key: 'x', value: '1' }], add: [{ key: 'sum', by, max }] })
      expect(await one.commit('s', add(10, 10))).toMatchObject({ applied: true, sums: [10] })
      expect(await one.commit('s', add(1, 10))).toEqual({ applied: false, reason: 'max', key: 'sum' })
      const checked = { ...add(1, 10), checks: [{ key: 'x', version: null }] }
      expect(await one.commit('s', checked)).toEqual({ applied: false, reason: 'check', key: 'x' })
      const [x] = await one.get('s', ['x'])
      const holding = { ...add(1, 10), checks: [{ key: 'x', version: x!.version }] }
      expect(await one.commit('s', holding)).toEqual({ applied: false, reason: 'max', key: 'sum' })
      expect(await two.commit('s', add(-5))).toMatchObject({ applied: true, sums: [5] })
      expect(await one.commit('s', add(1, 10))).toMatchObject({ applied: true, sums: [6] })
      await two.commit('s', { delete: ['sum'] })
      expect(await one.commit('s', add(2))).toMatchObject({ applied: true, sums: [2] })
      await two.commit('s', { set: [{ key: 'sum', value: '"text"' }] })
      expect(await one.commit('s', add(2))).toEqual({ applied: false, reason: 'not-integer', key: 'sum' })
    })

    it('add to numbers that were stored as bytes or other text', async () => {
      await using at = await open(service)
      await at.store.setBytes('bytes', Buffer.from('41'))
      await at.store.setBytes('spaced', Buffer.from(' 4.1e1 '))
      expect(await at.store.increment('bytes')).toBe(42)
      expect(await at.store.increment('spaced')).toBe(42)
      expect(await at.store.increment('spaced')).toBe(43)
    })
  })

  it('lets a process end once the store is closed, and once it failed to open', { timeout: 90_000 }, async () => {
    await withTable(async (_, table) => {
      const options = JSON.stringify(optionsAt(service.url, table))
      const script = `
        import { builtIn } from '${ROOT}/test/conformance/harness.ts'
        const options = ${options}
        await builtIn('state').create('dynamodb', { ...options, table: 'none', autoCreate: false }).catch(() => undefined)
        const store = await builtIn('state').create('dynamodb', options)
        await store.set('k', 1)
        await store.close()
        console.log('closed')`
      const { stdout } = await exec(process.execPath, ['--input-type=module', '--eval', script], { cwd: ROOT })
      expect(stdout.trim()).toBe('closed')
    })
  })

  it('has no region of its own', async () => {
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION']) vi.stubEnv(name, undefined)
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nonexistent')
    const { region: _, ...options } = optionsAt(service.url, newTable())
    await expect(registry.create('dynamodb', options)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    vi.stubEnv('AWS_REGION', 'us-east-1')
    await withTable(async (_, table) => (await registry.create('dynamodb', { ...options, table })).close())
  })
})

describe('options of DynamoDB', () => {
  it('are all checked, and nothing secret is shown', async () => {
    const options = {
      url: 'http://user:topsecret@localhost:1',
      endpoint: 'ftp://x',
      table: 'a b',
      credentials: { accessKeyId: 'AKIA', secretAccessKey: undefined, sessionToken: 'topsecret' },
      client: { send: 'no' },
      maxAttempts: 0,
      tabel: 'x',
    }
    const error = (await registry.create('dynamodb', options as never).catch((thrown: unknown) => thrown)) as HoldfastError
    expect(error.code).toBe('INVALID_OPTIONS')
    for (const name of ['url', 'endpoint', 'table', 'credentials', 'client', 'maxAttempts', 'tabel'])
      expect(error.message).toContain(name)
    expect(inspect(error, { depth: 10 })).not.toContain('topsecret')
  })

  it.each([
    'dynamodb://key:secret@table',
    'dynamodb://table/path',
    'dynamodb://table?regoin=x',
    'dynamodb://t',
    'redis://localhost',
    'not a url',
  ])('refuse the URL %s', async (url) => {
    await expect(registry.create('dynamodb', { url })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('refuse two tables', async () => {
    const opening = registry.create('dynamodb', { url: 'dynamodb://one_table', table: 'other_table' })
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('need the client library', async () => {
    const missing = new HoldfastError('MISSING_CLIENT', 'npm install @aws-sdk/client-dynamodb')
    const context = { ...localContext('state', 'dynamodb'), loadClient: () => Promise.reject(missing) }
    await expect(create({}, context)).rejects.toMatchObject({ code: 'MISSING_CLIENT' })
  })
})

async function write(store: StateStore): Promise<void> {
  for (let i = 0; i < 25; i++) await store.increment('increments')
  for (let i = 0; i < 5; i++) await store.hset('fields', crypto.randomUUID(), i)
  for (let i = 0; i < 10; i++) {
    const commit = { add: [{ key: 'sum', by: 1 }], set: [{ key: 'last', value: String(i) }] }
    expect(await store.core.backend.commit('s', commit)).toMatchObject({ applied: true })
  }
}

function keyOf(space: string, key: string): Record<string, AttributeValue> {
  return { space: { B: Buffer.from(space === '' ? '\0' : space) }, key: { B: Buffer.from(key) } }
}
