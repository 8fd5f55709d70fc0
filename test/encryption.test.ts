/** Encryption of conversations and state on real files: what is on the disk, what is refused, and how stores are converted. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { decryptStore, encryptStore, generateKey, KeyRing, type KeyRingOptions } from '../src/encryption/index.ts'
import {
  CONVERSATION_STORES,
  openPersistence,
  resolveSettings,
  STATE_STORES,
  type ConversationStore,
  type Persistence,
  type PersistenceOptions,
  type StateStore,
} from '../src/index.ts'
import { PluginHost } from '../src/plugin-storage/index.ts'
import { run, scratch } from './support.ts'

const KEYS: KeyRingOptions = { current: 'one', keys: { one: generateKey() } }
const REFUSED = expect.objectContaining({ code: 'DECRYPTION_FAILED' }) as Error

function open(dir: string, options: PersistenceOptions = { encryption: KEYS }): Promise<Persistence> {
  return openPersistence({ dir, config: false, ...options })
}

const plain = (dir: string): Promise<Persistence> => open(dir, {})

function sql(dir: string, kind: 'conversation' | 'state', text: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
  const database = new DatabaseSync(join(dir, `${kind}.db`))
  try {
    return database.prepare(text).all(...values)
  } finally {
    database.close()
  }
}

/** Everything in the files of a folder, as Latin-1, in which every byte is a character. */
async function onDisk(dir: string): Promise<string> {
  const files = await readdir(dir, { recursive: true, withFileTypes: true })
  const texts = files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1'))
  return (await Promise.all(texts)).join('\n')
}

/** Writes something with every method that takes content; `secret` gives each text its own mark. */
async function writeAll(conversation: ConversationStore, state: StateStore, secret: () => string): Promise<void> {
  await conversation.createSession({
    id: 's',
    userId: 'u',
    name: secret(),
    state: { [secret()]: secret() },
    metadata: { a: secret() },
  })
  await conversation.updateSession('s', { name: secret(), metadata: { a: secret(), tag: 'x' } })
  await conversation.upsertSession({ id: 's', state: { more: secret() } })
  await conversation.addMessages('s', [
    { id: 'm1', role: 'user', content: secret(), metadata: { b: secret() } },
    { id: 'm2', role: 'assistant', content: `${secret()}\0\ud800`, parts: [{ type: 'text', text: secret() }] },
    { id: 'm3', role: 'assistant', toolCalls: [{ id: 'c', name: secret() }] },
    { id: 'm4', role: 'tool', toolCallId: 'c', content: secret() },
  ])
  await conversation.updateMessage('s', 'm4', { content: secret(), parts: [secret()] })
  await conversation.forkSession('s', { newId: 'fork', name: secret() })
  await state.set('json', { deep: [secret()] })
  await state.set('ttl', secret(), { ttl: 3600 })
  await state.setBytes('bytes', Buffer.from(secret()))
  await state.setMany({ many: secret() })
  await state.hset('hash', { field: secret() })
  await state.compareAndSet('many', await state.get('many'), secret())
  await state.setIfAbsent('absent', secret())
}

describe('what is on the disk', () => {
  it.each(['sqlite', 'json and file'])('is none of what was written, with %s', async (what) => {
    const dir = await scratch()
    const secrets: string[] = []
    const secret = (): string => {
      secrets.push(`secret${secrets.length}-${Math.random().toString(36).slice(2)}-end`)
      return secrets.at(-1)!
    }
    const backends = what === 'sqlite' ? {} : { conversation: 'json', state: 'file' }
    const db = await open(dir, { encryption: KEYS, ...backends })
    await writeAll(db.conversation, db.state, secret)
    await writeAll(db.workspace('w').conversation, db.workspace('w').state, secret)
    const { storage } = new PluginHost({ state: db.state }).session({ workspaceId: 'w', pluginId: 'a/b' })
    await storage.setText('k', secret())
    const during = await onDisk(dir)
    await db.close()
    const after = await onDisk(dir)
    expect(secrets.length).toBeGreaterThan(40)
    for (const text of secrets) {
      expect(during.includes(text) || after.includes(text), text).toBe(false)
      // Parts of it, at each of the three offsets of base64, would be a leak as well.
      for (const shift of [0, 1, 2])
        expect(after.includes(Buffer.from(text.slice(shift)).toString('base64').slice(0, 12))).toBe(false)
    }
    await using again = await open(dir, { encryption: KEYS, ...backends })
    expect(await again.state.getBytes('bytes').then((bytes) => Buffer.from(bytes!).toString())).toMatch(/^secret/)
    expect((await again.conversation.getMessage('s', 'm2'))?.content).toMatch(/^secret.*-end\0\ud800$/)
  })

  it('is readable where it must be: ids, roles, keys', async () => {
    const dir = await scratch()
    const db = await open(dir)
    await writeAll(db.conversation, db.state, () => 'text')
    await db.close()
    const stored = await onDisk(dir)
    for (const text of ['assistant', 'm3', 'ttl']) expect(stored).toContain(text)
  })
})

