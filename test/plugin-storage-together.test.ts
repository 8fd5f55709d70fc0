/** What plugins ask for at the same moment shares reads and commits; each call has an answer of its own all the same. */
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { STATE_STORES } from '../src/index.ts'
import { PluginHost } from '../src/plugin-storage/index.ts'
import { createSqlState, stateSchema } from '../src/state/sql.ts'
import { openSqlite } from '../src/engines/sqlite.ts'
import { StateStore } from '../src/state/store.ts'
import type { StateBackend, StateCommit } from '../src/state/contract.ts'
import { scratch } from './support.ts'

const SCOPE = { workspaceId: 'w', pluginId: 'author/name' }
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(7)

async function host(quotaBytes: number) {
  const state = await STATE_STORES.create('sqlite', { path: join(await scratch(), 'state.db') })
  onTestFinished(() => state.close())
  return new PluginHost({ state, quotaBytes })
}

/** The storage over a backend that keeps a record of its commits. */
async function watched() {
  const engine = await openSqlite(join(await scratch(), 'state.db'))
  await engine.migrate(stateSchema(engine.dialect, 'h_'), { autoCreate: true })
  const backend = createSqlState(engine, { prefix: 'h_', capabilities: { bytes: 'native', commitKeys: Infinity } })
  const commits: StateCommit[] = []
  const { commit } = backend
  const recording: StateBackend = Object.assign(backend, {
    commit: (...args: Parameters<StateBackend['commit']>) => {
      commits.push(args[1])
      return commit.apply(backend, args)
    },
  })
  const store = new StateStore(recording, { name: 'sqlite' })
  onTestFinished(() => store.close())
  const { storage } = new PluginHost({ state: store }).session(SCOPE)
  await storage.set('first', bytes(1))
  commits.length = 0
  return { storage, commits }
}

describe('plugin storage under many calls at once', () => {
  it('writes many values in few commits, and counts all of them', async () => {
    const { storage, commits } = await watched()
    await Promise.all(Array.from({ length: 200 }, (_, i) => storage.set(`k${i}`, bytes(10))))
    expect(commits.length).toBeLessThan(10)
    expect(await storage.usage()).toMatchObject({ usedBytes: 2_001 })
    expect(await storage.keys({ prefix: 'k' })).toHaveLength(200)
  })

  it('refuses only those whom the quota has no room for', async () => {
    const { storage } = (await host(1_000)).session(SCOPE)
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, i) => storage.set(`k${i}`, bytes(100))))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused).toHaveLength(20)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'QUOTA_EXCEEDED', outcome: 'not-applied' })
    expect(await storage.usage()).toMatchObject({ usedBytes: 1_000 })
    expect(await storage.keys()).toHaveLength(10)
  })

  it('lets values shrink and grow at once, and keeps to each session’s own quota', async () => {
    const owner = await host(10_000)
    const [wide, narrow] = [owner.session(SCOPE).storage, owner.session({ ...SCOPE, sizeBytes: 500 }).storage]
    await wide.set('a', bytes(600))
    const outcomes = await Promise.allSettled([wide.set('b', bytes(100)), narrow.set('c', bytes(10)), wide.delete('a')])
    expect(outcomes[0].status).toBe('fulfilled')
    expect(outcomes[2].status).toBe('fulfilled')
    const used = outcomes[1].status === 'fulfilled' ? 110 : 100
    expect(await wide.usage()).toMatchObject({ usedBytes: used })
  })

  it('takes many writes of one key: one of them is there, and is counted once', async () => {
    const { storage } = await watched()
    await Promise.all(Array.from({ length: 40 }, (_, i) => storage.set('same', bytes(i + 1))))
    const value = await storage.get('same')
    expect(await storage.usage()).toMatchObject({ usedBytes: 1 + value!.length })
    const absent = await Promise.all(Array.from({ length: 40 }, () => storage.setIfAbsent('once', bytes(5))))
    expect(absent.filter(Boolean)).toHaveLength(1)
    await Promise.all(Array.from({ length: 40 }, () => storage.increment('sum')))
    expect(await storage.getText('sum')).toBe('40')
  })
})
