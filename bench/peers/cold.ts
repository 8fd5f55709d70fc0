/** What a process pays before its first call, above the bare runtime; and what the installation weighs on disk. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { summary } from '../measure.ts'
import { ownVersion } from './conversation-ours.ts'
import { reason, round, shuffled } from './frame.ts'
import { installedMb, ownMb } from './installed.ts'
import { python, versionOf } from './peer-folder.ts'
import { praisonAi } from './praisonai.ts'
import type { Comparison, Figure } from './result.ts'

const ROUNDS = 9
const entry = pathToFileURL(join(import.meta.dirname, '..', '..', 'dist', 'index.js')).href

interface Starter {
  readonly name: string
  version(): string | undefined
  /** What one installs to have it; none for Holdfast. */
  readonly packages?: readonly string[]
  readonly python?: boolean
  readonly imports: string
  /** After the imports: opens a store on a new file in `folder`. */
  readonly opens?: string
  readonly note?: string
}

const STARTERS: readonly Starter[] = [
  {
    name: 'holdfast',
    version: ownVersion,
    imports: `const { CONVERSATION_STORES } = await import('${entry}')`,
    opens: "await CONVERSATION_STORES.create('sqlite', { path: folder + '/x.db' })",
    note: 'import of the root, which loads no backend; installed, it has a server and a command line too',
  },
  {
    name: 'Keyv + SQLite',
    packages: ['keyv', '@keyv/sqlite'],
    version: () => versionOf('keyv'),
    imports: "const { default: Keyv } = await import('keyv'); const { default: Sqlite } = await import('@keyv/sqlite')",
    opens: "await new Keyv({ store: new Sqlite({ uri: 'sqlite://' + folder + '/x.db' }) }).get('a')",
  },
  {
    name: 'unstorage, fs driver',
    packages: ['unstorage'],
    version: () => versionOf('unstorage'),
    imports: "const { createStorage } = await import('unstorage'); const { default: fs } = await import('unstorage/drivers/fs')",
    opens: "await createStorage({ driver: fs({ base: folder + '/x' }) }).getItem('a')",
  },
  {
    name: 'LangGraph SQLite checkpointer',
    packages: ['@langchain/langgraph-checkpoint-sqlite', '@langchain/langgraph-checkpoint', '@langchain/core'],
    version: () => versionOf('@langchain/langgraph-checkpoint-sqlite'),
    imports: "const { SqliteSaver } = await import('@langchain/langgraph-checkpoint-sqlite')",
    opens: "await SqliteSaver.fromConnString(folder + '/x.db').getTuple({ configurable: { thread_id: 'a' } })",
  },
  {
    name: 'Mastra LibSQL',
    packages: ['@mastra/libsql', '@mastra/core'],
    version: () => versionOf('@mastra/libsql'),
    imports: "const { LibSQLStore } = await import('@mastra/libsql')",
    opens: "await new LibSQLStore({ id: 'a', url: 'file:' + folder + '/x.db' }).init()",
  },
  {
    name: 'PraisonAI (Python), its registry',
    python: true,
    version: praisonAi.version,
    imports: 'import praisonai.persistence.registry',
    note: 'above bare Python; installed without the dependencies that its registry does not import',
  },
]

export function coldStarts(): Comparison[] {
  const folder = mkdtempSync(join(import.meta.dirname, '.cold-'))
  try {
    const opens = STARTERS.filter((starter) => starter.opens !== undefined)
    return [
      compareStarts('cold-import', 'cold import, above the bare runtime', STARTERS, ({ imports }) => imports),
      compareStarts(
        'cold-open',
        'import and open a store on a new file, above bare Node',
        opens,
        ({ imports, opens }, round) => {
          const own = `const folder = process.argv[1] + '/${round}-' + process.pid; (await import('node:fs')).mkdirSync(folder)`
          return `${own}; ${imports}; ${opens}; process.exit(0)`
        },
        folder,
      ),
      weights(),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function compareStarts(
  id: string,
  what: string,
  starters: readonly Starter[],
  program: (starter: Starter, round: number) => string,
  argument = '',
): Comparison {
  const runs = starters.map((starter) => new Starts(starter))
  for (let round = -1; round < ROUNDS; round++) {
    for (const run of shuffled(runs)) run.take(program(run.starter, round), argument, round >= 0)
  }
  return { id, group: 'cold start', what, unit: 'ms', better: 'less', figures: runs.map((run) => run.figure()) }
}

class Starts {
  readonly starter: Starter
  readonly #above: number[] = []
  #refused: string | undefined

  constructor(starter: Starter) {
    this.starter = starter
  }

  /** The bare runtime starts beside each start, so that both meet the same moment. */
  take(program: string, argument: string, counts: boolean): void {
    if (this.#refused !== undefined) return
    try {
      const command = this.starter.python === true ? [python(), '-c'] : [process.execPath, '--input-type=module', '-e']
      const bare = timed([...command, ''], argument)
      const full = timed([...command, program], argument)
      if (counts) this.#above.push(full - bare)
    } catch (error) {
      this.#refused = reason(error)
    }
  }

  figure(): Figure {
    const { name, note } = this.starter
    const version = this.starter.version()
    const about = { contender: name, ...(version === undefined ? {} : { version }) }
    if (this.#refused !== undefined) return { ...about, note: `not run: ${this.#refused}` }
    const { medianUs: median, spreadUs: spread } = summary(this.#above)
    return { ...about, median: round(median), spread: round(spread / 2), ...(note === undefined ? {} : { note }) }
  }
}

function timed([command, ...args]: readonly string[], argument: string): number {
  const began = performance.now()
  const child = spawnSync(command!, [...args, argument], { cwd: import.meta.dirname, encoding: 'utf8' })
  const took = performance.now() - began
  if (child.status !== 0)
    throw new Error(child.stderr.split('\n').find((line) => line.includes('Error')) ?? `ended with ${child.status}`)
  return took
}

function weights(): Comparison {
  const figures = STARTERS.filter((starter) => starter.python !== true).map(({ name, packages, note, version }): Figure => {
    const known = version()
    const about = { contender: name, ...(known === undefined ? {} : { version: known }) }
    if (packages === undefined) {
      return existsSync(new URL(entry))
        ? { ...about, median: round(ownMb()), spread: 0, note: note! }
        : { ...about, note: 'not run: not built' }
    }
    if (known === undefined) return { ...about, note: 'not run: not installed' }
    return { ...about, median: round(installedMb(packages)), spread: 0, ...(note === undefined ? {} : { note }) }
  })
  return {
    id: 'cold-install',
    group: 'cold start',
    what: 'installed, with all that it needs',
    unit: 'MB',
    better: 'less',
    figures,
  }
}
