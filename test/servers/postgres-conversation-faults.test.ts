/** Conversations on Postgres when the network or the server fails: each operation took effect once, or says what is known of it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { ConversationStore } from '../../src/conversation/store.ts'
import { isHoldfastError } from '../../src/errors.ts'
import type { Instance } from '../../scripts/services/private.ts'
import { openPostgres } from '../../src/engines/postgres-options.ts'
import type { PostgresEngine } from '../../src/engines/postgres.ts'
import { changes, rows } from '../../src/engines/sql.ts'
import type { Loss } from '../faults/proxy.ts'
import { privateService, withService } from '../services.ts'
import { open, tableOf, withClient, type Opened, type Server } from './postgres-places.ts'

const USER = { role: 'user', content: 'x' } as const
const WRITERS = 4

type Conversation = Opened<ConversationStore>

async function opened(server: Server, more: object = {}): Promise<Conversation> {
  const made = await open('conversation', 'postgres', server, more)
  await made.store.createSession({ id: 's' })
  return made
}

/** The engine below a store, by the same proxy. */
async function engineOn({ proxy }: Conversation, { url }: Server): Promise<PostgresEngine & AsyncDisposable> {
  const engine = await openPostgres({ url: proxy.url(url) }, { loadClient: <T>(name: string) => import(name) as Promise<T> })
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.close() })
}

async function idsOf(store: ConversationStore): Promise<string[]> {
  return (await store.getMessages('s')).map(({ id }) => id)
}

/** What became of appends: what was acknowledged must be there, what was not applied must not. */
interface Tally {
  readonly done: string[]
  readonly absent: string[]
  readonly open: string[]
}

/** Appends until told to stop; a failure says something of its message. */
async function write(store: ConversationStore, tally: Tally, running: () => boolean): Promise<void> {
  while (running()) {
    const id = randomUUID()
    try {
      await store.addMessage('s', { ...USER, id }, { timeoutMs: 5_000 })
      tally.done.push(id)
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      expect(['UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED'], error.message).toContain(error.code)
      if (error.outcome === 'not-applied') tally.absent.push(id)
      else tally.open.push(id)
      await sleep(20)
    }
  }
}

/** Runs writers while trouble is made, and then looks at what is there. */
async function underTrouble(store: ConversationStore, trouble: () => Promise<void>): Promise<Tally> {
  const tally: Tally = { done: [], absent: [], open: [] }
  let running = true
  const writers = Array.from({ length: WRITERS }, () => write(store, tally, () => running))
  await sleep(300)
  await trouble()
  const before = tally.done.length
  await expect.poll(() => tally.done.length, { timeout: 20_000 }).toBeGreaterThan(before)
  running = false
  await Promise.all(writers)
  return tally
}

async function expectOnce(store: ConversationStore, { done, absent, open }: Tally): Promise<void> {
  const messages = await store.getMessages('s')
  const ids = messages.map(({ id }) => id)
  expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1))
  expect(new Set(ids).size).toBe(ids.length)
  const [there, allowed] = [new Set(ids), new Set([...done, ...open])]
  expect(done.filter((id) => !there.has(id))).toEqual([])
  expect(absent.filter((id) => there.has(id))).toEqual([])
  expect(ids.filter((id) => !allowed.has(id))).toEqual([])
}

