/** Child processes that are no good plugins. Each is a few lines of JavaScript that write what they like. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { DifyHostOptions, DifyPlugin, RunOptions } from '../../src/dify/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { ROOT, run, scratch } from '../support.ts'
import { hostOn, memoryState, MIB } from './puppet.ts'

const MANIFEST = { author: 'acme', name: 'child', version: '0.0.1' }

/** What a good plugin does; the tests change parts of it. */
const PRELUDE = `
  import { createInterface } from 'node:readline'
  const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n\\n')
  const manifest = () => say(${JSON.stringify(MANIFEST)})
  const heartbeat = () => say({ event: 'heartbeat', session_id: null, data: {} })
  const inSession = (id, type, data) => say({ event: 'session', session_id: id, data: { type, data } })
  const onRequest = (handle) => createInterface({ input: process.stdin }).on('line', (line) => {
    const { event, session_id: id, data } = JSON.parse(line)
    if (event === 'request') handle(id, data)
  })
  const wait = () => setInterval(() => undefined, 1000)
`

async function folderOf(code: string, manifest = ''): Promise<string> {
  const folder = await scratch()
  const runner = 'meta: { runner: { language: node, entrypoint: main.mjs } }'
  const text =
    manifest === ''
      ? `author: acme\nname: child\nversion: 0.0.1\nresource: { permission: { storage: { enabled: true, size: 1048576 } } }\nplugins: { tools: [provider/p.yaml] }\n${runner}\n`
      : manifest
  await mkdir(join(folder, 'provider'))
  await writeFile(join(folder, 'manifest.yaml'), text)
  await writeFile(join(folder, 'provider', 'p.yaml'), 'identity: { name: p }\ntools: [provider/t.yaml]\n')
  await writeFile(join(folder, 'provider', 't.yaml'), 'identity: { name: t }\n')
  await writeFile(join(folder, 'main.mjs'), PRELUDE + code)
  return folder
}

async function start(code: string, options: RunOptions = {}, rules: Partial<DifyHostOptions> = {}): Promise<DifyPlugin> {
  const host = await hostOn(new PluginHost({ state: await memoryState() }), rules)
  return host.run(await folderOf(code), { startTimeoutMs: 20_000, ...options })
}

const use = (plugin: DifyPlugin, timeoutMs = 10_000): Promise<unknown[]> =>
  Array.fromAsync(plugin.invokeTool({ tool: 't', timeoutMs }))

/** What a child streams that is no message of a tool. */
async function said(plugin: DifyPlugin): Promise<unknown[]> {
  return (await Array.fromAsync(plugin.invokeTool({ tool: 't' }))).map(({ message }) => message['said'])
}

/** Whether a process is there and is more than a record of its end. */
async function lives(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return stat !== '' && !/\) Z /.test(stat)
}

describe('a child that does not become a plugin', () => {
  const bad: Readonly<Record<string, readonly [string, RegExp]>> = {
    'ends at once, and says why': [
      `console.error('no such module: secrets'); process.exit(7)`,
      /it ended with 7; it printed: no such module/,
    ],
    'is killed': [`process.kill(process.pid, 'SIGKILL')`, /it ended with SIGKILL/],
    'is another plugin': [`say({ author: 'acme', name: 'other' }); wait()`, /it says that it is acme\/other/],
    'does not say what it is': [`heartbeat(); wait()`, /did not say which plugin it is/],
    'says it with a manifest that is none': [`say({ author: 'acme' }); wait()`, /names no author and no name/],
    'closes its output': [`manifest(); process.stdout.end(); wait()`, /it closed its output/],
    'never says that it is ready': [`manifest(); wait()`, /not ready within 1000 ms/],
    'prints without end': [`setInterval(() => process.stdout.write('x'.repeat(65536)), 1)`, /not ready within 1000 ms/],
  }
  it.each(Object.entries(bad))('it %s', async (_, [code, why]) => {
    const starting = start(code, { startTimeoutMs: 1_000 })
    await expect(starting).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringMatching(why) as string })
  })

  it.each([
    ['author: acme\n', /names no author and no name/],
    ['author: acme\nname: child\nplugins: { tools: [../../etc/passwd] }\n', /outside of its folder/],
    ['author: acme\nname: child\nplugins: { tools: [provider/none.yaml] }\n', /there is no provider\/none.yaml/],
    ['a: &a [x, x]\nb: [*a, *a\n', /is not a YAML object/],
    ['- list\n', /is not a YAML object/],
  ])('a folder whose manifest is %j', async (manifest, why) => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    await expect(host.run(await folderOf('', manifest))).rejects.toThrow(why)
  })

  it.each(['--eval=1', '/bin/sh', '../main.mjs', '-i'])('an entrypoint %j is not run', async (entrypoint) => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    const manifest = `author: acme\nname: child\nmeta: { runner: { language: node, entrypoint: "${entrypoint}" } }\n`
    await expect(host.run(await folderOf('', manifest), { startTimeoutMs: 5_000 })).rejects.toThrow(
      /Cannot find module .*main\.js/s,
    )
  })
})

