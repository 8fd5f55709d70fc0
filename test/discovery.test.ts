import assert from 'node:assert/strict'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../src/errors.ts'
import { Discovery, StoreRegistry, type DiscoveryOptions } from '../src/registry/index.ts'
import { STATE_CATALOGUE } from '../src/state/catalogue.ts'
import { API_VERSION } from '../src/store/api-version.ts'
import { app, fakeState, link, plugin, pluginSource, scratch } from './registry-support.ts'

afterEach(() => void vi.unstubAllEnvs())

function registryFor(appRoot: string, options: DiscoveryOptions = {}): StoreRegistry<'state'> {
  return new StoreRegistry('state', { catalogue: STATE_CATALOGUE, discovery: new Discovery({ appRoot, ...options }) })
}

/** Opens the backend and reads the mark that the plugin's source put into it. */
async function markOf(registry: StoreRegistry<'state'>, name: string): Promise<unknown> {
  await using store = await registry.create(name)
  return store.get('any')
}

async function refusal(registry: StoreRegistry<'state'>, name: string): Promise<HoldfastError> {
  const error: unknown = await registry.create(name).catch((error: unknown) => error)
  assert(error instanceof HoldfastError, `created, or ${String(error)}`)
  return error
}

const discovered = (registry: StoreRegistry<'state'>) => registry.listRegistered().filter((name) => !(name in STATE_CATALOGUE))

/** An application with two plugins that declare these state backends. */
const two = (first: object, second: object): string =>
  scratch({
    'package.json': app('plug-a', 'plug-b'),
    'node_modules/plug-a/package.json': plugin('plug-a', '', { holdfast: { stateStores: first } }),
    'node_modules/plug-a/factory.js': pluginSource('a'),
    'node_modules/plug-b/package.json': plugin('plug-b', '', { holdfast: { stateStores: second } }),
    'node_modules/plug-b/factory.js': pluginSource('b'),
  })
const entry = (...aliases: string[]): object => ({ factory: './factory#createStore', aliases })

const good = { 'node_modules/good/package.json': plugin('good', 'good'), 'node_modules/good/factory.js': pluginSource('good') }
const withBad = (json: unknown, files: Record<string, unknown> = {}): StoreRegistry<'state'> =>
  registryFor(scratch({ 'package.json': app('bad', 'good'), 'node_modules/bad/package.json': json, ...files, ...good }))
const declaring = (declared: unknown): unknown => plugin('bad', '', { holdfast: { stateStores: declared } })

describe('layouts of node_modules', () => {
  it('npm: packages beside each other; factory by name and alias, called with options', async () => {
    const holdfast = { stateStores: { MyBackend: { factory: './factory#createStore', aliases: ['MB'] } } }
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', '', { holdfast }),
      'node_modules/plug/factory.js': pluginSource('npm'),
    })
    const registry = registryFor(root)
    assert.deepEqual(discovered(registry), ['mybackend'])
    assert.equal(registry.listAliases()['mb'], 'mybackend')
    assert.equal(await markOf(registry, 'mybackend'), 'npm')
    assert.equal(await markOf(registry, 'MB'), 'npm')
    expect(registry.describe()).toContainEqual(
      expect.objectContaining({ name: 'mybackend', origin: { package: 'plug', version: '1.2.3' } }),
    )
  })

  it('npm workspaces: hoisted above the application, and linked', async () => {
    const root = scratch({
      'package.json': { name: 'root', workspaces: ['apps/*', 'libs/*'] },
      'apps/a/package.json': app('hoisted', '@our/lib'),
      'node_modules/hoisted/package.json': plugin('hoisted', 'hoisted'),
      'node_modules/hoisted/factory.js': pluginSource('hoisted'),
      'libs/lib/package.json': plugin('@our/lib', 'linked'),
      'libs/lib/factory.js': pluginSource('linked'),
    })
    link(root, 'node_modules/@our/lib', 'libs/lib')
    const registry = registryFor(join(root, 'apps/a'))
    assert.equal(await markOf(registry, 'hoisted'), 'hoisted')
    assert.equal(await markOf(registry, 'linked'), 'linked')
  })

  it('pnpm: only links, with the plugin’s own dependencies beside it in the store', async () => {
    const inStore = 'node_modules/.pnpm/plug@1.2.3/node_modules'
    const root = scratch({
      'package.json': app('plug'),
      [`${inStore}/plug/package.json`]: plugin('plug', 'viapnpm'),
      [`${inStore}/plug/factory.js`]: `import 'its-dependency'\n${pluginSource('pnpm')}`,
      [`${inStore}/its-dependency/package.json`]: { name: 'its-dependency', exports: './index.js' },
      [`${inStore}/its-dependency/index.js`]: '',
    })
    link(root, 'node_modules/plug', `${inStore}/plug`)
    assert.equal(await markOf(registryFor(root), 'viapnpm'), 'pnpm')
  })
})

