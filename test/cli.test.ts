import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } from '../src/index.ts'
import { cleanEnvironment, holdfast, MAIN, openStores } from './cli-support.ts'
import { ROOT, scratch } from './support.ts'

const COMMANDS = [
  'demo',
  'doctor',
  'backends',
  'sessions',
  'state',
  'workspaces',
  'backup',
  'restore',
  'schema',
  'conform',
  'sync',
]

async function write(folder: string, files: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
}

it('holdfast shows its version and its help', async () => {
  const cwd = await scratch()
  const [version, help, sub] = await Promise.all([
    holdfast(['--version'], { cwd }),
    holdfast(['--help'], { cwd }),
    holdfast(['sessions', 'export', '--help'], { cwd }),
  ])
  expect(version).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' })
  expect(help.code).toBe(0)
  for (const command of COMMANDS) expect(help.stdout).toMatch(new RegExp(`^  ${command}`, 'm'))
  expect(help.stdout).toContain('Examples:')
  expect(sub.code).toBe(0)
  expect(sub.stdout).toContain('Examples:')
  expect(sub.stdout).toContain('--workspace')
  expect(await readdir(cwd)).toEqual([])
})

/** Every command with its options, as the program's own help tells them. */
async function commandsIn(cwd: string, path: readonly string[] = []): Promise<{ command: string; options: string[] }[]> {
  const { stdout } = await holdfast([...path, '--help'], { cwd })
  const [own, list = ''] = stdout.split(/^Commands:$/m) as [string, string?]
  const options = [...own.matchAll(/^  (?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option!)
  const names = [...list.split('\n\n')[0]!.matchAll(/^  ([a-z]+)/gm)].map(([, name]) => name!).filter((name) => name !== 'help')
  const below = await Promise.all(names.map((name) => commandsIn(cwd, [...path, name])))
  return [{ command: path.join(' '), options }, ...below.flat()]
}

it('docs/cli.md shows every command in an example and names every option', async () => {
  const page = await readFile(join(ROOT, 'docs/cli.md'), 'utf8')
  const commands = await commandsIn(await scratch())
  expect(commands.map(({ command }) => command)).toEqual(
    expect.arrayContaining([...COMMANDS, 'sessions list', 'sessions delete']),
  )
  const examples = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text).join('')
  for (const { command, options } of commands) {
    expect(examples).toMatch(new RegExp(`npx holdfast (?:--dir \\S+ )?${command}`))
    for (const option of options) expect(page, command).toMatch(new RegExp(`${option}(?![\\w-])`))
  }
})

it('holdfast names the help of the very command that was used wrongly', async () => {
  const cwd = await scratch()
  const [sub, top] = await Promise.all([holdfast(['sessions', 'list', '--nope'], { cwd }), holdfast(['nope'], { cwd })])
  expect(sub.stderr).toContain('See `holdfast sessions list --help`.')
  expect(top.stderr).toContain('See `holdfast --help`.')
})

it('holdfast refuses wrong usage with code 2 and creates nothing', async () => {
  const cwd = await scratch()
  const wrong = [
    ['nope'],
    ['demo', '--nope'],
    ['sessions'],
    ['sessions', 'list', '--limit', 'ten'],
    ['sessions', 'list', '--limit', '0'],
    ['sessions', 'show'],
    ['sessions', 'export'],
    ['sessions', 'export', 'a', '--all'],
    ['sessions', 'import', 'x', '--skip-existing', '--new-ids'],
    ['sessions', 'prune'],
    ['sessions', 'prune', '--older-than', '30'],
    ['sessions', 'prune', '--older-than', '0d'],
    ['sessions', 'prune', '--older-than', '9999999w'],
    ['state', 'get', 'k', '--bytes', '--json'],
    ['state', 'set', 'k'],
    ['state', 'set', 'k', 'not JSON'],
    ['state', 'set', 'k', '1', '--file', 'x'],
    ['state', 'set', 'k', '--file', 'x', '--text'],
    ['state', 'set', 'k', '1', '--ttl', '-1'],
    ['workspaces', 'delete', 'w'],
    ['schema', 'print', '--kind', 'nope'],
    ['conform', '--kind', 'nope', '--backend', 'memory'],
    ['conform', '--backend', 'memory'],
    ['conform', '--kind', 'state', '--backend', 'memory', '--options', '{'],
    ['demo', '--json'],
    ['demo', '--ask', ' '],
    ['doctor', '--dir', ''],
    ['sessions', 'list', '--config', ''],
  ]
  const ran = await Promise.all(wrong.map((args) => holdfast(args, { cwd })))
  for (const [i, { code, stdout, stderr }] of ran.entries()) {
    expect({ args: wrong[i], code, stdout }).toEqual({ args: wrong[i], code: 2, stdout: '' })
    if (wrong[i]!.length > 1) expect(stderr).toMatch(/^error USAGE: /)
    expect(stderr).not.toMatch(/\n\s+at /)
  }
  expect(await readdir(cwd)).toEqual([])
})

it('holdfast reports errors with code, message and remedy, and a stack only with --debug', async () => {
  const cwd = await scratch()
  const [plain, debug] = await Promise.all([
    holdfast(['sessions', 'show', 'no\u001b[31m such'], { cwd }),
    holdfast(['--debug', 'sessions', 'list', '--conversation', 'nope'], { cwd }),
  ])
  expect(plain.code).toBe(1)
  expect(plain.stderr).toBe(
    'error NOT_FOUND: there is no session "no\\u001b[31m such"\n  Create it first, or check the id and the workspace.\n',
  )
  expect(debug.code).toBe(1)
  expect(debug.stderr).toMatch(/^error UNKNOWN_BACKEND: /)
  expect(debug.stderr).toMatch(/\n\s+at /)
})

it('holdfast ends quietly when its reader has gone', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await stores.conversation.createSession({ id: 's' })
  const long = Array.from({ length: 500 }, (_, i) => ({ role: 'user', content: `${i} ${'x'.repeat(2_000)}` }))
  await stores.conversation.addMessages('s', long)
  const script = `"${process.execPath}" "${MAIN}" sessions export --all | head -n 1; exit \${PIPESTATUS[0]}`
  const child = spawn('bash', ['-c', script], { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => (stdout += String(chunk)))
  child.stderr.on('data', (chunk) => (stderr += String(chunk)))
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '{"type":"holdfast-sessions","version":1}\n', stderr: '' })
})

