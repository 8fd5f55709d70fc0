/** Postgres without a server: where it is, what its errors mean, what a client has to be. */
import { describe, expect, it } from 'vitest'
import { PoolConnections, type PooledConnection, type PostgresPool } from '../../src/engines/postgres-client.ts'
import { endsConnection, lostConnection, lostToOthers, translatePostgresError } from '../../src/engines/postgres-errors.ts'
import { POSTGRES_OPTIONS, openPostgres, type PostgresOptions } from '../../src/engines/postgres-options.ts'
import { describePlace, postgresPlace } from '../../src/engines/postgres-place.ts'
import { postgresMigrationStatements } from '../../src/engines/postgres-schema.ts'
import { postgresDialect } from '../../src/engines/postgres.ts'
import { changesAlone, rows, type SqlSchema } from '../../src/engines/sql.ts'
import { checkOptions } from '../../src/store/options.ts'

/** An error as the library makes it of the server's report. */
function serverError(code: string, message = 'said the server'): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR' })
}

describe('postgresPlace', () => {
  const at = (options: PostgresOptions): object => postgresPlace(options)

  it('has defaults', () => {
    expect(at({})).toMatchObject({
      host: 'localhost',
      port: 5432,
      user: 'postgres',
      database: 'postgres',
      ssl: false,
      connectTimeoutMs: 10_000,
    })
    expect(at({ user: 'u' })).toMatchObject({ database: 'u', password: undefined })
  })

  it('takes the URL before the options, and the options before the defaults', () => {
    const options = { host: 'h', port: 1, database: 'd', user: 'u', password: 'p' }
    expect(at({ ...options, url: 'postgres://' })).toMatchObject(options)
    expect(at({ ...options, url: 'postgres://a:b%40%2F@c.d:2/e%20f' })).toMatchObject({
      host: 'c.d',
      port: 2,
      database: 'e f',
      user: 'a',
      password: 'b@/',
    })
    expect(at({ url: 'postgresql://[::1]/d' })).toMatchObject({ host: '::1', database: 'd' })
    expect(at({ url: 'postgres:///d?host=/run/postgresql&user=u&connect_timeout=3&application_name=me' })).toMatchObject({
      host: '/run/postgresql',
      user: 'u',
      connectTimeoutMs: 3_000,
      applicationName: 'me',
    })
  })

  it.each<[PostgresOptions, unknown]>([
    [{ ssl: false }, false],
    [{ ssl: 'disable' }, false],
    [{ ssl: true }, { rejectUnauthorized: true }],
    [{ ssl: { ca: 'x' } }, { ca: 'x' }],
    [{ url: 'postgres://h/d?sslmode=require' }, { rejectUnauthorized: false }],
    [{ url: 'postgres://h/d?sslmode=verify-full&sslrootcert=system', ssl: false }, { rejectUnauthorized: true }],
    [{ url: 'postgres://x.eu-central-1.aws.neon.tech/d' }, { rejectUnauthorized: true }],
    [{ host: 'x.cockroachlabs.cloud' }, { rejectUnauthorized: true }],
    [{ host: 'eu.sql.xata.sh' }, { rejectUnauthorized: true }],
    [{ host: 'db.x.supabase.co' }, { rejectUnauthorized: true }],
    [{ host: 'neon.tech.example.com' }, false],
  ])('%j: ssl is %j', (options, ssl) => expect(at(options)).toMatchObject({ ssl }))

  it('checks the authority without the name for verify-ca, and gives serverless hosts time to wake up', () => {
    const { ssl } = postgresPlace({ ssl: 'verify-ca' })
    expect((ssl as { checkServerIdentity: () => unknown }).checkServerIdentity()).toBeUndefined()
    expect(at({ host: 'x.neon.tech' })).toMatchObject({ connectTimeoutMs: 30_000 })
    expect(at({ host: 'x.neon.tech', connectTimeoutMs: 5 })).toMatchObject({ connectTimeoutMs: 5 })
  })

  it.each([
    ['mysql://h/d', 'not one of Postgres'],
    ['localhost/d', 'not a URL'],
    ['postgres://u:secret%zz@h/d', 'escapes nothing'],
    ['postgres://u:secret@h/d?sslmode=prefer', 'sslmode must be'],
    ['postgres://u:secret@h/d?pool=3&schema=x', 'unknown parameters: pool, schema'],
    ['postgres://u:secret@h/d?sslrootcert=/no/such/file&sslmode=verify-ca', 'cannot be read'],
    ['postgres://u:secret@x.neon.tech/d?sslmode=disable', 'only encrypted'],
  ])('refuses %s', (url, problem) => {
    expect(() => postgresPlace({ url })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(problem) }),
    )
    expect(() => postgresPlace({ url })).toThrow(expect.not.objectContaining({ message: expect.stringContaining('secret') }))
  })

  it('is described without anything secret', () => {
    const place = postgresPlace({ url: 'postgres://user:secret@h/d?host=/run/pg' })
    expect(describePlace(place, 's')).toBe('postgres://(/run/pg):5432/d, schema s')
    expect(describePlace({ ...place, host: 'h' }, 's')).toBe('postgres://h:5432/d, schema s')
  })
})