describe('what a plugin may look like', () => {
  it.each<[string, object, Record<string, string>]>([
    ['exports that hide package.json', { exports: { './factory': './factory.js' } }, { 'factory.js': pluginSource('mark') }],
    ['only an import condition', { exports: { './factory': { import: './dist/f.js' } } }, { 'dist/f.js': pluginSource('mark') }],
    [
      'CommonJS',
      { type: 'commonjs', exports: { './factory': { require: './f.js', default: './f.js' } } },
      { 'f.js': pluginSource('mark', 'cjs') },
    ],
    ['CommonJS without exports', { type: 'commonjs', exports: undefined }, { 'factory.js': pluginSource('mark', 'cjs') }],
    [
      'exports that Node’s lexer cannot see in CommonJS',
      { type: 'commonjs', exports: undefined },
      {
        'factory.js': `const all = {}; ${pluginSource('mark', 'cjs').replace('exports.', 'all.')}; module.exports = (() => all)()`,
      },
    ],
    [
      'a default export',
      { holdfast: { stateStores: { x: './factory' } } },
      { 'factory.js': `${pluginSource('mark')}\nexport default createStore` },
    ],
    [
      'a transpiled default export',
      { type: 'commonjs', holdfast: { stateStores: { x: './factory' } } },
      { 'factory.js': `exports.__esModule = true; ${pluginSource('mark', 'cjs')}; exports.default = exports.createStore` },
    ],
    [
      'the package itself as the factory',
      { exports: './main.js', holdfast: { stateStores: { x: '.#createStore' } } },
      { 'main.js': pluginSource('mark') },
    ],
    ['a byte order mark', {}, { 'factory.js': pluginSource('mark') }],
  ])('a plugin with %s', async (what, extra, files) => {
    const json = JSON.stringify(plugin('plug', 'x', extra))
    const inPackage = Object.fromEntries(Object.entries(files).map(([name, text]) => [`node_modules/plug/${name}`, text]))
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': what === 'a byte order mark' ? `\uFEFF${json}` : json,
      ...inPackage,
    })
    assert.equal(await markOf(registryFor(root), 'x'), 'mark')
  })
})

describe('plugins in special places', () => {
  it('a plugin named like one of Node’s own modules', async () => {
    const root = scratch({
      'package.json': app('punycode'),
      'node_modules/punycode/package.json': plugin('punycode', 'x'),
      'node_modules/punycode/factory.js': pluginSource('own'),
    })
    assert.equal(await markOf(registryFor(root), 'x'), 'own')
  })

  it('the application’s own backends', async () => {
    const root = scratch({
      'package.json': { name: 'app', type: 'module', holdfast: { stateStores: { inhouse: './src/store.js#createStore' } } },
      'src/store.js': pluginSource('inhouse'),
    })
    assert.equal(await markOf(registryFor(root), 'inhouse'), 'inhouse')
  })
})

