/** Harnesses of the built-in conversation backends, for any test runner. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wireOutage, type Harness, type Wired } from '../../src/conformance/index.ts'
import { create as createAsyncSqlite } from '../../src/conversation/backends/async_sqlite.ts'
import { create as createJson } from '../../src/conversation/backends/json.ts'
import { create as createMemory } from '../../src/conversation/backends/memory.ts'
import { create as createSqlite } from '../../src/conversation/backends/sqlite.ts'
import type { ConversationBackend } from '../../src/conversation/contract.ts'
import { ConversationStore } from '../../src/conversation/store.ts'
import type { FactoryContext } from '../../src/store/factory.ts'
import type { BrokenConversation } from './broken/conversation.ts'

type ConversationHarness = Harness<ConversationStore>

/** Data that stores can be opened on, any number of times. */
interface Place {
  connect(): Promise<ConversationBackend>
  remove(): Promise<unknown>
}

interface Opened {
  readonly place: Place
  readonly wired: Wired<ConversationBackend>
}

function context(name: string): FactoryContext {
  return { kind: 'conversation', name, loadClient: (client) => Promise.reject(new Error(`${client} is not needed`)) }
}

/** Memory that outlives its handles as a server's would, so that the cases which open it twice run too. */
export function memoryHarness(broken: Partial<BrokenConversation> = {}): ConversationHarness {
  return harnessOver('memory', broken, async () => {
    const backend = await createMemory({}, context('memory'))
    return { connect: async () => keptOpen(backend), remove: () => backend.close() }
  })
}

function keptOpen(backend: ConversationBackend): ConversationBackend {
  return new Proxy(backend, {
    get(target, property) {
      if (property === 'close') return () => Promise.resolve()
      const member: unknown = Reflect.get(target, property, target)
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

export function sqliteHarness(broken: Partial<BrokenConversation> = {}): ConversationHarness {
  return fileHarness('sqlite', createSqlite, broken)
}

export function asyncSqliteHarness(): ConversationHarness {
  return fileHarness('async_sqlite', createAsyncSqlite)
}

/** A folder of files. Each handle has a lock, a journal and a memory of its own, as in several processes. */
export function jsonHarness(): ConversationHarness {
  return harnessOver('json', {}, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-conversation-'))
    return {
      connect: async () => createJson({ path: join(folder, 'conversations') }, context('json')),
      remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

/** A file in a folder of its own. Handles take turns in durability, because those of one kind share a connection. */
function fileHarness(name: string, create: typeof createSqlite, broken: Partial<BrokenConversation> = {}): ConversationHarness {
  return harnessOver(name, broken, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-conversation-'))
    const path = join(folder, 'conversation.db')
    let handles = 0
    return {
      connect: async () => create({ path, durability: handles++ % 2 === 0 ? 'full' : 'relaxed' }, context(name)),
      remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

function harnessOver(name: string, broken: Partial<BrokenConversation>, make: () => Promise<Place>): ConversationHarness {
  const { breaks = (backend) => backend, breaksStore = (store) => store } = broken
  const opened = new WeakMap<ConversationStore, Opened>()
  const openAt = async (place: Place): Promise<ConversationStore> => {
    const wired = wireOutage(await place.connect())
    const store = breaksStore(new ConversationStore(breaks(wired.backend), { name, retries: 0 }))
    opened.set(store, { place, wired })
    return store
  }
  const at = (store: ConversationStore): Opened => opened.get(store)!
  return {
    open: async () => openAt(await make()),
    reopen: (store) => openAt(at(store).place),
    cut: async (store) => at(store).wired.cut(),
    heal: async (store) => at(store).wired.heal(),
    dispose: async (store) => void (await at(store).place.remove()),
  }
}
