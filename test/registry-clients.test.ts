import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { installCommand } from '../src/registry/app-root.ts'
import { loadClient } from '../src/registry/clients.ts'
import { Discovery, StoreRegistry } from '../src/registry/index.ts'
import type { Catalogue, FactoryContext } from '../src/store/factory.ts'
import { app, fakeState, link, plugin, scratch, write } from './registry-support.ts'

const CLIENT = {
  'package.json': { name: 'fake-client', version: '8.1.0', exports: { '.': './index.js', './sub': './sub.js' }, type: 'module' },
  'index.js': 'export const mark = Math.random()',
  'sub.js': 'export const sub = true',
}
const inFolder = (folder: string) => Object.fromEntries(Object.entries(CLIENT).map(([name, text]) => [`${folder}/${name}`, text]))

describe('loadClient', () => {
  it('imports once, however many ask, and gives subpaths', async () => {
    const appRoot = scratch({ 'package.json': app(), ...inFolder('node_modules/fake-client') })
    const load = () => loadClient<{ mark: number }>('fake-client', '^8', { appRoot })
    const [a, b] = await Promise.all([load(), load()])
    assert.equal(typeof a.mark, 'number')
    assert.equal(a, b)
    assert.deepEqual({ ...(await loadClient<object>('fake-client/sub', undefined, { appRoot })) }, { sub: true })
  })

  it('sees what a plugin’s package sees before what the application sees', async () => {
    const appRoot = scratch({
      'package.json': app(),
      'node_modules/fake-client/package.json': { name: 'fake-client', main: 'x.cjs' },
      'node_modules/fake-client/x.cjs': 'exports.mark = 1',
      ...inFolder('store/plug/node_modules/fake-client'),
    })
    const client = await loadClient<{ mark: number }>('fake-client', undefined, {
      appRoot,
      directory: join(appRoot, 'store/plug'),
    })
    assert.notEqual(client.mark, 1)
  })

  it('finds Holdfast’s own dependencies from where Holdfast is', async () => {
    assert('Command' in (await loadClient<object>('commander', undefined, {})))
  })

  it('names the command that installs a missing client, and tries again once it is there', async () => {
    const appRoot = scratch({ 'package.json': app(), 'pnpm-lock.yaml': '' })
    const load = () => loadClient<object>('fake-client', '^8', { appRoot })
    await expect(load()).rejects.toMatchObject({
      code: 'MISSING_CLIENT',
      message: expect.stringContaining('pnpm add fake-client@^8'),
    })
    write(appRoot, inFolder('node_modules/fake-client'))
    assert('mark' in (await load()))
  })

  it('tells a client that is broken from one that is missing', async () => {
    const appRoot = scratch({
      'package.json': app(),
      'node_modules/fake-client/package.json': { name: 'fake-client', exports: {} },
    })
    await expect(loadClient('fake-client', '^8', { appRoot })).rejects.toMatchObject({ code: 'INVALID_BACKEND' })
  })

  it.each(['../evil', '/etc/passwd', '', '.', 'node:fs', 'file:///x'])('looks for no package %j', async (name) => {
    await expect(loadClient(name, undefined, {})).rejects.toMatchObject({ code: 'MISSING_CLIENT' })
  })
})

describe('a backend that needs a client', () => {
  const needing = (client: string) => async (_options: object, context: FactoryContext) => {
    await context.loadClient(client)
    return fakeState()
  }
  const create = needing('fake-client')
  const catalogue = {
    x: { client: { package: 'fake-client', range: '^8' }, load: () => Promise.resolve({ create }) },
  } satisfies Catalogue

  it('says at create what to install, and opens once it is installed', async () => {
    const appRoot = scratch({ 'package.json': app(), 'yarn.lock': '' })
    const registry = new StoreRegistry('state', { catalogue, discovery: new Discovery({ appRoot }) })
    const missing = {
      code: 'MISSING_CLIENT',
      kind: 'state',
      backend: 'x',
      message: 'state backend "x": needs the package "fake-client", version ^8: yarn add fake-client@^8',
    }
    await expect(registry.create('x')).rejects.toMatchObject(missing)
    expect(registry.describe()[0]?.client).toEqual({ package: 'fake-client', range: '^8' })
    write(appRoot, inFolder('node_modules/fake-client'))
    expect(registry.describe()[0]?.client).toEqual({ package: 'fake-client', range: '^8', installed: '8.1.0' })
    await (await registry.create('x')).close()
  })

  it('is named where its client is called like it', async () => {
    const likeIt = {
      fake: { client: { package: 'fake', range: '^1' }, load: () => Promise.resolve({ create: needing('fake') }) },
    }
    const appRoot = scratch({ 'package.json': app() })
    const registry = new StoreRegistry('state', { catalogue: likeIt satisfies Catalogue, discovery: new Discovery({ appRoot }) })
    await expect(registry.create('fake')).rejects.toMatchObject({
      code: 'MISSING_CLIENT',
      message: expect.stringMatching(/^state backend "fake": needs the package "fake", version \^1: /),
    })
  })

  it('gives a plugin the range that its own package.json asks for', async () => {
    const source = "export const createStore = (options, context) => context.loadClient('fake-client')"
    const appRoot = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'y', { peerDependencies: { 'fake-client': '>=7 <9' } }),
      'node_modules/plug/factory.js': source,
    })
    const registry = new StoreRegistry('state', { discovery: new Discovery({ appRoot }) })
    await expect(registry.create('y')).rejects.toMatchObject({
      code: 'MISSING_CLIENT',
      message: expect.stringContaining('npm install "fake-client@>=7 <9"'),
    })
  })
})

describe('installCommand', () => {
  it.each([
    ['package-lock.json', 'npm install pg@^8'],
    ['pnpm-lock.yaml', 'pnpm add pg@^8'],
    ['yarn.lock', 'yarn add pg@^8'],
    ['bun.lock', 'bun add pg@^8'],
    ['bun.lockb', 'bun add pg@^8'],
  ])('%s: %s', (lock, command) => {
    const root = scratch({ [lock]: '', 'apps/a/package.json': app() })
    assert.equal(installCommand('pg', '^8', join(root, 'apps/a')), command)
  })

  it('is npm’s where nothing tells, and quotes what a shell would read otherwise', () => {
    assert.equal(installCommand('pg', '^8', undefined), 'npm install pg@^8')
    assert.equal(installCommand('pg', undefined, undefined), 'npm install pg')
    assert.equal(installCommand('pg', '>=1 || <3', undefined), 'npm install "pg@>=1 || <3"')
  })
})

describe('links', () => {
  it('one client reached through two links is imported once', async () => {
    const appRoot = scratch({ 'package.json': app(), ...inFolder('store/fake-client') })
    link(appRoot, 'node_modules/fake-client', 'store/fake-client')
    link(appRoot, 'plug/node_modules/fake-client', 'store/fake-client')
    const a = await loadClient('fake-client', undefined, { appRoot })
    const b = await loadClient('fake-client', undefined, { directory: join(appRoot, 'plug') })
    assert.equal(a, b)
  })
})
