/** The commands of those who run stores: `state`, `workspaces`, `sessions prune`, `restore`. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { PluginHost } from '../src/plugin-storage/index.ts'
import { holdfast, openStores, type Ran } from './cli-support.ts'
import { scratch } from './support.ts'

const DAY_MS = 86_400_000

/** Runs commands one after the other. */
async function holdfasts(cwd: string, ...commands: readonly (readonly string[])[]): Promise<Ran[]> {
  const ran: Ran[] = []
  for (const args of commands) ran.push(await holdfast(args, { cwd }))
  return ran
}

it('holdfast state sets, gets, lists and deletes JSON', async () => {
  const cwd = await scratch()
  const hostile = 'a\u001b[31m\nb'
  const ran = await holdfasts(
    cwd,
    ['state', 'set', 'plan', '{"b":1,"a":[true,null,"ü"]}'],
    ['state', 'set', hostile, '--text', '{"not":"parsed"}', '--ttl', '100'],
    ['state', 'set', '--', 'offset', '-5'],
    ['state', 'get', 'plan'],
    ['state', 'get', hostile, '--json'],
    ['state', 'keys'],
    ['state', 'keys', 'p*', '--json'],
    ['state', 'delete', 'plan', hostile],
    ['--workspace', 'w', 'state', 'keys'],
  )
  expect(ran.map(({ code, stderr }) => [code, stderr])).toEqual(ran.map(() => [0, '']))
  expect(ran[1]!.stdout).toBe('set a\\u{1b}[31m\\nb\n')
  expect(ran[3]!.stdout).toBe('{\n  "b": 1,\n  "a": [\n    true,\n    null,\n    "ü"\n  ]\n}\n')
  const { ttl, ...got } = JSON.parse(ran[4]!.stdout) as { ttl: number }
  expect(got).toEqual({ key: hostile, value: '{"not":"parsed"}' })
  expect(ttl).toBeGreaterThan(50)
  expect(ran[5]!.stdout).toBe('a\\u{1b}[31m\\nb\noffset\nplan\n')
  expect(JSON.parse(ran[6]!.stdout)).toEqual({ items: ['plan'] })
  expect(ran[8]!.stdout).toBe('')
  await using stores = await openStores(cwd)
  expect([await stores.state.keys(), await stores.state.get('offset')]).toEqual([['offset'], -5])
})

it('holdfast state takes and gives bytes', async () => {
  const cwd = await scratch()
  const bytes = Buffer.from([0, 255, 10, 13, 0])
  await writeFile(join(cwd, 'image.bin'), bytes)
  await holdfasts(cwd, ['state', 'set', 'image', '--file', 'image.bin'])
  const piped = await holdfast(['state', 'set', 'piped', '--file', '-'], { cwd, input: 'text from a pipe' })
  expect(piped.code).toBe(0)
  const [text, wrong] = await holdfasts(cwd, ['state', 'get', 'piped', '--bytes'], ['state', 'get', 'image'])
  expect(text!.stdout).toBe('text from a pipe')
  expect(wrong!.code).toBe(1)
  expect(wrong!.stderr).toMatch(/^error CORRUPT: /)
  await using stores = await openStores(cwd)
  expect(Buffer.from((await stores.state.getBytes('image'))!)).toEqual(bytes)
})

it('holdfast state ends with 1 for what is not there, and makes no files to look', async () => {
  const cwd = await scratch()
  const [got, keys, workspaces] = await holdfasts(cwd, ['state', 'get', 'none'], ['state', 'keys'], ['workspaces', 'list'])
  expect(got).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^error NOT_FOUND: there is no key "none"\n/) as string,
  })
  expect([keys, workspaces]).toEqual([0, 0].map((code) => ({ code, stdout: '', stderr: '' })))
  expect(await readdir(cwd)).toEqual([])
  const [, deleted, missing] = await holdfasts(
    cwd,
    ['state', 'set', 'k', '1'],
    ['state', 'delete', 'none', 'k'],
    ['state', 'set', 'k', '--file', 'none.bin'],
  )
  expect(deleted).toMatchObject({ code: 1, stdout: 'deleted k\n' })
  expect(deleted!.stderr).toMatch(/^error NOT_FOUND: there is no key "none"\n/)
  expect(missing!.stderr).toMatch(/^error NOT_FOUND: none.bin: /)
})

