/** What only the conversation backend `json` has: its files, and what becomes of them after crashes and by other hands. */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert/strict'
import { appendFile, cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { ConversationStore } from '../src/conversation/store.ts'
import { FileLock } from '../src/engines/file-lock.ts'
import { CONVERSATION_STORES } from '../src/index.ts'
import { HOSTILE_TEXTS } from '../src/conformance/hostile.ts'
import { scratch } from './support.ts'

type Options = Parameters<typeof CONVERSATION_STORES.create<'json'>>[1]

async function open(path: string, options: Options = {}): Promise<ConversationStore> {
  const store = await CONVERSATION_STORES.create('json', { path, ...options })
  onTestFinished(() => store.close())
  return store
}

const said = (id: string, content = id) => ({ id, role: 'user', content })
const FILE = join('sessions', '=', 's.jsonl')

/** A closed folder with a session `s` of three messages and an empty session `t`. */
async function folder(): Promise<string> {
  const path = join(await scratch(), 'conversations')
  const store = await open(path)
  await store.createSession({ id: 's', state: { n: 1 } })
  for (const id of ['m1', 'm2', 'm3']) await store.addMessage('s', said(id))
  await store.createSession({ id: 't' })
  await store.close()
  return path
}

/** Warnings until the test ends. */
function warnings(): { code?: string; message: string }[] {
  const heard: { code?: string; message: string }[] = []
  const hear = (warning: Error & { code?: string }): void => void heard.push(warning)
  process.on('warning', hear)
  onTestFinished(() => void process.off('warning', hear))
  return heard
}

const nextTick = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
const idsOf = (items: readonly { id: string }[]): string[] => items.map(({ id }) => id)

describe('files', () => {
  it('are JSON Lines: a header, and a line an append', async () => {
    const path = await folder()
    const lines = (await readFile(join(path, FILE), 'utf8')).trimEnd().split('\n')
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(parsed[0]).toMatchObject({ holdfast: 'conversation/1', workspace: '', session: { id: 's', state: '{"n":1}' } })
    expect(parsed.slice(1)).toMatchObject(['m1', 'm2', 'm3'].map((id, i) => ({ messages: [{ id, seq: i + 1, content: id }] })))
  })

  it('have safe names whatever the ids, and lie nowhere else', async () => {
    const dir = await scratch()
    const path = join(dir, 'conversations')
    const store = await open(path)
    for (const id of HOSTILE_TEXTS) await store.createSession({ id })
    await store.workspace('../up').createSession({ id: '../../up' })
    deepStrictEqual(await readdir(dir), ['conversations'])
    const names = await readdir(path, { recursive: true })
    for (const name of names) match(name, /^[a-z0-9_.=~/-]+$/)
    strictEqual(new Set(names.map((name) => name.toLowerCase())).size, names.length)
    strictEqual(names.filter((name) => name.startsWith('sessions/=/')).length, HOSTILE_TEXTS.length)
    deepStrictEqual(idsOf((await store.listSessions({ limit: 1_000 })).items).toSorted(), [...HOSTILE_TEXTS].toSorted())
  })

  it('no longer hold what was deleted, once the store is closed', async () => {
    const path = await folder()
    const store = await open(path)
    await store.addMessage('s', said('secret', 'my secret'))
    await store.deleteMessages('s', ['secret'])
    await store.workspace('w').createSession({ id: 'mine', name: 'my secret too' })
    await store.workspace('w').deleteSession('mine')
    await store.close()
    for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) ok(!(await readFile(join(entry.parentPath, entry.name), 'utf8')).includes('my secret'), entry.name)
    }
    strictEqual((await (await open(path)).getMessages('s')).length, 3)
  })

  it('stay short where the same is changed over and over', async () => {
    const path = await folder()
    const store = await open(path)
    for (let i = 0; i < 400; i++) {
      await store.updateSession('s', { state: { i, filler: 'x'.repeat(1_000) } })
      await store.updateMessage('s', 'm2', { content: `${i} ${'y'.repeat(1_000)}` })
    }
    ok((await stat(join(path, FILE))).size < 200_000)
    await store.close()
    const again = await open(path)
    strictEqual((await again.getSession('s'))?.state['i'], 399)
    match((await again.getMessage('s', 'm2'))?.content ?? '', /^399 /)
  })

  it('of :memory: are gone when it is closed', async () => {
    const store = await open(':memory:')
    await store.createSession({ id: 's' })
    await store.close()
    strictEqual((await (await open(':memory:')).listSessions()).items.length, 0)
  })
})

