/** The house keeps its order: imports point one way, and what is derived from the code is up to date. */
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeFiles } from './fixtures/plugins.ts'
import { exec, ROOT, scratch } from './support.ts'

/** Imports that must not be, each in a file of its own. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  'src/errors.ts': './store/text.ts',
  'src/store/core.ts': '../engines/sqlite.ts',
  'src/store/text.ts': '../state/contract.ts',
  'src/state/store.ts': '../knowledge/store.ts',
  'src/conversation/store.ts': './backends/memory.ts',
  'src/knowledge/records.ts': '../registry/index.ts',
  'src/engines/sqlite.ts': '../conversation/contract.ts',
  'src/engines/redis.ts': '../registry/index.ts',
  'src/state/backends/redis.ts': './memory.ts',
  'src/state/backends/valkey.ts': '../store.ts',
  'src/state/backends/gcs.ts': '../../registry/index.ts',
  'src/conformance/run.ts': '../registry/index.ts',
  'src/cli/main.ts': '../state/store.ts',
  'src/cli/commands/doctor.ts': '../../registry/index.ts',
  'src/server/app.ts': '../state/store.ts',
  'src/server/tokens.ts': '../engines/sqlite.ts',
  'src/server/gate.ts': '../plugin-storage/scope.ts',
  'src/server/routes/state.ts': '../../state/backends/memory.ts',
  'src/server/routes/knowledge.ts': '../../knowledge/contract.ts',
  'src/server/routes/backends.ts': '../../registry/index.ts',
  'src/server/serve.ts': '../cli/main.ts',
  'src/server/readiness.ts': '../client/index.ts',
  'src/server/limits.ts': '../dify/index.ts',
  'src/server/metrics.ts': '../otel/index.ts',
  'src/client/index.ts': 'node:crypto',
  'src/client/stores.ts': '../index.ts',
  'src/client/conversation.ts': '../conversation/backends/sqlite.ts',
  'src/client/state.ts': '../engines/sqlite.ts',
  'src/client/knowledge.ts': '../knowledge/catalogue.ts',
  'src/dify/host.ts': '../state/store.ts',
  'src/client/requests.ts': '../server/index.ts',
  'src/dify/session.ts': '../errors.ts',
  'src/dify/lines.ts': '../client/index.ts',
  'src/dify/tcp.ts': '../server/index.ts',
  'src/plugin/define.ts': '../registry/index.ts',
  'src/plugin/storage.ts': '../plugin-storage/storage.ts',
  'src/plugin/start.ts': '../cli/main.ts',
  'src/plugin/messages.ts': '../server/index.ts',
}

async function findings(files: Readonly<Record<string, string>>): Promise<{ filename: string; code: string }[]> {
  const folder = await scratch()
  await cp(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'))
  await writeFiles(folder, files)
  const linting = exec(join(ROOT, 'node_modules', '.bin', 'oxlint'), ['--format', 'json'], { cwd: folder })
  // It ends with 1 where it finds something; what it found is in the message then.
  const text = await linting.then(
    ({ stdout }) => stdout,
    (error: Error) => error.message.slice(error.message.indexOf('{')),
  )
  return (JSON.parse(text.slice(0, text.lastIndexOf('}') + 1)) as { diagnostics: { filename: string; code: string }[] })
    .diagnostics
}

describe('the linter', () => {
  it('refuses imports against the order of the layers', async () => {
    const files = Object.fromEntries(Object.entries(FORBIDDEN).map(([file, target]) => [file, `import '${target}'\n`]))
    const found = await findings(files)
    const refused = found.filter(({ code }) => code.includes('no-restricted-imports')).map(({ filename }) => filename)
    expect(refused.toSorted()).toEqual(Object.keys(FORBIDDEN).toSorted())
  })

  it('keeps the environment out of stores, engines and backends', async () => {
    const files = [
      'src/store/core.ts',
      'src/state/store.ts',
      'src/engines/sqlite.ts',
      'src/state/backends/redis.ts',
      'src/registry/open.ts',
    ]
    const found = await findings(Object.fromEntries(files.map((file) => [file, 'console.log(process.env.HOME)\n'])))
    const refused = found.filter(({ code }) => code.includes('no-restricted-globals')).map(({ filename }) => filename)
    expect(refused.toSorted()).toEqual(files.filter((file) => !file.includes('registry')).toSorted())
  })
})

describe('the documentation', () => {
  it('holds what is derived from the code', async () => {
    await exec(process.execPath, ['scripts/derive-docs.ts', '--check'], { cwd: ROOT })
  })

  it('is linked from the README, page by page', async () => {
    const { stdout } = await exec('cat', ['README.md'], { cwd: ROOT })
    for (const page of await readdir(join(ROOT, 'docs'))) expect(stdout, page).toContain(`docs/${page}`)
  })
})

describe('the source', () => {
  it('has no dead export, file or dependency', async () => {
    await exec(join(ROOT, 'node_modules', '.bin', 'knip'), [], { cwd: ROOT })
  })
})
