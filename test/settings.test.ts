import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { KINDS, resolveSettings, type Settings, type Source } from '../src/index.ts'
import { exec, ROOT, scratch } from './support.ts'

type Env = Readonly<Record<string, string | undefined>>

/** A folder with these files; objects are written as JSON. */
async function folderWith(files: Readonly<Record<string, unknown>>): Promise<string> {
  const root = await scratch()
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(root, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return root
}

async function refusal(work: Promise<unknown>): Promise<{ code: unknown; message: string }> {
  const error: unknown = await work.then(
    () => expect.unreachable('it was taken'),
    (thrown: unknown) => thrown,
  )
  return error as Error & { code: unknown }
}

interface Settled {
  readonly workspace?: string
  readonly file?: string
  readonly embedded?: unknown
  readonly code?: string
  readonly message?: string
  /** All that an error shows. */
  readonly shown?: string
}

/** What Node settles by each file; without files, by the one that it finds. Vitest would load modules by itself. */
async function settleInNode(root: string, files: readonly string[] = []): Promise<Settled[]> {
  const { stdout } = await exec(process.execPath, [join(ROOT, 'test/fixtures/settle.ts'), root, ...files])
  return JSON.parse(stdout) as Settled[]
}

const NOWHERE = { root: '/nonexistent', env: {}, config: false } as const

const asGiven = (value: unknown): Settings => value as Settings

/** Each setting with a value from each source that can give it. */
const CASES: readonly { name: keyof Settings; values: readonly [unknown, unknown, string, unknown]; variable: string }[] = [
  { name: 'dir', values: ['/a', '/f', '/e', resolve('.holdfast')], variable: 'HOLDFAST_DIR' },
  { name: 'workspace', values: ['a', 'f', 'e', ''], variable: 'HOLDFAST_WORKSPACE' },
  { name: 'durability', values: ['full', 'relaxed', 'full', undefined], variable: 'HOLDFAST_DURABILITY' },
  { name: 'timeoutMs', values: [1, 2, '3', undefined], variable: 'HOLDFAST_TIMEOUT_MS' },
]

describe('the precedence', () => {
  for (const { name, values, variable } of CASES) {
    it(`of ${name} is argument, file, environment, default`, async () => {
      const [argument, inFile, inEnv, byDefault] = values
      const root = await folderWith({ 'with.json': { [name]: inFile }, 'without.json': {} })
      const settle = async (given: Settings, config: string, env: Env): Promise<[unknown, Source]> => {
        const settings = await resolveSettings(given, { root, env, config })
        return [settings[name as 'dir'], settings.sources[name]]
      }
      const env = { [variable]: inEnv }
      expect(await settle({ [name]: argument }, 'with.json', env)).toEqual([argument, 'argument'])
      expect(await settle({ [name]: undefined }, 'with.json', env)).toEqual([inFile, 'file'])
      expect(await settle({}, 'without.json', env)).toEqual([name === 'timeoutMs' ? 3 : inEnv, 'environment'])
      expect(await settle({}, 'without.json', { [variable]: '' })).toEqual([byDefault, 'default'])
      expect(await settle({}, 'without.json', {})).toEqual([byDefault, 'default'])
    })
  }

  for (const kind of KINDS) {
    it(`of ${kind} is argument, file, environment, default`, async () => {
      const root = await folderWith({ 'with.json': { [kind]: { backend: 'inFile' } }, 'without.json': {} })
      const env = { [`HOLDFAST_${kind.toUpperCase()}`]: 'env.db', HOLDFAST_DIR: '/data' }
      const settle = async (given: Settings, config: string, env: Env): Promise<unknown> =>
        (await resolveSettings(given, { root, env, config })).stores[kind]
      expect(await settle({ [kind]: 'arg.db' }, 'with.json', env)).toEqual({ kind, setting: 'arg.db', source: 'argument' })
      expect(await settle({}, 'with.json', env)).toEqual({ kind, setting: { backend: 'inFile' }, source: 'file' })
      expect(await settle({}, 'without.json', env)).toEqual({ kind, setting: 'env.db', source: 'environment' })
      expect(await settle({}, 'without.json', { HOLDFAST_DIR: '/data' })).toEqual({
        kind,
        setting: { backend: 'sqlite', path: join('/data', `${kind}.db`) },
        source: 'default',
      })
    })
  }

  it('of embed is argument, then a file that is a module', async () => {
    const root = await folderWith({ 'a.mjs': 'export default { embed: () => [[1]] }', 'a.json': {} })
    expect(await settleInNode(root, ['a.mjs', 'a.json'])).toMatchObject([{ embedded: [[1]] }, { file: join(root, 'a.json') }])
    const embed = (): number[][] => [[2]]
    expect((await resolveSettings({ embed }, NOWHERE)).embed).toBe(embed)
    expect((await resolveSettings({}, NOWHERE)).embed).toBeUndefined()
  })

  it('settles each setting on its own', async () => {
    const root = await folderWith({ 'a.json': { state: 'memory', timeoutMs: 5 } })
    const settings = await resolveSettings(
      { timeoutMs: 7 },
      { root, env: { HOLDFAST_STATE: 'other', HOLDFAST_WORKSPACE: 'w' }, config: 'a.json' },
    )
    expect(settings.sources).toEqual({
      dir: 'default',
      conversation: 'default',
      knowledge: 'default',
      state: 'file',
      workspace: 'environment',
      durability: 'default',
      timeoutMs: 'argument',
      embed: 'default',
      encryption: 'default',
    })
  })

  it('counts a relative dir from the working directory, wherever it is said', async () => {
    const root = await folderWith({ 'a.json': { dir: 'data' } })
    expect((await resolveSettings({}, { root, env: {}, config: 'a.json' })).dir).toBe(resolve('data'))
    expect((await resolveSettings({ dir: 'x/../y' }, NOWHERE)).dir).toBe(resolve('y'))
  })
})

describe('the config file', () => {
  const kinds: Readonly<Record<string, string>> = {
    'holdfast.config.ts': `import type { Stats } from 'node:fs'\ntype Unused = Stats\nexport default { workspace: 'ts' as string }`,
    'holdfast.config.mjs': `export default { workspace: 'mjs' }`,
    'holdfast.config.js': `export default { workspace: 'js' }`,
    'holdfast.config.json': `\uFEFF{ "workspace": "json" }`,
  }

  for (const [name, content] of Object.entries(kinds)) {
    it(`may be ${name}`, async () => {
      const root = await folderWith({ 'package.json': { type: 'module' }, [name]: content })
      expect(await settleInNode(root)).toEqual([{ workspace: name.split('.').at(-1), file: join(root, name) }])
    })
  }

  it('is the first of ts, js, mjs, json that is there', async () => {
    const root = await folderWith({ 'package.json': { type: 'module' }, ...kinds })
    expect(await settleInNode(root)).toMatchObject([{ workspace: 'ts' }])
  })

  it('that is named may be any module, and give a promise', async () => {
    const files = {
      'a.cjs': `module.exports = { workspace: 'cjs' }`,
      'a.mts': `export default { workspace: 'mts' as string }`,
      'promise.mjs': `export default Promise.resolve({ workspace: 'promised' })`,
      'getter.mjs': `let n = 0; export default { get workspace() { return n++ === 0 ? 'first' : 'another' } }`,
    }
    const settled = await settleInNode(await folderWith(files), Object.keys(files))
    expect(settled.map(({ workspace }) => workspace)).toEqual(['cjs', 'mts', 'promised', 'first'])
  })

  it('is the one that is named, else that of HOLDFAST_CONFIG, else the usual one, and with false none', async () => {
    const names = { 'holdfast.config.json': 'usual', 'arg.json': 'arg', 'env.json': 'env' }
    const root = await folderWith(Object.fromEntries(Object.entries(names).map(([name, workspace]) => [name, { workspace }])))
    const env = { HOLDFAST_CONFIG: 'env.json' }
    const settle = async (place: { env: Env; config?: string | false }): Promise<string> =>
      (await resolveSettings({}, { root, ...place })).workspace
    expect(await settle({ env, config: 'arg.json' })).toBe('arg')
    expect(await settle({ env, config: join(root, 'arg.json') })).toBe('arg')
    expect(await settle({ env })).toBe('env')
    expect(await settle({ env: { HOLDFAST_CONFIG: '' } })).toBe('usual')
    expect(await settle({ env, config: false })).toBe('')
    expect(await settle({ env: {}, config: 'ARG.JSON' }).catch((error: { code: string }) => error.code)).toBe('NOT_FOUND')
  })

  it('that is named and missing is NOT_FOUND, whoever names it', async () => {
    const root = await scratch()
    const file = join(root, 'gone.json')
    const expected = { code: 'NOT_FOUND', message: expect.stringContaining(file) as string }
    await expect(resolveSettings({}, { root, env: {}, config: 'gone.json' })).rejects.toMatchObject(expected)
    await expect(resolveSettings({}, { root, env: { HOLDFAST_CONFIG: 'gone.json' } })).rejects.toMatchObject(expected)
    await expect(resolveSettings({}, { root, env: {}, config: 'gone.json/x.json' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('must be a file name or false', async () => {
    for (const config of ['', true, 5, null, {}]) {
      const work = resolveSettings({}, { root: '/nonexistent', env: {}, config: config as false })
      expect(await refusal(work)).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('config') as string })
    }
  })

  it('that is a broken link, a folder, or cannot be named is told, not passed over', async () => {
    const root = await scratch()
    await symlink(join(root, 'gone'), join(root, 'holdfast.config.json'))
    expect(await refusal(resolveSettings({}, { root, env: {} }))).toMatchObject({ code: 'INVALID_OPTIONS' })
    const other = await scratch()
    await mkdir(join(other, 'holdfast.config.ts'))
    expect(await refusal(resolveSettings({}, { root: other, env: {} }))).toMatchObject({ code: 'INVALID_OPTIONS' })
    const odd = await refusal(resolveSettings({}, { root: other, env: {}, config: 'a\0b' }))
    expect(odd.code).toBe('INVALID_OPTIONS')
  })

  const broken: Readonly<Record<string, string>> = {
    'cut.json': '{ "state": "redis://u:hunter2@h"',
    'word.json': '{ "state": hunter2 }',
    'empty.json': '',
    'syntax.mjs': 'export default { password: "hunter2", b: }',
    'syntax.ts': 'export default { password: "hunter2", b: }',
    'throws.mjs': 'throw new Error("cannot reach postgres://u:hunter2@h/db?password=hunter2")',
    'throws-text.mjs': 'throw "postgres://u:hunter2@h"',
    'rejected.mjs': 'export default Promise.reject(new Error("postgres://u:hunter2@h"))',
    'imports.mjs': 'import "no-such-package-anywhere"; export default {}',
    'unknown.yaml': 'state: hunter2',
  }
  it('that cannot be read is INVALID_OPTIONS with its name and without its text', async () => {
    const root = await folderWith(broken)
    const names = Object.keys(broken)
    for (const [i, { code, message, shown }] of (await settleInNode(root, names)).entries()) {
      expect.soft(code, names[i]).toBe('INVALID_OPTIONS')
      expect.soft(message).toContain(join(root, names[i]!))
      expect.soft(shown).not.toContain('hunter2')
    }
  })

  it('that has a syntax error tells the line where it is known', async () => {
    const root = await folderWith({ 'a.ts': 'export default {\n b: }', 'a.json': '{\n\n "b" 1}' })
    const [ts, json] = await settleInNode(root, ['a.ts', 'a.json'])
    expect(ts!.message).toMatch(/syntax error in line 2$/)
    expect(json!.message).toMatch(/syntax error in line 3$/)
  })

  const hostile: Readonly<Record<string, string>> = {
    'none.mjs': 'export const dir = "x"',
    'array.mjs': 'export default ["x"]',
    'map.mjs': 'export default new Map([["dir", "x"]])',
    'class.mjs': 'export default new (class Config { dir = "x" })()',
    'function.mjs': 'export default () => ({ dir: "x" })',
    'null.json': 'null',
    'text.json': '"hunter2"',
    'proto.json': '{ "__proto__": { "dir": "hunter2" } }',
    'store.mjs': 'export default { state: new (class Store { backend = "memory"; kind = "state" })() }',
    'backend.json': '{ "state": { "backend": 5 } }',
    'url.json': '{ "state": { "url": ["hunter2"] } }',
    'nothing.json': '{ "state": {} }',
    'workspace.json': '{ "state": { "backend": "memory", "workspace": "hunter2" } }',
    'embed.json': '{ "embed": "hunter2" }',
    'null-setting.json': '{ "dir": null }',
  }
  it('that says no settings is INVALID_OPTIONS', async () => {
    const root = await folderWith(hostile)
    const names = Object.keys(hostile)
    for (const [i, { code, message, shown }] of (await settleInNode(root, names)).entries()) {
      expect.soft(code, names[i]).toBe('INVALID_OPTIONS')
      expect.soft(message).toContain(names[i])
      expect.soft(shown).not.toContain('hunter2')
    }
  })
})

describe('a setting that cannot be used', () => {
  const wrong: readonly [unknown, RegExp][] = [
    [{ durabilty: 'full' }, /unknown setting "durabilty": did you mean "durability"\?/],
    [{ conversations: 'memory' }, /did you mean "conversation"/],
    [{ timeoutMS: 5 }, /did you mean "timeoutMs"/],
    [{ approot: '/x' }, /did you mean "appRoot"/],
    [{ entirely: 1 }, /unknown setting "entirely" \(known: dir, conversation/],
    [{ ['x'.repeat(100_000)]: 1 }, /^.{0,400}$/],
    [{ 'a\nb': 1 }, /unknown setting "a\\nb"/],
    [{ 'postgres://u:hunter2@h': 1 }, /unknown setting/],
    [{ dir: '' }, /dir is empty/],
    [{ dir: 5 }, /dir must be a string, not number/],
    [{ dir: ':memory:' }, /dir must be a folder/],
    [{ dir: 'postgres://u:hunter2@h/db' }, /dir must be a folder/],
    [{ dir: 'sqlite:data' }, /dir must be a folder/],
    [{ workspace: 'a\0b' }, /workspace must be well-formed/],
    [{ workspace: '\ud800' }, /workspace must be well-formed/],
    [{ workspace: 'é'.repeat(257) }, /workspace is longer than 512 bytes/],
    [{ workspace: null }, /workspace must be a string, not null/],
    [{ durability: 'hunter2' }, /durability must be "full" or "relaxed"/],
    [{ timeoutMs: 0 }, /timeoutMs must be an integer from 1/],
    [{ timeoutMs: 1.5 }, /timeoutMs/],
    [{ timeoutMs: 2 ** 31 }, /timeoutMs/],
    [{ timeoutMs: '5' }, /timeoutMs/],
    [{ embed: {} }, /embed must be a function, not Object/],
    [{ state: '' }, /state is empty/],
    [{ state: 5 }, /state must be a backend's name, a URL, a path, or an object with options, not number/],
    [{ state: [] }, /not array/],
    [{ state: Promise.resolve() }, /not Promise/],
    [{ state: {} }, /state needs a "backend" or a "url"/],
    [{ state: { backend: undefined } }, /state needs/],
    [{ state: { backend: '', url: 'hunter2' } }, /state has a "backend" that is empty/],
    [{ state: { backend: 'memory', workspace: 'w' } }, /state has a "workspace"/],
  ]
  for (const [given, problem] of wrong) {
    it(`is INVALID_OPTIONS: ${problem.source}`, async () => {
      const { code, message } = await refusal(resolveSettings(asGiven(given), NOWHERE))
      expect(code).toBe('INVALID_OPTIONS')
      expect(message).toMatch(problem)
      expect(message).not.toContain('hunter2')
    })
  }

  it('is named together with the others', async () => {
    const { message } = await refusal(resolveSettings(asGiven({ dir: 5, stat: 'memory', timeoutMs: -1 }), NOWHERE))
    expect(message).toMatch(/dir .*; .*did you mean "state".*; timeoutMs /)
  })

  it('may be on an object without prototype, or a Windows drive', async () => {
    const given = Object.assign(Object.create(null) as object, { workspace: 'w', dir: 'C:\\data' })
    expect((await resolveSettings(given, NOWHERE)).workspace).toBe('w')
  })
})

describe('the environment', () => {
  const misspelt: Readonly<Record<string, string>> = {
    HOLDFAST_DRI: 'HOLDFAST_DIR',
    HOLDFAST_CONVERSATIONS: 'HOLDFAST_CONVERSATION',
    HOLDFAST_KNOWLEGE: 'HOLDFAST_KNOWLEDGE',
    HOLDFAST_STAT: 'HOLDFAST_STATE',
    HOLDFAST_WORKSAPCE: 'HOLDFAST_WORKSPACE',
    HOLDFAST_DURABLITY: 'HOLDFAST_DURABILITY',
    HOLDFAST_TIMEOUTMS: 'HOLDFAST_TIMEOUT_MS',
    HOLDFAST_CONFIGS: 'HOLDFAST_CONFIG',
    HOLDFAST_APPROOT: 'HOLDFAST_APP_ROOT',
    HOLDFAST_state: 'HOLDFAST_STATE',
  }
  for (const [name, meant] of Object.entries(misspelt)) {
    it(`refuses ${name} and names ${meant}`, async () => {
      const env = { [name]: 'redis://u:hunter2@h' }
      const { code, message } = await refusal(resolveSettings({}, { ...NOWHERE, env }))
      expect(code).toBe('INVALID_OPTIONS')
      expect(message).toBe(`environment: "${name}" is not known; did you mean ${meant}?`)
    })
  }

  it('leaves variables alone that resemble nothing, and those of others', async () => {
    const names = [
      'HOLDFAST_FOO',
      'HOLDFAST_',
      'HOLDFAST_API_BASE',
      'HOLDFAST_LOG_LEVEL',
      'HOLDFASTER',
      'MY_HOLDFAST_DRI',
      'STATE',
    ]
    const env = { ...Object.fromEntries(names.map((name) => [name, 'x'])), [`HOLDFAST_${'X'.repeat(10_000)}`]: 'x' }
    const { sources } = await resolveSettings({}, { ...NOWHERE, env })
    expect(new Set(Object.values(sources))).toEqual(new Set(['default']))
  })

  it('names the variable that cannot be used, and not its value', async () => {
    const env = { HOLDFAST_TIMEOUT_MS: 'hunter2', HOLDFAST_DURABILITY: 'hunter2', HOLDFAST_DIR: 'redis://u:hunter2@h' }
    const { code, message } = await refusal(resolveSettings({}, { ...NOWHERE, env }))
    expect(code).toBe('INVALID_OPTIONS')
    expect(message).toMatch(/HOLDFAST_DIR .*HOLDFAST_DURABILITY .*HOLDFAST_TIMEOUT_MS /)
    expect(message).not.toContain('hunter2')
    for (const value of ['0', '-1', '1.5', ' ', 'Infinity', '5s']) {
      await expect(resolveSettings({}, { ...NOWHERE, env: { HOLDFAST_TIMEOUT_MS: value } })).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
      })
    }
  })

  it('is checked also where an argument says the same setting', async () => {
    const work = resolveSettings({ dir: '/a' }, { ...NOWHERE, env: { HOLDFAST_DIRS: '/b' } })
    await expect(work).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
