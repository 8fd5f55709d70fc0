import { describe, expect, it } from 'vitest'
import { HoldfastError, type Outcome } from '../src/errors.ts'
import type { StateBackend, StateCommit, StateCommitResult } from '../src/state/contract.ts'
import { StateStore } from '../src/state/store.ts'
import { create } from '../src/state/backends/memory.ts'

async function memory(): Promise<StateBackend> {
  return create({}, { kind: 'state', name: 'memory', loadClient: () => Promise.reject(new Error('not here')) })
}

async function storeOver(changes: Partial<StateBackend>, retries = 2): Promise<StateStore> {
  const inner = await memory()
  const backend: StateBackend = {
    capabilities: inner.capabilities,
    get: (...args) => inner.get(...args),
    commit: (...args) => inner.commit(...args),
    scan: (...args) => inner.scan(...args),
    ping: () => inner.ping(),
    close: () => inner.close(),
    ...changes,
  }
  return new StateStore(backend, { name: 'fake', retries })
}

function unexpected(): never {
  expect.fail('the call was to fail')
}

function outage(outcome?: Outcome): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'down', { outcome })
}

/** A store whose commits fail `times` times, before or after they are applied. */
async function failing(times: number, when: 'before' | 'after'): Promise<{ store: StateStore; commits: () => number }> {
  const inner = await memory()
  let commits = 0
  const commit = async (space: string, commit: StateCommit): Promise<StateCommitResult> => {
    const fails = ++commits <= times
    if (fails && when === 'before') throw outage('not-applied')
    const result = await inner.commit(space, commit)
    if (fails) throw outage('unknown')
    return result
  }
  const store = await storeOver({ commit, get: (...args) => inner.get(...args), scan: (...args) => inner.scan(...args) })
  return { store, commits: () => commits }
}

const WRITES: Record<string, (store: StateStore) => Promise<unknown>> = {
  set: (store) => store.set('k', 1),
  setBytes: (store) => store.setBytes('k', new Uint8Array(1)),
  setMany: (store) => store.setMany({ k: 1 }),
  hset: (store) => store.hset('k', 'f', 1),
  delete: (store) => store.delete('k'),
  deleteMany: (store) => store.deleteMany(['k']),
  setIfAbsent: (store) => store.setIfAbsent('k', 1),
  compareAndSet: (store) => store.compareAndSet('k', undefined, 1),
  increment: (store) => store.increment('k'),
}
const REPEATABLE = new Set(['set', 'setBytes', 'setMany', 'hset'])

describe('retries', () => {
  it.each(Object.keys(WRITES))('%s is tried again when nothing was applied', async (name) => {
    const { store, commits } = await failing(2, 'before')
    await WRITES[name]!(store)
    expect(commits()).toBe(3)
  })

  it.each(Object.keys(WRITES))('%s is tried again after an unknown outcome only where repeating is harmless', async (name) => {
    const { store, commits } = await failing(1, 'after')
    const done = WRITES[name]!(store)
    if (REPEATABLE.has(name)) await done
    else await expect(done).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown', kind: 'state', backend: 'fake' })
    expect(commits()).toBe(REPEATABLE.has(name) ? 2 : 1)
  })

  it('says unknown when a later attempt proved nothing about an earlier one', async () => {
    let attempt = 0
    const commit = (): Promise<never> => Promise.reject(outage(attempt++ === 0 ? 'unknown' : 'not-applied'))
    const store = await storeOver({ commit })
    await expect(store.set('k', 1)).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect(attempt).toBe(3)
  })

  it('reads again after an outage, and gives up in the end', async () => {
    const store = await storeOver({ get: () => Promise.reject(outage()) })
    const error: HoldfastError = await store.get('k').then(unexpected, (error: HoldfastError) => error)
    expect(error.code).toBe('UNAVAILABLE')
    expect(error.outcome).toBeUndefined()
  })

  it('knows that nothing is applied when the read before a write fails', async () => {
    const inner = await memory()
    let reads = 0
    const get: StateBackend['get'] = (...args) => (++reads === 1 ? Promise.reject(outage()) : inner.get(...args))
    const store = await storeOver({ get })
    expect(await store.compareAndSet('k', 1, 2)).toBe(false)
    expect(reads).toBe(2)
  })

  it('ends with TIMEOUT, not with the failure of the pause between attempts', async () => {
    const store = await storeOver({ commit: () => Promise.reject(outage('not-applied')) }, 100)
    await expect(store.set('k', 1, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'not-applied' })
  })
})

describe('splitting', () => {
  async function narrow(failAt = Infinity): Promise<{ store: StateStore; sizes: number[] }> {
    const inner = await memory()
    const sizes: number[] = []
    const store = await storeOver({
      capabilities: { bytes: 'native', commitKeys: 2 },
      limits: { batch: 3 },
      get: (space, keys) => {
        sizes.push(keys.length)
        return inner.get(space, keys)
      },
      commit: async (space, commit) => {
        sizes.push((commit.set?.length ?? 0) + (commit.delete?.length ?? 0))
        if (sizes.length === failAt) throw outage('not-applied')
        return inner.commit(space, commit)
      },
      scan: (...args) => inner.scan(...args),
    })
    return { store, sizes }
  }
  const keys = ['a', 'b', 'c', 'd', 'e']

  it('keeps to commitKeys and to the batch limit', async () => {
    const { store, sizes } = await narrow()
    await store.setMany(keys.map((key, i): [string, number] => [key, i]))
    expect(await store.getMany([...keys, 'a'])).toEqual([0, 1, 2, 3, 4, 0])
    expect(await store.deleteMany([...keys, 'a', 'none'])).toBe(5)
    expect(sizes).toEqual([2, 2, 1, 3, 3, 2, 2, 2])
  })

  it('calls a partly done call unknown, whatever the failing commit says of itself', async () => {
    const { store } = await narrow(2)
    await expect(store.deleteMany(keys)).rejects.toMatchObject({ outcome: 'unknown' })
  })
})

