/** Version 1 of the contracts is frozen: `contracts/holds.ts` compiles, and would not if a backend of version 1 no longer did. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { API_VERSION } from '../src/index.ts'
import { exec, ROOT, scratch } from './support.ts'

const from = (path: string): string => JSON.stringify(join(ROOT, path))

/** Compiles a program that asks whether the frozen state backend fits one that is the same but for a change. */
async function fits(change: string): Promise<string> {
  const folder = await scratch()
  const program = `
    import type * as V1 from ${from('test/contracts/v1.ts')}
    import type { Fits } from ${from('test/contracts/holds.ts')}
    ${change}
    export const holds: Fits<V1.StateBackend, Next> = true`
  await writeFile(join(folder, 'program.mts'), program)
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions: {
        typeRoots: [join(ROOT, 'node_modules', '@types')],
        allowImportingTsExtensions: true,
        rewriteRelativeImportExtensions: false,
      },
      include: ['program.mts'],
    }),
  )
  return exec(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', folder]).then(
    () => 'holds',
    (error: Error) => error.message,
  )
}

describe('the frozen contracts', () => {
  it('are of the version that the package has', async () => {
    assert.equal(API_VERSION, 1)
    const frozen = await readFile(join(ROOT, 'test', 'contracts', 'v1.ts'), 'utf8')
    for (const name of ['ConversationBackend', 'KnowledgeBackend', 'StateBackend', 'FilterNode', 'Limits']) {
      assert.match(frozen, new RegExp(`export (interface|type) ${name}\\b`))
    }
  })

  it.each([
    ['nothing', 'interface Next extends V1.StateBackend {}'],
    ['a method that may be missing', 'interface Next extends V1.StateBackend { watch?(space: string): Promise<void> }'],
    [
      'one more argument',
      `interface Next extends Omit<V1.StateBackend, 'ping'> { ping(call?: V1.BackendCall, deep?: boolean): Promise<void> }`,
    ],
  ])('hold where %s is added', async (_, change) => {
    assert.equal(await fits(change), 'holds')
  })

  it.each([
    ['a method', 'interface Next extends V1.StateBackend { watch(space: string): Promise<void> }', 'watch'],
    [
      'a field of an answer',
      `interface Next extends Omit<V1.StateBackend, 'scan'> { scan(space: string, scan: V1.StateScan): Promise<{ keys: string[] }> }`,
      'scan',
    ],
    [
      'a kind of argument',
      `interface Next extends Omit<V1.StateBackend, 'get'> { get(space: string, keys: string): Promise<[]> }`,
      'get',
    ],
    [
      'a capability',
      `interface Next extends V1.StateBackend { capabilities: V1.StateCapabilities & { watch: boolean } }`,
      'capabilities',
    ],
  ])('do not hold where %s is required', async (_, change, name) => {
    expect(await fits(change)).toContain(`"${name}"`)
  })
})
