import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { writeFiles } from './fixtures/plugins.ts'
import { exec, ROOT } from './support.ts'

const tarball = inject('tarball')
const bin = (name: string): string => join(ROOT, 'node_modules', '.bin', name)

/** A consumer that uses the typed API: what must compile, and what must not. */
const CONSUMER = `
import { openPersistence, CONVERSATION_STORES, STATE_STORES, isHoldfastError, type Message } from 'holdfast'
import { stateCases, runConformance } from 'holdfast/conformance'

declare module 'holdfast' {
  interface StateBackends {
    mybackend: { readonly host: string }
  }
}

const db = await openPersistence({ state: 'memory', conversation: 'memory', knowledge: { backend: 'memory' } })
const messages: Message[] = await db.conversation.getMessages('s', { limit: 50 })
const store = await CONVERSATION_STORES.create('sqlite', { path: 'x.db', durability: 'relaxed' })
const alias = await STATE_STORES.create('sqlite_sync', { path: 'x.db' })
const own = await STATE_STORES.create('mybackend', { host: 'localhost' })
// @ts-expect-error a misspelt option of a known backend
await CONVERSATION_STORES.create('sqlite', { pth: 'x.db' })
// @ts-expect-error an option of the wrong type, by alias
await STATE_STORES.create('sqlite_sync', { path: 1 })
// @ts-expect-error an option that the plugin's declaration lacks
await STATE_STORES.create('mybackend', { port: 1 })
export const used = [messages, store, alias, own, stateCases.length, runConformance, isHoldfastError(undefined)]
`

const COMPILER_OPTIONS = {
  strict: true,
  noEmit: true,
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  types: ['node'],
  skipLibCheck: false,
}

describe('the packed package, installed in an empty project', { timeout: 120_000 }, () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-consumer-'))
    await writeFiles(folder, {
      'package.json': JSON.stringify({ name: 'consumer', private: true, type: 'module' }),
      'consumer.ts': CONSUMER,
      'nodenext.json': JSON.stringify({ compilerOptions: { ...COMPILER_OPTIONS, module: 'nodenext' }, files: ['consumer.ts'] }),
      'bundler.json': JSON.stringify({
        compilerOptions: { ...COMPILER_OPTIONS, module: 'esnext', moduleResolution: 'bundler' },
        files: ['consumer.ts'],
      }),
    })
    await exec('npm', ['install', tarball, '--no-audit', '--no-fund', '--prefer-offline'], { cwd: folder })
    await symlink(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'))
    return () => rm(folder, { recursive: true, force: true })
  })

  it.each(['nodenext', 'bundler'])(
    'has types that resolve under %s, know each backend’s options, and merge a plugin’s',
    async (resolution) => {
      await exec(bin('tsc'), ['-p', `${resolution}.json`], { cwd: folder })
    },
  )

  it('is clean for publint and are-the-types-wrong', async () => {
    expect((await exec(bin('publint'), [tarball, '--strict'])).stdout).toContain('All good')
    await exec(bin('attw'), [tarball, '--profile', 'esm-only'])
  })

  it('brings a parser of command lines, one of YAML and what a server needs; no install script and no native code', async () => {
    const manifest = JSON.parse(await readFile(join(folder, 'node_modules', 'holdfast', 'package.json'), 'utf8')) as Record<
      string,
      Record<string, string>
    >
    const own = ['@hono/node-server', 'commander', 'hono', 'prom-client', 'yaml', 'zod']
    expect(Object.keys(manifest['dependencies'] ?? {}).toSorted()).toEqual(own)
    const lock = JSON.parse(await readFile(join(folder, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>
    }
    const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
    // What prom-client brings: the interfaces of OpenTelemetry, and an estimate of quantiles.
    const brought = ['@opentelemetry/api', 'bintrees', 'holdfast', 'tdigest']
    expect(installed.map(([path]) => path).toSorted()).toEqual(
      [...own, ...brought].map((name) => `node_modules/${name}`).toSorted(),
    )
    expect(installed.filter(([, { hasInstallScript }]) => hasInstallScript === true)).toEqual([])
  })

  it('is imported without a third-party module, a backend or node:sqlite', async () => {
    const program = `
      import { registerHooks } from 'node:module'
      const files = []
      registerHooks({ load: (url, context, next) => (files.push(url), next(url, context)) })
      await import('holdfast')
      console.log(JSON.stringify({ files: files.filter((url) => url.startsWith('file:')), sqlite: process.moduleLoadList.some((name) => /sqlite/.test(name)) }))`
    const { stdout } = await exec(process.execPath, ['--input-type=module', '-e', program], { cwd: folder })
    const { files, sqlite } = JSON.parse(stdout) as { files: string[]; sqlite: boolean }
    expect(files.filter((url) => !url.includes('/node_modules/holdfast/dist/'))).toEqual([])
    expect(files.filter((url) => url.includes('/backends/'))).toEqual([])
    expect(sqlite).toBe(false)
  })

  it('runs its command and stores real data', async () => {
    const holdfast = join(folder, 'node_modules', '.bin', 'holdfast')
    expect((await exec(holdfast, ['--version'], { cwd: folder })).stdout).toMatch(/^\d+\.\d+\.\d+/)
    const program = `
      import { openPersistence } from 'holdfast'
      await using db = await openPersistence()
      await db.state.set('kept', { yes: true })`
    await exec(process.execPath, ['--input-type=module', '-e', program], { cwd: folder })
    const again = `
      import { openPersistence } from 'holdfast'
      await using db = await openPersistence()
      console.log(JSON.stringify(await db.state.get('kept')))`
    expect((await exec(process.execPath, ['--input-type=module', '-e', again], { cwd: folder })).stdout.trim()).toBe(
      '{"yes":true}',
    )
    await exec(holdfast, ['doctor'], { cwd: folder })
  })
})
