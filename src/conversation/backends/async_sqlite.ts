/** Conversations in an SQLite file, as `sqlite`, with the connection in a worker thread: the event loop never waits for the disk. */
import { join } from 'node:path'
import { canonicalPath } from '../../engines/sqlite-file.ts'
import { SQLITE_OPTIONS, sqliteTables, type SqliteOptions } from '../../engines/sqlite-options.ts'
import { moduleBeside, openThreaded } from '../../engines/threaded.ts'
import { defineBackend } from '../../store/factory.ts'
import { fileLocation, IN_MEMORY } from '../../store/location.ts'
import type { ConversationBackend, ConversationCapabilities } from '../contract.ts'
import { conversationSchema } from '../schema.ts'

export type AsyncSqliteConversationOptions = SqliteOptions

export const capabilities: ConversationCapabilities = { search: true }

export const tables = sqliteTables('conversation', conversationSchema)

export const create = defineBackend<AsyncSqliteConversationOptions, ConversationBackend>(
  SQLITE_OPTIONS,
  async (options, { kind, name }) => {
    const { path: _, url: __, ...others } = options
    const path = fileLocation(options, join('.holdfast', 'conversation.db'))
    const key = path === IN_MEMORY ? undefined : await canonicalPath(path)
    // Loaded by name and in the thread only, so that no backend imports another.
    const module = moduleBeside('./sqlite', import.meta.url)
    return openThreaded<ConversationBackend>({ module, kind, name, key, options: { ...others, path } })
  },
)
