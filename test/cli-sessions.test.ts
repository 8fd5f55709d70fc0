import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { ConversationStore, Message, Session } from '../src/index.ts'
import { holdfast, openStores } from './cli-support.ts'
import { collect, scratch } from './support.ts'

const HOSTILE_ID = ' a/../b\u001b]0;owned\u0007\n"\'%_\u202etxt.\u2028é😀'

/** Sessions with everything that a session and a message can hold. */
async function seed(store: ConversationStore): Promise<void> {
  const deep = JSON.parse('['.repeat(95) + ']'.repeat(95)) as unknown
  await store.createSession({
    id: HOSTILE_ID,
    userId: 'u\n1',
    name: '\u0007bell',
    state: { z: 1, a: [-0, 1e300, null, {}] },
    metadata: { deep },
  })
  await store.addMessages(HOSTILE_ID, [
    { role: 'user', content: 'plain' },
    { id: HOSTILE_ID, role: 'user', content: 'nul \0, lone \ud800, line \u2028\r\n, c1 \u009b31m, bidi \u202e' },
    {
      role: 'assistant',
      content: null,
      toolCalls: [{ id: 'c1', args: { __proto__: 1 } }],
      parts: [{ kind: 'unheard-of', n: -0 }],
    },
    {
      role: 'tool',
      content: '',
      toolCallId: 'c1',
      metadata: JSON.parse('{"__proto__":{"x":1},"":{}}') as object as never,
      createdAt: new Date(-1),
    },
    { role: 'critic', content: 'to be deleted', id: 'gone' },
  ])
  await store.deleteMessages(HOSTILE_ID, ['gone'])
  await store.updateSession(HOSTILE_ID, { agentId: 'agent' })
  await store.createSession({ id: 'empty' })
  await store.createSession({ id: 'plain', userId: 'u2' })
  await store.addMessages(
    'plain',
    Array.from({ length: 1_200 }, (_, i) => ({ role: 'user', content: `message ${i + 1}` })),
  )
}

async function everything(store: ConversationStore): Promise<{ session: Session; messages: Message[] }[]> {
  const { items } = await store.listSessions({ order: 'asc' })
  return Promise.all(items.map(async (session) => ({ session, messages: await collect(store.iterateMessages(session.id)) })))
}

it('holdfast sessions export and import carries everything over, through files and through pipes', async () => {
  const [from, to, piped] = await Promise.all([scratch(), scratch(), scratch()])
  await using source = await openStores(from)
  await seed(source.conversation)
  const exported = await holdfast(['sessions', 'export', '--all', '--out', 'all.jsonl'], { cwd: from })
  expect(exported).toEqual({ code: 0, stdout: 'exported 3 sessions with 1,204 messages to all.jsonl\n', stderr: '' })
  expect((await readdir(from)).toSorted()).toEqual(['.holdfast', 'all.jsonl'])
  const stdout = await holdfast(['sessions', 'export', '--all'], { cwd: from })
  expect(stdout.stdout).toBe(await readFile(join(from, 'all.jsonl'), 'utf8'))
  expect(stdout.stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u2028\u202e]/u)
  const [byFile, byPipe] = await Promise.all([
    holdfast(['sessions', 'import', join(from, 'all.jsonl'), '--json'], { cwd: to }),
    holdfast(['sessions', 'import', '-'], { cwd: piped, input: stdout.stdout }),
  ])
  expect(byFile.code).toBe(0)
  expect(JSON.parse(byFile.stdout)).toEqual({ sessions: 3, messages: 1204, skipped: 0, problems: [], ids: {} })
  expect(byPipe).toEqual({ code: 0, stdout: 'imported 3 sessions with 1,204 messages\n', stderr: '' })
  const expected = await everything(source.conversation)
  for (const folder of [to, piped]) {
    await using copy = await openStores(folder)
    expect(await everything(copy.conversation)).toStrictEqual(expected)
    // The next message of a copy continues where the original would.
    const next = await copy.conversation.addMessage(HOSTILE_ID, { role: 'user', content: 'next' })
    expect(next.seq).toBe(6)
  }
})

