/** All services, and which of them are required. */
import { difySdk } from './dify-sdk.ts'
import { dynamodb } from './dynamodb.ts'
import type { Engine, Installable } from './engine.ts'
import { gcs } from './gcs.ts'
import { mariadb } from './mariadb.ts'
import { pgbouncer } from './pgbouncer.ts'
import { postgres } from './postgres.ts'
import { cluster, failover, single } from './redis.ts'
import { strace } from './strace.ts'

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

/** What is installed and does not run. */
const TOOLS: readonly Installable[] = [difySdk, strace]

export const REQUIRED: readonly string[] = ['postgres', 'pgbouncer', 'mariadb', 'redis', 'dynamodb']
export const NAMES: readonly string[] = ENGINES.map(({ name }) => name)
export const TOOL_NAMES: readonly string[] = TOOLS.map(({ name }) => name)

export function engineOf(name: string): Engine {
  const engine = ENGINES.find((each) => each.name === name)
  if (engine === undefined) throw new Error(`there is no service ${name}; there are ${[...NAMES, ...TOOL_NAMES].join(', ')}`)
  return engine
}

/** The services that names mean, with those they use, these first. No names: the required ones; `all`: every one. */
export function chosen(names: readonly string[]): Engine[] {
  const asked = names.length === 0 ? REQUIRED : names.includes('all') ? NAMES : names.filter((name) => !TOOL_NAMES.includes(name))
  const wanted = new Set(asked.flatMap((name) => [...(engineOf(name).after ?? []), name]))
  return ENGINES.filter(({ name }) => wanted.has(name))
}

/** The tools that names mean: all of them with the required services, and with all. */
export function chosenTools(names: readonly string[]): Installable[] {
  return TOOLS.filter(({ name }) => names.length === 0 || names.includes('all') || names.includes(name))
}
