/** Unmodified plugins on the real Python SDK, over each of the three transports. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { freePort } from '../../scripts/services/ports.ts'
import { DifyHost, type DifyHostOptions, type DifyPlugin } from '../../src/dify/index.ts'
import { openPersistence, type JsonObject } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { ROOT, run, scratch } from '../support.ts'
import type { PluginFiles } from './plugin-folder.ts'
import { pluginFolder, PYTHON, withSdk } from './python.ts'

const KEY = 'a key of sufficient length'
const START_MS = 60_000
const MIB = 2 ** 20

async function storage(quotaBytes?: number): Promise<PluginHost> {
  const { state, close } = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
  onTestFinished(close)
  return new PluginHost({ state, quotaBytes })
}

async function hostOf(plugins: PluginHost, rules: Partial<DifyHostOptions> = {}): Promise<DifyHost> {
  const host = new DifyHost({ plugins, ...rules })
  onTestFinished(() => host.close())
  return host
}

type Way = (plugins: PluginHost, files: PluginFiles, rules?: Partial<DifyHostOptions>) => Promise<DifyPlugin>

const stdio: Way = async (plugins, files, rules) => {
  const host = await hostOf(plugins, rules)
  return host.run(await pluginFolder(files), { python: PYTHON, workspaceId: 'w1', startTimeoutMs: START_MS })
}

/** Runs a plugin as its author would, apart from any host; it ends with the test. */
async function author(files: PluginFiles, env: Readonly<Record<string, string>>): Promise<void> {
  const { PATH = '' } = process.env
  const child = spawn(PYTHON, ['-m', 'main'], { cwd: await pluginFolder(files), env: { PATH, ...env }, stdio: 'ignore' })
  onTestFinished(async () => {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.kill('SIGKILL')) await ended
  })
}

const tcp: Way = async (plugins, files, rules) => {
  const host = await hostOf(plugins, rules)
  const { promise, resolve } = Promise.withResolvers<DifyPlugin>()
  const { address } = await host.listen({ keys: [{ key: KEY, workspaceId: 'w1' }], onPlugin: resolve })
  await author(files, { INSTALL_METHOD: 'remote', REMOTE_INSTALL_URL: address, REMOTE_INSTALL_KEY: KEY })
  return promise
}

const http: Way = async (plugins, files, rules) => {
  const host = await hostOf(plugins, rules)
  const place = (await host.transactions()).reserve()
  const port = await freePort()
  await author(files, {
    INSTALL_METHOD: 'serverless',
    SERVERLESS_HOST: '127.0.0.1',
    SERVERLESS_PORT: String(port),
    DIFY_PLUGIN_DAEMON_URL: place.daemonUrl,
  })
  const url = `http://127.0.0.1:${port}`
  while (
    !(await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(100)
  const { name } = files
  const manifest = {
    author: 'acme',
    name,
    version: '0.0.1',
    resource: { permission: { storage: { enabled: true, size: files.storage || MIB } } },
  }
  return place.connect({ url, manifest, tools: [{ identity: { name }, tools: [{ identity: { name } }] }], workspaceId: 'w1' })
}

interface Message {
  readonly type: string
  readonly message: { readonly text?: string; readonly json_object?: unknown; readonly blob?: string }
}

async function use(plugin: DifyPlugin, parameters: JsonObject = {}): Promise<Message[]> {
  const tool = plugin.tools[0]!.tool
  return Array.fromAsync(plugin.invokeTool({ tool, parameters }))
}

const firstOf = async (messages: Promise<Message[]>): Promise<unknown> => {
  const [{ message }] = (await messages) as [Message]
  return message.text ?? message.json_object
}

const KV: PluginFiles = { name: 'kv', parameters: ['steps'] }

async function steps(plugin: DifyPlugin, ...list: readonly unknown[][]): Promise<unknown[]> {
  const messages = await use(plugin, { steps: JSON.stringify(list) })
  return messages.map(({ message }) => message.json_object)
}

const WAYS = { 'standard streams': stdio, 'remote debugging': tcp, HTTP: http } as const

for (const [name, open] of Object.entries(WAYS)) {
  withSdk(`the Python SDK over ${name}`, () => {
    it('sets, gets, deletes, looks, and is told what went wrong', { timeout: 90_000 }, async () => {
      const plugins = await storage()
      const plugin = await open(plugins, KV)
      assert.equal(plugin.pluginId, 'acme/kv')
      const results = await steps(
        plugin,
        ['set', 'a', '00ff68'],
        ['get', 'a'],
        ['get', 'missing'],
        ['exist', 'a'],
        ['del', 'a'],
        ['del', 'a'],
        ['exist', 'a'],
        ['set', '../a', '01'],
        ['get', '../a'],
        ['set', '', '01'],
        ['fill', 'much', 900_000, 65],
        ['fill', 'more', 900_000, 65],
        ['length', 'much'],
      )
      assert.deepEqual(
        results.slice(0, 9),
        [null, '00ff68', '', true, null, null, false, null, '01'].map((result) => ({ result })),
      )
      assert.match(JSON.stringify(results[9]), /save data failed: INVALID_ARGUMENT: key must not be empty/)
      assert.match(JSON.stringify(results[11]), /save data failed: QUOTA_EXCEEDED/)
      assert.deepEqual(results[12], { result: 900_000 })
      assert.deepEqual(await plugins.session({ workspaceId: 'w1', pluginId: 'acme/kv' }).storage.keys(), ['../a', 'much'])
    })

    it('serves fifty sessions at once on one connection, each with its own answers', { timeout: 90_000 }, async () => {
      const plugins = await storage()
      const plugin = await open(plugins, KV)
      const mine = (i: number): unknown[][] =>
        Array.from({ length: 4 }, (_, n) => [
          ['set', `k${i}`, hex(i, n)],
          ['get', `k${i}`],
        ]).flat()
      const hex = (i: number, n: number): string => Buffer.from(`session ${i} round ${n}`).toString('hex')
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => steps(plugin, ...mine(i))))
      for (const [i, results] of all.entries()) {
        assert.deepEqual(results, Array.from({ length: 4 }, (_, n) => [{ result: null }, { result: hex(i, n) }]).flat())
      }
      assert.equal(plugin.sessions, 0)
    })
  })
}

