/** What `async_sqlite` is for: the event loop goes on, whatever the disk, the lock or the thread does. The contract is the suite's matter. */
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loopDelay } from '../bench/measure.ts'
import type { ConversationStore } from '../src/conversation/store.ts'
import { CONVERSATION_STORES, openPersistence } from '../src/index.ts'
import { collect, run, scratch } from './support.ts'

type Name = 'sqlite' | 'async_sqlite'

async function open(path: string, name: Name = 'async_sqlite'): Promise<ConversationStore> {
  const store = await CONVERSATION_STORES.create(name, { path })
  onTestFinished(() => store.close())
  return store
}

async function newFile(): Promise<string> {
  return join(await scratch(), 'conversation.db')
}

function startedThreads(): Worker[] {
  const workers: Worker[] = []
  const note = (worker: Worker): void => void workers.push(worker)
  process.on('worker', note)
  onTestFinished(() => void process.off('worker', note))
  return workers
}

/** Another process's lock, as far as SQLite can tell. */
function lock(path: string): () => void {
  const other = new DatabaseSync(path)
  other.exec('BEGIN IMMEDIATE')
  return () => other.close()
}

function goneOnly(error: unknown): undefined {
  expect(error).toMatchObject({ code: 'UNAVAILABLE', backend: 'async_sqlite' })
}

const message = { role: 'user', content: 'All work and no play makes a dull log line. '.repeat(24) }

describe('the event loop', () => {
  it('is delayed less by 5,000 appends than with the connection in the same thread', async () => {
    const p99Ms: Record<string, number> = {}
    for (const name of ['sqlite', 'async_sqlite'] as const) {
      const store = await open(await newFile(), name)
      await store.createSession({ id: 's' })
      const delay = await loopDelay(async () => {
        for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 100 }, () => store.addMessage('s', message)))
      })
      p99Ms[name] = delay.p99Ms
      expect((await store.getSession('s'))?.lastSeq).toBe(5_000)
    }
    console.log(`event-loop delay under 5,000 appends, p99 in ms: ${JSON.stringify(p99Ms)}`)
    expect(p99Ms['async_sqlite']).toBeLessThan(p99Ms['sqlite']! * 1.5 + 5)
  })

  it('goes on while another process holds the lock, and the write is done when it lets go', async () => {
    const path = await newFile()
    const store = await open(path)
    await store.createSession({ id: 's' })
    const release = lock(path)
    const writing = store.addMessage('s', message)
    const delay = await loopDelay(() => sleep(200))
    release()
    expect((await writing).seq).toBe(1)
    expect(delay.p99Ms).toBeLessThan(50)
  })
})

describe('a write that is aborted', () => {
  it('while it waits for a lock has not happened, and does not happen later', async () => {
    const path = await newFile()
    const store = await open(path)
    await store.createSession({ id: 's' })
    const release = lock(path)
    const controller = new AbortController()
    const aborting = store.addMessage('s', message, { signal: controller.signal })
    const timing = store.addMessage('s', message, { timeoutMs: 50 })
    const going = store.addMessage('s', { ...message, id: 'stays' })
    setTimeout(() => controller.abort(), 50)
    await Promise.all([
      expect(aborting).rejects.toMatchObject({ code: 'ABORTED', outcome: 'not-applied' }),
      expect(timing).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'not-applied' }),
    ])
    release()
    await going
    expect((await store.getMessages('s')).map(({ id, seq }) => [id, seq])).toEqual([['stays', 1]])
  })

  it('in the turn that made it has not happened', async () => {
    const store = await open(await newFile())
    await store.createSession({ id: 's' })
    const controllers = Array.from({ length: 100 }, () => new AbortController())
    const calls = controllers.map(({ signal }, i) => store.addMessage('s', { ...message, id: `m${i}` }, { signal }))
    for (const [i, controller] of controllers.entries()) if (i % 2 === 1) controller.abort()
    const results = await Promise.allSettled(calls)
    const kept = (await store.getMessages('s')).map(({ id }) => id)
    for (const [i, result] of results.entries()) {
      if (i % 2 === 1) expect(result).toMatchObject({ reason: { code: 'ABORTED', outcome: 'not-applied' } })
    }
    expect(kept).toEqual(results.flatMap(({ status }, i) => (status === 'fulfilled' ? [`m${i}`] : [])))
    expect(kept).toHaveLength(50)
  })
})

