/** The conversation backends that come with Holdfast. A line is all that the registry, the types, the documentation and the tests know of one. */
import type { Catalogue } from '../store/factory.ts'
import type { ConversationBackend } from './contract.ts'

const PG = { package: 'pg', range: '^8' } as const
const MYSQL2 = { package: 'mysql2', range: '^3' } as const

export const CONVERSATION_CATALOGUE = {
  memory: { load: () => import('./backends/memory.ts') },
  sqlite: { schemes: ['sqlite', 'file'], place: 'conversation.db', load: () => import('./backends/sqlite.ts') },
  sync_sqlite: { aliases: ['sqlite_sync'], place: 'conversation.db', load: () => import('./backends/sqlite.ts') },
  async_sqlite: {
    aliases: ['aiosqlite', 'sqlite_async'],
    place: 'conversation.db',
    load: () => import('./backends/async_sqlite.ts'),
  },
  postgres: {
    aliases: ['neon', 'cockroachdb', 'crdb', 'cockroach', 'xata'],
    schemes: ['postgres', 'postgresql'],
    client: PG,
    load: () => import('./backends/postgres.ts'),
  },
  async_postgres: {
    aliases: ['asyncpg', 'postgres_async'],
    client: PG,
    load: () => import('./backends/postgres.ts'),
  },
  mysql: { schemes: ['mysql', 'mariadb'], client: MYSQL2, planned: true },
  async_mysql: { aliases: ['aiomysql', 'mysql_async'], client: MYSQL2, planned: true },
  json: { place: 'conversations', load: () => import('./backends/json.ts') },
  singlestore: { schemes: ['singlestore'], client: MYSQL2, planned: true },
  supabase: { client: { package: '@supabase/supabase-js', range: '^2' }, planned: true },
  surrealdb: { schemes: ['surrealdb', 'surrealkv'], client: { package: 'surrealdb', range: '^2' }, planned: true },
  turso: {
    aliases: ['libsql'],
    schemes: ['libsql', 'turso'],
    client: { package: '@libsql/client', range: '^0.18' },
    planned: true,
  },
  holdfast: { load: () => import('./backends/holdfast.ts') },
} as const satisfies Catalogue<ConversationBackend>
