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
  const found = yield* schemaVersion(table, name, schema.component)
  for (const sql of migrationStatements(table, schema, found)) yield* changes(sql)
}

/** What takes the tables from a version to the newest, together with what notes how far they are. */
export function migrationStatements(table: string, schema: SqlSchema, found: number): string[] {
  const steps = pending(schema, found).flatMap(({ version, up }) => [
    ...up,
    `INSERT INTO ${table} (component, version) VALUES ('${schema.component}', ${version})
      ON CONFLICT (component) DO UPDATE SET version = excluded.version`,
  ])
  if (steps.length === 0) return []
  return [`CREATE TABLE IF NOT EXISTS ${table} (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT`, ...steps]
}
