/** What comes over a connection from a plugin that means no good, or that is broken. */
import assert from 'node:assert/strict'
import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/index.ts'
import { PluginHost } from '../../src/plugin-storage/index.ts'
import { dataOf, memoryState, MIB, open, stage, textOf } from './puppet.ts'

describe('whose session it is', () => {
  it('another plugin’s, one that is over, and one that never was: the same answer', async () => {
    const plugins = new PluginHost({ state: await memoryState() })
    const mine = await stage({ name: 'mine', plugins })
    const theirs = await stage({ name: 'theirs', plugins })
    const session = await open(theirs, 'w1')
    dataOf(await session.store('set', 'k', 'theirs'))
    const over = await open(mine, 'w1')
    await over.end()
    for (const id of [session.sessionId, over.sessionId, '00000000-0000-4000-8000-000000000000', 'x', '../w1']) {
      for (const opt of ['get', 'set', 'del', 'exist']) {
        const answer = await mine.puppet.call(id, { opt, key: 'k', value: '00' })
        assert.deepEqual(answer, { event: 'error', message: 'PERMISSION_DENIED: there is no such session', data: null })
      }
    }
    assert.equal(textOf(await session.store('get', 'k')), 'theirs')
  })

  it('the same key is another value for each plugin and each workspace', async () => {
    const plugins = new PluginHost({ state: await memoryState() })
    const [a, b] = [await stage({ name: 'a', plugins }), await stage({ name: 'b', plugins })]
    const sessions = [await open(a, 'w1'), await open(a, 'w2'), await open(b, 'w1'), await open(b, 'w2'), await open(a)]
    for (const [i, session] of sessions.entries()) dataOf(await session.store('set', 'acme/a', String(i)))
    for (const [i, session] of sessions.entries()) assert.equal(textOf(await session.store('get', 'acme/a')), String(i))
  })

  it('what is said in sessions of others changes nothing there', async () => {
    const plugins = new PluginHost({ state: await memoryState() })
    const [mine, theirs] = [await stage({ name: 'mine', plugins }), await stage({ name: 'theirs', plugins })]
    const session = await open(theirs)
    for (const id of [session.sessionId, 'none']) {
      mine.puppet.inSession(id, 'stream', { type: 'text', message: { text: 'forged' } })
      mine.puppet.inSession(id, 'error', { error_type: 'E', message: 'forged' })
      mine.puppet.inSession(id, 'end', {})
    }
    dataOf(await (await open(mine)).store('set', 'k', 'v'))
    theirs.puppet.inSession(session.sessionId, 'stream', { type: 'text', message: { text: 'true' } })
    assert.deepEqual(await session.end(), [{ type: 'text', message: { text: 'true' }, meta: null }])
  })
})