it('holdfast backends lists what the registries know', async () => {
  const { code, stdout } = await holdfast(['backends', '--json'], { cwd: await scratch() })
  expect(code).toBe(0)
  const { backends } = JSON.parse(stdout) as {
    backends: { kind: string; name: string; planned: boolean; capabilities: object | null }[]
  }
  for (const registry of [CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES]) {
    const listed = backends.filter(({ kind }) => kind === registry.kind)
    const builtIn = registry.describe().filter(({ origin }) => origin === 'built-in')
    expect(listed.map(({ name, planned }) => ({ name, planned }))).toEqual(
      builtIn.map(({ name, planned }) => ({ name, planned })),
    )
  }
  const memory = backends.find(({ kind, name }) => kind === 'state' && name === 'memory')!
  expect(memory.capabilities).toEqual({ bytes: 'native', commitKeys: 'unlimited' })
  const registries = { conversation: CONVERSATION_STORES, knowledge: KNOWLEDGE_STORES, state: STATE_STORES }
  for (const { kind, name, planned, capabilities } of backends) {
    // What depends on the engine that is met is not known beforehand.
    const declared = planned ? undefined : await registries[kind as keyof typeof registries].capabilities(name)
    expect(capabilities === null, name).toBe(declared === undefined)
  }
})

