/** State in Postgres: one row a key, plain JSON text or plain bytes. */
import { openPostgresBackend, POSTGRES_OPTIONS, postgresTables, type PostgresOptions } from '../../engines/postgres-options.ts'
import { ABORT_ANSWER_MS } from '../../engines/postgres.ts'
import { defineBackend } from '../../store/factory.ts'
import type { StateBackend, StateCapabilities } from '../contract.ts'
import { createServerState, serverStateSchema } from '../sql-server.ts'

export type PostgresStateOptions = PostgresOptions

export const capabilities: StateCapabilities = { bytes: 'native', commitKeys: Infinity }

/** Postgres's values hold 1 GB, but bytes come back as twice as many digits, and JSON in JSON may grow sixfold: all in one string of Node. */
const LIMITS = { valueBytes: 64_000_000 } as const

export const tables = postgresTables(serverStateSchema)

export const create = defineBackend<PostgresStateOptions, StateBackend>(POSTGRES_OPTIONS, async (options, context) => {
  const { engine, prefix } = await openPostgresBackend(options, context, serverStateSchema)
  return createServerState(engine, { prefix, capabilities, limits: LIMITS, abortAnswerMs: ABORT_ANSWER_MS })
})