describe('a last line that was cut short', () => {
  it('is left out and told of, and everything before it stays', async () => {
    const path = await folder()
    const heard = warnings()
    await truncate(join(path, FILE), (await stat(join(path, FILE))).size - 5)
    const store = await open(path)
    deepStrictEqual(idsOf(await store.getMessages('s')), ['m1', 'm2'])
    await nextTick()
    deepStrictEqual(
      heard.map(({ code }) => code),
      ['HOLDFAST_TORN_LINE'],
    )
    match(heard[0]!.message, /s\.jsonl: the last line was cut short; its \d+ bytes were left out/)
    // Somebody may have seen seq 3.
    strictEqual((await store.addMessage('s', said('m4'))).seq, 4)
    await store.close()
    deepStrictEqual(idsOf(await (await open(path)).getMessages('s')), ['m1', 'm2', 'm4'])
    await nextTick()
    strictEqual(heard.length, 1)
  })

  it('does no harm where it is cut, at any byte', async () => {
    const path = await folder()
    warnings()
    const whole = await readFile(join(path, FILE))
    const header = whole.indexOf('\n') + 1
    for (let size = header; size <= whole.length; size += 7) {
      await writeFile(join(path, FILE), whole.subarray(0, size))
      await rm(join(path, 'index.jsonl'))
      const store = await open(path)
      const count = whole.subarray(header, size).toString().split('\n').length - 1
      deepStrictEqual(idsOf(await store.getMessages('s')), ['m1', 'm2', 'm3'].slice(0, count))
      strictEqual((await store.getSession('s'))?.lastSeq, count)
      await store.close()
    }
  })

  it('is noticed in a store that is open, too', async () => {
    const path = await folder()
    const heard = warnings()
    const store = await open(path)
    strictEqual((await store.getMessages('s')).length, 3)
    await appendFile(join(path, FILE), '{"messages":[{"id"')
    strictEqual((await store.getMessages('s')).length, 3)
    strictEqual((await store.addMessage('s', said('m4'))).seq, 4)
    await nextTick()
    deepStrictEqual(
      heard.map(({ code }) => code),
      ['HOLDFAST_TORN_LINE'],
    )
    await store.close()
    strictEqual((await (await open(path)).getMessages('s')).length, 4)
  })
})

describe('a damaged file', () => {
  it('is CORRUPT, not empty, and harms no other session', async () => {
    const path = await folder()
    const heard = warnings()
    const text = await readFile(join(path, FILE), 'utf8')
    await writeFile(join(path, FILE), text.replace('{"messages"', '!"messages"'))
    const store = await open(path)
    await rejects(store.getMessages('s'), { code: 'CORRUPT' })
    await rejects(store.addMessage('s', said('x')), { code: 'CORRUPT', outcome: 'not-applied' })
    await store.addMessage('t', said('x'))
    await store.close()
    await rm(join(path, 'index.jsonl'))
    const again = await open(path)
    await rejects(again.createSession({ id: 's' }), { code: 'CONFLICT' })
    deepStrictEqual(idsOf((await again.listSessions()).items), ['t'])
    await nextTick()
    ok(heard.some(({ code }) => code === 'HOLDFAST_UNREADABLE_FILE'))
  })

  it('that is missing is no session any more, and one that was put there is one, from the next opening on', async () => {
    const path = await folder()
    const other = join(await scratch(), 'other')
    const store = await open(other)
    await store.createSession({ id: 'guest' })
    await store.addMessage('guest', said('hello'))
    await store.close()
    await cp(join(other, 'sessions', '=', 'guest.jsonl'), join(path, 'sessions', '=', 'guest.jsonl'))
    await rm(join(path, FILE))
    const again = await open(path)
    deepStrictEqual(idsOf((await again.listSessions({ order: 'asc' })).items).toSorted(), ['guest', 't'])
    deepStrictEqual(idsOf(await again.getMessages('guest')), ['hello'])
  })

  it('that is the journal is CORRUPT', async () => {
    const path = await folder()
    await writeFile(join(path, 'journal'), 'something else that is longer than a header')
    await rejects(open(path), { code: 'CORRUPT', message: /journal/ })
  })
})

