/** The options of pgvector: those of Postgres, how new collections are indexed, and how far searches look. */
import { POSTGRES_OPTIONS, type PostgresOptions } from '../engines/postgres-options.ts'
import { HoldfastError } from '../errors.ts'
import type { OptionsSchema } from '../store/options.ts'
import { DEFAULT_M, type IndexOptions } from './pgvector-collections.ts'
import type { SearchOptions } from './pgvector-search.ts'

export interface PgvectorOptions extends PostgresOptions, IndexOptions, SearchOptions {}

export const PGVECTOR_OPTIONS: OptionsSchema<PgvectorOptions> = {
  ...POSTGRES_OPTIONS,
  index: { type: 'string', description: 'index of new collections', choices: ['hnsw', 'ivfflat', 'none'], default: 'hnsw' },
  type: {
    type: 'string',
    description: 'what the index holds: vector (32-bit floats) or halfvec (16-bit ones)',
    choices: ['vector', 'halfvec'],
    default: 'vector',
  },
  m: { type: 'integer', description: 'HNSW: connections of each vector; default 16', min: 2, max: 100 },
  efConstruction: {
    type: 'integer',
    description: 'HNSW: candidates when a vector is added, at least 2 m; default 64',
    min: 4,
    max: 1_000,
  },
  efSearch: { type: 'integer', description: 'HNSW: candidates of a search; default 100', min: 1, max: 1_000 },
  lists: { type: 'integer', description: 'IVFFlat: lists; default by the number of documents', min: 1, max: 32_768 },
  probes: { type: 'integer', description: 'IVFFlat: lists that a search looks at first; default 10', min: 1, max: 32_768 },
}

/** What no option's own check can see. */
export function checkConstruction({ m = DEFAULT_M, efConstruction }: PgvectorOptions): void {
  if (efConstruction === undefined || efConstruction >= 2 * m) return
  throw new HoldfastError('INVALID_OPTIONS', `efConstruction must be at least 2 m, which is ${2 * m}`)
}