withSdk('plugins that use storage as the official ones do', () => {
  it('an OAuth flag', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), { name: 'oauth_flag', parameters: ['account'] })
    assert.equal(await firstOf(use(plugin, { account: 'ada' })), 'connected')
    assert.equal(await firstOf(use(plugin, { account: 'ada' })), 'connected before as ada')
  })

  it('a sync cursor, that an upgrade of the plugin keeps', { timeout: 60_000 }, async () => {
    const plugins = await storage()
    const files = { name: 'sync_cursor', parameters: ['pages'] }
    assert.deepEqual(await firstOf(use(await stdio(plugins, files), { pages: '3' })), { page: 3 })
    assert.deepEqual(await firstOf(use(await stdio(plugins, { ...files, version: '0.2.0' }), { pages: '2' })), { page: 5 })
  })

  it('marks of what was seen', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), { name: 'dedup_marks', parameters: ['messages'] })
    assert.deepEqual(await firstOf(use(plugin, { messages: 'a,b,a' })), { fresh: ['a', 'b'] })
    assert.deepEqual(await firstOf(use(plugin, { messages: 'b,c' })), { fresh: ['c'] })
  })

  it('a lock', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), { name: 'lock' })
    assert.equal(await firstOf(use(plugin)), 'done 1')
    assert.equal(await firstOf(use(plugin)), 'done 2')
  })

  it('a file of 16 MiB, far beyond the 5 MiB line of Dify’s daemon', { timeout: 90_000 }, async () => {
    const plugin = await stdio(await storage(), { name: 'big_file', parameters: ['kib'], storage: 64 * MIB })
    const [told, ...pieces] = await use(plugin, { kib: String(16 * 1024) })
    assert.deepEqual(told!.message.json_object, { bytes: 16 * MIB, same: true })
    const bytes = Buffer.concat(pieces.map(({ message }) => Buffer.from(message.blob!, 'base64')))
    assert.equal(bytes.length, 20_000)
  })

  it('an endpoint that counts its visitors', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), { name: 'page', endpoint: true })
    for (const visit of [1, 2]) {
      const answer = await plugin.invokeEndpoint({ method: 'POST', path: '/page', body: 'hello' })
      assert.equal(answer.status, 201)
      assert.equal(answer.headers['x-visits'], String(visit))
      assert.equal(Buffer.from(answer.body).toString(), `POST /page visit ${visit} hello`)
    }
  })
})