describe('the index', () => {
  it('is all that a listing reads', async () => {
    const path = await folder()
    const whole = await readFile(join(path, FILE))
    await writeFile(join(path, FILE), Buffer.alloc(whole.length, '?'))
    const store = await open(path)
    deepStrictEqual(idsOf((await store.listSessions({ limit: 5, order: 'asc' })).items), ['s', 't'])
    deepStrictEqual((await store.getSession('s'))?.state, { n: 1 })
    await rejects(store.getMessages('s'), { code: 'CORRUPT' })
  })

  it('is made anew where it is missing, damaged or cut short', async () => {
    const path = await folder()
    warnings()
    const before = (await (await open(path)).listSessions()).items
    const index = join(path, 'index.jsonl')
    const spoil = [
      () => rm(index),
      () => writeFile(index, ''),
      () => writeFile(index, '{"some":"other"}\n'),
      () => appendFile(index, '!\n'),
      async () => truncate(index, (await stat(index)).size - 3),
      () => appendFile(index, '{"moved":"nobody","workspace":""}\n'),
    ]
    for (const harm of spoil) {
      await harm()
      const store = await open(path)
      deepStrictEqual((await store.listSessions()).items, before)
      await store.close()
    }
  })

  it('stays short however much is written', async () => {
    const path = await folder()
    const store = await open(path)
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => store.addMessage('s', said(`${round} ${i}`))))
    }
    ok((await readFile(join(path, 'index.jsonl'), 'utf8')).split('\n').length < 1_200)
    await store.close()
    strictEqual((await (await open(path)).getSession('s'))?.lastSeq, 3_003)
  })
})

describe('workspaces', () => {
  const listed = async (store: ConversationStore): Promise<readonly string[]> => (await store.listWorkspaces()).items

  it('are those with a session now, whoever wrote it, also where the index is made anew', async () => {
    const path = await folder()
    const long = 'ä'.repeat(200)
    const [a, b] = [await open(path), await open(path)]
    for (const name of ['w', long, 'gone']) await a.workspace(name).createSession({ id: 's' })
    deepStrictEqual(await listed(b), ['', 'gone', 'w', long])
    await b.workspace('gone').deleteSession('s')
    deepStrictEqual(await listed(a), ['', 'w', long])
    for (const store of [a, b]) await store.close()
    await rm(join(path, 'index.jsonl'))
    deepStrictEqual(await listed(await open(path)), ['', 'w', long])
  })

  it('are not what a file system leaves among their folders', async () => {
    const path = await folder()
    await writeFile(join(path, 'sessions', '.DS_Store'), 'x')
    await mkdir(join(path, 'sessions', 'empty'))
    deepStrictEqual(await listed(await open(path)), [''])
  })
})

describe('several handles', () => {
  it('wait for the lock no longer than they are told to, without standing still', async () => {
    const path = await folder()
    const store = await open(path, { lockTimeoutMs: 100, retries: 0 })
    const lock = new FileLock(join(path, 'lock.db'))
    ok(lock.tryAcquire())
    let turns = 0
    const timer = setInterval(() => turns++, 5)
    await rejects(store.addMessage('s', said('x')), { code: 'UNAVAILABLE', outcome: 'not-applied' })
    clearInterval(timer)
    ok(turns > 5)
    lock.release()
    lock.close()
    strictEqual((await store.addMessage('s', said('x'))).seq, 4)
  })

  it('copy the folder as it is at one moment', async () => {
    const path = await folder()
    const store = await open(path)
    const copy = join(await scratch(), 'copy')
    const adding = Promise.all(Array.from({ length: 50 }, (_, i) => store.addMessage('s', said(`n${i}`))))
    const names = await store.backupTo(copy)
    await adding
    deepStrictEqual(
      names.toSorted(),
      ['index.jsonl', FILE, join('sessions', '=', 't.jsonl')].map((name) => join('conversations', name)).toSorted(),
    )
    const copied = await open(join(copy, 'conversations'))
    const seqs = (await copied.getMessages('s')).map(({ seq }) => seq)
    deepStrictEqual(
      seqs,
      seqs.map((_, i) => i + 1),
    )
    strictEqual((await copied.getSession('s'))?.lastSeq, seqs.length)
  })

  it('see a long session grow, and a change in the middle of it, without a gap', async () => {
    const path = await folder()
    const [a, b] = [await open(path), await open(path)]
    for (let i = 0; i < 30; i++) {
      await (i % 2 === 0 ? a : b).addMessage('s', said(`n${i}`))
      await (i % 3 === 0 ? a : b).updateMessage('s', 'm1', { content: `${i}` })
      for (const store of [a, b]) {
        const messages = await store.getMessages('s')
        strictEqual(messages.length, i + 4)
        strictEqual(messages[0]?.content, `${i}`)
      }
    }
  })
})
