/** From a backup back to a folder: whole or not at all, looked through first, and never over what is there. */
import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openPersistence, restoreBackup, type Persistence, type PersistenceOptions } from '../src/index.ts'
import { ROOT, run, scratch } from './support.ts'

async function open(dir: string, options: PersistenceOptions = {}): Promise<Persistence> {
  const db = await openPersistence({ dir, config: false, durability: 'relaxed', ...options })
  onTestFinished(() => db.close())
  return db
}

/** A folder with a backup in `copy`, and nothing else. */
async function withBackup(options: PersistenceOptions = {}): Promise<{ root: string; copy: string }> {
  const root = await scratch()
  const db = await open(join(root, 'data'), options)
  await db.conversation.createSession({ id: 's' })
  await db.conversation.addMessage('s', { role: 'user', content: 'kept' })
  await db.knowledge.createCollection('c', { dimension: 1 })
  await db.workspace('w').state.set('k', 'kept')
  await db.backup(join(root, 'copy'))
  await db.close()
  await rm(join(root, 'data'), { recursive: true })
  return { root, copy: join(root, 'copy') }
}

async function expectKept(dir: string, options: PersistenceOptions = {}): Promise<void> {
  await using db = await openPersistence({ dir, config: false, ...options })
  expect((await db.conversation.getMessages('s')).map(({ content }) => content)).toEqual(['kept'])
  expect(await db.knowledge.collectionExists('c')).toBe(true)
  expect(await db.workspace('w').state.get('k')).toBe('kept')
}

async function refused(directory: string, options: Parameters<typeof restoreBackup>[1], code: string): Promise<string> {
  const error = await restoreBackup(directory, options).then(
    () => expect.unreachable('it was restored'),
    (reason: unknown) => reason as { code: string; message: string },
  )
  expect(error).toMatchObject({ name: 'HoldfastError', code })
  return error.message
}

describe('restoreBackup', () => {
  it('puts a backup into a new folder, and leaves the backup as it was', async () => {
    const { root, copy } = await withBackup()
    const before = await Promise.all((await readdir(copy)).map((name) => readFile(join(copy, name))))
    const dir = join(root, 'deep', 'er', 'data')
    const { files, replaced } = await restoreBackup(copy, { dir })
    expect([files.toSorted(), replaced]).toEqual([
      ['conversation.db', 'knowledge.db', 'state.db'].map((name) => join(dir, name)),
      undefined,
    ])
    expect(await readdir(dir)).toHaveLength(3)
    await expectKept(dir)
    const after = await Promise.all((await readdir(copy)).map((name) => readFile(join(copy, name))))
    expect(after).toEqual(before)
    expect((await readdir(root)).toSorted()).toEqual(['copy', 'deep'])
  })

  it('works on a backup that cannot be written, and on one whose log was left behind', async () => {
    const { root, copy } = await withBackup()
    const logged = join(root, 'logged')
    {
      await using db = await open(copy)
      await db.state.set('late', 1)
      // As a killed process leaves it: what was written last is in the log only.
      await cp(copy, logged, { recursive: true })
    }
    expect(await readdir(logged)).toContain('state.db-wal')
    await restoreBackup(logged, { dir: join(root, 'one') })
    await using one = await open(join(root, 'one'))
    expect(await one.state.get('late')).toBe(1)
    for (const name of await readdir(copy)) await chmod(join(copy, name), 0o444)
    await chmod(copy, 0o555)
    onTestFinished(() => chmod(copy, 0o755))
    await restoreBackup(copy, { dir: join(root, 'two') })
    await expectKept(join(root, 'two'))
  })

  it('takes the stores on plain files with it', async () => {
    const options = { conversation: 'json', state: 'file' } as const
    const { root, copy } = await withBackup(options)
    expect((await readdir(copy)).toSorted()).toEqual(['conversations', 'knowledge.db', 'state'])
    const { files } = await restoreBackup(copy, { dir: join(root, 'data') })
    expect(files.length).toBeGreaterThan(3)
    await expectKept(join(root, 'data'), options)
  })
})