it('holdfast backends opens nothing, and finds no problem with a folder that is no project', async () => {
  const cwd = await scratch()
  const { code, stdout } = await holdfast(['backends'], { cwd })
  expect(code).toBe(0)
  expect(stdout).not.toContain('problem')
  expect(stdout).toMatch(/^ {2}.*memory, (?:\w+, )*sqlite, sync_sqlite: bytes native, commitKeys unlimited$/m)
  expect(stdout).toMatch(/^ {2}(?:\w+, )*async_sqlite, .*sqlite, sync_sqlite: search$/m)
  expect(await readdir(cwd)).toEqual([])
  const unknown = await holdfast(['conform', '--kind', 'state', '--backend', 'nope'], { cwd })
  expect(unknown.stderr).not.toContain('problem')
  const named = await holdfast(['backends'], { cwd, env: { HOLDFAST_APP_ROOT: cwd } })
  expect(named.stdout).toContain('(application): there is no package.json')
})

it('holdfast backends shows where a plugin comes from, and what is wrong with a broken one, without running either', async () => {
  const cwd = await scratch()
  const plugin = (name: string, field: object): string =>
    JSON.stringify({ name, version: '1.2.3', exports: './index.js', holdfast: field })
  await write(cwd, {
    'package.json': JSON.stringify({ name: 'app', dependencies: { good: '1', bad: '1', gone: '1' } }),
    'node_modules/good/package.json': plugin('good', { stateStores: { shiny: '.' } }),
    'node_modules/good/index.js': 'throw new Error("must not run")',
    'node_modules/bad/package.json': plugin('bad', { stateStores: { rusty: { factory: '../../etc' } } }),
  })
  await mkdir(join(cwd, 'src'))
  const [text, json] = await Promise.all([
    holdfast(['backends', '--kind', 'state'], { cwd: join(cwd, 'src') }),
    holdfast(['backends', '--json'], { cwd }),
  ])
  expect(text.code).toBe(0)
  expect(text.stdout).toMatch(/shiny +ready +good@1\.2\.3/)
  expect(text.stdout).toMatch(/rusty +broken +bad@1\.2\.3/)
  expect(text.stdout).toMatch(/mongodb +planned +built-in/)
  expect(text.stdout).toContain('gone: ')
  const { backends } = JSON.parse(json.stdout) as { backends: { name: string; available: boolean; problem?: string }[] }
  expect(backends.find(({ name }) => name === 'shiny')).toMatchObject({ available: true, capabilities: null })
  expect(backends.find(({ name }) => name === 'rusty')).toMatchObject({
    available: false,
    problem: expect.stringContaining('factory'),
  })
})

it('holdfast doctor opens everything and says where each setting comes from', async () => {
  const cwd = await scratch()
  await write(cwd, { 'package.json': '{"name":"app"}', 'holdfast.config.json': '{"state":"memory"}' })
  const env = { HOLDFAST_CONVERSATION: 'sqlite:chat.db', HOLDFAST_STATE: 'nope' }
  const ran = await holdfast(['doctor', '--json', '--knowledge', 'memory'], { cwd, env })
  expect(ran).toMatchObject({ code: 0, stderr: '' })
  const report = JSON.parse(ran.stdout) as { ok: boolean; file: string; stores: object[] }
  expect(report).toMatchObject({ ok: true, file: join(cwd, 'holdfast.config.json'), appRoot: cwd })
  expect(report.stores).toMatchObject([
    { kind: 'conversation', setting: 'sqlite:chat.db', source: 'environment', backend: 'sqlite', ok: true },
    { kind: 'knowledge', setting: 'memory', source: 'argument', backend: 'memory', ok: true },
    { kind: 'state', setting: 'memory', source: 'file', backend: 'memory', ok: true },
  ])
})

