import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { array, assert, constantFrom, property, record, string } from 'fast-check'
import { SQLITE_DIALECT } from '../src/engines/sqlite.ts'
import { create as createMemory } from '../src/state/backends/memory.ts'
import { create as createSqlite, type SqliteStateOptions } from '../src/state/backends/sqlite.ts'
import type { StateAdd, StateBackend } from '../src/state/contract.ts'
import { KeyIndex } from '../src/state/key-index.ts'
import { stateSchema, stateStatements } from '../src/state/sql.ts'
import { StateStore } from '../src/state/store.ts'
import { compareBytes, successorOf } from '../src/store/text.ts'
import { scratch } from './support.ts'

function contextOf(name: string): Parameters<typeof createMemory>[1] {
  return { kind: 'state', name, loadClient: () => Promise.reject(new Error('not here')) }
}

async function sqlite(options: SqliteStateOptions = { path: ':memory:' }): Promise<StateBackend> {
  return createSqlite(options, contextOf('sqlite'))
}

const BACKENDS: Record<string, () => Promise<StateBackend>> = {
  memory: async () => createMemory({}, contextOf('memory')),
  sqlite: async () => sqlite({ path: join(await scratch(), 'state.db') }),
}

interface Opened {
  readonly backend: StateBackend
  readonly store: StateStore
}

async function open(name: string): Promise<Opened> {
  const backend = await BACKENDS[name]!()
  const store = new StateStore(backend, { name })
  onTestFinished(() => store.close())
  return { backend, store }
}

describe.each(Object.keys(BACKENDS))('listing in %s', (name) => {
  it('pages through 20,000 keys in order, while keys come and go', async () => {
    const { store } = await open(name)
    const keys = Array.from({ length: 20_000 }, (_, i) => `k${String((i * 7_919) % 20_000).padStart(5, '0')}`)
    await store.setMany(keys.map((key, i): [string, number] => [key, i]))
    const found: string[] = []
    for await (const key of store.scanPrefix('k')) {
      found.push(key)
      // Behind the reader and outside of what it reads, every now and then.
      if (found.length % 500 === 0)
        await Promise.all([store.delete(found[0]!), store.set(`a${found.length}`, 1), store.set(`z${found.length}`, 1)])
    }
    expect(found).toEqual(keys.toSorted())
    expect(await store.keys('k19??9')).toHaveLength(100)
    expect(await store.workspace('other').keys()).toEqual([])
  })

  it('clears 20,000 keys and leaves other workspaces alone', async () => {
    const { store } = await open(name)
    const keys = Array.from({ length: 20_000 }, (_, i): [string, number] => [`k${i}`, i])
    await store.setMany(keys)
    await store.workspace('other').set('k', 1)
    expect(await store.clear()).toBe(20_000)
    expect(await store.keys()).toEqual([])
    expect(await store.workspace('other').keys()).toEqual(['k'])
  })
})

describe.each(Object.keys(BACKENDS))('changes in %s', (name) => {
  it('loses nothing among 100 concurrent writers of one key', async () => {
    const { store } = await open(name)
    const writers = Array.from({ length: 100 }, (_, i) => i)
    const compareAndAdd = async (): Promise<void> => {
      const found = await store.get<number>('cas')
      if (!(await store.compareAndSet('cas', found, (found ?? 0) + 1))) return compareAndAdd()
    }
    await Promise.all(writers.flatMap((i) => [store.increment('sum'), store.hset('hash', `f${i}`, i), compareAndAdd()]))
    expect(await store.get('sum')).toBe(100)
    expect(await store.get('cas')).toBe(100)
    expect(await store.hgetall('hash')).toEqual(Object.fromEntries(writers.map((i) => [`f${i}`, i])))
  })

  it('never gives a version twice, also after a delete', async () => {
    const { backend, store } = await open(name)
    const versions = new Set<string>()
    for (let i = 0; i < 20; i++) {
      await store.set('k', 'same')
      versions.add((await backend.get('', ['k']))[0]!.version)
      if (i % 2 === 0) await store.delete('k')
    }
    expect(versions.size).toBe(20)
  })

  it('changes nothing when any condition of a commit fails', async () => {
    const { backend, store } = await open(name)
    await store.set('there', 1)
    await store.set('text', 'x')
    const set = [{ key: 'new', value: '1' }]
    const refused = [
      { checks: [{ key: 'there', version: null }], reason: 'check', key: 'there' },
      { checks: [{ key: 'none', version: '1' }], reason: 'check', key: 'none' },
      { add: added('absent', 'text'), reason: 'not-integer', key: 'text' },
      { add: added('absent', 'there'), reason: 'max', key: 'there' },
    ]
    for (const { reason, key, ...conditions } of refused) {
      const result = await backend.commit('', { set, delete: ['text'], ...conditions })
      expect(result).toEqual({ applied: false, reason, key })
    }
    expect(await store.keys()).toEqual(['text', 'there'])
    expect(await store.get('there')).toBe(1)
  })

  it('counts an expired entry as absent in conditions and kept TTLs', async () => {
    const { store } = await open(name)
    await store.setMany({ a: 1, b: {} }, { ttl: 0.001 })
    await sleep(5)
    expect(await store.delete('a')).toBe(false)
    expect(await store.setIfAbsent('a', 1)).toBe(true)
    await store.hset('b', 'f', 1)
    expect(await store.ttl('b')).toBeNull()
  })
})