describe('restoreBackup over stores that are there', () => {
  it('refuses them, and moves them aside where it may', async () => {
    const { root, copy } = await withBackup()
    const dir = join(root, 'data')
    {
      await using db = await open(dir)
      await db.state.set('new', 1)
      expect(await refused(copy, { dir }, 'CONFLICT')).toContain('is not empty')
      expect(await refused(copy, { dir, replace: true }, 'CONFLICT')).toContain('is in use')
      expect(await db.state.get('new')).toBe(1)
    }
    const { replaced } = await restoreBackup(copy, { dir, replace: true })
    await expectKept(dir)
    await using old = await open(replaced!)
    expect(await old.state.get('new')).toBe(1)
    expect((await readdir(root)).filter((name) => name.startsWith('.holdfast'))).toEqual([])
  })

  it('notices another process that has a store open and does nothing', async () => {
    const { root, copy } = await withBackup()
    const dir = join(root, 'data')
    const script = join(root, 'hold.ts')
    await writeFile(
      script,
      `import { openPersistence } from ${JSON.stringify(join(ROOT, 'src/index.ts'))}
      await openPersistence({ dir: ${JSON.stringify(dir)}, config: false })
      console.log('open')
      process.stdin.resume()`,
    )
    await mkdir(dir)
    const child = run(relative(ROOT, script), [])
    onTestFinished(() => void child.process.kill())
    expect((await child.lines.next()).value).toBe('open')
    expect(await refused(copy, { dir, replace: true }, 'CONFLICT')).toContain('is in use')
    child.process.kill('SIGKILL')
    await child.ended
    await restoreBackup(copy, { dir, replace: true })
    await expectKept(dir)
  })

  it('replaces a damaged store, and no folder that holds anything else', async () => {
    const { root, copy } = await withBackup()
    const dir = join(root, 'data')
    await mkdir(dir)
    await writeFile(join(dir, 'state.db'), 'damaged'.repeat(1_000))
    await writeFile(join(dir, 'notes.txt'), 'mine')
    expect(await refused(copy, { dir, replace: true }, 'CONFLICT')).toContain('"notes.txt"')
    await rm(join(dir, 'notes.txt'))
    await restoreBackup(copy, { dir, replace: true })
    await expectKept(dir)
  })
})

describe('restoreBackup of what is no sound backup', () => {
  it('refuses it, and leaves nothing behind', async () => {
    const { root, copy } = await withBackup()
    const dir = join(root, 'data')
    const file = join(copy, 'state.db')
    const sound = await readFile(file)
    const spoilt: readonly (readonly [string, (path: string) => Promise<unknown> | void])[] = [
      ['CORRUPT', (path) => writeFile(path, 'scrap')],
      ['CORRUPT', (path) => writeFile(path, 'no database'.repeat(1_000))],
      ['CORRUPT', (path) => writeFile(path, Buffer.from(sound).fill(7, 4_096, 8_000))],
      ['CORRUPT', (path) => writeFile(path, '')],
      ['CORRUPT', (path) => copyFile(join(copy, 'knowledge.db'), path)],
      ['UNSUPPORTED', (path) => newer(path)],
    ]
    for (const [code, spoil] of spoilt) {
      await writeFile(file, sound)
      await spoil(file)
      expect(await refused(copy, { dir }, code)).toContain('state.db')
      expect(await readdir(root)).toEqual(['copy'])
    }
    await writeFile(file, sound)
    await restoreBackup(copy, { dir })
  })

  it('refuses folders without a backup, and targets that cannot be', async () => {
    const { root, copy } = await withBackup()
    await writeFile(join(root, 'file'), '')
    for (const directory of [join(root, 'none'), root, join(root, 'file')]) await refused(directory, { dir: 'x' }, 'NOT_FOUND')
    await refused(copy, { dir: join(root, 'file', 'below') }, 'CONFLICT')
    await refused(copy, { dir: '' }, 'INVALID_ARGUMENT')
    await expect(restoreBackup(5 as never)).rejects.toBeInstanceOf(TypeError)
    await rename(join(copy, 'state.db'), join(root, 'state.db'))
    await restoreBackup(copy, { dir: join(root, 'part') })
    expect((await readdir(join(root, 'part'))).toSorted()).toEqual(['conversation.db', 'knowledge.db'])
  })
})

function newer(path: string): void {
  const db = new DatabaseSync(path)
  db.exec(`UPDATE holdfast_schema SET version = 999`)
  db.close()
}
