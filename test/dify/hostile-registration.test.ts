/** Who comes to a host that listens for plugins, and is let in or not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { DifyPlugin, ListenOptions, Refusal } from '../../src/dify/index.ts'
import type { JsonObject } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { dataOf, hostOn, KEY, manifestOf, memoryState, MIB, open, Puppet, stage } from './puppet.ts'

async function listening(options: Partial<ListenOptions> = {}): Promise<{ address: string; came: DifyPlugin[] }> {
  const host = await hostOn(new PluginHost({ state: await memoryState() }))
  const came: DifyPlugin[] = []
  const { address } = await host.listen({ keys: [{ key: KEY }], onPlugin: (plugin) => came.push(plugin), ...options })
  return { address, came }
}

/** What the host says, and that it hangs up. */
async function refusal(address: string, say: (puppet: Puppet) => void): Promise<string> {
  const puppet = await Puppet.connect(address)
  say(puppet)
  return puppet.ended()
}

const manifestLine = (manifest: JsonObject): JsonObject => ({ type: 'manifest_declaration', data: manifest })
const handshake = (key: unknown): JsonObject => ({ type: 'handshake', data: { key } as JsonObject })

describe('who is let in', () => {
  const wrong: Readonly<Record<string, (puppet: Puppet) => void>> = {
    'another key': (puppet) => puppet.say(handshake('another key, as long as it')),
    'a part of the key': (puppet) => puppet.say(handshake(KEY.slice(0, -1))),
    'no key': (puppet) => puppet.say(handshake(undefined)),
    'a key that is no text': (puppet) => puppet.say(handshake({ toString: KEY })),
    'another message': (puppet) => puppet.say(manifestLine(manifestOf('p'))),
    'no JSON': (puppet) => puppet.socket.write('GET / HTTP/1.1\r\n\r\n'),
    'a key of 5 KB': (puppet) => puppet.say(handshake('k'.repeat(5_000))),
  }
  it.each(Object.entries(wrong))('%s: the same line, and the end', async (_, say) => {
    const { address, came } = await listening()
    assert.equal(await refusal(address, say), 'handshake failed, invalid key')
    assert.deepEqual(came, [])
  })

  it('one that takes its time', async () => {
    const { address } = await listening({ handshakeTimeoutMs: 100 })
    assert.equal(await refusal(address, () => undefined), 'handshake timeout')
    const trickle = await refusal(address, ({ socket }) => {
      const timer = setInterval(() => socket.write('\n'), 10)
      socket.once('close', () => clearInterval(timer))
    })
    assert.equal(trickle, 'handshake timeout')
  })

  const unregistered: Readonly<Record<string, readonly [unknown[], RegExp]>> = {
    'no manifest': [[{ type: 'end', data: {} }], /^the plugin sent no manifest$/],
    'a manifest without a name': [[manifestLine({ author: 'acme' })], /names no author and no name/],
    'a manifest with a path for a name': [[manifestLine({ author: '..', name: 'x' })], /pluginId must be author\/name/],
    'an event before the end': [[{ event: 'heartbeat', session_id: null, data: {} }], /unknown message in the registration/],
    'what is no message': [['text'], /unknown message in the registration/],
    'too many assets': [
      Array.from({ length: 20 }, () => ({ type: 'asset_chunk', data: { filename: 'a', data: 'A'.repeat(1_024), end: false } })),
      /assets of the plugin are too large/,
    ],
    'a line too long': [[manifestLine({ ...manifestOf('p'), label: 'x'.repeat(100_000) })], /unknown message/],
  }
  it.each(Object.entries(unregistered))('%s is refused', async (_, [messages, why]) => {
    const { address, came } = await listening({ maxAssetBytes: 10_240, maxLineBytes: 65_536 })
    const said = await refusal(address, (puppet) => [handshake(KEY), ...messages].forEach((message) => puppet.say(message)))
    assert.match(said, why)
    assert.deepEqual(came, [])
  })

  it('a key opens for its plugins and its workspace only', async () => {
    const keys = [{ key: KEY, pluginIds: ['acme/mine'], workspaceId: 'w1' }]
    const { address, came } = await listening({ keys })
    assert.equal(await refusal(address, (puppet) => puppet.register(manifestOf('other'))), 'this key is not for that plugin')
    const puppet = await Puppet.connect(address)
    puppet.register(manifestOf('mine'))
    await expect.poll(() => came.length).toBe(1)
    const plugin = came[0]!
    const foreign = Array.fromAsync(plugin.invokeTool({ tool: 't', workspaceId: 'w2' }))
    await expect(foreign).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    const session = await open({ puppet, plugin })
    dataOf(await session.store('set', 'k', 'v'))
  })

  it('a key that has ended opens no more, and only its holder learns why', async () => {
    const keys = [{ key: KEY, expiresAt: Date.now() - 1 }]
    const { address, came } = await listening({ keys })
    const ended = await refusal(address, (puppet) => puppet.register(manifestOf('mine')))
    assert.equal(ended, 'handshake failed, the key has ended')
    assert.equal(await refusal(address, (puppet) => puppet.say(handshake('wrong'))), 'handshake failed, invalid key')
    assert.deepEqual(came, [])
  })

  it('a key that ends takes along who came in by it, and nobody else', async () => {
    const [brief, lasting] = ['a key for a short time', 'a key for a long time']
    const keys = [
      { key: brief, expiresAt: Date.now() + 1_000 },
      { key: lasting, expiresAt: Date.now() + 100 * 86_400_000 },
    ]
    const { address, came } = await listening({ keys })
    const [first, second, silent] = [await Puppet.connect(address), await Puppet.connect(address), await Puppet.connect(address)]
    first.register(manifestOf('first'), brief)
    second.register(manifestOf('second'), lasting)
    silent.say(handshake(brief))
    await expect.poll(() => came.length).toBe(2)
    const plugin = came.find(({ pluginId }) => pluginId === 'acme/first')!
    const running = Array.fromAsync(plugin.invokeTool({ tool: 't' }))
    await expect(running).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('its key has ended') })
    assert.match(await first.ended(), /the key has ended$/)
    assert.equal(await silent.ended(), 'handshake failed, the key has ended')
    const other = came.find(({ pluginId }) => pluginId === 'acme/second')!
    const session = await open({ puppet: second, plugin: other })
    dataOf(await session.store('set', 'k', 'v'))
  })

  it('every refusal is told once, with its code and address, and without a key', async () => {
    const refused: Refusal[] = []
    const keys = [
      { key: KEY, pluginIds: ['acme/mine'] },
      { key: `${KEY} that ended`, expiresAt: 1 },
    ]
    const onRefused = (each: Refusal): void => void refused.push(each)
    const { address } = await listening({ keys, onRefused, handshakeTimeoutMs: 500, maxConnections: 1 })
    const says: ((puppet: Puppet) => void)[] = [
      (puppet) => puppet.say(handshake('hidden')),
      (puppet) => puppet.say(handshake(`${KEY} that ended`)),
      (puppet) => puppet.register(manifestOf('other')),
      (puppet) => [handshake(KEY), { type: 'end', data: {} }].forEach((message) => puppet.say(message)),
      () => undefined,
    ]
    for (const [i, say] of says.entries()) {
      await refusal(address, say)
      await expect.poll(() => refused.length).toBe(i + 1)
    }
    const held = await Puppet.connect(address)
    held.say(handshake(KEY))
    await (await Puppet.connect(address)).ended()
    await expect.poll(() => refused.length).toBe(says.length + 1)
    assert.deepEqual(
      refused.map(({ code }) => code),
      ['UNAUTHORIZED', 'UNAUTHORIZED', 'PERMISSION_DENIED', 'INVALID_ARGUMENT', 'TIMEOUT', 'RATE_LIMITED'],
    )
    assert(refused.every((each) => each.address === '127.0.0.1'))
    assert(!JSON.stringify(refused).includes('hidden') && !JSON.stringify(refused).includes(KEY))
  })

  it('keys that are short, or the same, are refused before anybody comes', async () => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    await expect(host.listen({ keys: [{ key: 'short' }] })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    const endless = host.listen({ keys: [{ key: KEY, expiresAt: Number.NaN }] })
    await expect(endless).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(host.listen({ keys: [{ key: KEY }, { key: KEY, workspaceId: 'w1' }] })).rejects.toThrow(
      /two keys .* are the same/,
    )
  })

  it('256 connections and no more, until one leaves', async () => {
    const { address } = await listening()
    const port = Number(address.split(':')[1])
    const sockets: Socket[] = []
    onTestFinished(() => sockets.forEach((socket) => socket.destroy()))
    const dial = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      sockets.push(socket)
      await once(socket, 'connect')
      return socket
    }
    for (let i = 0; i < 256; i++) await dial()
    const over = await Promise.all(Array.from({ length: 20 }, dial))
    for (const socket of over) if (!socket.closed) await once(socket.resume(), 'close')
    assert.equal(sockets.filter((socket) => !socket.destroyed).length, 256)
    const left = once(sockets[0]!, 'close')
    sockets[0]!.destroy()
    await left
    await expect
      .poll(async () => refusal(address, (puppet) => puppet.say(handshake('wrong'))))
      .toBe('handshake failed, invalid key')
  })

  it('two of one name are both there, and the later one is the one', async () => {
    const { host, plugin } = await stage()
    const listener = await host.listen({ keys: [{ key: 'the key of this listener' }] })
    for (const storage of [
      { enabled: true, size: 2_048 },
      { enabled: true, size: 4_096 },
    ]) {
      const puppet = await Puppet.connect(listener.address)
      puppet.register(manifestOf('puppet', storage), 'the key of this listener')
      await expect.poll(() => listener.plugin('acme/puppet')?.manifest.storage.sizeBytes).toBe(storage.size)
    }
    assert.equal(listener.plugins.length, 2)
    assert.equal(listener.plugin('acme/other'), undefined)
    assert.equal(plugin.manifest.storage.sizeBytes, MIB)
  })
})
