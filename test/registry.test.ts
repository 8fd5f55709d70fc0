import assert from 'node:assert/strict'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../src/errors.ts'
import { StoreRegistry } from '../src/registry/index.ts'
import { StateStore } from '../src/state/store.ts'
import { defineBackend, type Catalogue } from '../src/store/factory.ts'
import { fakeState } from './registry-support.ts'

const ofCode =
  (code: string, ...texts: RegExp[]) =>
  (error: unknown) => {
    assert(error instanceof HoldfastError, String(error))
    assert.equal(error.code, code)
    for (const text of texts) assert.match(error.message, text)
    return true
  }

interface FakeOptions {
  readonly url?: string
  readonly size?: number
  readonly password?: string
}

const fake = defineBackend<FakeOptions, ReturnType<typeof fakeState>>(
  {
    url: { type: 'string', description: 'Where it is.' },
    size: { type: 'integer', description: 'How large.', min: 1, env: 'HOLDFAST_TEST_SIZE' },
    password: { type: 'string', description: 'Key to it.', secret: true },
  },
  () => fakeState(),
)

const catalogue = {
  here: { aliases: ['hier'], load: () => Promise.resolve({ create: fake }) },
  soon: { aliases: ['bald'], planned: true },
} as const satisfies Catalogue

afterEach(() => void vi.unstubAllEnvs())

const own = () => new StoreRegistry('state')
const withBuiltIns = () => new StoreRegistry('state', { catalogue })

describe('names', () => {
  it('creates by name and by alias, in any case, and hands the canonical name on', async () => {
    const registry = own()
    registry.register('MyBackend', fake, { aliases: ['MB'] })
    for (const name of ['mybackend', 'MYBACKEND', 'mb', 'Mb']) {
      await using store = await registry.create(name)
      assert.equal(store.backend, 'mybackend')
      assert.equal(store.kind, 'state')
    }
    assert.deepEqual(registry.listRegistered(), ['mybackend'])
    assert.deepEqual(registry.listAliases(), { mb: 'mybackend' })
  })

  it('is isolated: nothing is shared between two registries', async () => {
    const registry = own()
    registry.register('mine', fake)
    assert.deepEqual(own().listRegistered(), [])
    await assert.rejects(own().create('mine'), ofCode('UNKNOWN_BACKEND'))
  })

  it('lists sorted canonical names of what works', () => {
    const registry = withBuiltIns()
    registry.register('zeta', fake)
    registry.register('alpha', fake)
    assert.deepEqual(registry.listRegistered(), ['alpha', 'here', 'zeta'])
    assert.deepEqual(registry.listAliases(), { hier: 'here' })
  })

  it.each([
    ['a name that is a name', 'here', []],
    ['a name that is an alias', 'hier', []],
    ['a name in another case', 'HIER', []],
    ['an alias that is a name', 'new', ['here']],
    ['an alias that is an alias', 'new', ['fine', 'hier']],
    ['a planned name', 'soon', []],
    ['a planned alias', 'new', ['bald']],
  ])('refuses %s, names the holder, and changes nothing', (_, name, aliases) => {
    const registry = withBuiltIns()
    const before = registry.describe()
    assert.throws(
      () => registry.register(name, fake, { aliases }),
      ofCode('BACKEND_EXISTS', /built-in/, /"(?:here|soon|hier|bald)"/),
    )
    assert.deepEqual(registry.describe(), before)
  })
})

describe('replacing on purpose', () => {
  it('replaces on purpose: a name keeps its aliases', async () => {
    const registry = withBuiltIns()
    registry.register('here', () => fakeState({ limits: { valueBytes: 7 } }), { override: true })
    await using store = await registry.create('hier')
    assert.equal(store.limits.valueBytes, 7)
    assert.deepEqual(registry.listAliases(), { hier: 'here' })
  })

  it('replaces on purpose: an alias becomes a name, and a name an alias', async () => {
    const registry = withBuiltIns()
    registry.register('hier', fake, { override: true })
    assert.deepEqual([registry.listRegistered(), registry.listAliases()], [['here', 'hier'], {}])
    registry.register('third', fake, { aliases: ['here'], override: true })
    assert.deepEqual([registry.listRegistered(), registry.listAliases()], [['hier', 'third'], { here: 'third' }])
  })

  it('lets a package register the same name again, and nobody else', () => {
    const registry = own()
    const from = { package: { name: 'plug', version: '1' } }
    registry.register('x', fake, { aliases: ['y'], ...from })
    registry.register('x', fake, { aliases: ['y'], ...from })
    assert.throws(
      () => registry.register('x', fake, { package: { name: 'other', version: '1' } }),
      ofCode('BACKEND_EXISTS', /plug@1/),
    )
    assert.throws(() => registry.register('x', fake), ofCode('BACKEND_EXISTS'))
    assert.deepEqual(registry.describe()[0]?.origin, { package: 'plug', version: '1' })
  })
})

