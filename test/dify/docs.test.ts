/** What docs/dify.md shows on a command line, with the real SDK. */
import assert from 'node:assert/strict'
import { cp, readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it } from 'vitest'
import { holdfast } from '../cli-support.ts'
import { ROOT, scratch } from '../support.ts'
import { pluginFolder, PYTHON, withSdk } from './python.ts'

withSdk('the command lines in docs/dify.md', () => {
  it('print what is written there', { timeout: 60_000 }, async () => {
    const page = await readFile(join(ROOT, 'docs', 'dify.md'), 'utf8')
    const steps = /```console\n(.*?)```/s
      .exec(page)![1]!
      .split(/^\$ holdfast /m)
      .slice(1)
    assert.ok(steps.length > 1)
    const cwd = await scratch()
    await cp(await pluginFolder({ name: 'oauth_flag', parameters: ['account'] }), join(cwd, 'oauth-flag'), { recursive: true })
    await symlink(dirname(dirname(PYTHON)), join(cwd, 'oauth-flag', '.venv'))
    for (const step of steps) {
      const [command, ...printed] = step.trimEnd().split('\n')
      const args = [...command!.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
      const { stdout, stderr } = await holdfast(args, { cwd })
      assert.equal(stdout.trimEnd(), printed.join('\n'), stderr)
    }
  })
})
