/** How a store on Redis or Valkey is opened and closed, what its calls cost, and what lies on the server. */
import { Redis, Cluster } from 'iovalkey'
import { createClient, createClientPool, createCluster, createSentinel } from 'redis'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { HoldfastError, isHoldfastError } from '../../src/errors.ts'
import { create as createRedis } from '../../src/state/backends/redis.ts'
import { run } from '../support.ts'
import { withService } from '../services.ts'
import { create, keysUnder, newPrefix, open, removeAll, urlsOf, withRaw, type RedisBackend } from './redis-support.ts'

const BACKENDS: readonly RedisBackend[] = ['redis', 'valkey']
/** Nothing listens there. */
const NOWHERE = 'redis://127.0.0.1:1'

for (const backend of BACKENDS) {
  describe(`${backend}: options`, () => {
    it.each([
      ['a scheme of others', { url: 'http://localhost' }],
      ['no URL', { url: 'local host' }],
      ['a database that is no number', { url: 'redis://localhost/x' }],
      ['parameters', { url: 'redis://localhost?db=1' }],
      ['nodes that are no list', { nodes: 'localhost' }],
      ['an empty list', { nodes: [] }],
      ['sentinels that are no URLs', { sentinels: ['a b'] }],
      ['a prefix with braces', { prefix: 'a{b}' }],
      ['a database in a cluster', { url: `${NOWHERE}/1`, cluster: true }],
      ['sentinels of a cluster', { cluster: true, sentinels: [NOWHERE] }],
      ['more time for replicas than for an answer', { waitReplicas: 1, waitTimeoutMs: 5_000, socketTimeoutMs: 5_000 }],
      ['a client that is none', { client: {} }],
      ['an unknown option', { uri: NOWHERE }],
    ])('refuses %s', async (_, options) => {
      await expect(create(backend, options as never)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('shows no password of a URL that is wrong', async () => {
      const error = await create(backend, { url: 'redis://:s3cret-word@local host' }).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'INVALID_OPTIONS' })
      expect(inspect(error)).not.toContain('s3cret-word')
    })

    it('says at once that there is no server, and leaves nothing open', async () => {
      const started = performance.now()
      await expect(create(backend, { url: NOWHERE })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      await expect(create(backend, { nodes: [NOWHERE, NOWHERE] })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      await expect(create(backend, { sentinels: [NOWHERE] })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      await expect(create(backend, { url: NOWHERE, cluster: true })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      expect(performance.now() - started).toBeLessThan(3_000)
      const child = run('test/fixtures/redis-once.ts', [backend, JSON.stringify({ url: NOWHERE })])
      expect((await child.lines.next()).value).toBe('UNAVAILABLE')
      expect(await child.ended).toMatchObject({ code: 0, stderr: '' })
    })
  })

  withService(backend, `${backend}: a server`, (service) => {
    it('lets the process end when it is closed', async () => {
      const prefix = newPrefix()
      const child = run('test/fixtures/redis-once.ts', [backend, JSON.stringify({ url: service.url, prefix })])
      expect((await child.lines.next()).value).toBe('1')
      expect(await child.ended).toMatchObject({ code: 0, stderr: '' })
      await removeAll(service, prefix)
    })

    it('says that the password is wrong, and not which', async () => {
      const url = new URL(service.url)
      for (const password of ['wr0ng-word', '']) {
        url.password = password
        const error = await create(backend, { url: url.href }).catch((reason: unknown) => reason)
        expect(error).toMatchObject({ code: 'UNAUTHORIZED' })
        expect(inspect(error, { depth: 9 })).not.toContain('wr0ng-word')
      }
    })

    it('takes user, password and database by themselves', async () => {
      const { host, password } = new URL(service.url)
      const prefix = newPrefix()
      const store = await create(backend, { url: `redis://${host}`, username: 'default', password, database: 3, prefix })
      await store.set('k', 1)
      await withRaw(`${service.url}/3`, async (client) => {
        expect(await client.get(`${prefix}{.}:k:k`)).toBe('1')
        await client.flushDb()
      })
      await store.close()
      await expect(create(backend, { url: `${service.url}/99` })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('needs no more than its prefix, and says so where it has less', async () => {
      const prefix = newPrefix()
      const [name, password] = [`user-${prefix.slice(0, -1)}`, 'word']
      const { host } = new URL(service.url)
      const login = { url: `redis://${host}`, username: name, password, retries: 0 }
      await withRaw(service.url, async (client) => {
        await client.aclSetUser(name, ['on', `>${password}`, `~${prefix}*`, '+@read', '+@write', '+eval', '+evalsha', '+time'])
        const store = await create(backend, { ...login, prefix })
        await store.set('k', 1, { ttl: 60 })
        expect([await store.increment('k'), await store.keys(), (await store.listWorkspaces()).items]).toEqual([2, ['k'], ['']])
        expect(await store.clear()).toBe(1)
        await store.close()
        await expect(create(backend, { ...login, prefix: 'other:' })).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
        await client.aclDelUser(name)
      })
      await removeAll(service, prefix)
    })

    it('keeps what other programs can read', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      await store.set('profile', { name: 'Ada' })
      await store.set('lease', 'é', { ttl: 60 })
      await store.setBytes('bytes', Uint8Array.of(0x61, 0x62))
      await store.workspace('acme {1}').set('k', 1)
      await store.increment('n', 5)
      await withRaw(service.url, async (client) => {
        expect(await client.get(`${prefix}{.}:k:profile`)).toBe('{"name":"Ada"}')
        expect(await client.get(`${prefix}{.}:k:bytes`)).toBe('ab')
        expect(await client.get(`${prefix}{w:acme%20%7B1%7D}:k:k`)).toBe('1')
        expect(await client.get(`${prefix}{.}:k:n`)).toBe('5')
        expect(await client.pTTL(`${prefix}{.}:k:lease`)).toBeGreaterThan(50_000)
        expect(await client.zRange(`${prefix}{.}:i`, 0, -1)).toEqual(['bytes', 'lease', 'n', 'profile'])
      })
      await store.clear()
      await store.workspace('acme {1}').clear()
      const left = await keysUnder(service, prefix)
      expect(left.toSorted()).toEqual([`${prefix}{#}:names`, `${prefix}{#}:times`])
    })

    it('takes one round trip a call, as the client alone does', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      // The first of all loads scripts, and looks whether values are encrypted here.
      await store.set('k', 1)
      await store.get('k')
      await store.keys()
      await store.delete('k')
      await store.listWorkspaces()
      const many = Array.from({ length: 500 }, (_, i) => `k${i}`)
      const costs: Record<string, number> = {}
      const cost = async (name: string, work: () => Promise<unknown>): Promise<void> => {
        costs[name] = await proxies.count(work)
      }
      await cost('set', () => store.set('k', 1))
      await cost('set with TTL', () => store.set('t', 1, { ttl: 60 }))
      await cost('get', () => store.get('k'))
      await cost('ttl', () => store.ttl('t'))
      await cost('increment', () => store.increment('n'))
      await cost('setIfAbsent', () => store.setIfAbsent('a', 1))
      await cost('delete', () => store.delete('a'))
      await cost('setMany of 500', () => store.setMany(new Map(many.map((key) => [key, 1]))))
      await cost('getMany of 500', () => store.getMany(many))
      await cost('scan of 100', () => store.scan())
      await cost('keys of 503', () => store.keys())
      await cost('deleteMany of 500', () => store.deleteMany(many))
      await cost('compareAndSet', () => store.compareAndSet('k', 1, 2))
      await cost('hset', () => store.hset('h', 'f', 1))
      await cost('ping', () => store.ping())
      await cost('set, workspace new', () => store.workspace('w').set('k', 1))
      await cost('set, workspace known', () => store.workspace('w').set('k', 1))
      await cost('listWorkspaces', () => store.listWorkspaces())
      expect(costs).toEqual({
        set: 1,
        'set with TTL': 1,
        get: 1,
        ttl: 1,
        increment: 1,
        setIfAbsent: 1,
        delete: 1,
        'setMany of 500': 1,
        'getMany of 500': 1,
        'scan of 100': 1,
        'keys of 503': 1,
        'deleteMany of 500': 1,
        compareAndSet: 2,
        hset: 2,
        ping: 1,
        'set, workspace new': 2,
        'set, workspace known': 1,
        listWorkspaces: 4,
      })
    })
  })

  withService(`${backend}-cluster`, `${backend}: a cluster`, (service) => {
    it('takes one round trip a call there too', async () => {
      await using place = await open(backend, service)
      const { store, proxies } = place
      await store.set('k', 1)
      await store.get('k')
      expect(await proxies.count(() => store.set('k', 1))).toBe(1)
      expect(await proxies.count(() => store.get('k'))).toBe(1)
      expect(await proxies.count(() => store.increment('n'))).toBe(1)
    })

    it('is spread over the nodes, each space on one of them', async () => {
      await using place = await open(backend, service)
      const { store, prefix } = place
      for (let i = 0; i < 30; i++) await store.workspace(`w${i}`).setMany({ a: 1, b: 2 })
      const counts = await Promise.all(urlsOf(service).map((url) => keysUnder({ url }, prefix)))
      expect(counts.every((keys) => keys.length > 0)).toBe(true)
      expect((await store.listWorkspaces()).items).toHaveLength(30)
    })

    it('says what is missing where the servers are a cluster and the options do not say so', async () => {
      const nodes = urlsOf(service)
      const stores = await Promise.allSettled(nodes.map((url) => create(backend, { url, retries: 0, prefix: newPrefix() })))
      const errors = stores.flatMap((result) => (result.status === 'rejected' ? [result.reason as HoldfastError] : []))
      expect(errors.length).toBeGreaterThan(0)
      for (const error of errors) expect(error.message).toMatch(/cluster: true/)
      for (const result of stores) if (result.status === 'fulfilled') await result.value.close()
    })
  })
}

withService('redis', 'an injected client', (service) => {
  const clients: Readonly<Record<string, () => Promise<{ client: unknown; end: () => unknown }>>> = {
    'client of node-redis': async () => {
      const client = await createClient({ url: service.url }).connect()
      return { client, end: () => client.destroy() }
    },
    'pool of node-redis': async () => {
      const client = createClientPool({ url: service.url })
      await client.connect()
      return { client, end: () => client.destroy() }
    },
    'Redis of iovalkey': async () => {
      const client = new Redis(service.url, { autoResendUnfulfilledCommands: false })
      return { client, end: () => client.disconnect() }
    },
  }
  describe.each(Object.keys(clients))('%s', (name) => {
    it.each(BACKENDS)('works for %s, and stays open', async (backend) => {
      const { client, end } = await clients[name]!()
      onTestFinished(async () => void (await end()))
      const prefix = newPrefix()
      const store = await create(backend, { client, prefix })
      await store.setBytes('bytes', Uint8Array.of(0, 0xff, 0x80))
      expect([...(await store.getBytes('bytes'))!]).toEqual([0, 0xff, 0x80])
      expect([await store.increment('n'), await store.keys('*')]).toEqual([1, ['bytes', 'n']])
      await store.close()
      const again = await create(backend, { client, prefix })
      expect(await again.clear()).toBe(2)
      await again.close()
      await removeAll(service, prefix)
    })
  })

  it('is refused where it would send writes twice', async () => {
    const client = new Redis(service.url)
    onTestFinished(() => client.disconnect())
    await expect(create('valkey', { client })).rejects.toThrow(/autoResendUnfulfilledCommands: false/)
    const cluster = new Cluster([], { lazyConnect: true })
    await expect(create('valkey', { client: cluster })).rejects.toThrow(/retryDelayOnFailover: 0/)
    const sentinel = createSentinel({ name: 'x', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] })
    await expect(create('redis', { client: sentinel })).rejects.toThrow(/sentinels/)
  })

  it('is refused where it cannot wait for replicas, or renames keys', async () => {
    const pool = createClientPool({ url: service.url })
    await pool.connect()
    onTestFinished(() => pool.destroy())
    await expect(create('redis', { client: pool, waitReplicas: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    const client = new Redis(service.url, { autoResendUnfulfilledCommands: false, keyPrefix: 'x' })
    onTestFinished(() => client.disconnect())
    await expect(create('valkey', { client })).rejects.toThrow(/keyPrefix/)
  })

  it('says what is to be installed where no client is', async () => {
    const missing = new HoldfastError('MISSING_CLIENT', 'npm install redis')
    const context = { kind: 'state', name: 'redis', loadClient: () => Promise.reject(missing) } as const
    const error = await Promise.resolve(createRedis({ url: service.url }, context)).catch((reason: unknown) => reason)
    expect(isHoldfastError(error, 'MISSING_CLIENT')).toBe(true)
  })
})

withService('redis-cluster', 'an injected cluster', (service) => {
  it.each(BACKENDS)('of node-redis works for %s', async (backend) => {
    const nodes = urlsOf(service).map((url) => ({ url }))
    const { password } = new URL(service.url)
    const client = createCluster({ rootNodes: nodes, defaults: { password } })
    await client.connect()
    onTestFinished(() => client.destroy())
    await works(backend, client)
  })

  it.each(BACKENDS)('of iovalkey works for %s', async (backend) => {
    const { hostname: host, port, password } = new URL(service.url)
    const client = new Cluster([{ host, port: Number(port) }], { redisOptions: { password }, retryDelayOnFailover: 0 })
    onTestFinished(() => client.disconnect())
    await works(backend, client)
  })

  async function works(backend: RedisBackend, client: unknown): Promise<void> {
    const prefix = newPrefix()
    const store = await create(backend, { client, prefix })
    for (let i = 0; i < 20; i++) await store.workspace(`w${i}`).set('k', i, { ttl: 60 })
    expect((await store.listWorkspaces()).items).toHaveLength(20)
    expect(await store.workspace('w7').get('k')).toBe(7)
    await store.close()
    await removeAll(service, prefix)
  }
})
