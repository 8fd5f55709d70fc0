/** What the compiler knows of backends, as a consumer of the declarations sees it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { link, scratch } from './registry-support.ts'

const ROOT = join(import.meta.dirname, '..')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

const CONSUMER = `
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES, StoreRegistry, type ConversationStore, type StateStore } from 'holdfast'

interface MyOptions { readonly region: string; readonly size?: number }
declare module 'holdfast' {
  interface StateBackends { mybackend: MyOptions; mb: MyOptions }
}

// Known names, aliases, and any case.
export const a: Promise<ConversationStore> = CONVERSATION_STORES.create('sqlite', { path: 'x.db', durability: 'relaxed', workspace: 'w', timeoutMs: 5 })
export const b: Promise<StateStore> = STATE_STORES.create('sqlite_sync', { path: 'x.db' })
export const c = STATE_STORES.create('SQLite', { path: 'x.db' })
export const d = STATE_STORES.create('memory')
export const e = KNOWLEDGE_STORES.create('sqlite', { embed: (texts) => texts.map(() => [1]) })

// @ts-expect-error an option that sqlite does not have
export const f = STATE_STORES.create('sqlite', { paht: 'x.db' })
// @ts-expect-error an option of the wrong type, through an alias
export const g = STATE_STORES.create('sqlite_sync', { path: 1 })
// @ts-expect-error the same in upper case
export const h = STATE_STORES.create('SQLITE', { path: 1 })
// @ts-expect-error an option that only knowledge stores have
export const i = STATE_STORES.create('sqlite', { embed: () => [] })

// Planned names and names of plugins are names too; of their options only the store's are known.
export const j = CONVERSATION_STORES.create('neon', { url: 'postgres://h', workspace: 'w' })
export const k = STATE_STORES.create('some-plugin', { any: 1 })
declare const name: string
declare const options: Record<string, unknown>
export const l = STATE_STORES.create(name, options)
// @ts-expect-error an option of every store, of the wrong type
export const m = STATE_STORES.create('some-plugin', { workspace: 1 })

// A plugin's own names, by declaration merging.
export const n = STATE_STORES.create('mybackend', { region: 'eu', retries: 1 })
export const o = STATE_STORES.create('mb', { region: 'eu', size: 1 })
// @ts-expect-error region is required
export const p = STATE_STORES.create('mybackend')
// @ts-expect-error region is text
export const q = STATE_STORES.create('mb', { region: 1 })
// Only state stores were extended.
export const r = CONVERSATION_STORES.create('mybackend', { region: 1 })

const own = new StoreRegistry('state')
own.register('mine', (options: MyOptions, context) => STATE_STORES.create('memory', { workspace: options.region + context.name }), { aliases: ['m'] })
// @ts-expect-error a conversation store is no state store
own.register('theirs', () => CONVERSATION_STORES.create('memory'))
// @ts-expect-error no kind of store
new StoreRegistry('states')
`

function compile(module: 'nodenext' | 'bundler', source: string): string {
  const root = scratch({
    'package.json': { name: 'consumer', type: 'module' },
    'src/main.ts': source,
    'node_modules/holdfast/package.json': { name: 'holdfast', type: 'module', exports: { '.': { types: './dist/index.d.ts' } } },
    'tsconfig.json': {
      compilerOptions: {
        target: 'es2024',
        lib: ['es2024', 'esnext.disposable'],
        module: module === 'bundler' ? 'esnext' : module,
        moduleResolution: module,
        strict: true,
        noEmit: true,
        types: ['node'],
        exactOptionalPropertyTypes: true,
      },
      include: ['src'],
    },
  })
  for (const types of ['@types/node', 'undici-types'])
    link('/', join(root, `node_modules/${types}`), join(ROOT, 'node_modules', types))
  cpSync(declarations, join(root, 'node_modules/holdfast/dist'), { recursive: true })
  return spawnSync(process.execPath, [TSC, '-p', root], { encoding: 'utf8' }).stdout
}

let declarations: string

beforeAll(() => {
  declarations = mkdtempSync(join(tmpdir(), 'holdfast-types-'))
  const emit = ['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', declarations, '--emitDeclarationOnly']
  spawnSync(process.execPath, [TSC, ...emit])
})

afterAll(() => rmSync(declarations, { recursive: true, force: true }))

describe('types of create', () => {
  it.each(['nodenext', 'bundler'] as const)(
    'know each backend’s options by name and alias, and those of plugins (%s)',
    (module) => {
      assert.equal(compile(module, CONSUMER), '')
    },
  )

  it('are checked at all', () => {
    assert.match(compile('nodenext', CONSUMER.replaceAll('// @ts-expect-error', '//')), /paht/)
  })
})
