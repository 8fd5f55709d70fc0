/** What is installed, and from where; the only place that names versions. */
export const SUITE = 'trixie'
export const MIRROR = 'http://deb.debian.org/debian'
/** The suite is stable: within it, versions move only by security and point releases. */
export const PACKAGES = [
  'postgresql-17',
  'postgresql-17-pgvector',
  'pgbouncer',
  'mariadb-server',
  'redis-server',
  'valkey-server',
]
export const POSTGRES_BIN = '/usr/lib/postgresql/17/bin'
export const VECTOR_EXTENSION = '/usr/share/postgresql/17/extension/vector.control'
/** Programs without which an installation is not whole. */
export const PROGRAMS = [
  `${POSTGRES_BIN}/postgres`,
  VECTOR_EXTENSION,
  '/usr/sbin/pgbouncer',
  '/usr/sbin/mariadbd',
  '/usr/bin/mariadb-install-db',
  '/usr/bin/redis-server',
  '/usr/bin/redis-cli',
  '/usr/bin/valkey-server',
  '/usr/bin/valkey-cli',
  '/usr/bin/setpriv',
]

export const DYNAMODB_LOCAL = '2.6.1'
export const FAKE_GCS_SERVER = 'v1.56.1'
/** The newest that runs on Python 3.11. */
export const DIFY_SDK = '0.7.4'
