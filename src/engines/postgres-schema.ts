/** Versioned schemas in a Postgres database. */
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../errors.ts'
import { sqlState } from './postgres-errors.ts'
import {
  changes,
  changesAlone,
  pending,
  row,
  rowAlone,
  type Script,
  type SqlDialect,
  type SqlEngine,
  type SqlSchema,
} from './sql.ts'

const UNDEFINED_TABLE = '42P01'
const UNDEFINED_SCHEMA = '3F000'
/** What `IF NOT EXISTS` reports to those who create the same thing at the same time: unique violations in the catalogue, duplicates, a changed row. */
const CREATED_MEANWHILE: ReadonlySet<string> = new Set(['23505', '42P06', '42P07', '42710', 'XX000'])
const ATTEMPTS = 20

export async function foundVersion(engine: SqlEngine, { prefix, component }: SqlSchema): Promise<number> {
  const sql = `SELECT version FROM ${engine.dialect.table(`${prefix}schema`)} WHERE component = ?`
  try {
    return (await engine.select<{ version: number }>(sql, [component]))[0]?.version ?? 0
  } catch (error) {
    const code = sqlState(error)
    if (code === UNDEFINED_TABLE || code === UNDEFINED_SCHEMA) return 0
    throw error
  }
}

/** Any number of starters may come at once: the first one to lock the component's row migrates, the others find it done. */
export async function applyMigrations(engine: SqlEngine, namespace: string, schema: SqlSchema): Promise<void> {
  await engine.read(checkEncoding)
  const { dialect } = engine
  const table = dialect.table(`${schema.prefix}schema`)
  await settled(async () => {
    const known = await engine.select('SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?', [namespace])
    // Only where it is missing: whoever may not create schemas may still use one.
    if (known.length === 0) await engine.write(() => changesAlone(createNamespace(dialect, namespace)))
  })
  await settled(() => engine.write(() => changesAlone(createVersions(table))))
  await settled(() => engine.write(() => migrateUnderLock(table, schema)))
}

function* checkEncoding(): Script<void> {
  const found = yield* rowAlone<{ encoding: string }>(`SELECT current_setting('server_encoding') AS encoding`)
  if (found?.encoding === 'UTF8') return
  throw new HoldfastError('UNSUPPORTED', `the database has the encoding ${found?.encoding}; it must be UTF8`, {
    outcome: 'not-applied',
  })
}

function* migrateUnderLock(table: string, schema: SqlSchema): Script<void> {
  const { component } = schema
  yield* changes(`INSERT INTO ${table} (component, version) VALUES (?, 0) ON CONFLICT (component) DO NOTHING`, component)
  const found = yield* row<{ version: number }>(`SELECT version FROM ${table} WHERE component = ? FOR UPDATE`, component)
  const steps = pending(schema, found?.version ?? 0)
  for (const sql of steps.flatMap(({ up }) => up)) yield* changes(sql)
  if (steps.length > 0) yield* changes(`UPDATE ${table} SET version = ? WHERE component = ?`, steps.at(-1)!.version, component)
}

/** What takes the tables from a version to the newest, together with what notes how far they are, to be run by hand. */
export function postgresMigrationStatements(dialect: SqlDialect, namespace: string, schema: SqlSchema, found: number): string[] {
  const table = dialect.table(`${schema.prefix}schema`)
  const steps = pending(schema, found).flatMap(({ version, up }) => [
    ...up,
    `INSERT INTO ${table} (component, version) VALUES ('${schema.component}', ${version})
      ON CONFLICT (component) DO UPDATE SET version = excluded.version`,
  ])
  // Whoever may not create schemas may still use `public`, which is there already.
  const first = namespace === 'public' ? [] : [createNamespace(dialect, namespace)]
  return steps.length === 0 ? [] : [...first, createVersions(table), ...steps]
}

function createNamespace(dialect: SqlDialect, namespace: string): string {
  return `CREATE SCHEMA IF NOT EXISTS ${dialect.quote(namespace)}`
}

function createVersions(table: string): string {
  return `CREATE TABLE IF NOT EXISTS ${table} (component text COLLATE "C" PRIMARY KEY, version bigint NOT NULL)`
}

/** Tries again where others created the same thing meanwhile. */
async function settled(create: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await create()
      return
    } catch (error) {
      if (attempt >= ATTEMPTS || !CREATED_MEANWHILE.has(sqlState(error) ?? '')) throw error
      await sleep(Math.random() * 10 * attempt)
    }
  }
}
