import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  CONVERSATION_STORES,
  KINDS,
  KNOWLEDGE_STORES,
  openPersistence,
  STATE_STORES,
  StoreRegistry,
  type HoldfastError,
  type Persistence,
  type PersistenceOptions,
  type StateBackend,
  type StateStore,
  type Workspace,
} from '../src/index.ts'
import { generateKey, PluginHost } from '../src/plugin-storage/index.ts'
import { fakeState } from './registry-support.ts'
import { exec, ROOT, run, scratch } from './support.ts'

/** Opens without a config file; closed when the test ends. */
async function open(options: PersistenceOptions = {}): Promise<Persistence> {
  const db = await openPersistence({ config: false, ...options })
  onTestFinished(() => db.close())
  return db
}

const MEMORY = { conversation: 'memory', knowledge: 'memory', state: 'memory' } as const

async function stateStore(extra: Partial<StateBackend>): Promise<StateStore> {
  const stores = new StoreRegistry('state')
  stores.register('fake', () => fakeState(extra))
  return stores.create('fake')
}

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  return work.then(
    () => expect.unreachable('it was taken'),
    (error: unknown) => error as HoldfastError,
  )
}

/** Files below a folder that this process has open; undefined where the system does not tell. */
function openFiles(folder: string): string[] | undefined {
  if (!existsSync('/proc/self/fd')) return undefined
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const file = readlinkSync(join('/proc/self/fd', fd))
      return file.startsWith(folder) ? [relative(folder, file)] : []
    } catch {
      // The listing's own descriptor is closed by now.
      return []
    }
  })
}

function stubEnv(variables: Readonly<Record<string, string>>): void {
  onTestFinished(() => void vi.unstubAllEnvs())
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
}

/** A session with a pair of messages, a collection with two documents, and two keys. */
async function fill({ conversation, knowledge, state }: Workspace, mark = ''): Promise<void> {
  await conversation.createSession({ id: 's', name: mark })
  await conversation.addMessages('s', [
    { role: 'user', content: mark },
    { role: 'assistant', content: mark },
  ])
  await knowledge.createCollection('c', { dimension: 2 })
  await knowledge.insert('c', [
    { id: 'd', content: mark, embedding: [1, 0] },
    { id: 'e', content: mark, embedding: [0, 1] },
  ])
  await state.setMany({ k: mark, l: mark })
}

const FILLED = { sessions: 1, messages: 2, collections: 1, documents: 2, keys: 2, pluginScopes: 0 }
const NOTHING = { sessions: 0, messages: 0, collections: 0, documents: 0, keys: 0, pluginScopes: 0 }

