/** The commands on plugin storage. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { showText } from '../src/cli/storage/values.ts'
import { generateKey, PluginHost, type PluginHostOptions } from '../src/plugin-storage/index.ts'
import { holdfast, openStores, type Ran } from './cli-support.ts'
import { scratch } from './support.ts'

/** Runs commands of `holdfast storage` one after the other. */
async function storage(cwd: string, ...commands: readonly (readonly string[])[]): Promise<Ran[]> {
  const ran: Ran[] = []
  for (const args of commands) ran.push(await holdfast(['storage', ...args], { cwd }))
  return ran
}

/** Fills scopes as a program does, over the state store that the command finds by default. */
async function fill(
  cwd: string,
  scopes: Readonly<Record<string, Readonly<Record<string, string>>>>,
  options: Omit<PluginHostOptions, 'state'> = {},
): Promise<void> {
  await using stores = await openStores(cwd)
  const host = new PluginHost({ state: stores.state, ...options })
  for (const [scope, values] of Object.entries(scopes)) {
    const [workspaceId, pluginId] = scope.split(' ') as [string, string]
    for (const [key, text] of Object.entries(values)) await host.session({ workspaceId, pluginId }).storage.setText(key, text)
  }
}

it('sets, gets, lists and deletes what a program stores', async () => {
  const cwd = await scratch()
  const hostile = 'k\u001b[31m\n/../'
  const ran = await storage(
    cwd,
    ['set', 'a/p', hostile, 'Grüße', '--workspace', 'w'],
    ['set', 'a/p', 'short', 'x', '--ttl', '100', '--workspace', 'w'],
    ['get', 'a/p:1.2.3', hostile, '--workspace', 'w'],
    ['ls', 'a/p', '--workspace', 'w'],
    ['ls', 'a/p', '--workspace', 'w', '--prefix', 'k', '--json'],
    ['ls', 'a/p'],
    ['ls', 'a/p', '--json'],
    ['rm', 'a/p', 'short', '--workspace', 'w'],
  )
  expect(ran.map(({ code, stderr }) => [code, stderr])).toEqual(ran.map(() => [0, '']))
  expect(ran.map(({ stdout }) => stdout)).toEqual([
    'set k\\u{1b}[31m\\n/../\n',
    'set short\n',
    'Grüße',
    'k\\u{1b}[31m\\n/../\nshort\n',
    `{"items":[\n  ${JSON.stringify(hostile)}\n]}\n`,
    '',
    '{"items":[]}\n',
    'deleted short\n',
  ])
  await using stores = await openStores(cwd)
  const { storage: plugin } = new PluginHost({ state: stores.state }).session({ workspaceId: 'w', pluginId: 'a/p' })
  expect(await plugin.keys()).toEqual([hostile])
  expect(await plugin.getText(hostile)).toBe('Grüße')
})

it('streams files and pipes of any bytes', async () => {
  const cwd = await scratch()
  const bytes = randomBytes(3_000_000)
  await writeFile(join(cwd, 'in.bin'), bytes)
  const [set, got] = await storage(cwd, ['set', 'a/p', 'big', '--file', 'in.bin'], ['get', 'a/p', 'big', '--out', 'out.bin'])
  expect([set!.stdout, got!.stdout]).toEqual(['set big\n', 'wrote out.bin\n'])
  expect(bytes.equals(await readFile(join(cwd, 'out.bin')))).toBe(true)
  for (const args of [['-'], ['--file', '-']]) {
    const piped = await holdfast(['storage', 'set', 'a/p', 'piped', ...args], { cwd, input: `through a pipe ${args.join(' ')}` })
    expect(piped.code).toBe(0)
    expect((await storage(cwd, ['get', 'a/p', 'piped', '--out', '-']))[0]!.stdout).toBe(`through a pipe ${args.join(' ')}`)
  }
  const [missing, kept] = await storage(cwd, ['get', 'a/p', 'none', '--out', 'out.bin'], ['set', 'a/p', 'big', '--file', 'no'])
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error NOT_FOUND: there is no key "none"\n/) as string,
  })
  expect(kept!.stderr).toMatch(/^error NOT_FOUND: no: /)
  expect(bytes.equals(await readFile(join(cwd, 'out.bin')))).toBe(true)
  expect((await readdir(cwd)).toSorted()).toEqual(['.holdfast', 'in.bin', 'out.bin'])
  expect((await storage(cwd, ['usage', 'a/p', '--json']))[0]!.stdout).toContain('"usedBytes": 3000023')
})

it('shows a terminal text that has no power over it, and no other bytes', async () => {
  const shown = async (...pieces: Uint8Array[]): Promise<string> => {
    let text = ''
    await showText(
      (async function* () {
        yield* pieces
      })(),
      async (more) => void (text += more),
    )
    return text
  }
  const euro = Buffer.from('€')
  expect(await shown(Buffer.from('a\u001b[2J\nb\u202e'))).toBe('a\\u{1b}[2J\nb\\u{202e}\n')
  expect(await shown(euro.subarray(0, 1), euro.subarray(1))).toBe('€\n')
  expect(await shown(Buffer.from('line\n'))).toBe('line\n')
  expect(await shown()).toBe('')
  await expect(shown(Buffer.from([0xff]))).rejects.toThrow(/--out/)
  await expect(shown(euro.subarray(0, 2))).rejects.toThrow(/--out/)
})

