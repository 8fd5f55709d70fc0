/**
 * `npm run bench -- --budget`: what the hot paths cost in counts, beside the budget that tests hold them to. With `--record`, what is found
 * becomes the budget; servers that do not run keep theirs.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const TESTS = ['test/budget', 'test/servers/budget.test.ts']

/** The exit code of the tests that count. */
export function budget(names: readonly string[]): number {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const env = { ...process.env, HOLDFAST_BUDGET: names.includes('--record') ? 'record' : 'show' }
  return spawnSync(process.execPath, [vitest, 'run', ...TESTS], { cwd: root, stdio: 'inherit', env }).status ?? 1
}
