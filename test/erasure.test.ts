/** What a tenant or a person leaves behind: `deleteUser`, `deleteWorkspace`, `listWorkspaces`. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { openPersistence, StoreRegistry, type KnowledgeBackend, type KnowledgeStore, type Persistence } from '../src/index.ts'
import { create as createKnowledge } from '../src/knowledge/backends/memory.ts'
import { override } from './conformance/broken/knowledge-wrappers.ts'
import { fakeState } from './registry-support.ts'

const MEMORY = { conversation: 'memory', knowledge: 'memory', state: 'memory', config: false } as const

async function open(knowledge: KnowledgeStore | 'memory' = 'memory'): Promise<Persistence> {
  const db = await openPersistence({ ...MEMORY, knowledge })
  onTestFinished(() => db.close())
  return db
}

/** Knowledge in memory on a backend that differs from it. */
async function knowledgeWhere(
  change: (backend: KnowledgeBackend) => Partial<KnowledgeBackend>,
  capabilities: Partial<KnowledgeBackend['capabilities']> = {},
): Promise<KnowledgeStore> {
  const stores = new StoreRegistry('knowledge')
  stores.register('other', async (options: object, context) => {
    const backend = await createKnowledge(options, context)
    return override(backend, { capabilities: { ...backend.capabilities, ...capabilities }, ...change(backend) })
  })
  return stores.create('other')
}

async function note(db: Pick<Persistence, 'knowledge'>, collection: string, ...owners: readonly unknown[]): Promise<void> {
  const fields = collection === 'declared' ? { owner: 'string' as const } : {}
  await db.knowledge.createCollection(collection, { dimension: 2, fields })
  await db.knowledge.insert(
    collection,
    owners.map((owner, i) => ({ id: `d${i}`, content: 'x', embedding: [1, i], metadata: { owner } })),
  )
}

async function talk({ conversation }: Pick<Persistence, 'conversation'>, id: string, userId: string): Promise<void> {
  await conversation.createSession({ id, userId })
  await conversation.addMessages(id, [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ])
}

