/** PostgreSQL with pgvector. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, giveTo, inside, installChroot, isChrootInstalled, rootOf } from './chroot.ts'
import { output } from './command.ts'
import { newPassword, type Engine, type Place, type Plan } from './engine.ts'
import { POSTGRES_BIN, VECTOR_EXTENSION } from './pins.ts'
import { freePort } from './ports.ts'

const USER = 'holdfast'
const DATABASE = 'holdfast_test'

/**
 * Durable as by default, since tests kill it and look at what is left. The default collation is not that of bytes, so that a query
 * that relies on the database's order is noticed.
 */
const CONFIGURATION = (port: number): string => `
listen_addresses = '127.0.0.1'
port = ${port}
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
max_wal_size = 2GB
max_locks_per_transaction = 256
logging_collector = off
log_line_prefix = '%m [%p] %u '
`

export const postgres: Engine = {
  name: 'postgres',
  engine: 'PostgreSQL',
  category: 'real engine',
  isInstalled: isChrootInstalled,
  install: installChroot,
  extras: (home) => ({ pgvector: pgvectorOf(home) }),
  plan,
  answer: (planned) => askPostgres(planned.home, planned.url, 'SHOW server_version').then((version) => version.split(' ')[0]!),
}

function pgvectorOf(home: string): string {
  const control = readFileSync(join(rootOf(home), VECTOR_EXTENSION), 'utf8')
  return /^default_version = '(.+)'/m.exec(control)?.[1] ?? 'unknown'
}

async function plan({ home, folder, log, isPrivate }: Place): Promise<Plan> {
  const [port, password] = [await freePort(), newPassword()]
  const enter = { home, folder, user: 'postgres' }
  writeFileSync(join(folder, 'password'), password, { mode: 0o600 })
  const locale = ['--encoding=UTF8', '--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US']
  const initdb = [
    `${POSTGRES_BIN}/initdb`,
    '-D',
    '/srv/data',
    '-U',
    USER,
    '-A',
    'scram-sha-256',
    '--pwfile=/srv/password',
    '--no-sync',
  ]
  await giveTo(enter)
  await output(inside(enter, [...initdb, ...locale]), { timeoutMs: 60_000 })
  writeFileSync(join(folder, 'data', 'postgresql.auto.conf'), CONFIGURATION(port))
  // The database is made while the server has no port yet.
  const single = [`${POSTGRES_BIN}/postgres`, '--single', '-D', '/srv/data', 'template1']
  await output(inside(enter, single), { input: `CREATE DATABASE ${DATABASE}\n`, timeoutMs: 60_000 })
  const server = inside({ ...enter, isPrivate }, [`${POSTGRES_BIN}/postgres`, '-D', '/srv/data'])
  const url = `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`
  // SIGTERM would wait for every client to leave.
  return { processes: [{ name: 'postgres', argv: server, port, log: log('postgres'), stopSignal: 'SIGINT' }], service: { url } }
}

export async function askPostgres(home: string, url: string, statement: string): Promise<string> {
  const { hostname, port, username, password, pathname } = new URL(url)
  const place = ['-h', hostname, '-p', port, '-U', username, '-d', pathname.slice(1)]
  const env = { PGPASSWORD: password, PGCONNECT_TIMEOUT: '3' }
  return (await ask(home, [`${POSTGRES_BIN}/psql`, '-XAtq', ...place, '-c', statement], env)).trim()
}
