import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { cleanEnvironment, holdfast, MAIN, openStores } from './cli-support.ts'
import { scratch } from './support.ts'

const GUIDE = `# Lighthouse guide

The lamp of the lighthouse turns once in twelve seconds. It was built in 1871.

## Reaching the island

A ferry leaves from the north pier every morning at nine. In winter it sails on Sundays only.

- Dogs travel free of charge.
- Bicycles cost two coins.

\`\`\`sh
# not a heading
ferry --board north
\`\`\`

## Reaching the island

The keeper collects late guests by rowing boat.
`

const NOTES = `---
title: Notes
---
Weather
=======

Storms come from the west in November and close the harbour.

### Fog

The horn sounds twice a minute in fog.
`

/** A folder to work in, with a folder of documents in it. */
async function project(more: Record<string, string> = {}): Promise<string> {
  const cwd = await scratch()
  await mkdir(join(cwd, 'docs/deep'), { recursive: true })
  const files = { 'docs/guide.md': GUIDE, 'docs/deep/notes.md': NOTES, 'docs/skipped.txt': 'no Markdown', ...more }
  await Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(cwd, name), content)))
  return cwd
}

interface JsonAnswer {
  readonly answer: string
  readonly source: { readonly file: string; readonly anchor: string; readonly place: string } | null
  readonly saved: { readonly session: string; readonly messages: number[] }
}

const squeezed = (markdown: string): string => markdown.replace(/\s+/g, ' ')

/** Everything a run reported as saved, by what the lines say. */
function reported(stdout: string): { messages: number[]; runs: number[]; passages: number[] } {
  const numbers = (pattern: RegExp): number[] => [...stdout.matchAll(pattern)].map(([, number]) => Number(number))
  return {
    messages: numbers(/saved message (\d+)\n/g),
    runs: numbers(/saved run (\d+)\n/g),
    passages: numbers(/saved (\d+) new or changed/g),
  }
}