describe('deleteUser', () => {
  it('removes sessions, messages and documents of one user in one workspace, and says how many', async () => {
    const db = await open()
    const other = db.workspace('other')
    for (const place of [db, other]) {
      await talk(place, 's1', 'ada')
      await talk(place, 's2', 'ada')
      await talk(place, 's3', 'Ada')
      await note(place, 'notes', 'ada', 'ben', 'ada ', undefined, null, 1)
      await note(place, 'more', 'ada', 'ada')
      await place.state.set('ada', 1)
    }
    const report = await other.deleteUser('ada', { documentField: 'owner' })
    expect(report).toEqual({ sessions: 2, messages: 4, documents: 3, unreached: [] })
    expect((await other.conversation.listSessions()).items.map(({ id }) => id)).toEqual(['s3'])
    expect([await other.knowledge.count('notes'), await other.knowledge.count('more')]).toEqual([5, 0])
    expect(await other.state.get('ada')).toBe(1)
    expect(await db.knowledge.count('notes', { owner: 'ada' })).toBe(1)
    expect(await db.deleteUser('ada')).toEqual({ sessions: 2, messages: 4 })
    expect(await db.knowledge.count('more')).toBe(2)
    expect(await db.deleteUser('ada', { documentField: 'owner' })).toMatchObject({ sessions: 0, documents: 3 })
  })

  it('reaches nested fields and arrays where the backend does', async () => {
    const db = await open()
    await note(db, 'notes', { id: 'ada' }, ['ben', 'ada'], ['ben'])
    expect(await db.deleteUser('ada', { documentField: 'owner.id' })).toMatchObject({ documents: 1 })
    expect(await db.deleteUser('ada', { documentField: 'owner' })).toMatchObject({ documents: 1 })
    expect(await db.knowledge.count('notes')).toBe(1)
  })

  it('names every collection that it could not reach', async () => {
    const filter = { exists: true, null: true, arrays: false, nested: false, declared: true }
    const db = await open(await knowledgeWhere(() => ({}), { filter }))
    await note(db, 'declared', 'ada', 'ben')
    await note(db, 'undeclared', 'ada')
    const report = await db.deleteUser('ada', { documentField: 'owner' })
    expect(report).toMatchObject({
      documents: 1,
      unreached: [{ collection: 'undeclared', reason: expect.stringContaining('"owner" is not declared') as string }],
    })
    expect(await db.deleteUser('ada', { documentField: 'owner.id' })).toMatchObject({
      documents: 0,
      unreached: [{ collection: 'declared' }, { collection: 'undeclared' }],
    })

    const unable = await open(await knowledgeWhere(() => ({}), { deleteByFilter: false }))
    await note(unable, 'notes', 'ada')
    await talk(unable, 's', 'ada')
    expect(await unable.deleteUser('ada', { documentField: 'owner' })).toMatchObject({
      sessions: 1,
      documents: 0,
      unreached: [{ collection: 'notes', reason: expect.stringContaining('delete by filter') as string }],
    })
  })

  it('passes over a collection that goes meanwhile, and tells of an outage', async () => {
    const going = await open(
      await knowledgeWhere((backend) => ({
        listCollections: async (workspace) => {
          const found = await backend.listCollections(workspace)
          await backend.deleteCollection(workspace, 'going')
          return found
        },
      })),
    )
    await note(going, 'going', 'ada')
    await note(going, 'staying', 'ada')
    expect(await going.deleteUser('ada', { documentField: 'owner' })).toMatchObject({ documents: 1, unreached: [] })

    const broken = await open(await knowledgeWhere(() => ({ listCollections: () => Promise.reject(new Error('gone')) })))
    await talk(broken, 's', 'ada')
    await expect(broken.deleteUser('ada', { documentField: 'owner' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(await broken.conversation.getSession('s')).toBeUndefined()
  })

  it('checks everything before it deletes anything', async () => {
    const db = await open()
    await talk(db, 's', 'ada')
    const wrong = ['', '$or', '$not', 'a..b', '.', 'a\0', 5, null]
    for (const documentField of wrong) {
      const refused = db.deleteUser('ada', { documentField: documentField as string })
      await expect(refused, String(documentField)).rejects.toMatchObject({
        name: expect.stringMatching(/^(?:HoldfastError|TypeError)$/) as string,
      })
    }
    for (const id of ['', 'x'.repeat(513), '\ud800', 5]) {
      await expect(db.deleteUser(id as string, { documentField: 'owner' })).rejects.toMatchObject({
        name: expect.stringMatching(/^(?:HoldfastError|TypeError)$/) as string,
      })
    }
    expect(await db.conversation.getSession('s')).toBeDefined()
    expect(await db.deleteUser('ada', { documentField: '__proto__' })).toMatchObject({ documents: 0, unreached: [] })
  })
})

describe('deleteWorkspace', () => {
  it('leaves out the number of documents where the backend cannot count', async () => {
    const db = await open(await knowledgeWhere(() => ({ count: undefined as never }), { count: false }))
    expect(await db.deleteWorkspace('')).toMatchObject({ collections: 0, documents: 0 })
    await note(db, 'notes', 'ada')
    const report = await db.deleteWorkspace('')
    expect(report).toEqual({ sessions: 0, messages: 0, collections: 1, keys: 0, pluginScopes: 0 })
  })

  it('counts over attempts, and says that the outcome is unknown once a collection is gone', async () => {
    const { HoldfastError } = await import('../src/index.ts')
    let failures = 0
    const outage = (): Promise<never> => Promise.reject(new HoldfastError('UNAVAILABLE', 'no', { outcome: 'not-applied' }))
    const flaky = await knowledgeWhere((backend) => ({
      deleteCollection: (workspace, name) =>
        name === 'b' && failures-- > 0 ? outage() : backend.deleteCollection(workspace, name),
    }))
    const db = await open(flaky)
    for (const name of ['a', 'b']) await note(db, name, 'ada')
    failures = 1
    expect(await db.knowledge.clear()).toEqual({ collections: 2, documents: 2 })
    for (const name of ['a', 'b']) await note(db, name, 'ada')
    failures = 100
    await expect(db.knowledge.clear()).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
  })
})

describe('listWorkspaces', () => {
  it('merges the three stores, page by page, in bytewise order', async () => {
    const db = await open()
    const names = ['', 'a', 'b', 'c', '\uffee', '\u{1f600}']
    await db.workspace('').state.set('k', 1)
    await db.workspace('a').conversation.createSession({ id: 's' })
    for (const name of ['b', '\u{1f600}']) await db.workspace(name).knowledge.createCollection('c', { dimension: 1 })
    for (const name of ['c', 'a', '\uffee']) await db.workspace(name).state.set('k', 1)
    for (const limit of [1, 2, 3, 6, 7]) {
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await db.listWorkspaces({ limit, cursor })
        expect(page.items.length).toBeLessThanOrEqual(limit)
        found.push(...page.items)
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found, `pages of ${limit}`).toEqual(names)
    }
    expect(await db.listWorkspaces({ limit: 6 })).toEqual({ items: names })
    await expect(db.listWorkspaces({ limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(db.listWorkspaces({ cursor: 'x' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('is UNSUPPORTED where one of the stores cannot', async () => {
    const stores = new StoreRegistry('state')
    stores.register('fake', () => fakeState({}))
    const state = await stores.create('fake')
    const db = await openPersistence({ ...MEMORY, state })
    onTestFinished(() => db.close())
    await expect(db.listWorkspaces()).rejects.toMatchObject({ code: 'UNSUPPORTED', kind: 'state', backend: 'fake' })
  })

  it('does not list a workspace whose keys have all expired', async () => {
    const db = await open()
    await db.workspace('w').state.set('k', 1, { ttl: 0.02 })
    expect((await db.listWorkspaces()).items).toEqual(['w'])
    await new Promise((resolve) => setTimeout(resolve, 40))
    expect((await db.listWorkspaces()).items).toEqual([])
  })
})
