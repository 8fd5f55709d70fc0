/** `holdfast dify run` and `holdfast dify listen`. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { cleanEnvironment, holdfast, MAIN, type Ran } from '../cli-support.ts'
import { scratch } from '../support.ts'
import { pluginFolder, PYTHON, withSdk } from './python.ts'
import { template } from './template.ts'

const TIMEOUT = { timeout: 60_000 }

/** A plugin of a few lines; `script` gets `session` and `parameters`. */
async function small(script: string): Promise<string> {
  const folder = await template()
  await writeFile(
    join(folder, 'main.ts'),
    `import { blob, definePlugin, json, message, start } from 'holdfast/plugin'
     await start(definePlugin({ manifest: { author: 'acme', name: 'notes', version: '1.0.0' }, tools: { t: ${script} } }))`,
  )
  return folder
}

interface Listening {
  readonly lines: AsyncIterator<string>
  readonly ended: Promise<{ code: number | null; stderr: string }>
  end(signal: NodeJS.Signals): void
}

/** A command that goes on until it is ended. */
function listening(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Listening {
  const child = spawn(process.execPath, [MAIN, 'dify', ...args], {
    cwd,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const stderr = text(child.stderr)
  const ended = once(child, 'close').then(async ([code]) => ({ code: code as number | null, stderr: await stderr }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { lines, ended, end: (signal) => void child.kill(signal) }
}

async function nextOf({ lines }: Listening): Promise<string> {
  const { value, done } = await lines.next()
  assert.ok(done !== true, 'the command has ended')
  return value
}

/** The plugin of the template, apart from any host. */
function pluginIn(folder: string, env: NodeJS.ProcessEnv): { end(): Promise<void> } {
  const child = spawn(process.execPath, ['main.ts'], { cwd: folder, env: cleanEnvironment(env), stdio: 'ignore' })
  const ended = once(child, 'close')
  const end = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(end)
  return { end }
}

describe('holdfast dify run', () => {
  it('uses a tool, keeps what it stores in the workspace, and prints what it says', TIMEOUT, async () => {
    const [folder, cwd] = [await template(), await scratch()]
    const run = (tool: string, params: object, ...more: string[]): Promise<Ran> =>
      holdfast(['dify', 'run', folder, '--tool', tool, '--params', JSON.stringify(params), ...more], { cwd })
    expect(await run('remember', { topic: 'tea', text: 'Green' }, '--workspace', 'w1')).toEqual({
      code: 0,
      stdout: '1 about tea\n',
      stderr: '',
    })
    expect((await run('remember', { topic: 'tea', text: 'Black' }, '--workspace', 'w1')).stdout).toBe('2 about tea\n')
    const recalled = await run('recall', { topic: 'tea' }, '--workspace', 'w1')
    assert.deepEqual(
      recalled.stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { text: string }).text),
      ['Green', 'Black'],
    )
    assert.equal((await run('recall', { topic: 'tea' }, '--workspace', 'w2')).stdout, '')
    const file = await run('recall', { topic: 'tea', file: true }, '--workspace', 'w1', '--out', 'files')
    assert.equal(file.stdout, '12 B of text/plain, files/1.txt\n')
    assert.equal(await readFile(join(cwd, 'files', '1.txt'), 'utf8'), 'Green\nBlack\n')
    const asJson = await run('recall', { topic: 'tea', file: true }, '--workspace', 'w1', '--json')
    assert.deepEqual(JSON.parse(asJson.stdout), { type: 'blob', message: { bytes: 12, mimeType: 'text/plain', file: null } })
    const keys = await holdfast(['storage', 'ls', 'acme/notes', '--workspace', 'w1'], { cwd })
    assert.match(keys.stdout, /notes\/tea/)
  })

  it('says what went wrong, and ends with the code for it', TIMEOUT, async () => {
    const cwd = await scratch()
    const failing = await small(`() => { throw new RangeError('on purpose') }`)
    const run = (...args: string[]): Promise<Ran> => holdfast(['dify', 'run', ...args], { cwd })
    expect(await run(failing, '--tool', 't')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^error PLUGIN: RangeError: on purpose\n/) as string,
    })
    expect((await run(failing, '--tool', 't', '--debug')).stderr).toMatch(/acme\/notes: \s+at .*main\.ts/)
    expect(await run(failing, '--tool', 'none')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no tool "none"; there are t/) as string,
    })
    expect(await run(failing)).toMatchObject({ code: 2 })
    expect(await run(failing, '--tool', 't', '--params', '["secret"]')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/must be a JSON object/) as string,
    })
    expect(await run(cwd, '--tool', 't')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error NOT_FOUND: .*there is no manifest.yaml/) as string,
    })
    await writeFile(join(cwd, 'bad.json'), '"hunter2"')
    const credentials = await run(failing, '--tool', 't', '--credentials', 'bad.json')
    expect(credentials).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error INVALID_OPTIONS: bad.json: it holds no JSON object/) as string,
    })
    assert.doesNotMatch(credentials.stderr, /hunter2/)
    await writeFile(join(failing, 'main.ts'), `console.error('no such module'); process.exit(3)`)
    expect(await run(failing, '--tool', 't')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error UNAVAILABLE: .*it ended with 3; it printed: no such module/) as string,
    })
  })

  it('passes credentials on, shows logs where asked, and lets no text touch the terminal', TIMEOUT, async () => {
    const folder = await small(`async function* ({ credentials }) {
      console.log('at work')
      yield JSON.stringify(credentials)
      yield 'red \\u001b[31m\\u202e\\nsecond line'
      yield message('variable', { variable_name: 'x', variable_value: [1] })
      yield message('log', { label: 'step', status: 'success' })
      yield message('link', { text: 'https://example.com' })
      yield message('other', { a: 1 })
      yield blob(Buffer.from('x'), '../../etc/passwd')
    }`)
    const cwd = await scratch()
    await mkdir(join(cwd, 'made'))
    await writeFile(join(cwd, 'made', 'credentials.json'), '{"token":"t1"}')
    const ran = await holdfast(
      ['dify', 'run', folder, '--tool', 't', '--credentials', 'made/credentials.json', '--out', 'made', '--verbose'],
      { cwd },
    )
    assert.deepEqual(ran.stdout.trimEnd().split('\n'), [
      '{"token":"t1"}',
      'red \\u{1b}[31m\\u{202e}',
      'second line',
      'x = [1]',
      'https://example.com',
      '{"type":"other","message":{"a":1}}',
      '1 B of ../../etc/passwd, made/1.bin',
    ])
    assert.match(ran.stderr, /^acme\/notes: at work$/m)
    assert.match(ran.stderr, /^step: success$/m)
  })

  it('ends the plugin when it is interrupted itself', TIMEOUT, async () => {
    const folder = await small(
      `async function* () { yield String(process.pid); await new Promise((done) => setTimeout(done, 60_000)) }`,
    )
    const command = listening(['run', folder, '--tool', 't'], await scratch())
    const pid = Number(await nextOf(command))
    command.end('SIGINT')
    assert.deepEqual(await command.ended, { code: 130, stderr: '' })
    await expect.poll(() => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).toBe('')
  })
})

