/** What `listSessions({ metadata })` asks, for backends that cannot ask their engine. */
import { parseJsonObject } from '../store/json.ts'
import type { SessionQuery } from './contract.ts'

export type MetadataQuery = NonNullable<SessionQuery['metadata']>

/** True when each named top-level field is there and is exactly this value: `true`, `1` and `"1"` are three. */
export function matchesMetadata(metadata: string, query: MetadataQuery): boolean {
  const fields = parseJsonObject(metadata, 'the metadata of a session')
  return Object.entries(query).every(([name, value]) => Object.hasOwn(fields, name) && fields[name] === value)
}

/** True for JSON with escapes that some engines' JSON types refuse: they can only say that such metadata may match. */
export function isDoubtful(metadata: string): boolean {
  return DOUBTS.some((escape) => metadata.includes(escape))
}

/** U+0000, and surrogates, which are written as escapes where they are alone. */
export const DOUBTS = ['\\u0000', '\\ud'] as const
