/** One plugin file: in the host's process, as its child, and registered over TCP. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { DifyHost, type DifyPlugin } from '../../src/dify/index.ts'
import { openPersistence, type JsonObject } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { definePlugin, serveRemote } from '../../src/plugin/index.ts'
import { ROOT, scratch } from '../support.ts'
import { notes } from './notes.ts'

const KEY = 'a key of sufficient length'

async function storage(): Promise<PluginHost> {
  const { state, close } = await openPersistence({ config: false, conversation: 'memory', knowledge: 'memory', state: 'memory' })
  onTestFinished(close)
  return new PluginHost({ state })
}

interface Runner {
  invokeTool(call: { tool: string; parameters?: JsonObject }): AsyncIterable<unknown>
}

const WAYS: Readonly<Record<string, (plugins: PluginHost) => Promise<Runner>>> = {
  'in the process of its host': async (plugins) => notes.inProcess({ plugins, workspaceId: 'w1' }),
  'as a child of its host': async (plugins) => {
    const folder = await scratch()
    await writeFile(
      join(folder, 'manifest.yaml'),
      'author: acme\nname: notes\nversion: 1.0.0\nresource: { permission: { storage: { enabled: true, size: 4096 } } }\nmeta: { runner: { language: node, entrypoint: main.ts } }\n',
    )
    const from = (path: string): string => JSON.stringify(join(ROOT, path))
    await writeFile(
      join(folder, 'main.ts'),
      `import { start } from ${from('src/plugin/index.ts')}\nimport { notes } from ${from('test/plugin/notes.ts')}\nawait start(notes)\n`,
    )
    const host = new DifyHost({ plugins })
    onTestFinished(() => host.close())
    return host.run(folder, { workspaceId: 'w1', startTimeoutMs: 30_000 })
  },
  'registered over TCP': async (plugins) => remote(plugins),
}

async function remote(plugins: PluginHost): Promise<DifyPlugin> {
  const host = new DifyHost({ plugins })
  const { promise, resolve } = Promise.withResolvers<DifyPlugin>()
  const listener = await host.listen({ keys: [{ key: KEY, workspaceId: 'w1' }], onPlugin: resolve })
  const stop = new AbortController()
  const served = serveRemote(notes, { address: listener.address, key: KEY, signal: stop.signal })
  onTestFinished(async () => {
    stop.abort()
    await host.close()
    await served
  })
  return promise
}

const said = async (messages: AsyncIterable<unknown>): Promise<unknown[]> => Array.fromAsync(messages)

describe.each(Object.entries(WAYS))('a plugin %s', (way, open) => {
  it('keeps what it is told, in the scope of its workspace', async () => {
    const plugins = await storage()
    const plugin = await open(plugins)
    await said(plugin.invokeTool({ tool: 'remember', parameters: { key: 'k', text: 'naïve 🔑' } }))
    expect(await said(plugin.invokeTool({ tool: 'recall', parameters: { key: 'k' } }))).toMatchObject([
      { type: 'text', message: { text: 'naïve 🔑' } },
    ])
    const { storage: own } = plugins.session({ workspaceId: 'w1', pluginId: 'acme/notes' })
    assert.equal(await own.getText('k'), 'naïve 🔑')
  })

  it('streams, sends bytes, and says how it failed', async () => {
    const plugin = await open(await storage())
    const counted = await said(plugin.invokeTool({ tool: 'count', parameters: { to: 3 } }))
    expect(counted).toMatchObject([1, 2, 3].map((i) => ({ type: 'json', message: { json_object: { i } } })))
    const pieces = (await said(plugin.invokeTool({ tool: 'picture' }))) as { message: { blob: string } }[]
    const bytes = Buffer.concat(pieces.map(({ message }) => Buffer.from(message.blob, 'base64')))
    assert.deepEqual(bytes, Buffer.alloc(20_000, 7))
    await expect(said(plugin.invokeTool({ tool: 'fail' }))).rejects.toThrow('on purpose')
    await expect(said(plugin.invokeTool({ tool: 'gone' }))).rejects.toThrow(/no tool "gone"/)
  })

  it('has the storage that its connection carries, and is told of the rest by name', async () => {
    const [result] = (await said((await open(await storage())).invokeTool({ tool: 'wide' }))) as [
      { message: { json_object: Record<string, string> } },
    ]
    const whole = way.startsWith('in the process')
    expect(result.message.json_object).toEqual({
      set: 'undefined',
      get: '[49]',
      exist: 'true',
      setJson: 'undefined',
      getJson: '{"a":1}',
      getMany: expect.stringMatching(/,null\]$/),
      setMany: 'undefined',
      keys: whole ? '["j","k","x"]' : 'UNSUPPORTED',
      increment: whole ? '1' : 'UNSUPPORTED',
      setIfAbsent: whole ? 'false' : 'UNSUPPORTED',
      ttl: whole ? 'null' : 'UNSUPPORTED',
      delete: 'true',
      missing: 'false',
    })
  })
})

describe('definePlugin', () => {
  const manifest = { author: 'acme', name: 'x', version: '1.0.0' }
  it.each([
    [{ ...manifest, name: 'X' }, /name must be/],
    [{ ...manifest, version: 'one' }, /version must be/],
    [{ ...manifest, author: 'a/b' }, /author\/name/],
    [{ ...manifest, storage: { sizeBytes: 1 } }, /sizeBytes must be/],
  ])('%j is refused', (wrong, message) => {
    assert.throws(() => definePlugin({ manifest: wrong, tools: {} }), message)
  })
})
