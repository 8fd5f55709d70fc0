/** How conversations on Postgres are opened, by whom, and what they hold at their limits. */
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { Client, Pool } from 'pg'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { create } from '../../src/conversation/backends/postgres.ts'
import type { ConversationStore } from '../../src/conversation/store.ts'
import type { PostgresOptions } from '../../src/engines/postgres-options.ts'
import { HoldfastError } from '../../src/errors.ts'
import { builtIn } from '../conformance/harness.ts'
import { holdfast } from '../cli-support.ts'
import { Proxy } from '../faults/proxy.ts'
import { withService } from '../services.ts'
import { run, scratch } from '../support.ts'
import { newPrefix, open, optionsAt, removeTables, tableOf, withClient, type Server } from './postgres-places.ts'

const USER = { role: 'user', content: 'x' } as const
const SECRET = 'very secret indeed'

/** A prefix whose tables go when the test ends. */
function ownPrefix(server: Server): string {
  const prefix = newPrefix()
  onTestFinished(() => removeTables(server, prefix))
  return prefix
}

async function connect(options: object): Promise<ConversationStore> {
  return await builtIn('conversation').create('postgres', options)
}

/** The URL with another user and password. */
function as(url: string, username: string, password: string): string {
  return Object.assign(new URL(url), { username, password }).href
}

