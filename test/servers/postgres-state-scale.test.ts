/** What state on Postgres costs: round trips, plans, and many rows in little memory. */
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { expect, it } from 'vitest'
import { postgresDialect } from '../../src/engines/postgres.ts'
import { serverStatements } from '../../src/state/sql-server-statements.ts'
import type { StateStore } from '../../src/state/store.ts'
import { withService } from '../services.ts'
import { exec } from '../support.ts'
import { open, optionsAt, SCHEMA, tableOf, withClient } from './postgres-places.ts'

const ROWS = Number(process.env['HOLDFAST_ROWS'] ?? 200_000)
const HEAP_MB = 40

withService('postgres', 'Postgres', (service) => {
  it('takes as many round trips as the work has to have', async () => {
    await using at = await open('state', 'postgres', service)
    const { store, proxy } = at
    await store.set('warm', 1)
    const calls: [string, number, (store: StateStore) => Promise<unknown>][] = [
      ['get', 1, () => store.get('k')],
      ['set', 1, () => store.set('k', 1)],
      ['set with a TTL', 1, () => store.set('t', 1, { ttl: 60 })],
      ['setIfAbsent', 1, () => store.setIfAbsent('a', 1)],
      ['increment', 1, () => store.increment('k')],
      ['increment of what is new', 1, () => store.increment('n')],
      ['compareAndSet', 2, () => store.compareAndSet('a', 1, 2)],
      ['hset', 2, () => store.hset('h', 'f', 1)],
      ['expire', 2, () => store.expire('a', 60)],
      ['exists', 1, () => store.exists('k')],
      ['delete', 1, () => store.delete('a')],
      ['getMany', 1, () => store.getMany(['k', 'n', 'h'])],
      [
        'setMany of 1,000, and a purge',
        2,
        () => store.setMany(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`m${i}`, i]))),
      ],
      ['scan of 1,000', 1, () => store.scan({ limit: 1_000 })],
      ['deleteMany', 4, () => store.deleteMany(['k', 'n', 'nobody'])],
      ['ping', 1, () => store.ping()],
    ]
    const taken: Record<string, number> = {}
    for (const [name, , call] of calls) taken[name] = await proxy.count(() => call(store))
    expect(taken).toEqual(Object.fromEntries(calls.map(([name, count]) => [name, count])))

    const client = new Client({ connectionString: proxy.url(service.url) })
    await client.connect()
    const raw = await proxy.count(() => client.query(`SELECT text FROM ${tableOf(at.prefix, 'state')} WHERE key = $1`, ['k']))
    await client.end()
    expect(raw).toBe(1)
  })

  it(`answers every statement from an index of ${ROWS} rows, known to the server or not`, { timeout: 300_000 }, async () => {
    await using at = await open('state', 'postgres', service)
    await fill(at.prefix)
    await withClient(service, async (client) => {
      const found: Record<string, string[]> = {}
      for (const known of [false, true]) {
        if (known) await client.query(`VACUUM ANALYZE ${tableOf(at.prefix, 'state')}`)
        for (const [name, sql, values] of statements(at.prefix)) {
          const plan = await explain(client, sql, values)
          found[name] = [...(found[name] ?? []), ...plan.filter((line) => /Seq Scan on|Sort Key/.test(line))]
        }
      }
      expect(Object.fromEntries(Object.entries(found).filter(([, lines]) => lines.length > 0))).toEqual({})
    })
  })

  it(`lists ${ROWS} keys and clears ${ROWS} among them in a heap of ${HEAP_MB} MB`, { timeout: 600_000 }, async () => {
    await using at = await open('state', 'postgres', service)
    await fill(at.prefix)
    const script = fileURLToPath(new URL('../fixtures/state-rows.ts', import.meta.url))
    const options = JSON.stringify(optionsAt(service.url, at.prefix))
    const { stdout } = await exec(process.execPath, [`--max-old-space-size=${HEAP_MB}`, script, 'postgres', options])
    const all = { keys: ROWS, inOrder: true }
    expect(JSON.parse(stdout)).toMatchObject({ listed: all, removed: ROWS, left: { keys: 0 }, others: all })
    if (process.env['HOLDFAST_ROWS'] !== undefined) console.log(stdout)
  })

  it('removes expired rows while it writes, and only those', async () => {
    await using at = await open('state', 'postgres', service)
    await withClient(service, (client) =>
      client.query(
        `INSERT INTO ${tableOf(at.prefix, 'state')} SELECT 's', 'k' || i, i, i, 'x', NULL FROM generate_series(1, 500) i`,
      ),
    )
    await at.store.set('stays', 1, { ttl: 600 })
    for (let i = 0; i < 300; i++) await at.store.set(`k${i}`, i)
    await withClient(service, async (client) => {
      const { rows } = await client.query<{ n: string }>(`SELECT count(*) AS n FROM ${tableOf(at.prefix, 'state')}`)
      expect(Number(rows[0]!.n)).toBe(301)
    })
  })

  it('keeps text as text and bytes as bytes, for other programs', async () => {
    await using at = await open('state', 'postgres', service)
    await at.store.set('json', { a: ['ü\u0000'] })
    await at.store.setBytes('bytes', Uint8Array.of(0, 255))
    await withClient(service, async (client) => {
      const { rows } = await client.query(`SELECT key, text, bytes FROM ${tableOf(at.prefix, 'state')} ORDER BY key`)
      expect(rows).toEqual([
        { key: 'bytes', text: null, bytes: Buffer.from([0, 255]) },
        { key: 'json', text: '{"a":["ü\\u0000"]}', bytes: null },
      ])
    })
  })

  /** Two spaces of so many rows each, as another program writes them. */
  async function fill(prefix: string): Promise<void> {
    await withClient(service, (client) =>
      client.query(
        `INSERT INTO ${tableOf(prefix, 'state')} SELECT space, 'key-' || lpad(i::text, 8, '0'), i, NULL, '"value"', NULL
          FROM generate_series(1, ${ROWS}) i, (VALUES ('w:kept'), ('w:cleared')) spaces (space)`,
      ),
    )
  }
})

