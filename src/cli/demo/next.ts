/** What to try after a demo, as commands that can be pasted. */
import { relative, resolve } from 'node:path'
import type { Workspace } from '../../index.ts'
import type { GlobalOptions } from '../globals.ts'
import { out, printable, styled, table } from '../terminal.ts'

/** In a clone of the repository the command is not installed, and the sources run. */
const IS_CLONE = import.meta.filename.endsWith('.ts')
const HOLDFAST = IS_CLONE ? 'npm run holdfast --' : 'npx holdfast'

interface Ran extends GlobalOptions {
  readonly docs?: string
}

export function printNext({ conversation }: Workspace, options: Ran, id: string): void {
  out(`\n${styled('bold', 'Next')}\n`)
  if (conversation.backend === 'memory') return out('  Nothing: the conversation was kept in memory, and is gone now.\n')
  const { docs, dir, conversation: place, knowledge, state, workspace, config } = options
  const stores = { dir, conversation: place, knowledge, state, workspace, config }
  const again = IS_CLONE && docs === undefined ? npmRunDemo(stores) : command('demo', { docs, ...stores })
  const rows = [
    ['go on, also after a kill', again],
    ['ask something', command('demo --ask "…"', { docs, ...stores })],
    ['see what is stored', command(`sessions show ${quote(id)}`, { dir, conversation: place, workspace, config })],
    ['in your own program', guide()],
  ]
  out(table(rows, '  '))
}

/** Relative where that is shorter. */
function guide(): string {
  const path = resolve(import.meta.dirname, '../../../docs/getting-started.md')
  const near = relative(process.cwd(), path)
  return printable(near.startsWith('..') ? path : near)
}

type Given = Readonly<Record<string, string | undefined>>

function command(words: string, given: Given): string {
  return [HOLDFAST, words, ...flags(given)].join(' ')
}

function npmRunDemo(given: Given): string {
  const more = flags(given)
  return more.length === 0 ? 'npm run demo' : ['npm run demo --', ...more].join(' ')
}

function flags(given: Given): string[] {
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${quote(value)}`]))
}

/** As a shell takes it. */
function quote(text: string): string {
  return printable(/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
}
