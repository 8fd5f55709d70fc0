/** PgBouncer in transaction mode before the PostgreSQL service: a session’s settings and locks do not outlive a transaction. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, giveTo, inside, installChroot, isChrootInstalled } from './chroot.ts'
import type { Engine, Place, Plan, Planned } from './engine.ts'
import { freePort } from './ports.ts'
import { askPostgres } from './postgres.ts'

const CONFIGURATION = (port: number, { hostname, port: upstream }: URL): string => `
[databases]
* = host=${hostname} port=${upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /srv/users
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
max_prepared_statements = 200
ignore_startup_parameters = extra_float_digits,options
`

export const pgbouncer: Engine = {
  name: 'pgbouncer',
  engine: 'PgBouncer',
  category: 'real engine',
  after: ['postgres'],
  isInstalled: isChrootInstalled,
  install: installChroot,
  plan,
  answer,
}

async function plan({ home, folder, log, isPrivate, others }: Place): Promise<Plan> {
  const upstream = new URL(others['postgres']!.url)
  const port = await freePort()
  writeFileSync(join(folder, 'pgbouncer.ini'), CONFIGURATION(port, upstream), { mode: 0o600 })
  writeFileSync(join(folder, 'users'), `"${upstream.username}" "${upstream.password}"\n`, { mode: 0o600 })
  const enter = { home, folder, user: 'postgres', isPrivate }
  await giveTo(enter)
  const argv = inside(enter, ['/usr/sbin/pgbouncer', '/srv/pgbouncer.ini'])
  const url = new URL(upstream)
  url.port = String(port)
  // SIGINT lets running transactions end and SIGTERM waits for every client, so neither is soon.
  const server = { name: 'pgbouncer', argv, port, log: log('pgbouncer'), stopSignal: 'SIGQUIT' } as const
  return { processes: [server], service: { url: url.href, behind: upstream.href } }
}

/** It answers only where the server behind it does. */
async function answer({ home, url }: Planned): Promise<string> {
  const behind = await askPostgres(home, url, 'SHOW server_version')
  const version = await ask(home, ['/usr/sbin/pgbouncer', '--version'])
  return `${/PgBouncer (\S+)/.exec(version)?.[1]} before PostgreSQL ${behind.split(' ')[0]}`
}