withService('postgres', 'Postgres', (service) => {
  describe('a connection that is lost', () => {
    it.each<[string, Loss, number]>([
      ['before the request arrives', 'request', 0],
      ['when part of the request has arrived', { afterBytes: 100 }, 0],
      ['before the answer arrives', 'answer', 1],
    ])('%s leaves an append open, and a retried one applied once', async (_, loss, applied) => {
      await using one = await opened(service)
      one.proxy.lose(loss)
      await expect(one.store.addMessage('s', { ...USER, id: 'm' })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        outcome: 'unknown',
      })
      expect(await idsOf(one.store)).toHaveLength(applied)
      const retrying = await one.another({ retries: 2 })
      await retrying.ping()
      one.proxy.lose(loss)
      await retrying.addMessages('s', [
        { ...USER, id: 'n' },
        { ...USER, id: 'o' },
      ])
      expect((await idsOf(retrying)).filter((id) => id !== 'm')).toEqual(['n', 'o'])
    })

    it('while nobody used it is replaced unnoticed', async () => {
      await using one = await opened(service)
      await Promise.all(Array.from({ length: 8 }, () => one.store.getSession('s')))
      for (const call of [() => one.store.ping(), () => one.store.addMessage('s', USER), () => one.store.getMessages('s')]) {
        one.proxy.reset()
        await call()
      }
      expect(await idsOf(one.store)).toHaveLength(1)
    })

    it('within a transaction, which is undone, is replaced', async () => {
      await using one = await opened(service)
      const large = { ...USER, content: 'x'.repeat(9_000_000) }
      const before = one.proxy.opened
      one.proxy.lose({ afterBytes: 12_000_000 })
      expect(await one.store.addMessages('s', [large, large])).toMatchObject([{ seq: 1 }, { seq: 2 }])
      expect(one.proxy.opened).toBeGreaterThan(before)
      expect((await one.store.getMessages('s')).map(({ content, seq }) => [content?.length, seq])).toEqual([
        [9_000_000, 1],
        [9_000_000, 2],
      ])
    })

    it('for longer than one attempt undoes a transaction, and leaves open what became of its end', async () => {
      await using one = await opened(service)
      await using engine = await engineOn(one, service)
      const sessions = tableOf(one.prefix, 'sessions')
      const rename = (trouble: () => void) =>
        engine.write(function* () {
          yield* changes(`UPDATE ${sessions} SET name = coalesce(name, '') || 'x'`)
          trouble()
          yield* rows('SELECT 1')
        })
      await expect(rename(() => one.proxy.cut())).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      one.proxy.heal()
      const losing = engine.write(function* () {
        yield* changes(`UPDATE ${sessions} SET name = coalesce(name, '') || 'y'`)
        one.proxy.lose('answer')
      })
      await expect(losing).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
      expect((await one.store.getSession('s'))!.name).toBe('y')
    })

    it('because the server ended it is replaced', async () => {
      await using one = await opened(service, { retries: 2 })
      const tally = await underTrouble(one.store, async () => {
        for (let i = 0; i < 10; i++) {
          await withClient(service, (client) =>
            client.query(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE position($1 in query) > 0 AND pid <> pg_backend_pid()`,
              [one.prefix],
            ),
          )
          await sleep(30)
        }
      })
      await expectOnce(one.store, tally)
      expect(tally.done.length).toBeGreaterThan(0)
    })
  })

  describe('a server that is slow or silent', () => {
    it('only takes longer', async () => {
      await using one = await opened(service)
      one.proxy.delay(40)
      const began = performance.now()
      await one.store.addMessage('s', USER)
      expect(performance.now() - began).toBeGreaterThan(75)
      expect(await idsOf(one.store)).toHaveLength(1)
    })

    it('is given up on after the deadline, and asked again when it is back', { timeout: 20_000 }, async () => {
      await using one = await opened(service)
      one.proxy.halfOpen()
      const { store } = one
      await Promise.all([
        expect(store.addMessage('s', USER, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' }),
        expect(store.getMessages('s', { timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' }),
        expect(store.ping({ timeoutMs: 200 })).rejects.toMatchObject({ code: 'TIMEOUT' }),
      ])
      one.proxy.heal()
      await store.addMessage('s', { ...USER, id: 'after' })
      expect(await idsOf(store)).toEqual(['after'])
      one.proxy.halfOpen()
      const began = performance.now()
      await store.close()
      expect(performance.now() - began).toBeLessThan(7_000)
      one.proxy.heal()
    })

    it('that does not take a connection in time is unavailable', async () => {
      await using one = await opened(service)
      one.proxy.halfOpen()
      const late = one.another({ connectTimeoutMs: 200, poolSize: 1 })
      await expect(late).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      one.proxy.heal()
    })
  })

  describe('a call that is stopped', () => {
    /** Runs some work while another transaction holds the session. */
    async function whileLocked({ prefix }: Conversation, work: () => Promise<void>): Promise<void> {
      await withClient(service, async (client) => {
        const { rows } = await client.query<{ name: string }>(`SELECT schemaname AS name FROM pg_tables WHERE tablename = $1`, [
          `${prefix}sessions`,
        ])
        await client.query(`BEGIN; LOCK TABLE "${rows[0]!.name.replaceAll('"', '""')}"."${prefix}sessions"`)
        await work()
        await client.query('ROLLBACK')
      })
    }

    it('while it waits at the server has not happened', async () => {
      await using one = await opened(service)
      await whileLocked(one, async () => {
        const stop = new AbortController()
        const append = one.store.addMessage('s', USER, { signal: stop.signal })
        const deletion = one.store.deleteSession('s', { timeoutMs: 200 })
        setTimeout(() => stop.abort(), 100)
        await expect(append).rejects.toMatchObject({ code: 'ABORTED', outcome: 'not-applied' })
        await expect(deletion).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'not-applied' })
      })
      expect(await idsOf(one.store)).toEqual([])
    })

    it('while it waits for a connection has not happened, and harms no other', async () => {
      await using one = await opened(service)
      const store = await one.another({ poolSize: 1 })
      await store.addMessage('s', { ...USER, id: 'before' })
      await whileLocked(one, async () => {
        const first = store.addMessage('s', { ...USER, id: 'first' })
        await expect(store.addMessage('s', USER, { timeoutMs: 50 })).rejects.toMatchObject({
          code: 'TIMEOUT',
          outcome: 'not-applied',
        })
        setTimeout(() => void first, 0)
      })
      await store.ping()
      expect(await idsOf(store)).toEqual(['before', 'first'])
    })

    it('by the server’s own limit has not happened', async () => {
      const url = `${service.url}?options=${encodeURIComponent('-c statement_timeout=100')}`
      await using one = await opened({ ...service, url })
      await whileLocked(one, () =>
        expect(one.store.addMessage('s', USER)).rejects.toMatchObject({
          code: 'TIMEOUT',
          outcome: 'not-applied',
          message: expect.stringContaining('statement_timeout'),
        }),
      )
      expect(await idsOf(one.store)).toEqual([])
    })
  })

  it('a server that only reads refuses writes as unavailable', async () => {
    await using one = await opened(service)
    const url = `${one.proxy.url(service.url)}?options=${encodeURIComponent('-c default_transaction_read_only=on')}`
    const reading = await one.another({ url })
    await expect(reading.addMessage('s', USER)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      outcome: 'not-applied',
      message: expect.stringContaining('replica'),
    })
    expect(await idsOf(reading)).toEqual([])
  })

  it('too many connections are told as such', async () => {
    await using one = await opened(service)
    const role = `${one.prefix}role`
    await withClient(service, (client) => client.query(`CREATE ROLE ${role} LOGIN CONNECTION LIMIT 0 PASSWORD 'some secret'`))
    const url = Object.assign(new URL(one.proxy.url(service.url)), { username: role, password: 'some secret' }).href
    await expect(one.another({ url })).rejects.toMatchObject({ code: 'RATE_LIMITED', outcome: 'not-applied' })
    await withClient(service, (client) => client.query(`DROP ROLE ${role}`))
  })
})

describe.each(['postgres', 'pgbouncer'])('a %s of its own', (name) => {
  it('is stopped, killed and started under load, and nothing is lost or doubled', { timeout: 120_000 }, async (context) => {
    const instance: Instance = await privateService(name, context)
    await using one = await opened(instance, { retries: 2 })
    const tally = await underTrouble(one.store, async () => {
      for (const end of ['stop', 'kill'] as const) {
        await instance[end]()
        await sleep(300)
        await instance.start()
        await sleep(500)
      }
    })
    await expectOnce(one.store, tally)
    expect(tally.done.length).toBeGreaterThan(WRITERS)
    expect(tally.absent.length + tally.open.length).toBeGreaterThan(0)
  })
})
