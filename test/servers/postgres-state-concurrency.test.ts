/** Commits of several keys at once: whatever runs beside them, they are as if one came after the other. */
import assert from 'node:assert/strict'
import { expect, it } from 'vitest'
import type { StateBackend, StateCommit, StateCommitResult } from '../../src/state/contract.ts'
import { withService } from '../services.ts'
import { open } from './postgres-places.ts'

const SPACE = 'concurrency'
const STEPS = Number(process.env['HOLDFAST_STEPS'] ?? 60)
const HANDLES = 3

withService('postgres', 'postgres state, at the same time', (service) => {
  /** Backends with connections of their own, as in several processes: so many workers on them at once. */
  async function together(
    workers: number,
    work: (backend: StateBackend, worker: number) => Promise<void>,
  ): Promise<StateBackend> {
    const opened = await open('state', 'postgres', service)
    // The pool is shared by what names the same place; another size makes it another one.
    const others = await Promise.all(Array.from({ length: HANDLES - 1 }, (_, i) => opened.another({ poolSize: 8 + i })))
    const backends = [opened.store, ...others].map(({ core }) => core.backend)
    try {
      await Promise.all(Array.from({ length: workers }, (_, worker) => work(backends[worker % HANDLES]!, worker)))
      return backends[0]!
    } finally {
      closing.push(async () => opened[Symbol.asyncDispose]())
    }
  }
  const closing: (() => Promise<void>)[] = []
  const closeAll = async (): Promise<void> => {
    for (const close of closing.splice(0)) await close()
  }

  it('a token that moves from key to key is always at exactly one', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e']
    let moves = 0
    const backend = await together(9, async (backend, worker) => {
      if (worker === 0)
        await backend.commit(SPACE, {
          checks: keys.map((key) => ({ key, version: null })),
          set: [{ key: 'a', value: '"token"' }],
        })
      for (let step = 0; step < STEPS; step++) {
        const entries = await backend.get(SPACE, keys)
        const at = entries.findIndex((entry) => entry !== undefined)
        assert(entries.filter((entry) => entry !== undefined).length <= 1, 'the token is at two keys')
        if (at < 0) continue
        const [from, to] = [keys[at]!, keys[(at + 1 + ((worker + step) % 4)) % 5]!]
        const checks = [
          { key: from, version: entries[at]!.version },
          { key: to, version: null },
        ]
        const result = await backend.commit(SPACE, { checks, delete: [from], set: [{ key: to, value: '"token"' }] })
        if (result.applied) moves++
        else assert.equal(result.reason, 'check')
      }
    })
    expect((await backend.scan(SPACE, { prefix: '', limit: 10 })).length).toBe(1)
    expect(moves).toBeGreaterThan(STEPS / 4)
    await closeAll()
  })

  it('sums of what is moved between counters stay, also while keys come and go', async () => {
    const keys = ['p', 'q', 'r']
    const backend = await together(8, async (backend, worker) => {
      for (let step = 0; step < STEPS; step++) {
        const [from, to] = [keys[(worker + step) % 3]!, keys[(worker + 2 * step + 1) % 3]!]
        if (from === to) continue
        const amount = 1 + (step % 7)
        await backend.commit(SPACE, {
          add: [
            { key: from, by: -amount },
            { key: to, by: amount, max: 1_000_000 },
          ],
        })
        const found = await backend.get(SPACE, keys)
        const sum = found.reduce((all, entry) => all + Number(entry?.value ?? 0), 0)
        assert.equal(sum, 0, 'a reader saw half of a commit')
      }
    })
    const found = await backend.get(SPACE, keys)
    expect(found.reduce((sum, entry) => sum + Number(entry?.value ?? 0), 0)).toBe(0)
    await closeAll()
  })

  it('two commits that each check that the other’s key is absent are not both applied', async () => {
    let both = 0
    let applied = 0
    const results = new Map<string, StateCommitResult[]>()
    await together(4, async (backend, worker) => {
      for (let step = 0; step < STEPS; step++) {
        const [mine, other] = worker % 2 === 0 ? [`x${step}`, `y${step}`] : [`y${step}`, `x${step}`]
        const commit: StateCommit = { checks: [{ key: other, version: null }], set: [{ key: mine, value: '1' }] }
        const result = await backend.commit(SPACE, commit)
        const name = `${step}`
        results.set(name, [...(results.get(name) ?? []), result])
        const found = await backend.get(SPACE, [mine, other])
        if (found.every((entry) => entry !== undefined)) both++
        if (result.applied) applied++
      }
    })
    expect(both).toBe(0)
    expect(applied).toBeGreaterThanOrEqual(STEPS)
    await closeAll()
  })

  it('sets and deletions of the same keys leave what one of them makes of all', async () => {
    const keys = ['k1', 'k2', 'k3']
    const backend = await together(9, async (backend, worker) => {
      for (let step = 0; step < STEPS; step++) {
        const value = `"${worker}.${step}"`
        const ordered = step % 2 === 0 ? keys : keys.toReversed()
        if (worker % 3 === 2) await backend.commit(SPACE, { delete: ordered })
        else await backend.commit(SPACE, { set: ordered.map((key) => ({ key, value })) })
        const seen = new Set((await backend.get(SPACE, keys)).map((entry) => entry?.value))
        assert.equal(seen.size, 1, 'a reader saw keys of two commits')
      }
    })
    const seen = new Set((await backend.get(SPACE, keys)).map((entry) => entry?.value))
    expect(seen.size).toBe(1)
    await closeAll()
  })

  it('increments of one key and commits that hold it lose nothing', async () => {
    let sum = 0
    const backend = await together(8, async (backend, worker) => {
      for (let step = 0; step < STEPS; step++) {
        const by = 1 + ((worker + step) % 3)
        const commit: StateCommit =
          worker % 2 === 0 ? { add: [{ key: 'n', by }] } : { add: [{ key: 'n', by }], set: [{ key: `o${worker}`, value: '1' }] }
        const result = await backend.commit(SPACE, commit)
        assert(result.applied)
        sum += by
      }
    })
    const [entry] = await backend.get(SPACE, ['n'])
    expect(Number(entry?.value)).toBe(sum)
    await closeAll()
  })
})