function statements(prefix: string): [string, string, unknown[]][] {
  const sql = serverStatements(postgresDialect(SCHEMA), prefix)
  const [space, key, keys] = ['w:kept', 'key-00000007', JSON.stringify(['key-00000001', 'key-00000002', 'nobody'])]
  return [
    ['get', sql.get, [space, key]],
    ['getMany', sql.getMany, [space, keys]],
    ['put', sql.put, [space, key, 1, '1', null, null]],
    ['putKeepingTtl', sql.putKeepingTtl, [space, key, 1, '1', null]],
    ['putIfAbsent', sql.putIfAbsent, [space, key, 1, '1', null, null]],
    ['replace', sql.replace, ['1', null, null, 0, space, key, '7']],
    ['add', sql.add, [space, key, 1, '1', 1, 1, 100]],
    ['delete', sql.delete, [space, key]],
    ['deleteVersion', sql.deleteVersion, [space, key, '7']],
    ['hold', sql.hold, [space, 1, keys, '[]', space, keys]],
    ['upsert', sql.upsert, [space, '[{"key":"q","version":1,"text":"x"}]']],
    ['deleteMany', sql.deleteMany, [space, keys]],
    ['deleteAndUpsert', sql.deleteAndUpsert, [space, keys, space, '[]']],
    ['purge', sql.purge, [128]],
    ['scan', sql.scan(false), [space, 'key', space, 'kez', 1_000]],
    ['scan on', sql.scan(true), [space, key, `${space}\u0001`, '', 1_000]],
    ['spaces', sql.spaces(false, true), ['w:', 'w;', 'w;', 100]],
  ]
}

async function explain(client: Client, sql: string, values: readonly unknown[]): Promise<string[]> {
  let count = 0
  const text = `EXPLAIN ${sql.replaceAll('?', () => `$${++count}`)}`
  const { rows } = await client.query<Record<string, string>>(text, [...values])
  return rows.flatMap((row) => Object.values(row))
}