describe('arguments', () => {
  it.each([0, -1, Number.NaN, Infinity, 1e11])('refuses a TTL of %d', async (ttl) => {
    const store = await storeOver({})
    await expect(store.set('k', 1, { ttl })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' })
    await expect(store.expire('k', ttl)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(await store.exists('k')).toBe(false)
  })

  it('refuses a TTL given as the parameter itself, rather than keep the key for ever', async () => {
    const store = await storeOver({})
    await expect(store.set('k', 1, 60 as never)).rejects.toThrow(TypeError)
    await expect(store.set('k', 1, { ttl: '60' as never })).rejects.toThrow(TypeError)
  })

  it.each([
    ['text', /Buffer\.from\(text\)/],
    [new ArrayBuffer(1), /new Uint8Array\(buffer\)/],
    [new Float64Array(1), /view\.byteOffset/],
    [{ a: 1 }, /store JSON values with set/],
  ])('says how to turn %o into bytes', async (value, remedy) => {
    const store = await storeOver({})
    const error: Error = await store.setBytes('k', value as never).then(unexpected, (error: Error) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(remedy)
  })

  it('takes a snapshot of bytes before it answers', async () => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    const inner = await memory()
    const store = await storeOver({
      commit: async (...args) => {
        await gate
        return inner.commit(...args)
      },
      get: (...args) => inner.get(...args),
    })
    const bytes = Buffer.from('before')
    const done = store.setBytes('k', bytes)
    bytes.write('after!')
    release()
    await done
    expect(Buffer.from((await store.getBytes('k'))!).toString()).toBe('before')
  })
})

describe('arguments of many', () => {
  it.each([[[['a']]], [['ab']], [[1]], ['text'], [null]])('refuses %j as entries', async (entries) => {
    const store = await storeOver({})
    await expect(store.setMany(entries as never)).rejects.toThrow(TypeError)
  })

  it('refuses the cursor of another scan', async () => {
    const store = await storeOver({})
    await store.setMany({ a1: 1, a2: 1, b1: 1 })
    const { cursor } = await store.scan({ prefix: 'a', limit: 1 })
    for (const bad of [{ prefix: 'b', cursor }, { cursor }, { prefix: 'a', cursor: 'bm9wZQ' }]) {
      await expect(store.scan(bad)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(await store.scan({ prefix: 'a', limit: 1, cursor })).toEqual({ items: ['a2'] })
  })

  it('enforces the limit of a value by its bytes, also for a hash that grows beyond it', async () => {
    const store = await storeOver({ limits: { valueBytes: 12 } })
    await store.set('k', 'éééé')
    await expect(store.set('k', 'ééééé€')).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE', outcome: 'not-applied' })
    await store.hset('h', { a: 1 })
    await expect(store.hset('h', { b: 22222 })).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' })
    expect(await store.hgetall('h')).toEqual({ a: 1 })
  })
})

describe('lifecycle', () => {
  const CALLS: Record<string, (store: StateStore) => Promise<unknown>> = {
    ...WRITES,
    get: (store) => store.get('k'),
    getManyOfNone: (store) => store.getMany([]),
    setManyOfNone: (store) => store.setMany([]),
    deleteManyOfNone: (store) => store.deleteMany([]),
    hdelOfNone: (store) => store.hdel('k'),
    keys: (store) => store.keys('exact'),
    scan: (store) => store.scan(),
    scanPrefix: (store) => store.scanPrefix('').next(),
    clear: (store) => store.clear(),
    ping: (store) => store.ping(),
    backupTo: (store) => store.backupTo('/tmp'),
  }

  it.each(Object.keys(CALLS))('%s is refused by a closed view and by the view of a closed store', async (name) => {
    const store = await storeOver({})
    const view = store.workspace('w')
    const other = store.workspace('o')
    await view.close()
    await expect(CALLS[name]!(view)).rejects.toMatchObject({ code: 'STORE_CLOSED', outcome: 'not-applied' })
    if (name !== 'backupTo') await CALLS[name]!(other)
    await store.close()
    await expect(CALLS[name]!(other)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  it('closes the backend once', async () => {
    let closed = 0
    const store = await storeOver({
      close: async () => {
        closed++
      },
    })
    await store.workspace('w').close()
    expect(closed).toBe(0)
    await Promise.all([store.close(), store.close(), store[Symbol.asyncDispose]()])
    expect(closed).toBe(1)
  })

  it('keeps workspaces apart whose names look like spaces', async () => {
    const store = await storeOver({})
    const names = ['', 'w:', 'w:w:', 'x', 'w:x', 'p:x']
    for (const name of names) await store.workspace(name).set('k', name)
    for (const name of names) expect(await store.workspace(name).get('k')).toBe(name)
    expect(await store.workspace('x').clear()).toBe(1)
    expect(await store.workspace('w:x').get('k')).toBe('w:x')
  })

  it('says that it cannot back up what has tools of its own', async () => {
    const store = await storeOver({})
    await expect(store.backupTo('/tmp')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })
})
