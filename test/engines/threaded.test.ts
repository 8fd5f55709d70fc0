import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { describe, expect, it, onTestFinished } from 'vitest'
import { moduleBeside, openThreaded, type ThreadedBackend } from '../../src/engines/threaded.ts'
import { HoldfastError } from '../../src/errors.ts'
import { ConversationStore } from '../../src/conversation/store.ts'
import type { ConversationBackend } from '../../src/conversation/contract.ts'
import type { Probe } from '../fixtures/threaded-backend.ts'

let keys = 0

async function open(source: Partial<ThreadedBackend> = {}): Promise<Probe> {
  const module = moduleBeside('../fixtures/threaded-backend', import.meta.url)
  const probe = await openThreaded<Probe>({ module, kind: 'state', name: 'probe', options: {}, key: `test-${keys++}`, ...source })
  onTestFinished(() => probe.close())
  return probe
}

/** The worker threads that this process starts from now on. */
function startedThreads(): Worker[] {
  const workers: Worker[] = []
  const note = (worker: Worker): void => void workers.push(worker)
  process.on('worker', note)
  onTestFinished(() => void process.off('worker', note))
  return workers
}

const isGone = { name: 'HoldfastError', code: 'UNAVAILABLE' }

describe('a backend in a worker thread', () => {
  it('is elsewhere, and looks the same', async () => {
    const probe = await open()
    expect(await probe.inMainThread()).toBe(false)
    expect(probe.capabilities).toEqual({ probes: true })
    expect(probe.limits).toEqual({ batch: 7 })
    expect(probe.backup).toBeUndefined()
  })

  it('takes and gives plain data, bytes and undefined included', async () => {
    const probe = await open()
    for (const value of [undefined, null, -0, 'a\0\ud800', [1, { a: [] }], new Uint8Array([1, 2, 3])]) {
      assert.deepStrictEqual(await probe.echo(value), value)
    }
  })

  it('answers every one of many concurrent calls', async () => {
    const probe = await open()
    const values = Array.from({ length: 5000 }, (_, i) => i)
    expect(await Promise.all(values.map((value) => probe.echo(value)))).toEqual(values)
  })

  it('sends its errors with their code, outcome and causes', async () => {
    const probe = await open()
    const error = await probe.fail().catch((error: unknown) => error)
    assert(error instanceof HoldfastError && error.cause instanceof Error && error.cause.cause instanceof Error)
    expect(error).toMatchObject({ name: 'HoldfastError', code: 'CONFLICT', message: 'it failed', outcome: 'unknown' })
    expect([error.cause.message, error.cause.cause.message]).toEqual(['outer', 'inner'])
    await expect(probe.failOddly()).rejects.toThrow('text')
  })

  it('fails what cannot cross, and nothing else of the same turn', async () => {
    const probe = await open()
    const results = await Promise.allSettled([probe.echo(1), probe.echo(() => 1), probe.uncloneable(), probe.echo(2)])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
  })

  it('that does not open says why, and leaves no thread behind', async () => {
    const [workers, refusing] = [startedThreads(), open({ options: { refuse: true } })]
    await expect(refusing).rejects.toMatchObject({ code: 'PERMISSION_DENIED', outcome: 'not-applied' })
    await expect(open({ module: 'file:///nowhere/at-all.js' })).rejects.toThrow('at-all.js')
    expect(workers.map(({ threadId }) => threadId)).toEqual([-1, -1])
  })
})

describe('threads', () => {
  it('are shared by key, and end with their last user', async () => {
    const workers = startedThreads()
    const [a, b] = await Promise.all([open({ key: 'shared' }), open({ key: 'shared' })])
    expect(workers).toHaveLength(1)
    await a.close()
    expect(await b.echo('still there')).toBe('still there')
    await b.close()
    expect(workers[0]!.threadId).toBe(-1)
    const c = await open({ key: 'shared' })
    expect(await c.echo(1)).toBe(1)
    expect(workers).toHaveLength(2)
  })

  it('are not shared without one', async () => {
    const workers = startedThreads()
    await Promise.all([open({ key: undefined }), open({ key: undefined })])
    expect(workers).toHaveLength(2)
  })

  it('that die fail the calls under way, whose outcome nobody knows, and the next call starts another', async () => {
    for (const how of ['exit', 'throw'] as const) {
      const workers = startedThreads()
      const probe = await open()
      const reason = how === 'exit' ? /code 3/ : /it fell over/
      const [waiting, crashing] = await Promise.all([failure(probe.wait()), failure(probe.crash(how))])
      for (const error of [waiting, crashing]) {
        expect(error).toMatchObject({ ...isGone, outcome: 'unknown' })
        expect(error.message).toMatch(reason)
      }
      expect(await Promise.all([probe.echo(1), probe.echo(2)])).toEqual([1, 2])
      expect(workers).toHaveLength(2)
    }
  })

  it('that die before a call was sent have not run it', async () => {
    const workers = startedThreads()
    const probe = await open()
    const exited = new Promise((resolve) => workers[0]!.once('exit', resolve))
    void workers[0]!.terminate()
    // From a listener of the exit, the call is made and lost in one turn.
    const called = Promise.withResolvers<unknown>()
    workers[0]!.prependOnceListener('exit', () => called.resolve(probe.echo(1)))
    await exited
    await expect(called.promise).rejects.toMatchObject({ ...isGone, outcome: 'not-applied' })
  })

  it('take what they held in memory with them, and that is said', async () => {
    const probe = await open({ key: undefined })
    await failure(probe.crash('exit'))
    await expect(probe.echo(1)).rejects.toMatchObject({ ...isGone, message: expect.stringContaining('in memory') as string })
    await probe.close()
  })
})

describe('an abort', () => {
  it('before the turn ends drops the call, which never reaches the thread', async () => {
    const probe = await open()
    const controller = new AbortController()
    const calling = probe.echo('never', { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await expect(calling).rejects.toBe(controller.signal.reason)
  })

  it('reaches the thread, and the answer is the caller’s own reason', async () => {
    const probe = await open()
    const controller = new AbortController()
    const calling = failure(probe.wait({ signal: controller.signal }))
    await probe.echo('sent')
    controller.abort(new Error('changed my mind'))
    expect(await calling).toBe(controller.signal.reason)
  })

  it('that comes too late does not undo a result', async () => {
    const probe = await open()
    const controller = new AbortController()
    const calling = probe.finish(20, { signal: controller.signal })
    await probe.echo('sent')
    controller.abort()
    expect(await calling).toBe('finished')
  })

  it('of a write is waited for a moment, and then nobody knows', async () => {
    const probe = await open()
    const backend = { ...probe, createSession: () => probe.finish(1_000) } as unknown as ConversationBackend
    const store = new ConversationStore(backend, { name: 'probe' })
    const began = performance.now()
    await expect(store.createSession({}, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    expect(performance.now() - began).toBeGreaterThan(100)
    expect(performance.now() - began).toBeLessThan(900)
  })
})

async function failure(promise: Promise<unknown>): Promise<Error> {
  const result = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  assert(result instanceof Error, 'it did not fail')
  return result
}

it('a busy thread leaves the event loop free', async () => {
  const probe = await open()
  const blocking = probe.block(300)
  const began = performance.now()
  for (let turn = 0; turn < 5; turn++) await sleep(1)
  expect(performance.now() - began).toBeLessThan(200)
  await blocking
})