describe('what is looked at', () => {
  it('direct dependencies and optional ones, never development, peer or transitive ones', () => {
    const packages = ['direct', 'optional', 'dev', 'peer', 'transitive', 'undeclared']
    const files = packages.map((name) => [
      `node_modules/${name}/package.json`,
      plugin(name, name, { dependencies: { transitive: '*' } }),
    ])
    const root = scratch({
      'package.json': {
        dependencies: { direct: '*' },
        optionalDependencies: { optional: '*', absent: '*' },
        devDependencies: { dev: '*' },
        peerDependencies: { peer: '*' },
      },
      ...Object.fromEntries(files),
    })
    const discovery = new Discovery({ appRoot: root })
    assert.deepEqual(
      discovery.found.declarations.map(({ name }) => name),
      ['direct', 'optional'],
    )
    assert.deepEqual(discovery.found.problems, [])
  })

  it('runs no code before create', async () => {
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'x', { main: './factory.js' }),
      'node_modules/plug/factory.js': `globalThis.holdfastTestRan = true\n${pluginSource('ran')}`,
    })
    const registry = registryFor(root)
    registry.describe()
    await refusal(registry, 'unknown-name')
    assert.equal(Reflect.get(globalThis, 'holdfastTestRan'), undefined)
    assert.equal(await markOf(registry, 'x'), 'ran')
    assert.equal(Reflect.get(globalThis, 'holdfastTestRan'), true)
    Reflect.deleteProperty(globalThis, 'holdfastTestRan')
  })
})

describe('how it is configured', () => {
  it('mode, allow and deny; configuring anew looks anew', () => {
    const names = ['@s/one', '@s/two', 'three']
    const root = scratch({
      'package.json': app(...names),
      ...Object.fromEntries(names.map((name) => [`node_modules/${name}/package.json`, plugin(name, name.replace('@s/', ''))])),
    })
    const discovery = new Discovery({ appRoot: root })
    const registry = new StoreRegistry('state', { discovery })
    const listed = (options: DiscoveryOptions): string[] => {
      discovery.configure({ appRoot: root, ...options })
      return registry.listRegistered()
    }
    assert.deepEqual(listed({}), ['one', 'three', 'two'])
    assert.deepEqual(listed({ mode: 'off' }), [])
    assert.deepEqual(listed({ allow: ['three'] }), ['three'])
    assert.deepEqual(listed({ allow: ['@s/*'] }), ['one', 'two'])
    assert.deepEqual(listed({ allow: ['@s/*', 'three'], deny: ['@s/one'] }), ['three', 'two'])
    assert.deepEqual(listed({ deny: ['@s/*'] }), ['three'])
    assert.deepEqual(listed({ mode: 'auto' }), ['one', 'three', 'two'])
    for (const bad of [{ mode: 'on' }, { allow: 'three' }, { deny: [1] }, { appRoot: 1 }, { alow: [] }]) {
      assert.throws(() => discovery.configure(bad as never), TypeError)
    }
  })

  it('tells no capabilities of what a package declares, and runs none of its code', async () => {
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'mine'),
      'node_modules/plug/factory.js': 'throw new Error("must not run")',
    })
    const registry = registryFor(root)
    registry.register('given', () => fakeState())
    assert.equal(await registry.capabilities('mine'), undefined)
    assert.equal(await registry.capabilities('given'), undefined)
    assert.deepEqual(await registry.capabilities('Memory'), { bytes: 'native', commitKeys: Infinity })
    await expect(registry.capabilities('nobody')).rejects.toMatchObject({ code: 'UNKNOWN_BACKEND' })
    await expect(registry.capabilities(1 as never)).rejects.toThrow(TypeError)
  })

  it('the application is appRoot, else HOLDFAST_APP_ROOT', () => {
    const project = (name: string): string =>
      scratch({ 'package.json': app('plug'), 'node_modules/plug/package.json': plugin('plug', name) })
    const a = project('a')
    vi.stubEnv('HOLDFAST_APP_ROOT', project('b'))
    assert.deepEqual(
      new Discovery({ appRoot: a }).found.declarations.map(({ name }) => name),
      ['a'],
    )
    assert.deepEqual(
      new Discovery().found.declarations.map(({ name }) => name),
      ['b'],
    )
  })
})