describe('text that is no name', () => {
  it.each([
    '',
    ' ',
    'has space',
    '../x',
    'a/b',
    'a:b',
    '__proto__',
    'constructor',
    'Constructor',
    'x\u0000',
    'é',
    '\u212aelvin',
    'x'.repeat(65),
  ])('refuses the name %j', async (name) => {
    const registry = own()
    assert.throws(() => registry.register(name, fake), ofCode('INVALID_ARGUMENT'))
    assert.throws(() => registry.register('x', fake, { aliases: [name] }), ofCode('INVALID_ARGUMENT'))
    await assert.rejects(registry.create(name), ofCode('UNKNOWN_BACKEND'))
    assert.deepEqual(registry.listRegistered(), [])
  })

  it('says a wrong type of argument with a TypeError', async () => {
    const registry = own()
    assert.throws(() => registry.register(1 as never, fake), TypeError)
    assert.throws(() => registry.register('x', {} as never), TypeError)
    assert.throws(() => registry.register('x', fake, { aliases: 'y' as never }), TypeError)
    assert.throws(() => new StoreRegistry('stat' as never), TypeError)
    await assert.rejects(registry.create(undefined as unknown as string), TypeError)
    registry.register('x', fake)
    await assert.rejects(registry.create('x', null as never), TypeError)
  })
})

describe('unknown and planned names', () => {
  it('lists every name and the nearest one, and never falls back', async () => {
    const registry = withBuiltIns()
    const expected = ofCode(
      'UNKNOWN_BACKEND',
      /"heree"/,
      /Did you mean "here"/,
      /Registered: here \(hier\)/,
      /Planned: soon \(bald\)/,
    )
    await assert.rejects(registry.create('heree'), expected)
  })

  it('shows no secret when a URL is given as a name', async () => {
    await assert.rejects(withBuiltIns().create('postgres://u:p@ss/w@host/db'), (error: Error) => {
      assert.doesNotMatch(error.message, /ss\/w|u:p/)
      return ofCode('UNKNOWN_BACKEND', /\{ url \}/)(error)
    })
  })

  it('reserves planned names', async () => {
    for (const name of ['soon', 'bald'])
      await assert.rejects(withBuiltIns().create(name), ofCode('UNSUPPORTED', /planned/, /here/))
  })
})

describe('options', () => {
  it('lists every problem, the store’s and the backend’s, in one error, and shows no value', async () => {
    const options = { sise: 1, size: 0, workspace: '\ud800', timeoutMs: 0, retries: 'no', password: 12345 } as never
    await assert.rejects(withBuiltIns().create('here', options), (error: Error) => {
      assert.doesNotMatch(error.message, /12345/)
      return ofCode(
        'INVALID_OPTIONS',
        /"sise": did you mean "size"/,
        /size must be at least 1/,
        /workspace/,
        /timeoutMs/,
        /retries/,
        /password/,
      )(error)
    })
  })

  it('says which kind and backend an options error is about', async () => {
    await expect(withBuiltIns().create('here', { nope: 1 })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      kind: 'state',
      backend: 'here',
    })
  })

  it('keeps the store’s options from the backend', async () => {
    const seen = vi.fn(() => fakeState())
    const registry = own()
    registry.register('plain', seen)
    await using store = await registry.create('plain', { url: 'x', workspace: 'w', timeoutMs: 5, retries: 0 })
    assert.equal(store.backend, 'plain')
    expect(seen).toHaveBeenCalledExactlyOnceWith({ url: 'x' }, expect.objectContaining({ kind: 'state', name: 'plain' }))
  })

  it('checks the store’s options also where the factory has no schema', async () => {
    const registry = own()
    registry.register('plain', () => fakeState())
    await assert.rejects(registry.create('plain', { anything: 1, retries: -1 }), ofCode('INVALID_OPTIONS', /retries/))
  })
})

describe('options of the service and of the store', () => {
  it('lets the service’s own variables complete a chosen backend', async () => {
    vi.stubEnv('HOLDFAST_TEST_SIZE', 'many')
    await assert.rejects(
      withBuiltIns().create('here'),
      ofCode('INVALID_OPTIONS', /size must be an integer, not string \(from HOLDFAST_TEST_SIZE\)/),
    )
    vi.stubEnv('HOLDFAST_TEST_SIZE', '3')
    const seen = vi.fn(() => fakeState())
    const registry = own()
    registry.register('env', Object.assign(seen, { schema: fake.schema! }))
    await (await registry.create('env')).close()
    expect(seen).toHaveBeenCalledWith({ size: 3 }, expect.anything())
  })

  it('refuses a schema that claims an option of the store', async () => {
    const registry = own()
    registry.register(
      'greedy',
      Object.assign(() => fakeState(), { schema: { retries: { type: 'integer', description: '' } } as const }),
    )
    await assert.rejects(registry.create('greedy'), ofCode('INVALID_BACKEND', /retries/))
  })
})

