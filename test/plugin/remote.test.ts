/** The plugin's side of the protocol, before hosts that are ours and hosts that are not. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { DifyHost, type DifyPlugin } from '../../src/dify/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { definePlugin, serveRemote, type Plugin, type RemoteOptions } from '../../src/plugin/index.ts'
import { memoryState } from '../dify/puppet.ts'
import { PYTHON, withSdk } from '../dify/python.ts'
import { notes } from './notes.ts'
import { OtherHost } from './other-host.ts'

const KEY = 'a key of sufficient length'

/** Serves until the test is over. */
function serving(plugin: Plugin, options: Omit<RemoteOptions, 'key'>): Promise<void> {
  const stop = new AbortController()
  const served = serveRemote(plugin, { key: KEY, retryMs: 50, signal: stop.signal, ...options })
  served.catch(() => undefined)
  onTestFinished(async () => {
    stop.abort()
    await served.catch(() => undefined)
  })
  return served
}

async function before(plugin: Plugin = notes): Promise<OtherHost> {
  const host = await OtherHost.open()
  void serving(plugin, { address: host.address })
  await host.heard(({ event }) => (event === 'heartbeat' ? true : undefined))
  return host
}

const storing = (run: (storage: Parameters<Plugin['run']>[1]['storage']) => unknown): Plugin =>
  definePlugin({ manifest: { author: 'acme', name: 'notes', version: '1.0.0' }, tools: { t: ({ storage }) => run(storage) } })

describe('registering', () => {
  it('says in order who it is, what it has, and that it is alive', async () => {
    const { said } = await before()
    assert.deepEqual(
      said.map(({ type, event }) => type ?? event),
      ['handshake', 'manifest_declaration', 'tool_declaration', 'asset_chunk', 'end', 'heartbeat'],
    )
    assert.deepEqual(said[0], { type: 'handshake', data: { key: KEY } })
    assert.deepEqual(said[5], { event: 'heartbeat', session_id: null, data: {} })
  })

  it('goes on with a heartbeat every ten seconds', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const host = await before()
    vi.advanceTimersByTime(30_000)
    await expect.poll(() => host.said.filter(({ event }) => event === 'heartbeat').length).toBe(4)
  })

  it('a refusal is the end, with what the host said; nobody there is, after the attempts', async () => {
    const host = new DifyHost({ plugins: new PluginHost({ state: await memoryState() }) })
    onTestFinished(() => host.close())
    const { address } = await host.listen({ keys: [{ key: 'the key of somebody else' }] })
    await expect(serving(notes, { address })).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
      message: 'the host refuses the plugin: handshake failed, invalid key',
    })
    await host.close()
    await expect(serving(notes, { address })).rejects.toMatchObject({ code: 'UNAVAILABLE', message: `no host at ${address}` })
    for (const wrong of ['localhost', 'localhost:99999', ':5003', 'a b:1', '']) {
      await expect(serving(notes, { address: wrong })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    }
  })

  it('comes back to a host that was restarted, with its data there', async () => {
    const plugins = new PluginHost({ state: await memoryState() })
    const came: DifyPlugin[] = []
    const open = async (port: number): Promise<{ host: DifyHost; port: number }> => {
      const host = new DifyHost({ plugins })
      onTestFinished(() => host.close())
      const { address } = await host.listen({
        keys: [{ key: KEY, workspaceId: 'w1' }],
        port,
        onPlugin: (plugin) => came.push(plugin),
      })
      return { host, port: Number(address.split(':')[1]) }
    }
    const { host, port } = await open(0)
    void serving(notes, { address: `tcp://127.0.0.1:${port}`, attempts: 100 })
    await expect.poll(() => came.length).toBe(1)
    await Array.fromAsync(came[0]!.invokeTool({ tool: 'remember', parameters: { key: 'k', text: 'kept' } }))
    await host.close()
    await sleep(200)
    await open(port)
    await expect.poll(() => came.length, { timeout: 5_000 }).toBe(2)
    const [said] = await Array.fromAsync(came[1]!.invokeTool({ tool: 'recall', parameters: { key: 'k' } }))
    assert.deepEqual(said?.message, { text: 'kept' })
  })

  it('ends at once when it is told to, also while it waits to try again', async () => {
    const stop = new AbortController()
    const served = serveRemote(notes, { address: '127.0.0.1:1', key: KEY, attempts: 100, retryMs: 60_000, signal: stop.signal })
    await sleep(50)
    const began = performance.now()
    stop.abort()
    await served
    expect(performance.now() - began).toBeLessThan(1_000)
  })
})