describe('a store without keys', () => {
  it('refuses to read what is encrypted, and says why', async () => {
    const dir = await scratch()
    await using db = await open(dir)
    await writeAll(db.conversation, db.state, () => 'text')
    await using other = await plain(dir)
    const reads: readonly (() => Promise<unknown>)[] = [
      () => other.conversation.getSession('s'),
      () => other.conversation.listSessions(),
      () => other.conversation.getMessages('s'),
      ...['m1', 'm2', 'm3', 'm4'].map((id) => () => other.conversation.getMessage('s', id)),
      () => other.state.get('json'),
      () => other.state.getBytes('json'),
      () => other.state.getBytes('bytes'),
      () => other.state.hgetall('hash'),
      () => other.state.getMany(['json', 'ttl']),
    ]
    for (const read of reads) await expect(read()).rejects.toThrow(REFUSED)
    await expect(other.state.get('json')).rejects.toThrow('open the store with its keys')
    expect(await other.conversation.searchMessages({ text: 'text' })).toEqual([])
  })

  it('refuses to write among it, and deletes', async () => {
    const dir = await scratch()
    await using db = await open(dir)
    await writeAll(db.conversation, db.state, () => 'text')
    await using other = await plain(dir)
    const writes: readonly (() => Promise<unknown>)[] = [
      () => other.conversation.createSession({}),
      () => other.conversation.addMessage('s', { role: 'user', content: 'plaintext' }),
      () => other.conversation.updateMessage('s', 'm1', { content: 'plaintext' }),
      () => other.conversation.updateSession('s', { name: 'plaintext' }),
      () => other.state.set('new', 'plaintext'),
      () => other.state.increment('n'),
      () => other.workspace('w').state.setBytes('new', Buffer.from('plaintext')),
    ]
    for (const write of writes) {
      await expect(write()).rejects.toThrow(
        expect.objectContaining({ code: 'DECRYPTION_FAILED', outcome: 'not-applied' }) as Error,
      )
    }
    expect(await onDisk(dir)).not.toContain('plaintext')
    expect(await other.conversation.deleteUser('u')).toEqual({ sessions: 2, messages: 8 })
    expect(await other.state.delete('json')).toBe(true)
  })

  it('keeps text and bytes that read like encrypted ones', async () => {
    await using conversation = await CONVERSATION_STORES.create('memory')
    await using state = await STATE_STORES.create('memory')
    const texts = ['holdfast:sealed AAAA', ' "holdfast:sealed AAAA"', '{ "holdfast:sealed": "AAAA" }']
    for (const text of texts) {
      const { id } = await conversation.createSession({ name: text, metadata: { 'holdfast:sealed': text } })
      const message = await conversation.addMessage(id, {
        role: text.slice(0, 64),
        content: text,
        parts: ['holdfast:sealed', text],
      })
      expect(await conversation.getMessages(id)).toEqual([message])
      expect(await conversation.getSession(id)).toMatchObject({ name: text, metadata: { 'holdfast:sealed': text } })
      await state.set('k', { 'holdfast:sealed': text })
      expect(await state.get('k')).toEqual({ 'holdfast:sealed': text })
    }
    const header = Uint8Array.of(0xff, ...Buffer.from('HFSEAL\n'))
    for (const end of [[], [0], [1], [0, 1, 2], [1, 2, 3], [...header]]) {
      const bytes = Uint8Array.of(...header, ...end)
      await state.setBytes('b', bytes)
      expect(await state.getBytes('b')).toEqual(bytes)
    }
  })
})

