/** Creating, reading, patching and deleting sessions. */
import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { expectError, expectNotApplied, idsOf, range, sameJson, said, stateOf, talk, type ConversationCase } from './support.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const FULL = { id: 's', userId: 'u', agentId: 'a', name: 'n', state: { step: 1 }, metadata: { tag: 'x' } }

const creating: ConversationCase[] = [
  {
    id: 'conversation/session/create-defaults',
    sentence:
      'A session created with nothing has a new UUID, empty state and metadata, lastSeq 0, version 1 and no optional field.',
    async run({ store }) {
      const before = Date.now()
      const session = await store.createSession({})
      match(session.id, UUID)
      const { id, createdAt, updatedAt } = session
      deepStrictEqual(session, { id, state: {}, metadata: {}, lastSeq: 0, version: 1, createdAt, updatedAt })
      ok(createdAt instanceof Date && Math.abs(createdAt.getTime() - before) < 60_000, 'createdAt is not now')
      strictEqual(updatedAt.getTime(), createdAt.getTime())
      deepStrictEqual(await store.getSession(id), session)
      notStrictEqual((await store.createSession({})).id, id)
    },
  },
  {
    id: 'conversation/session/create-fields',
    sentence: 'A session keeps every field it was created with.',
    async run({ store }) {
      const { createdAt, updatedAt, ...session } = await store.createSession(FULL)
      deepStrictEqual(session, { ...FULL, lastSeq: 0, version: 1 })
      deepStrictEqual(await store.getSession('s'), { ...session, createdAt, updatedAt })
    },
  },
  {
    id: 'conversation/session/create-conflict',
    sentence: 'Creating a session whose id is taken is a CONFLICT and leaves the session and its messages as they are.',
    async run({ store }) {
      await store.createSession(FULL)
      await store.addMessage('s', said('hello'))
      const before = await stateOf(store, 's')
      await expectNotApplied('CONFLICT', () => store.createSession({ id: 's', name: 'other' }), store)
      await expectNotApplied('CONFLICT', () => store.createSession(FULL), store)
      deepStrictEqual(await stateOf(store, 's'), before)
    },
  },
  {
    id: 'conversation/session/create-race',
    sentence: 'Of many that create one id at once, exactly one succeeds.',
    async run({ store }) {
      const attempts = range(1, 10).map((n) => store.createSession({ id: 's', name: `${n}` }))
      const settled = await Promise.allSettled(attempts)
      const created = settled.filter((result) => result.status === 'fulfilled')
      strictEqual(created.length, 1)
      deepStrictEqual(await store.getSession('s'), created[0]!.value)
      for (const result of settled) {
        if (result.status === 'rejected') await expectError('CONFLICT', () => Promise.reject(result.reason as Error), store)
      }
    },
  },
  {
    id: 'conversation/session/get-missing',
    sentence: 'A session that does not exist is undefined, not an error.',
    async run({ store }) {
      strictEqual(await store.getSession('missing'), undefined)
    },
  },
]

const patching: ConversationCase[] = [
  {
    id: 'conversation/session/update-keeps-others',
    sentence: 'A patch changes the fields it names; every other field stays.',
    async run({ store }) {
      const patches = { userId: 'u2', agentId: 'a2', name: 'n2', state: { step: 2 }, metadata: { tag: 'y', more: [] } }
      for (const [field, value] of Object.entries(patches)) {
        const before = await store.createSession({ ...FULL, id: field })
        const after = await store.updateSession(field, { [field]: value })
        deepStrictEqual(after, { ...before, [field]: value, version: 2, updatedAt: after.updatedAt })
        deepStrictEqual(await store.getSession(field), after)
      }
    },
  },
  {
    id: 'conversation/session/update-null',
    sentence: 'In a patch null removes an optional field, and undefined leaves a field as it is.',
    async run({ store }) {
      const before = await store.createSession(FULL)
      const kept = { userId: undefined, agentId: undefined, state: undefined, metadata: undefined }
      const after = await store.updateSession('s', { name: null, ...kept })
      const { name: _, ...others } = before
      deepStrictEqual(after, { ...others, version: 2, updatedAt: after.updatedAt })
      await store.updateSession('s', { userId: null, agentId: null })
      const bare = await store.getSession('s')
      deepStrictEqual([bare && 'userId' in bare, bare && 'agentId' in bare], [false, false])
    },
  },
  {
    id: 'conversation/session/update-replaces-whole',
    sentence: 'A patch replaces state and metadata whole, and {} stays {}.',
    async run({ store }) {
      await store.createSession({ id: 's', state: { a: 1, b: { c: 1 } }, metadata: { a: 1 } })
      deepStrictEqual((await store.updateSession('s', { state: { b: { d: 2 } } })).state, { b: { d: 2 } })
      await store.updateSession('s', { state: {}, metadata: {} })
      const session = await store.getSession('s')
      deepStrictEqual([session?.state, session?.metadata], [{}, {}])
    },
  },
  {
    id: 'conversation/session/update-unknown',
    sentence: 'Updating a session that does not exist is NOT_FOUND and creates nothing.',
    async run({ store }) {
      await expectNotApplied('NOT_FOUND', () => store.updateSession('missing', { name: 'n' }), store)
      await expectNotApplied('NOT_FOUND', () => store.updateSession('missing', { name: 'n' }, { ifVersion: 1 }), store)
      strictEqual(await store.getSession('missing'), undefined)
    },
  },
  {
    id: 'conversation/session/update-version',
    sentence: 'Each update adds 1 to version; with ifVersion a stale one is a CONFLICT and changes nothing.',
    async run({ store }) {
      await store.createSession(FULL)
      strictEqual((await store.updateSession('s', { name: 'two' }, { ifVersion: 1 })).version, 2)
      const current = await store.updateSession('s', { name: 'three' })
      strictEqual(current.version, 3)
      for (const ifVersion of [1, 2, 4]) {
        await expectNotApplied('CONFLICT', () => store.updateSession('s', { name: 'stale' }, { ifVersion }), store)
      }
      deepStrictEqual(await store.getSession('s'), current)
    },
  },
  {
    id: 'conversation/session/update-race',
    sentence: 'Of many updates with the same ifVersion exactly one succeeds.',
    async run({ store }) {
      await store.createSession(FULL)
      const attempts = range(1, 10).map((n) => store.updateSession('s', { state: { n } }, { ifVersion: 1 }))
      const settled = await Promise.allSettled(attempts)
      const won = settled.filter((result) => result.status === 'fulfilled')
      strictEqual(won.length, 1)
      deepStrictEqual(await store.getSession('s'), won[0]!.value)
    },
  },
  {
    id: 'conversation/session/update-concurrent-fields',
    sentence: 'Concurrent updates of different fields all survive, and each counts once in version.',
    async run({ store }) {
      await store.createSession(FULL)
      const patches = [{ userId: 'u2' }, { agentId: 'a2' }, { name: 'n2' }, { state: { step: 2 } }, { metadata: { tag: 'y' } }]
      await Promise.all([...patches.map((patch) => store.updateSession('s', patch)), store.addMessage('s', said('hello'))])
      const { createdAt: _, updatedAt: __, ...session } = (await store.getSession('s'))!
      deepStrictEqual(session, { id: 's', ...Object.assign({}, ...patches), lastSeq: 1, version: 6 })
    },
  },
]