describe('what a factory gives', () => {
  it('may be sync or async, and is called once, with options and context; its result is not called', async () => {
    const registry = own()
    const sync = vi.fn(() => fakeState())
    const later = vi.fn(() => Promise.resolve(fakeState()))
    registry.register('sync', sync)
    registry.register('async', later)
    await (await registry.create('sync', { a: 1 })).close()
    await (await registry.create('async')).close()
    expect(sync).toHaveBeenCalledTimes(1)
    expect(later).toHaveBeenCalledExactlyOnceWith({}, expect.objectContaining({ name: 'async' }))
  })

  it.each([
    ['nothing', () => undefined, /undefined/],
    ['a factory', () => () => fakeState(), /function/],
    ['a promise of null', () => Promise.resolve(null), /null/],
    ['an empty object', () => ({}), /lacks the methods get, commit, scan, ping, close; capabilities must be an object/],
    ['a backend without scan', () => fakeState({ scan: undefined }), /lacks the method scan/],
    [
      'a backend with a wrong capability',
      () => fakeState({ capabilities: { bytes: 'some', commitKeys: 0 } }),
      /capabilities\.bytes must be "native" or "base64"; capabilities\.commitKeys/,
    ],
  ])('refuses %s at create', async (_, factory, text) => {
    const registry = own()
    registry.register('bad', factory as never)
    await assert.rejects(registry.create('bad'), ofCode('INVALID_BACKEND', text, /state backend "bad"/))
  })
})

describe('what a backend must have', () => {
  it('demands the methods of declared capabilities, and only those', async () => {
    const methods = [
      'createCollection',
      'describeCollection',
      'listCollections',
      'deleteCollection',
      'write',
      'delete',
      'search',
      'ping',
      'close',
    ]
    const filter = { exists: false, null: false, arrays: false, nested: false, declared: false }
    const capabilities = {
      filter,
      insert: 'atomic',
      get: false,
      list: false,
      count: false,
      deleteByFilter: false,
      visibility: 'immediate',
    }
    const backend = (claims: object) => ({
      ...Object.fromEntries(methods.map((name) => [name, () => Promise.resolve()])),
      capabilities: { ...capabilities, ...claims },
    })
    const registry = new StoreRegistry('knowledge')
    registry.register('small', (() => backend({})) as never)
    registry.register('liar', (() => backend({ get: true, count: true })) as never)
    await (await registry.create('small')).close()
    await assert.rejects(registry.create('liar'), ofCode('INVALID_BACKEND', /lacks the methods get, count/))
  })
})

describe('finished stores', () => {
  it('takes a finished store of its kind, also one of another installed copy', async () => {
    const registry = own()
    const store = new StateStore(fakeState(), { name: 'inner' })
    registry.register('finished', () => store)
    assert.equal(await registry.create('finished'), store)
    const names = Reflect.ownKeys(StateStore.prototype).filter((name) => name !== 'constructor')
    const copy = { kind: 'state', backend: 'copy', ...Object.fromEntries(names.map((name) => [name, () => undefined])) }
    registry.register('copy', (() => copy) as never)
    assert.equal(await registry.create('copy'), copy)
  })

  it('refuses a finished store of another kind, or one that lacks methods', async () => {
    const registry = own()
    registry.register('other', (() => ({ kind: 'knowledge', backend: 'x', workspace: () => undefined })) as never)
    registry.register('old', (() => ({ kind: 'state', backend: 'x', workspace: () => undefined })) as never)
    await assert.rejects(registry.create('other'), ofCode('INVALID_BACKEND', /finished knowledge store/))
    await assert.rejects(registry.create('old'), ofCode('INVALID_BACKEND', /without .*increment/))
  })

  it('never drops the store’s options silently when the store comes finished', async () => {
    const registry = own()
    const close = vi.fn(() => Promise.resolve())
    registry.register('deaf', () => new StateStore(fakeState({ close }), { name: 'deaf' }))
    registry.register('apt', (_options, context) => new StateStore(fakeState(), { name: 'apt', ...context.storeOptions }))
    await assert.rejects(registry.create('deaf', { workspace: 'w' }), ofCode('INVALID_OPTIONS', /workspace cannot be applied/))
    expect(close).toHaveBeenCalledTimes(1)
    await (await registry.create('deaf', { workspace: '' })).close()
    await (await registry.create('apt', { workspace: 'w', timeoutMs: 5 })).close()
  })

  it('closes a backend that it refuses, and tells when that fails too', async () => {
    const registry = own()
    const close = vi.fn(() => Promise.resolve())
    registry.register('closing', (() => ({ close })) as never)
    await assert.rejects(registry.create('closing'), ofCode('INVALID_BACKEND'))
    expect(close).toHaveBeenCalledTimes(1)
    registry.register('stuck', (() => ({ close: () => Promise.reject(new Error('stuck')) })) as never)
    await assert.rejects(registry.create('stuck'), ofCode('INVALID_BACKEND', /closing it failed too/))
  })
})