describe('lines', () => {
  it('one that is too long is an error for the very call, and the plugin goes on', async () => {
    const set = await stage({ listen: { maxLineBytes: MIB }, storage: { enabled: true, size: 16 * MIB } })
    const session = await open(set)
    dataOf(await session.store('set', 'k', 'old'))
    const refused = await session.store('set', 'k', Buffer.alloc(8 * MIB))
    assert.match(refused.message, /^unmarshal backwards invoke request failed: VALUE_TOO_LARGE: /)
    assert.equal(textOf(await session.store('get', 'k')), 'old')
    // One that is too long for its session to show anything else ends that one alone.
    const talking = Array.fromAsync(set.plugin.invokeTool({ tool: 't' }))
    const { sessionId } = await set.puppet.opened()
    set.puppet.inSession(sessionId, 'stream', { type: 'text', message: { text: 'x'.repeat(2 * MIB) } })
    await expect(talking).rejects.toMatchObject({ code: 'VALUE_TOO_LARGE' })
    set.puppet.socket.write(`${'y'.repeat(20 * MIB)}\n`)
    assert.equal(textOf(await session.store('get', 'k')), 'old')
  })

  it('a long one may come in any number of pieces', async () => {
    const set = await stage({ storage: { enabled: true, size: 16 * MIB } })
    const session = await open(set)
    const line = JSON.stringify({
      event: 'session',
      session_id: session.sessionId,
      data: {
        type: 'invoke',
        data: { type: 'storage', backwards_request_id: 'r', request: { opt: 'set', key: 'k', value: 'ab'.repeat(200_000) } },
      },
    })
    for (let at = 0; at < line.length; at += 40) {
      set.puppet.socket.write(line.slice(at, at + 40))
      if (at % 8_000 === 0) await new Promise(setImmediate)
    }
    set.puppet.socket.write('\n\n')
    dataOf(await set.puppet.answerTo('r'))
    assert.equal((dataOf(await session.store('get', 'k'))['data'] as string).length, 400_000)
  })

  const requests: Readonly<Record<string, unknown>> = {
    'no request': undefined,
    'a request of null': null,
    'a request that is a list': [],
    'no opt': { key: 'k' },
    'an opt that is none': { opt: 'drop', key: 'k' },
    'an opt of the prototype': { opt: '__proto__', key: 'k' },
    'a key that is a number': { opt: 'get', key: 1 },
    'a key that is a list': { opt: 'del', key: ['k'] },
    'no key': { opt: 'get' },
    'an empty key': { opt: 'get', key: '' },
    'a key too long': { opt: 'get', key: 'x'.repeat(1_000) },
    'a key with U+0000': { opt: 'set', key: 'a\0b', value: '' },
    'a key with half a character': { opt: 'set', key: '\ud800', value: '' },
    'no value': { opt: 'set', key: 'k' },
    'a value with an odd digit': { opt: 'set', key: 'k', value: 'abc' },
    'a value that is not hexadecimal': { opt: 'set', key: 'k', value: 'zz' },
    'a value that is an object': { opt: 'set', key: 'k', value: {} },
  }
  it.each(Object.entries(requests))('%s: a coded error', async (_, request) => {
    const set = await stage()
    const session = await open(set)
    const answer = await set.puppet.call(session.sessionId, request as JsonObject)
    assert.equal(answer.event, 'error')
    assert.match(answer.message, /: INVALID_ARGUMENT: /)
    assert.doesNotMatch(answer.message, /\bw1\b|\/tmp|node_modules/)
    assert.deepEqual(dataOf(await session.store('exist', 'k')), { data: false, exist_num: 0 })
  })

  it('one whose end comes later is taken at once, and its end is acknowledged', async () => {
    const set = await stage()
    const session = await open(set)
    const call = (id: string): string =>
      JSON.stringify({
        event: 'session',
        session_id: session.sessionId,
        data: { type: 'invoke', data: { type: 'storage', backwards_request_id: id, request: { opt: 'exist', key: '{}}' } } },
      })
    // As the SDK writes: the message, and then its end by itself. Were either held back, each would take 40 ms.
    const { socket } = set.puppet
    socket.setNoDelay(false)
    const began = performance.now()
    for (let i = 0; i < 50; i++) {
      socket.write(call(`r${i}`))
      setImmediate(() => socket.write('\n\n'))
      dataOf(await set.puppet.answerTo(`r${i}`))
    }
    expect(performance.now() - began).toBeLessThan(1_000)
    // What follows a whole object on its line is a line of its own.
    socket.write(`${call('a')}${call('b')}\n`)
    assert.match((await set.puppet.answerTo('a')).message, /the line is no message/)
    socket.write(call('c'))
    await set.puppet.answerTo('c')
    socket.write(`rest\n${call('d')}\n`)
    dataOf(await set.puppet.answerTo('d'))
  })

  it('a flood of nonsense does not stop the host, nor the plugin', async () => {
    const logged: string[] = []
    const set = await stage({ rules: { onLog: (_, text) => logged.push(text) } })
    const session = await open(set)
    const broken = `{"event":"session","session_id":"${session.sessionId}","data":{"type":"invoke","data":{"type":"storage","backwards_request_id":"lost","request":{"opt":"set","key":"k","value":"736563726574`
    for (let i = 0; i < 200; i++) set.puppet.socket.write('nonsense\n{}\n[1]\nnull\n\u0000\n'.repeat(50))
    set.puppet.socket.write(`${broken}\n`)
    assert.match((await set.puppet.answerTo('lost')).message, /INVALID_ARGUMENT: the line is no message/)
    dataOf(await session.store('set', 'k', 'v'))
    assert.equal(textOf(await session.store('get', 'k')), 'v')
    assert.ok(logged.some((text) => text === 'printed: nonsense'))
    assert.ok(!logged.some((text) => text.includes('736563726574')), 'a value was logged')
  })
})

describe('calls that an embedder answers', () => {
  const invoke = async (onInvoke: (type: string) => unknown): Promise<unknown[]> => {
    const set = await stage({ rules: { onInvoke: onInvoke as () => JsonObject } })
    const session = await open(set, 'w1')
    set.puppet.inSession(session.sessionId, 'invoke', { type: 'llm', backwards_request_id: 'r', request: {} })
    return (await set.puppet.answersTo('r')).map(({ event, message, data }) => [event, message, data])
  }

  it('may come in parts, be told of a refusal, and never of what else went wrong', async () => {
    async function* parts(): AsyncGenerator<JsonObject> {
      yield { delta: 1 }
      yield { delta: 2 }
    }
    const end = ['end', '', null]
    assert.deepEqual(await invoke(parts), [['response', 'struct', { delta: 1 }], ['response', 'struct', { delta: 2 }], end])
    assert.deepEqual(await invoke(() => ({ ok: true })), [['response', 'struct', { ok: true }], end])
    const failing = (): never => {
      throw new Error('connect failed: postgres://u:secret@db')
    }
    assert.deepEqual(await invoke(failing), [['error', 'UNAVAILABLE: the call failed', null], end])
  })
})
