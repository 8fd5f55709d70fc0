/** What a host does about too much, and about an end. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { dataOf, manifestOf, MIB, open, Puppet, stage, stateWhere } from './puppet.ts'

describe('too much', () => {
  it('of calls: those beyond the limit are refused, the others answered', async () => {
    const gate = Promise.withResolvers<void>()
    let isSlow = false
    const state = await stateWhere((backend) => ({
      get: async (...args) => {
        if (isSlow) await gate.promise
        return backend.get(...args)
      },
    }))
    const set = await stage({ plugins: new PluginHost({ state }), rules: { maxCalls: 10 } })
    const session = await open(set)
    dataOf(await session.store('set', 'k', 'v'))
    isSlow = true
    const calls = Promise.all(Array.from({ length: 30 }, () => session.store('get', 'k')))
    await sleep(200)
    gate.resolve()
    const answers = await calls
    assert.equal(answers.filter(({ message }) => message === 'RATE_LIMITED: too many calls wait for an answer').length, 20)
    assert.equal(answers.filter(({ event }) => event === 'response').length, 10)
  })

  it('of large values at once: they wait for each other, and all are answered', { timeout: 60_000 }, async () => {
    const set = await stage({ storage: { enabled: true, size: 8 * MIB }, rules: { maxPendingBytes: 2 * MIB } })
    const session = await open(set)
    for (const key of ['a', 'b', 'c']) dataOf(await session.store('set', key, Buffer.alloc(2 * MIB, key)))
    const keys = Array.from({ length: 24 }, (_, i) => 'abc'[i % 3]!)
    const answers = await Promise.all(keys.map((key) => session.store('get', key)))
    for (const [i, key] of keys.entries()) {
      const hex = dataOf(answers[i]!)['data'] as string
      assert.equal(hex.length, 4 * MIB)
      assert.equal(hex.slice(0, 2), Buffer.from(key).toString('hex'))
    }
  })

  it('of answers that the plugin does not read: it is ended before they fill the host', { timeout: 60_000 }, async () => {
    const set = await stage({ rules: { maxPendingBytes: 4 * MIB } })
    const session = await open(set)
    dataOf(await session.store('set', 'k', Buffer.alloc(MIB)))
    const before = process.memoryUsage().rss
    set.puppet.socket.pause()
    const call = (id: number): string =>
      `{"event":"session","session_id":"${session.sessionId}","data":{"type":"invoke","data":{"type":"storage","backwards_request_id":"${id}","request":{"opt":"exist","key":"k"}}}}\n`
    let most = 0
    for (let i = 0; i < 3_000 && !set.puppet.socket.destroyed; i++) {
      set.puppet.socket.write(Array.from({ length: 100 }, (_, n) => call(i * 100 + n)).join(''))
      await new Promise(setImmediate)
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    expect((await set.plugin.ended)?.message).toMatch(/does not read the answers to its calls/)
    // The test itself holds what it has not sent yet.
    expect(most / MIB).toBeLessThan(200)
    await expect(Array.fromAsync(set.plugin.invokeTool({ tool: 't' }))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('of messages that nobody reads: their session fails, and no other', async () => {
    const set = await stage({ rules: { maxPendingBytes: MIB } })
    const other = await open(set)
    const messages = set.plugin.invokeTool({ tool: 't' })
    const first = messages.next()
    const { sessionId } = await set.puppet.opened()
    const piece = { type: 'text', message: { text: 'x'.repeat(100_000) } }
    for (let i = 0; i < 50; i++) set.puppet.inSession(sessionId, 'stream', piece)
    await first
    dataOf(await other.store('set', 'k', 'v'))
    const rest = Array.fromAsync(messages)
    await expect(rest).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' })
    assert.deepEqual(await set.puppet.call(sessionId, { opt: 'get', key: 'k' }), {
      event: 'error',
      message: 'PERMISSION_DENIED: there is no such session',
      data: null,
    })
    assert.equal(set.plugin.sessions, 1)
  })
})

describe('how it ends', () => {
  it('a caller that leaves, gives up or waits too long leaves no session behind', async () => {
    const set = await stage()
    const text = { type: 'text', message: { text: 'x' } }
    const leaving = set.plugin.invokeTool({ tool: 't' })
    const first = leaving.next()
    set.puppet.inSession((await set.puppet.opened()).sessionId, 'stream', text)
    await first
    await leaving.return()
    const stop = new AbortController()
    const aborted = Array.fromAsync(set.plugin.invokeTool({ tool: 't', signal: stop.signal }))
    await set.puppet.opened()
    stop.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    await expect(Array.fromAsync(set.plugin.invokeTool({ tool: 't', timeoutMs: 50 }))).rejects.toMatchObject({ code: 'TIMEOUT' })
    assert.equal(set.plugin.sessions, 0)
    // Calls and messages are signs of life, also where the caller is slow to read.
    const busy = set.plugin.invokeTool({ tool: 't', timeoutMs: 300 })
    const begin = busy.next()
    await set.puppet.opened()
    const { sessionId } = await set.puppet.opened()
    for (let i = 0; i < 4; i++) {
      await sleep(120)
      set.puppet.inSession(sessionId, 'stream', text)
      await sleep(120)
      dataOf(await set.puppet.call(sessionId, { opt: 'exist', key: 'k' }))
    }
    set.puppet.inSession(sessionId, 'end', {})
    await begin
    assert.equal((await Array.fromAsync(busy)).length, 3)
  })

  it.each([
    ['hangs up', ({ socket }: Puppet) => socket.destroy(), /it hung up|connection was lost/],
    ['closes its half', ({ socket }: Puppet) => socket.end(), /it hung up/],
    ['resets', ({ socket }: Puppet) => socket.resetAndDestroy(), /connection was lost|hung up/],
    ['is silent', () => undefined, /it was silent for 300 ms/],
  ])('a plugin that %s: its sessions fail, and the host waits for the next', async (_, leave, why) => {
    const set = await stage({ listen: { heartbeatTimeoutMs: 300 } })
    const waiting = Array.fromAsync(set.plugin.invokeTool({ tool: 't' }))
    await set.puppet.opened()
    leave(set.puppet)
    await expect(waiting).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      outcome: 'unknown',
      message: expect.stringMatching(why) as string,
    })
    const next = await Puppet.connect(set.address)
    next.register(manifestOf('puppet'))
    next.say({ event: 'heartbeat', session_id: null, data: {} })
    await sleep(50)
    assert.equal(next.socket.closed, false)
  })

  it('heartbeats keep it alive', async () => {
    const set = await stage({ listen: { heartbeatTimeoutMs: 300 } })
    for (let i = 0; i < 6; i++) {
      set.puppet.say({ event: 'heartbeat', session_id: null, data: {} })
      await sleep(100)
    }
    dataOf(await (await open(set)).store('set', 'k', 'v'))
  })

  it('closing the host ends everything, once', async () => {
    const set = await stage()
    const waiting = Array.fromAsync(set.plugin.invokeTool({ tool: 't' }))
    await set.puppet.opened()
    await Promise.all([set.host.close(), expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' })])
    await set.host.close()
    await set.puppet.ended()
    await expect(set.host.listen({ keys: [] })).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })
})