it('lists scopes of all workspaces or of one, with what they use', async () => {
  const cwd = await scratch()
  const many = Object.fromEntries(Array.from({ length: 230 }, (_, i) => [`many a/p${i}`, { k: 'xx' }]))
  await fill(cwd, { ' a/p': { k: '12345', l: '' }, 'w\n b/q': { k: '1' }, ...many })
  const [all, one, none, table, usage, unknown] = await storage(
    cwd,
    ['scopes', '--json', '--count', '--quota', '5000'],
    ['scopes', '--json', '--workspace', ''],
    ['scopes', '--json', '--workspace', 'none'],
    ['scopes', '--workspace', 'w\n'],
    ['usage', 'a/p', '--count', '--quota', '5000'],
    ['usage', 'a/none', '--json'],
  )
  const { items } = JSON.parse(all!.stdout) as { items: { pluginId: string; workspaceId: string }[] }
  expect(new Set(items.map(({ workspaceId, pluginId }) => `${workspaceId} ${pluginId}`)).size).toBe(232)
  expect(items).toContainEqual({
    workspaceId: '',
    pluginId: 'a/p',
    usedBytes: 5,
    quotaBytes: 5_000,
    encrypted: false,
    createdAt: expect.any(String) as string,
    keys: 2,
  })
  expect((JSON.parse(one!.stdout) as { items: object[] }).items).toMatchObject([{ workspaceId: '', pluginId: 'a/p' }])
  expect(JSON.parse(none!.stdout)).toEqual({ items: [] })
  expect(table!.stdout).toBe('USED  QUOTA     ENCRYPTED  PLUGIN  WORKSPACE\n1 B   104.9 MB  no         b/q     w\\n\n')
  expect(usage!.stdout).toBe('a/p: 5 B of 5 KB in 2 keys\n')
  expect(JSON.parse(unknown!.stdout)).toMatchObject({ usedBytes: 0, createdAt: null })
})

it('keeps to the quota, clears and reconciles', async () => {
  const cwd = await scratch()
  await fill(cwd, { 'w a/p': { k: '12345', l: '1' }, ' a/p': { k: '1' } })
  const [refused, wrong, unsure, cleared, again, other] = await storage(
    cwd,
    ['set', 'a/p', 'k', '1234567', '--quota', '6', '--workspace', 'w'],
    ['reconcile', 'a/p', '--workspace', 'w', '--older-than', '1s'],
    ['clear', 'a/p', '--workspace', 'w'],
    ['clear', 'a/p', '--workspace', 'w', '--yes'],
    ['clear', 'a/p', '--workspace', 'w', '--yes'],
    ['ls', 'a/p'],
  )
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error QUOTA_EXCEEDED: 6 of 6 bytes/) as string })
  expect(wrong!.stdout).toBe('a/p in w: 6 B, as counted; removed 0 abandoned pieces\n')
  expect(unsure).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') as string })
  expect([cleared!.stdout, again!.stdout]).toEqual(['cleared a/p in w: 2 values\n', 'cleared a/p in w: 0 values\n'])
  expect(other!.stdout).toBe('k\n')
})

it('encrypts, changes keys and decrypts by key files', async () => {
  const cwd = await scratch()
  await fill(cwd, { 'w a/p': { k: 'secret', l: 'x' }, ' b/q': { k: 'secret' } })
  const [generated, taken, rotated, converted, locked, ls, opened, anew, old] = await storage(
    cwd,
    ['keygen', '--out', 'keys.json', '--id', 'one'],
    ['keygen', '--out', 'keys.json'],
    ['keygen', '--rotate', 'keys.json', '--id', 'two', '--out', 'both.json'],
    ['encrypt', '--all', '--keys', 'keys.json'],
    ['get', 'b/q', 'k'],
    ['ls', 'b/q'],
    ['get', 'b/q', 'k', '--keys', 'keys.json'],
    ['encrypt', 'b/q', '--keys', 'both.json'],
    ['get', 'b/q', 'k', '--keys', 'keys.json'],
  )
  expect(generated!.stdout).toBe('wrote keys.json: one is the current of 1 key\n')
  expect((await stat(join(cwd, 'keys.json'))).mode & 0o777).toBe(0o600)
  expect(taken).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error CONFLICT: keys\.json: /) as string })
  expect(rotated!.stdout).toBe('wrote both.json: two is the current of 2 keys\n')
  expect(converted!.stdout.split('\n').toSorted()).toEqual(['', 'encrypted a/p in w: 2 values', 'encrypted b/q: 1 value'])
  expect(locked).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error DECRYPTION_FAILED: b\/q is encrypted\n.*--keys <file>/) as string,
  })
  expect([ls!.stdout, opened!.stdout, anew!.stdout]).toEqual(['k\n', 'secret', 'encrypted b/q: 1 value\n'])
  expect(old).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error DECRYPTION_FAILED: .*"two"/) as string })

  const env = { HOLDFAST_KEYS_FILE: 'both.json' }
  const set = await holdfast(['storage', 'set', 'b/q', 'more', 'text'], { cwd, env })
  const plain = await holdfast(['storage', 'set', 'c/r', 'k', 'x'], { cwd })
  const mixed = await holdfast(['storage', 'get', 'c/r', 'k'], { cwd, env })
  expect([set.code, plain.code, mixed.code]).toEqual([0, 0, 1])
  expect(mixed.stderr).toMatch(/^error DECRYPTION_FAILED: c\/r is not encrypted\n.*storage encrypt/)
  const decrypted = await holdfast(['storage', 'decrypt', '--all', '--workspace', ''], { cwd, env })
  expect(decrypted.stdout.split('\n').toSorted()).toEqual(['', 'decrypted b/q: 2 values', 'decrypted c/r: 0 values'])
  const [now, elsewhere] = await storage(cwd, ['get', 'b/q', 'more'], ['usage', 'a/p', '--workspace', 'w'])
  expect(now!.stdout).toBe('text')
  expect(elsewhere!.stdout).toContain(', encrypted\n')
})

