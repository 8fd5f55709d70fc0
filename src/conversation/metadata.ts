/** What `listSessions({ metadata })` asks, for backends that cannot ask their engine. */
import { parseJsonObject } from '../store/json.ts'
import type { SessionQuery } from './contract.ts'

export type MetadataQuery = NonNullable<SessionQuery['metadata']>

/** True when each named top-level field is there and is exactly this value: `true`, `1` and `"1"` are three. */
export function matchesMetadata(metadata: string, query: MetadataQuery): boolean {
  const fields = parseJsonObject(metadata, 'the metadata of a session')
  return Object.entries(query).every(([name, value]) => Object.hasOwn(fields, name) && fields[name] === value)
}