describe('who wins', () => {
  it.each([
    ['one name', { x: entry() }, { X: entry() }, 'x'],
    ['one alias', { x: entry('shared') }, { y: entry('shared') }, 'shared'],
    ['a name and an alias', { x: entry() }, { y: entry('x') }, 'x'],
  ])('two packages that claim %s: BACKEND_EXISTS when it is asked for, naming both', async (_, first, second, asked) => {
    const registry = registryFor(two({ ...first, free: entry() }, second))
    const error = await refusal(registry, asked)
    assert.equal(error.code, 'BACKEND_EXISTS')
    assert.match(error.message, /plug-a.*plug-b/)
    assert.equal(await markOf(registry, 'free'), 'a')
    assert(!discovered(registry).includes(asked))
    assert(!(asked in registry.listAliases()))
    assert(registry.describe().some(({ problem }) => /plug-a.*plug-b/.test(problem ?? '')))
  })
})

describe('who comes first', () => {
  it('a denied package disputes nothing', async () => {
    assert.equal(await markOf(registryFor(two({ x: entry() }, { x: entry() }), { deny: ['plug-a'] }), 'x'), 'b')
  })

  it('register beats discovery, before it and after it', async () => {
    const registry = registryFor(two({ x: entry('xa') }, { x: entry(), y: entry() }))
    registry.describe()
    registry.register('x', () => fakeState())
    assert.equal(await markOf(registry, 'x'), undefined)
    assert.equal((await refusal(registry, 'xa')).code, 'INVALID_BACKEND')
    assert.equal(await markOf(registry, 'y'), 'b')
  })

  it('a built-in is never replaced, planned or not; its would-be successor is reported', async () => {
    const registry = registryFor(two({ memory: entry('mem'), upstash: entry(), fine: entry('sqlite', 'motor', 'good') }, {}))
    assert.match((await refusal(registry, 'mem')).message, /plug-a declares "memory", which is taken: built-in/)
    assert.equal((await refusal(registry, 'upstash')).code, 'UNSUPPORTED')
    assert.equal((await refusal(registry, 'motor')).code, 'UNSUPPORTED')
    assert.equal(await markOf(registry, 'fine'), 'a')
    assert.equal(await markOf(registry, 'good'), 'a')
    const infos = registry.describe().filter(({ origin }) => origin !== 'built-in')
    expect(infos).toMatchObject([
      {
        name: 'fine',
        available: true,
        aliases: ['good'],
        problem: expect.stringMatching(/alias "sqlite" is taken.*alias "motor" is taken/),
      },
      { name: 'memory', available: false, problem: expect.stringMatching(/taken: built-in/) },
      { name: 'upstash', available: false, problem: expect.stringMatching(/taken: built-in \(planned\)/) },
    ])
  })
})

describe('broken and hostile declarations', () => {
  it.each<[string, unknown]>([
    ['a number', 1],
    ['null', null],
    ['an empty text', ''],
    ['a bare package', 'other/factory#create'],
    ['an absolute path', '/etc/passwd#x'],
    ['a URL', 'file:///etc/passwd#x'],
    ['a path that leads out', './../../evil#x'],
    ['a hidden path that leads out', './a/../../../evil#x'],
    ['an escaped path that leads out', './%2e%2e/evil#x'],
    ['a backslash', './a\\..\\..\\evil#x'],
    ['another package’s files', './node_modules/evil/x#x'],
    ['an export that is no identifier', './factory#a.b'],
    ['two exports', './factory#a#b'],
    ['an endless text', `./${'x'.repeat(100_000)}`],
    ['a list', ['./factory']],
    ['no factory', { aliases: ['y'] }],
    ['an unknown member', { factory: './factory#createStore', alias: ['y'] }],
    ['aliases that are none', { factory: './factory#createStore', aliases: 'y' }],
    ['an alias that is none', { factory: './factory#createStore', aliases: ['__proto__'] }],
    ['too many aliases', { factory: './factory#createStore', aliases: Array.from({ length: 1000 }, (_, i) => `n${i}`) }],
  ])('%s is shown, and told when the name is asked for', async (_, declared) => {
    const registry = withBad(declaring({ x: declared }), {
      'evil.js': pluginSource('evil'),
      'node_modules/evil/x.js': pluginSource('evil'),
    })
    assert.equal(await markOf(registry, 'good'), 'good')
    const error = await refusal(registry, 'x')
    assert.equal(error.code, 'INVALID_BACKEND')
    assert.match(error.message, /bad declares it, but its? /)
    assert(error.message.length < 500)
    expect(registry.describe()).toContainEqual(
      expect.objectContaining({ name: 'x', available: false, problem: expect.stringContaining('bad declares it') }),
    )
  })
})

