import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Proxy } from './proxy.ts'

/** A server that answers each line with its number, and tells what it got. */
async function lines(): Promise<{ proxy: Proxy; got: string[] }> {
  const got: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      got.push(String(chunk))
      socket.write(`${got.length}\n`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await Proxy.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  onTestFinished(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { proxy, got }
}

class Client {
  readonly socket: Socket
  readonly #ended: Promise<string>

  constructor(proxy: Proxy) {
    this.socket = connect(proxy.port, proxy.host)
    this.#ended = new Promise((resolve) => {
      this.socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
      this.socket.once('close', () => resolve('closed'))
    })
  }

  /** The answer to a line, or how the connection ended. */
  async ask(text: string): Promise<string> {
    const answer = once(this.socket, 'data').then(([chunk]) => String(chunk).trim())
    this.socket.write(`${text}\n`)
    return Promise.race([answer, this.#ended])
  }
}

describe('the proxy', () => {
  it('passes everything on, and counts round trips', async () => {
    const { proxy, got } = await lines()
    const client = new Client(proxy)
    expect(await proxy.count(() => client.ask('a'))).toBe(1)
    expect(await client.ask('b')).toBe('2')
    expect(got).toEqual(['a\n', 'b\n'])
    expect(proxy).toMatchObject({ roundTrips: 2, opened: 1, connections: 1 })
    expect(proxy.url('redis://:secret@localhost:6379/1')).toBe(`redis://:secret@127.0.0.1:${proxy.port}/1`)
  })

  it('cuts, resets and heals', async () => {
    const { proxy, got } = await lines()
    const client = new Client(proxy)
    await client.ask('a')
    proxy.cut()
    expect(await client.ask('b')).toBe('ECONNRESET')
    expect(await new Client(proxy).ask('c')).toBe('ECONNRESET')
    proxy.heal()
    expect(await new Client(proxy).ask('d')).toBe('2')
    expect(got).toEqual(['a\n', 'd\n'])
  })

  it('loses a request, an answer, or all behind some bytes', async () => {
    const { proxy, got } = await lines()
    proxy.lose('request')
    expect(await new Client(proxy).ask('a')).toBe('ECONNRESET')
    expect(got).toEqual([])
    proxy.lose('answer')
    expect(await new Client(proxy).ask('b')).toBe('ECONNRESET')
    expect(got).toEqual(['b\n'])
    proxy.lose({ afterBytes: 3 })
    const third = new Client(proxy)
    expect(await third.ask('c')).toBe('2')
    expect(await third.ask('dd')).toBe('ECONNRESET')
    expect(await new Client(proxy).ask('e')).toMatch(/^[34]$/)
    expect(got.join('')).toMatch(/^b\nc\n(d)?e\n$/)
  })

  it('delays, and falls silent', async () => {
    const { proxy } = await lines()
    const client = new Client(proxy)
    await client.ask('a')
    proxy.delay(60)
    const began = performance.now()
    expect(await client.ask('b')).toBe('2')
    expect(performance.now() - began).toBeGreaterThan(110)
    proxy.halfOpen()
    expect(await Promise.race([client.ask('c'), sleep(200, 'silence')])).toBe('silence')
    proxy.heal()
    expect(await client.ask('d')).toBe('ECONNRESET')
    expect(await new Client(proxy).ask('e')).toBe('3')
  })

  it('a server that is down hangs up', async () => {
    const proxy = await Proxy.open({ host: '127.0.0.1', port: 1 })
    onTestFinished(() => proxy.close())
    expect(await new Client(proxy).ask('a')).toBe('ECONNRESET')
  })
})