describe('before a host of others', () => {
  it('takes what the daemon says of a missing key for that, and everything else for what it is', async () => {
    const host = await before(
      storing(async (storage) => {
        const told: unknown[] = [(await storage.get('missing')) === undefined]
        for (const key of ['quota', 'denied', 'down'])
          told.push(await storage.setText(key, '').catch((error: { code: string }) => error.code))
        return told
      }),
    )
    host.invoke('t')
    const [get, request] = await host.call()
    assert.deepEqual(request, { opt: 'get', key: 'missing' })
    host.answer(get, 'error', 'load data failed, please check if the key is correct or you have not set it', null)
    host.answer(get, 'end', '', null)
    const [exist] = await host.call()
    host.answer(exist, 'response', 'struct', { data: false, exist_num: 0 })
    for (const message of [
      'save data failed: QUOTA_EXCEEDED: …',
      'permission denied, you need to enable storage access',
      'save data failed: disk',
    ]) {
      const [set] = await host.call()
      host.answer(set, 'error', message, null)
    }
    const { streamed } = await host.session()
    assert.deepEqual(streamed[0]!['message'], { json_object: [true, 'QUOTA_EXCEEDED', 'PERMISSION_DENIED', 'UNAVAILABLE'] })
  })

  it('bears lines that are none, answers to nothing, and requests that it does not know', async () => {
    const host = await before()
    // A first line that is no message would be a refusal.
    for (const line of ['{}', 'nonsense', '[]', '{"event":"request"}', '{"event":"request","session_id":"s9","data":null}'])
      host.send(line)
    host.answer('unknown', 'response', 'struct', { data: 'ok' })
    host.send({ session_id: 's2', event: 'request', data: { type: 'model', action: 'invoke_llm' } })
    assert.equal((await host.session('s2')).error?.['message'], 'this plugin has tools only')
    host.invoke('count', { to: 2 })
    assert.equal((await host.session()).streamed.length, 2)
    assert.equal(host.said.filter(({ event }) => event === 'error').length, 2)
  })

  it('a call that is not answered ends with its time, its signal, or the connection', async () => {
    const failed: unknown[] = []
    const keep = ({ code, outcome }: { code: string; outcome?: string }): void => void failed.push([code, outcome])
    const host = await before(
      storing(async (storage) => {
        await storage.get('a', { timeoutMs: 20 }).catch(keep)
        await storage.get('b', { signal: AbortSignal.timeout(20) }).catch(keep)
        await storage.get('c').catch(keep)
        await storage.get('d').catch(keep)
      }),
    )
    host.invoke('t')
    for (const key of ['a', 'b', 'c']) assert.equal((await host.call())[1]['key'], key)
    host.sockets[0]!.destroy()
    await expect
      .poll(() => failed)
      .toEqual([
        ['TIMEOUT', 'unknown'],
        ['ABORTED', 'unknown'],
        ['UNAVAILABLE', 'unknown'],
        ['UNAVAILABLE', 'not-applied'],
      ])
  })

  it('a tool without end waits for a host that does not read, and ends with the connection', async () => {
    let said = 0
    let isOver = false
    const endless = definePlugin({
      manifest: { author: 'acme', name: 'notes', version: '1.0.0' },
      tools: {
        async *t() {
          try {
            for (;;) {
              said++
              yield 'x'.repeat(10_000)
            }
          } finally {
            isOver = true
          }
        },
      },
    })
    const host = await before(endless)
    host.sockets[0]!.pause()
    host.invoke('t')
    await expect
      .poll(async () => {
        const before = said
        await sleep(100)
        return said > 0 && said === before
      })
      .toBe(true)
    expect(said).toBeLessThan(5_000)
    host.sockets[0]!.destroy()
    await expect.poll(() => isOver).toBe(true)
  })
})

withSdk('what it says of itself', () => {
  const CHECK = `
import json, sys
from dify_plugin.core.entities.message import InitializeMessage
from dify_plugin.core.entities.plugin.setup import PluginConfiguration
from dify_plugin.core.server.__base.writer_entities import StreamOutputMessage
from dify_plugin.entities.tool import ToolConfiguration, ToolInvokeMessage, ToolProviderConfiguration, ToolProviderIdentity

for line in sys.stdin:
    message = json.loads(line)
    if "event" in message:
        StreamOutputMessage(**message)
        data = message["data"]
        if message["event"] == "session" and data["type"] == "stream":
            kind = ToolInvokeMessage(**data["data"])
            print(kind.type.value, type(kind.message).__name__)
        continue
    InitializeMessage(**message)
    data = message["data"]
    if message["type"] == "manifest_declaration":
        known = PluginConfiguration(**data)
        print("manifest", known.author, known.name, known.version, known.resource.permission.storage.size)
        missing = set(data) - set(json.loads(known.model_dump_json()))
        assert not missing, missing
    if message["type"] == "tool_declaration":
        for provider in data:
            ToolProviderIdentity(**provider["identity"])
            tools = [ToolConfiguration(**tool) for tool in provider["tools"]]
            ToolProviderConfiguration.model_validate({**provider, "tools": []})
            print("tools", *[tool.identity.name for tool in tools])
    if message["type"] == "asset_chunk":
        InitializeMessage.AssetChunk(**data)
`

  it('is what the models of the SDK take, so that others take it', { timeout: 60_000 }, async () => {
    const host = await before()
    host.invoke('count', { to: 1 })
    await host.session()
    host.invoke('picture', {}, 's2')
    await host.session('s2')
    const child = spawn(PYTHON, ['-c', CHECK], { stdio: ['pipe', 'pipe', 'pipe'] })
    let [out, error] = ['', '']
    child.stdout.on('data', (text: Buffer) => (out += String(text)))
    child.stderr.on('data', (text: Buffer) => (error += String(text)))
    child.stdin.end(host.said.map((message) => `${JSON.stringify(message)}\n`).join(''))
    const code = await new Promise((resolve) => child.once('close', resolve))
    assert.equal(code, 0, error)
    assert.deepEqual(out.trim().split('\n'), [
      'manifest acme notes 1.0.0 4096',
      'tools remember recall count picture fail wide',
      'json JsonMessage',
      ...Array.from({ length: 4 }, () => 'blob_chunk BlobChunkMessage'),
    ])
  })
})
