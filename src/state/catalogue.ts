/** The state backends that come with Holdfast. A line is all that the registry, the types, the documentation and the tests know of one. */
import type { Catalogue } from '../store/factory.ts'
import type { StateBackend } from './contract.ts'

const MONGODB = { package: 'mongodb', range: '^7' } as const

export const STATE_CATALOGUE = {
  memory: { load: () => import('./backends/memory.ts') },
  sqlite: { schemes: ['sqlite', 'file'], place: 'state.db', load: () => import('./backends/sqlite.ts') },
  sync_sqlite: { aliases: ['sqlite_sync'], place: 'state.db', load: () => import('./backends/sqlite.ts') },
  file: { place: 'state', load: () => import('./backends/file.ts') },
  postgres: {
    schemes: ['postgres', 'postgresql'],
    client: { package: 'pg', range: '^8' },
    load: () => import('./backends/postgres.ts'),
  },
  redis: {
    schemes: ['redis', 'rediss'],
    client: { package: 'redis', range: '^6' },
    load: () => import('./backends/redis.ts'),
  },
  valkey: {
    schemes: ['valkey', 'valkeys'],
    client: { package: 'iovalkey', range: '^0.4' },
    load: () => import('./backends/valkey.ts'),
  },
  dynamodb: {
    schemes: ['dynamodb'],
    client: { package: '@aws-sdk/client-dynamodb', range: '^3' },
    load: () => import('./backends/dynamodb.ts'),
  },
  firestore: { schemes: ['firestore'], client: { package: '@google-cloud/firestore', range: '^9' }, planned: true },
  mongodb: { schemes: ['mongodb', 'mongodb+srv'], client: MONGODB, planned: true },
  async_mongodb: { aliases: ['motor', 'mongodb_async'], client: MONGODB, planned: true },
  upstash: { client: { package: '@upstash/redis', range: '^1' }, planned: true },
  gcs: {
    schemes: ['gs', 'gcs'],
    client: { package: '@google-cloud/storage', range: '^8' },
    load: () => import('./backends/gcs.ts'),
  },
  holdfast: { load: () => import('./backends/holdfast.ts') },
} as const satisfies Catalogue<StateBackend>
