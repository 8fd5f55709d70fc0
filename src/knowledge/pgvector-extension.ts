/** The extension pgvector of a database: whether it is there, and what its types, operators and functions are called. */
import { sqlState } from '../engines/postgres-errors.ts'
import type { SqlEngine } from '../engines/sql.ts'
import { HoldfastError } from '../errors.ts'
import type { Distance } from './contract.ts'

export const CREATE_EXTENSION = 'CREATE EXTENSION IF NOT EXISTS vector'
/** Scans of an index go on until a filter has let enough rows through since this version. */
const OLDEST = [0, 8] as const

/** How an index compares: the operator of a distance, and by what it is known to indexes. */
interface Metric {
  readonly operator: string
  readonly opclass: 'cosine' | 'l2' | 'ip'
}

const METRICS: Readonly<Record<Distance, Metric>> = {
  cosine: { operator: '<=>', opclass: 'cosine' },
  euclidean: { operator: '<->', opclass: 'l2' },
  dot: { operator: '<#>', opclass: 'ip' },
}

/** Names carry the schema that the extension is in: it need not be in the search path of whoever connects. */
export class VectorExtension {
  /** The type's number in this database. */
  readonly oid: number
  readonly #schema: string

  constructor(quotedSchema: string, oid: number) {
    this.#schema = quotedSchema
    this.oid = oid
  }

  type(name: 'vector' | 'halfvec', dimension?: number): string {
    return `${this.#schema}.${name}${dimension === undefined ? '' : `(${dimension})`}`
  }

  call(name: 'vector_send' | 'vector_norm' | 'l2_normalize', argument: string): string {
    return `${this.#schema}.${name}(${argument})`
  }

  operator(distance: Distance): string {
    return `OPERATOR(${this.#schema}.${METRICS[distance].operator})`
  }

  opclass(type: 'vector' | 'halfvec', distance: Distance): string {
    return `${this.#schema}.${type}_${METRICS[distance].opclass}_ops`
  }
}

/** `UNSUPPORTED` with the remedy where it is missing or too old. */
export async function findExtension(engine: SqlEngine): Promise<VectorExtension> {
  const [found] = await engine.select<{ version: string; schema: string; oid: number }>(
    `SELECT e.extversion AS version, n.nspname AS schema, t.oid::bigint AS oid
      FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
      JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector' WHERE e.extname = 'vector'`,
    [],
  )
  if (found === undefined) throw unsupported('the database lacks the extension pgvector: CREATE EXTENSION vector')
  if (isOlder(found.version)) {
    throw unsupported(
      `pgvector ${found.version} is older than ${OLDEST.join('.')}: install a newer one, then ALTER EXTENSION vector UPDATE`,
    )
  }
  return new VectorExtension(engine.dialect.quote(found.schema), found.oid)
}

/** What the server says of an extension that it cannot create, with the remedy. */
export function explainExtension(error: unknown): unknown {
  if (!(error instanceof Error) || !/extension/i.test(error.message)) return error
  switch (sqlState(error)) {
    case '42501':
      return new HoldfastError(
        'PERMISSION_DENIED',
        `an administrator must create pgvector first: CREATE EXTENSION vector (${error.message})`,
        {
          outcome: 'not-applied',
          cause: error.cause,
        },
      )
    // Its files are missing. Which code says so depends on the version of the server.
    case '0A000':
    case '58P01':
      return unsupported(
        `pgvector is not installed on the server: install it, then CREATE EXTENSION vector (${error.message})`,
        error.cause,
      )
    default:
      return error
  }
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])
}

function unsupported(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('UNSUPPORTED', message, { outcome: 'not-applied', cause })
}