it('goes on with the other scopes where one cannot be converted', async () => {
  const cwd = await scratch()
  const [lost, key] = [generateKey(), generateKey()]
  await fill(cwd, { 'w a/lost': { k: 'x' } }, { encryption: { current: 'lost', keys: { lost } } })
  await fill(cwd, { 'w a/p': { k: 'x' }, 'w a/q': { k: 'x' } })
  await writeFile(join(cwd, 'keys.json'), JSON.stringify({ current: 'a', keys: { a: key } }))
  const [ran] = await storage(cwd, ['encrypt', '--all', '--keys', 'keys.json'])
  expect(ran!.code).toBe(1)
  expect(ran!.stdout.split('\n').toSorted()).toEqual(['', 'encrypted a/p in w: 1 value', 'encrypted a/q in w: 1 value'])
  expect(ran!.stderr).toMatch(/^error DECRYPTION_FAILED: .*"lost"/)
})

it('never shows a key that was not asked for, whatever is wrong with the file', async () => {
  const cwd = await scratch()
  const secret = generateKey()
  const files = {
    'cut.json': `{"current":"a","keys":{"a":"${secret}"`,
    'list.json': JSON.stringify([secret]),
    'raw.json': secret,
    'current.json': JSON.stringify({ current: 'b', keys: { a: secret } }),
    'swapped.json': JSON.stringify({ current: secret, keys: { [secret]: 'a' } }),
    'twice.json': JSON.stringify({ current: secret, keys: { a: secret } }),
    'short.json': JSON.stringify({ current: 'a', keys: { a: secret.slice(0, 30) } }),
  }
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(cwd, name), text)
    const [ran] = await storage(cwd, ['encrypt', 'a/p', '--keys', name, '--debug'])
    expect.soft([ran!.code, ran!.stdout], name).toEqual([1, ''])
    expect.soft(ran!.stderr, name).toMatch(/^error INVALID_OPTIONS: /)
    expect.soft(ran!.stderr, name).not.toContain(secret.slice(0, 10))
  }
  const [missing] = await storage(cwd, ['encrypt', 'a/p', '--keys', 'none.json'])
  expect(missing!.stderr).toMatch(/^error NOT_FOUND: none\.json: /)
  expect(await readdir(cwd)).not.toContain('.holdfast')
})

it('makes no files to look, and refuses wrong usage', async () => {
  const cwd = await scratch()
  const wrong = [
    ['set', 'a/p', 'k'],
    ['set', 'a/p', 'k', 'v', '--file', 'x'],
    ['set', 'a/p', 'k', 'v', '--quota', '-1'],
    ['set', 'a/p', 'k', 'v', '--keys', ''],
    ['encrypt'],
    ['encrypt', 'a/p'],
    ['encrypt', 'a/p', '--all'],
    ['clear', 'a/p'],
    ['reconcile', 'a/p', '--older-than', '1'],
  ]
  const refused = await Promise.all(wrong.map((args) => holdfast(['storage', ...args], { cwd })))
  expect(refused.map(({ code, stderr }) => [code, /^error USAGE: .*\n {2}See `holdfast/.test(stderr)])).toEqual(
    wrong.map(() => [2, true]),
  )
  const [scopes, ls, got, id] = await storage(cwd, ['scopes', '--json'], ['ls', 'a/p'], ['get', 'a/p', 'k'], ['ls', 'p'])
  expect([scopes!.code, ls!.code, got!.code, id!.code]).toEqual([0, 0, 1, 1])
  expect(id!.stderr).toMatch(/^error INVALID_ARGUMENT: pluginId must be author\/name/)
  expect(await readdir(cwd)).toEqual([])
})
