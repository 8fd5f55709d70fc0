/** All services, and which of them are required. */
import { dynamodb } from './dynamodb.ts'
import type { Engine } from './engine.ts'
import { gcs } from './gcs.ts'
import { mariadb } from './mariadb.ts'
import { pgbouncer } from './pgbouncer.ts'
import { postgres } from './postgres.ts'
import { cluster, failover, single } from './redis.ts'

const ENGINES: readonly Engine[] = [
  postgres,
  pgbouncer,
  mariadb,
  single('redis'),
  cluster('redis'),
  failover('redis'),
  single('valkey'),
  cluster('valkey'),
  failover('valkey'),
  dynamodb,
  gcs,
]

export const REQUIRED: readonly string[] = ['postgres', 'pgbouncer', 'mariadb', 'redis', 'dynamodb']
export const NAMES: readonly string[] = ENGINES.map(({ name }) => name)

export function engineOf(name: string): Engine {
  const engine = ENGINES.find((each) => each.name === name)
  if (engine === undefined) throw new Error(`there is no service ${name}; there are ${NAMES.join(', ')}`)
  return engine
}

/** The services that names mean, with those they use, these first. No names: the required ones; `all`: every one. */
export function chosen(names: readonly string[]): Engine[] {
  const asked = names.length === 0 ? REQUIRED : names.includes('all') ? NAMES : names
  const wanted = new Set(asked.flatMap((name) => [...(engineOf(name).after ?? []), name]))
  return ENGINES.filter(({ name }) => wanted.has(name))
}
