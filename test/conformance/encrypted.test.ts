/** The suites of conversations, state and plugin storage pass where everything is encrypted. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Harness } from '../../src/conformance/case.ts'
import {
  conversationCases,
  conversationProperty,
  defineConformance,
  formatReport,
  pluginStorageCases,
  runConformance,
  stateCases,
  stateProperty,
  wireOutage,
  type Wired,
} from '../../src/conformance/index.ts'
import type { ConversationBackend } from '../../src/conversation/contract.ts'
import { encryptConversations } from '../../src/conversation/encrypted.ts'
import { plainConversations } from '../../src/conversation/plain.ts'
import { generateKey } from '../../src/encryption/key-ring.ts'
import { create as createMemory } from '../../src/state/backends/memory.ts'
import { create as createSqlite } from '../../src/state/backends/sqlite.ts'
import type { StateBackend } from '../../src/state/contract.ts'
import { encryptState } from '../../src/state/encrypted.ts'
import { plainState } from '../../src/state/mode.ts'
import { StateStore } from '../../src/state/store.ts'
import type { FactoryContext } from '../../src/store/factory.ts'
import { over, type Break } from './broken/state/wrappers.ts'
import { replacing } from './broken/conversation-wrappers.ts'
import { memoryHarness, sqliteHarness } from './conversation-harness.ts'
import { atMost } from './plugin-storage-harness.ts'

const keys = { current: 'b', keys: { a: generateKey(), b: generateKey() } }

const sealedConversations = { breaks: (backend: ConversationBackend) => encryptConversations(backend, keys) }
const guardedConversations = { breaks: plainConversations }
const sealedState: Break = (backend) => encryptState(backend, keys)

const context: FactoryContext = {
  kind: 'state',
  name: 'state',
  loadClient: (client) => Promise.reject(new Error(`${client} is not needed`)),
}

interface Place {
  readonly connect: () => Promise<StateBackend>
  readonly dispose: () => Promise<void>
}

function harness(make: () => Promise<Place>, breaks: Break = sealedState): Harness<StateStore> {
  const opened = new WeakMap<StateStore, { place: Place; wired: Wired<StateBackend> }>()
  const openAt = async (place: Place): Promise<StateStore> => {
    const wired = wireOutage(await place.connect())
    const store = new StateStore(breaks(wired.backend), { name: 'state', retries: 0 })
    opened.set(store, { place, wired })
    return store
  }
  return {
    open: async () => openAt(await make()),
    reopen: (store) => openAt(opened.get(store)!.place),
    cut: async (store) => opened.get(store)!.wired.cut(),
    heal: async (store) => opened.get(store)!.wired.heal(),
    dispose: (store) => opened.get(store)!.place.dispose(),
  }
}

function memory(breaks?: Break): Harness<StateStore> {
  return harness(async () => {
    const backend = await createMemory({}, context)
    return { connect: async () => over(backend, { close: async () => undefined }), dispose: () => backend.close() }
  }, breaks)
}

function sqlite(): Harness<StateStore> {
  return harness(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-state-'))
    return {
      connect: async () => createSqlite({ path: join(folder, 'state.db') }, context),
      dispose: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

const runner = { describe, it }
const conversations = { cases: conversationCases }
const states = { cases: stateCases }
const plugins = { cases: pluginStorageCases }

defineConformance(runner, {
  ...conversations,
  name: 'encrypted conversations on memory',
  harness: memoryHarness(sealedConversations),
})
defineConformance(runner, {
  ...conversations,
  name: 'encrypted conversations on sqlite',
  harness: sqliteHarness(sealedConversations),
})
defineConformance(runner, { ...states, name: 'encrypted state on memory', harness: memory() })
defineConformance(runner, { ...states, name: 'encrypted state on sqlite', harness: sqlite() })
defineConformance(runner, { ...plugins, name: 'plugin storage on encrypted state', harness: memory() })

describe('the models', () => {
  it('agree with encrypted conversations on memory', () =>
    conversationProperty(memoryHarness(sealedConversations), { runs: 100 }))
  it('agree with encrypted conversations on sqlite', () => conversationProperty(sqliteHarness(sealedConversations), { runs: 50 }))
  it('agree with encrypted state on memory', () => stateProperty(memory(), { runs: 100 }))
  it('agree with encrypted state on sqlite', () => stateProperty(sqlite(), { runs: 50 }))
})

/** What the contract leaves to the backend beneath, and the guards of stores without keys. */
describe('the suites pass', () => {
  const low = (backend: StateBackend): StateBackend => over(backend, { limits: { batch: 7, valueBytes: 400_000 } })
  const unlisted = (backend: StateBackend): StateBackend => {
    const { listSpaces: _, ...others } = over(backend, {})
    return others
  }
  const varieties: Readonly<Record<string, Break>> = {
    'commits of one key': (backend) => encryptState(atMost(1)(backend), keys),
    'commits of three keys': (backend) => encryptState(atMost(3)(backend), keys),
    'low limits': (backend) => encryptState(low(backend), keys),
    'spaces that cannot be listed': (backend) => encryptState(unlisted(backend), keys),
    'a guard against encrypted values': plainState,
  }

  for (const [name, variety] of Object.entries(varieties)) {
    it(`on state with ${name}`, async () => {
      const report = await runConformance({ ...states, harness: memory(variety), concurrency: 24, timeoutMs: 15_000 })
      expect(report.failed, formatReport(report)).toBe(0)
    })
  }

  it('on conversations with low limits', async () => {
    const limits = { contentBytes: 200_000, jsonBytes: 1_000_000, batch: 25 }
    const breaks = (backend: ConversationBackend): ConversationBackend =>
      encryptConversations(replacing(backend, { limits }), keys)
    const report = await runConformance({ ...conversations, harness: memoryHarness({ breaks }), concurrency: 8 })
    expect(report.failed, formatReport(report)).toBe(0)
  })

  it('on conversations with a guard against encrypted sessions', async () => {
    const report = await runConformance({ ...conversations, harness: memoryHarness(guardedConversations), concurrency: 8 })
    expect(report.failed, formatReport(report)).toBe(0)
  })
})
