/** State on Postgres against `pg` by hand: the same rows but for workspaces and versions, with a time of expiry that every read minds. */
import { randomBytes } from 'node:crypto'
import { Pool } from 'pg'
import type { Service } from '../../scripts/services/home.ts'
import { STATE_STORES } from '../../src/index.ts'
import type { Prepared, ServerBench } from './frame.ts'
import { stateComparisons, type StateByHand } from './state-operations.ts'

export const postgresState: ServerBench = {
  title: 'postgres: state',
  service: 'postgres',
  sides: ['pg', 'holdfast'],
  prepare,
}

async function prepare({ url }: Service): Promise<Prepared> {
  const schema = `bench_${randomBytes(4).toString('hex')}`
  const pool = new Pool({ connectionString: url })
  const store = await STATE_STORES.create('postgres', { url, schema })
  const close = async (): Promise<void> => {
    await store.close()
    await pool.query(`DROP SCHEMA ${schema} CASCADE`)
    await pool.end()
  }
  const table = `${schema}.raw`
  await pool.query(
    `CREATE TABLE ${table} (key text COLLATE "C" PRIMARY KEY, value text NOT NULL, expires_at timestamptz);
      CREATE INDEX ON ${table} (expires_at) WHERE expires_at IS NOT NULL`,
  )
  return { comparisons: await stateComparisons(byHand(pool, table), store, { single: 1_000, batch: 200 }), close }
}

interface Row {
  readonly key: string
  readonly value: string
}

function byHand(pool: Pool, table: string): StateByHand {
  const live = '(t.expires_at IS NULL OR t.expires_at > now())'
  const insert = `INSERT INTO ${table} AS t (key, value, expires_at)`
  const update = 'ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at'
  const rows = async (sql: string, values: unknown[]): Promise<Row[]> => (await pool.query<Row>(sql, values)).rows
  return {
    ping: () => pool.query('SELECT 1'),
    get: async (key) => {
      const [found] = await rows(`SELECT value FROM ${table} t WHERE key = $1 AND ${live}`, [key])
      return found && (JSON.parse(found.value) as unknown)
    },
    set: (key, value) => rows(`${insert} VALUES ($1, $2, NULL) ${update}`, [key, JSON.stringify(value)]),
    setFor: (key, value, seconds) =>
      rows(`${insert} VALUES ($1, $2, now() + $3 * interval '1 second') ${update}`, [key, JSON.stringify(value), seconds]),
    increment: (key) =>
      rows(
        `${insert} VALUES ($1, '1', NULL) ON CONFLICT (key) DO UPDATE
          SET value = CASE WHEN ${live} THEN (t.value::bigint + 1)::text ELSE '1' END, expires_at = CASE WHEN ${live} THEN t.expires_at END
          RETURNING value`,
        [key],
      ),
    setIfAbsent: (key, value) =>
      rows(`${insert} VALUES ($1, $2, NULL) ${update} WHERE NOT ${live}`, [key, JSON.stringify(value)]),
    setMany: (entries) =>
      rows(`${insert} SELECT key, value, NULL FROM unnest($1::text[], $2::text[]) AS given (key, value) ${update}`, [
        [...entries.keys()],
        Array.from(entries.values(), (value) => JSON.stringify(value)),
      ]),
    getMany: async (keys) => {
      const found = await rows(`SELECT key, value FROM ${table} t WHERE key = ANY ($1) AND ${live}`, [keys])
      const values = new Map(found.map(({ key, value }) => [key, JSON.parse(value) as unknown]))
      return keys.map((key) => values.get(key))
    },
    scan: async (prefix, limit) => {
      const sql = `SELECT key FROM ${table} t WHERE key >= $1 AND key < $2 AND ${live} ORDER BY key LIMIT $3`
      const found = await rows(sql, [prefix, `${prefix}\u{10ffff}`, limit + 1])
      return { keys: found.slice(0, limit).map(({ key }) => key), more: found.length > limit }
    },
  }
}