it('holdfast workspaces lists and deletes tenants', async () => {
  const cwd = await scratch()
  {
    await using stores = await openStores(cwd)
    await stores.workspace('').state.set('k', 1)
    await stores.workspace('b\n').conversation.createSession({ id: 's' })
    await stores.workspace('a').knowledge.createCollection('c', { dimension: 1 })
    await stores.workspace('a').state.setMany({ k: 1, l: 2 })
  }
  const [list, json, refused, deleted, again, unnamed] = await holdfasts(
    cwd,
    ['workspaces', 'list'],
    ['workspaces', 'list', '--json'],
    ['workspaces', 'delete', 'a'],
    ['workspaces', 'delete', 'a', '--yes', '--json'],
    ['workspaces', 'delete', 'a', '--yes'],
    ['workspaces', 'delete', '', '--yes'],
  )
  expect(list!.stdout).toBe('(unnamed)\na\nb\\n\n')
  expect(JSON.parse(json!.stdout)).toEqual({ items: ['', 'a', 'b\n'] })
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') as string })
  expect(JSON.parse(deleted!.stdout)).toEqual({
    sessions: 0,
    messages: 0,
    collections: 1,
    documents: 0,
    keys: 2,
    pluginScopes: 0,
  })
  expect(again!.stdout).toBe('deleted a: 0 sessions, 0 messages, 0 collections, 0 documents, 0 keys, 0 plugin storages\n')
  expect(unnamed!.stdout).toContain('deleted (unnamed): ')
  expect((await holdfast(['workspaces', 'list', '--json'], { cwd })).stdout).toContain('"b\\n"')
})

it('holdfast workspaces lists tenants of whom only plugins have stored something', async () => {
  const cwd = await scratch()
  {
    await using stores = await openStores(cwd)
    await stores.workspace('b').state.set('k', 1)
    await stores.workspace('d').state.set('k', 1)
    const host = new PluginHost({ state: stores.state })
    for (const workspaceId of ['', 'a', 'b', 'c', 'e'])
      for (const pluginId of ['acme/one', 'acme/two']) await host.session({ workspaceId, pluginId }).storage.setText('k', 'v')
  }
  const [list, deleted, left] = await holdfasts(
    cwd,
    ['workspaces', 'list', '--json'],
    ['workspaces', 'delete', 'c', '--yes'],
    ['workspaces', 'list'],
  )
  expect(JSON.parse(list!.stdout)).toEqual({ items: ['', 'a', 'b', 'c', 'd', 'e'] })
  expect(deleted!.stdout).toMatch(/^deleted c: .* 2 plugin storages\n$/)
  expect(left!.stdout).toBe('(unnamed)\na\nb\nd\ne\n')
})

it('holdfast sessions prune counts first, and deletes what is old', async () => {
  const cwd = await scratch()
  {
    await using stores = await openStores(cwd)
    for (const [id, days, userId] of [
      ['old', 40, 'ada'],
      ['older', 90, 'ben'],
      ['new', 1, 'ada'],
    ] as const) {
      const time = new Date(Date.now() - days * DAY_MS)
      const session = { id, userId, state: {}, metadata: {}, lastSeq: 1, version: 1, createdAt: time, updatedAt: time }
      const message = { id: 'm', sessionId: id, seq: 1, role: 'user', content: 'x', createdAt: time }
      await stores.conversation.restore(session, [message])
    }
  }
  const prune = ['sessions', 'prune', '--older-than']
  const ran = await holdfasts(
    cwd,
    [...prune, '30d', '--dry-run'],
    [...prune, '5w', '--user', 'ada', '--dry-run', '--json'],
    [...prune, '720h', '--user', 'ada'],
    [...prune, '30d', '--json'],
    [...prune, '30d'],
  )
  expect(ran.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0])
  expect(ran[0]!.stdout).toBe('would delete 2 sessions\n')
  expect(JSON.parse(ran[1]!.stdout)).toMatchObject({ dryRun: true, sessions: 1 })
  expect(ran[2]!.stdout).toBe('deleted 1 session with 1 message\n')
  expect(JSON.parse(ran[3]!.stdout)).toMatchObject({ dryRun: false, sessions: 1, messages: 1 })
  expect(ran[4]!.stdout).toBe('deleted 0 sessions with 0 messages\n')
  await using stores = await openStores(cwd)
  expect((await stores.conversation.listSessions()).items.map(({ id }) => id)).toEqual(['new'])
})

it('holdfast restore puts a backup into the folder of the settings', async () => {
  const cwd = await scratch()
  const [, , , refused, forced, damaged] = await holdfasts(
    cwd,
    ['state', 'set', 'k', '"backed up"'],
    ['backup', 'copy'],
    ['state', 'set', 'k', '"later"'],
    ['restore', 'copy'],
    ['restore', 'copy', '--force', '--json'],
    ['restore', 'none', '--dir', 'other'],
  )
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error CONFLICT: .*is not empty/) as string })
  const { dir, files, replaced } = JSON.parse(forced!.stdout) as { dir: string; files: string[]; replaced: string }
  expect([dir, files.length]).toEqual([join(cwd, '.holdfast'), 3])
  expect(damaged).toMatchObject({ code: 1, stderr: expect.stringMatching(/^error NOT_FOUND: /) as string })
  const [now, before] = await holdfasts(cwd, ['state', 'get', 'k'], ['--dir', replaced, 'state', 'get', 'k'])
  expect([now!.stdout, before!.stdout]).toEqual(['"backed up"\n', '"later"\n'])
  const elsewhere = await holdfast(['restore', 'copy', '--dir', 'other', '--state', 'redis://user:hunter2@host'], { cwd })
  expect(elsewhere.code).toBe(0)
  expect(elsewhere.stderr).toContain('state is configured as redis://***@host')
  expect(await readFile(join(cwd, 'other', 'state.db'))).toBeDefined()
})
