/** State in an SQLite file, by Node's own `node:sqlite`: the default. */
import {
  MAX_SQLITE_VALUE_BYTES,
  openSqliteBackend,
  SQLITE_OPTIONS,
  sqliteTables,
  type SqliteOptions,
} from '../../engines/sqlite-options.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend, StateCapabilities } from '../contract.ts'
import { createSqlState, stateSchema } from '../sql.ts'

export type SqliteStateOptions = SqliteOptions

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: Infinity }

const LIMITS = { valueBytes: MAX_SQLITE_VALUE_BYTES }

export const tables = sqliteTables('state', stateSchema)

export const create = defineBackend<SqliteStateOptions, StateBackend>(SQLITE_OPTIONS, async (options) => {
  const { engine, prefix, backup } = await openSqliteBackend('state', options, stateSchema)
  return Object.assign(createSqlState(engine, { prefix, capabilities, limits: LIMITS }), { backup })
})