it('the demo runs, and run again resumes its session with its history', async () => {
  const cwd = await project()
  const args = ['demo', '--docs', 'docs', '--dir', 'kept']
  const first = await holdfast(args, { cwd })
  expect(first).toMatchObject({ code: 0, stderr: '' })
  expect(first.stdout).toContain('docs: 2 files, 5 passages')
  expect(first.stdout).toContain('lexical: it compares words, not meanings')
  expect(reported(first.stdout)).toEqual({ messages: [1, 2, 3, 4, 5, 6], runs: [1], passages: [5] })
  for (const file of ['conversation.db', 'knowledge.db', 'state.db']) expect(first.stdout).toContain(join(cwd, 'kept', file))
  const second = await holdfast(args, { cwd })
  expect(second.code).toBe(0)
  expect(second.stdout).toContain('nothing has changed since the last run')
  expect(second.stdout).toContain('resumed at message 6')
  expect(second.stdout).toMatch(/docs +#6 /)
  expect(reported(second.stdout)).toEqual({ messages: [7, 8, 9, 10, 11, 12], runs: [2], passages: [] })
  for (const { stdout } of [first, second]) {
    expect(stdout.split('\n').length).toBeLessThan(60)
    expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  }
})

it('the demo answers with a source that holds the answer', async () => {
  const cwd = await project()
  const cases = [
    ['When does the ferry leave?', /every morning at nine/, 'guide.md#reaching-the-island'],
    ['Who collects late guests?', /keeper collects late guests by rowing boat/, 'guide.md#reaching-the-island-1'],
    ['Do dogs pay?', /Dogs travel free/, 'guide.md#reaching-the-island'],
    ['What closes the harbour?', /Storms come from the west/, 'deep/notes.md#weather'],
    ['how often does the horn sound', /twice a minute/, 'deep/notes.md#fog'],
    ['When was the lighthouse built?', /1871/, 'guide.md#lighthouse-guide'],
  ] as const
  for (const [question, expected, place] of cases) {
    const { code, stdout } = await holdfast(['demo', '--docs', 'docs', '--ask', question, '--json'], { cwd })
    expect(code).toBe(0)
    const { answer, source } = JSON.parse(stdout) as JsonAnswer
    expect(answer).toMatch(expected)
    expect(source?.place).toBe(place)
    expect(squeezed(await readFile(join(cwd, 'docs', source!.file), 'utf8'))).toContain(answer)
  }
})

it("the demo's own questions are answered from Holdfast's documentation", async () => {
  const cwd = await scratch()
  const expected = [
    ['docs/getting-started.md', /Node 24\.16 or newer/],
    ['docs/conversations.md', /never tied and never used twice, however many processes append at once/],
    ['docs/workspaces.md', /A workspace is a tenant/],
    ['docs/plugins.md', /one field of its package\.json/],
    ['README.md', /acknowledged write survives a killed process/],
    ['docs/knowledge.md', /A missing field satisfies only/],
  ] as const
  const first = await holdfast(['demo'], { cwd })
  const second = await holdfast(['demo'], { cwd })
  expect(first.stdout.split('\n').length).toBeLessThan(40)
  expect(first.stdout).toMatch(/go on, also after a kill +npm run demo\n/)
  await using stores = await openStores(cwd)
  const answers = (await stores.conversation.getMessages('holdfast-demo')).filter(({ role }) => role === 'assistant')
  expect(answers).toHaveLength(expected.length)
  for (const [i, [file, text]] of expected.entries()) {
    expect(answers[i]!.content).toMatch(text)
    expect(answers[i]!.metadata).toMatchObject({ sources: [{ file }] })
  }
  expect(second.stdout).toMatch(/State +the last run ended 2\d{3}-/)
})

it('the demo ends with commands that go on, look and ask, for the very stores that it used', async () => {
  const cwd = await project()
  const { stdout } = await holdfast(['demo', '--docs', 'docs', '--dir', "it's here", '--workspace', 'w'], { cwd })
  const [, next] = stdout.split('\nNext\n')
  const id = /session (holdfast-demo-\w+)/.exec(stdout)![1]!
  expect(next).toContain(`-- demo --docs docs --dir 'it'\\''s here' --workspace w\n`)
  expect(next).toContain(`-- demo --ask "…" --docs docs --dir 'it'\\''s here' --workspace w\n`)
  expect(next).toContain(`-- sessions show ${id} --dir 'it'\\''s here' --workspace w\n`)
  const memory = await holdfast(['demo', '--docs', 'docs', '--conversation', 'memory'], { cwd })
  expect(memory.stdout).toMatch(/Next\n {2}Nothing: /)
})

it('the demo stores what was asked with its sources, and says when it knows nothing', async () => {
  const cwd = await project()
  const known = await holdfast(['demo', '--docs', 'docs', '--ask', 'When does the ferry leave?'], { cwd })
  expect(known.stdout).toContain('from guide.md#reaching-the-island (score')
  const unknown = await holdfast(['demo', '--docs', 'docs', '--ask', 'Which colour has \u001b[31m the moon?', '--json'], { cwd })
  expect(unknown.code).toBe(0)
  const { answer, source, saved } = JSON.parse(unknown.stdout) as JsonAnswer
  expect({ answer, source, messages: saved.messages }).toEqual({
    answer: 'The documents say nothing about that.',
    source: null,
    messages: [3, 4],
  })
  await using stores = await openStores(cwd)
  const messages = await stores.conversation.getMessages(saved.session)
  expect(messages.map(({ seq, role }) => `${seq} ${role}`)).toEqual(['1 user', '2 assistant', '3 user', '4 assistant'])
  expect(messages[1]!.metadata).toMatchObject({ sources: [{ file: 'guide.md', anchor: 'reaching-the-island' }] })
  expect(messages[3]!.metadata).toEqual({ sources: [] })
})

it('the demo writes only passages that changed and removes those that are gone', async () => {
  const cwd = await project()
  const args = ['demo', '--docs', 'docs']
  await holdfast([...args, '--ask', 'ferry'], { cwd })
  await writeFile(join(cwd, 'docs/guide.md'), GUIDE.replace('at nine', 'at ten'))
  await rm(join(cwd, 'docs/deep/notes.md'))
  const changed = await holdfast(args, { cwd })
  expect(changed.stdout).toContain('saved 1 new or changed passage, removed 2 that are gone')
  const { stdout } = await holdfast([...args, '--ask', 'When does the ferry leave?'], { cwd })
  expect(stdout).toContain('at ten')
  const fog = await holdfast([...args, '--ask', 'How often does the horn sound in fog?'], { cwd })
  expect(fog.stdout).toContain('say nothing about that')
})

it('the demo answers the question that a killed run left open', async () => {
  const cwd = await project()
  const { stdout } = await holdfast(['demo', '--docs', 'docs', '--ask', 'ferry', '--json'], { cwd })
  const { session } = (JSON.parse(stdout) as JsonAnswer).saved
  await using stores = await openStores(cwd)
  await stores.conversation.addMessage(session, { role: 'user', content: 'Do dogs pay?' })
  const next = await holdfast(['demo', '--docs', 'docs'], { cwd })
  expect(next.stdout).toContain('The last run was ended before it answered:')
  const answer = (await stores.conversation.getMessages(session, { after: 3, limit: 1 }))[0]!
  expect(answer).toMatchObject({ seq: 4, role: 'assistant', content: expect.stringContaining('Dogs travel free') })
})

it('the demo forgets on --reset, and only what is its own', async () => {
  const cwd = await project()
  await using stores = await openStores(cwd)
  await stores.state.set('mine', 1)
  await stores.conversation.createSession({ id: 'mine' })
  await holdfast(['demo', '--docs', 'docs'], { cwd })
  const { code, stdout } = await holdfast(['demo', '--docs', 'docs', '--reset'], { cwd })
  expect(code).toBe(0)
  expect(reported(stdout)).toEqual({ messages: [1, 2, 3, 4, 5, 6], runs: [1], passages: [5] })
  expect(await stores.state.get('mine')).toBe(1)
  expect(await stores.conversation.getSession('mine')).toBeDefined()
})

it('the demo takes a real embedder from a config file, and goes back', async () => {
  const cwd = await project({
    'package.json': '{"name":"app","type":"module"}',
    'holdfast.config.js': `const topics = ['ferry', 'storm', 'fog', 'lamp']
      const vector = (text) => [0.1, ...topics.map((topic) => (text.toLowerCase().includes(topic) ? 1 : 0))]
      export default { embed: async (texts) => texts.map(vector) }`,
  })
  const args = ['demo', '--docs', 'docs', '--ask', 'Tell me of FOG', '--json']
  const own = await holdfast(args, { cwd })
  expect((JSON.parse(own.stdout) as JsonAnswer).source?.place).toBe('deep/notes.md#fog')
  await rm(join(cwd, 'holdfast.config.js'))
  const lexical = await holdfast(['demo', '--docs', 'docs'], { cwd })
  expect(lexical.code).toBe(0)
  expect(lexical.stdout).toContain('saved 5 new or changed passages')
})

it('the demo says what is wrong with its documents', async () => {
  const cwd = await project({ 'docs/odd \u0007.md': '# odd \u001b[31m\n\nText \u001b[2J of it.\n' })
  await mkdir(join(cwd, 'empty'))
  const [missing, empty, odd, file] = await Promise.all([
    holdfast(['demo', '--docs', 'nope'], { cwd }),
    holdfast(['demo', '--docs', 'empty'], { cwd }),
    holdfast(['demo', '--docs', 'docs', '--dir', 'a'], { cwd }),
    holdfast(['demo', '--docs', 'docs/guide.md', '--dir', 'b'], { cwd }),
  ])
  for (const { code, stdout, stderr } of [missing, empty]) {
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^error NOT_FOUND: /)
  }
  expect(odd.code).toBe(0)
  expect(odd.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  expect(file.stdout).toContain('1 file, 3 passages')
})

/** A run that is killed some time after it printed so many lines, with all that it had printed by then. */
async function killedRun(cwd: string, afterLines: number, delayMs: number): Promise<{ stdout: string; killed: boolean }> {
  const args = [MAIN, 'demo', '--docs', 'docs']
  const child = spawn(process.execPath, args, { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'inherit'] })
  let stdout = ''
  let doomed = false
  const closed = new Promise((resolve) => child.once('close', resolve))
  const doom = (): void => {
    if (doomed || stdout.split('\n').length - 1 < afterLines) return
    doomed = true
    setTimeout(() => child.kill('SIGKILL'), delayMs)
  }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    doom()
  })
  // Before the first line: while the process starts, opens the stores and reads the documents.
  if (afterLines === 0) setTimeout(doom, 80 + Math.random() * 100)
  await closed
  return { stdout, killed: child.signalCode === 'SIGKILL' }
}

