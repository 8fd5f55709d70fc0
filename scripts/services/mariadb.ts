/** MariaDB. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, giveTo, inside, installChroot, isChrootInstalled } from './chroot.ts'
import { output } from './command.ts'
import { newPassword, type Engine, type Place, type Plan, type Planned } from './engine.ts'
import { freePort } from './ports.ts'

const USER = 'holdfast'
const DATABASE = 'holdfast_test'

/** Run at every start, so each statement may be repeated. */
const ACCOUNTS = (password: string): string =>
  `CREATE DATABASE IF NOT EXISTS ${DATABASE};
CREATE USER IF NOT EXISTS ${USER}@'127.0.0.1' IDENTIFIED BY '${password}';
GRANT ALL PRIVILEGES ON *.* TO ${USER}@'127.0.0.1' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY '${password}';
`

export const mariadb: Engine = {
  name: 'mariadb',
  engine: 'MariaDB',
  category: 'real engine',
  isInstalled: isChrootInstalled,
  install: installChroot,
  plan,
  answer,
}

async function plan({ home, folder, log, isPrivate }: Place): Promise<Plan> {
  const [port, password] = [await freePort(), newPassword()]
  const enter = { home, folder, user: 'mysql' }
  const install = ['--no-defaults', '--datadir=/srv/data', '--auth-root-authentication-method=normal', '--skip-test-db']
  writeFileSync(join(folder, 'accounts.sql'), ACCOUNTS(password), { mode: 0o600 })
  await giveTo(enter)
  await output(inside(enter, ['/usr/bin/mariadb-install-db', ...install]), { timeoutMs: 60_000 })
  const network = [`--port=${port}`, '--bind-address=127.0.0.1', '--socket=/srv/socket', '--skip-name-resolve']
  const files = ['--datadir=/srv/data', '--tmpdir=/srv', '--init-file=/srv/accounts.sql', '--pid-file=/srv/pid']
  const limits = ['--max-connections=300', '--innodb-buffer-pool-size=256M', '--max-allowed-packet=64M']
  const argv = inside({ ...enter, isPrivate }, ['/usr/sbin/mariadbd', '--no-defaults', ...files, ...network, ...limits])
  const url = `mysql://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`
  return { processes: [{ name: 'mariadb', argv, port, log: log('mariadb') }], service: { url } }
}

async function answer({ home, url }: Planned): Promise<string> {
  const { hostname, port, username, password, pathname } = new URL(url)
  const place = ['--no-defaults', '--protocol=tcp', '-h', hostname, '-P', port, '-u', username, '--connect-timeout=3', '-sN']
  const version = await ask(home, ['/usr/bin/mariadb', ...place, '-e', 'SELECT version()', pathname.slice(1)], {
    MYSQL_PWD: password,
  })
  return version.trim().split('-')[0]!
}
