/** The transcript in the documentation is what goes over the wire between the real SDK and this host. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { it, onTestFinished } from 'vitest'
import type { DifyPlugin } from '../../src/dify/index.ts'
import { linesOf } from '../../src/dify/lines.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { ROOT } from '../support.ts'
import { hostOn, KEY, memoryState } from './puppet.ts'
import { pluginFolder, PYTHON, withSdk } from './python.ts'

/** Passes everything on, and notes it line by line: `>` to the plugin, `<` from it. */
async function tapped(address: string): Promise<{ address: string; lines: string[] }> {
  const [host, port] = address.split(':')
  const lines: string[] = []
  const sockets: Socket[] = []
  const server = createServer((plugin) => {
    const upstream = connect(Number(port), host)
    for (const [from, to, mark] of [
      [plugin, upstream, '<'],
      [upstream, plugin, '>'],
    ] as const) {
      sockets.push(from)
      from.on('error', () => undefined).on('close', () => to.destroy())
      void note(from, (line) => lines.push(`${mark} ${line.trim()}`))
      from.on('data', (chunk: Buffer) => to.write(chunk))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, lines }
}

/** Messages as soon as they are whole, as the host takes them. */
async function note(socket: Socket, keep: (line: string) => void): Promise<void> {
  const copy = new PassThrough()
  socket.on('data', (chunk: Buffer) => copy.write(chunk))
  for await (const { text } of linesOf(copy, () => Infinity, { eager: true })) keep(text)
}

/** What differs each time by what it is. */
function plain(lines: readonly string[]): string {
  const calls = new Map<string, string>()
  const nameOf = (id: string): string => calls.get(id) ?? calls.set(id, `call ${calls.size + 1}`).get(id)!
  return lines
    .join('\n')
    .replaceAll(/"session_id":"[\w-]{36}"/g, '"session_id":"session 1"')
    .replaceAll(/"backwards_request_id":"(\w{32})"/g, (_, id: string) => `"backwards_request_id":"${nameOf(id)}"`)
}

withSdk('the transcript in docs/dify.md', () => {
  it('is what goes over the wire', { timeout: 60_000 }, async () => {
    const host = await hostOn(new PluginHost({ state: await memoryState() }))
    const { promise, resolve } = Promise.withResolvers<DifyPlugin>()
    const listener = await host.listen({ keys: [{ key: KEY, workspaceId: 'w1' }], onPlugin: resolve })
    const { address, lines } = await tapped(listener.address)
    const env = { PATH: process.env['PATH'], INSTALL_METHOD: 'remote', REMOTE_INSTALL_URL: address, REMOTE_INSTALL_KEY: KEY }
    const child = spawn(PYTHON, ['-m', 'main'], {
      cwd: await pluginFolder({ name: 'oauth_flag', parameters: ['account'] }),
      env,
      stdio: 'ignore',
    })
    onTestFinished(async () => {
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    const plugin = await promise
    lines.length = 0
    await Array.fromAsync(plugin.invokeTool({ tool: 'oauth_flag', parameters: { account: 'ada' } }))
    const seen = plain(lines.filter((line) => !line.includes('"event":"heartbeat"') && !line.includes('"event":"log"')))
    const documented = /```jsonl\n(.*?)```/s.exec(await readFile(join(ROOT, 'docs', 'dify.md'), 'utf8'))![1]!
    assert.equal(seen, documented.trim())
  })
})