describe('the version of the contracts', () => {
  const written = (apiVersion: unknown): unknown =>
    plugin('bad', '', { holdfast: { apiVersion, stateStores: { x: { factory: './factory#createStore', aliases: ['y'] } } } })

  it('is that of this Holdfast', async () => {
    assert.equal(API_VERSION, 1)
    const registry = withBad(written(1), { 'node_modules/bad/factory.js': pluginSource('one') })
    assert.equal(await markOf(registry, 'y'), 'one')
  })

  it.each<[unknown, RegExp]>([
    [2, /bad declares it, but it is written for version 2 of the contracts, and this Holdfast has 1: update holdfast$/],
    [0, /must be a whole number such as 1, not 0/],
    [1.5, /must be a whole number such as 1, not 1.5/],
    ['1', /must be a whole number such as 1, not string/],
    [null, /must be a whole number such as 1, not null/],
  ])('%j: refused when a name is asked for, its code never run', async (apiVersion, expected) => {
    const registry = withBad(written(apiVersion), { 'node_modules/bad/factory.js': 'throw new Error("run")' })
    const error = await refusal(registry, 'x')
    assert.equal(error.code, 'INVALID_BACKEND')
    assert.match(error.message, expected)
    assert.equal(await markOf(registry, 'good'), 'good')
  })
})

describe('broken factories', () => {
  it.each<[string, string]>([
    ['no export of that name', 'export const other = 1'],
    ['an inherited name', 'export default {}'],
    ['something that is no function', 'export const createStore = {}'],
    ['a syntax error', 'export const = 1'],
    ['an import that is not there', `import 'not-there-at-all'\n${pluginSource('x')}`],
    ['code that throws', 'throw new Error("at import")'],
  ])('a factory file with %s: INVALID_BACKEND, naming the package', async (what, source) => {
    const factory = what === 'an inherited name' ? './factory#toString' : './factory#createStore'
    const registry = withBad(declaring({ x: factory }), { 'node_modules/bad/factory.js': source })
    const error = await refusal(registry, 'x')
    assert.equal(error.code, 'INVALID_BACKEND')
    assert.match(error.message, /state backend "x": its entry point in bad/)
    assert.equal(await markOf(registry, 'good'), 'good')
  })
})