describe('a child that misbehaves', () => {
  it('may print what it likes, before it is ready and later', async () => {
    const logged: string[] = []
    const plugin = await start(
      `console.log('hello'); console.log('{'); manifest(); console.log('ready soon'); heartbeat()
       onRequest((id) => { console.log('at work'); console.error('password: hunter2'); inSession(id, 'end', {}); process.exit(3) })`,
      {},
      { onLog: (_, text) => logged.push(text) },
    )
    assert.deepEqual(await use(plugin), [])
    const reason = await plugin.ended
    assert.match(reason!.message, /it ended with 3$/)
    assert.deepEqual(
      logged.filter((text) => text.startsWith('printed: ')),
      ['hello', 'ready soon', 'at work'].map((text) => `printed: ${text}`),
    )
    assert.ok(logged.includes('password: hunter2'))
  })

  it('is heard to the end, also what it said just before it ended', async () => {
    const plugin = await start(
      `manifest(); heartbeat()
       onRequest((id) => {
         for (let i = 0; i < 1000; i++) inSession(id, 'stream', { i, text: 'x'.repeat(1000) })
         inSession(id, 'end', {})
         process.exitCode = 1
         process.stdin.destroy()
       })`,
    )
    assert.equal((await use(plugin)).length, 1_000)
  })

  it(
    'is ended when it is silent, when it closes its output, and by force when it does not want to',
    { timeout: 30_000 },
    async () => {
      const stubborn = `process.on('SIGTERM', () => undefined)\n`
      const silent = await start(`${stubborn} manifest(); heartbeat(); wait()`, { heartbeatTimeoutMs: 500 })
      const closed = await start(`${stubborn} manifest(); heartbeat(); onRequest(() => process.stdout.end())`)
      await expect(use(closed)).rejects.toThrow(/it closed its output/)
      assert.match((await silent.ended)!.message, /it was silent for 500 ms/)
      const began = performance.now()
      await Promise.all([silent.close(), closed.close()])
      expect(performance.now() - began).toBeLessThan(6_000)
    },
  )

  it('takes what it has started along', async () => {
    const plugin = await start(
      `import { spawn } from 'node:child_process'
       const grandchild = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
       manifest(); heartbeat(); onRequest((id) => { inSession(id, 'stream', [process.pid, grandchild.pid]); inSession(id, 'end', {}) })`,
    )
    const [pids] = (await said(plugin)) as [number[]]
    for (const pid of pids) assert.ok(await lives(pid))
    await plugin.close()
    for (const pid of pids) await expect.poll(() => lives(pid)).toBe(false)
  })

  it('that does not read its input is no place for more', { timeout: 30_000 }, async () => {
    const plugin = await start(`manifest(); heartbeat(); setInterval(heartbeat, 100)`, {}, { maxPendingBytes: MIB })
    const parameters = { text: 'x'.repeat(2 * MIB) }
    const invoke = async (): Promise<unknown> => Array.fromAsync(plugin.invokeTool({ tool: 't', parameters, timeoutMs: 300 }))
    const results = await Promise.allSettled(Array.from({ length: 10 }, invoke))
    const messages = results.map((result) => (result.status === 'rejected' ? (result.reason as Error).message : ''))
    assert.ok(
      messages.some((message) => message.includes('said nothing for 300 ms')),
      messages.join(),
    )
    assert.ok(
      messages.some((message) => message.includes('does not read what it is sent')),
      messages.join(),
    )
  })

  it('gets nothing of the host’s environment but what it is given', async () => {
    process.env['HOLDFAST_TEST_SECRET'] = 'hunter2'
    const plugin = await start(
      `manifest(); heartbeat(); onRequest((id) => { inSession(id, 'stream', process.env); inSession(id, 'end', {}) })`,
      { env: { MINE: 'yes', INSTALL_METHOD: 'remote' } },
    )
    delete process.env['HOLDFAST_TEST_SECRET']
    const [env] = (await said(plugin)) as [Record<string, string>]
    assert.ok(!JSON.stringify(env).includes('hunter2'))
    expect(env).toMatchObject({ MINE: 'yes', INSTALL_METHOD: 'local' })
  })
})

describe('a host that goes', () => {
  const HOST = `
    import { openPersistence } from 'holdfast-src/index.ts'
    import { DifyHost } from 'holdfast-src/dify/index.ts'
    import { PluginHost } from 'holdfast-src/plugin-storage/index.ts'
    const { state } = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
    const host = new DifyHost({ plugins: new PluginHost({ state }) })
    const plugin = await host.run(process.argv[2])
    for await (const { message } of plugin.invokeTool({ tool: 't' })) console.log(message.said)
    if (process.argv[3] === 'exit') process.exit(0)
    if (process.argv[3] === 'throw') setImmediate(() => { throw new Error('on purpose') })
    setInterval(() => undefined, 1000)`

  it.each(['exit', 'throw'])('by %s takes its plugins along', async (how) => {
    const folder = await folderOf(
      `manifest(); heartbeat(); process.on('SIGTERM', () => undefined); onRequest((id) => { inSession(id, 'stream', process.pid); inSession(id, 'end', {}) }); wait()`,
    )
    const file = join(folder, 'host.ts')
    await writeFile(file, HOST.replaceAll('holdfast-src', join(ROOT, 'src')))
    const host = run(relative(ROOT, file), [folder, how])
    const { value } = await host.lines.next()
    await host.ended
    await expect.poll(() => lives(Number(value))).toBe(false)
  })
})

it('two that are closed while they start leave nothing', async () => {
  const host = await hostOn(new PluginHost({ state: await memoryState() }))
  const starting = host.run(await folderOf(`manifest(); setTimeout(heartbeat, 300); wait()`))
  starting.catch(() => undefined)
  await sleep(100)
  await host.close()
  await expect(starting).rejects.toMatchObject({ code: 'STORE_CLOSED' })
})
