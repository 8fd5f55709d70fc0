/**
 * Mastra's LibSQL store. By default it asks for synchronous=NORMAL, and only the connection of the pool that ran the PRAGMA has it; the
 * others have SQLite's FULL. For FULL it gets a client of one connection, on which FULL is set after `init`, for that resets it.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConversationAdapter, SeededSession } from './conversation.ts'
import type { Peer } from './frame.ts'
import { load, versionOf } from './peer-folder.ts'

interface MastraMessage {
  readonly id: string
  readonly threadId: string
  readonly resourceId: string
  readonly role: 'user'
  readonly type: 'text'
  readonly createdAt: Date
  readonly content: { readonly format: 2; readonly parts: readonly { readonly type: 'text'; readonly text: string }[] }
}

interface Memory {
  saveThread(input: { thread: object }): Promise<unknown>
  saveMessages(input: { messages: readonly MastraMessage[] }): Promise<unknown>
  listMessages(input: object): Promise<{ messages: readonly MastraMessage[] }>
  listThreads(input: object): Promise<{ threads: readonly { readonly id: string }[] }>
}

interface Store {
  init(): Promise<void>
  getStore(domain: 'memory'): Promise<Memory>
  close(): Promise<void>
}

interface Client {
  execute(sql: string): Promise<{ rows: readonly Record<string, unknown>[] }>
  close(): void
}

type StoreClass = new (config: { id: string; url: string } | { id: string; client: Client }) => Store

/** Times that only grow, a millisecond apart: messages are ordered by nothing else. */
let lastTime = Date.now()
function nextTime(): Date {
  lastTime = Math.max(lastTime + 1, Date.now())
  return new Date(lastTime)
}

function message(threadId: string, text: string): MastraMessage {
  const content = { format: 2, parts: [{ type: 'text', text }] } as const
  return { id: crypto.randomUUID(), threadId, resourceId: 'u', role: 'user', type: 'text', createdAt: nextTime(), content }
}

function adapter(
  memory: Memory,
  relax: (work: () => Promise<void>) => Promise<void>,
  close: () => Promise<void>,
): ConversationAdapter {
  const createSession = async (id: string): Promise<void> => {
    const now = nextTime()
    await memory.saveThread({ thread: { id, resourceId: 'u', title: '', metadata: {}, createdAt: now, updatedAt: now } })
  }
  return {
    createSession,
    append: (id, text) => memory.saveMessages({ messages: [message(id, text)] }),
    async newest(threadId, perPage) {
      const orderBy = { field: 'createdAt', direction: 'DESC' }
      const { messages } = await memory.listMessages({ threadId, perPage, page: 0, orderBy })
      return messages.map(({ content }) => content.parts[0]!.text).toReversed()
    },
    async list(perPage) {
      const orderBy = { field: 'updatedAt', direction: 'DESC' }
      return (await memory.listThreads({ perPage, page: 0, orderBy })).threads.map(({ id }) => id)
    },
    seed: (sessions) => relax(() => seed(memory, createSession, sessions)),
    close,
  }
}

async function seed(memory: Memory, create: (id: string) => Promise<void>, sessions: readonly SeededSession[]): Promise<void> {
  for (const { id, texts } of sessions) {
    await create(id)
    for (let i = 0; i < texts.length; i += 500) {
      await memory.saveMessages({ messages: texts.slice(i, i + 500).map((text) => message(id, text)) })
    }
  }
}

async function openDefault(folder: string): Promise<ConversationAdapter> {
  const { LibSQLStore } = await load<{ LibSQLStore: StoreClass }>('@mastra/libsql')
  const store = new LibSQLStore({ id: 'bench', url: `file:${join(folder, 'mastra.db')}` })
  await store.init()
  return adapter(
    await store.getStore('memory'),
    (work) => work(),
    () => store.close(),
  )
}

async function openFull(folder: string): Promise<ConversationAdapter> {
  const { LibSQLStore } = await load<{ LibSQLStore: StoreClass }>('@mastra/libsql')
  const { createClient } = await load<{ createClient(config: { url: string; concurrency: number }): Client }>('@libsql/client')
  const client = createClient({ url: `file:${join(folder, 'mastra.db')}`, concurrency: 1 })
  const store = new LibSQLStore({ id: 'bench', client })
  await store.init()
  // A part of the store sets NORMAL in the background.
  await delay(200)
  await client.execute('PRAGMA synchronous = FULL')
  const relax = async (work: () => Promise<void>): Promise<void> => {
    await client.execute('PRAGMA synchronous = OFF')
    await work()
    await client.execute('PRAGMA synchronous = FULL')
  }
  return adapter(await store.getStore('memory'), relax, async () => {
    const { rows } = await client.execute('PRAGMA synchronous')
    client.close()
    if (Number(rows[0]?.['synchronous']) !== 2) throw new Error('synchronous did not stay FULL')
  })
}

const version = (): string | undefined => versionOf('@mastra/libsql')

export const mastraDefault: Peer<ConversationAdapter> = {
  name: 'Mastra LibSQL, default',
  version,
  durability: 'WAL, synchronous=NORMAL on one connection of its pool, FULL on the others',
  open: openDefault,
}

export const mastraFull: Peer<ConversationAdapter> = {
  name: 'Mastra LibSQL, FULL',
  version,
  durability: 'WAL, synchronous=FULL (set by us on a client of one connection)',
  open: openFull,
}
