/**
 * What a start costs, in fresh processes of the package as built: `import 'holdfast'` above bare Node, `create('sqlite')` to its first answer
 * on a new file and on one that is there, `holdfast serve` until it answers, and what the store adds to each call afterwards.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { summary, table } from './measure.ts'
import { overhead } from './overhead.ts'
import { serverStart } from './server-start.ts'

const RUNS = 25
const root = join(import.meta.dirname, '..')
const entry = pathToFileURL(join(root, 'dist', 'index.js')).href

export async function coldStart(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    return [imports(), firstAnswers(folder), await serverStart(folder), await overhead()].join('\n\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

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
  const builtIn = process.moduleLoadList.filter((name) => !before.has(name) && /^NativeModule (?!internal\\/)/.test(name))
  const own = ${JSON.stringify(pathToFileURL(join(root, 'dist')).href)}
  const foreign = files.filter((url) => url.startsWith('file:') && !url.startsWith(own))
  console.log(JSON.stringify({ files: files.filter((url) => url.startsWith(own)).length, foreign, builtIn }))
`

function imports(): string {
  const samples = new Map(Object.keys(PROGRAMS).map((name): [string, number[]] => [name, []]))
  for (let i = 0; i < RUNS; i++) {
    for (const [name, program] of Object.entries(PROGRAMS)) samples.get(name)!.push(timeProcess(program))
  }
  const bare = summary(samples.get('bare Node')!).medianUs
  const lines = [...samples].map(([name, times]) => [...timed(name, times), ms(summary(times).medianUs - bare)])
  const { files, foreign, builtIn } = JSON.parse(node(LIST_MODULES)) as Record<'files', number> &
    Record<'foreign' | 'builtIn', string[]>
  const modules = `files of holdfast loaded: ${files}; third-party modules: ${foreign.length}; modules of Node: ${builtIn.length}`
  return `${table(['cold start', 'ms', 'spread', 'above bare'], lines)}\n${modules}`
}

const FIRST_QUESTIONS = {
  conversation: "CONVERSATION_STORES.create('sqlite', { path })).getSession('s')",
  knowledge: "KNOWLEDGE_STORES.create('sqlite', { path })).listCollections()",
  state: "STATE_STORES.create('sqlite', { path })).get('key')",
}

/** The process ends without closing: what is measured is the way to the answer. */
function firstAnswer(question: string, path: string): number {
  const program = `
    const { CONVERSATION_STORES, KNOWLEDGE_STORES, STATE_STORES } = await import(${JSON.stringify(entry)})
    const path = process.argv[1]
    const began = performance.now()
    await (await ${question}
    console.log(performance.now() - began)`
  return Number(node(program, path)) * 1000
}

function firstAnswers(folder: string): string {
  const lines = Object.entries(FIRST_QUESTIONS).map(([kind, question]) => {
    const [made, found]: [number[], number[]] = [[], []]
    for (let i = 0; i < RUNS; i++) {
      const path = join(folder, `${kind}-${i}.db`)
      made.push(firstAnswer(question, path))
      found.push(firstAnswer(question, path))
    }
    return [...timed(kind, made), ...timed(kind, found).slice(1)]
  })
  return table(["create('sqlite') to the first answer", 'new file, ms', 'spread', 'there already', 'spread'], lines)
}

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

/** A line of a table: name, median and spread. */
function timed(name: string, samples: readonly number[]): string[] {
  const { medianUs, spreadUs } = summary(samples)
  return [name, ms(medianUs), `±${ms(spreadUs / 2)}`]
}

function ms(us: number): string {
  return (us / 1000).toFixed(1)
}
