/** Harnesses of the built-in conversation backends, for any test runner. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Harness } from '../../src/conformance/index.ts'
import { create as createAsyncSqlite } from '../../src/conversation/backends/async_sqlite.ts'
import { create as createJson } from '../../src/conversation/backends/json.ts'
import { create as createMemory } from '../../src/conversation/backends/memory.ts'
import { create as createSqlite } from '../../src/conversation/backends/sqlite.ts'
import type { ConversationBackend } from '../../src/conversation/contract.ts'
import type { ConversationStore } from '../../src/conversation/store.ts'
import type { BrokenConversation } from './broken/conversation.ts'
import { localContext, localHarness } from './harness.ts'

type ConversationHarness = Harness<ConversationStore>

/** Memory that outlives its handles as a server's would, so that the cases which open it twice run too. */
export function memoryHarness(broken: Partial<BrokenConversation> = {}): ConversationHarness {
  return localHarness(
    'conversation',
    'memory',
    async () => {
      const backend = await createMemory({}, localContext('conversation', 'memory'))
      return { connect: async () => keptOpen(backend), remove: () => backend.close() }
    },
    broken,
  )
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
  return localHarness('conversation', 'json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-conversation-'))
    return {
      connect: async () => createJson({ path: join(folder, 'conversations') }, localContext('conversation', 'json')),
      remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
    }
  })
}

/** A file in a folder of its own. Handles take turns in durability, because those of one kind share a connection. */
function fileHarness(name: string, create: typeof createSqlite, broken: Partial<BrokenConversation> = {}): ConversationHarness {
  return localHarness(
    'conversation',
    name,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'holdfast-conversation-'))
      const path = join(folder, 'conversation.db')
      let handles = 0
      return {
        connect: async () =>
          create({ path, durability: handles++ % 2 === 0 ? 'full' : 'relaxed' }, localContext('conversation', name)),
        remove: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }),
      }
    },
    broken,
  )
}
