import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { syncModule } from '../src/registry/index.ts'
import { app, plugin, pluginSource, scratch } from './registry-support.ts'

const HOLDFAST = {
  'node_modules/holdfast/package.json': { name: 'holdfast', type: 'module', exports: './index.js' },
  'node_modules/holdfast/index.js':
    'export const calls = []; const registry = (kind) => ({ register: (name, factory, options) => calls.push([kind, name, typeof factory, options]) }); export const CONVERSATION_STORES = registry("conversation"), KNOWLEDGE_STORES = registry("knowledge"), STATE_STORES = registry("state"); export const configureDiscovery = (options) => calls.push(["discovery", options])',
}

function project(): string {
  return scratch({
    'package.json': {
      ...app('plug-b', '@s/plug-a', 'broken', 'rival', 'holdfast'),
      type: 'module',
      holdfast: { stateStores: { inhouse: './src/store.js' } },
    },
    'src/store.js': 'export default () => {}',
    'node_modules/plug-b/package.json': plugin('plug-b', '', {
      holdfast: {
        stateStores: { zeta: { factory: './factory#createStore', aliases: ['z', 'y'] }, memory: './factory#createStore' },
      },
    }),
    'node_modules/plug-b/factory.js': pluginSource('b'),
    'node_modules/@s/plug-a/package.json': plugin('@s/plug-a', '', {
      holdfast: { stateStores: { alpha: './factory#createStore' }, conversationStores: { talk: '.' } },
      exports: { '.': './main.js', './factory': './factory.js' },
    }),
    'node_modules/@s/plug-a/factory.js': pluginSource('a'),
    'node_modules/@s/plug-a/main.js': 'export default () => {}',
    'node_modules/broken/package.json': plugin('broken', '', {
      holdfast: { stateStores: { gone: './none#x', 'x\u2028import "evil"': './factory#y', contested: './factory#createStore' } },
    }),
    'node_modules/broken/factory.js': pluginSource('c'),
    'node_modules/rival/package.json': plugin('rival', 'contested'),
    'node_modules/rival/factory.js': pluginSource('d'),
    ...HOLDFAST,
  })
}

describe('syncModule', () => {
  it('writes static imports and registrations, sorted, and names what it left out', async () => {
    const text = await syncModule({ appRoot: project() })
    const lines = text.split('\n')
    const notRegistered = lines.filter((line) => line.startsWith('// Not registered: '))
    assert.deepEqual(
      lines.filter((line) => !notRegistered.includes(line)),
      [
        '// Written by `holdfast sync`; run it again after installing or removing plugins.',
        "import { configureDiscovery, CONVERSATION_STORES, STATE_STORES } from 'holdfast'",
        "import { default as backend0 } from '@s/plug-a'",
        "import { createStore as backend1 } from '@s/plug-a/factory'",
        "import { default as backend2 } from './src/store.js'",
        "import { createStore as backend3 } from 'plug-b/factory'",
        '',
        '// What is listed here is all there is.',
        "configureDiscovery({ mode: 'off' })",
        "CONVERSATION_STORES.register('talk', backend0, { package: { name: '@s/plug-a', version: '1.2.3' } })",
        "STATE_STORES.register('alpha', backend1, { package: { name: '@s/plug-a', version: '1.2.3' } })",
        "STATE_STORES.register('inhouse', backend2, { package: { name: 'app', version: '' } })",
        "STATE_STORES.register('zeta', backend3, { aliases: ['y', 'z'], package: { name: 'plug-b', version: '1.2.3' } })",
        '',
      ],
    )
    for (const name of ['gone', 'contested', 'memory', 'evil'])
      assert(
        notRegistered.some((line) => line.includes(name)),
        name,
      )
    assert.match(text, /^[\x20-\x7e\n]*$/)
  })

  it('gives the same text for the same packages', async () => {
    assert.equal(await syncModule({ appRoot: project() }), await syncModule({ appRoot: project() }))
  })
})

describe('the written module', () => {
  it('is a module that runs, also from another folder', async () => {
    const appRoot = project()
    for (const file of ['holdfast.plugins.js', 'src/plugins.js']) {
      writeFileSync(join(appRoot, file), await syncModule({ appRoot, file }))
      const script = `import { calls } from 'holdfast'; import './${file}'; console.log(JSON.stringify(calls))`
      writeFileSync(join(appRoot, 'main.js'), script)
      const calls = JSON.parse(execFileSync(process.execPath, [join(appRoot, 'main.js')], { encoding: 'utf8' })) as unknown[][]
      assert.deepEqual(
        calls.map(([kind, name]) => (typeof name === 'string' ? `${String(kind)}/${name}` : kind)),
        ['discovery', 'conversation/talk', 'state/alpha', 'state/inhouse', 'state/zeta'],
      )
    }
  })

  it('is an empty list where there are no plugins, and an error where there is no application', async () => {
    assert.match(
      await syncModule({ appRoot: scratch({ 'package.json': app() }) }),
      /^import \{ configureDiscovery \} from 'holdfast'$/m,
    )
    await assert.rejects(syncModule({ appRoot: scratch({ 'package.json': app('plug') }) + '/none' }), { code: 'NOT_FOUND' })
  })

  it('keeps to allow and deny', async () => {
    const appRoot = project()
    assert.match(await syncModule({ appRoot, deny: ['rival'] }), /register\('contested'/)
    assert.doesNotMatch(await syncModule({ appRoot, allow: ['plug-b'] }), /alpha/)
  })

  it('quotes hostile versions', async () => {
    const version = "1'\n); evil() // \u2028\\"
    const appRoot = scratch({
      'package.json': app('plug'),
      'node_modules/plug/package.json': plugin('plug', 'x', { version }),
      'node_modules/plug/factory.js': pluginSource('x'),
      ...HOLDFAST,
    })
    writeFileSync(
      join(appRoot, 'main.mjs'),
      `import { calls } from 'holdfast'; import './p.mjs'; console.log(JSON.stringify(calls))`,
    )
    writeFileSync(join(appRoot, 'p.mjs'), await syncModule({ appRoot }))
    const calls = JSON.parse(execFileSync(process.execPath, [join(appRoot, 'main.mjs')], { encoding: 'utf8' })) as unknown[]
    assert.deepEqual(calls[1], ['state', 'x', 'function', { package: { name: 'plug', version } }])
  })
})
