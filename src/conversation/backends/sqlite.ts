/** Conversations in an SQLite file, by Node's own `node:sqlite`: the default. */
import { join } from 'node:path'
import { openSqlite, type SqliteEngine } from '../../engines/sqlite.ts'
import { defineBackend } from '../../store/factory.ts'
import { fileLocation } from '../../store/location.ts'
import type { ConversationBackend } from '../contract.ts'
import { FtsIndex } from '../fts.ts'
import { conversationSchema, conversationTables } from '../schema.ts'
import { createSqlConversation } from '../sql.ts'

export interface SqliteConversationOptions {
  /** The file, made where it is missing; `:memory:` keeps nothing on disk. Default `.holdfast/conversation.db`. */
  readonly path?: string | undefined
  /** The same as a URL: `file:chat.db`, `sqlite:chat.db`, `sqlite:////absolute/chat.db`. */
  readonly url?: string | undefined
  /** `full` (default): a write that resolved survives a power cut; `relaxed`: it survives a killed process. */
  readonly durability?: 'full' | 'relaxed' | undefined
  /** Makes and updates the tables. Default true. */
  readonly autoCreate?: boolean | undefined
  /** Table-name prefix, default `holdfast_`. */
  readonly prefix?: string | undefined
  /** Milliseconds to wait for a lock that another process holds, default 30,000. */
  readonly lockTimeoutMs?: number | undefined
}

const DEFAULT_PATH = join('.holdfast', 'conversation.db')
const BACKUP_NAME = 'conversation.db'

/** SQLite takes rows of 1,000,000,000 bytes, Node strings of half as many characters. */
const LIMITS = { contentBytes: 400_000_000, jsonBytes: 200_000_000 } as const

export const create = defineBackend<SqliteConversationOptions, ConversationBackend>(
  {
    path: { type: 'string', description: `the file, or :memory:; default ${DEFAULT_PATH}` },
    url: { type: 'string', description: 'the file as a URL: sqlite:chat.db, sqlite:////absolute/chat.db, file:chat.db' },
    durability: {
      type: 'string',
      description: 'full: a resolved write survives a power cut; relaxed: a killed process',
      choices: ['full', 'relaxed'],
      default: 'full',
    },
    autoCreate: { type: 'boolean', description: 'make and update the tables', default: true },
    prefix: { type: 'string', description: 'table-name prefix', default: 'holdfast_', check: wrongPrefix },
    lockTimeoutMs: {
      type: 'integer',
      description: 'milliseconds to wait for a lock of another process',
      default: 30_000,
      min: 0,
    },
  },
  async (options) => {
    const { durability, lockTimeoutMs, autoCreate = true, prefix = 'holdfast_' } = options
    const engine = await openSqlite(fileLocation(options, DEFAULT_PATH), { durability, lockTimeoutMs })
    try {
      await engine.migrate(conversationSchema(engine.dialect, prefix), { autoCreate })
    } catch (error) {
      await engine.close()
      throw error
    }
    const index = new FtsIndex(engine, conversationTables(engine.dialect, prefix))
    return Object.assign(createSqlConversation(engine, { prefix, limits: LIMITS, index }), { backup: backupOf(engine) })
  },
)

function backupOf(engine: SqliteEngine): NonNullable<ConversationBackend['backup']> {
  return async (directory) => {
    await engine.backup(join(directory, BACKUP_NAME))
    return [BACKUP_NAME]
  }
}

function wrongPrefix(prefix: string): string | undefined {
  if (!/^\w{0,40}$/.test(prefix)) return 'must be up to 40 letters, digits and underscores'
  return /^sqlite_/i.test(prefix) ? 'must not begin with sqlite_, which SQLite keeps for itself' : undefined
}