it('holdfast sessions export and import refuses ids that are taken, skips them, or gives new ones', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await seed(stores.conversation)
  const { stdout: file } = await holdfast(['sessions', 'export', 'plain', 'empty'], { cwd })
  await stores.conversation.deleteSession('empty')
  const refused = await holdfast(['sessions', 'import', '-'], { cwd, input: file })
  expect(refused.code).toBe(1)
  expect(refused.stdout).toBe('imported 1 session with 0 messages\n')
  expect(refused.stderr).toMatch(/^error CONFLICT: line 2: the session "plain" is there already\n/)
  const skipped = await holdfast(['sessions', 'import', '-', '--skip-existing'], { cwd, input: file })
  expect(skipped).toMatchObject({
    code: 0,
    stdout: 'imported 0 sessions with 0 messages; skipped 2 sessions that are there already\n',
  })
  const renamed = await holdfast(['sessions', 'import', '-', '--new-ids', '--json'], { cwd, input: file })
  expect(renamed.code).toBe(0)
  const { ids } = JSON.parse(renamed.stdout) as { ids: Record<string, string> }
  expect(Object.keys(ids).toSorted()).toEqual(['empty', 'plain'])
  const copies = await stores.conversation.getMessages(ids['plain']!)
  const originals = await stores.conversation.getMessages('plain')
  expect(copies.map(({ id, seq, content }) => ({ id, seq, content }))).toEqual(
    originals.map(({ id, seq, content }) => ({ id, seq, content })),
  )
})

it('holdfast sessions export and import reports bad lines by number, and imports every sound session whole', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  const time = '2026-01-31T12:00:00.000Z'
  const session = (id: string, extra = {}): string =>
    JSON.stringify({
      type: 'session',
      id,
      state: {},
      metadata: {},
      lastSeq: 2,
      version: 1,
      createdAt: time,
      updatedAt: time,
      ...extra,
    })
  const message = (sessionId: string, seq: number, extra = {}): string =>
    JSON.stringify({ type: 'message', id: `m${seq}`, sessionId, seq, role: 'user', content: 'x', createdAt: time, ...extra })
  const lines = [
    '{"type":"holdfast-sessions","version":1}',
    session('good'),
    message('good', 1),
    message('good', 2),
    session('bad-json'),
    '{"type":"message",',
    session('bad-seq'),
    message('bad-seq', 2),
    message('bad-seq', 1),
    session('bad-field', { mood: 'sour' }),
    message('bad-field', 1),
    message('bad-field', 2),
    session('bad-time', { createdAt: 'yesterday' }),
    session('bad-type'),
    message('bad-type', 1, { role: 7 }),
    session('last'),
    '',
    message('last', 1),
    '{"type":"end","sessions":6,"messages":9}',
  ]
  const { code, stdout, stderr } = await holdfast(['sessions', 'import', '-'], { cwd, input: lines.join('\n') })
  expect(code).toBe(1)
  expect(stdout).toBe('imported 2 sessions with 3 messages\n')
  const numbers = [...stderr.matchAll(/line (\d+):/g)].map(([, number]) => Number(number))
  expect(numbers).toEqual([6, 9, 10, 11, 13, 15])
  const { items } = await stores.conversation.listSessions()
  expect(items.map(({ id }) => id).toSorted()).toEqual(['good', 'last'])
})

