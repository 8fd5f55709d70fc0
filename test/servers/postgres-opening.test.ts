/** How knowledge and state are opened on Postgres: clients of the caller's, what cannot work, and what closing leaves. */
import { spawnSync } from 'node:child_process'
import { Pool } from 'pg'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import { create as createKnowledge } from '../../src/knowledge/backends/pgvector.ts'
import { create as createState } from '../../src/state/backends/postgres.ts'
import { builtIn } from '../conformance/harness.ts'
import { withService } from '../services.ts'
import { ROOT } from '../support.ts'
import { newPrefix, optionsAt, removeTables, withClient } from './postgres-places.ts'

const KINDS = [
  ['state', 'postgres'],
  ['knowledge', 'pgvector'],
] as const

/** The least that shows that a store works. */
async function use(store: object): Promise<void> {
  if ('createCollection' in store)
    await (store as { createCollection(name: string, options: object): Promise<unknown> }).createCollection('c', { dimension: 2 })
  else await (store as { set(key: string, value: unknown): Promise<void> }).set('k', 1)
}

withService('postgres', 'Postgres', (service) => {
  describe.each(KINDS)('%s', (kind, name) => {
    const registry = builtIn(kind)
    const create = (options: object) => registry.create(name, options as never)

    it('works on a Pool or a Client of the caller’s, and leaves it open', async () => {
      const prefix = newPrefix()
      const pool = new Pool({ connectionString: service.url, max: 2 })
      try {
        await withClient(service, async (client) => {
          for (const given of [pool, client]) {
            const { url: _, ...options } = optionsAt<object>('', prefix, { client: given }) as { url?: string }
            const store = await create(options)
            await Promise.all([use(store), use(store), store.ping()])
            await store.close()
            expect((await given.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
          }
        })
      } finally {
        await pool.end()
        await removeTables(service, prefix)
      }
    })

    it('says what is wrong with options, all at once', async () => {
      const wrong = create({ url: service.url, prefix: 'no good', poolSize: 0, nonsense: 1 })
      const error = await wrong.catch((reason: unknown) => reason)
      expect(isHoldfastError(error, 'INVALID_OPTIONS')).toBe(true)
      for (const option of ['prefix', 'poolSize', 'nonsense']) expect(String(error)).toContain(option)
      for (const url of ['nonsense', 'mysql://h/x', 'postgres://h/x?sslmode=maybe'])
        await expect(create({ url })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('is refused a wrong password, which no message shows', async () => {
      const url = new URL(service.url)
      url.password = 'not-the-password'
      const error = await create({ url: url.href }).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'UNAUTHORIZED', kind, backend: name })
      expect(JSON.stringify([String(error), (error as Error).stack, (error as Error).cause])).not.toContain('not-the-password')
    })

    it('says how to install the client', async () => {
      const factory = kind === 'state' ? createState : createKnowledge
      const loadClient = () => Promise.reject(new Error('npm install pg'))
      await expect(factory({ url: service.url }, { kind, name, loadClient })).rejects.toThrow('npm install pg')
    })

    it('without autoCreate says what is missing, and creates nothing', async () => {
      const prefix = newPrefix()
      await expect(create(optionsAt(service.url, prefix, { autoCreate: false }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await (await create(optionsAt(service.url, prefix))).close()
      const store = await create(optionsAt(service.url, prefix, { autoCreate: false }))
      await use(store)
      await store.close()
      await removeTables(service, prefix)
    })

    it('is made once by many that start together', async () => {
      const prefix = newPrefix()
      const stores = await Promise.all(
        Array.from({ length: 8 }, (_, i) => create(optionsAt(service.url, prefix, { poolSize: 1 + (i % 3) }))),
      )
      await Promise.all(stores.map(use))
      await Promise.all(stores.map((store) => store.close()))
      await removeTables(service, prefix)
    })

    it('lets the process end when it is closed, and when it could not be opened', () => {
      const prefix = newPrefix()
      const options = JSON.stringify(optionsAt(service.url, prefix))
      const program = `
        import { builtIn } from './test/conformance/harness.ts'
        const registry = builtIn('${kind}')
        const store = await registry.create('${name}', ${options})
        await store.ping()
        await store.close()
        await registry.create('${name}', { url: 'postgres://127.0.0.1:1/x' }).catch(({ code }) => console.log(code))
        console.log('closed')`
      const { stdout, status } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', program], {
        cwd: ROOT,
        timeout: 30_000,
        encoding: 'utf8',
      })
      expect([stdout, status]).toEqual(['UNAVAILABLE\nclosed\n', 0])
      return removeTables(service, prefix)
    })
  })
})
