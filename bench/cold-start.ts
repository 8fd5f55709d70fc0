/**
 * What a program pays for `import 'holdfast'` (as built) above bare Node, which modules that loads, and how long `create('sqlite')` takes
 * to its first answer. Each figure is the median of fresh processes.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { summary, table } from './measure.ts'

const RUNS = 25
const root = join(import.meta.dirname, '..')
const entry = pathToFileURL(join(root, 'dist', 'index.js')).href

const PROGRAMS = {
  'bare Node': '',
  "import 'holdfast'": `await import(${JSON.stringify(entry)})`,
}

/** Prints the third-party files and the built-in modules that the import brings in. */
const LIST_MODULES = `
  import { registerHooks } from 'node:module'
  const before = new Set(process.moduleLoadList)
  const files = []
  registerHooks({ load: (url, context, next) => (files.push(url), next(url, context)) })
  await import(${JSON.stringify(entry)})
  const sqlite = process.moduleLoadList.filter((name) => !before.has(name) && / (internal\\/)?sqlite/.test(name))
  const own = ${JSON.stringify(pathToFileURL(join(root, 'dist')).href)}
  const foreign = files.filter((url) => url.startsWith('file:') && !url.startsWith(own))
  console.log(JSON.stringify({ files: files.filter((url) => url.startsWith(own)).length, foreign, sqlite }))
`

const FIRST_ANSWER = `
  const { STATE_STORES } = await import(${JSON.stringify(entry)})
  const began = performance.now()
  const store = await STATE_STORES.create('sqlite', { path: process.argv[1] })
  await store.get('key')
  console.log(performance.now() - began)
  await store.close()
`

function node(program: string, ...args: string[]): string {
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, ...args], { encoding: 'utf8' })
  if (child.status !== 0) throw new Error(child.stderr)
  return child.stdout
}

function timeProcess(program: string): number {
  const began = performance.now()
  node(program)
  return (performance.now() - began) * 1000
}

export function coldStart(): string {
  const samples = new Map(Object.keys(PROGRAMS).map((name): [string, number[]] => [name, []]))
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const answers: number[] = []
  try {
    for (let i = 0; i < RUNS; i++) {
      for (const [name, program] of Object.entries(PROGRAMS)) samples.get(name)!.push(timeProcess(program))
      answers.push(Number(node(FIRST_ANSWER, join(folder, `${i}.db`))) * 1000)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const bare = summary(samples.get('bare Node')!).medianUs
  const lines = [...samples].map(([name, times]) => {
    const { medianUs, spreadUs } = summary(times)
    return [name, ms(medianUs), `±${ms(spreadUs / 2)}`, ms(medianUs - bare)]
  })
  const first = summary(answers)
  const modules = JSON.parse(node(LIST_MODULES)) as { files: number; foreign: string[]; sqlite: string[] }
  return [
    table(['cold start', 'ms', 'spread', 'above bare'], lines),
    '',
    `files of holdfast loaded: ${modules.files}; third-party modules: ${modules.foreign.length}; node:sqlite loaded: ${modules.sqlite.length > 0 ? 'yes' : 'no'}`,
    `create('sqlite') on a new file to the first answer: ${ms(first.medianUs)} ms (±${ms(first.spreadUs / 2)})`,
  ].join('\n')
}

function ms(us: number): string {
  return (us / 1000).toFixed(1)
}