describe('a thread that dies', () => {
  it('loses nothing that was acknowledged; the store goes on in another', async () => {
    const workers = startedThreads()
    const store = await open(await newFile())
    await store.createSession({ id: 's' })
    await store.addMessage('s', message)
    const writing = store.addMessage('s', message).catch(goneOnly)
    await workers[0]!.terminate()
    await writing
    expect((await store.getMessages('s')).map(({ seq }) => seq)[0]).toBe(1)
    expect((await store.addMessage('s', message)).seq).toBeGreaterThan(1)
    expect(workers).toHaveLength(2)
  })

  it('under many writers never makes two messages of one, nor loses an acknowledged one', async () => {
    const workers = startedThreads()
    const store = await open(await newFile())
    await store.createSession({ id: 's' })
    const calls: Promise<string | undefined>[] = []
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 50; i++) {
        calls.push(store.addMessage('s', { ...message, id: `${round}-${i}` }).then(({ id }) => id, goneOnly))
      }
      await sleep(Math.random() * 4)
      await workers.at(-1)!.terminate()
    }
    const acknowledged = (await Promise.all(calls)).filter((id) => id !== undefined)
    const messages = await store.getMessages('s')
    const ids = new Set(messages.map(({ id }) => id))
    expect(acknowledged.filter((id) => !ids.has(id))).toEqual([])
    expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1))
    expect(ids.size).toBe(messages.length)
  })

  it('takes a database in memory with it, and that is an error, never an empty store', async () => {
    const workers = startedThreads()
    const store = await open(':memory:')
    await store.createSession({ id: 's' })
    await workers[0]!.terminate()
    await expect(store.getSession('s')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('a process', () => {
  it('shares one thread among the stores of a file, however its path is spelled', async () => {
    const workers = startedThreads()
    const folder = await scratch()
    await symlink(folder, join(folder, 'link'))
    const store = await open(join(folder, 'x.db'))
    const other = await open(join(folder, 'link', 'x.db'))
    await store.createSession({ id: 's' })
    expect(await other.getSession('s')).toBeDefined()
    expect(workers).toHaveLength(1)
    await Promise.all([store.close(), other.close()])
    expect(workers[0]!.threadId).toBe(-1)
  })

  it('ends with a store open, but not before its last write is done', async () => {
    const path = await newFile()
    const child = run('test/fixtures/threaded-idle.ts', [path])
    expect(await collect(child.lines)).toEqual(['1'])
    expect(await child.ended).toEqual({ code: 0, signal: null, stderr: '' })
    expect(await (await open(path)).getMessages('s')).toHaveLength(1)
  })

  it('that is killed loses nothing that it acknowledged', { timeout: 120_000 }, async () => {
    const path = await newFile()
    let first = 0
    for (let kill = 0; kill < 15; kill++) {
      const child = run('test/fixtures/threaded-writer.ts', [path, String(first)])
      const lines: string[] = []
      for await (const line of child.lines) {
        lines.push(line)
        if (line === 'ready') void sleep(Math.random() * 60).then(() => child.process.kill('SIGKILL'))
      }
      const last = lines.length > 1 ? Number(lines.at(-1)) : first - 1
      await using store = await CONVERSATION_STORES.create('async_sqlite', { path })
      const messages = await store.getMessages('s')
      const ids = new Set(messages.map(({ id }) => id))
      for (let n = first; n <= last; n++) expect(ids, `message ${n}, kill ${kill}`).toContain(`${n}-a`)
      expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1))
      expect(messages.length % 3, 'a batch of three is there whole or not at all').toBe(0)
      first = last + 2
    }
    expect(first).toBeGreaterThan(15)
  })
})

it('is backed up while writers go on', async () => {
  const folder = await scratch()
  await using db = await openPersistence({
    config: false,
    dir: join(folder, 'data'),
    conversation: 'async_sqlite',
    knowledge: 'memory',
    state: 'memory',
  })
  await db.conversation.createSession({ id: 's' })
  await db.conversation.addMessages(
    's',
    Array.from({ length: 100 }, () => message),
  )
  const writing = Promise.all(Array.from({ length: 500 }, () => db.conversation.addMessage('s', message)))
  const files = await db.conversation.backupTo(folder)
  await writing
  expect(files).toEqual(['conversation.db'])
  const copy = await open(join(folder, 'conversation.db'), 'sqlite')
  const messages = await copy.getMessages('s')
  expect(messages.length).toBeGreaterThanOrEqual(100)
  expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1))
})

it('refuses a file that is no database, and leaves no thread behind', async () => {
  const workers = startedThreads()
  const path = await newFile()
  await writeFile(path, 'not a database '.repeat(100))
  await expect(open(path)).rejects.toMatchObject({ code: 'CORRUPT', kind: 'conversation', backend: 'async_sqlite' })
  expect(workers[0]!.threadId).toBe(-1)
})
