/** What the conventions for databases call the systems behind our backends. */

/** Where the name is another than the backend's. Well-known values: https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/ */
const SYSTEMS: ReadonlyMap<string, string> = new Map([
  ['sync_sqlite', 'sqlite'],
  ['async_sqlite', 'sqlite'],
  ['postgres', 'postgresql'],
  ['async_postgres', 'postgresql'],
  ['pgvector', 'postgresql'],
  ['supabase', 'postgresql'],
  ['async_mysql', 'mysql'],
  ['async_mongodb', 'mongodb'],
  ['mongodb_vector', 'mongodb'],
  ['cosmosdb', 'azure.cosmosdb'],
  ['dynamodb', 'aws.dynamodb'],
  ['singlestore_vector', 'singlestore'],
  ['surrealdb_vector', 'surrealdb'],
  ['upstash_vector', 'upstash'],
])

/** The value of `db.system.name` for a backend. */
export function systemName(backend: string): string {
  return SYSTEMS.get(backend) ?? backend
}