it('holdfast doctor fails with code 1 where a store cannot be opened, and shows no secret', async () => {
  const cwd = await scratch()
  await write(cwd, { file: 'not a folder' })
  const args = ['--conversation', 'sqlite:file/x.db', '--state', 'redis://user:hunter2@localhost/?token=hunter3']
  const [text, json] = await Promise.all([
    holdfast(['doctor', ...args], { cwd }),
    holdfast(['doctor', '--json', ...args], { cwd }),
  ])
  expect([text.code, json.code]).toEqual([1, 1])
  expect(text.stdout).toMatch(/FAIL +conversation/)
  expect(text.stdout).toMatch(/ok +knowledge/)
  expect(text.stdout).toMatch(/FAIL +state/)
  const { ok, stores } = JSON.parse(json.stdout) as { ok: boolean; stores: { error?: { code: string } }[] }
  expect(ok).toBe(false)
  expect(stores.map(({ error }) => error?.code)).toEqual(['UNAVAILABLE', undefined, 'INVALID_OPTIONS'])
  expect(text.stdout + text.stderr + json.stdout + json.stderr).not.toMatch(/hunter/)
})

it('holdfast doctor fails with code 1 on a config file that cannot be used', async () => {
  const cwd = await scratch()
  await write(cwd, { 'package.json': '{"name":"app"}', 'holdfast.config.json': '{"stat":"memory"}' })
  const [text, json] = await Promise.all([holdfast(['doctor'], { cwd }), holdfast(['doctor', '--json'], { cwd })])
  expect(text.code).toBe(1)
  expect(text.stderr).toMatch(/^error INVALID_OPTIONS: .*did you mean "state"/)
  expect(json.code).toBe(1)
  expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, error: { code: 'INVALID_OPTIONS' } })
})

it('holdfast conform passes a sound backend and prints the report', async () => {
  const cwd = await scratch()
  const base = ['conform', '--kind', 'state', '--only', 'state/ttl/*', 'state/increment']
  const [memory, sqlite] = await Promise.all([
    holdfast([...base, '--backend', 'memory'], { cwd }),
    holdfast([...base, '--backend', 'sqlite', '--view', 'workspace', '--json'], { cwd }),
  ])
  expect(memory).toMatchObject({ code: 0, stderr: '' })
  expect(memory.stdout).toMatch(/state store "memory", default view\n\d+ cases: \d+ passed, 0 failed/)
  expect(memory.stdout).toContain('workspace view')
  expect(sqlite.code).toBe(0)
  const [report] = JSON.parse(sqlite.stdout) as { passed: number; failed: number; view: string; results: { id: string }[] }[]
  expect(report).toMatchObject({ failed: 0, view: 'workspace', backend: 'sqlite' })
  expect(report!.passed).toBeGreaterThan(5)
  expect(report!.results.every(({ id }) => /^state\/(ttl|increment)\//.test(id))).toBe(true)
  expect(await readdir(cwd)).toEqual([])
})

it('holdfast conform fails a broken one by the case meant for it', async () => {
  const cwd = await scratch()
  await write(cwd, {
    'my.ts': `import { create as sound } from ${JSON.stringify(join(dirname(MAIN), '../state/backends/memory.ts'))}
      export async function createState(options: object, context: never): Promise<object> {
        const backend = await sound(options as never, context)
        const scan = backend.scan.bind(backend)
        backend.scan = async (space, query, call) => (await scan(space, query, call)).toReversed()
        return backend
      }`,
  })
  const { code, stdout } = await holdfast(['conform', '--kind', 'state', '--backend', './my.ts', '--view', 'default'], { cwd })
  expect(code).toBe(1)
  expect(stdout).toMatch(/FAILED {2}state\/(scan|keys|listing)/)
})

it('holdfast conform says at once what is no backend', async () => {
  const cwd = await scratch()
  await write(cwd, {
    'half.mjs': 'export default () => ({ get() {} })',
    'none.mjs': 'export const a = 1',
    'throws.mjs': 'throw new Error("oops")',
  })
  const backends = ['./half.mjs', './none.mjs', './throws.mjs', './missing.mjs', 'nope', 'firestore', './half.mjs#other']
  const ran = await Promise.all(
    backends.map((backend) => holdfast(['conform', '--kind', 'state', '--backend', backend], { cwd })),
  )
  expect(ran.map(({ code }) => code)).toEqual(backends.map(() => 1))
  expect(ran.map(({ stderr }) => /^error (\w+):/.exec(stderr)?.[1])).toEqual([
    'INVALID_BACKEND',
    'INVALID_BACKEND',
    'INVALID_BACKEND',
    'NOT_FOUND',
    'UNKNOWN_BACKEND',
    'UNSUPPORTED',
    'INVALID_BACKEND',
  ])
  expect(ran[0]!.stderr).toContain('commit')
})

it("holdfast conform touches nobody's data unless it may", async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await stores.state.set('precious', 1)
  const args = [
    'conform',
    '--kind',
    'state',
    '--backend',
    'sqlite',
    '--only',
    'state/ttl/fraction',
    '--options',
    '{"path":".holdfast/state.db"}',
  ]
  const refused = await holdfast(args, { cwd })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/^error CONFLICT: .*--clear/)
  expect(await stores.state.get('precious')).toBe(1)
  const cleared = await holdfast([...args, '--clear', '--concurrency', '1'], { cwd })
  expect(cleared.code).toBe(0)
  expect(await stores.state.get('precious')).toBeUndefined()
})

