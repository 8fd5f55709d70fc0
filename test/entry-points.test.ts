import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { APPLICATION, packPlugins, writeFiles } from './fixtures/plugins.ts'
import { exec, ROOT, scratch } from './support.ts'

type Result = { backend?: string; value?: unknown; code?: string; message?: string }
type Results = Record<
  'esmdb' | 'EDB' | 'cjsdb' | 'sqlite' | 'number' | 'escapes' | 'hidden' | 'throws' | 'lacking' | 'nowhere',
  Result
> & {
  registered: string[]
  aliases: Record<string, string>
}

const tarball = inject('tarball')

/** The manifest of an application that depends on the packed package and on all three plugins. */
async function application(folder: string): Promise<string> {
  const plugins = await packPlugins(folder)
  const file = (path: string): string => `file:${path}`
  return JSON.stringify({
    name: 'application',
    version: '1.0.0',
    private: true,
    type: 'module',
    dependencies: { holdfast: file(tarball), 'plugin-esm': file(plugins.esm), '@acme/plugin-cjs': file(plugins.cjs) },
    optionalDependencies: { 'plugin-hostile': file(plugins.hostile), 'plugin-missing': 'file:./nowhere.tgz' },
  })
}

/** Package managers refuse an optional dependency whose file is missing, so it is declared only after the install. */
function withoutMissing(manifest: string): string {
  return manifest.replace(',"plugin-missing":"file:./nowhere.tgz"', '')
}

function expectPluginsWork(stdout: string): void {
  // The hostile plugin's code runs when its own backend is asked for, and at no other time.
  expect(stdout.match(/hostile code ran/g)).toHaveLength(1)
  const results = JSON.parse(stdout.trim().split('\n').at(-1)!) as Results
  expect(results.esmdb).toEqual({ backend: 'esmdb', value: { name: 'esmdb' } })
  expect(results.EDB).toEqual({ backend: 'esmdb', value: { name: 'EDB' } })
  expect(results.cjsdb).toEqual({ backend: 'cjsdb', value: { name: 'cjsdb' } })
  expect(results.sqlite, 'a plugin never replaces a built-in').toEqual({ backend: 'sqlite', value: { name: 'sqlite' } })
  for (const name of ['number', 'escapes', 'hidden', 'throws'] as const) {
    expect(results[name].message, name).toContain('plugin-hostile')
    expect(results[name].code, name).toBe('INVALID_BACKEND')
  }
  expect(results.lacking.code).toBe('INVALID_BACKEND')
  expect(results.lacking.message).toMatch(/commit.*scan|scan.*commit/)
  expect(results.nowhere.code).toBe('UNKNOWN_BACKEND')
  expect(results.registered).toEqual(expect.arrayContaining(['cjsdb', 'esmdb', 'memory', 'sqlite']))
  expect(results.aliases).toMatchObject({ edb: 'esmdb' })
}

const bin = (name: string): string => join(ROOT, 'node_modules', '.bin', name)

describe('entry points of installed packages', { timeout: 180_000 }, () => {
  it('work under npm', async () => {
    const folder = await scratch()
    const manifest = await application(folder)
    await writeFiles(folder, { 'package.json': withoutMissing(manifest), 'src/main.js': APPLICATION })
    await exec('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: folder })
    await writeFile(join(folder, 'package.json'), manifest)
    // From another working directory: the application is where its entry script is.
    expectPluginsWork((await exec(process.execPath, [join(folder, 'src', 'main.js')], { cwd: '/' })).stdout)
  })

  it('work under pnpm, where a package sees only what it declares', async () => {
    const folder = await scratch()
    const manifest = withoutMissing(await application(folder))
    await writeFiles(folder, { 'package.json': manifest, 'main.js': APPLICATION })
    await exec(bin('pnpm'), ['install', '--prefer-offline', '--store-dir', join(folder, '.store')], {
      cwd: folder,
      env: { CI: 'true' },
    })
    expectPluginsWork((await exec(process.execPath, ['main.js'], { cwd: folder })).stdout)
  })

  it('work in an npm workspace, where dependencies are hoisted to the root', async () => {
    const folder = await scratch()
    const manifest = withoutMissing(await application(folder))
    await mkdir(join(folder, 'packages', 'app'), { recursive: true })
    await writeFiles(folder, {
      'package.json': JSON.stringify({ name: 'root', private: true, workspaces: ['packages/*'] }),
      'packages/app/package.json': manifest,
      'packages/app/main.js': APPLICATION,
    })
    await exec('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: folder })
    expectPluginsWork((await exec(process.execPath, [join(folder, 'packages', 'app', 'main.js')], { cwd: folder })).stdout)
  })

  it('work under Yarn Plug’n’Play, where there is no node_modules', async () => {
    const folder = await scratch()
    const manifest = withoutMissing(await application(folder))
    const registry = (await exec('npm', ['config', 'get', 'registry'])).stdout.trim()
    await writeFiles(folder, {
      'package.json': manifest,
      'main.js': APPLICATION,
      'yarn.lock': '',
      '.yarnrc.yml': `nodeLinker: pnp\nenableTelemetry: false\nenableGlobalCache: false\nnpmRegistryServer: ${registry}\n`,
    })
    const yarn = bin('yarn')
    await exec(yarn, ['install'], { cwd: folder, env: { YARN_ENABLE_IMMUTABLE_INSTALLS: 'false' } })
    expectPluginsWork((await exec(yarn, ['node', 'main.js'], { cwd: folder })).stdout)
  })
})
