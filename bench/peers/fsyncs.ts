/** How often a contender asks the disk to keep what it wrote, for 1,000 writes at once: by strace, where it is there. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AT_ONCE } from './conversation.ts'
import { reason, round, type Adapter, type Peer } from './frame.ts'
import type { Comparison, Figure } from './result.ts'

export const MARKER = 'fsync-marker'

/** What is told of an entrant, whatever it can do. */
interface Counted {
  readonly peer: Pick<Peer<Adapter>, 'name' | 'version' | 'durability'>
  readonly refused?: string
}

export function hasStrace(): boolean {
  return spawnSync('strace', ['-f', '-e', 'trace=fsync', 'true']).status === 0
}

/** One figure a contender; each writes in a process of its own, under strace. */
export function countFsyncs(group: 'conversation' | 'kv', entrants: readonly Counted[], folder: string): Comparison {
  const figures = entrants.map(({ peer, refused }, i): Figure => {
    const version = peer.version()
    const about = { contender: peer.name, ...(version === undefined ? {} : { version }), durability: peer.durability }
    if (refused !== undefined) return { ...about, note: `not run: ${refused}` }
    try {
      return { ...about, median: round(counted(group, peer.name, join(folder, `${group}-${i}.strace`))), spread: 0 }
    } catch (error) {
      return { ...about, note: `not run: ${reason(error)}` }
    }
  })
  const what = group === 'kv' ? 'concurrent sets' : 'concurrent appends'
  return {
    id: `${group}-fsyncs`,
    group,
    what: `fsyncs of ${AT_ONCE.toLocaleString('en')} ${what}`,
    unit: 'fsyncs',
    better: 'less',
    figures,
  }
}

function counted(group: string, name: string, log: string): number {
  const program = [process.execPath, join(import.meta.dirname, 'fsync-child.ts'), group, name]
  const child = spawnSync('strace', ['-f', '-y', '-e', 'trace=fsync,fdatasync', '-o', log, ...program], { encoding: 'utf8' })
  if (child.status !== 0) throw new Error(child.stderr.trim().split('\n').at(-1))
  const calls = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /\bf(data)?sync\(/.test(line))
  const marks = calls.flatMap((line, i) => (line.includes(MARKER) ? [i] : []))
  if (marks.length !== 2) throw new Error('strace did not show where the writes began and ended')
  return marks[1]! - marks[0]! - 1
}