it('holdfast sync writes the module, and checks it', async () => {
  const cwd = await scratch()
  await write(cwd, {
    'package.json': JSON.stringify({ name: 'app', dependencies: { good: '1' } }),
    'node_modules/good/package.json': JSON.stringify({
      name: 'good',
      version: '1.0.0',
      exports: './index.js',
      holdfast: { stateStores: { shiny: '.' } },
    }),
    'node_modules/good/index.js': 'export default () => ({})',
  })
  const missing = await holdfast(['sync', '--check'], { cwd })
  expect(missing.code).toBe(1)
  expect(missing.stderr).toMatch(/^error CONFLICT: holdfast\.plugins\.js /)
  const nowhere = await holdfast(['sync'], { cwd: await scratch() })
  expect(nowhere.code).toBe(1)
  expect(nowhere.stderr).toMatch(/^error NOT_FOUND: no package\.json .*\n  Run it in your project/)
  const written = await holdfast(['sync'], { cwd })
  expect(written).toEqual({ code: 0, stdout: 'wrote holdfast.plugins.js\n', stderr: '' })
  expect(await readFile(join(cwd, 'holdfast.plugins.js'), 'utf8')).toContain("from 'good'")
  const [checked, printed] = await Promise.all([
    holdfast(['sync', '--check'], { cwd }),
    holdfast(['sync', '--out', '-'], { cwd }),
  ])
  expect(checked.code).toBe(0)
  expect(printed.stdout).toContain("STATE_STORES.register('shiny'")
})

it('holdfast backup copies all stores into a new folder, and leaves one that is not empty alone', async () => {
  const cwd = await scratch()
  await using stores = await openStores(cwd)
  await stores.state.set('k', 'v')
  const first = await holdfast(['backup', 'copy', '--json'], { cwd })
  expect(first.code).toBe(0)
  const { files } = JSON.parse(first.stdout) as { files: { file: string; bytes: number }[] }
  expect(files).toHaveLength(3)
  expect(files.every(({ bytes }) => bytes > 0)).toBe(true)
  const again = await holdfast(['backup', 'copy'], { cwd })
  expect(again.code).toBe(1)
  expect(again.stderr).toMatch(/^error CONFLICT: /)
  const copied = await STATE_STORES.create('sqlite', { path: join(cwd, 'copy/state.db') })
  expect(await copied.get('k')).toBe('v')
  await copied.close()
})