describe('memory', () => {
  it('lets go of expired values while others are written', async () => {
    const { store } = await open('memory')
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 400; i++) {
      await store.workspace(`w${i}`).setBytes('k', new Uint8Array(1_000_000), { ttl: 0.001 })
      await sleep(1)
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200_000_000)
  })

  it('hands out copies', async () => {
    const { backend } = await open('memory')
    const value = new Uint8Array([1])
    await backend.commit('', { set: [{ key: 'k', value }] })
    value[0] = 2
    const [first] = await backend.get('', ['k'])
    ;(first!.value as Uint8Array)[0] = 3
    expect((await backend.get('', ['k']))[0]!.value).toEqual(new Uint8Array([1]))
  })
})

function added(...keys: string[]): StateAdd[] {
  return keys.map((key) => ({ key, by: 1, max: 1 }))
}

describe('sqlite file', () => {
  it('holds plain JSON as text and bytes as blobs, for other programs to read', async () => {
    const path = join(await scratch(), 'state.db')
    const store = new StateStore(await sqlite({ path, prefix: 'app_' }), { name: 'sqlite', workspace: 'w' })
    await store.set('json', { a: '123' })
    await store.setBytes('bytes', new Uint8Array([0, 255]))
    await store.set('gone', 1, { ttl: 0.001 })
    await sleep(5)
    await store.setMany(Array.from({ length: 64 }, (_, i): [string, number] => [`k${i}`, i]))
    await store.close()
    const db = new DatabaseSync(path)
    const rows = db
      .prepare(`SELECT space, key, typeof(value) AS type, value FROM app_state WHERE key NOT LIKE 'k%' ORDER BY key`)
      .all()
    expect(rows).toEqual([
      { space: 'w:w', key: 'bytes', type: 'blob', value: new Uint8Array([0, 255]) },
      { space: 'w:w', key: 'json', type: 'text', value: '{"a":"123"}' },
    ])
    db.close()
  })

  it('backs up into a folder', async () => {
    const dir = await scratch()
    await using store = new StateStore(await sqlite({ path: join(dir, 'a.db') }), { name: 'sqlite' })
    await store.set('k', 1)
    await rm(join(dir, 'state.db'), { force: true })
    expect(await store.backupTo(dir)).toEqual(['state.db'])
    await store.set('k', 2)
    await using copy = new StateStore(await sqlite({ path: join(dir, 'state.db') }), { name: 'sqlite' })
    expect(await copy.get('k')).toBe(1)
  })

  it('creates nothing with autoCreate off', async () => {
    const path = join(await scratch(), 'locked.db')
    await expect(sqlite({ path, autoCreate: false })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await (await sqlite({ path })).close()
    await (await sqlite({ path, autoCreate: false })).close()
  })

  it('answers every query from an index', () => {
    const db = new DatabaseSync(':memory:')
    for (const { up } of stateSchema(SQLITE_DIALECT, 'holdfast_').migrations) for (const sql of up) db.exec(sql)
    const sql = stateStatements(SQLITE_DIALECT, 'holdfast_')
    const bounds = [true, false].flatMap((exclusive) => [true, false].map((bounded) => sql.scan(exclusive, bounded)))
    for (const text of [sql.get, sql.getMany(4), sql.version, sql.deleteMany(4), sql.purge, ...bounds]) {
      const plan = db
        .prepare(`EXPLAIN QUERY PLAN ${text}`)
        .all()
        .map(({ detail }) => String(detail))
      expect(
        plan.filter((step) => /SCAN|TEMP B-TREE/.test(step)),
        text,
      ).toEqual([])
      expect(plan.join(), text).toMatch(/USING (COVERING )?INDEX/)
    }
    db.close()
  })
})

describe('scan of an sqlite file', () => {
  const PAGE = 4096
  const MARK = 'in a row'

  /** A file whose rows cannot be read, while its indexes can. */
  async function withoutRows(expiresAt: number | null): Promise<DatabaseSync> {
    const path = join(await scratch(), 'state.db')
    const db = new DatabaseSync(path)
    for (const { up } of stateSchema(SQLITE_DIALECT, 'holdfast_').migrations) for (const sql of up) db.exec(sql)
    const { insert } = stateStatements(SQLITE_DIALECT, 'holdfast_')
    for (const key of ['a', 'b', 'c']) db.prepare(insert).run('', key, 1, MARK.repeat(100), null)
    db.prepare(insert).run('elsewhere', 'd', 1, MARK.repeat(100), expiresAt)
    db.close()
    const bytes = await readFile(path)
    for (let at = PAGE; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE)
      if (page.includes(MARK)) page.fill(0xff)
    }
    await writeFile(path, bytes)
    const damaged = new DatabaseSync(path)
    onTestFinished(() => damaged.close())
    return damaged
  }

  const scan = (db: DatabaseSync, now: number): unknown[] =>
    db
      .prepare(stateStatements(SQLITE_DIALECT, 'holdfast_').scan(false, false))
      .all('', '', now, now, 10)
      .map(({ key }) => key)

  it('reads the index alone while nothing has expired', async () => {
    for (const expiresAt of [null, 1_000]) expect(scan(await withoutRows(expiresAt), 999)).toEqual(['a', 'b', 'c'])
  })

  it('looks at the rows where something has', async () => {
    const db = await withoutRows(1_000)
    expect(() => scan(db, 1_000)).toThrow(/malformed/)
  })
})