describe('opening', () => {
  it('makes the embedded stores in dir, with folders, and finds everything there again', async () => {
    const dir = join(await scratch(), 'a', 'b')
    const db = await openPersistence({ dir, config: false })
    await fill(db, 'kept')
    await db.ping()
    await db.close()
    expect(readdirSync(dir).toSorted()).toEqual(['conversation.db', 'knowledge.db', 'state.db'])
    const again = await open({ dir })
    expect((await again.conversation.getMessages('s')).map(({ content }) => content)).toEqual(['kept', 'kept'])
    expect(await again.knowledge.count('c')).toBe(2)
    expect(await again.state.get('k')).toBe('kept')
  })

  it('takes its settings from argument, file, environment and default, all in one', async () => {
    const root = await scratch()
    await writeFile(join(root, 'holdfast.config.json'), JSON.stringify({ knowledge: 'memory', workspace: 'from-file' }))
    const dir = join(root, 'data')
    stubEnv({ HOLDFAST_DIR: dir, HOLDFAST_WORKSPACE: 'from-env', HOLDFAST_KNOWLEDGE: 'nonsense' })
    const db = await open({ appRoot: root, config: undefined, conversation: 'memory' })
    expect([db.conversation, db.knowledge, db.state].map(({ backend }) => backend)).toEqual(['memory', 'memory', 'sqlite'])
    expect(db.workspaceId).toBe('from-file')
    expect(readdirSync(dir)).toContain('state.db')
  })

  it('looks for the config file in appRoot, else in HOLDFAST_APP_ROOT, relative ones from the working directory', async () => {
    const [argument, environment] = [await scratch(), await scratch()]
    await writeFile(join(argument, 'holdfast.config.json'), JSON.stringify({ ...MEMORY, workspace: 'argument' }))
    await writeFile(join(environment, 'holdfast.config.json'), JSON.stringify({ ...MEMORY, workspace: 'environment' }))
    stubEnv({ HOLDFAST_APP_ROOT: environment })
    expect((await open({ config: undefined })).workspaceId).toBe('environment')
    expect((await open({ config: undefined, appRoot: argument })).workspaceId).toBe('argument')
    expect((await open({ config: undefined, appRoot: relative(process.cwd(), argument) })).workspaceId).toBe('argument')
    expect((await open({ config: false, ...MEMORY })).workspaceId).toBe('')
  })

  it('looks for the config file in the project of the entry script, and for a relative dir in the working directory', async () => {
    const [app, elsewhere] = [await scratch(), await scratch()]
    await mkdir(join(app, 'src'))
    await writeFile(join(app, 'package.json'), JSON.stringify({ name: 'app' }))
    await writeFile(join(app, 'holdfast.config.json'), JSON.stringify({ workspace: 'of the app' }))
    await writeFile(join(elsewhere, 'holdfast.config.json'), JSON.stringify({ workspace: 'of the working directory' }))
    const index = pathToFileURL(join(ROOT, 'src/index.ts')).href
    const script = `import { openPersistence } from '${index}'
      await using db = await openPersistence()
      console.log(db.workspaceId)`
    await writeFile(join(app, 'src', 'main.mjs'), script)
    const { stdout } = await exec(process.execPath, [join(app, 'src', 'main.mjs')], {
      cwd: elsewhere,
      env: { HOLDFAST_APP_ROOT: '' },
    })
    expect(stdout).toBe('of the app\n')
    expect(readdirSync(join(elsewhere, '.holdfast'))).toContain('state.db')
  })

  it('takes a store as a name, URL, path or object; dir and durability are for the embedded ones', async () => {
    const dir = await scratch()
    const inside = (name: string): string => relative(process.cwd(), join(dir, name))
    const settings: readonly [PersistenceOptions['conversation'], string | undefined, string][] = [
      ['sqlite', 'conversation.db', 'sqlite'],
      ['SYNC_SQLITE', 'conversation.db', 'sync_sqlite'],
      ['sqlite_sync', 'conversation.db', 'sync_sqlite'],
      [{ backend: 'sqlite' }, 'conversation.db', 'sqlite'],
      [{ backend: 'sqlite', path: join(dir, 'odd name?.x') }, 'odd name?.x', 'sqlite'],
      [{ backend: 'sync_sqlite', url: `sqlite:${inside('own.db')}` }, 'own.db', 'sync_sqlite'],
      [{ url: `file:${inside('url.db')}` }, 'url.db', 'sqlite'],
      [`sqlite:${inside('chat')}`, 'chat', 'sqlite'],
      [`sqlite:///${join(dir, 'four.db')}`, 'four.db', 'sqlite'],
      [inside('path.db'), 'path.db', 'sqlite'],
      [join(dir, 'absolute.sqlite3'), 'absolute.sqlite3', 'sqlite'],
      [':memory:', undefined, 'sqlite'],
      ['memory', undefined, 'memory'],
      ['memory:', undefined, 'memory'],
    ]
    for (const [conversation, file, backend] of settings) {
      await using db = await openPersistence({ ...MEMORY, dir, config: false, durability: 'relaxed', conversation })
      await db.conversation.createSession({ id: 's' })
      expect.soft(db.conversation.backend, inspect(conversation)).toBe(backend)
      expect.soft(readdirSync(dir).filter((name) => !/-(?:wal|shm)$/.test(name))).toEqual(file === undefined ? [] : [file])
      await db.close()
      for (const name of readdirSync(dir)) await rm(join(dir, name))
    }
  })

  it('gives durability to embedded stores that do not say it themselves', async () => {
    const bad = 'nonsense' as 'full'
    // A store's own word counts: where it is wrong, so is the store.
    const own = openPersistence({ ...MEMORY, config: false, durability: 'full', state: { url: ':memory:', durability: bad } })
    await expect(own).rejects.toMatchObject({ code: 'INVALID_OPTIONS', kind: 'state' })
    const dir = await scratch()
    const conversation = { backend: 'sqlite', durability: 'relaxed' }
    const db = await open({ ...MEMORY, dir, durability: 'relaxed', conversation, state: join(dir, 'conversation.db') })
    await db.conversation.createSession({ id: 's' })
    await db.state.set('k', 1)
    // One engine for both, as there is one for each file and durability.
    expect(openFiles(dir)?.filter((file) => file === 'conversation.db')).toHaveLength(openFiles(dir) === undefined ? 0 : 1)
  })

  it('gives timeoutMs, workspace and embed to what it opens', async () => {
    const db = await open({ ...MEMORY, workspace: 'w', embed: (texts) => texts.map(() => [1, 0]) })
    expect([db.conversation, db.knowledge, db.state].map(({ workspaceId }) => workspaceId)).toEqual(['w', 'w', 'w'])
    await fill(db)
    expect((await db.knowledge.search('c', { text: 'x', limit: 1 }))[0]!.id).toBe('d')
    STATE_STORES.register('never', () => fakeState({ ping: () => new Promise(() => undefined) }), { override: true })
    const slow = await open({ ...MEMORY, state: 'never', timeoutMs: 20 })
    await expect(slow.ping()).rejects.toMatchObject({ code: 'TIMEOUT', kind: 'state' })
    const patient = await open({ ...MEMORY, state: { backend: 'never', timeoutMs: 10 }, timeoutMs: 1_000_000 })
    await expect(patient.ping()).rejects.toThrow(/within 10 ms/)
    await expect(patient.ping({ timeoutMs: 5 })).rejects.toThrow(/within 5 ms/)
  })

  const wrong: readonly unknown[] = [null, 'chat.db', 5, [], new Map(), Promise.resolve({})]
  it('takes no options but a plain object', async () => {
    for (const options of wrong) await expect(openPersistence(options as object)).rejects.toThrow(TypeError)
    for (const appRoot of ['', 5, null]) {
      const error = await refusal(openPersistence({ appRoot: appRoot as string }))
      expect(error.code).toBe('INVALID_OPTIONS')
      expect(error.message).toContain('appRoot')
    }
  })

  it('shows no secret of a URL, whatever is wrong with it', async () => {
    const [planned, unknown, bad, down] = ['UNSUPPORTED', 'UNKNOWN_BACKEND', 'INVALID_OPTIONS', 'UNAVAILABLE']
    const urls = {
      'postgres://user:hunter2@127.0.0.1:1/db': [down, down, down],
      'mongodb:user:hunter2@host': [unknown, planned, planned],
      'redis://:hunter2@host?password=hunter2': [unknown, planned, bad],
      'nosuch://user:hunter2@host/db': [unknown, unknown, unknown],
      'nosuch:user:hunter2@host': [unknown, unknown, unknown],
      'sqlite://user:hunter2@host/x.db': [bad, bad, bad],
      'sqlite:x.db?password=hunter2': [bad, bad, bad],
      'file://user:hunter2@host/x.db': [bad, bad, bad],
    }
    for (const [url, codes] of Object.entries(urls)) {
      for (const [i, kind] of KINDS.entries()) {
        const expected = [codes[i], codes[i], bad, bad]
        for (const [j, setting] of [url, { url }, { backend: 'sqlite', url }, { backend: 'memory', url }].entries()) {
          const error = await refusal(openPersistence({ ...MEMORY, config: false, [kind]: setting }))
          expect.soft(error.code, `${kind} ${inspect(setting)}`).toBe(expected[j])
          expect.soft(inspect(error, { depth: 9 })).not.toContain('hunter2')
        }
      }
    }
    const { code, message } = await refusal(openPersistence({ ...MEMORY, config: false, state: { url: 'user@hunter2' } }))
    expect([code, message.includes('hunter2')]).toEqual(['INVALID_OPTIONS', false])
  })
})