describe('a store with keys', () => {
  it('refuses what is plain, to read and to write', async () => {
    const dir = await scratch()
    {
      await using db = await plain(dir)
      await writeAll(db.conversation, db.state, () => 'text')
    }
    await using db = await open(dir)
    const calls: readonly (() => Promise<unknown>)[] = [
      () => db.conversation.getSession('s'),
      () => db.conversation.getMessages('s'),
      () => db.conversation.createSession({}),
      () => db.conversation.addMessage('s', { role: 'user', content: 'x' }),
      () => db.state.get('json'),
      () => db.state.getBytes('bytes'),
      () => db.state.set('new', 1),
      () => db.state.increment('n'),
    ]
    for (const call of calls) await expect(call()).rejects.toThrow(REFUSED)
    await expect(db.state.set('new', 1)).rejects.toThrow('encryptStore')
  })

  it('tells that it is, and that it cannot search', async () => {
    await using conversation = await CONVERSATION_STORES.create('sqlite', { path: ':memory:', encryption: KEYS })
    await using other = await CONVERSATION_STORES.create('memory')
    expect([conversation.encrypted, other.encrypted]).toEqual([true, false])
    expect(conversation.capabilities.search).toBe(false)
    await expect(conversation.searchMessages({ text: 'x' })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('finds sessions by their metadata over many pages, in order, page by page', async () => {
    await using conversation = await CONVERSATION_STORES.create('memory', { encryption: new KeyRing(KEYS) })
    for (let n = 0; n < 650; n++) await conversation.createSession({ id: `s${n}`, metadata: { n, third: n % 3 === 0 } })
    for (const order of ['asc', 'desc'] as const) {
      const found: number[] = []
      let cursor: string | undefined
      do {
        const page = await conversation.listSessions({ metadata: { third: true }, limit: 90, order, cursor })
        found.push(...page.items.map(({ metadata }) => metadata['n'] as number))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 217 }, (_, i) => i * 3))
    }
  })

  it('is refused a wrong key, another key of the same id, and a key that is gone', async () => {
    const dir = await scratch()
    {
      await using db = await open(dir)
      await writeAll(db.conversation, db.state, () => 'text')
    }
    for (const current of ['one', 'two']) {
      await using db = await open(dir, { encryption: { current, keys: { [current]: generateKey() } } })
      await expect(db.conversation.getSession('s')).rejects.toThrow(REFUSED)
      await expect(db.conversation.getMessages('s')).rejects.toThrow(REFUSED)
      await expect(db.state.get('json')).rejects.toThrow(REFUSED)
      if (current === 'two') await expect(db.state.get('json')).rejects.toThrow('"one"')
    }
  })

  it('reads older keys, and writes with the current one', async () => {
    const dir = await scratch()
    const both: KeyRingOptions = { current: 'two', keys: { ...KEYS.keys, two: generateKey() } }
    {
      await using db = await open(dir)
      await writeAll(db.conversation, db.state, () => 'text')
    }
    {
      await using db = await open(dir, { encryption: both })
      expect(await db.state.get('json')).toEqual({ deep: ['text'] })
      expect((await db.conversation.getMessage('s', 'm1'))?.content).toBe('text')
      await db.state.set('json', 'new')
      expect(await encryptStore(db.state)).toEqual({ values: 5, sessions: 0, messages: 0 })
      expect(await encryptStore(db.conversation)).toEqual({ values: 0, sessions: 2, messages: 8 })
      expect(await encryptStore(db.conversation)).toEqual({ values: 0, sessions: 0, messages: 0 })
    }
    await using db = await open(dir, { encryption: { current: 'two', keys: { two: both.keys['two']! } } })
    expect((await db.conversation.getMessages('fork')).map(({ content }) => content)).toContain('text')
    expect(await db.state.get('ttl')).toBe('text')
  })
})

describe('rows that were changed', () => {
  const FIELDS: readonly [table: string, column: string, read: (db: Persistence) => Promise<unknown>][] = [
    ['sessions', 'name', (db) => db.conversation.getSession('s')],
    ['sessions', 'state', (db) => db.conversation.getSession('s')],
    ['sessions', 'metadata', (db) => db.conversation.getSession('s')],
    ['messages', 'content', (db) => db.conversation.getMessages('s')],
    ['messages', 'parts', (db) => db.conversation.getMessages('s')],
    ['messages', 'tool_calls', (db) => db.conversation.getMessages('s')],
    ['messages', 'metadata', (db) => db.conversation.getMessages('s')],
  ]

  async function filled(): Promise<string> {
    const dir = await scratch()
    await using db = await open(dir)
    await writeAll(db.conversation, db.state, () => 'text')
    await writeAll(db.workspace('w').conversation, db.workspace('w').state, () => 'other')
    await db.conversation.createSession({ id: 't', name: 'other', state: { x: 1 }, metadata: { x: 1 } })
    await db.conversation.addMessages('t', [
      { id: 'm1', role: 'user', content: 'other', parts: [1], toolCalls: [1], metadata: { x: 1 } },
      { id: 'm2', role: 'user', content: 'another', parts: [2], toolCalls: [2], metadata: { x: 2 } },
    ])
    return dir
  }

  it('in any byte are DECRYPTION_FAILED', async () => {
    const dir = await filled()
    for (const [table, column, read] of FIELDS) {
      const where = `holdfast_${table} WHERE workspace = '' AND ${table === 'sessions' ? 'id' : 'session_id'} = 's' AND ${column} IS NOT NULL LIMIT 1`
      const [row] = sql(dir, 'conversation', `SELECT rowid AS n, ${column} AS text FROM ${where}`)
      const { n, text } = row as { n: number; text: string }
      const write = (value: string): unknown =>
        sql(dir, 'conversation', `UPDATE holdfast_${table} SET ${column} = ? WHERE rowid = ?`, value, n)
      for (const at of [0, 1, 20, 40, text.length >> 1, text.length - 10, text.length - 1]) {
        const changed = text[at] === 'A' ? 'B' : 'A'
        write(text.slice(0, at) + changed + text.slice(at + 1))
        await using db = await open(dir)
        await expect(read(db), `${column} at ${at} of ${text.length}`).rejects.toThrow(REFUSED)
      }
      for (const plaintext of ['forged', '"forged"', '{}', '[]', '{"forged":true}', '["forged"]', text.slice(0, -9), '']) {
        write(plaintext)
        await using db = await open(dir)
        await expect(read(db), `${column} as ${plaintext}`).rejects.toThrow(REFUSED)
      }
      write(text)
    }
    await using db = await open(dir)
    for (const [, , read] of FIELDS) await read(db)
  })

  it('or moved to another message, session, workspace or field are DECRYPTION_FAILED', async () => {
    const dir = await filled()
    const before = sql(dir, 'conversation', 'SELECT rowid AS n, * FROM holdfast_messages')
    const take = (to: string, from: string, column = 'content', source = column): unknown =>
      sql(
        dir,
        'conversation',
        `UPDATE holdfast_messages SET ${column} = (SELECT ${source} FROM holdfast_messages WHERE ${from}), escaped = 1 WHERE ${to}`,
      )
    const m1 = "workspace = '' AND session_id = 's' AND id = 'm1'"
    const swaps: readonly (() => unknown)[] = [
      () => take(m1, "workspace = '' AND session_id = 's' AND id = 'm4'"),
      () => take(m1, "workspace = '' AND session_id = 't' AND id = 'm1'"),
      () => take(m1, "workspace = 'w' AND session_id = 's' AND id = 'm1'"),
      () => take(m1, "workspace = '' AND session_id = 'fork' AND id = 'm1'"),
      () => take(m1, "workspace = '' AND session_id = 't' AND id = 'm1'", 'metadata'),
      () =>
        take(
          "workspace = '' AND session_id = 't' AND id = 'm1'",
          "workspace = '' AND session_id = 't' AND id = 'm1'",
          'parts',
          'tool_calls',
        ),
    ]
    for (const swap of swaps) {
      swap()
      const db = await open(dir)
      const reads = [db.conversation.getMessages('s'), db.conversation.getMessages('t')]
      expect((await Promise.allSettled(reads)).filter(({ status }) => status === 'rejected')).toMatchObject([{ reason: REFUSED }])
      await db.close()
      for (const { n, content, parts, metadata, tool_calls } of before as Record<string, SQLInputValue>[]) {
        const set = 'content = ?, parts = ?, metadata = ?, tool_calls = ?'
        sql(
          dir,
          'conversation',
          `UPDATE holdfast_messages SET ${set} WHERE rowid = ?`,
          content!,
          parts!,
          metadata!,
          tool_calls!,
          n!,
        )
      }
    }
    sql(
      dir,
      'conversation',
      `UPDATE holdfast_sessions SET metadata = (SELECT metadata FROM holdfast_sessions WHERE id = 't') WHERE id = 's'`,
    )
    await using db = await open(dir)
    await expect(db.conversation.getSession('s')).rejects.toThrow(REFUSED)
  })

  it('of state, changed, plain or moved to another key or workspace, are DECRYPTION_FAILED', async () => {
    const dir = await filled()
    const read = async (key: string): Promise<unknown> => {
      await using db = await open(dir)
      return db.state.get(key)
    }
    const value = "(SELECT value FROM holdfast_state WHERE space = '' AND key = 'json')"
    const moved = sql(dir, 'state', "SELECT value FROM holdfast_state WHERE space = '' AND key = 'json'")[0]![
      'value'
    ] as Uint8Array
    for (const at of [0, 7, 8, 9, 12, 20, moved.length - 1]) {
      const changed = Uint8Array.from(moved)
      changed[at]! ^= 1
      sql(dir, 'state', "UPDATE holdfast_state SET value = ? WHERE space = '' AND key = 'json'", changed)
      await expect(read('json'), `byte ${at}`).rejects.toThrow(REFUSED)
    }
    sql(dir, 'state', "UPDATE holdfast_state SET value = ? WHERE space = '' AND key = 'json'", moved)
    expect(await read('json')).toEqual({ deep: ['text'] })
    sql(dir, 'state', `UPDATE holdfast_state SET value = ${value} WHERE space = '' AND key = 'many'`)
    await expect(read('many')).rejects.toThrow(REFUSED)
    sql(
      dir,
      'state',
      `UPDATE holdfast_state SET value = (SELECT value FROM holdfast_state WHERE space = 'w:w' AND key = 'ttl') WHERE space = '' AND key = 'ttl'`,
    )
    await expect(read('ttl')).rejects.toThrow(REFUSED)
    sql(dir, 'state', "UPDATE holdfast_state SET value = '1' WHERE space = '' AND key = 'absent'")
    await expect(read('absent')).rejects.toThrow(REFUSED)
    await using db = await open(dir)
    await expect(db.state.increment('absent')).rejects.toThrow(REFUSED)
  })
})

describe('conversion', () => {
  const SESSIONS = 12
  const MESSAGES = 40

  async function fill(db: Persistence): Promise<void> {
    for (const { conversation, state } of [db, db.workspace('w')]) {
      for (let s = 0; s < SESSIONS; s++) {
        await conversation.createSession({ id: `s${s}`, name: `name ${s}`, state: { s }, metadata: { s } })
        const messages = Array.from({ length: MESSAGES }, (_, i) => ({
          id: `m${i}`,
          role: 'user',
          content: `content ${s} ${i}\0`,
          parts: [i],
        }))
        await conversation.addMessages(`s${s}`, messages)
        await state.setMany(new Map(Array.from({ length: MESSAGES }, (_, i) => [`k${s}-${i}`, { s, i }])))
      }
      await state.set('short', 1, { ttl: 5000 })
      await state.setBytes('bytes', Uint8Array.of(0xff, 0xfe))
      await state.increment('count', 5)
    }
    const { storage } = new PluginHost({ state: db.state }).session({ workspaceId: 'w', pluginId: 'a/b' })
    await storage.setText('k', 'of a plugin')
  }

  async function everything(db: Persistence): Promise<unknown> {
    const all: unknown[] = []
    for (const { conversation, state } of [db, db.workspace('w')]) {
      const { items } = await conversation.listSessions({ limit: 1000 })
      for (const { version: _, ...session } of items) all.push(session, await conversation.getMessages(session.id))
      const keys = await state.keys()
      for (const key of keys) all.push(key, await state.getBytes(key))
      expect(await state.ttl('short')).toBeGreaterThan(4900)
    }
    const { storage } = new PluginHost({ state: db.state }).session({ workspaceId: 'w', pluginId: 'a/b' })
    return [...all, await storage.getText('k'), await storage.usage()]
  }

  async function snapshot(dir: string, options: PersistenceOptions): Promise<unknown> {
    await using db = await open(dir, options)
    return await everything(db)
  }

  it('keeps everything, there and back, and has nothing to do a second time', async () => {
    const dir = await scratch()
    {
      await using db = await plain(dir)
      await fill(db)
    }
    const before = await snapshot(dir, {})
    {
      await using db = await open(dir)
      expect(await encryptStore(db.conversation)).toEqual({
        values: 0,
        sessions: 2 * SESSIONS,
        messages: 2 * SESSIONS * MESSAGES,
      })
      expect((await encryptStore(db.state)).values).toBeGreaterThan(2 * SESSIONS * MESSAGES)
      expect(await encryptStore(db.conversation)).toEqual({ values: 0, sessions: 0, messages: 0 })
      expect(await encryptStore(db.state)).toEqual({ values: 0, sessions: 0, messages: 0 })
      expect(await db.workspace('w').state.increment('count')).toBe(6)
      await db.workspace('w').state.increment('count', -1)
    }
    expect(await snapshot(dir, { encryption: KEYS })).toEqual(before)
    {
      await using db = await open(dir)
      await decryptStore(db.conversation)
      await decryptStore(db.state)
      await expect(db.state.get('count')).rejects.toThrow(REFUSED)
    }
    expect(await snapshot(dir, {})).toEqual(before)
    await using db = await plain(dir)
    expect(await db.state.increment('count')).toBe(6)
    await db.conversation.addMessage('s0', { role: 'user', content: 'x' })
  })

  it('goes on after being killed, at many moments', { timeout: 120_000 }, async () => {
    const dir = await scratch()
    {
      await using db = await plain(dir)
      await fill(db)
    }
    const before = await snapshot(dir, {})
    let kills = 0
    for (let wait = 2; ; wait += 4) {
      const child = run('test/fixtures/converting.ts', [dir, JSON.stringify(KEYS)])
      let isDone = false
      for await (const line of child.lines) {
        if (line === 'ready') void sleep(wait).then(() => child.process.kill('SIGKILL'))
        else isDone = true
      }
      await child.ended
      if (isDone) break
      kills++
    }
    expect(kills).toBeGreaterThan(2)
    expect(await snapshot(dir, { encryption: KEYS })).toEqual(before)
    await using db = await open(dir)
    expect(await encryptStore(db.conversation)).toEqual({ values: 0, sessions: 0, messages: 0 })
  })

  it('takes plaintext that came in among encrypted fields', async () => {
    await using db = await openPersistence({
      config: false,
      conversation: 'memory',
      knowledge: 'memory',
      state: 'memory',
      encryption: KEYS,
    })
    await db.conversation.createSession({ id: 's', name: 'name' })
    await db.conversation.addMessage('s', { id: 'm', role: 'user', content: 'sealed', parts: [1] })
    const { stored } = db.conversation.core.backend as unknown as { stored: typeof db.conversation.core.backend }
    await stored.patchMessage('', 's', 'm', { content: 'plain "text"', escaped: false }, { now: 0 })
    await stored.patchSession('', 's', { name: 'plain' }, { now: 0 })
    await expect(db.conversation.getMessages('s')).rejects.toThrow(REFUSED)
    expect(await encryptStore(db.conversation)).toEqual({ values: 0, sessions: 1, messages: 1 })
    expect(await db.conversation.getMessages('s')).toMatchObject([{ content: 'plain "text"', parts: [1] }])
    expect((await db.conversation.getSession('s'))?.name).toBe('plain')
  })

  it('loses no write to state that comes meanwhile', async () => {
    await using state = await STATE_STORES.create('memory', { encryption: KEYS })
    const { stored } = state.core.backend as unknown as { stored: typeof state.core.backend }
    for (let n = 0; n < 500; n++) await stored.commit('', { set: [{ key: `k${n}`, value: '0' }] })
    const converting = encryptStore(state)
    await Promise.all(Array.from({ length: 500 }, (_, n) => state.set(`k${n}`, n).catch(() => state.set(`k${n}`, n))))
    await converting
    expect(await state.getMany(Array.from({ length: 500 }, (_, n) => `k${n}`))).toEqual(Array.from({ length: 500 }, (_, n) => n))
  })

  it('needs a store with keys', async () => {
    await using state = await STATE_STORES.create('memory')
    await using conversation = await CONVERSATION_STORES.create('memory')
    await expect(encryptStore(state)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(encryptStore(conversation)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(encryptStore({} as StateStore)).rejects.toThrow(TypeError)
  })
})

describe('closing', () => {
  it.each([{ encryption: KEYS }, {}])('waits for writes that were called before', async (options) => {
    const dir = await scratch()
    const db = await open(dir, options)
    const writes = [
      ...Array.from({ length: 20 }, (_, i) => db.state.set(`k${i}`, i)),
      ...Array.from({ length: 20 }, () => db.state.increment('n')),
      ...Array.from({ length: 20 }, (_, i) => db.conversation.createSession({ id: `s${i}` })),
    ]
    await db.close()
    await Promise.all(writes)
    await using again = await open(dir, options)
    expect(await again.state.get('n')).toBe(20)
    expect((await again.conversation.listSessions()).items).toHaveLength(20)
  })
})

describe('the option', () => {
  const MEMORY = { knowledge: 'memory', state: 'memory', conversation: 'memory', config: false } as const

  it('is checked, and no key is shown', async () => {
    const secret = generateKey()
    const wrong = { current: 'b', keys: { a: secret } }
    const error: unknown = await STATE_STORES.create('memory', { encryption: wrong }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', kind: 'state', backend: 'memory' })
    expect(`${(error as Error).message} ${(error as Error).stack}`).not.toContain(secret)
    await expect(STATE_STORES.create('memory', { encryption: 'x' as never })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(openPersistence({ ...MEMORY, encryption: 'x' as never })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('is one of conversations and state, and not of knowledge', async () => {
    await using db = await openPersistence({ ...MEMORY, encryption: KEYS })
    expect([db.conversation.encrypted, db.state.encrypted]).toEqual([true, true])
    await using some = await openPersistence({ ...MEMORY, state: { backend: 'memory', encryption: KEYS } })
    expect([some.conversation.encrypted, some.state.encrypted]).toEqual([false, true])
  })

  it('is refused with a store that was opened without', async () => {
    await using state = await STATE_STORES.create('memory')
    await expect(openPersistence({ ...MEMORY, state, encryption: KEYS })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      kind: 'state',
    })
    await using sealed = await STATE_STORES.create('memory', { encryption: KEYS })
    await using db = await openPersistence({ ...MEMORY, state: sealed, encryption: KEYS })
    expect(db.state.encrypted).toBe(true)
  })

  it('is refused in a JSON file, without showing it', async () => {
    const root = await scratch()
    const secret = generateKey()
    const encryption = { current: 'a', keys: { a: secret } }
    for (const [i, content] of [{ encryption }, { state: { backend: 'memory', encryption } }].entries()) {
      const file = `${i}.json`
      await writeFile(join(root, file), JSON.stringify(content))
      const settling = resolveSettings({}, { root, env: {}, config: file })
      const error = (await settling.catch((thrown: unknown) => thrown)) as Error
      expect(error).toMatchObject({ code: 'INVALID_OPTIONS' })
      expect(error.message).toContain('JSON')
      expect(error.message).not.toContain(secret)
    }
  })

  it('is refused by a factory that makes a finished store', async () => {
    await using inner = await STATE_STORES.create('memory')
    STATE_STORES.register('finished-for-encryption', () => inner, { override: true })
    await expect(STATE_STORES.create('finished-for-encryption', { encryption: KEYS })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    })
  })
})