/** Documents of which every edition differs in every passage. */
function partsOf(edition: number): string {
  const sections = Array.from(
    { length: 150 },
    (_, i) => `## Part ${i}\n\nWidget ${i} of edition ${edition} weighs ${i * 7} grams.\n`,
  )
  return sections.join('\n')
}

it('the demo loses nothing that it reported as saved when it is killed, and goes on', { timeout: 120_000 }, async () => {
  const cwd = await project({ 'docs/parts.md': partsOf(0) })
  const id = /"session": "([^"]+)"/.exec(
    (await holdfast(['demo', '--docs', 'docs', '--ask', 'ferry', '--json'], { cwd })).stdout,
  )![1]!
  await using stores = await openStores(cwd)
  const contents = async (): Promise<string[]> => {
    const { items } = await stores.knowledge.list(id, { limit: 1_000 })
    return items.map(({ content }) => content).filter((content) => content.startsWith('Widget'))
  }
  let kills = 0
  for (let edition = 1; edition <= 15; edition++) {
    await writeFile(join(cwd, 'docs/parts.md'), partsOf(edition))
    const { stdout, killed } = await killedRun(cwd, Math.max(0, Math.floor(Math.random() * 22) - 5), Math.random() * 8)
    kills += killed ? 1 : 0
    const saved = reported(stdout)
    const messages = await stores.conversation.getMessages(id)
    expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, m) => m + 1))
    expect(messages.length).toBeGreaterThanOrEqual(Math.max(0, ...saved.messages))
    expect((await stores.state.get<number>(`${id}:runs`)) ?? 0).toBeGreaterThanOrEqual(Math.max(0, ...saved.runs))
    if (saved.passages.length > 0) expect((await contents()).every((text) => text.includes(`edition ${edition} `))).toBe(true)
    expect(await contents()).toHaveLength(150)
  }
  expect(kills).toBeGreaterThan(5)
  const last = await holdfast(['demo', '--docs', 'docs'], { cwd })
  expect(last).toMatchObject({ code: 0, stderr: '' })
  expect((await contents()).every((text) => text.includes('edition 15 '))).toBe(true)
  const roles = (await stores.conversation.getMessages(id)).map(({ role }) => role)
  expect(roles).toEqual(roles.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')))
})
