/** Conversations in an SQLite file, by Node's own `node:sqlite`: the default. */
import { openSqliteBackend, SQLITE_OPTIONS, sqliteTables, type SqliteOptions } from '../../engines/sqlite-options.ts'
import { defineBackend } from '../../store/factory.ts'
import type { ConversationBackend, ConversationCapabilities } from '../contract.ts'
import { FtsIndex } from '../fts.ts'
import { conversationSchema, conversationTables } from '../schema.ts'
import { createSqlConversation } from '../sql.ts'

export type SqliteConversationOptions = SqliteOptions

export const capabilities: ConversationCapabilities = { search: true }

/** One content and three JSON texts share a row, of which SQLite takes 1,000,000,000 bytes. */
const LIMITS = { contentBytes: 400_000_000, jsonBytes: 190_000_000 } as const

export const tables = sqliteTables('conversation', conversationSchema)

export const create = defineBackend<SqliteConversationOptions, ConversationBackend>(SQLITE_OPTIONS, async (options) => {
  const { engine, prefix, backup } = await openSqliteBackend('conversation', options, conversationSchema)
  const index = new FtsIndex(engine, conversationTables(engine.dialect, prefix))
  return Object.assign(createSqlConversation(engine, { prefix, capabilities, limits: LIMITS, index }), { backup })
})