withService('postgres', 'Postgres', (service) => {
  describe('what cannot be opened says why', () => {
    const refused = async (options: object): Promise<HoldfastError> => {
      const error: unknown = await connect({ retries: 0, ...options }).catch((reason: unknown) => reason)
      if (!(error instanceof HoldfastError)) throw new Error('it opened')
      expect(inspect(error, { depth: 9, showHidden: true }) + error.stack).not.toContain(SECRET)
      return error
    }

    it('a wrong password, without showing it', async () => {
      const url = as(service.url, 'holdfast', SECRET)
      expect(await refused({ url })).toMatchObject({ code: 'UNAUTHORIZED', outcome: 'not-applied' })
      const { hostname, port, pathname } = new URL(service.url)
      const options = { host: hostname, port: Number(port), database: pathname.slice(1), user: 'holdfast', password: SECRET }
      expect(await refused(options)).toMatchObject({ code: 'UNAUTHORIZED' })
      expect(await refused({ url: as(service.url, 'holdfast', '') })).toMatchObject({ code: 'UNAUTHORIZED' })
    })

    it('a database that is not there, a port where nothing listens, a host that does not exist', async () => {
      expect(await refused({ url: Object.assign(new URL(service.url), { pathname: '/nosuch' }).href })).toMatchObject({
        code: 'NOT_FOUND',
      })
      const nobody = await Proxy.open(service.url)
      await nobody.close()
      expect(await refused({ url: nobody.url(service.url) })).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
      expect(await refused({ host: 'no such host', password: SECRET })).toMatchObject({ code: 'UNAVAILABLE' })
    })

    it('a server without TLS where TLS is asked for', async () => {
      expect(await refused({ url: service.url, ssl: true })).toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringContaining('SSL'),
      })
    })

    it('options that cannot be', async () => {
      expect(await refused({ url: `postgres://u:${SECRET}@h/d?nosuch=1` })).toMatchObject({ code: 'INVALID_OPTIONS' })
      expect(await refused({ pasword: SECRET })).toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('a client library that is not installed', async () => {
      const missing = new HoldfastError('MISSING_CLIENT', 'npm install pg')
      const context = { kind: 'conversation', name: 'postgres', loadClient: () => Promise.reject(missing) } as const
      await expect(create({ url: service.url }, context)).rejects.toBe(missing)
    })
  })

  it('the variables of Postgres complete what is not said', async () => {
    const url = new URL(service.url)
    const prefix = ownPrefix(service)
    vi.stubEnv('PGHOST', url.hostname)
    vi.stubEnv('PGPORT', url.port)
    vi.stubEnv('PGDATABASE', url.pathname.slice(1))
    vi.stubEnv('PGUSER', url.username)
    vi.stubEnv('PGPASSWORD', url.password)
    onTestFinished(() => void vi.unstubAllEnvs())
    const { url: _, ...others }: PostgresOptions = optionsAt(service.url, prefix)
    await using store = await connect(others)
    await store.createSession({ id: 's' })
  })

  describe('a client of the caller’s', () => {
    it('that is a pool is used and not closed', async () => {
      const { schema, prefix } = optionsAt(service.url, ownPrefix(service))
      const pool = new Pool({ connectionString: service.url, max: 3 })
      const listeners = pool.listenerCount('error')
      const options: PostgresOptions = { client: pool, schema, prefix }
      const store = await connect(options)
      await store.createSession({ id: 's' })
      await Promise.all(Array.from({ length: 20 }, () => store.addMessage('s', USER)))
      await store.close()
      expect([pool.totalCount, pool.idleCount, pool.listenerCount('error')]).toEqual([3, 3, listeners])
      expect((await pool.query(`SELECT count(*)::int AS n FROM ${tableOf(prefix!, 'messages')}`)).rows).toEqual([{ n: 20 }])
      await pool.end()
    })

    it('that is a single connection serves all stores in turn, between the caller’s own statements', async () => {
      const { schema, prefix } = optionsAt(service.url, ownPrefix(service))
      const client = new Client({ connectionString: service.url })
      await client.connect()
      const options: PostgresOptions = { client, schema, prefix }
      const [one, two] = [await connect(options), await connect(options)]
      await one.createSession({ id: 's' })
      const large = { ...USER, content: 'x'.repeat(300_000) }
      await Promise.all([
        ...Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : two).addMessage('s', USER)),
        ...Array.from({ length: 4 }, (_, i) => (i % 2 === 0 ? one : two).addMessages('s', [large, large])),
      ])
      expect((await two.getMessages('s')).map(({ seq }) => seq)).toEqual(Array.from({ length: 18 }, (_, i) => i + 1))
      await expect(one.getSession('s', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
      await Promise.all([one.close(), two.close()])
      expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
      await client.end()
    })

    it('keeps its own way of reading columns', async () => {
      const { schema, prefix } = optionsAt(service.url, ownPrefix(service))
      const types = { getTypeParser: () => () => 'spoiled' }
      const pool = new Pool({ connectionString: service.url, max: 1, types })
      const store = await connect({ client: pool, schema, prefix })
      expect(await store.createSession({ id: 's' })).toMatchObject({ lastSeq: 0 })
      expect(await store.addMessage('s', USER)).toMatchObject({ seq: 1 })
      expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 'spoiled' }])
      await store.close()
      await pool.end()
    })
  })

  it('statements may be kept prepared, and are not any more where the server has forgotten them', async () => {
    const { schema, prefix } = optionsAt(service.url, ownPrefix(service))
    const client = new Client({ connectionString: service.url })
    await client.connect()
    const options: PostgresOptions = { client, schema, prefix, prepare: true }
    await using store = await connect(options)
    const held = async (): Promise<number> => {
      const { rows } = await client.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM pg_prepared_statements WHERE starts_with(name, 'holdfast_')`,
      )
      return rows[0]!.n
    }
    await store.createSession({ id: 's' })
    await store.addMessage('s', USER)
    expect(await held()).toBeGreaterThan(1)
    await client.query('DEALLOCATE ALL')
    await store.addMessage('s', USER)
    await store.addMessages('s', [USER, USER])
    expect([(await store.getMessages('s')).length, await held()]).toEqual([4, 0])
    await client.end()
  })

  describe('connections', () => {
    it('are shared by the stores of a place, up to their number, and closed with the last one', async () => {
      const prefix = ownPrefix(service)
      await using proxy = await Proxy.open(service.url)
      const options = optionsAt(proxy.url(service.url), prefix, { poolSize: 2 })
      const stores = await Promise.all(Array.from({ length: 3 }, () => connect(options)))
      await stores[0]!.createSession({ id: 's' })
      await Promise.all(Array.from({ length: 30 }, (_, i) => stores[i % 3]!.addMessage('s', USER)))
      expect(proxy.connections).toBe(2)
      await Promise.all(stores.slice(1).map((store) => store.close()))
      expect((await stores[0]!.getSession('s'))!.lastSeq).toBe(30)
      await stores[0]!.close()
      await expect.poll(() => proxy.connections).toBe(0)
      await using again = await connect(options)
      expect((await again.getSession('s'))!.lastSeq).toBe(30)
    })

    it('that a failed opening made are closed', async () => {
      await using proxy = await Proxy.open(service.url)
      const options = optionsAt(proxy.url(service.url), newPrefix(), { autoCreate: false })
      await expect(connect(options)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await expect.poll(() => proxy.connections).toBe(0)
    })

    it.each(['close', 'leave'])('let the process end: %s', async (end) => {
      const options = optionsAt(service.url, ownPrefix(service))
      const began = performance.now()
      const { lines, ended } = run('test/fixtures/postgres-user.ts', [JSON.stringify(options), end])
      expect((await lines.next()).value).toBe('done')
      const done = performance.now()
      expect(await ended).toMatchObject({ code: 0, stderr: '' })
      expect(performance.now() - done).toBeLessThan(2_000 + (done - began))
    })
  })

  describe('the tables', () => {
    it('are printed, applied and checked by the command, and found by who may not make them', async () => {
      const prefix = ownPrefix(service)
      const role = `${prefix}role`
      const options: PostgresOptions = optionsAt(service.url, prefix, { autoCreate: false })
      const cwd = await scratch()
      const config = `export default { conversation: ${JSON.stringify({ backend: 'postgres', ...options })}, knowledge: 'memory', state: 'memory' }`
      await (await import('node:fs/promises')).writeFile(`${cwd}/holdfast.config.js`, config)
      const schema = async (...args: string[]) =>
        holdfast(['schema', ...args, '--kind', 'conversation', '--config', 'holdfast.config.js'], { cwd })

      expect((await schema('status')).stdout).toMatch(/^conversation +0 +1 +missing +postgres:\/\/127/m)
      const printed = await schema('print')
      expect([printed.code, printed.stderr]).toEqual([0, ''])
      await withClient(service, (client) => client.query(printed.stdout))
      expect(await schema('status')).toMatchObject({ code: 0 })
      expect((await schema('apply')).stdout).toBe('conversation: version 1, up to date\n')

      const tables = ['sessions', 'messages', 'schema'].map((name) => tableOf(prefix, name)).join(', ')
      await withClient(service, async (client) => {
        const namespace = tableOf('', '').split('.')[0]!
        await client.query(
          `CREATE ROLE ${role} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA ${namespace} TO ${role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ${tables} TO ${role}`,
        )
      })
      const store = await connect({ ...options, autoCreate: true, url: as(service.url, role, 'p') })
      await store.createSession({ id: 's' })
      await store.addMessage('s', USER)
      await store.deleteSession('s')
      await store.close()
      await withClient(service, (client) => client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`))
    })

    it('made by the command are those that a store makes', async () => {
      const [made, applied] = [ownPrefix(service), ownPrefix(service)]
      const registry = builtIn('conversation')
      await (await connect(optionsAt(service.url, made))).close()
      const tables = (await registry.tables('postgres', optionsAt(service.url, applied)))!
      expect([await tables.found(), tables.version]).toEqual([0, 1])
      await Promise.all([tables.apply(), tables.apply()])
      expect([await tables.found(), tables.sql(1)]).toEqual([1, []])
      const shape = (prefix: string): Promise<unknown> =>
        withClient(service, async (client) => {
          const { rows } = await client.query<{ shape: string }>(
            `SELECT replace(indexdef, $1, '') AS shape FROM pg_indexes WHERE starts_with(tablename, $1)
              UNION ALL SELECT concat_ws(' ', replace(table_name, $1, ''), column_name, data_type, collation_name, is_nullable)
              FROM information_schema.columns WHERE starts_with(table_name, $1) ORDER BY 1`,
            [prefix],
          )
          return rows.map(({ shape: line }) => line)
        })
      const shapes = await Promise.all([shape(made), shape(applied)])
      expect(shapes[0]).toEqual(shapes[1])
    })

    it('of a newer version are left alone', async () => {
      const prefix = ownPrefix(service)
      await (await connect(optionsAt(service.url, prefix))).close()
      await withClient(service, (client) => client.query(`UPDATE ${tableOf(prefix, 'schema')} SET version = 9`))
      await expect(connect(optionsAt(service.url, prefix))).rejects.toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringContaining('newer Holdfast'),
      })
    })
  })

  describe('what they hold', () => {
    it('ids of 512 bytes that do not compress, in every key at once', async () => {
      await using opened = await open('conversation', 'postgres', service)
      const id = (): string => randomBytes(256).toString('hex')
      // Bytes of Latin letters beyond ASCII, two in UTF-8: nothing that the server could store in less.
      const dense = (): string => Array.from(randomBytes(256), (byte) => String.fromCharCode(0x100 + byte)).join('')
      for (const make of [id, dense]) {
        const store = opened.store.workspace(make())
        const [session, userId, agentId, message] = [make(), make(), make(), make()]
        await store.createSession({ id: session, userId, agentId })
        await store.addMessages(session, [{ ...USER, id: message }, USER])
        expect(await store.getMessage(session, message)).toMatchObject({ seq: 1 })
        for (const query of [{ userId }, { agentId }, { userId, agentId }]) {
          expect((await store.listSessions(query)).items.map((found) => found.id)).toEqual([session])
        }
        expect(await store.searchMessages({ text: 'x', userId, sessionId: session })).toHaveLength(2)
      }
    })

    it('content of 30 MB, alone and in a batch, and a batch of 5,000', { timeout: 60_000 }, async () => {
      await using opened = await open('conversation', 'postgres', service)
      const { store } = opened
      await store.createSession({ id: 's' })
      const content = 'Ünicode \u0001 "text" '.repeat(1_500_000)
      const many = Array.from({ length: 5_000 }, (_, i) => ({
        ...USER,
        id: `m${i}`,
        parts: [{ type: 'text', text: `Part ${i}` }],
      }))
      await store.addMessage('s', { role: 'user', content })
      await store.addMessages('s', [USER, { role: 'user', content }, USER])
      await store.addMessages('s', many)
      const found = await store.getMessages('s')
      expect(found.map(({ seq }) => seq)).toEqual(Array.from({ length: 5_004 }, (_, i) => i + 1))
      expect([found[0]!.content === content, found[2]!.content === content]).toEqual([true, true])
      expect((await store.searchMessages({ text: 'PART 4999' })).map(({ id }) => id)).toEqual(['m4999'])
      expect(await store.getMessages('s', { limit: 3 })).toMatchObject([{ id: 'm4997' }, { id: 'm4998' }, { id: 'm4999' }])
      const copy = await store.forkSession('s', { newId: 'copy' })
      expect([copy.lastSeq, (await store.getMessages('copy')).length]).toEqual([5_004, 5_004])
      expect(
        await store.deleteMessages(
          'copy',
          many.map(({ id }) => id),
        ),
      ).toBe(5_000)
    })

    it('metadata that its own JSON type refuses, which a listing still looks through exactly', async () => {
      await using opened = await open('conversation', 'postgres', service)
      const { store } = opened
      const hostile: Record<string, Record<string, unknown>> = {
        plain: { a: 1 },
        zero: { a: 1, b: 'x\0y' },
        'zero in a name': { a: 1, 'b\0': 1 },
        lone: { a: 1, b: '\ud83d' },
        'lone low': { a: 1, b: '\udc00' },
        'other zero': { a: 'x\0', b: 1 },
        'only looks so': { a: 1, b: String.raw`\u0000 \ud83d` },
        'a replacement': { a: 'x\uFFFD' },
        text: { a: '1' },
        large: { a: 1e308, b: 5e-324, c: -0 },
        nested: { a: { a: 1 }, b: [1] },
      }
      for (const [id, metadata] of Object.entries(hostile)) await store.createSession({ id, metadata })
      const ids = async (metadata: Record<string, unknown>, limit = 100): Promise<string[]> => {
        const found: string[] = []
        let cursor: string | undefined
        do {
          const page = await store.listSessions({
            metadata: metadata as never,
            limit,
            order: 'asc',
            ...(cursor === undefined ? {} : { cursor }),
          })
          found.push(...page.items.map(({ id }) => id))
          cursor = page.cursor
        } while (cursor !== undefined)
        return found.toSorted()
      }
      const ones = ['lone', 'lone low', 'only looks so', 'plain', 'zero', 'zero in a name']
      for (const limit of [100, 2, 1]) expect(await ids({ a: 1 }, limit)).toEqual(ones)
      expect(await ids({ b: 1 }, 1)).toEqual(['other zero'])
      expect(await ids({ a: 'x\uFFFD' })).toEqual(['a replacement'])
      expect(await ids({ a: 1e308, b: 5e-324, c: 0 })).toEqual(['large'])
      expect(await ids({ a: '1' })).toEqual(['text'])
      expect(await ids({ a: true })).toEqual([])
    })
  })
})