describe('a store that is open already', () => {
  it('is used as it is, and stays open', async () => {
    const state = await STATE_STORES.create('memory')
    const knowledge = await KNOWLEDGE_STORES.create('memory')
    const conversation = await CONVERSATION_STORES.create('memory')
    const db = await openPersistence({ config: false, conversation, knowledge, state })
    expect([db.conversation, db.knowledge, db.state]).toEqual([conversation, knowledge, state])
    await fill(db)
    await db.close()
    expect(await state.get('k')).toBe('')
    await state.close()
    await expect(db.state.get('k')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  it('stays open too where another store cannot be opened', async () => {
    const state = await STATE_STORES.create('memory')
    await expect(openPersistence({ config: false, ...MEMORY, state, knowledge: 'lightrag' })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    await state.ping()
  })

  it('is scoped to the workspace of the settings, also where that is the default one by name', async () => {
    const state = await STATE_STORES.create('memory', { workspace: 'own' })
    const db = await open({ ...MEMORY, state, workspace: 'w' })
    await db.state.set('k', 'in w')
    expect([db.workspaceId, db.state.workspaceId, await state.get('k')]).toEqual(['w', 'w', undefined])
    expect(await state.workspace('w').get('k')).toBe('in w')
    const byDefault = await open({ ...MEMORY, state, workspace: '' })
    expect(byDefault.state.workspaceId).toBe('')
  })

  it('keeps its workspace without that setting, unless the stores would be of different ones', async () => {
    const options = { workspace: 'own' }
    const state = await STATE_STORES.create('memory', options)
    const error = await refusal(openPersistence({ config: false, ...MEMORY, state }))
    expect(error.code).toBe('INVALID_OPTIONS')
    expect(error.message).toContain('conversation "", knowledge "", state "own"')
    const knowledge = await KNOWLEDGE_STORES.create('memory', options)
    const conversation = await CONVERSATION_STORES.create('memory', options)
    expect((await open({ conversation, knowledge, state })).workspaceId).toBe('own')
  })

  it('must be of its kind', async () => {
    const state = await STATE_STORES.create('memory')
    const error = await refusal(openPersistence({ config: false, ...MEMORY, conversation: state as never }))
    expect(error.code).toBe('INVALID_OPTIONS')
    expect(error.message).toMatch(/conversation: it is a finished state store/)
    await state.ping()
  })

  it('is backed up whole, though it is scoped', async () => {
    const folder = await scratch()
    const [conversation, knowledge, state] = await Promise.all([
      CONVERSATION_STORES.create('sqlite', { path: join(folder, 'x.db') }),
      KNOWLEDGE_STORES.create('sqlite', { path: join(folder, 'x.db') }),
      STATE_STORES.create('sqlite', { path: join(folder, 'x.db') }),
    ])
    onTestFinished(async () => void (await Promise.all([conversation.close(), knowledge.close(), state.close()])))
    const db = await open({ conversation, knowledge, state, workspace: 'w' })
    await fill(db, 'w')
    await fill(db.workspace(''), 'default')
    await db.backup(join(folder, 'copy'))
    const copy = await open({ dir: join(folder, 'copy') })
    expect(await copy.state.get('k')).toBe('default')
    expect((await copy.workspace('w').conversation.getSession('s'))?.name).toBe('w')
  })
})

describe('where a store cannot be opened', () => {
  it('closes the others again, and leaves no file open', async () => {
    const dir = join(await scratch(), 'data')
    for (const failing of [{ state: 'firestore://host' }, { conversation: 'mysql' }, { knowledge: 'qdrant' }]) {
      await expect(openPersistence({ dir, config: false, ...failing })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
      expect(openFiles(dir) ?? []).toEqual([])
    }
    await rm(dir, { recursive: true })
    // An engine that was left open would go on with the removed files.
    const db = await open({ dir })
    await fill(db)
    expect(readdirSync(dir)).toEqual(expect.arrayContaining(['conversation.db', 'knowledge.db', 'state.db']))
  })

  it('waits for those that are still opening', async () => {
    const closed: string[] = []
    STATE_STORES.register(
      'slow',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 30))
        return fakeState({ close: async () => void closed.push('slow') })
      },
      { override: true },
    )
    await expect(openPersistence({ config: false, ...MEMORY, state: 'slow', knowledge: 'nosuch' })).rejects.toMatchObject({
      code: 'UNKNOWN_BACKEND',
    })
    expect(closed).toEqual(['slow'])
  })

  it('tells both errors where closing fails too', async () => {
    const close = (): Promise<void> => Promise.reject(new Error('stays open'))
    STATE_STORES.register('sticky', () => fakeState({ close }), { override: true })
    const error = await refusal(openPersistence({ config: false, ...MEMORY, state: 'sticky', knowledge: 'nosuch' }))
    expect(error).toMatchObject({ code: 'UNKNOWN_BACKEND', kind: 'knowledge' })
    expect(error.message).toContain('stays open')
    expect((error.cause as AggregateError).errors).toHaveLength(2)
  })

  it('names a path that is none', async () => {
    const folder = await scratch()
    const file = join(folder, 'file')
    await writeFile(file, 'text')
    await symlink(file, join(folder, 'link'))
    for (const dir of [file, join(file, 'below'), join(folder, 'link')]) {
      const error = await refusal(openPersistence({ dir, config: false }))
      expect(error.name).toBe('HoldfastError')
      expect(error.message).toContain(dir)
    }
    await expect(openPersistence({ dir: 'a\0b', config: false })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(openPersistence({ ...MEMORY, config: false, state: join(folder, 'file.db', '..') })).rejects.toMatchObject({
      code: 'UNKNOWN_BACKEND',
    })
    await writeFile(join(folder, 'text.db'), 'no database, though long enough to be looked at as one'.repeat(100))
    await expect(openPersistence({ ...MEMORY, config: false, state: join(folder, 'text.db') })).rejects.toMatchObject({
      code: 'CORRUPT',
    })
    expect(openFiles(folder) ?? []).toEqual([])
  })
})

describe('closing', () => {
  it('is idempotent, closes views, and lets the folder be opened again', async () => {
    const dir = await scratch()
    const db = await openPersistence({ dir, config: false })
    await fill(db)
    const view = db.workspace('v')
    await Promise.all([db.close(), db.close()])
    await db.close()
    await db[Symbol.asyncDispose]()
    expect(openFiles(dir) ?? []).toEqual([])
    for (const store of [db.conversation, db.knowledge, db.state, view.conversation, view.knowledge, view.state]) {
      await expect(store.ping()).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    }
    const calls = [() => db.ping(), () => db.buildContext('s'), () => db.deleteWorkspace(''), () => db.backup(join(dir, 'copy'))]
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    expect(await (await open({ dir })).state.get('k')).toBe('')
  })

  it('waits for writes that are under way', async () => {
    const dir = await scratch()
    const db = await openPersistence({ dir, config: false })
    const writes = Array.from({ length: 50 }, (_, i) => db.state.set(`k${i}`, i))
    await db.close()
    await Promise.all(writes)
    expect((await (await open({ dir })).state.keys()).length).toBe(50)
  })

  it('is what `await using` does', async () => {
    const dir = await scratch()
    let state: StateStore
    {
      await using db = await openPersistence({ dir, config: false })
      state = db.state
      await state.set('k', 1)
    }
    await expect(state.get('k')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  it('closes all where one fails, and says so', async () => {
    const close = (): Promise<void> => Promise.reject(new Error('stays open'))
    STATE_STORES.register('sticky', () => fakeState({ close }), { override: true })
    const dir = await scratch()
    const db = await openPersistence({ dir, config: false, state: 'sticky' })
    await expect(db.close()).rejects.toThrow('stays open')
    expect(openFiles(dir) ?? []).toEqual([])
  })
})

const IDS = [
  '',
  'a',
  'A',
  'a ',
  'a/b',
  '../a',
  '/',
  ':',
  'a:',
  ':a',
  '%',
  '_',
  '*',
  "'; DROP TABLE x; --",
  '"',
  '\\',
  '\n',
  'é',
  'e\u0301',
  '🦊',
  '__proto__',
  'null',
  'x'.repeat(512),
]

for (const backend of ['memory', 'sqlite'] as const) {
  const openOn = async (): Promise<Persistence> =>
    open(backend === 'memory' ? MEMORY : { dir: await scratch(), durability: 'relaxed' })

  describe(`workspaces on ${backend}`, () => {
    it('share nothing, whatever their ids hold', async () => {
      const db = await openOn()
      await Promise.all(IDS.map((id) => fill(db.workspace(id), id)))
      for (const id of IDS) {
        const view = db.workspace(id)
        expect(view.workspaceId).toBe(id)
        expect((await view.conversation.listSessions()).items.map(({ name }) => name)).toEqual([id])
        const { messages, documents } = await view.buildContext('s', { embedding: [1, 0] })
        expect(messages.map(({ content }) => content)).toEqual([id, id])
        expect(documents.map(({ content }) => content)).toEqual([id, id])
        expect(await view.state.getMany(['k', 'l'])).toEqual([id, id])
        expect(await view.state.keys()).toEqual(['k', 'l'])
      }
      expect((await db.conversation.listSessions()).items.map(({ name }) => name)).toEqual([''])
    })

    it('are deleted one by one, with an exact report, the default one included', async () => {
      const db = await openOn()
      await Promise.all(IDS.map((id) => fill(db.workspace(id), id)))
      await db.workspace('a').conversation.createSession({ id: 'empty' })
      await db.workspace('a').knowledge.createCollection('empty', { dimension: 1 })
      await db.workspace('a').state.set('more', 1)
      await db.workspace('a').state.hset('hash', 'field', 1)
      const order = ['a', ...IDS.filter((id) => id !== 'a')]
      for (const [i, id] of order.entries()) {
        const more = id === 'a' ? { sessions: 2, collections: 2, keys: 4 } : {}
        expect(await db.deleteWorkspace(id)).toEqual({ ...FILLED, ...more })
        expect(await db.deleteWorkspace(id)).toEqual(NOTHING)
        const next = order[i + 1]
        if (next !== undefined) expect(await db.workspace(next).state.get('k')).toBe(next)
      }
    })

    it('can be filled again after they were deleted', async () => {
      const db = await openOn()
      await fill(db.workspace('w'), 'old')
      await db.deleteWorkspace('w')
      await fill(db.workspace('w'), 'new')
      expect(await db.deleteWorkspace('w')).toEqual(FILLED)
      expect(await db.deleteWorkspace('never there')).toEqual(NOTHING)
    })
  })
}

describe('a workspace', () => {
  it('has an id of at most 512 bytes of text', async () => {
    const db = await open(MEMORY)
    for (const id of ['a\0', '\ud800', 'é'.repeat(257)]) {
      expect(() => db.workspace(id)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error)
      await expect(db.deleteWorkspace(id)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    for (const id of [undefined, null, 5, {}] as never[]) {
      expect(() => db.workspace(id)).toThrow(TypeError)
      await expect(db.deleteWorkspace(id)).rejects.toThrow(TypeError)
    }
  })

  it('counts from the persistence, not from the workspace it was opened in', async () => {
    const db = await open({ ...MEMORY, workspace: 'w' })
    await fill(db, 'w')
    expect(await db.workspace('').state.get('k')).toBeUndefined()
    expect(await db.workspace('w').state.get('k')).toBe('w')
    expect(await db.deleteWorkspace('')).toEqual(NOTHING)
    expect(await db.deleteWorkspace('w')).toEqual(FILLED)
  })

  it('loses what plugins have stored in it too, and no other does', async () => {
    const db = await open({ dir: await scratch(), workspace: 'home' })
    const encryption = { current: 'a', keys: { a: generateKey() } }
    const hosts = {
      home: new PluginHost({ state: db.state }),
      unnamed: new PluginHost({ state: db.workspace('').state, encryption }),
      own: new PluginHost({ state: db.workspace('w').state }),
    }
    const scopes = { home: ['w', 'home', ''], unnamed: ['w', 'w2', ''], own: ['w', 'any'] }
    for (const [name, workspaces] of Object.entries(scopes)) {
      for (const workspaceId of workspaces) {
        const { storage } = hosts[name as keyof typeof hosts].session({ workspaceId, pluginId: 'a/p' })
        await storage.setText('gone', 'x', { ttl: 0.001 })
        await storage.setText('k', 'v')
      }
    }
    const left = async (): Promise<string[]> => {
      const found: string[] = []
      for (const [name, host] of Object.entries(hosts))
        for await (const { workspaceId } of host.scopes()) found.push(`${name} ${workspaceId}`)
      return found.toSorted()
    }
    expect(await db.deleteWorkspace('w')).toEqual({ ...NOTHING, pluginScopes: 4 })
    expect(await left()).toEqual(['home ', 'home home', 'unnamed ', 'unnamed w2'])
    expect(await db.deleteWorkspace('w')).toEqual(NOTHING)
    expect(await db.deleteWorkspace('')).toEqual({ ...NOTHING, pluginScopes: 2 })
    expect(await left()).toEqual(['home home', 'unnamed w2'])
    expect(await hosts.home.session({ workspaceId: 'home', pluginId: 'a/p' }).storage.getText('k')).toBe('v')
    expect(await db.deleteWorkspace('home')).toEqual({ ...NOTHING, pluginScopes: 1 })
  })

  it('closes for itself', async () => {
    const db = await open(MEMORY)
    const view = db.workspace('w')
    await view.state.close()
    await expect(view.state.get('k')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    await db.workspace('w').state.set('k', 1)
    await db.ping()
  })
})

describe('backup', () => {
  it('is a folder that openPersistence opens, with every workspace', async () => {
    const root = await scratch()
    const db = await open({ dir: join(root, 'data') })
    await fill(db, 'default')
    await fill(db.workspace('w'), 'w')
    const target = join(root, 'new', 'nested', 'copy')
    const files = await db.backup(relative(process.cwd(), target))
    expect(files).toEqual(['conversation', 'knowledge', 'state'].map((kind) => join(target, `${kind}.db`)))
    expect(readdirSync(join(root, 'new', 'nested'))).toEqual(['copy'])
    expect(readdirSync(target).toSorted()).toEqual(['conversation.db', 'knowledge.db', 'state.db'])
    const copy = await open({ dir: target })
    for (const id of ['', 'w']) {
      const [a, b] = [db.workspace(id), copy.workspace(id)]
      expect(await b.conversation.getSession('s')).toEqual(await a.conversation.getSession('s'))
      expect(await b.conversation.getMessages('s')).toEqual(await a.conversation.getMessages('s'))
      expect(await b.knowledge.get('c', ['d', 'e'])).toEqual(await a.knowledge.get('c', ['d', 'e']))
      expect(await b.state.getMany(['k', 'l'])).toEqual(await a.state.getMany(['k', 'l']))
    }
    await copy.state.set('k', 'changed')
    expect(await db.state.get('k')).toBe('default')
  })

  it('is each store at one moment while writers go on', async () => {
    const root = await scratch()
    const db = await open({ dir: join(root, 'data'), durability: 'relaxed' })
    await fill(db)
    const filler = Array.from({ length: 500 }, (_, i) => ({ role: 'user', content: `${i} ${'x'.repeat(8_000)}` }))
    await db.conversation.addMessages('s', filler)
    const stop = new AbortController()
    let n = 0
    const write = async (): Promise<void> => {
      for (; !stop.signal.aborted; n++) {
        await Promise.all([
          db.conversation.addMessages(
            's',
            ['question', 'answer'].map((role) => ({ role, content: `${n}` })),
          ),
          db.knowledge.insert(
            'c',
            ['left', 'right'].map((side) => ({ id: `${n}-${side}`, content: '', embedding: [1, n] })),
          ),
          db.state.set('first', n).then(() => db.state.set('second', n)),
        ])
      }
    }
    const writing = write()
    const before = n
    const targets = ['one', 'two', 'three'].map((name) => join(root, name))
    for (const target of targets) await db.backup(target)
    const written = n - before
    stop.abort()
    await writing
    expect(written, 'writers went on meanwhile').toBeGreaterThan(3)
    const original = await db.conversation.getMessages('s')
    for (const target of targets) {
      const copy = await open({ dir: target })
      const messages = await copy.conversation.getMessages('s')
      expect(messages.length % 2, 'no half pair').toBe(0)
      expect(messages).toEqual(original.slice(0, messages.length))
      expect((await copy.conversation.getSession('s'))!.lastSeq).toBe(messages.length)
      const ids = await Array.fromAsync(documentIds(copy))
      const pairs = ids.filter((id) => id.endsWith('left')).map((id) => id.replace('left', 'right'))
      expect(ids.filter((id) => id.endsWith('right'))).toEqual(pairs)
      const [first = -1, second = -1] = await copy.state.getMany<number>(['first', 'second'])
      expect([0, 1]).toContain(first - second)
    }
  })

  it('leaves an existing file or a folder that is not empty as it is, and takes an empty one', async () => {
    const root = await scratch()
    const db = await open({ dir: join(root, 'data') })
    await mkdir(join(root, 'full'))
    await writeFile(join(root, 'full', 'mine'), 'kept')
    await writeFile(join(root, 'file'), 'kept')
    await mkdir(join(root, 'empty'))
    await symlink(join(root, 'empty'), join(root, 'link'))
    const before = readdirSync(root).toSorted()
    for (const target of ['full', 'file', 'file/below', 'data', 'link', '.']) {
      const error = await refusal(db.backup(join(root, target)))
      expect.soft(error.code, target).toBe('CONFLICT')
      expect.soft(error.outcome).toBe('not-applied')
    }
    expect(readdirSync(root).toSorted()).toEqual(before)
    expect([readFileSync(join(root, 'full', 'mine'), 'utf8'), readFileSync(join(root, 'file'), 'utf8')]).toEqual(['kept', 'kept'])
    expect(await db.backup(join(root, 'empty'))).toHaveLength(3)
    await expect(db.backup(join(root, 'empty'))).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('is refused before anything is copied', async () => {
    const root = await scratch()
    await writeFile(join(root, 'mine'), 'kept')
    await expect((await open(MEMORY)).backup(root)).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('needs the name of a folder', async () => {
    const db = await open(MEMORY)
    await expect(db.backup('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(db.backup('a\0b')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(db.backup(undefined as never)).rejects.toThrow(TypeError)
  })

  it('to one folder twice at the same time succeeds once', async () => {
    const root = await scratch()
    const db = await open({ dir: join(root, 'data') })
    const results = await Promise.allSettled([db.backup(join(root, 'copy')), db.backup(join(root, 'copy'))])
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    const lost = results.find((result) => result.status === 'rejected')
    expect(lost?.reason).toMatchObject({ code: 'CONFLICT' })
    expect(readdirSync(root).toSorted()).toEqual(['copy', 'data'])
    await (await open({ dir: join(root, 'copy') })).ping()
  })

  it('of a backend that cannot is UNSUPPORTED and makes nothing', async () => {
    const root = await scratch()
    const dir = join(root, 'data')
    const mixes: PersistenceOptions[] = [MEMORY, { dir, state: 'memory' }, { dir, conversation: 'memory' }]
    for (const options of mixes) {
      const db = await open(options)
      await expect(db.backup(join(root, 'new', 'nested', 'copy'))).rejects.toMatchObject({ code: 'UNSUPPORTED' })
      expect(existsSync(join(root, 'new'))).toBe(false)
    }
    expect(readdirSync(root)).toEqual(['data'])
  })

  it('that fails midway leaves nothing, and what was there stays', async () => {
    const root = await scratch()
    const failing = async (folder: string): Promise<string[]> => {
      await writeFile(join(folder, 'state.db'), 'half')
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    }
    const db = await open({ dir: join(root, 'data'), state: await stateStore({ backup: failing }) })
    await fill({ ...db.workspace(''), state: await STATE_STORES.create('memory') })
    await mkdir(join(root, 'there'))
    for (const target of ['new/nested/copy', 'there/copy', 'there']) {
      await expect(db.backup(join(root, target))).rejects.toMatchObject({ code: 'UNAVAILABLE', kind: 'state' })
      expect(readdirSync(root).toSorted()).toEqual(['data', 'there'])
      expect(readdirSync(join(root, 'there'))).toEqual([])
    }
    expect((await db.conversation.getMessages('s')).length).toBe(2)
  })

  it('that is killed midway leaves no folder of that name, and the next one succeeds', async () => {
    const root = await scratch()
    const [dir, target] = [join(root, 'data'), join(root, 'copies', 'copy')]
    const child = run('test/fixtures/stuck-backup.ts', [dir, target])
    expect(await child.lines.next()).toMatchObject({ value: 'stuck' })
    child.process.kill('SIGKILL')
    await child.ended
    const left = readdirSync(join(root, 'copies'))
    expect(left).toEqual([expect.stringMatching(/^\.holdfast-backup-/)])
    const db = await open({ dir })
    await db.backup(target)
    expect(readdirSync(join(root, 'copies')).toSorted()).toEqual([...left, 'copy'])
  })
})

async function* documentIds({ knowledge }: Workspace): AsyncGenerator<string> {
  let cursor: string | undefined
  do {
    const page = await knowledge.list('c', { limit: 1_000, cursor })
    for (const { id } of page.items) yield id
    cursor = page.cursor
  } while (cursor !== undefined)
}

describe('twenty processes', () => {
  it('open one new folder at the same moment', async () => {
    const dir = join(await scratch(), 'new', 'data')
    const names = Array.from({ length: 20 }, (_, i) => `process ${i}`)
    const children = names.map((name) => run('test/fixtures/open-together.ts', [dir, name]))
    for (const child of children) expect(await child.lines.next()).toMatchObject({ value: 'ready' })
    for (const child of children) child.process.stdin!.write('go\n')
    for (const child of children) expect(await child.ended).toEqual({ code: 0, signal: null, stderr: '' })
    const db = await open({ dir })
    const messages = await db.conversation.getMessages('s')
    expect(new Set(messages.map(({ content }) => content))).toEqual(new Set(names))
    expect(messages.map(({ seq }) => seq)).toEqual(names.map((_, i) => i + 1))
    expect(await db.knowledge.count('k')).toBe(20)
    expect(await db.state.get('count')).toBe(20)
  })
})
