/** Plugin storage: what the suite does not reach: streams of a size, files on disk, a fuzzer, ids. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import { HOSTILE_TEXTS } from '../src/conformance/hostile.ts'
import { STATE_STORES } from '../src/index.ts'
import { scopeSpace } from '../src/plugin-storage/layout.ts'
import { generateKey, parsePluginId, PluginHost, type PluginStorage } from '../src/plugin-storage/index.ts'
import { collect, run, scratch } from './support.ts'

describe('a stream of 100 MB', () => {
  it.each([['plain'], ['encrypted', generateKey()]])(
    'goes in and comes out with bounded memory, %s',
    { timeout: 120_000 },
    async (_, ...key) => {
      const child = run('test/fixtures/plugin-stream.ts', [join(await scratch(), 'state.db'), '100', ...key])
      const [line] = await collect(child.lines)
      expect(await child.ended).toMatchObject({ code: 0, stderr: '' })
      const { same, usedBytes, growth } = JSON.parse(line!) as { same: boolean; usedBytes: number; growth: number }
      console.log(`100 MB: memory in use grew by ${(growth / 1e6).toFixed(1)} MB`)
      expect(same).toBe(true)
      expect(usedBytes).toBe(100_000_000)
      expect(growth).toBeLessThan(24e6)
    },
  )
})

describe('a damaged scope', () => {
  it('can still be erased', async () => {
    await using state = await STATE_STORES.create('memory')
    const host = new PluginHost({ state })
    const scope = { workspaceId: 'w', pluginId: 'a/p' }
    const { storage } = host.session(scope)
    await storage.setText('whole', 'v')
    await storage.setText('damaged', 'v', { ttl: 0.001 })
    const space = scopeSpace(state.workspaceId, scope)
    const keys = await state.core.backend.scan(space, { prefix: '', limit: 100 })
    const damaged = keys.find((key) => key.endsWith('damaged') && key.startsWith('v'))!
    await state.core.backend.commit(space, { set: [{ key: damaged, value: Buffer.of(255) }] })
    expect(await host.clear(scope)).toBeGreaterThan(0)
    expect(await state.core.backend.scan(space, { prefix: '', limit: 100 })).toEqual([])
  })
})

describe('a host over a workspace view', () => {
  it('is refused once the view is closed, and others go on', async () => {
    await using state = await STATE_STORES.create('memory')
    const view = state.workspace('w')
    const scope = { workspaceId: 'w', pluginId: 'a/p' }
    const [host, other] = [new PluginHost({ state: view }), new PluginHost({ state: state.workspace('w') })]
    const { storage } = host.session(scope)
    await storage.setText('k', 'v')
    await view.close()
    const refused = { code: 'STORE_CLOSED' }
    await expect(storage.getText('k')).rejects.toMatchObject(refused)
    await expect(storage.setText('k', 'w')).rejects.toMatchObject(refused)
    await expect(collect(storage.createReadStream('k'))).rejects.toMatchObject(refused)
    await expect(collect(host.scopes())).rejects.toMatchObject(refused)
    await expect(host.clear(scope)).rejects.toMatchObject(refused)
    expect(await other.session(scope).storage.getText('k')).toBe('v')
  })
})

describe('the files of an encrypted store', () => {
  it('hold none of the plaintexts written, by whatever method', { timeout: 120_000 }, async () => {
    const folder = await scratch()
    const secrets: string[] = []
    const secret = (): string => {
      const text = `plaintext-${secrets.length}-${crypto.randomUUID()}`
      secrets.push(text)
      return text
    }
    await using state = await STATE_STORES.create('sqlite', { path: join(folder, 'state.db') })
    const host = new PluginHost({ state, chunkBytes: 4_096, encryption: { current: 'a', keys: { a: generateKey() } } })
    for (let plugin = 0; plugin < 3; plugin++)
      await writeSecrets(host.session({ workspaceId: 'w', pluginId: `a/p${plugin}` }).storage, secret)
    await state.close()
    const files = await readdir(folder)
    expect(files).toContain('state.db')
    for (const file of files) {
      const bytes = await readFile(join(folder, file))
      for (const text of secrets) {
        for (const form of [
          text,
          text.slice(-36),
          Buffer.from(text).toString('base64').slice(0, 40),
          Buffer.from(text).toString('hex'),
        ]) {
          expect(bytes.includes(form), `${file} holds ${text}`).toBe(false)
        }
      }
    }
    expect(secrets.length).toBeGreaterThan(400)
  })
})

async function writeSecrets(storage: PluginStorage, secret: () => string): Promise<void> {
  for (let i = 0; i < 40; i++) {
    await storage.set(`set ${i}`, Buffer.from(secret()))
    await storage.set(`set ${i % 7}`, Buffer.from(secret().repeat(300)))
    await storage.setText(`text ${i}`, secret(), { ttl: 600 })
    await storage.setJson(`json ${i}`, { deep: [secret()] })
    await storage.setIfAbsent(`absent ${i}`, Buffer.from(secret()))
  }
  await storage.setMany(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`many ${i}`, Buffer.from(secret())])))
  await pipeline(
    Readable.from(Array.from({ length: 50 }, () => Buffer.from(secret().repeat(10)))),
    storage.createWriteStream('stream'),
  )
}

describe('plugin ids', () => {
  it.each([
    ['author/name', 'author/name'],
    ['Author_1/na-me', 'Author_1/na-me'],
    ['author/name:0.0.1', 'author/name'],
    ['author/name:1.2.3-beta', 'author/name'],
    [`author/name:1.2.3@${'ab'.repeat(32)}`, 'author/name'],
    [`author/name@${'ab'.repeat(16)}`, 'author/name'],
  ])('%s is %s', (given, id) => expect(parsePluginId(given)).toBe(id))

  it.each([
    '',
    'name',
    'a/',
    '/b',
    'a/b/c',
    'a/b:latest',
    'a/b:1',
    'a/b@1.2.3',
    '../b',
    'a/b ',
    'a/é',
    `${'a'.repeat(65)}/b`,
    `a/${'b'.repeat(129)}`,
    'a/b\n',
  ])('%j is none', (id) => expect(() => parsePluginId(id)).toThrow(/author\/name/))
})

/** `HOLDFAST_FUZZ=1000000` for the long run. */
const STEPS = Number(process.env['HOLDFAST_FUZZ'] ?? 20_000)

