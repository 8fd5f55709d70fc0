/** Knowledge on Postgres among others: collections that come and go, databases without the extension, networks and servers that fail. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import type { NewDocument } from '../../src/knowledge/contract.ts'
import type { KnowledgeStore } from '../../src/knowledge/store.ts'
import { builtIn } from '../conformance/harness.ts'
import { privateService, withService } from '../services.ts'
import { newPrefix, open, optionsAt, tableOf, withClient } from './postgres-places.ts'

function doc(id: string, dimension = 2): NewDocument {
  return { id, content: `about ${id}`, embedding: Array.from({ length: dimension }, (_, i) => i + 1), metadata: { id } }
}

withService('postgres', 'Postgres', (service) => {
  it('a collection that others delete and make anew is found, or not, and never half', { timeout: 120_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service)
    const other = await at.another({ poolSize: 4 })
    const codes = new Set<string>()
    const still = { going: true }
    const until = async (work: () => Promise<unknown>): Promise<void> => {
      while (still.going) {
        await work().catch((error: unknown) => {
          if (!isHoldfastError(error)) throw error
          codes.add(error.code)
        })
      }
    }
    const users = [at.store, other, at.store, other].flatMap((store) => [
      until(() => store.search('c', { embedding: [1, 2] })),
      until(() => store.upsert('c', [doc('a'), doc('b')])),
      until(() => store.list('c')),
      until(() => store.count('c', { id: 'a' })),
    ])
    const make = async (store: KnowledgeStore): Promise<void> => {
      for (let i = 0; i < 15; i++) {
        await store.createCollection('c', { dimension: 2 })
        await sleep(5)
        await store.deleteCollection('c')
      }
    }
    await Promise.all([make(at.store), make(other)]).finally(() => (still.going = false))
    await Promise.all(users)
    expect([...codes]).toEqual(['NOT_FOUND'])
    await at.store.createCollection('c', { dimension: 2 })
    expect(await other.count('c')).toBe(0)
    await at.store.clear()
    const tables = await withClient(service, (client) =>
      client.query(`SELECT 1 FROM pg_tables WHERE starts_with(tablename, $1)`, [`${at.prefix}vec_`]),
    )
    expect(tables.rowCount).toBe(0)
  })

  it('says what is wrong where the table of a collection was dropped by hand', async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 2 })
    await withClient(service, (client) => client.query(`DROP TABLE ${tableOf(at.prefix, 'vec_1')}`))
    await expect(at.store.count('c')).rejects.toMatchObject({ code: 'CORRUPT' })
    expect(await at.store.deleteCollection('c')).toBe(true)
  })

  it('writers of the same documents in any order do not fail each other', async () => {
    await using at = await open('knowledge', 'pgvector', service)
    await at.store.createCollection('c', { dimension: 2 })
    const documents = Array.from({ length: 60 }, (_, i) => doc(`d${i}`))
    await Promise.all(
      Array.from({ length: 12 }, (_, i) => at.store.upsert('c', i % 2 === 0 ? documents : documents.toReversed())),
    )
    expect(await at.store.count('c')).toBe(60)
  })

  it(
    'makes the extension where it may, says who must where it may not, and finds it in whatever schema',
    { timeout: 60_000 },
    async () => {
      const name = `holdfast_${randomBytes(4).toString('hex')}`
      const at = (database: string, user?: string): string => {
        const url = new URL(service.url)
        url.pathname = `/${database}`
        if (user !== undefined) [url.username, url.password] = [user, 'limited']
        return url.href
      }
      const create = (url: string, options: object = {}) =>
        builtIn('knowledge').create('pgvector', { url, retries: 0, prefix: 'p_', ...options })
      await withClient(service, async (client) => {
        await client.query(`CREATE DATABASE ${name}`)
        await client.query(`CREATE ROLE ${name} LOGIN PASSWORD 'limited'`)
        try {
          await withClient({ url: at(name) }, (inside) => inside.query(`GRANT CREATE ON SCHEMA public TO ${name}`))
          await expect(create(at(name, name))).rejects.toMatchObject({
            code: 'PERMISSION_DENIED',
            message: expect.stringContaining('CREATE EXTENSION vector'),
          })
          await withClient({ url: at(name) }, (inside) =>
            inside.query('CREATE SCHEMA apart; CREATE EXTENSION vector SCHEMA apart'),
          )
          await withClient({ url: at(name) }, (inside) => inside.query(`GRANT USAGE ON SCHEMA apart TO ${name}`))
          const store = await create(at(name, name))
          await store.createCollection('c', { dimension: 2 })
          await store.insert('c', [doc('a')])
          expect(await store.search('c', { embedding: [1, 2], filter: { id: 'a' }, withEmbeddings: true })).toHaveLength(1)
          await store.close()
          await withClient({ url: at(name) }, (inside) => inside.query('DROP EXTENSION vector CASCADE'))
          await expect(create(at(name))).rejects.toMatchObject({
            code: 'UNSUPPORTED',
            message: expect.stringContaining('CREATE EXTENSION vector'),
          })
          await (await create(at(name), { prefix: 'q_' })).close()
        } finally {
          await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
          await client.query(`DROP ROLE ${name}`)
        }
      })
    },
  )

  it('refuses options that the index cannot have', async () => {
    const wrong = builtIn('knowledge').create('pgvector', {
      ...optionsAt(service.url, newPrefix()),
      m: 40,
      efConstruction: 50,
    })
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('efConstruction') })
    const unknown = builtIn('knowledge').create('pgvector', { url: service.url, index: 'flat' } as object)
    await expect(unknown).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('inserts once, also where the answer is lost', async () => {
    await using at = await open('knowledge', 'pgvector', service)
    const patient = await at.another({ retries: 3 })
    await at.store.createCollection('c', { dimension: 2 })
    for (const loss of ['request', 'answer', { afterBytes: 200 }] as const) {
      const id = JSON.stringify(loss)
      // Finding the collection is a read, which is done again; so the loss has to hit what comes after it.
      const record = (await at.store.core.backend.describeCollection('', 'c'))!
      const [written] = [
        { ...doc(id), escaped: false, metadata: '{}', contentHash: 'x', createdAt: 0, embedding: new Float32Array([1, 2]) },
      ] as const
      at.proxy.lose(loss)
      await expect(at.store.core.backend.write('', record, [{ ...written, id }], 'insert')).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        outcome: 'unknown',
      })
      expect(await at.store.count('c', {})).toBe(loss === 'answer' ? 1 : 0)
      await at.store.delete('c', { filter: {} })
      at.proxy.delay(2)
      const inserting = patient.insert('c', [doc('again')])
      await sleep(3)
      at.proxy.lose(loss)
      await inserting
      at.proxy.heal()
      expect(await at.store.count('c')).toBe(1)
      await at.store.delete('c', { filter: {} })
    }
  })

  it('a large insert is whole or not there', { timeout: 60_000 }, async () => {
    await using at = await open('knowledge', 'pgvector', service, { index: 'none' })
    await at.store.createCollection('c', { dimension: 100 })
    const documents = Array.from({ length: 5_000 }, (_, i) => doc(`d${i}`, 100))
    at.proxy.lose({ afterBytes: 1_500_000 })
    // What was not committed is done again.
    await at.store.insert('c', documents)
    expect(await at.store.count('c')).toBe(5_000)
    expect(await at.store.delete('c', { filter: { id: { $ne: 'd4999' } } })).toBe(4_999)
    await expect(at.store.insert('c', documents)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('"d4999"'),
    })
    expect(await at.store.count('c')).toBe(1)
    await at.store.upsert('c', documents)
    expect(await at.store.count('c')).toBe(5_000)
  })
})

it(
  'pgvector on a server that is stopped, killed and started again keeps what it said it has',
  { timeout: 120_000 },
  async (context) => {
    const instance = await privateService('postgres', context)
    const store = await builtIn('knowledge').create('pgvector', { ...optionsAt(instance.url, newPrefix()), retries: 0 })
    const [kept, open] = [new Set<string>(), new Set<string>()]
    const still = { going: true }
    try {
      await store.createCollection('c', { dimension: 2 })
      const writers = Array.from({ length: 4 }, async (_, writer) => {
        for (let i = 0; still.going; i++) {
          const id = `${writer}.${i}`
          try {
            await store.insert('c', [doc(id)])
            kept.add(id)
          } catch (error) {
            expect(error).toMatchObject({ code: 'UNAVAILABLE' })
            if ((error as { outcome?: string }).outcome === 'unknown') open.add(id)
            else await sleep(5)
          }
        }
      })
      const grow = async (): Promise<void> => {
        for (const before = kept.size; kept.size < before + 20;) await sleep(5)
      }
      for (const end of [() => instance.stop(), () => instance.kill()]) {
        await grow()
        await end()
        await instance.start()
        await grow()
      }
      still.going = false
      await Promise.all(writers)
      const hits = await store.search('c', { embedding: [1, 2], limit: 10_000 })
      const found = new Set(hits.map(({ id }) => id))
      expect([...kept].filter((id) => !found.has(id))).toEqual([])
      expect([...found].filter((id) => !kept.has(id) && !open.has(id))).toEqual([])
    } finally {
      still.going = false
      await store.close()
    }
  },
)
