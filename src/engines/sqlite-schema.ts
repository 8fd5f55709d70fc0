/** Versioned schemas in an SQLite file. */
import { changes, pending, row, type Script, type SqlSchema } from './sql.ts'

export function* schemaVersion(table: string, name: string, component: string): Script<number> {
  const known = yield* row(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`, name)
  if (known === undefined) return 0
  const found = yield* row<{ version: number }>(`SELECT version FROM ${table} WHERE component = ?`, component)
  return found?.version ?? 0
}

/** Runs under the write lock, so that of any number of starters one migrates and the others find it done. */
export function* applyMigrations(table: string, name: string, schema: SqlSchema): Script<void> {
  yield* changes(`CREATE TABLE IF NOT EXISTS ${table} (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT`)
  for (const migration of pending(schema, yield* schemaVersion(table, name, schema.component))) {
    for (const sql of migration.up) yield* changes(sql)
    yield* changes(
      `INSERT INTO ${table} (component, version) VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version`,
      schema.component,
      migration.version,
    )
  }
}
