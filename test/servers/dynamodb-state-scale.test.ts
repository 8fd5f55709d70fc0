/** How much DynamoDB is asked for: round trips, pages, large values, many rows. */
import { GetItemCommand, PutItemCommand, type WriteRequest } from '@aws-sdk/client-dynamodb'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import type { StateEntry } from '../../src/state/contract.ts'
import { builtIn } from '../conformance/harness.ts'
import { withService } from '../services.ts'
import { exec } from '../support.ts'
import { Gateway } from './dynamodb-gateway.ts'
import { fillRaw, newTable, open, optionsAt, rawClient, removeTable } from './dynamodb-support.ts'

/** Rows of each of two workspaces; the emulator takes a minute to fill 200,000. */
const ROWS = Number(process.env['HOLDFAST_ROWS'] ?? 5_000)
const HEAP_MB = 64

withService('dynamodb', 'DynamoDB, how much is asked of it', (service) => {
  describe('round trips', () => {
    it('asks for no more than the raw client', async () => {
      await using gateway = await Gateway.open(service.url)
      const table = newTable()
      const store = await builtIn('state').create('dynamodb', optionsAt(gateway.url, table))
      const asked = (work: () => Promise<unknown>): Promise<string[]> => gateway.during(work)
      const keys = Array.from({ length: 100 }, (_, i) => `k${100 + i}`)
      const { backend } = store.core
      try {
        await store.set('first', 1)
        expect(await asked(() => store.get('first'))).toEqual(['GetItem'])
        expect(await asked(() => store.set('k', { a: 1 }))).toEqual(['PutItem'])
        expect(await asked(() => store.set('k', 1, { ttl: 60 }))).toEqual(['PutItem'])
        expect(await asked(() => store.exists('k'))).toEqual(['GetItem'])
        expect(await asked(() => store.delete('k'))).toEqual(['DeleteItem'])
        expect(await asked(() => store.delete('k'))).toEqual(['DeleteItem'])
        expect(await asked(() => store.setIfAbsent('k', 1))).toEqual(['PutItem'])
        expect(await asked(() => store.setIfAbsent('k', 1))).toEqual(['PutItem'])
        expect(await asked(() => store.increment('n'))).toEqual(['UpdateItem'])
        expect(await asked(() => store.increment('n'))).toEqual(['UpdateItem'])
        expect(await asked(() => store.compareAndSet('k', 1, 2))).toEqual(['GetItem', 'PutItem'])
        expect(await asked(() => store.expire('k', 60))).toEqual(['GetItem', 'PutItem'])
        expect(await asked(() => store.hset('hash', 'a', 1))).toEqual(['GetItem', 'PutItem'])
        expect(await asked(() => store.hset('hash', 'a', 2))).toEqual(['GetItem', 'UpdateItem'])
        expect(await asked(() => store.setMany(keys.map((key) => [key, 1] as const)))).toEqual(['TransactWriteItems'])
        expect(await asked(() => store.getMany(keys))).toEqual(['BatchGetItem'])
        expect(await asked(() => store.scan({ prefix: 'k', limit: 100 }))).toEqual(['Query'])
        expect(await asked(() => store.scan({ prefix: 'nothing' }))).toEqual(['Query'])
        expect(await asked(() => store.deleteMany(keys))).toEqual(['TransactWriteItems'])
        // The first was taken to be there.
        expect(await asked(() => store.deleteMany(['none', 'k']))).toEqual(['TransactWriteItems', 'TransactWriteItems'])
        const both = { set: [{ key: 'a', value: '1' }], add: [{ key: 'sum', by: 1 }] }
        expect(await asked(() => backend.commit('s', both))).toEqual(['GetItem', 'TransactWriteItems'])
        expect(await asked(() => backend.commit('s', both))).toEqual(['TransactWriteItems'])
        expect(await asked(() => backend.commit('s', { checks: [{ key: 'a', version: null }] }))).toEqual(['GetItem'])
        expect(await asked(() => store.ping())).toEqual(['GetItem'])
        const session = new PluginHost({ state: store, quotaBytes: 1_000 }).session({ workspaceId: 'w', pluginId: 'a/b' })
        await session.storage.set('k', Buffer.from('1'))
        expect(await asked(() => session.storage.set('k', Buffer.from('2')))).toEqual(['GetItem', 'TransactWriteItems'])
        expect(await asked(() => session.storage.get('k'))).toEqual(['GetItem'])
      } finally {
        await store.close()
        await removeTable(service.url, table)
      }
    })

    it('has one exchange on the wire for each, as the raw client has', async () => {
      await using at = await open(service)
      await at.store.set('k', 1)
      const raw = rawClient(at.proxy.url(service.url))
      const Key = { space: { B: Uint8Array.of(0) }, key: { B: Buffer.from('k') } }
      const put = (): Promise<unknown> =>
        raw.send(new PutItemCommand({ TableName: at.table, Item: { ...Key, value: { N: '1' } } }))
      const get = (): Promise<unknown> => raw.send(new GetItemCommand({ TableName: at.table, Key }))
      try {
        const counts = [await at.proxy.count(() => at.store.get('k')), await at.proxy.count(() => at.store.set('k', 1))]
        expect(counts).toEqual([await at.proxy.count(get), await at.proxy.count(put)])
      } finally {
        raw.destroy()
      }
    })
  })

  it('reads and lists values of 400 KB, of which few fit in an answer', async () => {
    await using at = await open(service)
    const limit = at.store.limits.valueBytes!
    const keys = Array.from({ length: 50 }, (_, i) => `${10 + i}`.padEnd(512, 'k'))
    for (let i = 0; i < keys.length; i += 5) {
      await Promise.all(
        keys.slice(i, i + 5).map((key, j) => at.store.setBytes(key, new Uint8Array(limit).fill(i + j), { ttl: 1e9 })),
      )
    }
    let entries: readonly (StateEntry | undefined)[] = []
    const requests = await at.proxy.count(async () => (entries = await at.store.core.backend.get('', keys)))
    // DynamoDB gives 16 MB, and leaves the rest to be asked for again.
    expect(requests).toBe(2)
    expect(entries.map((entry) => [entry!.value.length, (entry!.value as Uint8Array)[7]])).toEqual(keys.map((_, i) => [limit, i]))
    expect(await at.store.keys()).toEqual(keys)
    expect((await at.store.scan({ limit: 20 })).items).toEqual(keys.slice(0, 20))
    expect(await at.store.clear()).toBe(50)
  })

  it('refuses what does not fit, and writes nothing of it', async () => {
    await using at = await open(service)
    const value = new Uint8Array(at.store.limits.valueBytes!)
    await expect(at.store.setBytes('k', new Uint8Array(value.length + 1))).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' })
    const set = Array.from({ length: 11 }, (_, i) => ({ key: `k${i}`, value }))
    const { backend } = at.store.core
    await expect(backend.commit('s', { set })).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' })
    const over = { set: [{ key: 'k', value: new Uint8Array(500_000) }] }
    await expect(backend.commit('s', over)).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' })
    await expect(backend.commit('s', { ...over, delete: ['x'] })).rejects.toMatchObject({
      code: 'VALUE_TOO_LARGE',
      outcome: 'not-applied',
    })
    expect(await backend.scan('s', { prefix: '', limit: 10 })).toEqual([])
    await backend.commit('s', { set: set.slice(0, 10) })
    expect(await backend.scan('s', { prefix: '', limit: 10 })).toHaveLength(10)
  })

  it('gives full pages where many have expired', async () => {
    await using at = await open(service)
    const client = rawClient(service.url)
    const item = (key: string, expiresAt: number): WriteRequest => row('w:x', key, { expiresAt: { N: String(expiresAt) } })
    try {
      const dead = Array.from({ length: 2_000 }, (_, i) => item(`k${1_000 + i}`, 5))
      await fillRaw(client, at.table, [...dead, item('a', 5), ...['b', 'x', 'y', 'z'].map((key) => item(key, 4e12))])
      const store = at.store.workspace('x')
      expect(await store.scan({ limit: 3 })).toMatchObject({ items: ['b', 'x', 'y'] })
      expect(await store.keys('?')).toEqual(['b', 'x', 'y', 'z'])
      expect(await at.proxy.count(() => store.scan({ limit: 3 }))).toBeLessThan(16)
    } finally {
      client.destroy()
    }
  })

  it(`lists ${ROWS} keys and clears ${ROWS} among them in a heap of ${HEAP_MB} MB`, { timeout: 1_800_000 }, async () => {
    await using at = await open(service)
    const client = rawClient(service.url)
    try {
      await fillRaw(client, at.table, rows(['w:kept', 'w:cleared']))
      const script = fileURLToPath(new URL('../fixtures/state-rows.ts', import.meta.url))
      const args = [`--max-old-space-size=${HEAP_MB}`, script, 'dynamodb', JSON.stringify(optionsAt(service.url, at.table))]
      const { stdout } = await exec(process.execPath, args)
      const all = { keys: ROWS, inOrder: true }
      expect(JSON.parse(stdout)).toMatchObject({ listed: all, removed: ROWS, left: { keys: 0 }, others: all })
      if (process.env['HOLDFAST_ROWS'] !== undefined) console.log(stdout)
    } finally {
      client.destroy()
    }
  })
})

function row(space: string, key: string, more: object = {}): WriteRequest {
  const Item = { space: { B: Buffer.from(space) }, key: { B: Buffer.from(key) }, value: { S: '"value"' }, version: { S: 'raw' } }
  return { PutRequest: { Item: { ...Item, ...more } } }
}

function* rows(spaces: readonly string[]): Generator<WriteRequest> {
  for (let i = 0; i < ROWS; i++) for (const space of spaces) yield row(space, `key-${String(i).padStart(8, '0')}`)
}
