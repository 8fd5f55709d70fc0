/** What every store call passes through, over a backend whose every answer is in the test's hands. */
import { describe, expect, it } from 'vitest'
import type { BackendBase } from '../src/store/contract.ts'
import { StoreCore } from '../src/store/core.ts'

function slowBackend() {
  const log: string[] = []
  const answer = Promise.withResolvers<string>()
  const backend: BackendBase = {
    ping: () => Promise.resolve(),
    close: () => {
      log.push('closed')
      return Promise.resolve()
    },
  }
  return { backend, answer, log }
}

describe('closing a store', () => {
  it('refuses new calls at once, and lets those under way finish before the backend closes', async () => {
    const { backend, answer, log } = slowBackend()
    const core = new StoreCore('state', 'slow', backend)
    const writing = core.run('set', 'write', undefined, async () => log.push(await answer.promise))
    const closing = core.close()
    await expect(core.run('get', 'read', undefined, () => Promise.resolve(1))).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    expect(log).toEqual([])
    answer.resolve('written')
    await Promise.all([writing, closing, core.close()])
    expect(log).toEqual(['written', 'closed'])
  })

  it('waits for calls that fail as well', async () => {
    const { backend, answer, log } = slowBackend()
    const core = new StoreCore('state', 'slow', backend, { retries: 0 })
    const writing = core.run('set', 'write', undefined, () => answer.promise.finally(() => log.push('failed')))
    const closing = core.close()
    answer.reject(new Error('no'))
    await expect(writing).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' })
    await closing
    expect(log).toEqual(['failed', 'closed'])
  })
})