withSdk('holdfast dify run with the Python SDK', () => {
  it('runs a plugin as it is', TIMEOUT, async () => {
    const folder = await pluginFolder({ name: 'oauth_flag', parameters: ['account'] })
    const cwd = await scratch()
    const run = (): Promise<Ran> =>
      holdfast(
        ['dify', 'run', folder, '--python', PYTHON, '--tool', 'oauth_flag', '--params', '{"account":"ada"}', '--workspace', 'w1'],
        { cwd },
      )
    expect(await run()).toEqual({ code: 0, stdout: 'connected\n', stderr: '' })
    assert.equal((await run()).stdout, 'connected before as ada\n')
  })

  it('makes a missing key an error where it is asked to', TIMEOUT, async () => {
    const folder = await pluginFolder({ name: 'sync_cursor', parameters: ['pages'] })
    const args = ['dify', 'run', folder, '--python', PYTHON, '--tool', 'sync_cursor', '--params', '{"pages":"1"}']
    const cwd = await scratch()
    expect(await holdfast([...args, '--strict'], { cwd })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error PLUGIN: Exception: load data failed, please check if the key is correct/) as string,
    })
    assert.equal((await holdfast(args, { cwd })).stdout, '{"page":1}\n')
  })
})

describe('holdfast dify listen', () => {
  it('shows a new key once, and the plugins that come and go', TIMEOUT, async () => {
    const command = listening(['listen', '--port', '0', '--workspace', 'w1'], await scratch())
    const said: string[] = []
    while (!said.at(-1)?.startsWith('Ctrl-C')) said.push(await nextOf(command))
    const pairs = said.flatMap((line) => /^ {2}(\w+)=(.+)$/.exec(line)?.slice(1, 3) ?? [])
    const variables = Object.fromEntries([0, 2, 4].map((i) => [pairs[i], pairs[i + 1]])) as Record<string, string>
    assert.deepEqual(Object.keys(variables), ['INSTALL_METHOD', 'REMOTE_INSTALL_URL', 'REMOTE_INSTALL_KEY'])
    const plugin = pluginIn(await template(), variables)
    assert.equal(await nextOf(command), '+ acme/notes  1.0.0  storage of 1.0 MB  tools: remember, recall')
    await plugin.end()
    assert.match(await nextOf(command), /^- the plugin acme\/notes is gone: /)
    command.end('SIGTERM')
    assert.deepEqual(await command.ended, { code: 0, stderr: '' })
  })

  it('waits for a plugin with the tool, uses it, and ends', TIMEOUT, async () => {
    const [cwd, key] = [await scratch(), 'a key of sufficient length']
    const args = [
      'listen',
      '--port',
      '0',
      '--workspace',
      'w1',
      '--tool',
      'remember',
      '--params',
      '{"topic":"tea","text":"Green"}',
      '--json',
    ]
    const command = listening(args, cwd, { HOLDFAST_DIFY_KEY: key })
    const { listening: address, variables } = JSON.parse(await nextOf(command)) as { listening: string; variables: object }
    assert.deepEqual(variables, { INSTALL_METHOD: 'remote', REMOTE_INSTALL_URL: address })
    pluginIn(await template(), { ...variables, REMOTE_INSTALL_KEY: key })
    assert.deepEqual(JSON.parse(await nextOf(command)), { type: 'text', message: { text: '1 about tea' }, meta: null })
    assert.deepEqual(await command.ended, { code: 0, stderr: '' })
    assert.match((await holdfast(['storage', 'ls', 'acme/notes', '--workspace', 'w1'], { cwd })).stdout, /notes\/tea/)
  })

  it('with a key that ends lets nobody in by it any more, and says so', TIMEOUT, async () => {
    const key = 'a key of sufficient length'
    const command = listening(['listen', '--port', '0', '--expires-in', '1s'], await scratch(), { HOLDFAST_DIFY_KEY: key })
    const said: string[] = []
    while (!said.at(-1)?.startsWith('Ctrl-C')) said.push(await nextOf(command))
    const ends = Date.parse(said.map((line) => /^The key ends at (.+)\.$/.exec(line)?.[1]).find((time) => time !== undefined)!)
    const [, host, port] = /on (.+):(\d+) for/.exec(said[0]!)!
    await expect.poll(() => Date.now() > ends, { timeout: 10_000 }).toBe(true)
    const socket = connect(Number(port), host)
    socket.write(`${JSON.stringify({ type: 'handshake', data: { key } })}\n`)
    assert.equal(await text(socket), 'handshake failed, the key has ended\n')
    command.end('SIGTERM')
    assert.deepEqual(await command.ended, { code: 0, stderr: 'refused 127.0.0.1: handshake failed, the key has ended\n' })
  })

  it('takes the key of a file, never shows one that it was given, and refuses a short one', TIMEOUT, async () => {
    const cwd = await scratch()
    await writeFile(join(cwd, 'key'), 'a key of sufficient length\n')
    const command = listening(['listen', '--port', '0', '--key-file', 'key'], cwd)
    const [first, ...rest] = [await nextOf(command), await nextOf(command), await nextOf(command), await nextOf(command)]
    assert.deepEqual(rest.at(-1), '  REMOTE_INSTALL_KEY=<the key that you gave>')
    const [, host, port] = /on (.+):(\d+) for/.exec(first)!
    const socket = connect(Number(port), host)
    socket.write(
      `${JSON.stringify({ type: 'handshake', data: { key: 'a key of sufficient length' } })}\n{"type":"end","data":{}}\n`,
    )
    assert.equal(await text(socket), 'the plugin sent no manifest\n')
    const again = await holdfast(['dify', 'listen', '--port', port!, '--key-file', 'key'], { cwd })
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error UNAVAILABLE: cannot listen on 127.0.0.1:\d+ \(EADDRINUSE\)/) as string,
    })
    const short = await holdfast(['dify', 'listen', '--port', '0', '--key', 'short'], { cwd })
    expect(short).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error INVALID_OPTIONS: a key of remote plugins must have at least 16/) as string,
    })
    expect(await holdfast(['dify', 'listen', '--key', 'a', '--key-file', 'key'], { cwd })).toMatchObject({ code: 2 })
  })
})
