/** What is wrong with the persistence of Dify's own daemon, each a test that this host passes, as seen by a plugin on the wire. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { HoldfastError, STATE_STORES, type StateStore } from '../../src/index.ts'
import { generateKey, PluginHost } from '../../src/plugin-storage/index.ts'
import { scratch } from '../support.ts'
import { dataOf, manifestOf, open, stage, stateWhere, textOf, type Answer, type Session, type Stage } from './puppet.ts'

const SCOPE = { workspaceId: 'w1', pluginId: 'acme/puppet' }
const KIB = 1_024

async function onDisk(folder?: string): Promise<StateStore> {
  const state = await STATE_STORES.create('sqlite', { path: join(folder ?? (await scratch()), 'state.db') })
  onTestFinished(() => state.close())
  return state
}

interface Play extends Stage {
  readonly session: Session
}

/** A puppet with a session in its hands, its values in a file. */
async function play(options: { state?: StateStore; size?: number } = {}): Promise<Play> {
  const plugins = new PluginHost({ state: options.state ?? (await onDisk()) })
  const set = await stage({ plugins, storage: { enabled: true, size: options.size ?? 1_024 * KIB } })
  return { ...set, session: await open(set, 'w1') }
}

const filled = (size: number, byte = 65): Uint8Array => Buffer.alloc(size, byte)
const isError = ({ event }: Answer): boolean => event === 'error'