withSdk('what a host has to bear', () => {
  const files = { name: 'misbehave', parameters: ['how'] }

  it('a plugin that raises, and goes on', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), files)
    await expect(use(plugin, { how: 'raise' })).rejects.toMatchObject({
      name: 'DifyPluginError',
      errorType: 'ValueError',
      message: 'on purpose',
    })
    assert.equal(await firstOf(use(plugin, { how: 'nothing' })), 'begin')
  })

  it('a plugin that crashes: its sessions fail, and a new one finds what was stored', { timeout: 60_000 }, async () => {
    const plugins = await storage()
    const plugin = await stdio(plugins, files)
    await expect(use(plugin, { how: 'crash' })).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    expect((await plugin.ended)?.message).toMatch(/it ended with 3/)
    await expect(use(plugin, { how: 'nothing' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    assert.equal(await plugins.session({ workspaceId: 'w1', pluginId: 'acme/misbehave' }).storage.getText('before'), 'crash')
    assert.equal(await firstOf(use(await stdio(plugins, files), { how: 'nothing' })), 'begin')
  })

  it('a plugin that hangs: the call ends in time, and so does the plugin', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), files)
    const hanging = Array.fromAsync(plugin.invokeTool({ tool: 'misbehave', parameters: { how: 'hang' }, timeoutMs: 500 }))
    await expect(hanging).rejects.toMatchObject({ code: 'TIMEOUT' })
    const began = performance.now()
    await plugin.close()
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  it('a call that nobody answers, and one that the embedder does', { timeout: 60_000 }, async () => {
    const plugins = await storage()
    await expect(use(await stdio(plugins, files), { how: 'app' })).rejects.toThrow(/this host answers no calls of "fetch_app"/)
    const asked: unknown[] = []
    const onInvoke = (type: string, request: JsonObject): JsonObject => {
      asked.push([type, request['app_id']])
      return { data: {} }
    }
    await use(await stdio(plugins, files, { onInvoke }), { how: 'app' }).catch(() => undefined)
    assert.equal(asked.length, 1)
  })

  it('a host that is restarted: a plugin under development comes back by itself', { timeout: 60_000 }, async () => {
    const plugins = await storage()
    const came: DifyPlugin[] = []
    const open = async (port?: number): Promise<{ host: DifyHost; address: string }> => {
      const host = await hostOf(plugins)
      const { address } = await host.listen({ keys: [{ key: KEY }], port, onPlugin: (plugin) => came.push(plugin) })
      return { host, address }
    }
    const { host, address } = await open()
    await author(KV, { INSTALL_METHOD: 'remote', REMOTE_INSTALL_URL: address, REMOTE_INSTALL_KEY: KEY })
    await expect.poll(() => came.length, { timeout: 20_000 }).toBe(1)
    assert.deepEqual(await steps(came[0]!, ['set', 'k', '6b657074']), [{ result: null }])
    await host.close()
    await open(Number(address.split(':')[1]))
    await expect.poll(() => came.length, { timeout: 30_000 }).toBe(2)
    assert.deepEqual(await steps(came[1]!, ['get', 'k']), [{ result: '6b657074' }])
  })

  it('a plugin whose host was killed: it ends, also where nobody adopts it', { timeout: 60_000 }, async () => {
    const folder = await scratch()
    await writeFile(join(folder, 'manifest.yaml'), 'author: acme\nname: loop\n')
    await writeFile(
      join(folder, 'main.py'),
      'import os, time\nprint(\'{"author":"acme","name":"loop"}\\n\\n{"event":"heartbeat"}\\n\')\nprint(f\'{{"event":"log","data":{os.getpid()}}}\')\nwhile True: time.sleep(1)\n',
    )
    await writeFile(
      join(folder, 'host.ts'),
      `import { openPersistence } from ${JSON.stringify(join(ROOT, 'src/index.ts'))}
       import { DifyHost } from ${JSON.stringify(join(ROOT, 'src/dify/index.ts'))}
       import { PluginHost } from ${JSON.stringify(join(ROOT, 'src/plugin-storage/index.ts'))}
       const { state } = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
       const host = new DifyHost({ plugins: new PluginHost({ state }), onLog: (_, text) => console.log(text) })
       await host.run(${JSON.stringify(folder)}, { python: ${JSON.stringify(PYTHON)} })`,
    )
    const child = run(relative(ROOT, join(folder, 'host.ts')), [])
    const { value: pid } = await child.lines.next()
    child.process.kill('SIGKILL')
    await child.ended
    await expect.poll(() => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).toBe('')
  })

  it('a plugin without the permission', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), { ...KV, storage: false })
    const [refused] = await steps(plugin, ['set', 'a', '00'])
    assert.match(JSON.stringify(refused), /permission denied, you need to enable storage access in plugin manifest/)
  })

  it('strictness, where a missing key is an error', { timeout: 60_000 }, async () => {
    const plugin = await stdio(await storage(), KV, { strict: true })
    const [missing, exists] = await steps(plugin, ['get', 'missing'], ['exist', 'missing'])
    assert.match(JSON.stringify(missing), /load data failed, please check if the key is correct or you have not set it/)
    assert.deepEqual(exists, { result: false })
  })

  it('a plugin that cannot start', { timeout: 60_000 }, async () => {
    const host = await hostOf(await storage())
    const folder = await pluginFolder(KV)
    await expect(host.run(folder, { python: '/nowhere/python' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(host.run('/nowhere')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(host.run(folder, { python: PYTHON, env: { PYTHONPATH: '/' }, startTimeoutMs: 1 })).rejects.toThrow(
      /not ready within 1 ms/,
    )
  })
})