describe('the options', () => {
  const check = (options: object): object =>
    checkOptions(POSTGRES_OPTIONS, options, 'postgres', { PGSSLMODE: 'require', PGPASSWORD: 'p' })

  it('are completed from the variables of Postgres itself', () => {
    expect(check({})).toMatchObject({ ssl: 'require', password: 'p', schema: 'public', prefix: 'holdfast_', poolSize: 10 })
  })

  it.each([
    [{ prefix: 'a"b' }, 'prefix'],
    [{ prefix: 'x'.repeat(41) }, 'prefix'],
    [{ schema: 'what?' }, 'schema'],
    [{ schema: 'ä'.repeat(32) }, 'schema'],
    [{ client: {} }, 'client'],
    [{ ssl: 'prefer' }, 'ssl'],
    [{ ssl: 1 }, 'ssl'],
    [{ poolSize: 0 }, 'poolSize'],
    [{ port: 65_536 }, 'port'],
  ])('%j is refused', (options, name) => {
    expect(() => check(options)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(name) }),
    )
  })

  it('are not both a URL and a client', async () => {
    const client = {
      totalCount: 0,
      connect: () => Promise.reject(new Error('never')),
      query: 0,
      on: () => 0,
      removeListener: () => 0,
      end: () => 0,
    }
    const both = { url: 'postgres://h/d', client } as unknown as PostgresOptions
    await expect(openPostgres(both, { loadClient: () => Promise.reject(new Error('never')) })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    })
  })
})

describe('errors', () => {
  it.each([
    ['23505', 'CONFLICT', 'not-applied'],
    ['28P01', 'UNAUTHORIZED', 'not-applied'],
    ['28000', 'UNAUTHORIZED', 'not-applied'],
    ['3D000', 'NOT_FOUND', 'not-applied'],
    ['42501', 'PERMISSION_DENIED', 'not-applied'],
    ['42P01', 'UNAVAILABLE', 'not-applied'],
    ['53300', 'RATE_LIMITED', 'not-applied'],
    ['53100', 'UNAVAILABLE', 'not-applied'],
    ['54000', 'VALUE_TOO_LARGE', 'not-applied'],
    ['57014', 'TIMEOUT', 'not-applied'],
    ['40001', 'UNAVAILABLE', 'not-applied'],
    ['40003', 'UNAVAILABLE', 'unknown'],
    ['57P01', 'UNAVAILABLE', 'unknown'],
    ['08006', 'UNAVAILABLE', 'unknown'],
    ['99999', 'UNAVAILABLE', 'not-applied'],
  ])('%s while committing is %s, %s', (state, code, outcome) => {
    expect(translatePostgresError(serverError(state), 'committing')).toMatchObject({ code, outcome })
    const before = { code, outcome: state === '40003' ? 'unknown' : 'not-applied' }
    expect(translatePostgresError(serverError(state), 'uncommitted')).toMatchObject(before)
  })

  it('a lost connection is open only while something is committed', () => {
    const lost = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
    expect(translatePostgresError(lost, 'committing')).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(translatePostgresError(lost, 'uncommitted')).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    const unsent = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
    expect(translatePostgresError(unsent, 'committing')).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
  })

  it('what PgBouncer refuses before it passes anything on has not happened', () => {
    const refused = serverError('08P01', 'pgbouncer cannot connect to server')
    expect(translatePostgresError(refused, 'committing')).toMatchObject({ outcome: 'not-applied' })
    expect(translatePostgresError(serverError('08P01', 'server conn crashed?'), 'committing')).toMatchObject({
      outcome: 'unknown',
    })
  })

  it('of several addresses are all told', () => {
    const all = new AggregateError([new Error('connect ECONNREFUSED ::1'), new Error('connect ECONNREFUSED 127.0.0.1')], '')
    expect(translatePostgresError(all, 'connecting').message).toContain('::1, connect ECONNREFUSED 127')
  })

  it('of a password that is missing are no outage', () => {
    const error = new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string')
    expect(translatePostgresError(error, 'connecting')).toMatchObject({ code: 'UNAUTHORIZED' })
  })

  it('tell what may be tried again, and on what', () => {
    const retried = ['40001', '40P01'].map((code) => translatePostgresError(serverError(code), 'committing'))
    expect(retried.map(lostToOthers)).toEqual([true, true])
    expect(lostToOthers(translatePostgresError(serverError('23505'), 'committing'))).toBe(false)
    expect(['57P01', '08006', '25006', '25P03', '23505', '57014'].map((code) => endsConnection(serverError(code)))).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ])
    expect(lostConnection(translatePostgresError(new Error('Connection terminated unexpectedly'), 'uncommitted'))).toBe(true)
    expect(lostConnection(translatePostgresError(new Error('Connection terminated unexpectedly'), 'committing'))).toBe(false)
  })
})

