/** What only the state backend `file` has: its files, and what becomes of them after crashes and by other hands. */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it, onTestFinished } from 'vitest'
import { HOSTILE_TEXTS } from '../src/conformance/hostile.ts'
import { STATE_STORES } from '../src/index.ts'
import type { StateStore } from '../src/state/store.ts'
import { scratch } from './support.ts'

async function open(path: string): Promise<StateStore> {
  const store = await STATE_STORES.create('file', { path })
  onTestFinished(() => store.close())
  return store
}

async function folder(): Promise<string> {
  return join(await scratch(), 'state')
}

const textOf = (path: string, name: string): Promise<string> => readFile(join(path, 'spaces', '=', name), 'utf8')

describe('files', () => {
  it('hold the plain value, so that other programs can read it', async () => {
    const path = await folder()
    const store = await open(path)
    await store.set('config.json', { a: [1, null] })
    await store.setBytes('photo', Uint8Array.of(0xff, 0, 1))
    await store.set('user/1', '123', { ttl: 3_600 })
    deepStrictEqual((await readdir(join(path, 'spaces', '='))).toSorted(), ['config.json', 'photo', 'user=2f1', 'user=2f1~'])
    strictEqual(await textOf(path, 'config.json'), '{"a":[1,null]}')
    deepStrictEqual([...(await readFile(join(path, 'spaces', '=', 'photo')))], [0xff, 0, 1])
    strictEqual(await textOf(path, 'user=2f1'), '"123"')
    match(await textOf(path, 'user=2f1~'), /^\{"expiresAt":\d+\}$/)
    await store.set('user/1', '123')
    ok(!(await readdir(join(path, 'spaces', '='))).includes('user=2f1~'))
  })

  it('have safe names whatever keys and workspaces, and lie nowhere else', async () => {
    const dir = await scratch()
    const path = join(dir, 'state')
    const store = await open(path)
    await store.setMany(new Map(HOSTILE_TEXTS.map((key, i) => [key, i])))
    await store.workspace('../../up').set('../up', 1)
    deepStrictEqual(await readdir(dir), ['state'])
    const names = await readdir(path, { recursive: true })
    for (const name of names) match(name, /^[a-z0-9_.=~/-]+$/)
    strictEqual(new Set(names.map((name) => name.toLowerCase())).size, names.length)
    await store.close()
    const again = await open(path)
    deepStrictEqual((await again.keys()).toSorted(), [...HOSTILE_TEXTS].toSorted())
    deepStrictEqual(
      await again.getMany(HOSTILE_TEXTS),
      HOSTILE_TEXTS.map((_, i) => i),
    )
  })

  it('that other programs put there or change count from the next opening on; what is no name of a key is left alone', async () => {
    const path = await folder()
    const writer = await open(path)
    await writer.set('a', 1)
    await writer.close()
    const there = join(path, 'spaces', '=')
    await writeFile(join(there, 'b'), '2')
    await writeFile(join(there, 'a'), '3')
    await writeFile(join(there, '.DS_Store'), 'x')
    await writeFile(join(there, 'Readme'), 'x')
    await mkdir(join(there, 'FOLDER'))
    const store = await open(path)
    deepStrictEqual(await store.keys(), ['a', 'b'])
    deepStrictEqual(await store.getMany(['a', 'b']), [3, 2])
  })

  it('of expired keys go while others are written', async () => {
    const path = await folder()
    const store = await open(path)
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.set(`old ${i}`, i, { ttl: 0.02 })))
    await sleep(30)
    for (let i = 0; i < 12; i++) await store.set('k', i)
    deepStrictEqual(await readdir(join(path, 'spaces', '=')), ['k'])
  })

  it('and folders go with the last key of a space', async () => {
    const path = await folder()
    const store = await open(path)
    await store.workspace('w').set('k', 1, { ttl: 60 })
    await store.workspace('w').delete('k')
    await store.close()
    deepStrictEqual(await readdir(join(path, 'spaces')), [])
    await (await open(path)).workspace('w').set('k', 2)
    strictEqual(await (await open(path)).workspace('w').get('k'), 2)
  })
})