describe('broken packages', () => {
  it.each<[string, unknown, RegExp]>([
    ['text that is not JSON', '{ "name": ', /not JSON/],
    ['JSON that is no object', '[]', /does not hold an object/],
    ['a holdfast field that is text', plugin('bad', '', { holdfast: 'x' }), /must be an object, not string/],
    ['a kind that is a list', plugin('bad', '', { holdfast: { stateStores: [] } }), /must be an object, not array/],
    [
      'a misspelt kind',
      plugin('bad', '', { holdfast: { stateStore: {} } }),
      /unknown member "stateStore": did it mean "stateStores"/,
    ],
    [
      'a hostile kind',
      `{"name":"bad","holdfast":{"__proto__":{"x":"./f"},"constructor":{"x":"./f"}}}`,
      /unknown member "__proto__"/,
    ],
  ])('a package.json with %s is reported with the package', async (_, json, problem) => {
    const root = scratch({ 'package.json': app('bad', 'good'), 'node_modules/bad/package.json': json, ...good })
    const registry = registryFor(root)
    assert.equal(await markOf(registry, 'good'), 'good')
    assert.match(
      JSON.stringify(new Discovery({ appRoot: root }).found.problems[0]),
      new RegExp(`"bad".*${problem.source}`.replaceAll('"', '\\\\?"')),
    )
    assert.match((await refusal(registry, 'nobody')).message, /Packages with problems: bad \(/)
  })
})

describe('hostile packages', () => {
  it('hostile names stay data', async () => {
    const names = ['__proto__', 'constructor', '', '../x', 'a\u001b[31m\u202eb', 'x'.repeat(10_000)]
    const declared = `{${names.map((name) => `${JSON.stringify(name)}:"./factory#createStore"`).join(',')}}`
    const registry = withBad(
      `{"name":"bad","version":"\\u001b[31m","exports":{"./factory":"./factory.js"},"holdfast":{"stateStores":${declared}}}`,
    )
    assert.equal(await markOf(registry, 'good'), 'good')
    assert.deepEqual(discovered(registry), ['good'])
    for (const name of names) assert.notEqual((await refusal(registry, name)).code, 'UNSUPPORTED')
    const { message } = await refusal(registry, 'nobody')
    assert.match(message, /^[\x20-\x7e]*$/)
    assert(message.length < 2_000)
    assert.equal(Reflect.get({}, 'factory'), undefined)
  })

  it('thousands of backends are cut, said, and fast', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`n${i}`, './factory#createStore']))
    const registry = withBad(declaring(many))
    const started = performance.now()
    assert.equal(discovered(registry).length, 101)
    assert(performance.now() - started < 2_000)
    assert.match((await refusal(registry, 'nobody')).message, /declares 20000 backends; the first 100 count/)
  })
})

describe('packages that cannot be read', () => {
  it('a package.json beyond all measure is not read', async () => {
    const registry = withBad(`{"name":"bad","padding":"${'x'.repeat(5_000_000)}"}`)
    assert.match((await refusal(registry, 'nobody')).message, /larger than/)
    assert.equal(await markOf(registry, 'good'), 'good')
  })

  it('links in a circle, packages that are missing, and names that are paths', async () => {
    const root = scratch({ 'package.json': app('bad', 'good', 'missing', '../../../etc', '.bin', 'a/b/c'), ...good })
    link(root, 'node_modules/bad', 'node_modules/bad')
    const { problems } = new Discovery({ appRoot: root }).found
    assert.equal(await markOf(registryFor(root), 'good'), 'good')
    assert.deepEqual(problems.map(({ package: name }) => name).toSorted(), ['../../../etc', '.bin', 'a/b/c', 'bad', 'missing'])
  })

  it('a script that belongs to no project has no problem', async () => {
    const script = join(scratch({}), 'script.js')
    vi.stubEnv('HOLDFAST_APP_ROOT', '')
    const argv = process.argv
    process.argv = [argv[0]!, script]
    const discovery = new Discovery()
    const registry = new StoreRegistry('state', { catalogue: STATE_CATALOGUE, discovery })
    const { found } = discovery
    process.argv = argv
    assert.deepEqual(found, { appRoot: undefined, declarations: [], problems: [] })
    assert.doesNotMatch((await refusal(registry, 'nobody')).message, /problem/)
  })

  it('an application that was named and has no package.json is a problem', () => {
    const root = scratch({})
    vi.stubEnv('HOLDFAST_APP_ROOT', root)
    for (const discovery of [new Discovery(), new Discovery({ appRoot: root })]) {
      assert.deepEqual(discovery.found.problems, [{ package: '(application)', problem: 'there is no package.json' }])
    }
  })

  it('an application that cannot be read harms no built-in', async () => {
    for (const root of [scratch({}), scratch({ 'package.json': '{' }), join(scratch({}), 'not-there')]) {
      const registry = registryFor(root)
      await (await registry.create('memory')).close()
      assert.match((await refusal(registry, 'nobody')).message, /Packages with problems: \(application\)/)
    }
  })
})