/** A generator of numbers that a seed repeats (mulberry32). */
function randomBy(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** What our own layout and those of engines are made of, and text that looks like other text. */
const FRAGMENTS = [
  'v:',
  'c:',
  'g:',
  'x:',
  'p:',
  'pi:',
  'w:',
  'meta',
  'used',
  ':',
  '/',
  '..',
  './',
  '%2e',
  '%00',
  '\\',
  '|',
  '"',
  ',',
  '[',
  'a',
  'а',
  'A',
  'ａ',
  'é',
  'e\u0301',
  '\u200B',
  '\uFEFF',
  '😀',
  ' ',
  '\n',
  '0',
  '1',
]

function hostileText(random: (below: number) => number, maxBytes: number): string {
  let text = ''
  if (random(3) === 0) text = HOSTILE_TEXTS[random(HOSTILE_TEXTS.length)]!
  else for (let parts = 1 + random(6); parts > 0; parts--) text += FRAGMENTS[random(FRAGMENTS.length)]!
  if (random(50) === 0) text = text.padEnd(maxBytes, text)
  while (Buffer.byteLength(text) > maxBytes) text = Array.from(text).slice(0, -1).join('')
  return text || 'a'
}

describe(`${STEPS} steps of a fuzzer over hostile keys, plugins and workspaces`, () => {
  it('never show a value of another key or scope', { timeout: 60_000 + STEPS }, async () => {
    const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1e9)
    const random = randomBy(seed)
    await using state = await STATE_STORES.create('memory')
    const host = new PluginHost({ state, chunkBytes: 200, quotaBytes: 1e9 })
    const model = new Map<string, string>()
    const workspaces = Array.from({ length: 60 }, () => hostileText(random, 512))
    const plugins = Array.from(
      { length: 30 },
      (_, i) => `${['a', 'A', 'a-', '_a', 'b'][i % 5]}/${['v', 'p', 'w', 'x-', 'meta', 'used'][i % 6]}`,
    )
    const keys = Array.from({ length: 3_000 }, () => hostileText(random, 256))
    for (let step = 0; step < STEPS; step++) {
      const scope = { workspaceId: workspaces[random(60)]!, pluginId: plugins[random(30)]! }
      const key = random(4) === 0 ? hostileText(random, 256) : keys[random(keys.length)]!
      const { storage } = host.session(scope)
      const place = JSON.stringify([scope.workspaceId, scope.pluginId, key])
      const what = `step ${step} of seed ${seed} at ${place}`
      const found = await storage.getText(key)
      if (found !== model.get(place)) expect(found, what).toBe(model.get(place))
      switch (random(6)) {
        case 0:
          if ((await storage.delete(key)) !== model.delete(place)) expect.fail(`delete, ${what}`)
          break
        case 1:
          if (step % 50 === 0) await sameKeys(storage, scope, model, what)
          break
        default: {
          // The value says where it belongs, and is in pieces now and then.
          const value = `${place} ${step}${'.'.repeat(random(10) === 0 ? 700 : 0)}`
          await storage.setText(key, value)
          model.set(place, value)
        }
      }
    }
    await sameUsage(host, model)
  })
})

async function sameKeys(
  storage: PluginStorage,
  scope: { workspaceId: string; pluginId: string },
  model: ReadonlyMap<string, string>,
  what: string,
): Promise<void> {
  const start = JSON.stringify([scope.workspaceId, scope.pluginId]).slice(0, -1)
  const expected = [...model.keys()]
    .filter((place) => place.startsWith(`${start},`))
    .map((place) => (JSON.parse(place) as string[])[2])
  expect(new Set(await storage.keys()), what).toEqual(new Set(expected))
}

async function sameUsage(host: PluginHost, model: ReadonlyMap<string, string>): Promise<void> {
  const expected = new Map<string, number>()
  for (const [place, value] of model) {
    const [workspaceId, pluginId] = JSON.parse(place) as string[]
    const scope = JSON.stringify([workspaceId, pluginId])
    expected.set(scope, (expected.get(scope) ?? 0) + Buffer.byteLength(value))
  }
  for await (const { workspaceId, pluginId, usedBytes } of host.scopes()) {
    const scope = JSON.stringify([workspaceId, pluginId])
    expect(usedBytes, scope).toBe(expected.get(scope) ?? 0)
    expected.delete(scope)
  }
  expect(expected.size).toBe(0)
}