describe('a process that dies', () => {
  const PAIR = ['left', 'right/of it', 'x'.repeat(300)]

  /** A folder whose last commit reached the journal only, as after a kill between the journal and the files, cut at `size` bytes. */
  async function interrupted(): Promise<{ size: number; cutAt(size: number): Promise<StateStore> }> {
    const path = await folder()
    const store = await open(path)
    const both = (n: number) =>
      store.core.backend.commit('', { set: PAIR.map((key) => ({ key, value: `${n}` })), delete: [`gone ${n}`] })
    await store.set('gone 2', 1)
    await both(1)
    const before = await folder()
    await cp(join(path, 'spaces'), join(before, 'spaces'), { recursive: true })
    const { length } = await readFile(join(path, 'journal'))
    await both(2)
    const journal = await readFile(join(path, 'journal'))
    // Nothing of the last commit was applied, and the header says so.
    journal.writeBigUInt64LE(BigInt(length), 16)
    return {
      size: journal.length - length,
      async cutAt(size) {
        const copy = await folder()
        await cp(before, copy, { recursive: true })
        await writeFile(join(copy, 'journal'), journal)
        await truncate(join(copy, 'journal'), length + size)
        return open(copy)
      },
    }
  }

  it('leaves a commit whole or not begun, wherever its journal ends', { timeout: 60_000 }, async () => {
    const { size, cutAt } = await interrupted()
    for (let cut = 0; cut <= size; cut += cut > size - 10 ? 1 : 13) {
      const store = await cutAt(cut)
      const expected = cut === size ? 2 : 1
      deepStrictEqual(
        await store.getMany(PAIR),
        PAIR.map(() => expected),
        `cut at ${cut} of ${size}`,
      )
      strictEqual(await store.exists('gone 2'), expected === 1)
      await store.set('next', 1)
      await store.close()
    }
  })

  it('in the middle of the files has its commit finished by whoever comes next, also one that is running', async () => {
    const path = await folder()
    const [a, b] = [await open(path), await open(path)]
    await a.setMany({ left: 1, right: 1 })
    deepStrictEqual(await b.getMany(['left', 'right']), [1, 1])
    const { length } = await readFile(join(path, 'journal'))
    await a.core.backend.commit('', {
      set: [
        { key: 'left', value: '2' },
        { key: 'right', value: '2' },
      ],
    })
    // As if only one of the two files had been written.
    await writeFile(join(path, 'spaces', '=', 'right'), '1')
    const journal = await readFile(join(path, 'journal'))
    journal.writeBigUInt64LE(BigInt(length), 16)
    await writeFile(join(path, 'journal'), journal)
    deepStrictEqual(await b.getMany(['left', 'right']), [2, 2])
    strictEqual(await textOf(path, 'right'), '2')
  })

  it('leaves nothing behind that a later generation of the journal would take for its own', async () => {
    const path = await folder()
    const store = await open(path)
    await store.set('a', 1)
    const old = await readFile(join(path, 'journal'))
    await store.close()
    const empty = await readFile(join(path, 'journal'))
    strictEqual(empty.length, 32)
    await writeFile(join(path, 'journal'), Buffer.concat([empty, old.subarray(32)]))
    await writeFile(join(path, 'spaces', '=', 'a'), '2')
    strictEqual(await (await open(path)).get('a'), 2)
  })
})

