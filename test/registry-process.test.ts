/** What only a process of its own shows: what is loaded, what two copies share, and which application a script belongs to. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, it } from 'vitest'
import { app, link, plugin, pluginSource, scratch } from './registry-support.ts'

const run = promisify(execFile)
const SRC = join(import.meta.dirname, '../src')
const REGISTRY = pathToFileURL(join(SRC, 'registry/index.ts')).href

/** Runs a module and gives what it prints as JSON. */
async function json(script: string, options: { cwd?: string; env?: Record<string, string> } = {}): Promise<unknown> {
  const env = { ...process.env, HOLDFAST_APP_ROOT: '', NODE_OPTIONS: '', ...options.env }
  const { stdout } = await run(process.execPath, [script], { ...options, env })
  return JSON.parse(stdout)
}

const LISTING = `import { findAppRoot, STATE_STORES } from ${JSON.stringify(REGISTRY)}
  console.log(JSON.stringify([findAppRoot() ?? null, STATE_STORES.listRegistered().filter((name) => name.startsWith('plug'))]))`

describe('importing the registries', () => {
  it('loads no backend, no third-party module and no SQLite; create loads the one backend', async () => {
    const root = scratch({
      'main.mjs': `import { registerHooks } from 'node:module'
        const loaded = []
        registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
        const { KNOWLEDGE_STORES, CONVERSATION_STORES, STATE_STORES } = await import(${JSON.stringify(REGISTRY)})
        for (const registry of [KNOWLEDGE_STORES, CONVERSATION_STORES, STATE_STORES]) registry.describe()
        const before = loaded.splice(0)
        await (await STATE_STORES.create('memory')).close()
        console.log(JSON.stringify({ before, after: loaded }))`,
    })
    const { before, after } = (await json(join(root, 'main.mjs'))) as { before: string[]; after: string[] }
    assert(before.some((url) => url.endsWith('/state/catalogue.ts')))
    assert.deepEqual(
      before.filter((url) => /node_modules|\/backends\/|\/engines\/|node:sqlite/.test(url)),
      [],
    )
    assert.deepEqual(
      after.filter((url) => url.includes('/backends/')).map((url) => url.slice(url.indexOf('/src/'))),
      ['/src/state/backends/memory.ts'],
    )
  })
})

describe('two installed copies', () => {
  it('share the built-in registries, the settings of discovery, errors and stores; own registries stay apart', async () => {
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'plugged'),
      'main.mjs': `import * as a from './a/registry/index.ts'
        import * as b from './b/registry/index.ts'
        import { StateStore } from './b/state/store.ts'
        import { isHoldfastError } from './b/errors.ts'
        const before = b.STATE_STORES.listRegistered().includes('plugged')
        b.configureDiscovery({ mode: 'off' })
        const after = a.STATE_STORES.listRegistered().includes('plugged')
        const backend = await a.STATE_STORES.create('memory')
        b.STATE_STORES.register('inner', () => backend)
        const store = await a.STATE_STORES.create('inner')
        const foreign = new a.StoreRegistry('state')
        const create = async () => (await import('./b/registry/index.ts')).STATE_STORES.create('memory')
        foreign.register('foreign', async () => new StateStore((await import('./b/state/backends/memory.ts')).create({}, { kind: 'state', name: 'm' }), { name: 'm' }))
        const finished = await foreign.create('foreign')
        const error = await a.STATE_STORES.create('nobody').catch((error) => error)
        console.log(JSON.stringify({
          same: a.STATE_STORES === b.STATE_STORES && a.CONVERSATION_STORES === b.CONVERSATION_STORES && a.KNOWLEDGE_STORES === b.KNOWLEDGE_STORES,
          classes: a.StoreRegistry === b.StoreRegistry, before, after, store: store === backend, finished: finished instanceof StateStore,
          error: isHoldfastError(error, 'UNKNOWN_BACKEND'), own: new b.StoreRegistry('state').listRegistered() }))`,
    })
    for (const copy of ['a', 'b']) cpSync(SRC, join(root, copy), { recursive: true })
    assert.deepEqual(await json(join(root, 'main.mjs')), {
      same: true,
      classes: false,
      before: true,
      after: false,
      store: true,
      finished: true,
      error: true,
      own: [],
    })
  })
})

