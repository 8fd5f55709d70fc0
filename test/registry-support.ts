/** Fake backends, and scratch projects with packages laid out as package managers lay them out. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { StateBackend } from '../src/state/contract.ts'

/** A state backend that keeps the contract's shape and nothing else. */
export function fakeState(extra: object = {}): StateBackend {
  const backend: StateBackend = {
    capabilities: { bytes: 'native', commitKeys: 2 },
    get: (_space, keys) => Promise.resolve(keys.map(() => undefined)),
    commit: () => Promise.resolve({ applied: true, deleted: 0, sums: [] }),
    scan: () => Promise.resolve([]),
    ping: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
  return Object.assign(backend, extra)
}

/** What a plugin's module holds, as source: a state backend like `fakeState`, marked so that a test sees which one it got. */
export function pluginSource(mark: string, style: 'esm' | 'cjs' = 'esm'): string {
  const exported = style === 'esm' ? 'export function createStore' : 'exports.createStore = function createStore'
  return `${exported}(options, context) {
    if (!(options && context)) throw new Error('called without options and context')
    return {
      capabilities: { bytes: 'native', commitKeys: 2 },
      limits: { valueBytes: ${JSON.stringify(mark)}.length },
      get: async (space, keys) => keys.map(() => ({ value: ${JSON.stringify(JSON.stringify(mark))}, version: '1' })),
      commit: async () => ({ applied: true, deleted: 0, sums: [] }),
      scan: async () => [],
      ping: async () => {},
      close: async () => {},
    }
  }\n`
}

/** Writes files (objects as JSON) below a new temporary folder, which goes when the test ends. */
export function scratch(files: Readonly<Record<string, unknown>>): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-registry-')))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  write(root, files)
  return root
}

export function write(root: string, files: Readonly<Record<string, unknown>>): void {
  for (const [name, content] of Object.entries(files)) {
    const file = join(root, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  }
}

export function link(root: string, from: string, to: string): void {
  mkdirSync(dirname(join(root, from)), { recursive: true })
  symlinkSync(join(root, to), join(root, from))
}

/** The package.json of an application. */
export function app(...dependencies: string[]): object {
  return { name: 'app', private: true, dependencies: Object.fromEntries(dependencies.map((name) => [name, '*'])) }
}

/** The package.json of a plugin with one state backend. */
export function plugin(name: string, backend: string, extra: object = {}): object {
  return {
    name,
    version: '1.2.3',
    type: 'module',
    exports: { './factory': './factory.js' },
    holdfast: { stateStores: { [backend]: './factory#createStore' } },
    ...extra,
  }
}