const merging: ConversationCase[] = [
  {
    id: 'conversation/session/upsert-creates',
    sentence: 'upsertSession creates a session that does not exist, as createSession would.',
    async run({ store }) {
      const created = await store.upsertSession(FULL)
      const { createdAt, updatedAt } = created
      deepStrictEqual(created, { ...FULL, lastSeq: 0, version: 1, createdAt, updatedAt })
      deepStrictEqual(await store.getSession('s'), created)
    },
  },
  {
    id: 'conversation/session/upsert-merges',
    sentence: 'upsertSession of a session that exists changes the fields it is given; the others, and the messages, stay.',
    async run({ store }) {
      await store.createSession(FULL)
      await store.addMessage('s', said('hello'))
      const before = await stateOf(store, 's')
      const after = await store.upsertSession({ id: 's', name: 'renamed' })
      deepStrictEqual(after, { ...before.session, name: 'renamed', version: 2, updatedAt: after.updatedAt })
      deepStrictEqual(await stateOf(store, 's'), { session: after, messages: before.messages })
    },
  },
  {
    id: 'conversation/session/upsert-merges-objects',
    sentence: 'upsertSession merges state and metadata at their top level: given keys replace, others stay.',
    async run({ store }) {
      await store.createSession({ id: 's', state: { z: 1, a: { b: 1 } }, metadata: { kept: true } })
      const { state, metadata } = await store.upsertSession({ id: 's', state: { a: { c: 2 }, n: null }, metadata: {} })
      sameJson(state, { z: 1, a: { c: 2 }, n: null })
      deepStrictEqual(metadata, { kept: true })
    },
  },
  {
    id: 'conversation/session/upsert-race',
    sentence: 'Many upserts of one new id at once all succeed, and every field given is there.',
    async run({ store }) {
      const fields = [{ userId: 'u' }, { agentId: 'a' }, { name: 'n' }, { state: { step: 1 } }, { metadata: { tag: 'x' } }]
      await Promise.all(fields.map((field) => store.upsertSession({ id: 's', ...field })))
      const { createdAt: _, updatedAt: __, version, ...session } = (await store.getSession('s'))!
      deepStrictEqual(session, { ...FULL, lastSeq: 0 })
      strictEqual(version, fields.length)
    },
  },
]

const deleting: ConversationCase[] = [
  {
    id: 'conversation/session/delete',
    sentence: 'deleteSession removes a session with its messages, tells whether it was there, and leaves the others.',
    async run({ store }) {
      await talk(store, 'one', 3)
      await talk(store, 'two', 2)
      const two = await stateOf(store, 'two')
      strictEqual(await store.deleteSession('one'), true)
      deepStrictEqual(await stateOf(store, 'one'), { session: undefined, messages: [] })
      strictEqual(await store.deleteSession('one'), false)
      strictEqual(await store.deleteSession('missing'), false)
      deepStrictEqual(await stateOf(store, 'two'), two)
      deepStrictEqual(idsOf((await store.listSessions()).items), ['two'])
    },
  },
  {
    id: 'conversation/session/delete-and-recreate',
    sentence: 'A session created again under the id of a deleted one starts empty, at seq 1.',
    async run({ store }) {
      await talk(store, 's', 3)
      await store.deleteSession('s')
      await expectNotApplied('NOT_FOUND', () => store.addMessage('s', said('late')), store)
      strictEqual((await store.createSession({ id: 's' })).lastSeq, 0)
      deepStrictEqual(await store.getMessages('s'), [])
      strictEqual((await store.addMessage('s', said('again', 'm1'))).seq, 1)
    },
  },
]

export const sessionCases: ConversationCase[] = [...creating, ...patching, ...merging, ...deleting]