describe('the application of a script', () => {
  const plug = (folder: string, backend: string) => ({ [`${folder}/node_modules/plug/package.json`]: plugin('plug', backend) })

  it('is that of the nearest package.json, wherever the process was started', async () => {
    const root = scratch({
      'app/package.json': app('plug'),
      ...plug('app', 'plug-app'),
      'app/src/deep/main.mjs': LISTING,
      'cwd/package.json': app('plug'),
      ...plug('cwd', 'plug-cwd'),
    })
    assert.deepEqual(await json(join(root, 'app/src/deep/main.mjs'), { cwd: join(root, 'cwd') }), [
      join(root, 'app'),
      ['plug-app'],
    ])
  })

  it('is not that of a build folder’s package.json that only says the module type', async () => {
    const root = scratch({
      'package.json': app('plug'),
      ...plug('.', 'plug-app'),
      'dist/package.json': { type: 'module' },
      'dist/main.js': LISTING,
    })
    assert.deepEqual(await json(join(root, 'dist/main.js')), [root, ['plug-app']])
  })

  it('is found through a linked script, and for a tool that is installed in the project', async () => {
    const root = scratch({
      'package.json': app('plug'),
      ...plug('.', 'plug-app'),
      'node_modules/.pnpm/tool@1.0.0/node_modules/tool/package.json': { name: 'tool' },
      'node_modules/.pnpm/tool@1.0.0/node_modules/tool/bin.mjs': LISTING,
      'elsewhere/package.json': { name: 'elsewhere' },
    })
    link(root, 'elsewhere/linked.mjs', 'node_modules/.pnpm/tool@1.0.0/node_modules/tool/bin.mjs')
    assert.deepEqual(await json(join(root, 'elsewhere/linked.mjs')), [root, ['plug-app']])
  })

  it('is HOLDFAST_APP_ROOT where that is set', async () => {
    const root = scratch({
      'a/package.json': app(),
      'a/main.mjs': LISTING,
      'b/package.json': app('plug'),
      ...plug('b', 'plug-b'),
    })
    assert.deepEqual(await json(join(root, 'a/main.mjs'), { env: { HOLDFAST_APP_ROOT: join(root, 'b') } }), [
      join(root, 'b'),
      ['plug-b'],
    ])
    assert.deepEqual(await json(join(root, 'a/main.mjs'), { cwd: root, env: { HOLDFAST_APP_ROOT: 'b' } }), [
      join(root, 'b'),
      ['plug-b'],
    ])
  })

  it('is never the working directory alone', async () => {
    const root = scratch({ 'package.json': app('plug'), ...plug('.', 'plug-app') })
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', LISTING], {
      cwd: root,
      env: { ...process.env, HOLDFAST_APP_ROOT: '' },
    })
    assert.deepEqual(JSON.parse(stdout), [null, []])
  })
})

describe('create without options', () => {
  it('opens every embedded backend of every kind', async () => {
    const root = scratch({
      'package.json': { name: 'app' },
      'main.mjs': `import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } from ${JSON.stringify(REGISTRY)}
        const opened = []
        for (const registry of [CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES]) {
          for (const name of registry.listRegistered().filter((name) => name === 'memory' || registry.placeOf(name) !== undefined)) {
            const store = await registry.create(name)
            await store.ping()
            opened.push(store.kind + '/' + store.backend)
            await store.close()
          }
        }
        console.log(JSON.stringify(opened))`,
    })
    const opened = (await json(join(root, 'main.mjs'), { cwd: root })) as string[]
    for (const kind of ['conversation', 'knowledge', 'state']) {
      for (const name of ['memory', 'sqlite', 'sync_sqlite']) assert(opened.includes(`${kind}/${name}`))
    }
  })
})

describe('a plugin in a process of its own', () => {
  it('is created once its name is asked for, and calls back with kind and name', async () => {
    const root = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'plugged'),
      'node_modules/plug/factory.js': pluginSource('mark'),
      'main.mjs': `import { STATE_STORES } from ${JSON.stringify(REGISTRY)}
        const stores = await Promise.all([1, 2, 3].map(() => STATE_STORES.create('PLUGGED', { any: 1 })))
        console.log(JSON.stringify(await Promise.all(stores.map((store) => store.get('x')))))`,
    })
    assert.deepEqual(await json(join(root, 'main.mjs')), ['mark', 'mark', 'mark'])
  })
})
