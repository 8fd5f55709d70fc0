/**
 * `npm run test:engines [files…]`: starts every service and runs the tests of the servers, all of them required. With `-- --record` the
 * conformance suites run on all backends, and what they show is noted for the documentation.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { servicesHome } from './services/home.ts'
import { up } from './services/up.ts'

const ROOT = join(import.meta.dirname, '..')

async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [command, ...args] = argv
  const child = spawn(command!, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } })
  return new Promise((resolve, reject) => child.once('close', (code) => resolve(code ?? 1)).once('error', reject))
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { record: { type: 'boolean' } } })
const record = values.record === true
const folders = record ? ['test/servers', 'test/conformance', 'test/server/conformance.test.ts'] : ['test/servers']
await up({ home: servicesHome(), names: ['all'], progress: (line) => console.log(line) })
const vitest = [
  process.execPath,
  join(ROOT, 'node_modules/vitest/vitest.mjs'),
  'run',
  ...(positionals.length > 0 ? positionals : folders),
]
process.exitCode = await run(vitest, { HOLDFAST_REQUIRE: 'all', ...(record ? { HOLDFAST_RECORD: '1' } : {}) })
if (record) process.exitCode ||= await run([process.execPath, 'scripts/derive-docs.ts'], {})
