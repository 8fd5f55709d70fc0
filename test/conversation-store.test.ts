/** What the conversation store adds to a backend: checks, retries, derived operations, views. */
import { describe, expect, it } from 'vitest'
import { create as createMemory } from '../src/conversation/backends/memory.ts'
import type { ConversationBackend, NewMessage, Session } from '../src/conversation/contract.ts'
import { ConversationStore } from '../src/conversation/store.ts'
import { HoldfastError, type Outcome } from '../src/errors.ts'
import type { FactoryContext } from '../src/store/factory.ts'

const CONTEXT: FactoryContext = {
  kind: 'conversation',
  name: 'memory',
  loadClient: () => Promise.reject(new Error('no client is needed')),
}

async function memory(): Promise<ConversationBackend> {
  return createMemory({}, CONTEXT)
}

async function open(
  changes: (backend: ConversationBackend) => Partial<ConversationBackend> = () => ({}),
): Promise<ConversationStore> {
  return over(await memory(), changes)
}

/** A store over a backend with some of its methods replaced. */
function over(
  backend: ConversationBackend,
  changes: (backend: ConversationBackend) => Partial<ConversationBackend>,
): ConversationStore {
  const changed = changes(backend)
  const mixed = new Proxy(backend, {
    get(target, name) {
      const value: unknown = name in changed ? Reflect.get(changed, name) : Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  return new ConversationStore(mixed, { name: 'memory' })
}

function outage(outcome?: Outcome): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the connection was lost', { outcome })
}

/** Does the work, and loses the answer the first `times` times. */
function losingAnswers<A extends unknown[], T>(work: (...args: A) => Promise<T>, times = 1): (...args: A) => Promise<T> {
  let left = times
  return async (...args) => {
    const result = await work(...args)
    if (left-- > 0) throw outage()
    return result
  }
}

const code = (expected: string, outcome?: Outcome): object =>
  expect.objectContaining(outcome === undefined ? { code: expected } : { code: expected, outcome })

describe('checks of values', () => {
  it('names the path of what JSON cannot hold', async () => {
    const store = await open()
    await store.createSession({ id: 's' })
    await expect(store.createSession({ metadata: { x: Number.NaN } })).rejects.toThrow(/metadata\.x/)
    await expect(store.createSession({ state: { a: [1n] } })).rejects.toThrow(/state\.a\[0\]/)
    await expect(store.addMessages('s', [{ role: 'user' }, { role: 'user', parts: [new Map()] }])).rejects.toThrow(
      /messages\[1\]\.parts\[0\] is a Map/,
    )
    await expect(store.updateMessage('s', 'm', { metadata: { f: () => 1 } })).rejects.toThrow(/metadata\.f/)
  })

  it.each<[string, NewMessage]>([
    ['content that is a number', { role: 'user', content: 1 as never }],
    ['parts that are no array', { role: 'user', parts: {} as never }],
    ['metadata that is an array', { role: 'user', metadata: [] as never }],
    ['a toolCallId that is null', { role: 'user', toolCallId: null as never }],
    ['a role that is missing', {} as never],
    ['a createdAt that is a number', { role: 'user', createdAt: 1 as never }],
    ['a message that is null', null as never],
  ])('refuses %s as a TypeError', async (_, message) => {
    const store = await open()
    await store.createSession({ id: 's' })
    await expect(store.addMessage('s', message)).rejects.toThrow(TypeError)
    expect((await store.getSession('s'))?.lastSeq).toBe(0)
  })
})

describe('a toolCallId', () => {
  it.each(['', 'a\0b', '\ud800', 'x'.repeat(513)])('is an id like others, and so never %j', async (toolCallId) => {
    const store = await open()
    await store.createSession({ id: 's' })
    await store.addMessage('s', { id: 'm', role: 'tool', toolCallId: 'x'.repeat(512) })
    const refused = code('INVALID_ARGUMENT', 'not-applied')
    await expect(store.addMessage('s', { role: 'tool', toolCallId })).rejects.toEqual(refused)
    await expect(store.updateMessage('s', 'm', { toolCallId })).rejects.toEqual(refused)
  })
})

describe('checks of queries', () => {
  it('refuses bounds, limits and orders that mean nothing', async () => {
    const store = await open()
    for (const query of [{ limit: 0 }, { after: -1 }, { before: 1.5 }, { order: 'newest' as never }]) {
      await expect(store.getMessages('s', query)).rejects.toEqual(code('INVALID_ARGUMENT'))
    }
    for (const query of [{ limit: 0 }, { limit: 1001 }, { cursor: 'x' }, { metadata: { x: undefined as never } }]) {
      await expect(store.listSessions(query)).rejects.toEqual(code('INVALID_ARGUMENT'))
    }
    await expect(store.addMessage('s', { role: ' '.repeat(65) })).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(store.truncate('s', undefined as never)).rejects.toThrow(TypeError)
  })

  it('refuses a misspelt condition, which would match more than was meant', async () => {
    const store = await open()
    await store.createSession({ id: 's' })
    const olderThan = new Date(Date.now() + 1000)
    await expect(store.pruneSessions({ olderThan, userid: 'u' } as never)).rejects.toThrow(/did you mean "userId"/)
    await expect(store.listSessions({ agent: 'u' } as never)).rejects.toEqual(code('INVALID_ARGUMENT'))
    await expect(store.searchMessages({ text: 'x', session: 's' } as never)).rejects.toEqual(code('INVALID_ARGUMENT'))
    expect(await store.getSession('s')).toBeDefined()
  })
})

describe('limits', () => {
  it('keeps to the limits of the backend', async () => {
    const store = await open(() => ({ limits: { contentBytes: 10, jsonBytes: 20, batch: 2 } }))
    const session = await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user', content: '0123456789' })
    const refused = code('VALUE_TOO_LARGE', 'not-applied')
    await expect(store.addMessage('s', { role: 'user', content: 'ééééé\u20ac' })).rejects.toEqual(refused)
    await expect(store.updateSession('s', { state: { key: 'x'.repeat(20) } })).rejects.toEqual(refused)
    for (const tooLong of [{ parts: ['x'.repeat(17)] }, { toolCalls: ['x'.repeat(17)] }, { metadata: { key: 'x'.repeat(11) } }])
      await expect(store.addMessage('s', { role: 'user', ...tooLong })).rejects.toEqual(refused)
    await expect(
      store.addMessages(
        's',
        [1, 2, 3].map(() => ({ role: 'user' })),
      ),
    ).rejects.toEqual(refused)
    await store.updateSession('s', { metadata: { a: 12345 } })
    await expect(store.upsertSession({ id: 's', metadata: { b: 67890 } })).rejects.toEqual(refused)
    expect(await store.getSession('s')).toMatchObject({ lastSeq: 1, state: session.state, metadata: { a: 12345 } })
  })

  it('deletes by more ids than one write of the backend takes', async () => {
    const sizes: number[] = []
    const store = await open((backend) => ({
      limits: { batch: 2 },
      deleteMessages: (workspace, id, selection, options) => {
        sizes.push(selection.ids?.length ?? 0)
        return backend.deleteMessages(workspace, id, selection, options)
      },
    }))
    await store.createSession({ id: 's' })
    for (const id of 'abcde') await store.addMessage('s', { id, role: 'user' })
    expect(await store.deleteMessages('s', ['a', 'b', 'b', 'c', 'x', 'd'])).toBe(4)
    expect(sizes).toEqual([2, 2, 1])
    expect((await store.getMessages('s')).map(({ id }) => id)).toEqual(['e'])
  })
})

describe('cursors', () => {
  it('refuses a cursor of another order, and a forged one', async () => {
    const store = await open()
    for (const id of 'abc') await store.createSession({ id })
    const { cursor } = await store.listSessions({ limit: 1 })
    await expect(store.listSessions({ order: 'asc', cursor })).rejects.toEqual(code('INVALID_ARGUMENT'))
    const forged = Buffer.from('["sessions:desc",1e400,"a"]').toString('base64url')
    await expect(store.listSessions({ cursor: forged })).rejects.toEqual(code('INVALID_ARGUMENT'))
  })
})

describe('stored data that is damaged', () => {
  it('is CORRUPT, and the error does not show it', async () => {
    const store = await open((backend) => ({
      readMessages: async (...args) => (await backend.readMessages(...args)).map((record) => ({ ...record, escaped: true })),
    }))
    await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user', content: 'secret words' })
    const error = await store.getMessages('s').catch((error: unknown) => error)
    expect(error).toEqual(code('CORRUPT'))
    expect(String(error)).not.toContain('secret')
  })

  it.each(['parts', 'toolCalls', 'metadata'])('is CORRUPT in %s of the wrong kind', async (field) => {
    const store = await open((backend) => ({
      readMessages: async (...args) => (await backend.readMessages(...args)).map((record) => ({ ...record, [field]: '"x"' })),
    }))
    await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user' })
    await expect(store.getMessages('s')).rejects.toEqual(code('CORRUPT'))
  })
})

describe('a lost answer', () => {
  it('of createSession is not a conflict with itself', async () => {
    const store = await open((backend) => ({ createSession: losingAnswers(backend.createSession.bind(backend), 2) }))
    const session = await store.createSession({ id: 's', userId: 'u', state: { a: 1 } })
    expect(await store.getSession('s')).toEqual(session)
  })

  it('of addMessages gives the seqs that are stored, and appends once', async () => {
    const store = await open((backend) => ({ append: losingAnswers(backend.append.bind(backend)) }))
    await store.createSession({ id: 's' })
    const messages = await store.addMessages('s', [{ role: 'user', content: 'a' }, { role: 'assistant' }], { expectedSeq: 0 })
    expect(messages.map(({ seq }) => seq)).toEqual([1, 2])
    expect(await store.getMessages('s')).toEqual(messages)
  })

  it('of an append that others followed still gives its own seqs', async () => {
    const backend = await memory()
    const other = over(backend, () => ({}))
    const store = over(backend, () => ({
      append: losingAnswers(async (...args: Parameters<ConversationBackend['append']>) => {
        const last = await backend.append(...args)
        await other.addMessage('s', { id: 'later', role: 'user' })
        return last
      }),
    }))
    await store.createSession({ id: 's' })
    expect(await store.addMessage('s', { id: 'mine', role: 'user' })).toMatchObject({ seq: 1 })
    expect((await store.getMessages('s')).map(({ id }) => id)).toEqual(['mine', 'later'])
  })

  it('of forkSession and restore is no conflict either', async () => {
    const store = await open((backend) => ({ restore: losingAnswers(backend.restore.bind(backend)) }))
    await store.createSession({ id: 's' })
    await store.addMessage('s', { role: 'user', content: 'a' })
    const fork = await store.forkSession('s', { newId: 'f' })
    expect(await store.getSession('f')).toEqual(fork)
    expect(await store.getMessages('f')).toHaveLength(1)
  })

  it('leaves a conflict with others a conflict, whose outcome is unknown', async () => {
    let attempts = 0
    const store = await open((backend) => ({
      async append(...args) {
        if (attempts++ === 0) throw outage()
        return backend.append(...args)
      },
    }))
    await store.createSession({ id: 's' })
    await store.restore({ ...(await store.getSession('s'))!, id: 't', lastSeq: 3 }, [])
    await expect(store.addMessage('t', { role: 'user' }, { expectedSeq: 2 })).rejects.toEqual(code('CONFLICT', 'unknown'))
    expect(attempts).toBe(2)
  })
})

describe('an outage', () => {
  it('never repeats a write that may have happened', async () => {
    let calls = 0
    const store = await open(() => ({
      patchSession: () => {
        calls++
        return Promise.reject(outage())
      },
    }))
    await expect(store.updateSession('s', {})).rejects.toEqual(code('UNAVAILABLE', 'unknown'))
    expect(calls).toBe(1)
  })

  it('repeats a write that certainly did not happen', async () => {
    let calls = 0
    const store = await open((backend) => ({
      deleteMessages: async (...args) =>
        calls++ === 0 ? Promise.reject(outage('not-applied')) : backend.deleteMessages(...args),
    }))
    await store.createSession({ id: 's' })
    await store.addMessage('s', { id: 'm', role: 'user' })
    expect(await store.deleteMessages('s', ['m'])).toBe(1)
  })

  it('leaves the outcome open when an earlier attempt may have been applied', async () => {
    let calls = 0
    const store = await open(() => ({ createSession: () => Promise.reject(calls++ === 0 ? outage() : outage('not-applied')) }))
    await expect(store.createSession()).rejects.toEqual(code('UNAVAILABLE', 'unknown'))
  })
})

describe('upsertSession', () => {
  it('creates, then merges state and metadata at their top level', async () => {
    const store = await open()
    await store.upsertSession({ id: 's', userId: 'u', state: { a: { x: 1 }, b: 1 }, metadata: { m: 1 } })
    const merged = await store.upsertSession({ id: 's', name: 'n', state: { a: { y: 2 }, c: undefined } })
    expect(merged).toMatchObject({ userId: 'u', name: 'n', state: { a: { y: 2 }, b: 1 }, metadata: { m: 1 }, version: 2 })
    expect(Object.keys(merged.state)).toEqual(['a', 'b'])
  })

  it('loses no change of concurrent writers', async () => {
    const store = await open()
    const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
    await store.createSession({ id: 's' })
    await Promise.all(keys.map((key) => store.upsertSession({ id: 's', state: { [key]: true } })))
    const session = await store.getSession('s')
    expect(Object.keys(session!.state).toSorted()).toEqual(keys.toSorted())
    expect(session!.version).toBe(31)
  })
})

describe('restore and fork', () => {
  it('restore refuses what no export can hold', async () => {
    const store = await open()
    const session: Session = { ...(await store.createSession({ id: 'a' })), id: 'b', lastSeq: 2 }
    const message = { id: 'm', sessionId: 'a', seq: 1, role: 'user', content: null, createdAt: new Date() }
    const bad = code('INVALID_ARGUMENT')
    await expect(store.restore(session, [{ ...message, seq: 3 }])).rejects.toEqual(bad)
    await expect(store.restore(session, [{ ...message, seq: 0 }])).rejects.toEqual(bad)
    await expect(store.restore(session, [message, { ...message, id: 'n' }])).rejects.toEqual(bad)
    await expect(store.restore(session, [message, { ...message, seq: 2 }])).rejects.toEqual(bad)
    await expect(store.restore({ ...session, version: 0 }, [])).rejects.toEqual(bad)
    await expect(store.restore({ ...session, createdAt: undefined as never }, [])).rejects.toThrow(TypeError)
    expect(await store.getSession('b')).toBeUndefined()
    await store.restore(session, [{ ...message, seq: 2 }])
    await expect(store.restore(session, [])).rejects.toEqual(code('CONFLICT', 'not-applied'))
  })

  it('a fork holds no message behind its lastSeq, whatever is appended meanwhile', async () => {
    const backend = await memory()
    const other = over(backend, () => ({}))
    const store = over(backend, () => ({
      async getSession(...args) {
        const session = await backend.getSession(...args)
        await other.addMessage('s', { role: 'user' })
        return session
      },
    }))
    await store.createSession({ id: 's' })
    await other.addMessage('s', { role: 'user' })
    const fork = await store.forkSession('s', { newId: 'f' })
    expect(fork.lastSeq).toBe(1)
    expect((await other.getMessages('f')).map(({ seq }) => seq)).toEqual([1])
    await expect(store.forkSession('s', { atSeq: 99 })).rejects.toEqual(code('INVALID_ARGUMENT'))
  })
})

describe('deleting many', () => {
  it('prunes over many pages, and spares a session that is touched meanwhile', async () => {
    const backend = await memory()
    const other = over(backend, () => ({}))
    const store = over(backend, () => ({
      async deleteSession(workspace, id, options) {
        if (id === 's150') await other.addMessage('s150', { role: 'user' })
        return backend.deleteSession(workspace, id, options)
      },
    }))
    for (let i = 0; i < 250; i++) await store.createSession({ id: `s${i}`, userId: i % 2 === 0 ? 'even' : 'odd' })
    const olderThan = new Date(Date.now() + 1)
    while (Date.now() < olderThan.getTime()) await new Promise((resolve) => setImmediate(resolve))
    expect(await store.pruneSessions({ olderThan, userId: 'even' })).toEqual({ sessions: 124, messages: 0 })
    expect((await other.listSessions({ userId: 'even' })).items.map(({ id }) => id)).toEqual(['s150'])
    expect(await store.deleteUser('odd')).toEqual({ sessions: 125, messages: 0 })
    expect(await other.clear()).toEqual({ sessions: 1, messages: 1 })
  })

  it('goes on where an outage stopped it, and admits what was done when it gives up', async () => {
    let calls = 0
    const store = await open((backend) => ({
      deleteSession: async (...args) =>
        ++calls % 2 === 0 ? Promise.reject(outage('not-applied')) : backend.deleteSession(...args),
    }))
    for (const id of 'abc') await store.createSession({ id })
    expect(await store.clear()).toEqual({ sessions: 3, messages: 0 })

    let deleted = 0
    const failing = await open((backend) => ({
      deleteSession: async (...args) => (deleted++ > 0 ? Promise.reject(outage('not-applied')) : backend.deleteSession(...args)),
    }))
    for (const id of 'abc') await failing.createSession({ id })
    await expect(failing.clear()).rejects.toEqual(code('UNAVAILABLE', 'unknown'))
  })

  it('ends between two sessions when its signal aborts', async () => {
    const controller = new AbortController()
    const store = await open((backend) => ({
      async deleteSession(...args) {
        controller.abort()
        return backend.deleteSession(...args)
      },
    }))
    for (const id of 'abc') await store.createSession({ id })
    await expect(store.clear({ signal: controller.signal })).rejects.toEqual(code('ABORTED', 'unknown'))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await store.listSessions()).items).toHaveLength(2)
  })
})

