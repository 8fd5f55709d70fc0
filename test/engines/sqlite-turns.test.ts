/** Bursts of writes that take SQLite longer than one turn of the event loop. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { GroupCommit, type Transactor } from '../../src/engines/group-commit.ts'
import { openSqlite, type SqliteEngine } from '../../src/engines/sqlite.ts'
import { changes, type Script, type SqlSchema } from '../../src/engines/sql.ts'
import { HoldfastError } from '../../src/index.ts'
import { scratch } from '../support.ts'

const SCHEMA: SqlSchema = {
  prefix: 'holdfast_',
  component: 'trial',
  migrations: [{ version: 1, up: ['CREATE TABLE trial (n INTEGER PRIMARY KEY) STRICT'] }],
}
const WRITES = 12

async function openTrial(file: string): Promise<SqliteEngine> {
  const engine = await openSqlite(file)
  onTestFinished(() => engine.close())
  await engine.migrate(SCHEMA, { autoCreate: true })
  return engine
}

/** As long as half of what the engine takes of one turn. */
function* slowInsert(n: number): Script<number> {
  const end = performance.now() + 5
  while (performance.now() < end);
  return yield* changes('INSERT INTO trial (n) VALUES (?)', n)
}

function burst(engine: SqliteEngine): Promise<number>[] {
  return Array.from({ length: WRITES }, (_, n) => engine.write(() => slowInsert(n)))
}

async function count(engine: SqliteEngine): Promise<number> {
  const [found] = await engine.select<{ n: number }>('SELECT count(*) AS n FROM trial', [])
  return found!.n
}

/** At each turn until all is done: what a reader sees, beside how many have been told that they are done. */
async function seenDuring(engine: SqliteEngine, writes: readonly Promise<unknown>[]): Promise<[seen: number, told: number][]> {
  let told = 0
  for (const write of writes) void write.then(() => told++)
  const during: [number, number][] = []
  for (; told < writes.length; await nextTurn()) during.push([await count(engine), told])
  return during
}

describe('a burst of writes', () => {
  it.each(['a file', ':memory:'])(
    'leaves the event loop its turns, and shows readers what is committed only: %s',
    async (where) => {
      const engine = await openTrial(where === ':memory:' ? where : join(await scratch(), 'trial.db'))
      const during = await seenDuring(engine, burst(engine))
      expect(during.length).toBeGreaterThan(2)
      for (const [seen, told] of during) expect(seen).toBe(told)
      expect(await count(engine)).toBe(WRITES)
    },
  )

  it('undoes only what fails half-way, also when others ran in turns before it', async () => {
    const engine = await openTrial(join(await scratch(), 'trial.db'))
    const writes = burst(engine).slice(0, 5)
    const half = engine.write(function* () {
      yield* changes('INSERT INTO trial (n) VALUES (?)', 99)
      throw new RangeError('on purpose')
    })
    const outcomes = await Promise.allSettled([...writes, half])
    expect(outcomes.map(({ status }) => status)).toEqual([...Array.from(writes, () => 'fulfilled'), 'rejected'])
    await engine.write(() => slowInsert(100))
    expect(await engine.select('SELECT n FROM trial WHERE n >= 99', [])).toEqual([{ n: 100 }])
    expect(await count(engine)).toBe(WRITES + 1)
  })

  it('is finished before the engine closes', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openSqlite(file)
    await engine.migrate(SCHEMA, { autoCreate: true })
    const writes = burst(engine)
    await nextTurn()
    await engine.close()
    expect(await Promise.all(writes)).toEqual(Array.from({ length: WRITES }, () => 1))
    await expect(engine.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(await count(await openTrial(file))).toBe(WRITES)
  })
})

describe('the log', () => {
  /** Pages of the log that the file does not have. */
  function backlog(file: string): number {
    using db = new DatabaseSync(file)
    const { log, checkpointed } = db.prepare('PRAGMA wal_checkpoint(NOOP)').get() as { log: number; checkpointed: number }
    return log - checkpointed
  }

  async function turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) await nextTurn()
  }

  it('is written to the file once it is long, behind the answers', async () => {
    const file = join(await scratch(), 'trial.db')
    const engine = await openTrial(file)
    await engine.write(() => changes('CREATE TABLE pages (bytes BLOB) STRICT'))
    await engine.write(() => changes('INSERT INTO pages (bytes) VALUES (zeroblob(?))', 5_000_000))
    expect(backlog(file)).toBeGreaterThan(1_000)
    await turns(3)
    expect(backlog(file)).toBe(0)
  })

  it('that a reader holds up is left alone until the next commit', async () => {
    let checkpoints = 0
    const db: Transactor = {
      lockTimeoutMs: 1_000,
      readsBeside: true,
      execute: () => undefined,
      drive: (script) => script().next().value as never,
      inTransaction: () => true,
      changeCount: () => 0,
      logPages: () => 9_999,
      checkpoint: () => void checkpoints++,
      translate: () => new HoldfastError('UNAVAILABLE', 'not in this test'),
    }
    const commits = new GroupCommit(db)
    for (const expected of [1, 2]) {
      await commits.add(function* () {})
      await turns(20)
      expect(checkpoints).toBe(expected)
    }
    await commits.close()
  })
})