/** A pool whose connections answer by a script of their own. */
function poolOf(answer: (text: string, name?: string) => Promise<object>): {
  pool: PostgresPool
  log: string[]
  connections: () => number
} {
  const log: string[] = []
  let opened = 0
  const idle: PooledConnection[] = []
  const connection = (): PooledConnection => {
    opened++
    const one: PooledConnection = {
      query: async ({ text, name }) => {
        log.push(text)
        return { rows: [], rowCount: 0, command: text, ...(await answer(text, name)) }
      },
      on: () => undefined,
      removeListener: () => undefined,
      release: (broken) => {
        log.push(broken === true ? 'broken' : 'released')
        if (broken !== true) idle.push(one)
      },
    }
    return one
  }
  const pool = {
    totalCount: 0,
    connect: async () => idle.pop() ?? connection(),
    query: () => undefined,
    on: () => undefined,
    removeListener: () => undefined,
    end: async () => undefined,
  }
  return { pool, log, connections: () => opened }
}

describe('transactions', () => {
  const open = (pool: PostgresPool) => openPostgres({ client: pool }, { loadClient: () => Promise.reject(new Error('never')) })

  it('begin with the first statement that is not alone', async () => {
    const { pool, log } = poolOf(async () => ({}))
    const engine = await open(pool)
    await engine.write(function* () {
      yield* changesAlone('A ?', 1)
      yield* changesAlone('B')
      yield* rows('C ? ?', 1, 2)
      yield* changesAlone('D')
    })
    expect(log).toEqual(['A $1', 'B', 'BEGIN ISOLATION LEVEL READ COMMITTED', 'C $1 $2', 'D', 'COMMIT', 'released'])
  })

  it('that lost to others run again, and not for ever', async () => {
    let failures = 3
    const { pool, log } = poolOf(async (text) => {
      if (text === 'A' && failures-- > 0) throw serverError('40001')
      return {}
    })
    const engine = await open(pool)
    await engine.write(() => rows('A'))
    expect(log.filter((text) => text === 'A')).toHaveLength(4)
    expect(log.filter((text) => text === 'ROLLBACK')).toHaveLength(3)
    failures = Number.POSITIVE_INFINITY
    await expect(engine.write(() => rows('A'))).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
  }, 30_000)

  it('keep statements prepared where that is asked for, until it turns out that they do not stay', async () => {
    let isPooler = false
    const seen: (string | undefined)[] = []
    const { pool } = poolOf(async (_, name) => {
      seen.push(name)
      if (isPooler && name !== undefined) throw serverError('26000')
      return {}
    })
    const engine = await openPostgres({ client: pool, prepare: true }, { loadClient: () => Promise.reject(new Error('never')) })
    const write = (sql: string): Promise<unknown> => engine.write(() => changesAlone(sql, 1))
    await write('A ?')
    await write('A ?')
    await write('B ?')
    const [a, again, b] = seen.splice(0)
    expect(a).toMatch(/^holdfast_.{43}$/)
    expect([again === a, b === a]).toEqual([true, false])
    isPooler = true
    await write('A ?')
    await write('A ?')
    expect(seen).toEqual([a, undefined, undefined])
  })

  it('that fail give their connection back, or not at all', async () => {
    const { pool, log } = poolOf(async (text) => {
      if (text === 'A') throw serverError('23505')
      if (text === 'ROLLBACK') throw new Error('Connection terminated unexpectedly')
      return {}
    })
    const engine = await open(pool)
    await expect(engine.write(() => changesAlone('A'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(log.splice(0)).toEqual(['A', 'released'])
    await expect(engine.write(() => rows('A'))).rejects.toMatchObject({ code: 'CONFLICT' })
    expect(log.at(-1)).toBe('broken')
  })

  it('that the server undid at their end are no success', async () => {
    const { pool } = poolOf(async (text) => (text === 'COMMIT' ? { command: 'ROLLBACK' } : {}))
    const engine = await open(pool)
    await expect(engine.write(() => rows('A'))).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
  })

  it('move to another connection where one that was idle is dead, and only where nothing may have happened', async () => {
    const dead = Object.assign(new Error('read ECONNRESET'), { syscall: 'read' })
    let failures = 0
    const { pool, log, connections } = poolOf(async () => {
      if (failures-- > 0) throw dead
      return {}
    })
    const engine = await open(pool)
    await engine.ping()
    failures = 1
    await engine.ping()
    expect(connections()).toBe(2)
    failures = 2
    await expect(engine.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await engine.ping()
    failures = 1
    await expect(engine.write(() => changesAlone('A'))).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(log.filter((text) => text === 'A')).toHaveLength(1)
  })
})

describe('migrating', () => {
  const schema: SqlSchema = { prefix: 'p_', component: 'trial', migrations: [{ version: 1, up: ['A'] }] }

  it('refuses a database that cannot hold all text', async () => {
    const { pool, log } = poolOf(async (text) => {
      return text.includes('server_encoding') ? { rows: [{ encoding: 'LATIN1' }] } : {}
    })
    const engine = await openPostgres({ client: pool }, { loadClient: () => Promise.reject(new Error('never')) })
    await expect(engine.migrate(schema, { autoCreate: true })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('UTF8'),
    })
    expect(log.filter((text) => text.startsWith('CREATE'))).toEqual([])
  })

  it('creates again what others created at the same time', async () => {
    let failures = 2
    const { pool, log } = poolOf(async (text) => {
      if (text.includes('server_encoding')) return { rows: [{ encoding: 'UTF8' }] }
      if (text.startsWith('CREATE TABLE') && failures-- > 0) throw serverError('23505')
      return {}
    })
    const engine = await openPostgres({ client: pool }, { loadClient: () => Promise.reject(new Error('never')) })
    await engine.migrate(schema, { autoCreate: true })
    expect(log.filter((text) => text.startsWith('CREATE TABLE'))).toHaveLength(3)
    expect(log.filter((text) => text === 'A')).toHaveLength(1)
  })
})

describe('PoolConnections', () => {
  it('gives back a connection that comes after its caller has gone', async () => {
    const late = Promise.withResolvers<PooledConnection>()
    const { pool, log } = poolOf(async () => ({}))
    const connections = new PoolConnections({ ...pool, connect: () => late.promise }, false)
    const stop = new AbortController()
    const lease = connections.lease(stop.signal)
    stop.abort(new Error('stop'))
    await expect(lease).rejects.toThrow('stop')
    late.resolve(await pool.connect())
    await expect.poll(() => log).toEqual(['released'])
    await expect(connections.lease(AbortSignal.abort(new Error('at once')))).rejects.toThrow('at once')
  })
})

describe('the statements of a schema', () => {
  const schema: SqlSchema = {
    prefix: 'p_',
    component: 'trial',
    migrations: [
      { version: 1, up: ['A'] },
      { version: 2, up: ['B'] },
    ],
  }

  it('make the schema only where it is not `public`', () => {
    const statements = (namespace: string, from: number): string[] =>
      postgresMigrationStatements(postgresDialect(namespace), namespace, schema, from)
    expect(statements('public', 2)).toEqual([])
    expect(statements('public', 1)).toEqual([
      expect.stringContaining('CREATE TABLE IF NOT EXISTS "public"."p_schema"'),
      'B',
      expect.stringContaining(`'trial', 2`),
    ])
    expect(statements('a"b', 0)[0]).toBe('CREATE SCHEMA IF NOT EXISTS "a""b"')
  })
})
