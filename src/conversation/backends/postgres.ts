/** Conversations in Postgres and what speaks its protocol: Neon, CockroachDB, Xata, Supabase. */
import { openPostgresBackend, POSTGRES_OPTIONS, postgresTables, type PostgresOptions } from '../../engines/postgres-options.ts'
import { ABORT_ANSWER_MS } from '../../engines/postgres.ts'
import { defineBackend } from '../../store/factory.ts'
import type { ConversationBackend, ConversationCapabilities } from '../contract.ts'
import { LikeSearch } from '../like-search.ts'
import { conversationSchema, conversationTables } from '../schema.ts'
import { SingleScripts } from '../sql-single.ts'
import { createSqlConversation } from '../sql.ts'

export type PostgresConversationOptions = PostgresOptions

export const capabilities: ConversationCapabilities = { search: true }

/** A row travels in one message of the protocol, which Postgres limits to 1 GB, with its text up to twice. */
const LIMITS = { contentBytes: 100_000_000, jsonBytes: 50_000_000 } as const

export const tables = postgresTables(conversationSchema)

export const create = defineBackend<PostgresConversationOptions, ConversationBackend>(
  POSTGRES_OPTIONS,
  async (options, context) => {
    const { engine, prefix } = await openPostgresBackend(options, context, conversationSchema)
    const searching = new LikeSearch(engine, conversationTables(engine.dialect, prefix))
    const backend = createSqlConversation(engine, {
      prefix,
      capabilities,
      limits: LIMITS,
      scripts: (names, sql) => new SingleScripts(names, sql),
      search: (workspace, search, call) => searching.search(workspace, search, call),
    })
    return Object.assign(backend, { abortAnswerMs: ABORT_ANSWER_MS })
  },
)