describe('iterateMessages', () => {
  it('pages through any length, over gaps, between bounds', async () => {
    const limits: (number | undefined)[] = []
    const store = await open((backend) => ({
      readMessages: (workspace, id, query) => {
        limits.push(query.limit)
        return backend.readMessages(workspace, id, query)
      },
    }))
    await store.createSession({ id: 's' })
    await store.addMessages(
      's',
      Array.from({ length: 1200 }, (_, i) => ({ id: `m${i + 1}`, role: 'user' })),
    )
    await store.deleteMessages('s', ['m500', 'm501', 'm1200'])
    const seqs = (await Array.fromAsync(store.iterateMessages('s', { after: 2, before: 1190 }))).map(({ seq }) => seq)
    expect(seqs).toEqual(Array.from({ length: 1187 }, (_, i) => i + 3).filter((seq) => seq !== 500 && seq !== 501))
    expect(limits.every((limit) => limit === 500)).toBe(true)
  })
})

describe('views', () => {
  it('close only themselves, and with their parent', async () => {
    const store = await open()
    const view = store.workspace('w')
    const sibling = view.workspace('x')
    expect([store.workspaceId, view.workspaceId, sibling.workspaceId]).toEqual(['', 'w', 'x'])
    await view.close()
    await expect(view.getSession('s')).rejects.toEqual(code('STORE_CLOSED', 'not-applied'))
    expect(await sibling.getSession('s')).toBeUndefined()
    await store.close()
    await expect(sibling.getSession('s')).rejects.toEqual(code('STORE_CLOSED'))
    await expect(store.addMessages('s', [])).rejects.toEqual(code('STORE_CLOSED'))
    await expect(store.deleteMessages('s', [])).rejects.toEqual(code('STORE_CLOSED'))
    await expect(store.iterateMessages('s').next()).rejects.toEqual(code('STORE_CLOSED'))
  })

  it('do not back up other tenants', async () => {
    const store = await open(() => ({ backup: async () => ['all.db'] }))
    expect(await store.backupTo('/tmp')).toEqual(['all.db'])
    await expect(store.workspace('w').backupTo('/tmp')).rejects.toEqual(code('UNSUPPORTED'))
    await expect((await open()).backupTo('/tmp')).rejects.toEqual(code('UNSUPPORTED'))
  })
})

describe('searchMessages', () => {
  it('is UNSUPPORTED where the backend cannot', async () => {
    const store = await open(() => ({ capabilities: { search: false }, search: undefined as never }))
    await expect(store.searchMessages({ text: 'x' })).rejects.toEqual(code('UNSUPPORTED'))
    await expect(store.searchMessages({ text: ' \n' })).rejects.toEqual(code('INVALID_ARGUMENT'))
  })
})