describe('spaces', () => {
  const LONG = 'ä'.repeat(200)
  const listed = async (store: StateStore): Promise<readonly string[]> => (await store.listWorkspaces()).items
  const spaceNames = async (path: string): Promise<string[]> => (await readdir(join(path, 'spaces'))).toSorted()

  it('are those with a key that is not expired, whoever wrote it', async () => {
    const path = await folder()
    const [a, b] = [await open(path), await open(path)]
    for (const name of ['w', LONG, 'gone']) await a.workspace(name).set('k', 1)
    await a.workspace('expired').set('k', 1, { ttl: 1 })
    await a.workspace('mixed').setMany({ a: 1, b: 1 }, { ttl: 1 })
    await a.workspace('mixed').set('c', 1, { ttl: 60 })
    deepStrictEqual(await listed(b), ['expired', 'gone', 'mixed', 'w', LONG])
    await b.workspace('gone').delete('k')
    await sleep(1_050)
    // Of these, `a` has all in memory, `b` some, and the last one none.
    for (const store of [a, b, await open(path)]) deepStrictEqual(await listed(store), ['mixed', 'w', LONG])
  })

  it('with names too long for a folder have them beside it, for as long as they hold a key', async () => {
    const path = await folder()
    const store = await open(path)
    const view = store.workspace(LONG)
    await view.setMany({ a: 1, b: 2 })
    const [name, note] = (await spaceNames(path)) as [string, string]
    match(name, /^~[0-9a-f]{64}$/)
    strictEqual(note, `${name}~`)
    deepStrictEqual(JSON.parse(await readFile(join(path, 'spaces', note), 'utf8')), { space: `w:${LONG}` })
    await view.delete('a')
    deepStrictEqual(await listed(store), [LONG])
    await view.delete('b')
    deepStrictEqual([await listed(store), await spaceNames(path)], [[], [name]])
    await view.set('a', 3)
    deepStrictEqual(await listed(await open(path)), [LONG])
    await view.clear()
    await store.close()
    // A checkpoint took the folder, and all others.
    deepStrictEqual(await readdir(path).then((names) => names.includes('spaces')), false)
  })

  it('whose name was lost are told of, not left out', async () => {
    const path = await folder()
    const store = await open(path)
    await store.workspace(LONG).set('k', 1)
    const note = (await spaceNames(path))[1]!
    for (const harm of [
      () => writeFile(join(path, 'spaces', note), '{"space":"w:other"}'),
      () => rm(join(path, 'spaces', note)),
    ]) {
      await harm()
      await rejects(store.listWorkspaces(), { code: 'CORRUPT', message: new RegExp(note) })
    }
    strictEqual(await store.workspace(LONG).get('k'), 1)
  })

  it('are not what others left among their folders', async () => {
    const path = await folder()
    const store = await open(path)
    await store.set('k', 1)
    await writeFile(join(path, 'spaces', '.DS_Store'), 'x')
    await writeFile(join(path, 'spaces', 'w=3ax'), 'x')
    await mkdir(join(path, 'spaces', 'w=3aempty'))
    await mkdir(join(path, 'spaces', 'w=3aforeign'))
    await writeFile(join(path, 'spaces', 'w=3aforeign', 'Readme'), 'x')
    deepStrictEqual(await listed(store), [''])
  })
})

describe('several handles', () => {
  it('see each other across emptied journals', async () => {
    const path = await folder()
    const [a, b] = [await open(path), await open(path)]
    for (let round = 0; round < 6; round++) {
      const writer = round % 2 === 0 ? a : b
      // Enough to fill the journal once.
      await Promise.all(Array.from({ length: 50 }, (_, i) => writer.set(`${round} ${i}`, 'x'.repeat(100_000))))
      await writer.delete(`${round} 0`)
      for (const reader of [a, b]) strictEqual((await reader.keys()).length, (round + 1) * 49)
    }
    ok((await readFile(join(path, 'journal'))).length < 6_000_000)
  })

  it('copy the folder as it is at one moment', async () => {
    const path = await folder()
    const store = await open(path)
    await store.setMany({ a: 1, b: 2 })
    const copy = await folder()
    const names = await store.backupTo(copy)
    deepStrictEqual(
      names.toSorted(),
      ['a', 'b'].map((name) => join('state', 'spaces', '=', name)),
    )
    deepStrictEqual(await (await open(join(copy, 'state'))).getMany(['a', 'b']), [1, 2])
    await rejects(store.backupTo(copy), { code: 'UNAVAILABLE' })
  })

  it('say what is wrong with a folder that is none', async () => {
    const dir = await scratch()
    await writeFile(join(dir, 'plain'), 'x')
    await rejects(open(join(dir, 'plain')), { code: 'UNAVAILABLE', backend: 'file' })
    await rejects(open(join(dir, 'plain', 'below')), { code: 'UNAVAILABLE', message: /a file is where a folder belongs/ })
    await rm(join(dir, 'plain'))
  })
})
