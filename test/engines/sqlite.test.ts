import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../../src/errors.ts'
import { openSqlite } from '../../src/engines/sqlite.ts'
import { changes, row, rows, type Script, type SqlSchema } from '../../src/engines/sql.ts'
import { run, scratch } from '../support.ts'

const SCHEMA: SqlSchema = {
  prefix: 'holdfast_',
  component: 'trial',
  migrations: [{ version: 1, up: ['CREATE TABLE trial (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT'] }],
}

function insert(name: string): () => Script<number> {
  return function* () {
    return yield* changes('INSERT INTO trial (name) VALUES (?)', name)
  }
}

async function openTrial(file: string, lockTimeoutMs = 30_000) {
  const engine = await openSqlite(file, { lockTimeoutMs })
  await engine.migrate(SCHEMA, { autoCreate: true })
  return engine
}

describe('the SQLite engine', () => {
  it('lets 20 processes open and migrate one new file at the same moment', async () => {
    const file = join(await scratch(), 'new', 'trial.db')
    const children = Array.from({ length: 20 }, (_, i) => run('test/fixtures/open-and-append.ts', [file, `p${i}`, '5']))
    for (const child of children) expect(await child.ended).toEqual({ code: 0, signal: null, stderr: '' })
    const db = new DatabaseSync(file)
    const counts = db.prepare('SELECT name, count(*) AS n FROM trial GROUP BY name').all()
    expect(counts).toHaveLength(21)
    expect(counts.find(({ name }) => name === 'migrated')?.['n']).toBe(1)
    expect(counts.filter(({ n }) => n === 5)).toHaveLength(20)
    db.close()
  })

  it('commits the writes of one turn together, and undoes only those that fail', async () => {
    const engine = await openTrial(join(await scratch(), 'trial.db'))
    const outcomes = await Promise.allSettled(['a', 'b', 'a', 'c'].map((name) => engine.write(insert(name))))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    const refused = outcomes[2] as PromiseRejectedResult
    expect(refused.reason).toMatchObject({ code: 'CONFLICT', outcome: 'not-applied' })
    expect(await engine.select('SELECT name FROM trial ORDER BY n', [])).toEqual([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
    await engine.close()
  })

  it('undoes the whole script when it throws half-way', async () => {
    const engine = await openTrial(join(await scratch(), 'trial.db'))
    const half = function* (): Script<void> {
      yield* changes('INSERT INTO trial (name) VALUES (?)', 'half')
      throw new RangeError('on purpose')
    }
    await expect(engine.write(half)).rejects.toThrow('on purpose')
    await Promise.allSettled([engine.write(half), engine.write(insert('whole'))])
    expect(await engine.select('SELECT name FROM trial', [])).toEqual([{ name: 'whole' }])
    await engine.close()
  })

  it('waits for a lock without stopping the event loop, then goes on', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openTrial(file)
    const holder = new DatabaseSync(file)
    holder.exec('BEGIN IMMEDIATE')
    let ticks = 0
    const ticking = setInterval(() => ticks++, 5)
    const writing = engine.write(insert('late'))
    await sleep(200)
    expect(await engine.select('SELECT count(*) AS n FROM trial', [])).toEqual([{ n: 0 }])
    holder.exec('COMMIT')
    holder.close()
    expect(await writing).toBe(1)
    clearInterval(ticking)
    expect(ticks).toBeGreaterThan(10)
    await engine.close()
  })

  it('gives up a lock that never comes: UNAVAILABLE, not applied', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openTrial(file, 100)
    const holder = new DatabaseSync(file)
    holder.exec('BEGIN IMMEDIATE')
    await expect(engine.write(insert('never'))).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'not-applied' })
    holder.exec('COMMIT')
    holder.close()
    expect(await engine.write(insert('now'))).toBe(1)
    await engine.close()
  })

  it('drops a queued write whose signal aborts, and says that it did not happen', async () => {
    const engine = await openTrial(join(await scratch(), 'trial.db'))
    const controller = new AbortController()
    const writing = engine.write(insert('dropped'), { signal: controller.signal })
    controller.abort(new RangeError('enough'))
    await expect(writing).rejects.toThrow('enough')
    await engine.write(insert('kept'))
    expect(await engine.select('SELECT name FROM trial', [])).toEqual([{ name: 'kept' }])
    await engine.close()
  })

  it('reads several statements on one snapshot', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openTrial(file)
    const other = new DatabaseSync(file)
    const counts = await engine.read(function* () {
      const before = yield* row<{ n: number }>('SELECT count(*) AS n FROM trial')
      other.exec("INSERT INTO trial (name) VALUES ('meanwhile')")
      const after = yield* rows<{ n: number }>('SELECT count(*) AS n FROM trial')
      return [before?.n, after[0]?.n]
    })
    expect(counts).toEqual([0, 0])
    other.close()
    await engine.close()
  })

  it('shares one connection a file in a process, and closes it with the last user', async () => {
    const folder = await scratch()
    const first = await openSqlite(join(folder, 'x', '..', 'trial.db'))
    const [second, third] = await Promise.all([openSqlite(join(folder, 'trial.db')), openSqlite(join(folder, 'trial.db'))])
    expect(second).toBe(first)
    expect(third).toBe(first)
    await first.close()
    await second.ping()
    await second.close()
    await third.close()
    await expect(third.ping()).rejects.toSatisfy((error) => isHoldfastError(error))
  })

  it('refuses a schema newer than it knows, and with autoCreate off a schema that is missing', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openSqlite(file)
    await expect(engine.migrate(SCHEMA, { autoCreate: false })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await engine.migrate(SCHEMA, { autoCreate: true })
    await engine.migrate(SCHEMA, { autoCreate: false })
    await expect(engine.migrate({ ...SCHEMA, migrations: [] }, { autoCreate: true })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    await engine.close()
  })

  it('copies a file that is being written to, whole', async () => {
    const folder = await scratch()
    const engine = await openTrial(join(folder, 'trial.db'))
    const writer = run('test/fixtures/open-and-append.ts', [join(folder, 'trial.db'), 'x', '1'])
    const stop = new AbortController()
    const writes = (async () => {
      for (let i = 0; !stop.signal.aborted; i++) await engine.write(insert(`row ${i}`))
    })()
    await sleep(50)
    await engine.backup(join(folder, 'copy.db'))
    stop.abort()
    await writes
    await writer.ended
    const copy = new DatabaseSync(join(folder, 'copy.db'))
    expect(copy.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    const names = copy.prepare('SELECT name FROM trial ORDER BY n').all() as { name: string }[]
    expect(names.length).toBeGreaterThan(0)
    copy.close()
    await expect(engine.backup(join(folder, 'copy.db'))).rejects.toMatchObject({ code: 'CONFLICT' })
    await engine.close()
  })

  it('makes the folders of its file, any number of them at once', async () => {
    const root = await scratch()
    const files = Array.from({ length: 8 }, (_, i) => join(root, 'a', 'b', 'c', `${i % 4}`, `${i}.db`))
    const opened = await Promise.all(files.map((file) => openTrial(file)))
    expect(opened.map(({ path }) => path)).toEqual(files)
    await Promise.all(opened.map((engine) => engine.close()))
  })

  it('fails where there can be no folder: below a file, and below /proc, which says of a new folder that it is missing', async () => {
    const root = await scratch()
    await writeFile(join(root, 'file'), 'not a folder')
    const refused = [join(root, 'file', 'x.db'), join(root, 'file', 'deep', 'er', 'x.db')]
    if (process.platform === 'linux') refused.push('/proc/holdfast/x.db', '/proc/holdfast/deep/er/x.db', '/proc/x.db')
    for (const file of refused) {
      const error: unknown = await openSqlite(file).catch((error: unknown) => error)
      expect(isHoldfastError(error, 'UNAVAILABLE'), `${file}: ${String(error)}`).toBe(true)
    }
  })

  it('says what is wrong with a file that is no database', async () => {
    const file = join(await scratch(), 'letter.db')
    await writeFile(file, 'Dear database, '.repeat(100))
    await expect(openSqlite(file)).rejects.toMatchObject({ code: 'CORRUPT' })
    await writeFile(file, 'Dear')
    await expect(openSqlite(file)).rejects.toMatchObject({ code: 'CORRUPT' })
    expect(await readFile(file, 'utf8')).toBe('Dear')
    await expect(openSqlite(join(file, 'below', 'x.db'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})