describe('successorOf', () => {
  const text = string({ unit: constantFrom('a', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}'), maxLength: 4 })

  it('is above every text with the prefix, and not above any other that is greater', () => {
    assert(
      property(text, text, (prefix, key) => {
        const end = successorOf(prefix)
        const inRange = compareBytes(key, prefix) >= 0 && (end === undefined || compareBytes(key, end) < 0)
        expect(inRange).toBe(key.startsWith(prefix))
      }),
      { numRuns: 2_000 },
    )
  })

  it('does not exist for the greatest code points', () => {
    expect(successorOf('')).toBeUndefined()
    expect(successorOf('\u{10ffff}\u{10ffff}')).toBeUndefined()
    expect(successorOf('a\u{10ffff}')).toBe('b')
  })
})

describe('KeyIndex', () => {
  it('lists what a sorted map would, whatever came, went and came back', () => {
    const step = record({
      does: constantFrom('add', 'remove', 'list'),
      key: constantFrom('a', 'b', 'c', '\ue000', '😀'),
    })
    assert(
      property(array(step, { maxLength: 40 }), (steps) => {
        const keys = new Map<string, unknown>()
        const index = new KeyIndex(keys)
        for (const { does, key } of steps) {
          if (does === 'add' && !keys.has(key)) index.added((keys.set(key, 1), key))
          if (does === 'remove' && keys.delete(key)) index.removed(key)
          if (does === 'list') {
            const expected = [...keys.keys()].toSorted(compareBytes).filter((other) => compareBytes(other, key) >= 0)
            expect([...index.after(key, true)]).toEqual(expected)
            expect([...index.after(key, false)]).toEqual(expected.filter((other) => other !== key))
          }
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
