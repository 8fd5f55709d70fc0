import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import { create } from '../src/state/backends/memory.ts'
import { plainState } from '../src/state/mode.ts'
import { StateStore } from '../src/state/store.ts'
import { localContext } from './conformance/harness.ts'
import { over } from './conformance/broken/state/wrappers.ts'

describe('the look before the first write', () => {
  it('ends for a caller who gives up, who has written nothing, and goes on for the others', async () => {
    const memory = await create({}, localContext('state', 'memory'))
    const { promise: slow, resolve } = Promise.withResolvers<void>()
    const commits: unknown[] = []
    const watched = over(memory, {
      get: (space, keys) => slow.then(() => memory.get(space, keys)),
      commit: (space, commit) => (commits.push(commit), memory.commit(space, commit)),
    })
    await using store = new StateStore(plainState(watched), { name: 'memory', retries: 0 })
    const controller = new AbortController()
    const given = assert.rejects(store.set('a', 1, { signal: controller.signal }), { code: 'ABORTED', outcome: 'not-applied' })
    const waiting = store.set('b', 2)
    controller.abort()
    await given
    resolve()
    await waiting
    assert.equal(commits.length, 1)
  })
})