describe('the defects of Dify’s daemon', () => {
  it('1. the quota is checked before the write: a refused set leaves the old value', async () => {
    const { session } = await play({ size: KIB })
    dataOf(await session.store('set', 'k', filled(600)))
    const refused = await session.store('set', 'k', filled(KIB + 1, 66))
    expect(refused).toMatchObject({ event: 'error', data: null })
    assert.match(refused.message, /^save data failed: QUOTA_EXCEEDED: 600 of 1024 bytes are used/)
    assert.equal(textOf(await session.store('get', 'k')), 'A'.repeat(600))
  })

  it('2. a refused set is refused again, however often it is repeated', async () => {
    const { session, plugins } = await play({ size: KIB })
    dataOf(await session.store('set', 'other', filled(600)))
    for (let i = 0; i < 5; i++) assert.match((await session.store('set', 'k', filled(600))).message, /QUOTA_EXCEEDED/)
    assert.deepEqual(dataOf(await session.store('exist', 'k')), { data: false, exist_num: 0 })
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 600)
  })

  it('3. concurrent first writes have one counter, and it is right', async () => {
    const { plugins, ...set } = await play({ size: 64 * KIB })
    const sessions = await Promise.all(Array.from({ length: 10 }, () => open(set, 'w1')))
    const answers = await Promise.all(
      sessions.flatMap((session, s) => Array.from({ length: 10 }, (_, i) => session.store('set', `k${s}.${i}`, filled(KIB)))),
    )
    assert.equal(answers.filter(isError).length, 36)
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 64 * KIB)
    assert.equal((await Array.fromAsync(plugins.scopes())).length, 1)
  })

  it('4. concurrent deletes count once, and the size never goes below zero', async () => {
    const { session, plugins } = await play()
    dataOf(await session.store('set', 'kept', filled(10)))
    dataOf(await session.store('set', 'k', filled(5_000)))
    const answers = await Promise.all(Array.from({ length: 20 }, () => session.store('del', 'k')))
    assert.equal(
      answers.reduce((sum, answer) => sum + (dataOf(answer)['deleted_num'] as number), 0),
      1,
    )
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 10)
  })

  it('5. a delete removes its key and nothing else, whatever the key looks like', async () => {
    const { session, plugins } = await play()
    const keys = ['a', 'a/b', 'a/c', 'ab', '..', 'x/../a']
    for (const key of keys) dataOf(await session.store('set', key, key))
    for (const key of ['.', '/', './', '../', '*', '%', '']) await session.store('del', key)
    const { storage } = plugins.session(SCOPE)
    assert.deepEqual(await storage.keys(), keys.toSorted())
    dataOf(await session.store('del', 'a'))
    assert.deepEqual(await storage.keys(), keys.filter((key) => key !== 'a').toSorted())
  })

  it('6. spellings of a path are keys of their own, and none shows the value of another', async () => {
    const { session } = await play()
    const keys = ['a', './a', 'x/../a', '/a', 'a/', 'a//', 'A', 'a ', 'á', 'a\u0301']
    for (const key of keys) dataOf(await session.store('set', key, `value of ${key}`))
    for (const key of keys) assert.equal(textOf(await session.store('get', key)), `value of ${key}`)
    dataOf(await session.store('set', 'a', 'changed'))
    for (const key of keys.slice(1)) assert.equal(textOf(await session.store('get', key)), `value of ${key}`)
  })

  it('7. after a set or a delete has been answered, no read gives the value from before', async () => {
    const { session, ...set } = await play()
    const other = await open(set, 'w1')
    for (let round = 0; round < 50; round++) {
      const readers = [session, other].map((each) => each.store('get', 'k'))
      dataOf(await session.store('set', 'k', `round ${round}`))
      const [first, second] = await Promise.all([other.store('get', 'k'), session.store('get', 'k'), ...readers])
      assert.deepEqual([textOf(first), textOf(second)], [`round ${round}`, `round ${round}`])
      const racing = other.store('get', 'k')
      dataOf(await session.store('del', 'k'))
      await racing
      assert.equal(textOf(await other.store('get', 'k')), '')
    }
  })

  it('8. a failure is told as one, and only a missing key as missing', async () => {
    let failure: HoldfastError | undefined
    const state = await stateWhere((backend) => ({
      get: async (...args) => {
        if (failure !== undefined) throw failure
        return backend.get(...args)
      },
    }))
    const { session } = await play({ state })
    dataOf(await session.store('set', 'k', 'value'))
    assert.deepEqual(dataOf(await session.store('get', 'missing')), { data: '' })
    assert.deepEqual(dataOf(await session.store('exist', 'missing')), { data: false, exist_num: 0 })
    failure = new HoldfastError('UNAUTHORIZED', 'password of postgres://holdfast:secret@db refused')
    for (const opt of ['get', 'exist']) {
      const { event, message } = await session.store(opt, 'k')
      assert.equal(event, 'error')
      assert.equal(message, 'load data failed: UNAUTHORIZED: the storage failed')
    }
  })

  it('9. deleting what is not there is no error, and tells no path', async () => {
    const { session } = await play()
    for (const key of ['missing', '../../etc/passwd', 'a/b/c']) {
      assert.deepEqual(dataOf(await session.store('del', key)), { data: 'ok', deleted_num: 0 })
    }
    const refused = await session.store('del', 'x'.repeat(257))
    assert.match(refused.message, /^delete data failed: INVALID_ARGUMENT: key/)
    assert.doesNotMatch(refused.message, /\/tmp|holdfast-test|sqlite|w1/)
  })

  it('10. an outage reads as an outage, and the counter stays right', async () => {
    let isDown = false
    const down = async <T>(work: () => Promise<T>): Promise<T> => {
      if (isDown) throw new HoldfastError('UNAVAILABLE', 'connect ECONNREFUSED 10.0.0.7:5432', { outcome: 'not-applied' })
      return work()
    }
    const state = await stateWhere((backend) => ({
      get: (...args) => down(async () => backend.get(...args)),
      commit: (...args) => down(async () => backend.commit(...args)),
    }))
    const { session, plugins } = await play({ state })
    dataOf(await session.store('set', 'k', filled(100)))
    isDown = true
    const answers = await Promise.all(
      [...Array(5).keys()].flatMap((i) => [
        session.store('get', 'k'),
        session.store('exist', 'k'),
        session.store('set', 'k', filled(200 + i)),
        session.store('del', 'k'),
      ]),
    )
    for (const { event, message } of answers) {
      assert.equal(event, 'error')
      assert.match(message, /UNAVAILABLE: the storage does not answer$/)
    }
    isDown = false
    assert.equal(textOf(await session.store('get', 'k')), 'A'.repeat(100))
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 100)
  })

  it('11. a write that happened is not told as an error, though its first answer was lost', async () => {
    let lose = 0
    const state = await stateWhere((backend) => ({
      commit: async (...args) => {
        const result = await backend.commit(...args)
        if (lose > 0) {
          lose--
          throw new HoldfastError('UNAVAILABLE', 'the answer was lost', { outcome: 'unknown' })
        }
        return result
      },
    }))
    const { session, plugins } = await play({ state })
    dataOf(await session.store('set', 'k', 'old'))
    lose = 1
    assert.deepEqual(dataOf(await session.store('set', 'k', 'new value')), { data: 'ok' })
    assert.equal(textOf(await session.store('get', 'k')), 'new value')
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 9)
  })

  it('12. "a" and "a/b" coexist, and dots are nothing special', async () => {
    const { session } = await play()
    for (const key of ['a', 'a/b', 'a/b/c', 'user..x', '...', '~', '\\', 'a:b', '𝒳', 'con', 'x'.repeat(256)]) {
      dataOf(await session.store('set', key, key))
      assert.equal(textOf(await session.store('get', key)), key)
    }
  })

  it('13. a reader sees the old value or the new one, whole', { timeout: 60_000 }, async () => {
    const size = 700_000
    const { session, ...set } = await play({ size: 8_192 * KIB })
    const reader = await open(set, 'w1')
    dataOf(await session.store('set', 'k', filled(size, 0)))
    const done = new AbortController()
    const writing = (async () => {
      for (let byte = 1; byte <= 20; byte++) dataOf(await session.store('set', 'k', filled(size - byte, byte)))
      done.abort()
    })()
    let reads = 0
    while (!done.signal.aborted) {
      const bytes = Buffer.from(dataOf(await reader.store('get', 'k'))['data'] as string, 'hex')
      const [byte = -1] = bytes
      assert.ok(bytes.equals(filled(size - byte, byte)), `torn: ${bytes.length} bytes that begin with ${byte}`)
      reads++
    }
    await writing
    expect(reads).toBeGreaterThan(3)
  })

  it('14. what an uninstalled plugin had is gone with one call, counter and all', async () => {
    const { session, plugins } = await play()
    for (const key of ['a', 'b', 'c']) dataOf(await session.store('set', key, filled(5_000)))
    assert.equal(await plugins.clear(SCOPE), 3)
    assert.deepEqual(await Array.fromAsync(plugins.scopes()), [])
    assert.deepEqual(dataOf(await session.store('exist', 'a')), { data: false, exist_num: 0 })
    assert.equal((await plugins.usage(SCOPE)).usedBytes, 0)
  })

  it('15. a session’s id opens nothing at the transaction endpoint', async () => {
    const { session, host } = await play()
    const transactions = await host.transactions()
    const [mine, others] = [transactions.reserve(), transactions.reserve()]
    mine.connect({ url: 'http://127.0.0.1:1', manifest: manifestOf('web') })
    const post = async (base: string, sessionId: string): Promise<{ status: number; body: string }> => {
      const invoke = { type: 'storage', backwards_request_id: 'r1', request: { opt: 'set', key: 'k', value: '00' } }
      const response = await fetch(`${base}/backwards-invocation/transaction`, {
        method: 'POST',
        headers: { 'dify-plugin-session-id': sessionId },
        body: `${JSON.stringify({ event: 'session', session_id: sessionId, data: { type: 'invoke', data: invoke } })}\n\n`,
      })
      return { status: response.status, body: await response.text() }
    }
    const base = new URL(mine.daemonUrl).origin
    // Without an address, with one whose plugin is not there, and with that of another plugin.
    assert.equal((await post(base, session.sessionId)).status, 404)
    const unknown = await post(others.daemonUrl, session.sessionId)
    assert.equal(unknown.status, 401)
    assert.match(unknown.body, /"event":"error","message":"UNAUTHORIZED: /)
    const foreign = await post(mine.daemonUrl, session.sessionId)
    assert.match(foreign.body, /"event":"error","message":"PERMISSION_DENIED: there is no such session"/)
    assert.deepEqual(dataOf(await session.store('exist', 'k')), { data: false, exist_num: 0 })
  })

  it('16. what is missing altogether is there for the host: keys, TTL, set-if-absent, increment, batches, encryption', async () => {
    const folder = await scratch()
    const encryption = { current: 'k1', keys: { k1: generateKey() } }
    const plugins = new PluginHost({ state: await onDisk(folder), encryption })
    const set = await stage({ plugins })
    const session = await open(set, 'w1')
    dataOf(await session.store('set', 'token', 'a secret of the plugin'))
    const { storage } = plugins.session(SCOPE)
    await storage.setMany({ 'user/1': Buffer.from('1'), 'user/2': Buffer.from('2') })
    assert.deepEqual(await storage.keys({ prefix: 'user/' }), ['user/1', 'user/2'])
    assert.deepEqual((await storage.getMany(['user/2', 'none'])).map(String), ['50', 'undefined'])
    assert.equal(await storage.setIfAbsent('token', Buffer.from('other')), false)
    assert.equal(await storage.increment('runs', 2), 2)
    assert.equal(textOf(await session.store('get', 'runs')), '2')
    await storage.setText('short', 'life', { ttl: 0.2 })
    assert.equal(textOf(await session.store('get', 'short')), 'life')
    await sleep(250)
    assert.deepEqual(dataOf(await session.store('exist', 'short')), { data: false, exist_num: 0 })
    for (const file of await readdir(folder)) {
      assert.ok(!(await readFile(join(folder, file))).includes('a secret of the plugin'), `plain text in ${file}`)
    }
  })
})
