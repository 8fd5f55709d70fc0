/** The knowledge backends that come with Holdfast. A line is all that the registry, the types, the documentation and the tests know of one. */
import type { Catalogue } from '../store/factory.ts'
import type { KnowledgeBackend } from './contract.ts'

export const KNOWLEDGE_CATALOGUE = {
  memory: { load: () => import('./backends/memory.ts') },
  sqlite: { schemes: ['sqlite', 'file'], place: 'knowledge.db', load: () => import('./backends/sqlite.ts') },
  sync_sqlite: { aliases: ['sqlite_sync'], place: 'knowledge.db', load: () => import('./backends/sqlite.ts') },
  chroma: { aliases: ['chromadb'], schemes: ['chroma'], client: { package: 'chromadb', range: '^3' }, planned: true },
  qdrant: { schemes: ['qdrant'], client: { package: '@qdrant/js-client-rest', range: '^1' }, planned: true },
  pinecone: {
    schemes: ['pinecone'],
    client: { package: '@pinecone-database/pinecone', range: '^9' },
    load: () => import('./backends/pinecone.ts'),
  },
  weaviate: { schemes: ['weaviate'], client: { package: 'weaviate-client', range: '^3' }, planned: true },
  lancedb: { schemes: ['lancedb'], client: { package: '@lancedb/lancedb', range: '^0.39' }, planned: true },
  milvus: { schemes: ['milvus'], client: { package: '@zilliz/milvus2-sdk-node', range: '^3' }, planned: true },
  pgvector: {
    schemes: ['postgres', 'postgresql'],
    client: { package: 'pg', range: '^8' },
    load: () => import('./backends/pgvector.ts'),
  },
  redis: { schemes: ['redis', 'rediss'], client: { package: 'redis', range: '^6' }, planned: true },
  valkey: { schemes: ['valkey', 'valkeys'], client: { package: 'iovalkey', range: '^0.4' }, planned: true },
  cassandra: { schemes: ['cassandra'], client: { package: 'cassandra-driver', range: '^4' }, planned: true },
  clickhouse: { schemes: ['clickhouse'], client: { package: '@clickhouse/client', range: '^1' }, planned: true },
  mongodb_vector: {
    aliases: ['mongodb_atlas', 'mongo_vector'],
    schemes: ['mongodb', 'mongodb+srv'],
    client: { package: 'mongodb', range: '^7' },
    planned: true,
  },
  couchbase: { schemes: ['couchbase', 'couchbases'], client: { package: 'couchbase', range: '^4' }, planned: true },
  singlestore_vector: {
    aliases: ['singlestore_v'],
    schemes: ['singlestore'],
    client: { package: 'mysql2', range: '^3' },
    planned: true,
  },
  surrealdb_vector: {
    aliases: ['surrealdb_v'],
    schemes: ['surrealdb', 'surrealkv'],
    client: { package: 'surrealdb', range: '^2' },
    planned: true,
  },
  upstash_vector: { aliases: ['upstash_v'], client: { package: '@upstash/vector', range: '^1' }, planned: true },
  lightrag: { planned: true },
  langchain: {
    aliases: ['langchain_adapter'],
    client: { package: '@langchain/core', range: '^1' },
    load: () => import('./backends/langchain.ts'),
  },
  llamaindex: {
    aliases: ['llama_index', 'llamaindex_adapter'],
    client: { package: 'llamaindex', range: '^0.12' },
    planned: true,
  },
  cosmosdb: {
    aliases: ['cosmos', 'azure_cosmos', 'cosmosdb_vector'],
    client: { package: '@azure/cosmos', range: '^4' },
    planned: true,
  },
  holdfast: { load: () => import('./backends/holdfast.ts') },
} as const satisfies Catalogue<KnowledgeBackend>