describe('factories that fail', () => {
  const failing = async (thrown: unknown, options: object = {}): Promise<HoldfastError> => {
    const registry = own()
    const factory = async (): Promise<never> => {
      throw thrown
    }
    registry.register('f', Object.assign(factory, { schema: fake.schema! }))
    try {
      await registry.create('f', { ...options })
    } catch (caught) {
      assert(caught instanceof HoldfastError)
      return caught
    }
    return assert.fail('created')
  }

  it('keeps a HoldfastError’s code and adds kind and backend', async () => {
    const error = await failing(new HoldfastError('UNAUTHORIZED', 'wrong password', { outcome: 'not-applied' }))
    expect(error).toMatchObject({ code: 'UNAUTHORIZED', kind: 'state', backend: 'f', outcome: 'not-applied' })
    assert.match(error.message, /wrong password/)
  })

  it('tells an outage from a mistake, and keeps the cause', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    expect(await failing(refused)).toMatchObject({ code: 'UNAVAILABLE', kind: 'state', backend: 'f', cause: refused })
    expect(await failing(new TypeError('x is not a function'))).toMatchObject({ code: 'INVALID_BACKEND' })
    expect(await failing('a string')).toMatchObject({ code: 'UNAVAILABLE' })
  })

  it.each([
    ['an Error', (text: string) => new Error(text)],
    ['a HoldfastError', (text: string) => new HoldfastError('UNAVAILABLE', text, { kind: 'state', backend: 'f' })],
    ['a HoldfastError with a cause', (text: string) => new HoldfastError('UNAVAILABLE', 'no', { cause: new Error(text) })],
    ['an error with a property', (text: string) => Object.assign(new Error('no'), { config: { url: text } })],
    ['text', (text: string) => text],
  ])('lets no secret out of %s', async (_, make) => {
    const options = { url: 'proto://user:hunter%20two@host', password: 'open sesame' }
    const error = await failing(make('at proto://user:hunter%20two@host with open sesame, "hunter two"'), options)
    const { inspect } = await import('node:util')
    assert.doesNotMatch(inspect(error, { depth: 9 }), /hunter|sesame/)
  })
})

describe('laziness', () => {
  it('imports nothing before create, once under concurrency, and again after a failure', async () => {
    let fails = true
    const load = vi.fn(() =>
      fails ? Promise.reject(new HoldfastError('INVALID_BACKEND', 'not now')) : Promise.resolve({ create: fake }),
    )
    const registry = new StoreRegistry('state', { catalogue: { lazy: { load } } })
    registry.describe()
    registry.listRegistered()
    expect(load).not.toHaveBeenCalled()
    const attempts = await Promise.allSettled([registry.create('lazy'), registry.create('LAZY')])
    expect(attempts.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(load).toHaveBeenCalledTimes(1)
    fails = false
    const stores = await Promise.all([1, 2, 3].map(() => registry.create('lazy')))
    expect(load).toHaveBeenCalledTimes(2)
    assert.equal(new Set(stores).size, 3)
    await Promise.all(stores.map((store) => store.close()))
  })
})

describe('describe', () => {
  it('tells name, aliases, origin, plans and client of every backend', () => {
    const client = { package: 'no-such-client', range: '^8' }
    const registry = new StoreRegistry('state', {
      catalogue: {
        ...catalogue,
        soon: { ...catalogue.soon, client },
        old: { load: catalogue.here.load, client: { package: 'vitest', range: '*' } },
      },
    })
    registry.register('mine', fake, { aliases: ['b', 'a'] })
    const common = { kind: 'state', planned: false, available: true, aliases: [], origin: 'built-in' }
    expect(registry.describe()).toEqual([
      { ...common, name: 'here', aliases: ['hier'] },
      { ...common, name: 'mine', aliases: ['a', 'b'], origin: 'runtime' },
      { ...common, name: 'old', client: { package: 'vitest', range: '*', installed: expect.stringMatching(/^\d/) } },
      { ...common, name: 'soon', aliases: ['bald'], planned: true, available: false, client },
    ])
  })
})
