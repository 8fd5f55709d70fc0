/** The options that all SQLite backends take, and how they open their file by them. */
import { join } from 'node:path'
import type { StoreTables } from '../store/factory.ts'
import { existsSync } from '../store/fs.ts'
import { fileLocation, IN_MEMORY } from '../store/location.ts'
import type { OptionsSchema } from '../store/options.ts'
import type { SqlDialect, SqlSchema } from './sql.ts'
import { openSqlite, SQLITE_DIALECT, type SqliteEngine } from './sqlite.ts'
import type { Durability } from './sqlite-file.ts'
import { migrationStatements } from './sqlite-schema.ts'

export interface SqliteOptions {
  /** The file, made where it is missing; `:memory:` keeps nothing on disk. Default: `.holdfast/<kind>.db`. */
  readonly path?: string | undefined
  /** The same as a URL: `file:x.db`, `sqlite:x.db`, `sqlite:////absolute/x.db`. */
  readonly url?: string | undefined
  /** `full` (default): a write that resolved survives a power cut; `relaxed`: it survives a killed process. */
  readonly durability?: Durability | undefined
  /** Makes and updates the tables. Default true. */
  readonly autoCreate?: boolean | undefined
  /** Table-name prefix: up to 40 letters, digits and underscores. Default `holdfast_`. */
  readonly prefix?: string | undefined
  /** Milliseconds to wait for a lock that another process holds. Default 30,000. */
  readonly lockTimeoutMs?: number | undefined
}

export const DEFAULT_PREFIX = 'holdfast_'

export const SQLITE_OPTIONS: OptionsSchema<SqliteOptions> = {
  path: { type: 'string', description: 'the file, or :memory:; default .holdfast/KIND.db' },
  url: { type: 'string', description: 'the file as a URL: sqlite:x.db, sqlite:////absolute/x.db, file:x.db' },
  durability: {
    type: 'string',
    description: 'full: a resolved write survives a power cut; relaxed: a killed process',
    choices: ['full', 'relaxed'],
    default: 'full',
  },
  autoCreate: { type: 'boolean', description: 'make and update the tables', default: true },
  prefix: { type: 'string', description: 'table-name prefix', default: DEFAULT_PREFIX, check: wrongPrefix },
  lockTimeoutMs: { type: 'integer', description: 'milliseconds to wait for a lock of another process', default: 30_000, min: 0 },
}

/** SQLite's largest row is 1,000,000,000 bytes, Node's longest string about half as many characters. */
export const MAX_SQLITE_VALUE_BYTES = 500_000_000

/** What a backend builds on: its engine, brought up to date, and its table prefix. */
export interface OpenedSqlite {
  readonly engine: SqliteEngine
  readonly prefix: string
  /** The backend's `backup` method: one file, named after the kind. */
  backup(directory: string): Promise<string[]>
}

/** Opens the file of a kind and brings its tables up to date; what fails leaves nothing open. */
export async function openSqliteBackend(
  kind: string,
  options: SqliteOptions,
  schema: (dialect: SqlDialect, prefix: string) => SqlSchema,
): Promise<OpenedSqlite> {
  const { durability, lockTimeoutMs, autoCreate = true, prefix = DEFAULT_PREFIX } = options
  const file = `${kind}.db`
  const engine = await openSqlite(fileLocation(options, join('.holdfast', file)), { durability, lockTimeoutMs })
  try {
    await engine.migrate(schema(engine.dialect, prefix), { autoCreate })
  } catch (error) {
    await engine.close()
    throw error
  }
  const backup = async (directory: string): Promise<string[]> => {
    await engine.backup(join(directory, file))
    return [file]
  }
  return { engine, prefix, backup }
}

/** What a backend's file exports as `tables`. */
export function sqliteTables(
  kind: string,
  schemaOf: (dialect: SqlDialect, prefix: string) => SqlSchema,
): (options: SqliteOptions) => StoreTables | undefined {
  return ({ lockTimeoutMs, prefix = DEFAULT_PREFIX, path, url }) => {
    const place = fileLocation({ path, url }, join('.holdfast', `${kind}.db`))
    if (place === IN_MEMORY) return undefined
    const schema = schemaOf(SQLITE_DIALECT, prefix)
    const withEngine = async <T>(work: (engine: SqliteEngine) => Promise<T>): Promise<T> => {
      const engine = await openSqlite(place, { lockTimeoutMs })
      try {
        return await work(engine)
      } finally {
        await engine.close()
      }
    }
    return {
      place,
      version: schema.migrations.length,
      // Opening a file that is not there would make it.
      found: async () => (existsSync(place) ? withEngine((engine) => engine.version(schema)) : 0),
      sql: (from = 0) => migrationStatements(SQLITE_DIALECT.quote(`${prefix}schema`), schema, from),
      apply: () => withEngine((engine) => engine.migrate(schema, { autoCreate: true })),
    }
  }
}

function wrongPrefix(prefix: string): string | undefined {
  if (!/^\w{0,40}$/.test(prefix)) return 'must be up to 40 letters, digits and underscores'
  return /^sqlite_/i.test(prefix) ? 'must not begin with sqlite_, which SQLite keeps for itself' : undefined
}