it('holdfast sessions export and import notices a file that was cut off, is no export, is not text, or is from the future', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await seed(stores.conversation)
  const { stdout: file } = await holdfast(['sessions', 'export', 'empty', 'plain'], { cwd })
  await stores.conversation.deleteSession('plain')
  await stores.conversation.deleteSession('empty')
  const head = file.split('\n')
  const inputs = [
    head.slice(0, 600).join('\n'),
    head.slice(0, 600).join('\n').slice(0, -10),
    'hello\n',
    '',
    '{"type":"holdfast-sessions","version":2}\n',
    Buffer.concat([
      Buffer.from(`${head[0]}\n`),
      Buffer.from([0x22, 0xff, 0x22, 10]),
      Buffer.from('{"type":"end","sessions":0,"messages":0}\n'),
    ]),
    [...head.slice(0, 3), ...head.slice(4)].join('\n'),
  ]
  const ran = []
  for (const input of inputs) ran.push(await holdfast(['sessions', 'import', '-', '--skip-existing'], { cwd, input }))
  expect(ran.map(({ code }) => code)).toEqual([1, 1, 1, 1, 1, 1, 1])
  expect(ran[0]!.stderr).toMatch(/^error CORRUPT: line 601: the file ends before its end line/)
  expect(ran[1]!.stderr).toMatch(/^error CORRUPT: line 600: it is not JSON/)
  expect(ran[2]!.stderr).toMatch(/^error CORRUPT: this is no export/)
  expect(ran[3]!.stderr).toMatch(/^error CORRUPT: this is no export/)
  expect(ran[4]!.stderr).toMatch(/^error UNSUPPORTED: /)
  expect(ran[5]!.stderr).toMatch(/^error CORRUPT: line 2: it is not UTF-8/)
  expect(ran[6]!.stderr).toMatch(/^error CORRUPT: line 1203: lines are missing/)
  expect(await stores.conversation.getSession('empty')).toBeDefined()
})

it('holdfast sessions export and import leaves a file as it was when the export fails', async () => {
  const cwd = await scratch()
  await writeFile(join(cwd, 'old.jsonl'), 'precious')
  const [missing, folder, input] = await Promise.all([
    holdfast(['sessions', 'export', 'nope', '--out', 'old.jsonl'], { cwd }),
    holdfast(['sessions', 'export', '--all', '--out', 'no/such/folder.jsonl'], { cwd }),
    holdfast(['sessions', 'import', 'nope.jsonl'], { cwd }),
  ])
  expect([missing, folder, input].map(({ code }) => code)).toEqual([1, 1, 1])
  for (const { stderr } of [missing, folder, input]) expect(stderr).toMatch(/^error NOT_FOUND: /)
  expect(await readFile(join(cwd, 'old.jsonl'), 'utf8')).toBe('precious')
  expect((await readdir(cwd)).toSorted()).toEqual(['.holdfast', 'old.jsonl'])
})

it('holdfast sessions lists, shows and searches, harmlessly on a terminal and exactly as JSON', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await seed(stores.conversation)
  const run = (...args: string[]): ReturnType<typeof holdfast> => holdfast(['sessions', ...args], { cwd })
  const [list, listJson, show, showJson, search, searchJson, paged] = await Promise.all([
    run('list'),
    run('list', '--json', '--user', 'u\n1'),
    run('show', HOSTILE_ID),
    run('show', HOSTILE_ID, '--json', '--limit', '2'),
    run('search', 'MESSAGE', '1200'),
    run('search', 'plain', '--session', HOSTILE_ID, '--json'),
    run('list', '--limit', '1', '--json'),
  ])
  for (const { code, stdout } of [list, show, search]) {
    expect(code).toBe(0)
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028]/u)
  }
  expect(list.stdout).toContain('plain')
  expect(show.stdout).toContain('nul \\u{0}, lone')
  expect(search.stdout).toMatch(/plain #1200/)
  const ids = (text: string): unknown => (JSON.parse(text) as { items: { id: string }[] }).items.map(({ id }) => id)
  expect(ids(listJson.stdout)).toEqual([HOSTILE_ID])
  const shown = JSON.parse(showJson.stdout) as { session: { id: string }; messages: { seq: number }[] }
  expect(shown.session.id).toBe(HOSTILE_ID)
  expect(shown.messages.map(({ seq }) => seq)).toEqual([3, 4])
  expect(ids(searchJson.stdout)).toHaveLength(1)
  const { cursor } = JSON.parse(paged.stdout) as { cursor: string }
  const next = await run('list', '--limit', '2', '--cursor', cursor, '--json')
  expect(ids(next.stdout)).toHaveLength(2)
})

it('holdfast sessions forks, renames and deletes', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await seed(stores.conversation)
  const run = (...args: string[]): ReturnType<typeof holdfast> => holdfast(['sessions', ...args], { cwd })
  const fork = await run('fork', 'plain', '--at', '7', '--id', 'fork', '--name', 'a try', '--json')
  expect(fork.code).toBe(0)
  expect(JSON.parse(fork.stdout)).toMatchObject({ id: 'fork', lastSeq: 7, name: 'a try', userId: 'u2' })
  expect(await run('rename', 'fork', 'kept')).toMatchObject({ code: 0 })
  expect((await stores.conversation.getSession('fork'))!.name).toBe('kept')
  const partly = await run('delete', 'fork', 'nope')
  expect(partly.code).toBe(1)
  expect(await stores.conversation.getSession('fork')).toBeDefined()
  expect(await run('delete', 'fork', HOSTILE_ID)).toMatchObject({ code: 0 })
  expect((await stores.conversation.listSessions()).items).toHaveLength(2)
  expect(await run('delete', 'fork')).toMatchObject({ code: 1 })
})

it('holdfast sessions works in the workspace that is named', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await stores.workspace('w').conversation.createSession({ id: 'inside' })
  const [outside, inside] = await Promise.all([
    holdfast(['sessions', 'list'], { cwd }),
    holdfast(['--workspace', 'w', 'sessions', 'list'], { cwd }),
  ])
  expect(outside.stdout).toMatch(/^No sessions in sqlite .*conversation\.db\.\n$/)
  expect(inside.stdout).toContain('inside')
})

it('what needs stored sessions makes no file where there is none; import makes one', async () => {
  const cwd = await scratch()
  const looking = [
    ['list'],
    ['list', '--json'],
    ['show', 'x'],
    ['search', 'x'],
    ['export', '--all'],
    ['fork', 'x'],
    ['delete', 'x'],
  ]
  const ran = await Promise.all(looking.map((args) => holdfast(['sessions', ...args], { cwd })))
  expect(ran.map(({ code }) => code)).toEqual([0, 0, 1, 0, 0, 1, 1])
  expect(ran[0]!.stdout).toBe(`No sessions in sqlite ${join(cwd, '.holdfast/conversation.db')}.\n`)
  expect(await readdir(cwd)).toEqual([])
  const imported = await holdfast(['sessions', 'import', '-'], { cwd, input: ran[4]!.stdout })
  expect(imported).toEqual({ code: 0, stdout: 'imported 0 sessions with 0 messages\n', stderr: '' })
  expect(await readdir(cwd)).toEqual(['.holdfast'])
})

it('files that cannot be read or written are named with what to do', async () => {
  const cwd = await scratch()
  const [missing, folder, unwritable] = await Promise.all([
    holdfast(['sessions', 'import', 'nope.jsonl', '--dir', 'a'], { cwd }),
    holdfast(['sessions', 'import', '-', '--dir', 'b'], { cwd, input: 'hello' }),
    holdfast(['sessions', 'export', '--all', '--out', 'no/such/x.jsonl'], { cwd }),
  ])
  expect(missing.stderr).toBe(
    'error NOT_FOUND: nope.jsonl: there is no such file or folder\n  Check the path; a relative one counts from the working directory.\n',
  )
  expect(folder.stderr).toMatch(/^error CORRUPT: this is no export.*\n  Give it what `holdfast sessions export` wrote\.\n$/)
  expect(unwritable.stderr).toMatch(/^error NOT_FOUND: no\/such\/x\.jsonl.*: there is no such file or folder\n/)
  expect([missing, folder, unwritable].map(({ code }) => code)).toEqual([1, 1, 1])
})
